"""How much faster a patching grid is than the ways in use, in alternating rounds.

    python -m tests.benchmarks.patching
    python -m tests.benchmarks.patching --transformer-lens-python /path/to/other/bin/python

The grid: resid_pre of a model of GPT-2 small's shape with random weights (float32), 12 layers by 15 positions of which
every one differs. TransformerLens runs in a Python of its own, since it pins other versions; to make one:

    python -m venv tl && tl/bin/pip install "transformer-lens>=4"
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

LENGTH, LAYERS, VOCAB = 15, 12, 50257
SEED = 0


def prompts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    clean = torch.randint(0, VOCAB, (1, LENGTH), generator=generator)
    return clean, (clean + 1 + torch.randint(0, 1000, (1, LENGTH), generator=generator)) % VOCAB


def gpt2_small() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(SEED)
    return GPT2LMHeadModel(GPT2Config()).eval()


class Ours:
    """`patching` of this package, from its first line to its result."""

    def __init__(self) -> None:
        from nnsight import NNsight

        self.model = NNsight(gpt2_small())
        self.clean, self.corrupt = (ids[0].tolist() for ids in prompts())
        self.first_row = 0.0

    def __call__(self) -> torch.Tensor:
        from interp_widgets.experiments.patching import patching

        started = time.perf_counter()
        steps = patching(self.model, self.clean, self.corrupt, answer=11, wrong_answer=27)
        result = next(steps)
        for count, partial in enumerate(steps):
            result = partial
            if count == 0:
                self.first_row = time.perf_counter() - started
        return torch.tensor(result.value()[0, 0])


class TracePerPatch:
    """One nnsight trace for each patch, as tutorials do."""

    def __init__(self, ours: Ours) -> None:
        self.model = ours.model
        self.clean, self.corrupt = prompts()

    def __call__(self) -> torch.Tensor:
        from nnsight import save

        model, blocks = self.model, self.model.transformer.h
        values = torch.zeros(LAYERS, LENGTH)
        with torch.no_grad():
            with model.trace(self.clean):
                donors = save([block.input for block in blocks])
            for layer in range(LAYERS):
                for position in range(LENGTH):
                    with model.trace(self.corrupt):
                        blocks[layer].input[:, position] = donors[layer][:, position]
                        logits = model.output.logits[0, -1].save()
                    values[layer, position] = logits[11] - logits[27]
        return values


_MEMORY = """
import os, threading

def megabytes(run):
    \"\"\"Memory that a run takes beside what the process holds before it, at its peak.\"\"\"
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    resident = lambda: int(open("/proc/self/statm").read().split()[1]) * page
    before = peak = resident()
    done = threading.Event()
    def watch():
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident())
    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    done.set()
    watcher.join()
    return peak - before
"""

_TRANSFORMER_LENS = (
    _MEMORY
    + """
import json, sys, tempfile, time
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformer_lens import TransformerBridge, patching
torch.set_num_threads(int(sys.argv[1]))
clean, corrupt = (torch.tensor([ids]) for ids in json.loads(sys.argv[2]))
clock = getattr(time, sys.argv[3])
torch.manual_seed(0)
gpt2 = GPT2LMHeadModel(GPT2Config()).eval()
# The bridge insists on a tokenizer in a folder, though only ids are passed.
end = "<|endoftext|>"
folder = tempfile.mkdtemp()
gpt2.config.save_pretrained(folder)
words = Tokenizer(models.WordLevel({end: 0}, unk_token=end))
PreTrainedTokenizerFast(tokenizer_object=words, bos_token=end, eos_token=end).save_pretrained(folder)
model = TransformerBridge.boot_transformers(
    folder, hf_model=gpt2, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu")
def run():
    with torch.no_grad():
        _, cache = model.run_with_cache(clean)
        patching.get_act_patch_resid_pre(model, corrupt, cache, lambda logits: logits[0, -1, 11] - logits[0, -1, 27])
print("@", megabytes(run), flush=True)
for line in sys.stdin:
    started = clock()
    run()
    print("@", clock() - started, flush=True)
"""
)


class TransformerLens:
    """`get_act_patch_resid_pre` of TransformerLens in its own process, which waits idle while others run."""

    def __init__(self, python: str, threads: int, clock: str) -> None:
        ids = json.dumps([ids[0].tolist() for ids in prompts()])
        self.process = subprocess.Popen(
            [python, "-W", "ignore", "-c", _TRANSFORMER_LENS, str(threads), ids, clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.megabytes = self._read()

    def seconds(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> float:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@ "):  # the library may say other things on its way
                return float(line[2:])
        raise RuntimeError("the process of TransformerLens ended: is transformer-lens installed there?")

    def close(self) -> None:
        self.process.communicate()


def timed(run: Callable[[], torch.Tensor], clock: Callable[[], float]) -> tuple[float, torch.Tensor]:
    started = clock()
    values = run()
    return clock() - started, values


def import_seconds(rounds: int) -> float:
    code = "import time; t = time.perf_counter(); import interp_widgets; print(time.perf_counter() - t)"
    root = Path(__file__).parents[2]
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root) for _ in range(rounds)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def megabytes(name: str, threads: int) -> float:
    """Peak memory of one run, in a process of its own that has run the model before."""
    code = f"""{_MEMORY}
import torch
from tests.benchmarks import patching
torch.set_num_threads({threads})
ours = patching.Ours()
run = ours if {name!r} == "ours" else patching.TracePerPatch(ours)
with torch.no_grad():
    ours.model._module(torch.tensor([ours.clean]))
print(megabytes(run))
"""
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cpu-seconds", action="store_true", help="time the processor, for a machine that others share"
    )
    parser.add_argument("--transformer-lens-python", default=None, help="the Python that has TransformerLens")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock_name = "process_time" if options.cpu_seconds else "perf_counter"
    clock = getattr(time, clock_name)

    ours = Ours()
    naive = TracePerPatch(ours)
    timed(ours, clock)  # a warm-up
    python = options.transformer_lens_python
    lens = TransformerLens(python, options.threads, clock_name) if python else None
    seconds: dict[str, list[float]] = {"ours": [], "first row": [], "one trace a patch": [], "TransformerLens": []}
    for _ in range(options.rounds):
        taken, values = timed(ours, clock)
        seconds["ours"].append(taken)
        seconds["first row"].append(ours.first_row)
        taken, expected = timed(naive, clock)
        seconds["one trace a patch"].append(taken)
        if lens:
            seconds["TransformerLens"].append(lens.seconds())
        torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)
    if lens:
        lens.close()
    medians = {name: statistics.median(runs) for name, runs in seconds.items() if runs}
    for name, median in medians.items():
        ratio = median / medians["ours"]
        print(f"{name:<20} {median:8.3f} s  {ratio:6.2f}x")
    memory = {name: megabytes(name, options.threads) for name in ("ours", "one trace a patch")}
    if lens:
        memory["TransformerLens"] = lens.megabytes
    shown = ", ".join(f"{name} {size:.0f} MB" for name, size in memory.items())
    print(f"peak memory beside the model: {shown}")
    print(f"import interp_widgets: {1000 * import_seconds(options.rounds):.1f} ms")


if __name__ == "__main__":
    main()
