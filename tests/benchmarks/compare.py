"""One case measured: every way in alternation, round by round, and all ways' numbers compared."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from nnsight import NNsight

from tests.benchmarks.cases import Case
from tests.benchmarks.machine import Machine
from tests.benchmarks.transformer_lens import TransformerLens
from tests.benchmarks.ways import BareTorch, Ours, TracePerPatch

OURS, FIRST = "ours", "first rows"
BARE = "the same in bare torch"
NAIVE = "one trace a patch"
LENS = "TransformerLens"


@dataclass(frozen=True)
class Measured:
    """Median seconds of each way, on the wall and of the processor: trust the second on a machine that others share."""

    case: Case
    rounds: int
    seconds: Mapping[str, tuple[float, float]]
    spread: tuple[float, float]
    """The fastest and the slowest round of ours, on the wall."""
    bound: float | None
    """Seconds of the fewest operations at the machine's rate; None where they are not counted."""
    rate: float
    """Operations a second of the machine."""
    lens_megabytes: float
    """Peak memory of TransformerLens beside its model; 0 if it did not run."""

    def times(self, way: str) -> float | None:
        """How many times as long a way takes as ours, on the wall; None if it did not run."""
        return self.seconds[way][0] / self.seconds[OURS][0] if way in self.seconds else None


def compare(
    case: Case, model: NNsight, machine: Machine, lens: TransformerLens | None, rounds: int, most: int
) -> Measured:
    """Run all ways in alternation.

    Args:
        case: what is patched.
        model: of the case's shape.
        machine: where it is.
        lens: TransformerLens, if it is there.
        rounds: how often each way runs.
        most: patches that the ways with one pass a patch run, spread over the grid; the rest is extrapolated.
    """
    ours = Ours(model, case)
    naive = TracePerPatch(model, case, most) if case.pairs == 1 else None
    bare = BareTorch(model, case) if case.pairs == 1 and not case.heads else None
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    rates, megabytes = [], 0.0
    for _ in range(rounds):
        rates.append(machine.matrix_rate())
        taken, values = machine.timed(ours)
        times[OURS].append(taken)
        times[FIRST].append((ours.first_row, ours.first_row))
        if bare is not None:
            taken, expected = machine.timed(bare)
            times[BARE].append(taken)
            _check(values, expected, machine)
        if naive is not None:
            (wall, processor), expected = machine.timed(naive)
            times[NAIVE].append((wall / naive.share, processor / naive.share))
            _check(values, expected, machine)
        if lens is not None and case.pairs == 1:
            wall, processor, megabytes = lens(case, most)
            times[LENS].append((wall, processor))
    medians = {
        way: (statistics.median(wall for wall, _ in taken), statistics.median(processor for _, processor in taken))
        for way, taken in times.items()
    }
    walls = [wall for wall, _ in times[OURS]]
    bound = None if case.heads else case.pairs * case.operations() / max(rates)
    return Measured(case, rounds, medians, (min(walls), max(walls)), bound, max(rates), megabytes)


def _check(values: torch.Tensor, expected: torch.Tensor, machine: Machine) -> None:
    both = ~(values.isnan() | expected.isnan())
    assert both.any()
    torch.testing.assert_close(values[both], expected[both], atol=machine.tolerance, rtol=0)
