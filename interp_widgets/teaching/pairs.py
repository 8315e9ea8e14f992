"""Prompt sets: what an experiment on the teaching model starts from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Span = tuple[int, int]
"""First token and one past the last token."""


@dataclass(frozen=True)
class PromptPair:
    """A prompt, and one like it that asks for something else.

    Both have the same number of tokens and differ in as few as the task allows, so that an activation at a position of
    one can be put at the same position of the other.

    Attributes:
        clean: The prompt.
        corrupt: The prompt whose answer is different.
        answer: The token that continues ``clean``, with its leading space if it has one.
        wrong_answer: A token that ``clean`` rules out and ``corrupt`` allows; for most tasks it is what continues
            ``corrupt``.
        roles: What the tokens of ``clean`` are for: role to ``(start, stop)``. ``END`` is the last token.
        corrupt_roles: The same for ``corrupt``.
    """

    clean: str
    corrupt: str
    answer: str
    wrong_answer: str
    roles: Mapping[str, Span] = field(hash=False)
    corrupt_roles: Mapping[str, Span] = field(hash=False)


@dataclass(frozen=True)
class PromptSet:
    """Pairs of one task, all of the same number of tokens, with the same roles.

    Attributes:
        name: The task, such as ``"ioi"``.
        description: What the task asks, and how the two prompts of a pair differ.
        pairs: The pairs.

    Example:
        >>> from interp_widgets import teaching
        >>> pairs = teaching.prompts("ioi", n=4)
        >>> len(pairs.clean), len(pairs.answers)
        (4, 4)
    """

    name: str
    description: str
    pairs: tuple[PromptPair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[PromptPair]:
        return iter(self.pairs)

    def __getitem__(self, index: int) -> PromptPair:
        return self.pairs[index]

    @property
    def clean(self) -> list[str]:
        """The clean prompts."""
        return [pair.clean for pair in self.pairs]

    @property
    def corrupt(self) -> list[str]:
        """The corrupt prompts."""
        return [pair.corrupt for pair in self.pairs]

    @property
    def answers(self) -> list[str]:
        """The answers to the clean prompts."""
        return [pair.answer for pair in self.pairs]

    @property
    def wrong_answers(self) -> list[str]:
        """The wrong answers."""
        return [pair.wrong_answer for pair in self.pairs]
