"""What is done to activations before they are encoded, and undone after they are decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class Normalisation(ABC):
    """Activations x, (..., d_in), become (x - shift) / size, where shift and size may differ from token to token."""

    words: str
    """What it does, to be read after "activations are"."""

    @abstractmethod
    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return normalised activations."""

    @abstractmethod
    def size(self, x: torch.Tensor) -> torch.Tensor:
        """Return what a reconstruction is multiplied by, (..., 1)."""

    @abstractmethod
    def undo(self, reconstruction: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Bring a reconstruction of normalised activations back to where the activations are."""


class AsTheyAre(Normalisation):
    """Activations are encoded as they are."""

    words = ""

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return the activations."""
        return x

    def size(self, x: torch.Tensor) -> torch.Tensor:
        """Return ones."""
        return torch.ones_like(x[..., :1])

    def undo(self, reconstruction: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction."""
        return reconstruction


class ScaledInTraining(AsTheyAre):
    """As they are, as SAELens takes them, of an SAE whose training scaled them by one number for all tokens."""

    words = (
        "encoded as they are; training scaled them to a mean norm of √d_in, which should have been folded into the "
        "weights"
    )


class Standardised(Normalisation):
    """Each token's activations get mean 0 and standard deviation 1, as in SAELens' `layer_norm`."""

    words = "set to mean 0 and standard deviation 1 at each token"

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return activations of mean 0 and standard deviation 1."""
        return (x - x.mean(-1, keepdim=True)) / (self.size(x) + 1e-5)

    def size(self, x: torch.Tensor) -> torch.Tensor:
        """Return the standard deviations."""
        return x.std(-1, keepdim=True)

    def undo(self, reconstruction: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Give the reconstruction the standard deviations and means that the activations had."""
        return reconstruction * self.size(x) + x.mean(-1, keepdim=True)


class Rescaled(Normalisation):
    """Each token's activations get the norm sqrt(d_in), as in SAELens' `constant_norm_rescale`."""

    words = "scaled to the norm √d_in at each token"

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return activations of norm sqrt(d_in)."""
        return x / self.size(x)

    def size(self, x: torch.Tensor) -> torch.Tensor:
        """Return the norms, divided by sqrt(d_in)."""
        length: torch.Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        size: torch.Tensor = length * x.shape[-1] ** -0.5
        return size

    def undo(self, reconstruction: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Give the reconstruction the norms that the activations had."""
        return reconstruction * self.size(x)
