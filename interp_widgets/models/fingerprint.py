"""Tell models apart by their weights, cheaply."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import nn

_SAMPLES = 64


def fingerprint(module: nn.Module) -> str:
    """Hash the names, shapes, dtypes and a sample of the values of all weights: 16 hexadecimal digits.

    At most 64 evenly spaced values of each tensor are read, so the cost does not grow with the model's width. Moving a
    model to another device leaves its fingerprint as it is; casting it to another dtype does not.
    """
    named = chain(module.named_parameters(), module.named_buffers())
    return fingerprint_of((name, _loaded(module, name) if tensor.is_meta else tensor) for name, tensor in named)


def fingerprint_of(weights: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Hash weights by their names as `fingerprint` does."""
    digest = hashlib.sha256()
    for name, tensor in weights:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_sample(tensor))
    return digest.hexdigest()[:16]


def _loaded(module: nn.Module, name: str) -> torch.Tensor:
    """Return a weight that accelerate keeps on disk: the hook of its module knows where."""
    path, _, own = name.rpartition(".")
    hook: Any = module.get_submodule(path)._hf_hook
    (weights,) = (one.weights_map for one in getattr(hook, "hooks", [hook]) if getattr(one, "weights_map", None))
    loaded: torch.Tensor = weights[own]
    return loaded


def _sample(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    if not len(flat):
        return b""
    at = torch.linspace(0, len(flat) - 1, min(_SAMPLES, len(flat)), dtype=torch.float64).long()
    values = flat[at.to(flat.device)].cpu().contiguous()
    return values.view(torch.uint8).numpy().tobytes()
