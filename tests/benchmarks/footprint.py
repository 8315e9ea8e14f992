"""What the package takes beside time: memory at its peak, and its import."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.compare import NAIVE, OURS
from tests.benchmarks.machine import Machine

ROOT = Path(__file__).parents[2]
_WAYS = {OURS: "ways.Ours(model, case)", NAIVE: "ways.TracePerPatch(model, case, 180)"}


def peak_megabytes(machine: Machine) -> dict[str, float]:
    """Peak memory of a 12 x 15 grid, each way in a process of its own that has run the model before."""
    return {way: _peak(code, machine) for way, code in _WAYS.items()}


def _peak(way: str, machine: Machine) -> float:
    code = f"""
import torch
from nnsight import NNsight
from tests.benchmarks import cases, machine, memory, ways
torch.set_num_threads({machine.threads})
here = machine.Machine({machine.device!r}, {machine.dtype}, {machine.threads})
case, model = cases.Case(15), NNsight(cases.gpt2_small(here))
run = {way}
with torch.no_grad():
    model._module(torch.tensor([case.prompts()[0]], device=here.device))
print(memory.megabytes(run, here.device))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return float(run.stdout)


def import_milliseconds(rounds: int) -> float:
    """How long importing the package takes, the median of some processes."""
    code = "import time; t = time.perf_counter(); import interp_widgets; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT) for _ in range(rounds)
    ]
    return 1000 * statistics.median(float(run.stdout) for run in runs)
