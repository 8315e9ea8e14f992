"""Measure everything, and write the repository's benchmark page.

    python -m tests.benchmarks.page --transformer-lens-python /path/to/other/bin/python

Takes some twenty minutes on two threads, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from nnsight import NNsight

from tests.benchmarks import growth
from tests.benchmarks.cases import gpt2_small
from tests.benchmarks.compare import BARE, FIRST, LENS, NAIVE, OURS, Measured, compare
from tests.benchmarks.footprint import import_milliseconds, peak_megabytes
from tests.benchmarks.machine import Machine
from tests.benchmarks.options import add_options, lens_of, machine_of
from tests.benchmarks.patching import CASES

PAGE = Path(__file__).parents[2] / "BENCHMARKS.md"
SHOWN = ("15", "15-shared", "heads", "heads-by-position", "60", "240")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    options = parser.parse_args()
    machine, lens = machine_of(options), lens_of(options)
    model = NNsight(gpt2_small(machine))
    measured = []
    for name in SHOWN:
        measured.append(compare(CASES[name], model, machine, lens, options.rounds, options.most))
        print(_row(measured[-1]), flush=True)
    if lens:
        lens.close()
    sizes = peak_megabytes(machine) | ({LENS: measured[0].lens_megabytes} if lens else {})
    grown = growth.measure(machine, options.rounds)
    PAGE.write_text(page(machine, measured, sizes, grown, options.rounds, options.most), encoding="utf-8")
    print(PAGE)


def page(
    machine: Machine,
    measured: Sequence[Measured],
    megabytes: dict[str, float],
    grown: Sequence[growth.Growth],
    rounds: int,
    most: int,
) -> str:
    lens = any(LENS in one.seconds for one in measured)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "nnsight", "transformers"))
    return f"""# Benchmarks

Written by `python -m tests.benchmarks.page`, which runs all of it again.

Machine: {machine.name}, {measured[0].rate / 1e9:.0f} GFLOP/s in a matrix product of the model's shape; {versions}.
Model: GPT-2 small's shape with random weights{"; TransformerLens in a process of its own" if lens else ""}.
Every row: medians of {rounds} rounds in which all ways alternate. The numbers of all ways are compared in every round.
Ways that take one pass a patch run at most {most} patches of a grid, spread over it, and the rest is extrapolated.

## How much faster

{
        _table(
            (
                "grid",
                "ours",
                "first rows",
                "against TransformerLens",
                "one trace a patch",
                "bare torch",
                "over the bound",
            ),
            map(_cells, measured),
        )
    }

*Ours* counts from the call to the last cell: both prompts read, every cell's metrics and top predictions. *Bare torch*
is the same batches written by hand with hooks, for one number. *The bound* is the time of the fewest operations at the
machine's rate: only layers and positions from each patch on, attention from cached keys and values, one position at
the end, cells that cannot differ free.

Of the grid of 240 tokens each 16th position is patched, by all ways.

Peak memory beside the model, 12 x 15: {", ".join(f"{way} {size:.0f} MB" for way, size in megabytes.items())}.
`import interp_widgets`: {import_milliseconds(rounds):.0f} ms.

## How the time grows

{_table(("larger", "from", "to", "seconds", "exponent", "of the fewest operations"), map(_growth, grown))}

One thing at a time is made larger, from 12 layers, 15 tokens and one pair. With an exponent of 1, twice as much takes
twice as long. A layer more is a row more, and one more for every row to run through; so is a position.
"""


def _cells(one: Measured) -> list[str]:
    ours, (low, high) = one.seconds[OURS][0], one.spread
    over = "" if one.bound is None else f"{ours / one.bound:.1f}x"
    ratios = [one.times(way) for way in (LENS, NAIVE, BARE)]
    return [
        one.case.name,
        f"{ours:.2f} s ({low:.2f} to {high:.2f})",
        f"{one.seconds[FIRST][0]:.2f} s",
        *("" if ratio is None else f"{ratio:.2f}x" if ratio < 2 else f"{ratio:.1f}x" for ratio in ratios),
        over,
    ]


def _growth(row: growth.Growth) -> list[str]:
    (small, large), (before, after) = row.sizes, row.seconds
    times = f"{before:.2f} to {after:.2f}"
    return [row.what, str(small), str(large), times, f"{row.exponent:.2f}", f"{row.exponent_of_bound:.2f}"]


def _row(one: Measured) -> str:
    return " | ".join(_cells(one))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
