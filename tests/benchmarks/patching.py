"""How much faster a patching grid is than the ways in use, in alternating rounds.

    python -m tests.benchmarks.patching
    python -m tests.benchmarks.patching --cases 60 240 --rounds 1
    python -m tests.benchmarks.patching --transformer-lens-python /path/to/other/bin/python

The grids: resid_pre, or z of each head, of a model of GPT-2 small's shape with random weights (float32), 12 layers by
as many positions as the prompts have tokens, by 12 heads, or by both. TransformerLens runs in a Python of its own,
since it pins other versions; to make one:

    python -m venv tl && tl/bin/pip install "transformer-lens>=4"

Seconds are medians, on the wall and of the processor: the second are those to trust on a machine that others share.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from nnsight import NNsight

from tests.benchmarks.cases import Case, gpt2_small, matrix_rate
from tests.benchmarks.transformer_lens import TransformerLens
from tests.benchmarks.ways import BareTorch, Ours, TracePerPatch

CASES = {
    "15": Case(15),
    "15-shared": Case(15, 10),
    "heads": Case(15, axes=("layer", "head")),
    "heads-by-position": Case(15, axes=("layer", "head", "pos")),
    "60": Case(60),
    "240": Case(240),
}
ROOT = Path(__file__).parents[2]

Times = dict[str, list[tuple[float, float]]]
"""Seconds on the wall and of the processor, round by round."""


def timed(run: Callable[[], torch.Tensor]) -> tuple[tuple[float, float], torch.Tensor]:
    wall, processor = time.perf_counter(), time.process_time()
    values = run()
    return (time.perf_counter() - wall, time.process_time() - processor), values


def compare(case: Case, model: NNsight, lens: TransformerLens | None, rounds: int, most: int) -> float:
    """Print how long each way takes, and return the megabytes of TransformerLens."""
    ours, naive = Ours(model, case), TracePerPatch(model, case, most)
    bare = None if case.heads else BareTorch(model, case)
    times: Times = defaultdict(list)
    rates, megabytes = [], 0.0
    for _ in range(rounds):
        rates.append(matrix_rate())
        taken, values = timed(ours)
        times["ours"].append(taken)
        times["first rows"].append((ours.first_row, ours.first_row))
        if bare is not None:
            taken, expected = timed(bare)
            times["the same in bare torch"].append(taken)
            torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)
        (wall, processor), expected = timed(naive)
        times["one trace a patch"].append((wall / naive.share, processor / naive.share))
        compared = ~expected.isnan()
        torch.testing.assert_close(values[compared], expected[compared], atol=1e-4, rtol=0)
        if lens:
            wall, processor, megabytes = lens(case, most)
            times["TransformerLens"].append((wall, processor))
    report(case, times, max(rates))
    return megabytes


def report(case: Case, times: Times, rate: float) -> None:
    print(f"\n{case.name}, {rounds_of(times)} rounds" + " " * 8 + "wall" + " " * 19 + "processor")
    medians = {
        name: tuple(statistics.median(column) for column in zip(*taken, strict=True)) for name, taken in times.items()
    }
    for name, (wall, processor) in medians.items():
        print(
            f"  {name:<24}{wall:9.3f} s {wall / medians['ours'][0]:7.2f}x"
            + (f"{processor:12.3f} s {processor / medians['ours'][1]:7.2f}x" if name != "first rows" else "")
        )
    if case.heads:
        return
    bound = case.operations() / rate
    print(
        f"  fewest operations: {bound:.3f} s at this machine's {rate / 1e9:.0f} GFLOP/s; "
        f"ours takes {medians['ours'][0] / bound:.2f} times as long"
    )


def rounds_of(times: Times) -> int:
    return len(times["ours"])


def import_seconds(rounds: int) -> float:
    code = "import time; t = time.perf_counter(); import interp_widgets; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT) for _ in range(rounds)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def peak_megabytes(way: str, threads: int) -> float:
    """Peak memory of one grid, in a process of its own that has run the model before."""
    code = f"""
import torch
from nnsight import NNsight
from tests.benchmarks import cases, memory, ways
torch.set_num_threads({threads})
case, model = cases.Case(15), NNsight(cases.gpt2_small())
run = {way}
with torch.no_grad():
    model._module(torch.tensor([case.prompts()[0]]))
print(memory.megabytes(run))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["15", "15-shared"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--most",
        type=int,
        default=180,
        help="patches that the ways with one pass a patch run, spread over the grid; the rest is extrapolated",
    )
    parser.add_argument("--transformer-lens-python", default=None, help="the Python that has TransformerLens")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    python = options.transformer_lens_python
    lens = TransformerLens(python, options.threads) if python else None
    model = NNsight(gpt2_small())
    megabytes = {name: compare(CASES[name], model, lens, options.rounds, options.most) for name in options.cases}
    if lens:
        lens.close()
    memory = {
        "ours": peak_megabytes("ways.Ours(model, case)", options.threads),
        "one trace a patch": peak_megabytes("ways.TracePerPatch(model, case, 180)", options.threads),
    }
    if lens and "15" in megabytes:
        memory["TransformerLens"] = megabytes["15"]
    shown = ", ".join(f"{name} {size:.0f} MB" for name, size in memory.items())
    print(f"\npeak memory beside the model, {CASES['15'].name}: {shown}")
    print(f"import interp_widgets: {1000 * import_seconds(options.rounds):.1f} ms")


if __name__ == "__main__":
    main()
