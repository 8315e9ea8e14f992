"""Activation patching by TransformerLens in a process of its own, since it pins other versions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.benchmarks import memory
from tests.benchmarks.cases import ANSWER, WRONG, Case, sample
from tests.benchmarks.machine import Machine

_SERVER = f"""
import json, sys, tempfile, time
import pandas as pd
import torch
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformer_lens import TransformerBridge, patching
torch.set_num_threads(int(sys.argv[1]))
device, dtype = sys.argv[2], getattr(torch, sys.argv[3])
torch.manual_seed(0)
gpt2 = GPT2LMHeadModel(GPT2Config()).eval().to(device, dtype)
# The bridge insists on a tokenizer in a folder, though only ids are passed.
end = "<|endoftext|>"
folder = tempfile.mkdtemp()
gpt2.config.save_pretrained(folder)
words = Tokenizer(models.WordLevel({{end: 0}}, unk_token=end))
PreTrainedTokenizerFast(tokenizer_object=words, bos_token=end, eos_token=end).save_pretrained(folder)
model = TransformerBridge.boot_transformers(
    folder, hf_model=gpt2, tokenizer=AutoTokenizer.from_pretrained(folder), device=device, dtype=dtype)
for line in sys.stdin:
    clean, corrupt, axes, cells, share = json.loads(line)
    clean, corrupt = torch.tensor([clean], device=device), torch.tensor([corrupt], device=device)
    setter = {{
        ("layer", "pos"): patching.layer_pos_patch_setter,
        ("layer", "head"): patching.layer_head_vector_patch_setter,
        ("layer", "head", "pos"): patching.layer_pos_head_vector_patch_setter,
    }}[tuple(axes)]
    site = "z" if "head" in axes else "resid_pre"
    cells = pd.DataFrame(cells, columns=axes)[[axis for axis in ("layer", "pos", "head") if axis in axes]]
    def run():
        with torch.no_grad():
            _, cache = model.run_with_cache(clean)
            patching.generic_activation_patch(
                model, corrupt, cache, lambda logits: logits[0, -1, {ANSWER}] - logits[0, -1, {WRONG}],
                setter, site, index_df=cells)

    wall, processor = time.perf_counter(), time.process_time()
    used = megabytes(run, device)
    print("@", (time.perf_counter() - wall) / share, (time.process_time() - processor) / share, used, flush=True)
"""


class TransformerLens:
    """Waits idle while others run. Each call returns seconds on the wall and of the processor, and megabytes."""

    def __init__(self, python: str, machine: Machine) -> None:
        code = Path(memory.__file__).read_text(encoding="utf-8") + _SERVER
        self.process = subprocess.Popen(
            [python, "-W", "ignore", "-c", code, str(machine.threads), machine.device, str(machine.dtype)[6:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, case: Case, most: int) -> tuple[float, float, float]:
        """Time a grid, or as much of it as `most` says; every patch is one pass, so the rest is extrapolated."""
        cells = sample(case.cells(), most)
        share = (len(cells) + 1) / (len(case.cells()) + 1)  # with the donor's pass
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([*case.prompts(), case.axes, cells, share]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("@ "):  # the library may say other things on its way
                wall, processor, megabytes = (float(number) for number in line[2:].split())
                return wall, processor, megabytes
        raise RuntimeError("the process of TransformerLens ended: is transformer-lens installed there?")

    def close(self) -> None:
        self.process.communicate()
