"""How well a circuit stands for the model: faithful, complete, minimal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import unknown_name
from interp_widgets.results.intervals import interval, t95
from interp_widgets.results.packing import by_metric, of_metrics, pairs_of
from interp_widgets.results.patching import Pair
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.terms import metric_term

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Subset:
    """Components of a circuit that are taken out together."""

    removed: tuple[int, ...]
    """Their numbers in `CircuitResult.circuit`."""
    found: Literal["every", "random", "greedy"]
    """Whether every subset was tried, or this one was drawn, or searched for."""


@dataclass(frozen=True, eq=False, repr=False)
class CircuitResult(Saved):
    """What is left of the model's answer when all but a circuit is ablated.

    F is a metric, M the whole model, C the circuit, and F(X) the metric when all components outside X are ablated.
    Values are raw, in the metric's own unit, for each prompt; NaN where not computed.
    """

    circuit: tuple[Mapping[str, Any], ...]
    """Its components: heads {"site": "z", "layer", "head"} and MLPs {"site": "mlp_out", "layer"}."""
    n_components: int
    """Number of components of the model, those of the circuit among them."""
    how: str
    """What ablated components are replaced by, "mean" or "resample"; `provenance.settings` says of what."""
    pairs: tuple[Pair, ...]
    metric: str
    """The metric asked for; the others are there as well."""
    ends: Mapping[str, NDArray[np.float32]]
    """For every metric, (prompt, 3): F(M), F(C), and F of nothing, with every component ablated."""
    subsets: tuple[Subset, ...]
    """The subsets K of the circuit that completeness was tried on."""
    completeness: Mapping[str, NDArray[np.float32]]
    """For every metric, (prompt, subset, 2): F(M without K) and F(C without K)."""
    knockouts: tuple[tuple[int, ...], ...]
    """For each component, the others that were out as well when it was judged, by their numbers."""
    minimality: Mapping[str, NDArray[np.float32]]
    """For every metric, (prompt, component, 2): F(C without K), and F(C without K and the component)."""
    provenance: Provenance
    complete: bool = True
    """Whether the check is finished. If not, subsets may be missing, and knockouts that are searched for are empty."""

    def gap(self, metric: str | None = None) -> NDArray[np.float64]:
        """F(M) - F(C) for each prompt, in the metric's unit: 0 is faithful (Wang et al. 2022 take its mean's size)."""
        ends = self._of(self.ends, metric)
        return ends[:, 0] - ends[:, 1]

    def faithfulness(self, metric: str | None = None) -> NDArray[np.float64]:
        """(F(C) - F(nothing)) / (F(M) - F(nothing)) for each prompt: 1 is faithful, 0 no better than nothing.

        Not clipped: a circuit without what the model has against the answer is above 1. NaN where there is no gap.
        """
        ends = self._of(self.ends, metric)
        whole = ends[:, 0] - ends[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            share: NDArray[np.float64] = np.where(whole != 0, (ends[:, 1] - ends[:, 2]) / whole, np.nan)
        return share

    def mean_faithfulness(self, metric: str | None = None) -> float:
        """The share that the mean F(C) has of the mean gap, as Marks et al. (2024) define faithfulness."""
        full, kept, empty = self._of(self.ends, metric).mean(axis=0).tolist()
        return float("nan") if full == empty else (kept - empty) / (full - empty)

    def faithfulness_interval(self, metric: str | None = None) -> tuple[float, float]:
        """The 95% confidence interval of `mean_faithfulness`, (low, high), as a ratio of two means; NaN for one prompt.

        By Student's t on its linear part, so it takes prompts as independent draws.
        """
        ends, share = self._of(self.ends, metric), self.mean_faithfulness(metric)
        count = len(ends)
        if count < 2:
            return float("nan"), float("nan")
        whole = ends[:, 0] - ends[:, 2]
        rest = ends[:, 1] - ends[:, 2] - share * whole
        half = float(t95(np.array(count - 1)) * rest.std(ddof=1) / np.sqrt(count) / abs(whole.mean()))
        return share - half, share + half

    def incompleteness(self, metric: str | None = None) -> NDArray[np.float64]:
        """F(M without K) - F(C without K), (prompt, subset): 0 where the circuit breaks as the model does."""
        values = self._of(self.completeness, metric)
        return values[..., 0] - values[..., 1]

    def contribution(self, metric: str | None = None) -> NDArray[np.float64]:
        """F(C without K) - F(C without K and v), (prompt, component): 0 where component v is not needed."""
        values = self._of(self.minimality, metric)
        return values[..., 0] - values[..., 1]

    def names(self, numbers: Iterable[int] | None = None) -> str:
        """Name components of the circuit in words, all by default: "heads 9.6 and 10.0, MLP 3"."""
        chosen = self.circuit if numbers is None else [self.circuit[number] for number in numbers]
        heads = [f"{cell['layer']}.{cell['head']}" for cell in chosen if "head" in cell]
        mlps = [str(cell["layer"]) for cell in chosen if "head" not in cell]
        listed = [_listed("head", heads), _listed("MLP", mlps)]
        return ", ".join(filter(None, listed)) or "nothing"

    def summary(self) -> str:
        """Say in words how faithful, complete and minimal the circuit is."""
        term = metric_term(self.metric)
        ends = self._of(self.ends, None)
        full, kept, empty = ends.mean(axis=0).tolist()
        count = len(self.pairs)
        over = f", mean of {count} prompts" if count > 1 else ""
        low, high = self.faithfulness_interval()
        sure = f" (95% interval {low:.2f} to {high:.2f})" if count > 1 else ""
        lines = [
            f"Circuit of {len(self.circuit)} of {self.n_components} components of {self.provenance.model}: "
            f"{self.names()}; all others by {self.how} ablation{over}.",
            f"Faithfulness: {term.label} {kept:+.3g} for the circuit, {full:+.3g} for the model, {empty:+.3g} with all "
            f"ablated. It keeps {self.mean_faithfulness():.2f} of the gap{sure}, and lacks {full - kept:+.3g}."
            if np.isfinite(ends).all()
            else "Faithfulness: not computed.",
        ]
        gaps, parts = self.incompleteness(), self.contribution()
        if np.isfinite(gaps.sum(axis=0)).any():
            worst = int(np.nanargmax(np.abs(gaps.mean(axis=0))))
            lines.append(
                f"Completeness: of {len(self.subsets)} subsets, model and circuit differ most without "
                f"{self.names(self.subsets[worst].removed)}: by {_mean(gaps[:, worst])}."
            )
        if np.isfinite(parts.sum(axis=0)).any():
            least = int(np.nanargmin(np.abs(parts.mean(axis=0))))
            without = f", with {self.names(self.knockouts[least])} out as well" if self.knockouts[least] else ""
            lines.append(
                f"Minimality: the least that one component brings is {_mean(parts[:, least])}, "
                f"{self.names([least])}{without}."
            )
        if not self.complete:
            lines.append("The check is not finished.")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """One row for each prompt, comparison and metric (needs pandas).

        Columns: `check` ("faithfulness", "nothing", "completeness" or "minimality"), `prompt`, `component` (of
        minimality), `removed` (K), `metric`, `value` and `reference`, and their `difference`, reference minus value:
        F(C) beside F(M); F of nothing beside F(M); F(C without K) beside F(M without K); F(C without K and the
        component) beside F(C without K).
        """
        import pandas as pd

        rows = []
        for metric in self.ends:
            for prompt in range(len(self.pairs)):
                full, kept, empty = self._of(self.ends, metric)[prompt].tolist()
                rows += [
                    ("faithfulness", prompt, "", "", metric, kept, full),
                    ("nothing", prompt, "", "", metric, empty, full),
                ]
                for subset, values in zip(self.subsets, self._of(self.completeness, metric)[prompt], strict=True):
                    rows.append(("completeness", prompt, "", self.names(subset.removed), metric, values[1], values[0]))
                for number, values in enumerate(self._of(self.minimality, metric)[prompt]):
                    removed = self.names(self.knockouts[number]) if self.knockouts[number] else ""
                    component = self.names([number])
                    rows.append(("minimality", prompt, component, removed, metric, values[1], values[0]))
        columns = ["check", "prompt", "component", "removed", "metric", "value", "reference"]
        table: pd.DataFrame = pd.DataFrame(rows, columns=columns)
        table["difference"] = table["reference"] - table["value"]
        return table

    def _of(self, values: Mapping[str, NDArray[np.float32]], metric: str | None) -> NDArray[np.float64]:
        name = self.metric if metric is None else metric
        if name not in values:
            raise unknown_name("metric", name, values)
        return values[name].astype(np.float64)

    def __repr__(self) -> str:
        left = "" if self.complete else ", not finished"
        return f"CircuitResult({self.names()}; {len(self.pairs)} prompts, {self.how}, {self.metric}{left})"

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, CircuitResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def _contents(self) -> Contents:
        header = {
            "circuit": [dict(cell) for cell in self.circuit],
            "n_components": self.n_components,
            "how": self.how,
            "pairs": [asdict(pair) for pair in self.pairs],
            "metric": self.metric,
            "metrics": list(self.ends),
            "subsets": [asdict(subset) for subset in self.subsets],
            "knockouts": self.knockouts,
            "provenance": asdict(self.provenance),
            "complete": self.complete,
        }
        arrays = (by_metric(name, getattr(self, name)) for name in ("ends", "completeness", "minimality"))
        return header, {name: array for each in arrays for name, array in each.items()}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> CircuitResult:
        return cls(
            circuit=tuple(header["circuit"]),
            n_components=header["n_components"],
            how=header["how"],
            pairs=pairs_of(header["pairs"]),
            metric=header["metric"],
            ends=of_metrics("ends", arrays, header["metrics"]),
            subsets=tuple(Subset(tuple(subset["removed"]), subset["found"]) for subset in header["subsets"]),
            completeness=of_metrics("completeness", arrays, header["metrics"]),
            knockouts=tuple(map(tuple, header["knockouts"])),
            minimality=of_metrics("minimality", arrays, header["metrics"]),
            provenance=Provenance(**header["provenance"]),
            complete=header["complete"],
        )


def _listed(noun: str, names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(f"{noun} {name}" for name in names)
    return f"{noun}s {', '.join(names[:-1])} and {names[-1]}"


def _mean(values: NDArray[np.float64]) -> str:
    """The mean over prompts, with its confidence interval where there is one."""
    if len(values) < 2:
        return f"{values.mean():+.3g}"
    low, high = (float(end) for end in interval(values))
    return f"{values.mean():+.3g} (95% interval {low:+.3g} to {high:+.3g})"
