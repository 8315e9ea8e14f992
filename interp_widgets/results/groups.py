"""The result of patching groups of activations, each group together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import unknown_name
from interp_widgets.results.intervals import interval
from interp_widgets.results.packing import by_metric, of_metrics, pairs_of, story_of
from interp_widgets.results.patching import Pair
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.story import Story
from interp_widgets.results.terms import metric_term

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class GroupResult(Saved):
    """What patching each group did to the model's answer. Arrays of groups have the axes (prompt, group)."""

    groups: Mapping[str, tuple[Mapping[str, Any], ...]]
    """The cells of each group, by its name."""
    pairs: tuple[Pair, ...]
    story: Story
    metric: str
    """The metric asked for; `values` holds others as well."""
    values: Mapping[str, NDArray[np.float32]]
    """Raw value of every metric, in the metric's own unit; NaN where not computed."""
    baselines: Mapping[str, NDArray[np.float64]]
    """For every metric, (prompt, 2): its value in the clean and in the corrupt run."""
    provenance: Provenance

    @property
    def names(self) -> tuple[str, ...]:
        """The groups' names, in the order of the arrays."""
        return tuple(self.groups)

    @property
    def complete(self) -> bool:
        """Whether every group is computed for every pair."""
        return self.remaining == 0

    @property
    def remaining(self) -> int:
        """How many groups of pairs are still to be computed."""
        return int(self._pending.sum())

    def value(self, metric: str | None = None) -> NDArray[np.float32]:
        """Raw values of a metric, in its own unit, (prompt, group).

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        name = self.metric if metric is None else metric
        if name not in self.values:
            raise unknown_name("metric", name, self.values)
        return self.values[name]

    def effect(self, metric: str | None = None) -> NDArray[np.float64]:
        """Share of the gap between the two baselines that each group closes, (prompt, group).

        0 is the host run unchanged and 1 the other run in full; neither end is clipped. NaN where there is no gap.

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        values = self.value(metric)
        ends = self.baselines[self.metric if metric is None else metric]
        host, donor = (ends[:, side, None] for side in (self.story.host, self.story.donor))
        with np.errstate(divide="ignore", invalid="ignore"):
            share: NDArray[np.float64] = np.where(donor != host, (values - host) / (donor - host), np.nan)
        return share + 0.0  # no negative zeros

    def mean_effect(self, metric: str | None = None) -> NDArray[np.float64]:
        """Mean of `effect` over pairs, (group,); NaN for groups that some pairs lack."""
        mean: NDArray[np.float64] = self.effect(metric).mean(axis=0)
        return mean

    def interval(self, metric: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The 95% confidence interval of `mean_effect`, (low, high), each (group,); NaN for one pair, or where it is.

        By Student's t, so it takes pairs as independent draws.
        """
        return interval(self.effect(metric))

    def to_frame(self) -> pd.DataFrame:
        """One row for each pair, group and metric: `prompt`, `group`, `metric`, `value`, `effect` (needs pandas)."""
        import pandas as pd

        prompt, group = (axis.ravel() for axis in np.indices((len(self.pairs), len(self.names))))
        table: pd.DataFrame = pd.concat(
            [
                pd.DataFrame(
                    {
                        "prompt": prompt,
                        "group": np.array(self.names, dtype=object)[group],
                        "metric": metric,
                        "value": values.ravel(),
                        "effect": self.effect(metric).ravel(),
                    }
                )
                for metric, values in self.values.items()
            ],
            ignore_index=True,
        )
        return table

    def summary(self) -> str:
        """Say in words what each group did, the strongest first."""
        effect, term = self.mean_effect(), metric_term(self.metric)
        low, high = self.interval()
        one, other = self.baselines[self.metric].mean(axis=0)
        several = f", mean of {len(self.pairs)} pairs" if len(self.pairs) > 1 else ""
        lines = [
            f"Groups patched in the {self.story.sides[self.story.host]} run of {self.provenance.model}{several}. "
            f"{term.label} {one:+.3g} {self.story.sides[0]}, {other:+.3g} {self.story.sides[1]}."
        ]
        for at in np.argsort(-np.abs(effect)).tolist():
            sure = f" (95% interval {low[at]:+.2f} to {high[at]:+.2f})" if len(self.pairs) > 1 else ""
            count = len(self.groups[self.names[at]])
            cells = f"{count} cell{'s' * (count != 1)}"
            said = f"effect {effect[at]:+.2f}{sure}" if np.isfinite(effect[at]) else self._without_effect(at)
            lines.append(f"{self.names[at]}, {cells}: {said}.")
        return "\n".join(lines)

    @property
    def _pending(self) -> NDArray[np.bool_]:
        pending: NDArray[np.bool_] = np.logical_and.reduce([np.isnan(values) for values in self.values.values()])
        return pending

    def _without_effect(self, group: int) -> str:
        pending = self._pending[:, group]
        return "not computed" + " for all pairs" * (not pending.all()) if pending.any() else "no gap, so no effect"

    def __repr__(self) -> str:
        pairs = f"{len(self.pairs)} pair{'s' * (len(self.pairs) > 1)}"
        left = f", {self.remaining} not computed" if self.remaining else ""
        return f"GroupResult({', '.join(self.names)}; {pairs}, {self.metric}{left})"

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, GroupResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def _contents(self) -> Contents:
        header = {
            "groups": [[name, [dict(cell) for cell in cells]] for name, cells in self.groups.items()],
            "pairs": [asdict(pair) for pair in self.pairs],
            "story": asdict(self.story),
            "metric": self.metric,
            "metrics": list(self.values),
            "provenance": asdict(self.provenance),
        }
        return header, by_metric("values", self.values) | by_metric("baselines", self.baselines)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> GroupResult:
        return cls(
            groups={name: tuple(cells) for name, cells in header["groups"]},
            pairs=pairs_of(header["pairs"]),
            story=story_of(header["story"]),
            metric=header["metric"],
            values=of_metrics("values", arrays, header["metrics"]),
            baselines=of_metrics("baselines", arrays, header["metrics"]),
            provenance=Provenance(**header["provenance"]),
        )
