"""Small dictionaries whose every number is known, and a model's activations by a plain hook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.results.dictionary import DictionaryInfo, Place


class Sparse(Dictionary):
    """A sparse autoencoder with random weights that keeps the `k` largest of its latents, or all that are positive."""

    def __init__(
        self,
        d: int = 128,
        n: int = 96,
        *,
        k: int | None = 4,
        place: Place = Place("resid_post", 1),  # noqa: B008
        writes: Place | None = None,
        watch: Callable[[torch.Tensor], Any] = lambda activations: None,
    ) -> None:
        generator = torch.Generator().manual_seed(n)
        self.weight = torch.randn(n, d, generator=generator) / d**0.5
        self.rows = self.weight + 0.3 * torch.randn(n, d, generator=generator) / d**0.5
        self.bias = 0.1 * torch.randn(d, generator=generator)
        self.bias_in = 0.1 * torch.randn(n, generator=generator)
        self.k = k
        self.watch = watch
        kind = "sae" if writes is None else "transcoder"
        self.info = DictionaryInfo("random latents", kind, place, writes or place, n, d, "", "0123abcd")  # type: ignore[arg-type]

    def before(self, activations: torch.Tensor) -> torch.Tensor:
        """What latents are before those that stay off are taken out."""
        return (activations - self.bias) @ self.weight.T + self.bias_in

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        self.watch(activations)
        before = self.before(activations)
        if self.k is None:
            return before.relu()
        top = before.topk(self.k, dim=-1)
        return torch.zeros_like(before).scatter_(-1, top.indices, top.values.relu())

    def decode(self, latents: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        return latents @ self.rows + self.bias

    @property
    def decoder(self) -> torch.Tensor:
        return self.rows

    @property
    def encoder(self) -> torch.Tensor:
        return self.weight


def hooked(module: torch.nn.Module, path: str, ids: torch.Tensor, *, entering: bool = False) -> torch.Tensor:
    """Run a model as it is, and return what leaves or enters a part of it."""
    found: list[torch.Tensor] = []

    def keep(_module: Any, args: Any, output: Any) -> None:
        value = args[0] if entering else output
        found.append((value[0] if isinstance(value, tuple) else value).clone())

    handle = module.get_submodule(path).register_forward_hook(keep)
    try:
        with torch.no_grad():
            module(ids)
    finally:
        handle.remove()
    return found[0]
