"""Any object that encodes and decodes, as a dictionary."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.fingerprint import fingerprint, fingerprint_of
from interp_widgets.results.dictionary import DictionaryInfo, Place
from interp_widgets.results.errors import FeatureError

_ROWS = 256
"""How many latents are decoded at once to find what each of them adds."""
_PROBES, _SIZES = 16, (0.1, 1.0, 10.0, 100.0, 1000.0)
"""How many random directions are encoded to see whether latents may be negative, and how long they are made: at some
length a threshold or a bias no longer decides."""


@runtime_checkable
class Coding(Protocol):
    """What an object must be able to do: take (row, number) tensors and return such tensors."""

    def encode(self, activations: Any, /) -> Any:
        """Return latents."""

    def decode(self, latents: Any, /) -> Any:
        """Return a reconstruction."""


class Own(Dictionary):
    """An object with `encode` and `decode`, which it is called with on (token, d_in) and (token, n_latents).

    What each latent adds is found by decoding it alone, once it is asked for, and only a decoder that is linear but
    for a constant has that. Whether latents may be negative cannot be read off an object: it is taken to be so if one
    of them is on random activations of many sizes, each with its opposite, or later on any that it is called with.
    """

    def __init__(self, coding: Coding, d_in: int, d_out: int, *, reads: Place, writes: Place, name: str = "") -> None:
        """Try the object on activations of a known width.

        Raises:
            FeatureError: it fails on them, or returns no tensors of fitting shapes.
        """
        self._coding = coding
        self._name = name or type(coding).__name__
        parameter = next(iter(coding.parameters()), None) if isinstance(coding, nn.Module) else None
        self._dtype = torch.float32 if parameter is None else parameter.dtype
        self._device = None if parameter is None else parameter.device
        latents = self._call("encode", _probes(d_in), None)
        n_latents = latents.shape[-1]
        if not n_latents:
            raise FeatureError(f"encode of {self._name} returns rows without any latent, so there is nothing to read.")
        self._call("decode", latents[:2], d_out)
        self.info = DictionaryInfo(
            name=self._name,
            kind="sae" if reads == writes else "transcoder",
            reads=reads,
            writes=writes,
            n_latents=n_latents,
            d_in=d_in,
            normalised="" if parameter is None else "passed to its own encode, which may normalise them",
            fingerprint=fingerprint(coding) if isinstance(coding, nn.Module) else fingerprint_of([("", latents)]),
            signed=bool((latents < 0).any()),
        )
        self._d_out = d_out

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Return all latents, (..., n_latents)."""
        latents = self._mapped("encode", activations, self.info.n_latents)
        if not self.info.signed and bool((latents < 0).any()):
            self.info = replace(self.info, signed=True)
        return latents

    def decode(self, latents: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction, (..., d_out), of what is at the place that is written."""
        return self._mapped("decode", latents, self._d_out)

    @property
    def decoder(self) -> torch.Tensor:
        """(n_latents, d_out): what one unit of each latent adds.

        Raises:
            FeatureError: its decoder is not linear, so that what a latent adds depends on the others.
        """
        return self._rows

    @property
    def encoder(self) -> None:
        """None: what the object computes may be no dot product with a direction."""
        return

    @cached_property
    def _rows(self) -> torch.Tensor:
        n_latents = self.info.n_latents
        with torch.no_grad():
            nothing = self.decode(torch.zeros(1, n_latents), torch.empty(0))
            starts = range(0, n_latents, _ROWS)
            rows = torch.cat([self.decode(_units(first, n_latents), torch.empty(0)) - nothing for first in starts])
            self._check_linear(rows, nothing)
        return rows

    def _check_linear(self, rows: torch.Tensor, nothing: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(1)
        size = torch.tensor([0.1, 1.0, 10.0, 10.0])[:, None]
        some = torch.rand(4, len(rows), generator=generator) * size
        some *= torch.rand(4, len(rows), generator=generator) < min(1.0, 32 / len(rows))
        decoded, expected = self.decode(some, torch.empty(0)), nothing + some @ rows
        allowed = 256 * torch.finfo(self._dtype).eps * float(decoded.abs().max())
        if not torch.allclose(decoded, expected, rtol=0, atol=allowed + 1e-7):
            raise FeatureError(
                f"decode of {self._name} is not linear: what a latent adds depends on the others, so a single latent "
                "can be neither patched nor steered. Reading its latents works."
            )

    def _mapped(self, method: str, tensor: torch.Tensor, width: int) -> torch.Tensor:
        flat = self._call(method, tensor.reshape(-1, tensor.shape[-1]), width)
        return flat.reshape(*tensor.shape[:-1], width)

    def _call(self, method: str, tensor: torch.Tensor, width: int | None) -> torch.Tensor:
        given = tensor.to(self._device or tensor.device, self._dtype)
        try:
            returned = getattr(self._coding, method)(given)
        except Exception as error:  # whatever a user's code may raise
            raise FeatureError(
                f"{method} of {self._name} failed on a tensor of shape {tuple(given.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
        wanted = f"({len(tensor)}, {width or 'number of latents'})"
        if not isinstance(returned, torch.Tensor) or returned.ndim != 2 or returned.shape[0] != len(tensor):
            shape = f"{tuple(returned.shape)}" if isinstance(returned, torch.Tensor) else type(returned).__name__
            raise FeatureError(f"{method} of {self._name} should return a tensor of shape {wanted} and gave {shape}.")
        if width is not None and returned.shape[1] != width:
            raise FeatureError(
                f"{method} of {self._name} returns rows {returned.shape[1]} wide where {width} are expected."
            )
        return returned.to(tensor.device, torch.float32)


def _probes(d_in: int) -> torch.Tensor:
    """Random activations of many sizes, each with its opposite."""
    directions = torch.randn(_PROBES, d_in, generator=torch.Generator().manual_seed(0))
    return torch.cat([sign * size * directions for size in _SIZES for sign in (1, -1)])


def _units(first: int, n_latents: int) -> torch.Tensor:
    count = min(_ROWS, n_latents - first)
    units = torch.zeros(count, n_latents)
    units[torch.arange(count), first + torch.arange(count)] = 1
    return units
