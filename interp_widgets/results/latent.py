"""What is known of one latent beyond the text at hand: its card."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.tokens import Token, Tokens


@dataclass(frozen=True)
class Weighted:
    """A token with a logit: what one unit of a latent adds to it, the mean over the vocabulary taken off.

    That is W (g * c(row)) with the decoder's row as it reaches the stream, c taking its mean off where the final norm
    does so, g what that norm multiplies by, W the unembedding; what the norm divides by is left at 1.
    """

    token: Token
    logit: float


@dataclass(frozen=True)
class Neighbour:
    """Another latent of the dictionary, and the cosine between the two decoder rows."""

    latent: int
    cosine: float


@dataclass(frozen=True)
class Link:
    """A component that writes to a latent, or reads it: {"site": "z", "layer": 1, "head": 2}, ... and how much."""

    component: str
    """As people read it: "head 1.2", "MLP 0", "embedding", "neuron 3.17", "latent 5"."""
    cell: tuple[tuple[str, str | int], ...]
    """The same as the fields of a cell, such as (("site", "z"), ("layer", 1), ("head", 2))."""
    weight: float


@dataclass(frozen=True)
class Example:
    """A stretch of a corpus in which a latent fires."""

    document: int
    tokens: Tokens
    peak: int
    """Position of the strongest token in `tokens`."""
    activations: tuple[float, ...]
    """One for each of `tokens`."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often a latent fires how strongly."""

    edges: NDArray[np.float32]
    """(bin + 1): rising; every activation that fires lies in a bin."""
    counts: NDArray[np.int64]

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, Histogram) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays


@dataclass(frozen=True)
class LatentCard:
    """What else was found out about a latent. What has not been looked for is None."""

    latent: int
    promotes: tuple[Weighted, ...] | None = None
    suppresses: tuple[Weighted, ...] | None = None
    nearest: tuple[Neighbour, ...] | None = None
    written_by: tuple[Link, ...] | None = None
    """What writes to it on the given text, by direct attribution to its activation where it is strongest: the largest
    first, then the sum of all others, then the biases. Together they are the activation."""
    written_at: tuple[int, int] | None = None
    """Where that is: the number of the text among those that were given, and the position in it."""
    feeds: tuple[Link, ...] | None = None
    """What reads it, by direct weights: heads with the length of what they make of a unit of it, and then neurons with
    the dot product with their input weights, what norms divide by left at 1."""
    examples: tuple[Example, ...] | None = None
    histogram: Histogram | None = None
    density: float | None = None
    """Share of the corpus's tokens on which it fires."""
    corpus: str = ""
    """What the examples were taken from, in words."""
