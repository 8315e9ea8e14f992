"""The result of reading latents on text: which fire, where, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from string import Template
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import DictionaryInfo, Fit
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Tokens
from interp_widgets.results.words import counted

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Ranking = Literal["max", "mean", "density", "difference"]
"""A statistic of a latent over the texts."""

RANKINGS: tuple[Ranking, ...] = get_args(Ranking)


@dataclass(frozen=True, eq=False, repr=False)
class FeatureResult(Saved):
    """Latents on one or more texts. Only those that fire are kept: a sparse matrix of (token, latent).

    Tokens of all texts are counted through: those of the first text come first. Token t has the latents
    `latents[starts[t] : starts[t + 1]]`, in rising order, with the strengths `activations[starts[t] : starts[t + 1]]`.
    """

    texts: tuple[Tokens, ...]
    sides: tuple[str, ...]
    """Which side each text is on, such as ("text", "against"). There are one or two."""
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
    """(text, latent): the activation of the largest size, with its sign, whether it is above the threshold or not."""
    total: NDArray[np.float64]
    """(text, latent): the sum of all activations over tokens; divided by the number read it is the mean."""
    fires: NDArray[np.int64]
    """(text, latent): on how many tokens it fires."""
    fit: Fit | None
    """How well the dictionary stands for the model on these texts; None until that is measured, or not asked for."""
    provenance: Provenance
    columns: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    """Latents that were asked for on every token, (token,): also where they are below the threshold. NaN where unread.
    """
    cards: Mapping[int, LatentCard] = field(default_factory=dict)
    """What else was found out about some latents."""
    names: Mapping[int, str] = field(default_factory=dict)
    """What people call latents."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """What people wrote about latents."""
    code: str = ""
    """Lines of nnsight that read one latent on the first text, a template with `$latent`; empty if there are none."""

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
        """Return one latent on every token, (token,): NaN where unread.

        Unless it is among `columns` it is 0 where it does not fire, or was not among the strongest that were kept.

        Raises:
            SelectionError: there is no such latent.
        """
        self._check(latent)
        if latent in self.columns:
            asked: NDArray[np.float32] = self.columns[latent].copy()
            return asked
        values = np.zeros(self.n_tokens, np.float32)
        at = np.flatnonzero(self.latents == latent)
        values[self._tokens[at]] = self.activations[at]
        values[~self.computed] = np.nan
        return values

    @cached_property
    def _tokens(self) -> NDArray[np.int64]:
        """The token of each entry of `latents`."""
        return np.repeat(np.arange(self.n_tokens), np.diff(self.starts))

    def place(self, token: int) -> tuple[int, int]:
        """Return the text that a token is in, and its position there."""
        token = self._token(token)
        ends = np.cumsum([len(text) for text in self.texts])
        text = int(np.searchsorted(ends, token, side="right"))
        return text, token - (int(ends[text - 1]) if text else 0)

    def name(self, latent: int) -> str:
        """Return what a latent is called: "latent 5", or "latent 5 (years)" where it has a name."""
        given = self.names.get(latent)
        return f"latent {latent} ({given})" if given else f"latent {latent}"

    def at(self, token: int) -> list[tuple[int, float]]:
        """Return the latents that fire on a token with their activations, the strongest first."""
        token = self._token(token)
        here = slice(self.starts[token], self.starts[token + 1])
        order = np.argsort(-np.abs(self.activations[here]), kind="stable")
        return [(int(self.latents[here][n]), float(self.activations[here][n])) for n in order]

    def ranked(self, by: Ranking = "max", n: int = 10) -> list[tuple[int, float]]:
        """Return the n latents that lead by a statistic over the texts, with its value.

        `max` is the largest size of an activation, `mean` the mean over tokens, `density` the share of tokens it fires
        on, `difference` the mean on the first side minus that on the second, ranked by size. Latents that never fire
        are left out, and so are all of them as long as one of the sides is yet to be read.

        Raises:
            UnknownNameError: another ranking.
            ResultError: a difference between sides where there is one.
        """
        if by not in RANKINGS:
            raise unknown_name("ranking", by, RANKINGS)
        values = self.statistic(by)
        firing = np.flatnonzero(self.fires.any(axis=0) & np.isfinite(values))
        order = firing[np.argsort(-np.abs(values[firing]), kind="stable")[:n]]
        return [(int(latent), float(values[latent])) for latent in order]

    def statistic(self, by: Ranking) -> NDArray[np.float64]:
        """Return a statistic of every latent, (latent,), as `ranked` says. NaN where nothing has been read.

        Raises:
            UnknownNameError: another statistic.
            ResultError: a difference between sides where there is one.
        """
        if by not in RANKINGS:
            raise unknown_name("ranking", by, RANKINGS)
        if by == "max":
            strongest = np.abs(self.maximum).argmax(axis=0)
            largest: NDArray[np.float64] = np.take_along_axis(self.maximum, strongest[None], 0)[0].astype(np.float64)
            return largest
        if by == "difference":
            one, other = self._sides()
            return self._mean(self.total, one) - self._mean(self.total, other)
        return self._mean(self.fires if by == "density" else self.total, slice(None))

    def _mean(self, sums: NDArray[Any], texts: slice | NDArray[np.bool_]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            mean: NDArray[np.float64] = sums[texts].sum(axis=0) / self.tokens_read[texts].sum()
        return mean

    def _sides(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which texts are on the first side and which on the second."""
        names = list(dict.fromkeys(self.sides))
        if len(names) < 2:
            raise ResultError("There is no second text to compare with. Pass one as against=.")
        sides = np.array(self.sides)
        return sides == names[0], sides == names[1]

    @property
    def tokens_read(self) -> NDArray[np.int64]:
        """(text,): how many tokens of each text have been read."""
        ends = np.cumsum([len(text) for text in self.texts])[:-1]
        return np.array([part.sum() for part in np.split(self.computed, ends)], dtype=np.int64)

    def to_frame(self) -> pd.DataFrame:
        """One row for each latent that fires on a token (needs pandas).

        Columns: `text` (its number), `side`, `position` (of the token in its text), `token` (its label), `latent`,
        `name` (empty where it has none) and `activation`.
        """
        import pandas as pd

        lengths = [len(text) for text in self.texts]
        text = np.repeat(np.arange(len(self.texts)), lengths)[self._tokens]
        begins = np.cumsum([0, *lengths])[:-1]
        labels = np.array([label for tokens in self.texts for label in tokens.labels], dtype=object)
        table: pd.DataFrame = pd.DataFrame(
            {
                "text": text,
                "side": np.array(self.sides, dtype=object)[text],
                "position": self._tokens - begins[text],
                "token": labels[self._tokens],
                "latent": self.latents,
                "name": np.array([self.names.get(int(latent), "") for latent in self.latents], dtype=object),
                "activation": self.activations,
            }
        )
        return table

    def to_xarray(self, latents: Sequence[int] | None = None) -> xr.DataArray:
        """Some latents on every token, with the axes (latent, token), named (needs xarray).

        Args:
            latents: which; by default those that were asked for as `columns`, or else the ten strongest.
        """
        import xarray as xr

        if latents is None:
            latents = list(self.columns) or [latent for latent, _ in self.ranked()]
        places = [self.place(token) for token in range(self.n_tokens)]
        return xr.DataArray(
            np.stack([self.column(latent) for latent in latents])
            if len(latents)
            else np.zeros((0, self.n_tokens), np.float32),
            dims=("latent", "token"),
            coords={
                "latent": list(latents),
                "name": ("latent", [self.names.get(latent, "") for latent in latents]),
                "text": ("token", [text for text, _ in places]),
                "position": ("token", [position for _, position in places]),
                "label": ("token", [label for tokens in self.texts for label in tokens.labels]),
            },
            name="activation",
            attrs={"dictionary": self.dictionary.name, "model": self.provenance.model},
        )

    def script(self, latent: int) -> str:
        """The lines of nnsight that read one latent and print its activations; they run as they are printed.

        They read the first text: of one that is longer than the model's context, as far as that reaches, and 512 tokens
        at most where what comes later changes nothing.

        Raises:
            SelectionError: there is no such latent.
            ResultError: the result came without code.
        """
        self._check(latent)
        if not self.code:
            raise ResultError(
                f"There are no lines for {self.dictionary.name}: the result is older than they are, or what it encodes "
                "is at no site of the model."
            )
        return Template(self.code).safe_substitute(latent=latent)

    def summary(self) -> str:
        """Say in words what was read and what stands out."""
        from interp_widgets.results.features_in_words import summary

        return summary(self)

    @property
    def concepts(self) -> Concepts:
        """What people call its latents and wrote about them, to be saved in a small file of their own."""
        info = self.dictionary
        return Concepts(info.name, info.fingerprint, info.n_latents, self.names, self.notes)

    def with_concepts(self, concepts: Concepts) -> FeatureResult:
        """The same result with more names and notes; where both say something, the new ones count.

        Raises:
            ResultError: they are about another dictionary.
        """
        merged = self.concepts.merged(concepts)
        return replace(self, names=merged.names, notes=merged.notes)

    def shape_in_words(self) -> str:
        """How much there is, such as "1,024 latents on 31 tokens"."""
        texts = f" of {len(self.texts)} texts" if len(self.texts) > 1 else ""
        return f"{counted(self.dictionary.n_latents, 'latent')} on {counted(self.n_tokens, 'token')}{texts}"

    def __repr__(self) -> str:
        unread = int((~self.computed).sum())
        return (
            f"FeatureResult({self.shape_in_words()}, {self.dictionary.name} at {self.dictionary.reads}"
            f"{', ' + counted(unread, 'token') + ' not read' if unread else ''})"
        )

    def _contents(self) -> Contents:
        from interp_widgets.results.features_packing import contents

        return contents(self)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> FeatureResult:
        from interp_widgets.results.features_packing import of_contents

        return of_contents(header, arrays)

    def _token(self, token: int) -> int:
        if not -self.n_tokens <= token < self.n_tokens:
            raise SelectionError(f"There is no token {token}: the texts have tokens 0 to {self.n_tokens - 1}.")
        return token % self.n_tokens

    def _check(self, latent: int) -> None:
        if not 0 <= latent < self.dictionary.n_latents:
            raise SelectionError(
                f"There is no latent {latent}: those of {self.dictionary.name} are 0 to "
                f"{self.dictionary.n_latents - 1}."
            )
