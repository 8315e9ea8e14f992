"""A TopK sparse autoencoder of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import final

import torch
from torch import nn

from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.strongest import strongest
from interp_widgets.models.dictionaries.topk_folder import check_belong, read, write
from interp_widgets.models.dictionaries.topk_parts import TopKParts, TopKWeights
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import DictionaryInfo, Place
from interp_widgets.results.training import TrainingCurves
from interp_widgets.results.words import counted


@final
class TopKSAE(Dictionary, nn.Module):
    """A sparse autoencoder of which the k strongest latents fire at each token (Gao et al. 2024, arXiv:2406.04093).

    `train_sae` makes one, and `TopKSAE.load` reads the folder that `save` wrote. Weights are float32 and go to the
    device of the activations.
    """

    def __init__(
        self,
        weights: TopKWeights,
        k: int,
        place: Place,
        curves: TrainingCurves,
        state: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        nn.Module.__init__(self)
        for part in fields(weights):
            self.register_buffer(f"_{part.name}", getattr(weights, part.name).detach().float())
        n_latents, d_in = weights.encoder.shape
        self.k = k
        self.curves = curves
        """How the training went: loss, variance explained, L0 and dead latents, step by step."""
        self.state = dict(state or {})
        """What it takes to go on training; nothing once all steps were made."""
        self.info = DictionaryInfo(
            name=f"TopK SAE of {counted(n_latents, 'latent')}",
            kind="sae",
            reads=place,
            writes=place,
            n_latents=n_latents,
            d_in=d_in,
            normalised="",
            fingerprint=fingerprint(self),
        )
        self.concepts: Concepts = Concepts.of(self.info)

    _encoder: torch.Tensor
    _encoder_bias: torch.Tensor
    _decoder: torch.Tensor
    _centre: torch.Tensor

    __repr__ = Dictionary.__repr__

    @property
    def weights(self) -> TopKWeights:
        """The matrices and biases."""
        return TopKWeights(self._encoder, self._encoder_bias, self._decoder, self._centre)

    @property
    def decoder(self) -> torch.Tensor:
        """(n_latents, d_in): what one unit of each latent adds; rows of unit length."""
        return self._decoder

    @property
    def encoder(self) -> torch.Tensor:
        """(n_latents, d_in): the direction each latent reads."""
        return self._encoder

    def strongest(self, activations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the k latents that are largest, (..., k): their strengths and their numbers, in any order.

        Those whose strength is 0 do not fire.
        """
        self._go_to(activations)
        x = activations.float() - self._centre
        strengths, latents = strongest(x.reshape(-1, x.shape[-1]), self._encoder, self._encoder_bias, self.k)
        shape = (*x.shape[:-1], self.k)
        return strengths.reshape(shape), latents.reshape(shape)

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Return all latents, (..., n_latents), of which at most k fire."""
        strengths, latents = self.strongest(activations)
        return strengths.new_zeros(*strengths.shape[:-1], self.info.n_latents).scatter(-1, latents, strengths)

    def decode(self, latents: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction, (..., d_in), which follows from the latents alone."""
        self._go_to(latents)
        return latents @ self._decoder + self._centre

    def rounded(self, dtype: torch.dtype) -> TopKSAE:
        """Return the same dictionary, still in float32, with its weights rounded to what `dtype` can hold.

        Its fingerprint is another one; its latents and their names are the same.
        """
        narrow = TopKSAE(self.weights.to(dtype), self.k, self.info.reads, self.curves, self.state)
        narrow.concepts = replace(self.concepts, fingerprint=narrow.info.fingerprint)
        return narrow

    def save(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        """Write a folder in SAELens' format, which `SAE.load_from_disk` of SAELens opens too.

        Beside SAELens' two files lie the names of latents, the curves, and, as long as steps are left to make, what
        `train_sae(..., resume=folder)` goes on from.

        Args:
            folder: made if it is missing.
            dtype: how weights are stored. float16 and bfloat16 take half the space; what is then loaded is
                `rounded(dtype)`.
        """
        sae = self if dtype == torch.float32 else self.rounded(dtype)
        parts = TopKParts(sae.weights, sae.k, sae.info.reads, sae.curves, sae.state, sae.concepts)
        write(parts, Path(folder), dtype)

    @classmethod
    def load(cls, folder: str | Path) -> TopKSAE:
        """Read a folder that `save` wrote.

        Raises:
            ResultError: it is missing, holds something else, or is damaged.
        """
        parts = read(Path(folder))
        sae = cls(parts.weights, parts.k, parts.place, parts.curves, parts.state)
        check_belong(parts.concepts, sae.info, Path(folder))
        sae.concepts = parts.concepts
        return sae

    def _go_to(self, tensor: torch.Tensor) -> None:
        if self._encoder.device != tensor.device:
            self.to(tensor.device)
