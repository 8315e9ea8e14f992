"""Dictionaries with an encoder and a decoder that are matrices, as nearly all are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from interp_widgets.models.dictionaries.activations import Activation
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.normalisation import AsTheyAre, Normalisation
from interp_widgets.models.fingerprint import fingerprint_of
from interp_widgets.results.dictionary import DictionaryInfo, Kind, Place
from interp_widgets.results.errors import FeatureError
from interp_widgets.results.words import counted

_CHUNK = 1 << 24
"""Most pre-activations that are held at once where only some latents are asked for."""


@dataclass(frozen=True)
class Weights:
    """The matrices of a dictionary; those that are None are zero."""

    encoder: torch.Tensor
    """(n_latents, d_in)."""
    decoder: torch.Tensor
    """(n_latents, d_out)."""
    encoder_bias: torch.Tensor | None = None
    """(n_latents,)."""
    decoder_bias: torch.Tensor | None = None
    """(d_out,)."""
    centre: torch.Tensor | None = None
    """(d_in,): taken away from activations before they are encoded."""
    skip: torch.Tensor | None = None
    """(d_out, d_in): what a transcoder adds of its input, past all latents."""


class Coder(Dictionary, nn.Module):
    """Latents are activation(encoder (x - centre) + bias), the reconstruction is latents decoder + bias + skip x.

    Here x are activations after normalisation, which is undone in the reconstruction unless that is of another place.
    """

    def __init__(
        self,
        weights: Weights,
        activation: Activation,
        *,
        name: str,
        kind: Kind,
        reads: Place,
        writes: Place,
        normalisation: Normalisation | None = None,
    ) -> None:
        """Take weights of any floating dtype; they are computed with in float32.

        Raises:
            FeatureError: weights whose shapes do not fit each other, or that are not finite.
        """
        nn.Module.__init__(self)
        self.activation = activation.float()
        self.normalisation = normalisation or AsTheyAre()
        for field, weight in vars(weights).items():
            self.register_buffer(f"_{field}", None if weight is None else weight.detach().float())
        _check(dict(self.named_buffers()), weights, name)
        n_latents, d_in = weights.encoder.shape
        self.info = DictionaryInfo(
            name=name,
            kind=kind,
            reads=reads,
            writes=writes,
            n_latents=n_latents,
            d_in=d_in,
            normalised=self.normalisation.words,
            fingerprint=fingerprint_of(self.named_buffers()),
            signed=activation.signed,
        )

    _encoder: torch.Tensor
    _decoder: torch.Tensor
    _encoder_bias: torch.Tensor | None
    _decoder_bias: torch.Tensor | None
    _centre: torch.Tensor | None
    _skip: torch.Tensor | None

    __repr__ = Dictionary.__repr__

    def placed(self, reads: Place, writes: Place) -> Coder:
        """Say that it reads and writes somewhere else."""
        self.info = replace(self.info, reads=reads, writes=writes)
        return self

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Return all latents, (..., n_latents)."""
        latents: torch.Tensor = self.activation(self._pre(activations, None))
        return latents

    def encode_some(self, activations: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return some latents, (..., len(latents)), with memory for those alone or for few tokens at a time."""
        latents = latents.to(activations.device)
        if self.activation.each_alone:
            return self.activation.some(self._pre(activations, latents), latents)
        flat = activations.reshape(-1, activations.shape[-1])
        chunks = torch.split(flat, max(1, _CHUNK // self.info.n_latents))
        some = torch.cat([self.encode(chunk)[:, latents] for chunk in chunks])
        return some.reshape(*activations.shape[:-1], len(latents))

    def decode(self, latents: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction, (..., d_out), of what is at the place that is written."""
        self._go_to(latents)
        x = activations.float()
        reconstruction = latents @ self._decoder
        if self._decoder_bias is not None:
            reconstruction = reconstruction + self._decoder_bias
        if self._undoes:
            reconstruction = self.normalisation.undo(reconstruction, x)
        return reconstruction if self._skip is None else reconstruction + x @ self._skip.T

    def scale(self, activations: torch.Tensor) -> torch.Tensor:
        """(..., 1): what the decoder's rows are multiplied by at each token when normalisation is undone."""
        x = activations.float()
        return self.normalisation.size(x) if self._undoes else torch.ones_like(x[..., :1])

    @property
    def decoder(self) -> torch.Tensor:
        """(n_latents, d_out): what one unit of each latent adds, before any normalisation of activations is undone."""
        return self._decoder

    @property
    def encoder(self) -> torch.Tensor:
        """(n_latents, d_in): the direction each latent reads."""
        return self._encoder

    @property
    def _undoes(self) -> bool:
        # What a transcoder writes is elsewhere and was not normalised.
        return self.info.kind != "transcoder"

    def _pre(self, activations: torch.Tensor, latents: torch.Tensor | None) -> torch.Tensor:
        self._go_to(activations)
        x = self.normalisation.apply(activations.float())
        if self._centre is not None:
            x = x - self._centre
        encoder, bias = self._encoder, self._encoder_bias
        if latents is not None:
            encoder, bias = encoder[latents], None if bias is None else bias[latents]
        return nn.functional.linear(x, encoder, bias)

    def _go_to(self, tensor: torch.Tensor) -> None:
        if self._encoder.device != tensor.device:
            self.to(tensor.device)


def _check(buffers: dict[str, torch.Tensor], weights: Weights, name: str) -> None:
    n_latents, d_in, d_out = *weights.encoder.shape, weights.decoder.shape[-1]
    expected = {
        "_decoder": (n_latents, d_out),
        "_encoder_bias": (n_latents,),
        "_decoder_bias": (d_out,),
        "_centre": (d_in,),
        "_skip": (d_out, d_in),
    }
    for field, tensor in buffers.items():
        shape = expected.get(field, (n_latents,) if field.startswith("activation.") else tuple(tensor.shape))
        what = field.removeprefix("activation.").strip("_").replace("_", " ")
        if tuple(tensor.shape) != shape:
            raise FeatureError(
                f"The weights of {name} do not fit each other: with an encoder of {counted(n_latents, 'latent')} for "
                f"activations {d_in} wide its {what} should have the shape {shape} and has {tuple(tensor.shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise FeatureError(f"The {what} of {name} has NaN or infinity, so its latents would mean nothing.")
