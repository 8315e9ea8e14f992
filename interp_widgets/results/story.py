"""The words of an experiment: what it asks, what was done in a cell, and what 0 and 1 mean."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import Literal

from interp_widgets.results.terms import Direction


@dataclass(frozen=True)
class Story:
    """What a reader is told about a grid. All texts are plain; `$answer`, `$wrong_answer` and `$what` are filled in."""

    question: str
    """The title, with $answer and $wrong_answer."""
    question_of_several: str
    """The title where pairs have different answers."""
    cell: str
    """What one cell is, and what its 0 and 1 mean."""
    label: str
    """The experiment in a few words, such as "denoising: clean → corrupt"."""
    deed: str
    """What was done in a cell, with $what for the activation: "Copying $what from the clean run"."""
    negative: str
    """What an effect below 0 means."""
    positive: str
    """What an effect above 0 means."""
    sides: tuple[str, str]
    """What the two baselines are called: for patching, the clean and the corrupt run."""
    host: Literal[0, 1]
    """Which of the two is the unedited run that every cell starts from: an effect of 0. The other one is 1."""
    averaging: Literal["shares", "values"] = "shares"
    """Over several pairs: the mean of their shares of the gap, or the share of the mean gap, for samples of noise."""

    @property
    def donor(self) -> Literal[0, 1]:
        """The baseline that is an effect of 1."""
        return 0 if self.host else 1

    def title(self, answers: set[tuple[str, str]]) -> str:
        """The question, for the labels of the answer and the wrong answer of each pair.

        Where it would name several answers, or one answer rather than itself, it names none.
        """
        if "$wrong_answer" in self.question and any(answer == wrong for answer, wrong in answers):
            return self.question_of_several
        titles = {
            Template(self.question).safe_substitute(answer=answer.strip("␣"), wrong_answer=wrong_answer.strip("␣"))
            for answer, wrong_answer in answers
        }
        return titles.pop() if len(titles) == 1 else self.question_of_several


def patching_story(direction: Direction) -> Story:
    """The words of activation patching between a clean and a corrupt run."""
    sides = ("clean", "corrupt")
    if direction == "denoising":
        return Story(
            question="Where is what makes the model say $answer rather than $wrong_answer?",
            question_of_several="Where is what makes the model prefer the answer?",
            cell="Each cell is one run of the corrupt prompt with one activation copied from the clean run. "
            "1 = as if the whole prompt were clean, 0 = no change.",
            label="denoising: clean → corrupt",
            deed="Copying $what from the clean run",
            negative="pushes back",
            positive="restores the clean answer",
            sides=sides,
            host=1,
        )
    return Story(
        question="Where is what the model needs to say $answer rather than $wrong_answer?",
        question_of_several="Where is what the model needs to prefer the answer?",
        cell="Each cell is one run of the clean prompt with one activation copied from the corrupt run. "
        "1 = as bad as if the whole prompt were corrupt, 0 = no change.",
        label="noising: corrupt → clean",
        deed="Copying $what from the corrupt run",
        negative="strengthens the answer",
        positive="breaks the answer",
        sides=sides,
        host=0,
    )
