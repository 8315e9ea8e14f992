"""Where the files of the teaching model lie, and its tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER: Final = Path(__file__).parent / "data"
SAE_FOLDER: Final = FOLDER / "sae"
CARD: Final = Path(__file__).parent / "card.json"
CARD_PAGE: Final = Path(__file__).parent / "MODEL_CARD.md"


@cache
def bundled_tokenizer() -> Tokenizer:
    """The tokenizer of the teaching model, as the ``tokenizers`` library has it."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
