"""Tokens as people read them, and the alignment of two prompts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_MARKS = {" ": "␣", "\n": "↵", "\r": "␍", "\t": "⇥", "\u00a0": "⍽", "\u200b": "⟨ZWSP⟩", "\ufeff": "⟨BOM⟩"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_JOINERS = {"\u200c", "\u200d"}


def visible(text: str | bytes) -> str:
    """Make white space, control characters and half characters visible.

    Space is `␣`, a line feed `↵`, a tab `⇥`. Characters that draw nothing or reorder text (such as the right-to-left
    override) become their code point, and bytes that are no whole character become `⟨E2 80⟩`. Letters, marks and
    emoji of any script stay as they are. Joiners inside a word stay too, since scripts and emoji need them.

    >>> visible(" Mary"), visible(b"\\xe2\\x80"), visible("a\\u202eb")
    ('␣Mary', '⟨E2 80⟩', 'a⟨U+202E⟩b')
    """
    if isinstance(text, bytes):
        return _visible_bytes(text)
    if not text:
        return "⟨empty⟩"
    return "".join(_visible_character(character, alone=len(text) == 1) for character in text)


def _visible_character(character: str, *, alone: bool) -> str:
    mark = _MARKS.get(character)
    if mark is not None:
        return mark
    if character in _JOINERS and not alone:
        return character
    if unicodedata.category(character) in _HIDDEN:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _visible_bytes(raw: bytes) -> str:
    parts: list[str] = []
    while raw:
        try:
            parts.append(visible(raw.decode()))
            break
        except UnicodeDecodeError as error:
            if error.start:
                parts.append(visible(raw[: error.start].decode()))
            parts.append("⟨" + " ".join(f"{byte:02X}" for byte in raw[error.start : error.end]) + "⟩")
            raw = raw[error.end :]
    return "".join(parts) or "⟨empty⟩"


@dataclass(frozen=True)
class Token:
    """One token of a vocabulary: its id and its label, with white space made visible."""

    id: int
    label: str

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Tokens:
    """A tokenised prompt: ids, and one label for each as people read it. Both have the same length."""

    ids: tuple[int, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.labels):
            raise ValueError(f"{len(self.ids)} ids but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> Token:
        return Token(self.ids[position], self.labels[position])


def shared_prefix(clean: Sequence[int], corrupt: Sequence[int]) -> int:
    """Count the leading tokens on which both prompts agree.

    >>> shared_prefix([5, 6, 7], [5, 6, 8])
    2
    """
    count = 0
    for left, right in zip(clean, corrupt, strict=False):
        if left != right:
            break
        count += 1
    return count


def differing(clean: Tokens, corrupt: Tokens) -> tuple[int, ...]:
    """Positions at which two prompts of equal length hold different tokens."""
    pairs = zip(clean.ids, corrupt.ids, strict=True)
    return tuple(position for position, (left, right) in enumerate(pairs) if left != right)


def describe_difference(clean: Tokens, corrupt: Tokens) -> str:
    """Lay two tokenised prompts side by side, with what differs in brackets: for an error message.

    >>> clean, corrupt = Tokens((1, 2), ("The", "␣cat")), Tokens((1, 3, 4), ("The", "␣ele", "phant"))
    >>> print(describe_difference(clean, corrupt))
    clean   (2 tokens): The [␣cat]
    corrupt (3 tokens): The [␣ele phant]
    """
    left: list[str] = []
    right: list[str] = []
    matcher = SequenceMatcher(a=clean.ids, b=corrupt.ids, autojunk=False)
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        for side, labels in ((left, clean.labels[a0:a1]), (right, corrupt.labels[b0:b1])):
            words = " ".join(labels)
            side.append(_shorten(labels) if kind == "equal" else f"[{words}]")
    return f"clean   ({len(clean)} tokens): {' '.join(left)}\ncorrupt ({len(corrupt)} tokens): {' '.join(right)}"


def _shorten(labels: Sequence[str], keep: int = 4) -> str:
    if len(labels) <= 2 * keep + 1:
        return " ".join(labels)
    return f"{' '.join(labels[:keep])} … {' '.join(labels[-keep:])}"
