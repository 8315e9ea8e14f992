"""Heads and neurons read and written with plain PyTorch hooks, which know nothing of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from tests.experiments import zoo

Positions = slice | int


class Reference:
    """One family's model, on one prompt at a time."""

    def __init__(self, family: zoo.Family, model: Any) -> None:
        self.family = family
        self.model = model
        self.blocks = list(model.get_submodule(family.blocks))

    def logits(self, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]

    def activations(self, ids: list[int], site: str) -> list[torch.Tensor]:
        """One tensor a layer, (position, head, d_head) or (position, d_mlp)."""
        kept: list[torch.Tensor] = []
        heads = self.count(site)
        with ExitStack() as hooks:
            for layer in range(len(self.blocks)):
                parts: list[torch.Tensor] = []
                if heads is None:
                    hooks.enter_context(self._at(layer, site, 0, lambda part: kept.append(part.clone())))
                    continue
                for head in range(heads):

                    def keep(part: torch.Tensor, parts: list[torch.Tensor] = parts) -> None:
                        parts.append(part.clone())
                        if len(parts) == heads:
                            kept.append(torch.stack(parts, dim=1))

                    hooks.enter_context(self._at(layer, site, head, keep))
            self.logits(ids)
        return kept

    def patched(
        self, ids: list[int], site: str, layer: int, head: int, positions: Positions, value: torch.Tensor
    ) -> torch.Tensor:
        """Logits with one head (or all neurons) of a site replaced at some positions."""

        def put(part: torch.Tensor) -> None:
            part[positions] = value

        with self._at(layer, site, head, put):
            return self.logits(ids)

    def count(self, site: str) -> int | None:
        if site == "mlp_post":
            return None
        return self.family.kv_heads if site in ("k", "v") else self.family.heads

    @contextmanager
    def _at(self, layer: int, site: str, head: int, act: Callable[[torch.Tensor], Any]) -> Iterator[None]:
        """Let `act` see, and change in place, a head's own numbers, (position, d_head)."""
        module, columns, at_input = self._place(layer, site, head)

        def on_input(_module: nn.Module, args: Any) -> Any:
            changed = args[0].clone()
            act(changed.reshape(-1, changed.shape[-1])[:, columns])
            return (changed, *args[1:])

        def on_output(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
            changed = output.clone()
            act(changed[0][:, columns])
            return changed

        handle = module.register_forward_pre_hook(on_input) if at_input else module.register_forward_hook(on_output)
        try:
            yield
        finally:
            handle.remove()

    def _place(self, layer: int, site: str, head: int) -> tuple[nn.Module, slice, bool]:
        """The module that handles a head, at which of its columns, and whether those are of its input."""
        family, block = self.family, self.blocks[layer]
        if site == "mlp_post":
            return block.get_submodule(family.down), slice(None), True
        attention = block.get_submodule(family.attention)
        width = family.d_head
        if site == "z":
            return attention.get_submodule(family.out), slice(head * width, (head + 1) * width), True
        kind = "qkv".index(site)
        if family.layout == "apart":
            return attention.get_submodule(family.qkv[kind]), slice(head * width, (head + 1) * width), False
        if family.layout == "stacked":
            start = (0, family.heads, family.heads + family.kv_heads)[kind] + head
        else:
            group = family.heads // family.kv_heads
            query = (head // group) * (group + 2) + head % group
            start = query if site == "q" else head * (group + 2) + group + kind - 1
        return attention.get_submodule(family.qkv[0]), slice(start * width, (start + 1) * width), False


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Attention that is written out, so that its softmax can be watched."""
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"  # by its method, Falcon would stay as it is
    try:
        yield
    finally:
        model.config._attn_implementation = before


class Softmax:
    """The attention probabilities of one layer, read or replaced where the model's own eager code takes a softmax."""

    def __init__(self, reference: Reference, layer: int, act: Callable[[torch.Tensor], Any]) -> None:
        self.attention = reference.blocks[layer].get_submodule(reference.family.attention)
        self.act = act

    @contextmanager
    def watched(self) -> Iterator[None]:
        true = torch.nn.functional.softmax
        inside = False

        def enter(*_: Any) -> None:
            nonlocal inside
            inside = True

        def leave(*_: Any) -> None:
            nonlocal inside
            inside = False

        def softmax(*args: Any, **kwargs: Any) -> torch.Tensor:
            probabilities = true(*args, **kwargs).clone()
            if inside:
                self.act(probabilities[0, :, :, : probabilities.shape[2]])  # without a sink's column
            return probabilities

        handles = [self.attention.register_forward_pre_hook(enter), self.attention.register_forward_hook(leave)]
        torch.nn.functional.softmax = softmax
        try:
            yield
        finally:
            torch.nn.functional.softmax = true
            for handle in handles:
                handle.remove()
