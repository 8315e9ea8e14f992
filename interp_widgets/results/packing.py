"""What results are made of, as plain values and arrays by name, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from interp_widgets.results.estimates import Estimates
from interp_widgets.results.panel import Line, Panel
from interp_widgets.results.patching import CellCode, Pair, PatchingResult, Prediction
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents
from interp_widgets.results.story import Story
from interp_widgets.results.tokens import Token, Tokens


def contents(result: PatchingResult) -> Contents:
    """Return a grid in parts."""
    arrays: dict[str, NDArray[Any]] = {name: getattr(result, name) for name in ("status", "top_ids", "top_probs")}
    arrays |= by_metric("values", result.values) | by_metric("baselines", result.baselines)
    if result.estimates is not None:
        arrays |= {"estimates/values": result.estimates.values, "estimates/exact": result.estimates.exact}
    header = {
        "pairs": [asdict(pair) for pair in result.pairs],
        "panels": [asdict(panel) for panel in result.panels],
        "story": asdict(result.story),
        "metric": result.metric,
        "metrics": result.metrics,
        "estimated": result.estimates and result.estimates.metric,
        "vocab": {str(token): label for token, label in result.vocab.items()},
        "provenance": asdict(result.provenance),
        "code": asdict(result.code),
    }
    return header, arrays


def of_contents(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PatchingResult:
    """Put a grid together from its parts."""
    return PatchingResult(
        pairs=pairs_of(header["pairs"]),
        panels=tuple(_panel(panel) for panel in header["panels"]),
        story=story_of(header["story"]),
        metric=header["metric"],
        values=of_metrics("values", arrays, header["metrics"]),
        baselines=of_metrics("baselines", arrays, header["metrics"]),
        status=arrays["status"],
        top_ids=arrays["top_ids"],
        top_probs=arrays["top_probs"],
        vocab={int(token): label for token, label in header["vocab"].items()},
        provenance=Provenance(**header["provenance"]),
        code=CellCode(**header["code"]),
        estimates=header["estimated"]
        and Estimates(header["estimated"], arrays["estimates/values"], arrays["estimates/exact"]),
    )


def by_metric(name: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Name the arrays of every metric."""
    return {f"{name}/{metric}": array for metric, array in arrays.items()}


def of_metrics(name: str, arrays: Mapping[str, NDArray[Any]], metrics: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Find the arrays of every metric, in the order of `metrics`."""
    return {metric: arrays[f"{name}/{metric}"] for metric in metrics}


def pairs_of(data: Iterable[Mapping[str, Any]]) -> tuple[Pair, ...]:
    """Put pairs together from what `asdict` made of them."""
    return tuple(map(_pair, data))


def story_of(data: Mapping[str, Any]) -> Story:
    """Put a story together from what `asdict` made of it."""
    return Story(**{**data, "sides": tuple(data["sides"])})


def _panel(data: Mapping[str, Any]) -> Panel:
    lines = tuple(Line(**line) for line in data["lines"])
    return Panel(data["site"], lines, data["columns"], tuple(data["labels"]), tuple(data["notes"]))


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
        noised=tuple(data["noised"]),
    )
