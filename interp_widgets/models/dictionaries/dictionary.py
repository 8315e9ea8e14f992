"""What every dictionary of latents can do, wherever it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import DictionaryInfo, Kind
from interp_widgets.results.words import counted

_KINDS: dict[Kind, str] = {
    "sae": "a sparse autoencoder",
    "transcoder": "a transcoder",
    "neurons": "the neurons of an MLP",
    "directions": "directions",
}


class Dictionary(ABC):
    """Latents of one place in a model: how activations become latents, and what latents write back.

    Activations are (..., d_in) and latents (..., n_latents), both float32, on the device of whatever is passed.
    """

    info: DictionaryInfo
    concepts: Concepts | None = None
    """What its latents are called, where it comes with names."""

    def __repr__(self) -> str:
        info = self.info
        same = info.reads == info.writes
        place = f"reads and writes {info.reads}" if same else f"reads {info.reads}, writes {info.writes}"
        return "\n".join(
            [
                f"{info.name}: {_KINDS[info.kind]} with {counted(info.n_latents, 'latent')}",
                f"  {place}, {counted(info.d_in, 'number')} wide",
                f"  activations are {info.normalised or 'encoded as they are'}",
            ]
        )

    @abstractmethod
    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Return all latents, (..., n_latents)."""

    def encode_some(self, activations: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return some latents, (..., len(latents)); cheaper than all of them where each is computed by itself."""
        return self.encode(activations)[..., latents]

    @abstractmethod
    def decode(self, latents: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction, (..., d_out), of what is at the place that is written.

        Args:
            latents: (..., n_latents).
            activations: what they were encoded from, (..., d_in), which says how they were normalised.
        """

    @property
    @abstractmethod
    def decoder(self) -> torch.Tensor:
        """(n_latents, d_out): what one unit of each latent adds, before any normalisation of activations is undone."""

    @property
    @abstractmethod
    def encoder(self) -> torch.Tensor | None:
        """(n_latents, d_in): the direction each latent reads; None where it is no matrix."""

    def scale(self, activations: torch.Tensor) -> torch.Tensor:
        """(..., 1): what the decoder's rows are multiplied by at each token when normalisation is undone."""
        return torch.ones_like(activations[..., :1])

    def moved(self, latent: int, by: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return what changes at the written place, (..., d_out), when one latent changes by `by`, (...).

        All other latents, and the error that the dictionary makes, stay as they are.
        """
        row = self.decoder[latent].to(activations.device)
        return by[..., None] * self.scale(activations) * row
