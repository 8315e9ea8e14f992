"""Words that several topics share. Every word here becomes one token."""

from __future__ import annotations

from typing import Final


def words(text: str) -> tuple[str, ...]:
    """The words of a text, as a list that is easy to read and to extend."""
    return tuple(text.split())


WOMEN: Final = words(
    "Mary Anna Sarah Laura Emma Alice Julia Lisa Helen Jane Kate Rachel Susan Linda Karen Nancy Betty Carol "
    "Ruth Sharon Diana Sophie Clara Lucy Grace Emily Olivia Hannah Megan Amy Rose Elena Irene Joan Judy Maria "
    "Martha Paula Sandra Tina"
)
MEN: Final = words(
    "John Tom James Robert Michael David Peter Paul Mark George Daniel Kevin Brian Steven Edward Jason Ryan "
    "Jacob Gary Eric Adam Henry Frank Scott Jack Dennis Jerry Tyler Aaron Adrian Carl Arthur Lawrence Joe "
    "Albert Bruce Roger Sean Simon Ralph"
)
NAMES: Final = WOMEN + MEN

PLACES: Final = words(
    "store park school garden office station restaurant hospital house beach library museum market farm "
    "church hotel zoo river castle theater"
)
THINGS: Final = words(
    "drink book ring basketball computer necklace bone ball letter key cake flower kiss gift bottle hat "
    "camera pencil coin sandwich toy map pear guitar"
)
ANIMALS: Final = words("dog cat bird horse rabbit fox bear mouse duck goat lion wolf frog sheep cow pig")
COLORS: Final = words("red blue green yellow white black brown pink gray purple")
QUALITIES: Final = words("small big old new strange tiny heavy soft round shiny long short")
SEASONS: Final = words("summer winter spring autumn")
