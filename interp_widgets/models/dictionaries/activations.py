"""What makes latents of an encoder's pre-activations. All of them keep few numbers and set the rest to zero."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class Activation(nn.Module, ABC):
    """A function from pre-activations, (..., n_latents), to latents of the same shape."""

    each_alone = True
    """Whether a latent follows from its own pre-activation, whatever the others are."""
    signed = False
    """Whether latents may be negative."""

    @abstractmethod
    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return the latents."""

    def some(self, pre: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return some latents, given the pre-activations of those, (..., len(latents))."""
        chosen: torch.Tensor = self(pre)
        return chosen


class Identity(Activation):
    """Latents are what the encoder returns."""

    signed = True

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return the pre-activations."""
        return pre


class ReLU(Activation):
    """Latents are what is above zero (Bricken et al. 2023)."""

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return what is above zero."""
        return pre.relu()


class JumpReLU(Activation):
    """Latents are what is above each one's threshold, and whole then (Rajamanoharan et al. 2024b)."""

    threshold: torch.Tensor

    def __init__(self, threshold: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return what is above the threshold."""
        return pre.relu() * (pre > self.threshold)

    def some(self, pre: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return what is above the thresholds of some latents."""
        return pre.relu() * (pre > self.threshold[latents])


class Gated(Activation):
    """One bias says whether a latent fires, another and a scale how strongly (Rajamanoharan et al. 2024a)."""

    gate: torch.Tensor
    log_scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, gate: torch.Tensor, log_scale: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("gate", gate)
        self.register_buffer("log_scale", log_scale)
        self.register_buffer("bias", bias)

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return the strengths where the gate is open."""
        return (pre * self.log_scale.exp() + self.bias).relu() * (pre + self.gate > 0)

    def some(self, pre: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return the strengths of some latents where their gates are open."""
        strengths = (pre * self.log_scale[latents].exp() + self.bias[latents]).relu()
        return strengths * (pre + self.gate[latents] > 0)


class TopK(Activation):
    """The k largest fire, if they are above zero (Gao et al. 2024)."""

    each_alone = False

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return the k largest."""
        top = pre.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter_(-1, top.indices, top.values.relu())


class AbsTopK(Activation):
    """The k of the largest size fire, whatever their sign."""

    each_alone = False
    signed = True

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return the k of the largest size."""
        top = pre.abs().topk(self.k, dim=-1, sorted=False).indices
        return torch.zeros_like(pre).scatter_(-1, top, pre.gather(-1, top))


class GroupMax(Activation):
    """Latents lie in k groups, and the largest of each group fires, if it is above zero."""

    each_alone = False

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, pre: torch.Tensor) -> torch.Tensor:
        """Return the largest of each group."""
        groups = pre.relu().reshape(*pre.shape[:-1], self.k, -1)
        top = groups.max(dim=-1, keepdim=True)
        return torch.zeros_like(groups).scatter_(-1, top.indices, top.values).flatten(-2)
