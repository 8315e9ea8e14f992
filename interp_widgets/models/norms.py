"""The norms before and after an MLP, and what they multiply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.guard import exclusive
from interp_widgets.models.probe import probe_ids


@dataclass(frozen=True)
class Seen:
    """What came by in a run."""

    arrived: list[torch.Tensor] = field(default_factory=list)
    """What a module got, for each time that it was called."""
    made: list[tuple[nn.Module, torch.Tensor]] = field(default_factory=list)
    """Modules that made something of what they got in the same shape, as norms do, and what they made."""


@contextmanager
def watching(entrance: nn.Module, within: nn.Module) -> Iterator[Seen]:
    """Watch what arrives at a module, and what the other modules within a larger one make."""
    seen = Seen()

    def arrive(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        seen.arrived.append(first_argument(args, kwargs).clone())

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        given = args[0] if args else None
        if not isinstance(given, torch.Tensor) or not isinstance(output, torch.Tensor):
            return
        # A hook point, which hands on what it gets, makes nothing.
        if given.shape == output.shape and not torch.equal(given, output):
            seen.made.append((module, output.clone()))

    with ExitStack() as hooks:
        hooks.callback(entrance.register_forward_pre_hook(arrive, with_kwargs=True).remove)
        for part in within.modules():
            if part is not within and part is not entrance:
                hooks.callback(part.register_forward_hook(leave).remove)
        yield seen


def first_argument(args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
    """Return what a module was given first, by place or by name."""
    first: torch.Tensor = args[0] if args else next(iter(kwargs.values()))
    return first


def norm_before_mlp(access: Access, layer: int) -> nn.Module | None:
    """Return the module that hands an MLP what it gets, None where there is none: a model whose MLPs enter a stream."""
    block = access.anatomy.blocks[layer]
    entrance = block.get_submodule(access.entrance)
    with exclusive(access.opened.module), watching(entrance, within=block) as seen:
        access.opened.module(input_ids=probe_ids(access.opened.module), use_cache=False)
    (arrived,) = seen.arrived
    found = (
        module
        for module, output in seen.made
        if output.numel() == arrived.numel() and torch.equal(output.reshape(arrived.shape), arrived)
    )
    return next(found, None)


def apply_norm(access: Access, norm: nn.Module, activations: torch.Tensor) -> torch.Tensor:
    """Call a norm of the model on float32 activations, whatever the dtype of its weights is; also inside a trace."""
    dtype = next((weight.dtype for weight in norm.parameters()), activations.dtype)
    normed: torch.Tensor = access.envoy_of(norm)(activations.to(dtype))  # a trace would watch the module itself
    return normed.float()


@torch.no_grad()
def rms_gain(access: Access, norm: nn.Module, width: int) -> torch.Tensor | None:
    """Return what an RMS norm multiplies each number by, once their root mean square is 1; None if it is none."""
    weight = next(norm.parameters(), torch.empty(0))
    device = torch.device("cpu") if weight.is_meta else weight.device  # accelerate moves what it has put aside
    gain = apply_norm(access, norm, torch.ones(1, width, device=device))[0]
    noise = torch.randn(4, width, generator=torch.Generator().manual_seed(0)).to(device)
    noise = noise / noise.square().mean(-1, keepdim=True).sqrt()
    normed = apply_norm(access, norm, noise)
    allowed = max(1e-4, 8 * torch.finfo(weight.dtype).eps) * float(normed.abs().max())
    return gain if float((normed - noise * gain).abs().max()) <= allowed else None
