"""Find where NaN or infinity first appears in a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from interp_widgets.results.errors import NonFiniteError


def check_finite(stream: Sequence[torch.Tensor], logits: torch.Tensor | None, name: str, dtype: object) -> None:
    """Refuse activations that are not finite.

    Args:
        stream: what enters each layer, and at the end what leaves the last one.
        logits: what the model says, where it is known.
        name: of the model.
        dtype: of its weights.

    Raises:
        NonFiniteError: with the first layer that NaN or infinity comes from.
    """
    where = None
    for layer, tensor in enumerate(stream):
        if not torch.isfinite(tensor).all():
            where = f"the output of layer {layer - 1}" if layer else "the embedding of the tokens"
            break
    else:
        if logits is not None and not torch.isfinite(logits).all():
            where = "the logits"
    if where is not None:
        raise NonFiniteError(
            f"{name} gives NaN or infinity, first in {where}. Check its weights and its dtype ({dtype}): float16 "
            "overflows where bfloat16 and float32 do not."
        )
