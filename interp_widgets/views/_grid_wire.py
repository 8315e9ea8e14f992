"""What a page is told of a patching result: all that it shows, and every cell."""

from __future__ import annotations

from dataclasses import asdict
from typing import cast

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.panel import Panel
from interp_widgets.results.patching import Pair, PatchingResult, Prediction, Status, remaining
from interp_widgets.results.story import Story
from interp_widgets.results.terms import Term, metric_term, site_term
from interp_widgets.results.tokens import Tokens
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.common import WireArray, WirePrediction, WireTerm
from interp_widgets.views.protocol.patching_grid import (
    GridArrays,
    GridSpec,
    WireLine,
    WireMetric,
    WirePair,
    WirePanel,
    WirePrompt,
    WireStory,
)

_PASSING = 5
"""On the wire, the status of an estimate that will be replaced."""


def grid_spec(result: PatchingResult, *, by_position: bool = False) -> GridSpec:
    """All that a patching grid shows apart from its cells.

    Args:
        result: what is shown.
        by_position: whether its heads can be run position by position.
    """
    return {
        "story": _story(result.story),
        "direction": result.direction,
        "panels": grid_panels(result),
        "pairs": [_pair(pair) for pair in result.pairs],
        "metrics": [_metric(result, name) for name in result.metrics],
        "asked": result.metric,
        "top_k": int(result.top_ids.shape[-1]),
        "code_sites": dict(result.code.sites),
        "code_metrics": dict(result.code.metrics),
        "code_fills": {name: list(texts) for name, texts in result.code.fills.items()},
        "code_mean": dict(result.code.mean),
        "code_refused": dict(result.code.refused),
        "provenance": _provenance(result),
        "by_position": by_position,
    }


def grid_panels(result: PatchingResult) -> list[WirePanel]:
    """What the rows and columns of each panel are."""
    return [_panel(panel) for panel in result.panels]


def grid_arrays(result: PatchingResult) -> GridArrays:
    """Every cell of a result, for the page."""
    return {
        "values": wire_array(np.stack([result.values[metric] for metric in result.metrics]), "float32"),
        "status": wire_array(grid_status(result), "uint8"),
        "estimates": _estimates(result),
        "top_ids": wire_array(result.top_ids, "int32"),
        "top_probs": wire_array(result.top_probs, "float32"),
        "vocab": {str(token): label for token, label in result.vocab.items()},
    }


def grid_status(result: PatchingResult) -> NDArray[np.uint8]:
    """The status of each cell as the page knows it: estimates that an exact value will replace are told apart."""
    passing = (result.status == Status.ESTIMATED) & remaining(result.status, result.estimates)
    return np.where(passing, _PASSING, result.status).astype(np.uint8)


def _estimates(result: PatchingResult) -> WireArray | None:
    """What was estimated of cells that have been run since; of the others the estimate is the value itself."""
    if result.estimates is None:
        return None
    return wire_array(np.where(result.status == Status.ESTIMATED, np.nan, result.estimates.values), "float32")


def measured(result: PatchingResult) -> tuple[int, int]:
    """How many cells are computed, and how many are to be in the end."""
    computed = int((result.status == Status.COMPUTED).sum())
    return computed, computed + result.remaining


def _term(term: Term) -> WireTerm:
    return {"name": term.name, "label": term.label, "meaning": term.meaning, "unit": term.unit}


def _panel(panel: Panel) -> WirePanel:
    lines: list[WireLine] = [
        {"layer": line.layer, "head": line.head, "latent": line.latent, "name": line.name} for line in panel.lines
    ]
    return {
        "term": _term(site_term(panel.site)),
        "lines": lines,
        "columns": panel.columns,
        "labels": list(panel.labels),
        "notes": list(panel.notes),
    }


def _story(story: Story) -> WireStory:
    return cast("WireStory", asdict(story) | {"sides": list(story.sides)})


def _metric(result: PatchingResult, name: str) -> WireMetric:
    return {"term": _term(metric_term(name)), "baselines": result.baselines[name].tolist()}


def _prompt(tokens: Tokens, top: tuple[Prediction, ...]) -> WirePrompt:
    predictions: list[WirePrediction] = [{"label": item.token.label, "prob": item.prob} for item in top]
    return {"labels": list(tokens.labels), "top": predictions}


def _pair(pair: Pair) -> WirePair:
    return {
        "clean": _prompt(pair.clean, pair.clean_top),
        "corrupt": _prompt(pair.corrupt, pair.corrupt_top),
        "clean_ids": list(pair.clean.ids),
        "corrupt_ids": list(pair.corrupt.ids),
        "answer": pair.answer.label,
        "wrong_answer": pair.wrong_answer.label,
        "answer_id": pair.answer.id,
        "wrong_answer_id": pair.wrong_answer.id,
        "answer_source": pair.answer_source,
        "differs": list(pair.differs),
    }


def _provenance(result: PatchingResult) -> list[str]:
    source = result.provenance
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    settings = [f"{name}: {said}" for name, said in source.settings.items()]
    return [*settings, source.model, f"{source.dtype}, weights {source.fingerprint}", versions]
