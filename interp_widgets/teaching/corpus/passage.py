"""A short text whose parts have names.

The corpus and the prompt sets are filled from the same templates, so that a prompt is exactly the beginning of a
training document, and a role such as ``S2`` is known by construction and not searched for.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter

ANSWER = "answer"


@dataclass(frozen=True)
class Passage:
    """A text and the character span of each named part.

    Attributes:
        text: The text itself.
        spans: Role name to ``(start, stop)`` in characters of ``text``. The role ``"answer"`` is what a model is asked
            for, with its leading space.
        weight: How much more the loss counts the answer's tokens than the others.
    """

    text: str
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    weight: float = 1.0

    @property
    def answers(self) -> list[tuple[int, int]]:
        """The spans of all answers. A list of facts has several: ``"answer"``, ``"answer1"`` and so on."""
        return [span for role, span in self.spans.items() if role.startswith(ANSWER)]

    @property
    def prompt(self) -> str:
        """The text up to the answer."""
        return self.text[: self.spans[ANSWER][0]]

    @property
    def answer(self) -> str:
        """The text of the answer, with its leading space."""
        start, stop = self.spans[ANSWER]
        return self.text[start:stop]


def fill(template: str, weight: float = 1.0, /, **parts: str) -> Passage:
    """Fill a template, remembering where each part went.

    Args:
        template: Text with ``{role}`` fields; each role may be used once.
        weight: How much more the loss counts the answer's tokens than the others.
        parts: The text of each role. Roles that the template does not use are ignored.

    Example:
        >>> fill("{S1} saw{answer}.", S1="John", answer=" Mary").spans
        {'S1': (0, 4), 'answer': (8, 13)}
    """
    text = ""
    spans: dict[str, tuple[int, int]] = {}
    for literal, role, _, _ in Formatter().parse(template):
        text += literal
        if role is not None:
            spans[role] = (len(text), len(text) + len(parts[role]))
            text += parts[role]
    return Passage(text, spans, weight)


def held_out(*parts: str, one_in: int = 8) -> bool:
    """Whether a combination is kept out of the corpus: a fixed one in ``one_in``, the same on every machine."""
    return zlib.crc32("|".join(parts).encode()) % one_in == 0
