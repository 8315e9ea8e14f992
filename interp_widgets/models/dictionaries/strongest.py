"""The encoder of TopK dictionaries, at the cost of the few latents that fire."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def strongest(
    inputs: torch.Tensor, encoder: torch.Tensor, bias: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode rows, and keep the k largest latents of each, as far as they are above zero.

    The gradient is that of `linear`, `topk` and `relu` in turn, at the cost of k latents a row where those take it of
    all. After the fused encoder of EleutherAI's sparsify.

    Args:
        inputs: (row, d_in).
        encoder: (n_latents, d_in).
        bias: (n_latents,).
        k: how many of each row.

    Returns:
        Strengths (row, k), 0 where fewer than k are above zero, and the numbers of the latents (row, k).
    """
    strengths, latents = _Strongest.apply(inputs, encoder, bias, k)  # type: ignore[no-untyped-call]
    return strengths, latents


class _Strongest(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, encoder: torch.Tensor, bias: torch.Tensor, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        largest, latents = functional.linear(inputs, encoder, bias).topk(k, dim=-1, sorted=False)
        strengths = largest.relu()
        ctx.save_for_backward(inputs, encoder, strengths, latents)
        ctx.mark_non_differentiable(latents)
        return strengths, latents

    @staticmethod
    def backward(
        ctx: Any, towards: torch.Tensor, _latents: None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None, None]:
        inputs, encoder, strengths, latents = ctx.saved_tensors
        needs_inputs, needs_encoder, needs_bias, _ = ctx.needs_input_grad
        towards = towards * (strengths > 0)
        to_inputs = to_encoder = to_bias = None
        if needs_inputs:
            to_inputs = functional.embedding_bag(latents, encoder, per_sample_weights=towards, mode="sum")
        if needs_encoder:
            rows = (towards[..., None] * inputs[:, None]).flatten(0, 1)
            to_encoder = torch.zeros_like(encoder).index_add_(0, latents.flatten(), rows)
        if needs_bias:
            to_bias = encoder.new_zeros(len(encoder)).index_add_(0, latents.flatten(), towards.flatten())
        return to_inputs, to_encoder, to_bias, None
