"""The result of activation patching: one panel of cells for each site, for one or more pairs of prompts."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from string import Template
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.estimates import Comparison, Estimates
from interp_widgets.results.intervals import t95
from interp_widgets.results.panel import Panel
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.story import Story
from interp_widgets.results.terms import Direction, Site, metric_term
from interp_widgets.results.tokens import Token, Tokens, differing

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Status(IntEnum):
    """What is known of a cell."""

    PENDING = 0
    """Not computed: still to come, or left out by a cancelled run."""
    COMPUTED = 1
    """Measured by running the model."""
    KNOWN = 2
    """Certain without running the model, for instance where both prompts still agree."""
    LEFT_OUT = 3
    """Not asked for, or beyond the edge of a panel that is smaller than others."""
    ESTIMATED = 4
    """Estimated by attribution patching, in the metric that was asked for. An exact value takes its place if the
    cell is one of `Estimates.exact`."""


@dataclass(frozen=True)
class Prediction:
    """A next token with its probability."""

    token: Token
    prob: float


@dataclass(frozen=True)
class Pair:
    """A clean and a corrupt prompt of equal length, the answers they call for, and what the model says to each."""

    clean: Tokens
    corrupt: Tokens
    answer: Token
    """What the clean prompt calls for."""
    wrong_answer: Token
    """What the corrupt prompt calls for."""
    answer_source: Literal["given", "model"] = "given"
    """`model` when an answer was not given, so that the model's own top prediction stands in for it."""
    clean_top: tuple[Prediction, ...] = ()
    corrupt_top: tuple[Prediction, ...] = ()

    noised: tuple[int, ...] = ()
    """Positions whose embeddings carry noise on the corrupt side, which then has the same tokens."""

    @property
    def differs(self) -> tuple[int, ...]:
        """Positions at which the two sides differ: in their tokens, or by noise.

        None where there is only one side, nor where one is longer, so that positions mean something else in each.
        """
        if self.noised or len(self.clean) != len(self.corrupt):
            return self.noised
        return differing(self.clean, self.corrupt)


@dataclass(frozen=True)
class CellCode:
    """The lines of nnsight that compute one cell, as templates in the manner of `string.Template`.

    A site's template holds `$layer`, `$clean_ids`, `$corrupt_ids`, `$metric` and what else its cells are named by
    (`$pos`, `$head`, `$neuron`, `$role` as a quoted string); a metric's lines, which replace `$metric`, hold `$answer`
    and `$wrong_answer`.
    """

    sites: Mapping[str, str]
    metrics: Mapping[str, str]
    fills: Mapping[str, list[str]] = field(default_factory=dict)
    """What fills in for each pair besides its ids, by placeholder: such as where its roles are."""
    mean: Mapping[str, str] = field(default_factory=dict)
    """What fills in instead where the mean of all pairs is meant; empty where the lines are about one pair only."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Of sites without lines, why a few do not do."""

    def filled(self, pair: int | None) -> dict[str, str]:
        """What fills in for a pair, or for the mean of all: for the first where there are no lines about the mean."""
        own = {name: texts[pair or 0] for name, texts in self.fills.items()}
        return {**own, **self.mean} if pair is None else own


@dataclass(frozen=True, eq=False, repr=False)
class PatchingResult(Saved):
    """What each patch did to the model's answer.

    Every array of cells has the axes (prompt, site, row, column). With `by="pos"`, the default of the stream's sites,
    rows are layers and columns positions; `panels` says what they are for each site, and `panel_effect` returns one
    site without the padding that a wider one next to it brings. A cell is one run of the host prompt (corrupt when
    `direction` is "denoising", clean when it is "noising") in which one activation is replaced; `story` says by what.
    """

    pairs: tuple[Pair, ...]
    panels: tuple[Panel, ...]
    story: Story
    metric: str
    """The metric asked for; `values` holds others as well."""
    values: Mapping[str, NDArray[np.float32]]
    """Raw value of every metric, in the metric's own unit; NaN where not computed."""
    baselines: Mapping[str, NDArray[np.float64]]
    """For every metric, (prompt, 2): its value in the clean and in the corrupt run."""
    status: NDArray[np.uint8]
    """A `Status` for each cell."""
    top_ids: NDArray[np.int32]
    """(prompt, site, row, column, k): the k most likely next tokens after the patch, -1 where not computed."""
    top_probs: NDArray[np.float32]
    """(prompt, site, row, column, k): their probabilities."""
    vocab: Mapping[int, str]
    """Label of every token id in `top_ids`."""
    provenance: Provenance
    code: CellCode = field(default_factory=lambda: CellCode({}, {}))
    estimates: Estimates | None = None
    """What cells were estimated to do before they were run, kept beside the exact values; None without estimates."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The site of each panel."""
        return tuple(panel.site for panel in self.panels)

    @property
    def direction(self) -> Direction:
        """Which run is patched: the corrupt one in denoising, the clean one in noising."""
        return "denoising" if self.story.host else "noising"

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of the first panel."""
        return self.panels[0].layers

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics that the result holds."""
        return tuple(self.values)

    @property
    def complete(self) -> bool:
        """Whether every cell is computed or known, but for those that were to stay estimates."""
        return self.remaining == 0

    @property
    def remaining(self) -> int:
        """Number of cells that are still to be computed."""
        return int(np.count_nonzero(remaining(self.status, self.estimates)))

    @property
    def length(self) -> int:
        """Number of token positions of the first prompt."""
        return len(self.pairs[0].clean)

    def value(self, metric: str | None = None) -> NDArray[np.float32]:
        """Raw values of a metric, in its own unit, with the axes (prompt, site, row, column).

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        return self.values[self._metric(metric)]

    def effect(self, metric: str | None = None) -> NDArray[np.float64]:
        """Share of the gap between the two baselines that each patch closes, with the axes (prompt, site, row, column).

        0 is the host run unchanged and 1 the other run in full. Below 0 the patch pushes away from the other run, above
        1 it overshoots it; neither end is clipped. NaN where a cell is not computed or this metric has no gap.

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        name = self._metric(metric)
        ends = self.baselines[name].T[:, :, None, None, None]
        return _share(self.values[name], ends[self.story.host], ends[self.story.donor])

    def estimated_effect(self) -> NDArray[np.float64]:
        """Share of the gap that each patch was estimated to close, with the axes (prompt, site, row, column).

        It is about the metric that was asked for, `estimates.metric`, and NaN where a cell has no estimate. Compare it
        with `effect(estimates.metric)`.

        Raises:
            ResultError: the result has no estimates.
        """
        estimates = self._estimates()
        ends = self.baselines[estimates.metric].T[:, :, None, None, None]
        return _share(estimates.values, ends[self.story.host], ends[self.story.donor])

    def compare(self, site: Site) -> Comparison:
        """Estimated and exact effects of the cells of a site that have both.

        Raises:
            ResultError: the result has no estimates.
            UnknownNameError: the result holds no such site.
        """
        estimated, exact = self.estimated_effect(), self.effect(self._estimates().metric)
        number = self._site(site)
        both = (self.status[:, number] == Status.COMPUTED) & np.isfinite(estimated[:, number])
        lines = self.panels[number].lines
        layers = np.array([lines[row].layer for row in np.nonzero(both)[1]], dtype=np.int64)
        return Comparison(layers, estimated[:, number][both], exact[:, number][both])

    def rank_correlation(self, site: Site) -> float:
        """Spearman's correlation of estimated and exact effects, over the cells of a site that have both.

        1: the estimates order the cells as the exact values do. NaN where fewer than two cells have both. Where only
        the cells with the largest estimates were run, it is about those alone.

        Raises:
            ResultError: the result has no estimates.
            UnknownNameError: the result holds no such site.
        """
        return self.compare(site).rank_correlation

    def mean_effect(self, metric: str | None = None) -> NDArray[np.float64]:
        """Effect over the pairs computed so far, with the axes (site, row, column).

        The mean of `effect`; where pairs are samples of one noise, the share that the mean value has of the mean gap,
        since a single sample's gap may be next to nothing.
        """
        name = self._metric(metric)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # cells that no pair has yet stay NaN
            if self.story.averaging == "shares":
                mean: NDArray[np.float64] = np.nanmean(self.effect(name), axis=0)
                return mean
            values = self.values[name]
            ends = np.where(np.isnan(values), np.nan, self.baselines[name].T[:, :, None, None, None])
            host, donor = (np.nanmean(ends[side], axis=0) for side in (self.story.host, self.story.donor))
            return _share(np.nanmean(values, axis=0, dtype=np.float64), host, donor)

    def spread(self, metric: str | None = None) -> NDArray[np.float64]:
        """Standard deviation of `effect` between pairs (n - 1 in the denominator), with the axes (site, row, column).

        NaN where fewer than two pairs are computed.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            spread: NDArray[np.float64] = np.nanstd(self.effect(metric), axis=0, ddof=1)
        return spread

    def interval(self, metric: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The 95% confidence interval of the mean of `effect` over pairs: (low, high), each (site, row, column).

        By Student's t, so it takes pairs as independent draws whose effects are roughly normal. NaN where fewer than
        two pairs are computed.
        """
        effect = self.effect(metric)
        count = np.isfinite(effect).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            mean = np.nanmean(effect, axis=0)
            half = np.where(count > 1, t95(count - 1) * self.spread(metric) / np.sqrt(count), np.nan)
        return mean - half, mean + half

    def panel_effect(self, site: Site, metric: str | None = None) -> NDArray[np.float64]:
        """`effect` of one site alone, with the axes (prompt, row, column) and nothing beyond its own cells.

        Raises:
            UnknownNameError: the result holds no such site or metric.
        """
        number = self._site(site)
        panel = self.panels[number]
        return self.effect(metric)[:, number, : len(panel.lines), : panel.width(self.length)]

    def find(self, cell: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return the indices (site, row, column) of a cell such as {"site": "z", "layer": 9, "head": 6}.

        Raises:
            UnknownNameError: the result holds no such site.
            SelectionError: the panel has no such cell.
        """
        if not isinstance(cell, Mapping) or "site" not in cell:
            raise SelectionError(f"a cell is a dictionary with its 'site' and its place, not {cell!r}.")
        number = self._site(cell["site"])
        return (number, *self.panels[number].find(cell, self.length))

    def strongest(self, metric: str | None = None, sites: Collection[Site] | None = None) -> dict[str, Any]:
        """Return the cell with the largest effect in either direction, over all pairs; an estimate counts for less.

        Args:
            metric: which effect; by default that on the metric asked for.
            sites: where to look; everywhere by default.

        Raises:
            ResultError: no cell has an effect in this metric so far.
        """
        effect = self._strengths(metric)
        if sites is not None:
            effect[[site not in sites for site in self.sites]] = np.nan
        if not np.isfinite(effect).any():
            raise ResultError("no cell has an effect in this metric so far: name a cell.")
        site, row, column = np.unravel_index(int(np.nanargmax(effect)), effect.shape)
        return self.panels[site].name(int(row), int(column))

    def to_frame(self) -> pd.DataFrame:
        """One row for each cell, pair and metric (needs pandas).

        Columns: `prompt` (number of the pair), `site`, `layer`, then as far as they apply `head`, `latent`, `name` (of
        the latent), `pos`, `token` and `token_corrupt` (the labels in both prompts), `neuron` and `role`; `metric`,
        `value` (in its unit), `estimate` (of the same, where cells were estimated first), `effect` (share of the gap),
        `status`.
        """
        from interp_widgets.results.tables import frame

        return frame(self)

    def to_xarray(self) -> xr.Dataset:
        """`value`, `effect`, `status` and, if there are any, `estimate` as arrays with named axes (needs xarray).

        The axes are (metric, prompt, site, layer, pos) where all panels are made alike; what columns are takes the
        place of `pos`, and rows that are heads or latents are called `row`.

        Raises:
            ResultError: the panels differ; `to_frame` holds any of them.
        """
        from interp_widgets.results.tables import dataset

        return dataset(self)

    def summary(self) -> str:
        """Say in words what was measured and where the effect is strongest."""
        effect = self.mean_effect()
        term = metric_term(self.metric)
        first = self.pairs[0]
        one, other = self.baselines[self.metric].mean(axis=0)
        several = f", mean of {len(self.pairs)} {self.story.noun}s" if len(self.pairs) > 1 else ""
        answers = {(pair.answer.label, pair.wrong_answer.label) for pair in self.pairs}
        own = (
            " (the model's own predictions where none were given)"
            if "model" in {p.answer_source for p in self.pairs}
            else ""
        )
        said = (
            f"Answer {first.answer.label}, wrong answer {first.wrong_answer.label}" if len(answers) == 1 else "Answers"
        )
        deed = Template(self.story.deed).safe_substitute(what=", ".join(self.sites))
        lines = [
            f"{deed}, in the {self.story.sides[self.story.host]} run of {self.provenance.model}{several}.",
            f"{said}{own}: {term.label} {one:+.3g} {self.story.sides[0]}, {other:+.3g} {self.story.sides[1]}.",
        ]
        for number, panel in enumerate(self.panels):
            strengths = self._strengths()[number]
            if not np.isfinite(strengths).any():
                none = "nothing computed yet" if (self.status == Status.PENDING).any() else "no gap, so no effect"
                lines.append(f"{panel.site}: {none}.")
                continue
            row, column = (int(at) for at in np.unravel_index(np.nanargmax(strengths), strengths.shape))
            lines.append(
                f"{panel.site}: strongest at {panel.place(row, column, self._token(panel, column))}: "
                f"effect {effect[number, row, column]:+.2f}."
            )
        asked = int((self.status != Status.LEFT_OUT).sum())
        estimated, pending = (int((self.status == status).sum()) for status in (Status.ESTIMATED, Status.PENDING))
        if estimated:
            lines.append(f"{estimated} of {asked} cells are estimates only, by gradients.")
        if pending:
            lines.append(f"{pending} of {asked} cells are not computed.")
        return "\n".join(lines)

    def _strengths(self, metric: str | None = None) -> NDArray[np.float64]:
        """Sizes of the mean effects, (site, row, column); of a site with exact ones, NaN for its estimates."""
        strengths = np.abs(self.mean_effect(metric))
        estimated = (self.status == Status.ESTIMATED).any(axis=0)
        for number, only in enumerate(estimated):
            if np.isfinite(strengths[number][~only]).any():
                strengths[number][only] = np.nan
        return strengths

    def _token(self, panel: Panel, column: int) -> str | None:
        """The token at a column that is a position, where all pairs agree on it."""
        labels = {pair.clean.labels[column] for pair in self.pairs} if panel.columns == "pos" else set()
        return labels.pop() if len(labels) == 1 else None

    def _contents(self) -> Contents:
        from interp_widgets.results.packing import contents

        return contents(self)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PatchingResult:
        from interp_widgets.results.packing import of_contents

        return of_contents(header, arrays)

    def with_metric(self, metric: str) -> PatchingResult:
        """The same result with another of its metrics in front.

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        return replace(self, metric=self._metric(metric))

    def __repr__(self) -> str:
        pending = self.remaining
        return (
            f"PatchingResult({self.shape_in_words()}, "
            f"{len(self.pairs)} {self.story.noun}{'s' * (len(self.pairs) > 1)}, "
            f"{self.story.label.partition(':')[0]}, {self.metric}"
            f"{f', {pending} cells not computed' * (pending > 0)})"
        )

    def shape_in_words(self) -> str:
        """The panels and their sizes, such as "z: 12 layers x 12 heads"."""
        sizes: dict[str, list[str]] = {}
        for panel in self.panels:
            rows = f"{panel.rows}s"
            columns = {"pos": "tokens", "layer": ""}.get(panel.columns, f"{panel.columns}s")
            size = f"{len(panel.lines)} {rows}" + (f" x {panel.width(self.length)} {columns}" if columns else "")
            sizes.setdefault(size, []).append(panel.site)
        return "; ".join(f"{', '.join(sites)}: {size}" for size, sites in sizes.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PatchingResult):
            return NotImplemented
        named = ("pairs", "panels", "story", "metric", "metrics", "vocab", "provenance", "code", "estimates")
        arrays: list[tuple[NDArray[Any], NDArray[Any]]] = [
            (self.status, other.status),
            (self.top_ids, other.top_ids),
            (self.top_probs, other.top_probs),
        ]
        return (
            all(getattr(self, name) == getattr(other, name) for name in named)
            and all(np.array_equal(left, right, equal_nan=True) for left, right in arrays)
            and all(
                np.array_equal(self.values[name], other.values[name], equal_nan=True)
                and np.array_equal(self.baselines[name], other.baselines[name])
                for name in self.metrics
            )
        )

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def _site(self, site: Any) -> int:
        if site not in self.sites:
            raise unknown_name("site", site, self.sites)
        return self.sites.index(site)

    def _estimates(self) -> Estimates:
        if self.estimates is None:
            raise ResultError("this result has no estimates. Compute it with preview=True.")
        return self.estimates

    def _metric(self, metric: str | None) -> str:
        name = self.metric if metric is None else metric
        if name not in self.values:
            raise unknown_name("metric", name, self.metrics)
        return name


def remaining(status: NDArray[np.uint8], estimates: Estimates | None) -> NDArray[np.bool_]:
    """Return which cells are still to be computed: those that are pending, and estimates that are not to stay."""
    pending: NDArray[np.bool_] = status == Status.PENDING
    return pending if estimates is None else pending | ((status == Status.ESTIMATED) & estimates.exact)


def _share(
    values: NDArray[np.floating[Any]], host: NDArray[np.float64], donor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far values have gone from the host's to the donor's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share: NDArray[np.float64] = np.where(donor != host, (values - host) / (donor - host), np.nan)
    return share + 0.0  # no negative zeros
