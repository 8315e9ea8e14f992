"""What a TopK dictionary consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch

from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import Place
from interp_widgets.results.training import TrainingCurves


@dataclass(frozen=True)
class TopKWeights:
    """The latents are the k largest of encoder (x - centre) + bias, where above zero; x is about latents decoder +
    centre."""

    encoder: torch.Tensor
    """(n_latents, d_in)."""
    encoder_bias: torch.Tensor
    """(n_latents,)."""
    decoder: torch.Tensor
    """(n_latents, d_in): rows of unit length."""
    centre: torch.Tensor
    """(d_in,)."""

    def to(self, dtype: torch.dtype) -> TopKWeights:
        """Return the same in another dtype."""
        return TopKWeights(**{part.name: getattr(self, part.name).to(dtype) for part in fields(self)})


@dataclass(frozen=True)
class TopKParts:
    """All that is kept of a TopK dictionary."""

    weights: TopKWeights
    k: int
    place: Place
    curves: TrainingCurves
    state: Mapping[str, torch.Tensor]
    """What it takes to go on training; nothing once all steps were made."""
    concepts: Concepts
