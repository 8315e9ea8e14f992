"""Choose among trained seeds by what they show, and install the winner.

python -m interp_widgets.teaching.choose --runs runs            # measure and compare
python -m interp_widgets.teaching.choose --runs runs --install  # and put the winner into the package
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import card
from .data import FOLDER
from .loading import read_network
from .measure import Figure, measure_all
from .rows import BATCH_TOKENS

FLOORS: Final = {
    "ioi.held_out_pairs.accuracy": 0.97,
    "ioi.unseen_names.accuracy": 0.85,
    "facts.held_out.accuracy": 0.95,
    "greater_than.valid_mass": 0.85,
    "refusal.held_out_requests.accuracy": 0.97,
    "refusal.unseen_words.accuracy": 0.8,
    "induction.accuracy": 0.95,
    "sentiment.held_out.accuracy": 0.97,
    "gender.held_out.accuracy": 0.95,
    "agreement.held_out.accuracy": 0.95,
}
"""Behaviour that every candidate must reach."""

BARS: Final = {"name movers": 0.5, "facts at the last subject token": 0.5, "refusal without its direction": 0.9}
"""From which mark on a circuit counts as shown."""

_FILES: Final = ("model.safetensors", "config.json", "tokenizer.json")


@dataclass(frozen=True)
class Candidate:
    """A trained seed and how it does.

    Attributes:
        folder: Its files.
        figures: Everything measured on it.
        marks: One number of 0 to 1 for each circuit in ``BARS``.
        below: Behaviours under their floor.
    """

    folder: Path
    figures: Mapping[str, Figure]
    marks: Mapping[str, float]
    below: tuple[str, ...]

    @property
    def seed(self) -> int:
        """The seed it was trained from."""
        return int(json.loads((self.folder / "curves.json").read_text())["seed"])

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Behaviour first, then how many circuits are shown, then how clearly."""
        shown = sum(mark >= BARS[name] for name, mark in self.marks.items())
        return (not self.below, shown, sum(self.marks.values()))


def judge(folder: Path) -> Candidate:
    """Measure one seed's files and give its marks."""
    figures = measure_all(folder)

    def best(pattern: str, layers: Sequence[int]) -> float:
        return max(figures[pattern.format(layer)].value for layer in layers)

    projected = min(figures[f"refusal.direction.L{layer}.projected_out"].value for layer in (1, 2, 3))
    marks = {
        "name movers": figures["ioi.name_mover_gap"].value,
        # Before block 0 the last word is the same in both prompts; after the last block only the end matters.
        "facts at the last subject token": best("facts.city_unlike.stream.subject_last.L{}", (1, 2, 3)),
        "refusal without its direction": 1 - projected,
    }
    below = tuple(name for name, floor in FLOORS.items() if figures[name].value < floor)
    return Candidate(folder, figures, marks, below)


def choose(folders: Sequence[Path]) -> tuple[Candidate, list[Candidate]]:
    """The winner, and all candidates from best to worst."""
    ranked = sorted((judge(folder) for folder in folders), key=lambda candidate: candidate.rank, reverse=True)
    return ranked[0], ranked


def install(winner: Candidate, ranked: Sequence[Candidate]) -> None:
    """Copy the winner's files into the package and write its card."""
    FOLDER.mkdir(exist_ok=True)
    for name in _FILES:
        shutil.copyfile(winner.folder / name, FOLDER / name)
    curves = json.loads((winner.folder / "curves.json").read_text())
    compared = [
        {"seed": each.seed, "marks": dict(each.marks), "behaviours_below_floor": list(each.below)} for each in ranked
    ]
    network = read_network(winner.folder)
    counts = {
        "seed": winner.seed,
        "steps": curves["steps"],
        "tokens": curves["steps"] * BATCH_TOKENS,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "vocabulary": network.config.vocab_size,
    }
    card.write(card.make(winner.figures, counts=counts, compared=compared))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m interp_widgets.teaching.choose", description=choose.__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="folder that holds seed0, seed1, ...")
    parser.add_argument("--install", action="store_true", help="put the winner and its card into the package")
    given = parser.parse_args(arguments)
    folders = sorted(path.parent for path in given.runs.glob("seed*/model.safetensors"))
    if not folders:
        parser.error(f"no finished run in {given.runs}: expected seed*/model.safetensors")
    winner, ranked = choose(folders)
    for each in ranked:
        marks = "  ".join(f"{name} {mark:.2f}" for name, mark in each.marks.items())
        print(f"seed {each.seed}:  {marks}  behaviours below floor: {', '.join(each.below) or 'none'}")
    print(f"seed {winner.seed} wins: first behaviours at their floors, then circuits at their bars, then the marks.")
    if given.install:
        install(winner, ranked)


if __name__ == "__main__":
    main()
