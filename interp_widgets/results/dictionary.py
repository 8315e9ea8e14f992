"""What a dictionary of latents is, and how well it fits the model, in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interp_widgets.results.terms import Site

Kind = Literal["sae", "transcoder", "neurons", "directions"]
"""Where latents come from: a sparse autoencoder, a transcoder (which reads what an MLP gets and writes what it adds),
the MLP's own neurons, or directions that somebody chose."""


@dataclass(frozen=True)
class Place:
    """Where in a model latents are read or written: a site of a layer."""

    site: Site | Literal["mlp_in"]
    """`mlp_in` is what the MLP gets, after its norm: it is what transcoders read. At `z` the heads lie side by side,
    (position, head * d_head)."""
    layer: int

    def __str__(self) -> str:
        return f"{self.site} of layer {self.layer}"


@dataclass(frozen=True)
class DictionaryInfo:
    """A dictionary, described: what a result or a page says about it."""

    name: str
    kind: Kind
    reads: Place
    writes: Place
    n_latents: int
    d_in: int
    normalised: str
    """What is done to activations before they are encoded, in words; empty if nothing is."""
    fingerprint: str
    """Hash of a sample of its weights."""
    signed: bool = False
    """Whether latents may be negative (neurons and directions), so that their size says how strong they are."""


@dataclass(frozen=True)
class Fit:
    """How well a dictionary's reconstruction stands in for the activations, on some tokens.

    With `loss` the model's own mean cross-entropy in nats, `loss_with` that with the reconstruction in place of the
    activations and `loss_without` with zeros there, the loss recovered is (loss_without - loss_with) / (loss_without -
    loss): 1 is perfect, 0 no better than nothing.
    """

    variance_explained: float
    """1 - sum |x - reconstruction|^2 / sum |x - mean of x|^2 over all tokens; negative if worse than the mean."""
    l0: float
    """Mean number of latents that fire on a token."""
    loss: float
    loss_with: float
    loss_without: float
    n_tokens: int
    """How many tokens were reconstructed, the first of each text left out."""

    @property
    def loss_recovered(self) -> float:
        """Share of the loss that comes back with the reconstruction; NaN where zeros there cost nothing."""
        lost = self.loss_without - self.loss
        return (self.loss_without - self.loss_with) / lost if lost else float("nan")
