"""The result of reading latents on text: which fire, where, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import DictionaryInfo, Fit
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Tokens

Ranking = Literal["max", "mean", "density", "difference"]
"""A statistic of a latent over the texts."""

RANKINGS: tuple[Ranking, ...] = get_args(Ranking)


@dataclass(frozen=True, eq=False, repr=False)
class FeatureResult:
    """Latents on one or two texts. Only those that fire are kept: a sparse matrix of (token, latent).

    Tokens of all texts are counted through: those of the first text come first. Token t has the latents
    `latents[starts[t] : starts[t + 1]]`, in rising order, with the strengths `activations[starts[t] : starts[t + 1]]`.
    """

    texts: tuple[Tokens, ...]
    sides: tuple[str, ...]
    """What each text is called, such as ("clean", "corrupt")."""
    dictionary: DictionaryInfo
    starts: NDArray[np.int64]
    latents: NDArray[np.int32]
    activations: NDArray[np.float32]
    threshold: float
    """A latent fires where the size of its activation is above this."""
    kept: int | None
    """Most latents that were kept of a token, its strongest; None where all that fire were. Statistics count all."""
    computed: NDArray[np.bool_]
    """(token): whether it has been read."""
    maximum: NDArray[np.float32]
    """(text, latent): the activation of the largest size, with its sign; 0 where the latent never fires."""
    total: NDArray[np.float64]
    """(text, latent): the sum of activations over tokens; divided by their number it is the mean."""
    fires: NDArray[np.int64]
    """(text, latent): on how many tokens it fires."""
    fit: Fit | None
    """How well the dictionary stands for the model on these texts; None until that is measured, or not asked for."""
    provenance: Provenance
    cards: Mapping[int, LatentCard] = field(default_factory=dict)
    """What else was found out about some latents."""
    names: Mapping[int, str] = field(default_factory=dict)
    """What people call latents."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """What people wrote about latents."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FeatureResult):
            return NotImplemented
        return same_content(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def n_tokens(self) -> int:
        """Number of tokens of all texts."""
        return sum(map(len, self.texts))

    @property
    def complete(self) -> bool:
        """Whether every token has been read."""
        return bool(self.computed.all())

    def column(self, latent: int) -> NDArray[np.float32]:
        """Return one latent on every token, (token,): 0 where it does not fire or was not kept, NaN where unread.

        Raises:
            SelectionError: there is no such latent.
        """
        self._check(latent)
        values = np.zeros(self.n_tokens, np.float32)
        at = np.flatnonzero(self.latents == latent)
        values[np.searchsorted(self.starts, at, side="right") - 1] = self.activations[at]
        values[~self.computed] = np.nan
        return values

    def at(self, token: int) -> list[tuple[int, float]]:
        """Return the latents that fire on a token with their activations, the strongest first."""
        if not -self.n_tokens <= token < self.n_tokens:
            raise SelectionError(f"There is no token {token}: the texts have tokens 0 to {self.n_tokens - 1}.")
        token %= self.n_tokens
        here = slice(self.starts[token], self.starts[token + 1])
        order = np.argsort(-np.abs(self.activations[here]), kind="stable")
        return [(int(self.latents[here][n]), float(self.activations[here][n])) for n in order]

    def ranked(self, by: Ranking = "max", n: int = 10) -> list[tuple[int, float]]:
        """Return the n latents that lead by a statistic over the texts, with its value.

        `max` is the largest size of an activation, `mean` the mean over tokens, `density` the share of tokens it fires
        on, `difference` the mean on the first text minus that on the second, ranked by size.

        Raises:
            UnknownNameError: another ranking.
            ResultError: a difference between texts where there is one.
        """
        if by not in RANKINGS:
            raise unknown_name("ranking", by, RANKINGS)
        if by == "difference" and len(self.texts) < 2:
            raise ResultError(
                "There is one text, so latents cannot be ranked by difference. Pass a second with against=."
            )
        values = self._statistic(by)
        order = np.argsort(-np.abs(values), kind="stable")[:n]
        return [(int(latent), float(values[latent])) for latent in order if self.fires[:, latent].any()]

    def _statistic(self, by: Ranking) -> NDArray[np.float64]:
        lengths = np.array([max(1, count) for count in self._read()])
        if by == "max":
            strongest = np.abs(self.maximum).argmax(axis=0)
            largest: NDArray[np.float64] = np.take_along_axis(self.maximum, strongest[None], 0)[0].astype(np.float64)
            return largest
        if by == "difference":
            means: NDArray[np.float64] = self.total / lengths[:, None]
            difference: NDArray[np.float64] = means[0] - means[1]
            return difference
        sums = self.fires if by == "density" else self.total
        whole: NDArray[np.float64] = sums.sum(axis=0) / lengths.sum()
        return whole

    def _read(self) -> list[int]:
        """How many tokens of each text have been read."""
        ends = np.cumsum([len(text) for text in self.texts])[:-1]
        return [int(part.sum()) for part in np.split(self.computed, ends)]

    def _check(self, latent: int) -> None:
        if not 0 <= latent < self.dictionary.n_latents:
            raise SelectionError(
                f"There is no latent {latent}: {self.dictionary.name} has latents 0 to {self.dictionary.n_latents - 1}."
            )
