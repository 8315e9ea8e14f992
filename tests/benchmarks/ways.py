"""Ways to patch every cell of a grid, each from the two prompts to the numbers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from nnsight import NNsight, save

from interp_widgets.experiments.patching import patching
from interp_widgets.experiments.sweep import Edit, Hosts, Row, sweep
from interp_widgets.models.access import resolve
from interp_widgets.models.opening import open_model
from interp_widgets.models.prefix import Prefix, Recorder
from tests.benchmarks.cases import ANSWER, HEADS, WIDTH, WRONG, Case, Cell, sample


class Ours:
    """`patching` of this package, from its first line to its result."""

    def __init__(self, model: NNsight, case: Case) -> None:
        self.model = model
        pairs = [case.prompts(pair) for pair in range(case.pairs)]
        self.prompts = [list(side) for side in zip(*pairs, strict=True)]
        self.grid: dict[str, Any] = {"sites": "z", "by": case.axes[-1]} if case.heads else {"sites": "resid_pre"}
        if case.every > 1:
            self.grid["positions"] = case.positions
        self.shape = case.shape
        self.first_row = 0.0

    def __call__(self) -> torch.Tensor:
        started = time.perf_counter()
        steps = patching(self.model, *self.prompts, answer=ANSWER, wrong_answer=WRONG, preview=False, **self.grid)
        result = next(steps)
        for count, partial in enumerate(steps):
            result = partial
            if count == 0:
                self.first_row = time.perf_counter() - started
        return torch.tensor(result.value()[0, 0]).reshape(self.shape)


class TracePerPatch:
    """One nnsight trace for each patch, as tutorials do. Cells that are left out are NaN."""

    def __init__(self, model: NNsight, case: Case, most: int) -> None:
        self.model = model
        self.clean, self.corrupt = (torch.tensor([ids], device=model._module.device) for ids in case.prompts())
        self.heads = case.heads
        self.shape = case.shape
        self.cells = sample(case.cells(), most)
        self.share = (len(self.cells) + 1) / (len(case.cells()) + 1)  # with the donor's pass

    def __call__(self) -> torch.Tensor:
        values = torch.full(self.shape, torch.nan)
        with torch.no_grad():
            for cell, logits in self._heads() if self.heads else self._stream():
                values[cell] = logits[ANSWER] - logits[WRONG]
        return values

    def _stream(self) -> Iterator[tuple[Cell, torch.Tensor]]:
        model, blocks = self.model, self.model.transformer.h
        with model.trace(self.clean):
            donors = save([block.input for block in blocks])
        for layer, position in self.cells:
            with model.trace(self.corrupt):
                blocks[layer].input[:, position] = donors[layer][:, position]
                logits = model.output.logits[0, -1].save()
            yield (layer, position), logits

    def _heads(self) -> Iterator[tuple[Cell, torch.Tensor]]:
        model, blocks, width = self.model, self.model.transformer.h, WIDTH // HEADS
        with model.trace(self.clean):
            donors = save([block.attn.c_proj.input for block in blocks])
        for cell in self.cells:
            layer, head = cell[:2]
            at = (slice(None), cell[2] if len(cell) > 2 else slice(None), slice(head * width, (head + 1) * width))
            with model.trace(self.corrupt):
                z = blocks[layer].attn.c_proj.input.clone()
                z[at] = donors[layer][at]
                blocks[layer].attn.c_proj.input = z
                logits = model.output.logits[0, -1].save()
            yield cell, logits


class BareTorch:
    """The same batches as ours, without nnsight, and for one number only: GPT-2's blocks are called one by one."""

    def __init__(self, model: NNsight, case: Case) -> None:
        self.gpt2: Any = model._module
        self.ids = torch.tensor(case.prompts(), device=model._module.device)
        access = resolve(open_model(model))
        runs = access.read(self.ids, ())
        cells = [(layer, position) for layer, position in case.cells() if position >= case.shared]
        rows = [Row(1, (Edit("resid_pre", layer, pos, runs.stream[layer][0, pos]),)) for layer, pos in cells]
        hosts = Hosts(self.ids, runs.stream, runs.past)
        self.batches = [sorted(cells[row] for row in done.rows) for done in sweep(access, hosts, rows)]

    @torch.no_grad()
    def __call__(self) -> torch.Tensor:
        stream: list[torch.Tensor] = []
        past = Recorder()
        hooks = [
            block.register_forward_pre_hook(lambda _block, inputs: stream.append(inputs[0].clone()))
            for block in self.gpt2.transformer.h
        ]
        logits = self.gpt2(self.ids, past_key_values=past, use_cache=True, logits_to_keep=1).logits[:, -1]
        for hook in hooks:
            hook.remove()
        values = (logits[1, ANSWER] - logits[1, WRONG]).float().repeat(len(self.gpt2.transformer.h), self.ids.shape[1])
        for cells in self.batches:
            last = self._wave(cells, stream, past)
            logits = self.gpt2.lm_head(self.gpt2.transformer.ln_f(last))
            layers, positions = zip(*cells, strict=True)
            values[layers, positions] = (logits[:, ANSWER] - logits[:, WRONG]).float()
        return values.cpu()

    def _wave(self, cells: Sequence[Cell], stream: list[torch.Tensor], past: Recorder) -> torch.Tensor:
        first = min(position for _, position in cells)
        length = self.ids.shape[1] - first
        prefix = Prefix(past.past, [1] * len(cells), first)
        mask = torch.ones(length, first + length, dtype=torch.bool, device=self.ids.device).tril(first)[None, None]
        joining: dict[int, list[int]] = defaultdict(list)
        for layer, position in cells:
            joining[layer].append(position)
        rows = stream[0].new_empty(0, length, stream[0].shape[-1])
        for layer in range(cells[0][0], len(self.gpt2.transformer.h)):
            block = self.gpt2.transformer.h[layer]
            joined = stream[layer][1:, first:].repeat(len(joining[layer]), 1, 1)
            for row, position in enumerate(joining[layer]):
                joined[row, position - first] = stream[layer][0, position]
            rows = torch.cat([rows, joined])
            if layer < len(self.gpt2.transformer.h) - 1:
                rows = block(rows, prefix, mask)
        middle = (rows + block.attn(block.ln_1(rows), prefix, mask)[0])[:, -1]
        result: torch.Tensor = middle + block.mlp(block.ln_2(middle))
        return result
