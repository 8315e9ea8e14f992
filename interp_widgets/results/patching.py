"""The result of activation patching: a grid of sites, layers and positions, for one or more pairs of prompts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError, unknown_name
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.terms import Direction, Site, metric_term
from interp_widgets.results.tokens import Token, Tokens, differing

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

AXES = ("prompt", "site", "layer", "pos")


class Status(IntEnum):
    """What is known of a cell."""

    PENDING = 0
    """Not computed: still to come, or left out by a cancelled run."""
    COMPUTED = 1
    """Measured by running the model."""
    KNOWN = 2
    """Certain without running the model, for instance where both prompts still agree."""
    LEFT_OUT = 3
    """Not asked for: a position outside `positions`."""


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

    @property
    def differs(self) -> tuple[int, ...]:
        """Positions at which the two prompts hold different tokens."""
        return differing(self.clean, self.corrupt)


@dataclass(frozen=True)
class CellCode:
    """The lines of nnsight that compute one cell, as templates in the manner of `string.Template`.

    A site's template holds `$layer`, `$pos`, `$clean_ids`, `$corrupt_ids` and `$metric`; a metric's lines, which
    replace `$metric`, hold `$answer` and `$wrong_answer`.
    """

    sites: Mapping[str, str]
    metrics: Mapping[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class PatchingResult:
    """What each patch did to the model's answer.

    Every array of cells has the axes (prompt, site, layer, pos). A cell is one run of the host prompt (corrupt when
    `direction` is "denoising", clean when it is "noising") in which the activation at that site, layer and position is
    copied from the other run.
    """

    pairs: tuple[Pair, ...]
    sites: tuple[Site, ...]
    layers: tuple[int, ...]
    direction: Direction
    metric: str
    """The metric asked for; `values` holds others as well."""
    values: Mapping[str, NDArray[np.float32]]
    """Raw value of every metric, in the metric's own unit; NaN where not computed."""
    baselines: Mapping[str, NDArray[np.float64]]
    """For every metric, (prompt, 2): its value in the clean and in the corrupt run."""
    status: NDArray[np.uint8]
    """A `Status` for each cell."""
    top_ids: NDArray[np.int32]
    """(prompt, site, layer, pos, k): the k most likely next tokens after the patch, -1 where not computed."""
    top_probs: NDArray[np.float32]
    """(prompt, site, layer, pos, k): their probabilities."""
    vocab: Mapping[int, str]
    """Label of every token id in `top_ids`."""
    provenance: Provenance
    code: CellCode = field(default_factory=lambda: CellCode({}, {}))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics that the result holds."""
        return tuple(self.values)

    @property
    def complete(self) -> bool:
        """Whether every cell is computed or known."""
        return bool((self.status != Status.PENDING).all())

    @property
    def length(self) -> int:
        """Number of token positions."""
        return len(self.pairs[0].clean)

    def value(self, metric: str | None = None) -> NDArray[np.float32]:
        """Raw values of a metric, in its own unit, with the axes (prompt, site, layer, pos).

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        return self.values[self._metric(metric)]

    def effect(self, metric: str | None = None) -> NDArray[np.float64]:
        """Share of the gap between the two baselines that each patch closes, with the axes (prompt, site, layer, pos).

        0 is the host run unchanged and 1 the other run in full. Below 0 the patch pushes away from the other run, above
        1 it overshoots it; neither end is clipped. NaN where a cell is not computed or this metric has no gap.

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        name = self._metric(metric)
        clean, corrupt = self.baselines[name].T[:, :, None, None, None]
        host, donor = (corrupt, clean) if self.direction == "denoising" else (clean, corrupt)
        with np.errstate(divide="ignore", invalid="ignore"):
            effect: NDArray[np.float64] = np.where(donor != host, (self.values[name] - host) / (donor - host), np.nan)
        return effect + 0.0  # no negative zeros

    def mean_effect(self, metric: str | None = None) -> NDArray[np.float64]:
        """Mean of `effect` over the pairs computed so far, with the axes (site, layer, pos)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # cells that no pair has yet stay NaN
            mean: NDArray[np.float64] = np.nanmean(self.effect(metric), axis=0)
        return mean

    def spread(self, metric: str | None = None) -> NDArray[np.float64]:
        """Standard deviation of `effect` between pairs (n - 1 in the denominator), with the axes (site, layer, pos).

        NaN where fewer than two pairs are computed.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            spread: NDArray[np.float64] = np.nanstd(self.effect(metric), axis=0, ddof=1)
        return spread

    def to_frame(self) -> pd.DataFrame:
        """One row for each cell, pair and metric (needs pandas).

        Columns: `prompt` (number of the pair), `site`, `layer`, `pos`, `token` and `token_corrupt` (the labels in both
        prompts), `metric`, `value` (in the metric's unit), `effect` (share of the gap), `status`.
        """
        import pandas as pd

        index = np.indices(self.status.shape).reshape(4, -1)
        prompt, site, layer, pos = index
        clean = np.array([pair.clean.labels for pair in self.pairs], dtype=object)
        corrupt = np.array([pair.corrupt.labels for pair in self.pairs], dtype=object)
        names = np.array([status.name.lower() for status in Status], dtype=object)
        cells = {
            "prompt": prompt,
            "site": np.array(self.sites, dtype=object)[site],
            "layer": np.array(self.layers)[layer],
            "pos": pos,
            "token": clean[prompt, pos],
            "token_corrupt": corrupt[prompt, pos],
        }
        parts = [
            pd.DataFrame(
                cells
                | {
                    "metric": metric,
                    "value": self.values[metric].ravel(),
                    "effect": self.effect(metric).ravel(),
                    "status": names[self.status.ravel()],
                }
            )
            for metric in self.metrics
        ]
        frame: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return frame

    def to_xarray(self) -> xr.Dataset:
        """`value` and `effect` with the named axes (metric, prompt, site, layer, pos), and `status` (needs xarray)."""
        import xarray as xr

        axes = ("metric", *AXES)
        return xr.Dataset(
            {
                "value": (axes, np.stack([self.values[metric] for metric in self.metrics])),
                "effect": (axes, np.stack([self.effect(metric) for metric in self.metrics])),
                "status": (AXES, self.status),
            },
            coords={
                "metric": list(self.metrics),
                "prompt": range(len(self.pairs)),
                "site": list(self.sites),
                "layer": list(self.layers),
                "pos": range(self.length),
                "token": ("pos", list(self.pairs[0].clean.labels)),
            },
            attrs={"direction": self.direction, "model": self.provenance.model},
        )

    def summary(self) -> str:
        """Say in words what was measured and where the effect is strongest."""
        effect = self.mean_effect()
        term = metric_term(self.metric)
        first = self.pairs[0]
        host, donor = ("corrupt", "clean") if self.direction == "denoising" else ("clean", "corrupt")
        clean, corrupt = self.baselines[self.metric].mean(axis=0)
        several = f", mean of {len(self.pairs)} pairs" if len(self.pairs) > 1 else ""
        answers = {(pair.answer.label, pair.wrong_answer.label) for pair in self.pairs}
        own = (
            " (the model's own predictions where none were given)"
            if "model" in {p.answer_source for p in self.pairs}
            else ""
        )
        said = (
            f"Answer {first.answer.label}, wrong answer {first.wrong_answer.label}" if len(answers) == 1 else "Answers"
        )
        lines = [
            f"Patching {', '.join(self.sites)} from the {donor} into the {host} run of {self.provenance.model}"
            f"{several}.",
            f"{said}{own}: {term.label} {clean:+.3g} clean, {corrupt:+.3g} corrupt.",
        ]
        for number, site in enumerate(self.sites):
            strengths = np.abs(effect[number])
            if not np.isfinite(strengths).any():
                none = "nothing computed yet" if (self.status == Status.PENDING).any() else "no gap, so no effect"
                lines.append(f"{site}: {none}.")
                continue
            layer, pos = np.unravel_index(np.nanargmax(strengths), strengths.shape)
            lines.append(
                f"{site}: strongest at layer {self.layers[layer]}, {self._place(int(pos))}: "
                f"effect {effect[number, layer, pos]:+.2f}."
            )
        pending = int((self.status == Status.PENDING).sum())
        if pending:
            lines.append(f"{pending} of {self.status.size} cells are not computed.")
        return "\n".join(lines)

    def _place(self, pos: int) -> str:
        labels = {pair.clean.labels[pos] for pair in self.pairs}
        return f"{labels.pop()} (position {pos})" if len(labels) == 1 else f"position {pos}"

    def save(self, path: str | Path) -> Path:
        """Write the result to one safetensors file, with everything that is no array as JSON in its header.

        Raises:
            ResultError: the folder does not exist.
        """
        from safetensors.numpy import save_file

        path = Path(path)
        if not path.parent.is_dir():
            raise ResultError(f"there is no folder {path.parent} to save into. Make it first.")
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in ("status", "top_ids", "top_probs")}
        for metric in self.metrics:
            arrays[f"values/{metric}"] = self.values[metric]
            arrays[f"baselines/{metric}"] = self.baselines[metric]
        header = {
            "pairs": [asdict(pair) for pair in self.pairs],
            "sites": self.sites,
            "layers": self.layers,
            "direction": self.direction,
            "metric": self.metric,
            "metrics": self.metrics,
            "vocab": {str(token): label for token, label in self.vocab.items()},
            "provenance": asdict(self.provenance),
            "code": asdict(self.code),
        }
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, path, metadata={"interp_widgets": "PatchingResult", "result": json.dumps(header)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> PatchingResult:
        """Read a result that `save` wrote. It equals the one that was saved.

        Raises:
            ResultError: the file holds something else.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise ResultError(f"there is no file {path}. Pass a file that `save` wrote.")
        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, UnicodeDecodeError) as error:
            raise ResultError(f"{path} is not a safetensors file: {error}. Pass a file that `save` wrote.") from error
        if metadata.get("interp_widgets") != "PatchingResult":
            raise ResultError(f"{path} holds no PatchingResult. Pass a file that `PatchingResult.save` wrote.")
        for array in arrays.values():
            array.setflags(write=False)
        try:
            return cls._read(json.loads(metadata["result"]), arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(
                f"{path} was cut short or written by another version of interp_widgets ({error!r}). Compute it again."
            ) from error

    @classmethod
    def _read(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PatchingResult:
        return cls(
            pairs=tuple(_pair(pair) for pair in header["pairs"]),
            sites=tuple(header["sites"]),
            layers=tuple(header["layers"]),
            direction=header["direction"],
            metric=header["metric"],
            values={metric: arrays[f"values/{metric}"] for metric in header["metrics"]},
            baselines={metric: arrays[f"baselines/{metric}"] for metric in header["metrics"]},
            status=arrays["status"],
            top_ids=arrays["top_ids"],
            top_probs=arrays["top_probs"],
            vocab={int(token): label for token, label in header["vocab"].items()},
            provenance=Provenance(**header["provenance"]),
            code=CellCode(**header["code"]),
        )

    def with_metric(self, metric: str) -> PatchingResult:
        """The same result with another of its metrics in front.

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        return replace(self, metric=self._metric(metric))

    def __repr__(self) -> str:
        pending = int((self.status == Status.PENDING).sum())
        return (
            f"PatchingResult({', '.join(self.sites)}: {len(self.layers)} layers x {self.length} tokens, "
            f"{len(self.pairs)} pair{'s' * (len(self.pairs) > 1)}, {self.direction}, {self.metric}"
            f"{f', {pending} cells not computed' * (pending > 0)})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PatchingResult):
            return NotImplemented
        named = ("pairs", "sites", "layers", "direction", "metric", "metrics", "vocab", "provenance", "code")
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

    def _metric(self, metric: str | None) -> str:
        name = self.metric if metric is None else metric
        if name not in self.values:
            raise unknown_name("metric", name, self.metrics)
        return name


def _tokens(data: Mapping[str, Any]) -> Tokens:
    return Tokens(tuple(data["ids"]), tuple(data["labels"]))


def _predictions(data: list[dict[str, Any]]) -> tuple[Prediction, ...]:
    return tuple(Prediction(Token(**item["token"]), item["prob"]) for item in data)


def _pair(data: Mapping[str, Any]) -> Pair:
    return Pair(
        clean=_tokens(data["clean"]),
        corrupt=_tokens(data["corrupt"]),
        answer=Token(**data["answer"]),
        wrong_answer=Token(**data["wrong_answer"]),
        answer_source=data["answer_source"],
        clean_top=_predictions(data["clean_top"]),
        corrupt_top=_predictions(data["corrupt_top"]),
    )
