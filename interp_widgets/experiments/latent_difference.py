"""How the latents of two runs differ, and what that makes of what they write."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.results.panel import Latent


@dataclass(frozen=True)
class LatentDifference:
    """What changes in one run, the host's, when its latents are as in another, the donor's.

    What all latents change together, and the part of the error, make up the difference between the two runs.
    """

    dictionary: Dictionary
    host: torch.Tensor
    """(position, d_in): what the host's latents were encoded from."""
    by: torch.Tensor
    """(position, latent): by how much each is larger in the donor's run."""
    written: torch.Tensor
    """(position, ...): by how much what is at the written place is larger there, in the shape of its site."""

    def moved(self, latent: Latent) -> torch.Tensor:
        """Return what changes at the written place, (position, ...), when a latent is as in the donor's run."""
        if latent == "all":
            return self._all
        if latent == "error":
            return self.written - self._all
        return self.dictionary.moved(latent, self.by[:, latent], self.host).reshape(self.written.shape)

    def attribution(self, slope: torch.Tensor) -> torch.Tensor:
        """Return what each latent changes in a number, to first order, (position, latent).

        Args:
            slope: the number's gradient by what is at the written place, (position, ...).
        """
        gains = slope.float().flatten(1) @ self.dictionary.decoder.to(slope.device).T
        return gains * self.by * self.dictionary.scale(self.host)

    @cached_property
    def _all(self) -> torch.Tensor:
        before = self.dictionary.encode(self.host)
        changed = self.dictionary.decode(before + self.by, self.host) - self.dictionary.decode(before, self.host)
        return changed.reshape(self.written.shape)
