"""How much faster a patching grid is than the ways in use, in alternating rounds.

    python -m tests.benchmarks.patching
    python -m tests.benchmarks.patching --cases 60 240 --rounds 1
    python -m tests.benchmarks.patching --transformer-lens-python /path/to/other/bin/python
    python -m tests.benchmarks.patching --device cuda --dtype bfloat16

The grids: resid_pre, or z of each head, of a model of GPT-2 small's shape with random weights, 12 layers by as many
positions as the prompts have tokens, by 12 heads, or by both. TransformerLens runs in a Python of its own, since it
pins other versions; to make one:

    python -m venv tl && tl/bin/pip install "transformer-lens>=4"

`python -m tests.benchmarks.page` runs all of it and writes BENCHMARKS.md.
"""

from __future__ import annotations

import argparse

from nnsight import NNsight

from tests.benchmarks.cases import Case, gpt2_small
from tests.benchmarks.compare import FIRST, OURS, Measured, compare
from tests.benchmarks.footprint import import_milliseconds, peak_megabytes
from tests.benchmarks.options import add_options, lens_of, machine_of

CASES = {
    "15": Case(15),
    "15-shared": Case(15, 10),
    "heads": Case(15, axes=("layer", "head")),
    "heads-by-position": Case(15, axes=("layer", "head", "pos")),
    "60": Case(60),
    "240": Case(240, every=16),
    "240-whole": Case(240),
}


def report(measured: Measured) -> None:
    print(f"\n{measured.case.name}, {measured.rounds} rounds" + " " * 8 + "wall" + " " * 19 + "processor")
    ours = measured.seconds[OURS]
    for way, (wall, processor) in measured.seconds.items():
        print(
            f"  {way:<24}{wall:9.3f} s {wall / ours[0]:7.2f}x"
            + (f"{processor:12.3f} s {processor / ours[1]:7.2f}x" if way != FIRST else "")
        )
    if measured.bound is not None:
        print(
            f"  fewest operations: {measured.bound:.3f} s at this machine's {measured.rate / 1e9:.0f} GFLOP/s; "
            f"ours takes {ours[0] / measured.bound:.2f} times as long"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["15", "15-shared"])
    add_options(parser)
    options = parser.parse_args()
    machine, lens = machine_of(options), lens_of(options)
    print(machine.name)
    model = NNsight(gpt2_small(machine))
    for name in options.cases:
        measured = compare(CASES[name], model, machine, lens, options.rounds, options.most)
        report(measured)
        if name == "15":
            sizes = peak_megabytes(machine) | ({"TransformerLens": measured.lens_megabytes} if lens else {})
            shown = ", ".join(f"{way} {size:.0f} MB" for way, size in sizes.items())
            print(f"  peak memory beside the model: {shown}")
    if lens:
        lens.close()
    print(f"\nimport interp_widgets: {import_milliseconds(options.rounds):.1f} ms")


if __name__ == "__main__":
    main()
