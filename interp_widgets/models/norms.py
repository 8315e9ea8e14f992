"""The norms before and after an MLP, and what they multiply."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.guard import exclusive
from interp_widgets.models.probe import probe_ids


def norm_before_mlp(access: Access, layer: int) -> nn.Module | None:
    """Return the module that hands an MLP what it gets, None where there is none: a model whose MLPs enter a stream."""
    block = access.anatomy.blocks[layer]
    entrance = block.get_submodule(access.entrance)
    entering: list[torch.Tensor] = []
    handed: list[tuple[nn.Module, torch.Tensor]] = []

    def arrive(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        entering.append((args[0] if args else next(iter(kwargs.values()))).clone())

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        # A hook point, which hands on what it gets, makes nothing.
        given = args[0] if args else None
        if not isinstance(given, torch.Tensor) or not isinstance(output, torch.Tensor):
            return
        if given.shape == output.shape and not torch.equal(given, output):
            handed.append((module, output.clone()))

    with exclusive(access.opened.module), ExitStack() as hooks:
        hooks.callback(entrance.register_forward_pre_hook(arrive, with_kwargs=True).remove)
        for part in block.modules():
            if part is not block and part is not entrance:
                hooks.callback(part.register_forward_hook(leave).remove)
        access.opened.module(input_ids=probe_ids(access.opened.module), use_cache=False)
    (arrived,) = entering
    found = (
        module
        for module, output in handed
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
