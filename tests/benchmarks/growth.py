"""How the time of a patching grid grows with layers, tokens and pairs of prompts.

    python -m tests.benchmarks.growth

One thing at a time is made larger than in a `resid_pre` grid of 12 layers by 15 positions for one pair. An exponent of
1 means that twice as much takes twice as long. Each layer more is a row more, and makes all rows longer to run: the
fewest operations grow by 2. So do they with positions, as long as attention itself is cheap.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass, replace

from nnsight import NNsight

from tests.benchmarks.cases import Case, gpt2_small
from tests.benchmarks.machine import Machine
from tests.benchmarks.options import add_options, machine_of
from tests.benchmarks.ways import Ours

BASE = Case(15)
LONGEST = replace(BASE, length=240, every=16)


@dataclass(frozen=True)
class Growth:
    """Seconds of two grids, one of which is larger in one thing."""

    what: str
    sizes: tuple[int, int]
    seconds: tuple[float, float]
    operations: tuple[float, float]
    """The fewest that the grids could take."""

    @property
    def exponent(self) -> float:
        return self._exponent(self.seconds)

    @property
    def exponent_of_bound(self) -> float:
        """How the fewest operations grow."""
        return self._exponent(self.operations)

    def _exponent(self, cost: tuple[float, float]) -> float:
        return math.log(cost[1] / cost[0]) / math.log(self.sizes[1] / self.sizes[0])


def measure(machine: Machine, rounds: int) -> list[Growth]:
    cases = {
        "base": BASE,
        "layers": replace(BASE, layers=24),
        "60": replace(BASE, length=60),
        "240": LONGEST,
        "pairs": replace(BASE, pairs=8),
    }
    models = {layers: NNsight(gpt2_small(machine, layers)) for layers in (12, 24)}
    # All cases in every round, so that a machine that slows down slows all of them.
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            (wall, _), _ = machine.timed(Ours(models[case.layers], case))
            # What is sampled stands for the whole grid. Reading both prompts is a small part of it.
            seconds[name].append(wall * case.every)
    medians = {name: statistics.median(walls) for name, walls in seconds.items()}
    fewest = {name: float(case.operations() * case.pairs * case.every) for name, case in cases.items()}

    def growth(what: str, sizes: tuple[int, int], small: str, large: str) -> Growth:
        return Growth(what, sizes, (medians[small], medians[large]), (fewest[small], fewest[large]))

    return [
        growth("layers", (12, 24), "base", "layers"),
        growth("tokens", (15, 60), "base", "60"),
        growth("tokens", (60, 240), "60", "240"),
        growth("pairs", (1, 8), "base", "pairs"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    options = parser.parse_args()
    machine = machine_of(options)
    print(machine.name)
    for row in measure(machine, options.rounds):
        print(
            f"{row.what:<8}{row.sizes[0]:>4} to {row.sizes[1]:<4}{row.seconds[0]:9.2f} s to {row.seconds[1]:8.2f} s   "
            f"exponent {row.exponent:.2f}, of the fewest operations {row.exponent_of_bound:.2f}"
        )


if __name__ == "__main__":
    main()
