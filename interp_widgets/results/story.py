"""The words of an experiment: what it asks, what was done in a cell, and what 0 and 1 mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import Template
from typing import Literal

from interp_widgets.results.terms import Ablation, Direction


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
    noun: str = "pair"
    """What the axis of prompts counts: "pair", "prompt" or "sample"."""
    remedy: str = "Choose prompts or answers that the model tells apart"
    """What to do where both sides score the same, or nearly so."""

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


def causal_trace_story() -> Story:
    """The words of a causal trace: activations restored while there is noise on the subject."""
    return Story(
        question="Where does the model recall $answer?",
        question_of_several="Where does the model recall the answer?",
        cell="Each cell is one run with noise on the subject, in which one activation is restored from the clean run. "
        "1 = the whole answer is back, 0 = no change.",
        label="causal trace: clean → noised",
        deed="Restoring $what from the clean run",
        negative="pushes the answer further away",
        positive="restores the answer",
        sides=("clean", "noised"),
        host=1,
        averaging="values",
        noun="sample",
        remedy="Choose a subject that the answer depends on, or more noise",
    )


def ablation_story(how: Ablation) -> Story:
    """The words of ablation."""
    deed, done = {
        "zero": ("Setting $what to zero", "set to zero"),
        "mean": ("Replacing $what by the mean over reference prompts", "replaced by its mean over reference prompts"),
        "resample": ("Replacing $what by that of another prompt", "replaced by that of another prompt"),
    }[how]
    return Story(
        question="What does the model need to say $answer rather than $wrong_answer?",
        question_of_several="What does the model need to prefer the answer?",
        cell=f"Each cell is one run of the prompt with one activation {done}. "
        "1 = as if every token were equally likely, 0 = no change.",
        label=f"{how} ablation",
        deed=deed,
        negative="strengthens the answer",
        positive="weakens the answer",
        sides=("intact", "uniform prediction"),
        host=0,
        noun="prompt",
        remedy="Choose a prompt or an answer that the model is surer of",
    )


def latent_story(direction: Direction, dictionary: str) -> Story:
    """The words of patching single latents between a clean and a corrupt run."""
    story = patching_story(direction)
    host, donor = (story.sides[side] for side in (story.host, story.donor))
    return replace(
        story,
        question="Which latents make the model say $answer rather than $wrong_answer?",
        question_of_several="Which latents make the model prefer the answer?",
        cell=f"Each cell is one run of the {host} prompt in which one latent of {dictionary} has the activation that "
        f"it has in the {donor} run; the other latents and the dictionary's error stay. "
        + story.cell.partition(". ")[2],
        label=f"latents, {story.label}",
    )


def path_story(direction: Direction, receivers: str) -> Story:
    """The words of path patching from each sender into receivers, such as "q of head 9.6"."""
    story = patching_story(direction)
    host, donor = (story.sides[side] for side in (story.host, story.donor))
    arrow = f"{donor} → {host}"
    effect = (
        "1 = as if the whole prompt were clean"
        if direction == "denoising"
        else "1 = as bad as if the whole prompt were corrupt"
    )
    return replace(
        story,
        question=f"What moves $answer over $wrong_answer by way of {receivers}?",
        question_of_several=f"What moves the answer by way of {receivers}?",
        cell=f"Each cell is one run of the {host} prompt in which {receivers} read the stream as if one sender alone "
        f"were as in the {donor} run; no other path carries the change. {effect}, 0 = no change.",
        label=f"path {direction}: {arrow}, into {receivers}",
        deed=f"Sending $what of the {donor} run into {receivers}",
    )
