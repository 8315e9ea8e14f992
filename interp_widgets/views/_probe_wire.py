"""Probes on the wire: what the page of a view of probes gets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.probe import CONTROLS, KINDS, MEASURES, Measure, ProbeResult, at_column
from interp_widgets.results.proportions import Bounds
from interp_widgets.results.terms import Term
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.common import WireTerm
from interp_widgets.views.protocol.probe_grid import ProbeArrays, ProbeSpec, WireColumn, WireExample

_MISTAKES = 6
"""Mistakes of a cell that travel."""
_AROUND = 24
"""Tokens before and after one that travel with it; of a whole text as many from its end."""
_FOLDS = 2000
"""Examples up to which the lines name the fold of each."""


def question(result: ProbeResult) -> str:
    """The question that the view answers."""
    named = " from ".join(result.classes) if len(result.classes) == 2 else f"{len(result.classes)} classes"
    return f"Where can a linear probe tell {named}?"


def probe_spec(result: ProbeResult) -> ProbeSpec:
    """All that the view shows apart from numbers."""
    source = result.provenance
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    labels = result.examples.labels
    return {
        "title": question(result),
        "noun": "token" if result.examples.per_token else "text",
        "n_examples": len(result.examples),
        "classes": list(result.classes),
        "counts": np.bincount(labels, minlength=len(result.classes)).tolist(),
        "kinds": [_term(KINDS[kind]) for kind in result.kinds],
        "measures": [_term(term) for term in MEASURES.values()],
        "chance": [result.chance(measure) for measure in MEASURES],
        "rows": [{"site": place.site, "layer": place.layer} for place in result.rows],
        "columns": [_column(result, column) for column in range(len(result.positions))],
        "control": None
        if result.control is None
        else {
            "meaning": CONTROLS[result.control],
            "draws": result.controls.shape[1],
        },
        "transfers": [other.name for other in result.transfers],
        "transfer_sizes": [len(other.examples) for other in result.transfers],
        "transfer_chance": [
            [result.transfer_chance(other.name, measure) for measure in MEASURES] for other in result.transfers
        ],
        "code": dict(result.code),
        "provenance": [source.model, *(f"{name}: {value}" for name, value in source.settings.items()), versions],
    }


def probe_arrays(result: ProbeResult) -> ProbeArrays:
    """The numbers of a result, for the page."""
    low, high = _bounds(result.interval)
    others = [
        _bounds(lambda measure, name=other.name: result.transfer_interval(name, measure))  # type: ignore[misc]
        for other in result.transfers
    ]
    shape = (len(result.transfers), len(MEASURES), *result.scored.shape)
    moved = [[result.transferred(other.name, measure) for measure in MEASURES] for other in result.transfers]
    mistakes, examples = _mistakes(result)
    promoted, tokens = _promoted(result)
    return {
        "values": wire_array(np.stack([result.value(measure) for measure in MEASURES]), "float32"),
        "low": wire_array(low, "float32"),
        "high": wire_array(high, "float32"),
        "control": wire_array(np.stack([result.control_value(measure) for measure in MEASURES]), "float32"),
        "transfer": wire_array(np.array(moved).reshape(shape), "float32"),
        "transfer_low": wire_array(np.array([low for low, _ in others]).reshape(shape), "float32"),
        "transfer_high": wire_array(np.array([high for _, high in others]).reshape(shape), "float32"),
        "confusion": wire_array(result.confusions(), "int32"),
        "mistakes": wire_array(mistakes[0], "int32"),
        "mistaken": wire_array(mistakes[1], "int32"),
        "margins": wire_array(mistakes[2], "float32"),
        "examples": examples,
        "promoted": wire_array(promoted, "int32"),
        "tokens": tokens,
    }


def _bounds(interval: Callable[[Measure], Bounds]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ends = [interval(measure) for measure in MEASURES]
    return np.stack([low for low, _ in ends]), np.stack([high for _, high in ends])


def _term(term: Term) -> WireTerm:
    return {"name": term.name, "label": term.label, "meaning": term.meaning, "unit": term.unit}


def _column(result: ProbeResult, column: int) -> WireColumn:
    few = len(result.examples) <= _FOLDS
    return {
        "pos": result.positions[column],
        "label": result.labels[column],
        "where": result.where(column),
        "untested": result.untested.get(column, ""),
        "groups": len(np.unique(result.groups[column])),
        "at": at_column(result, column),
        "folds": str(result.folds[column].tolist()) if few else "",
    }


def _mistakes(
    result: ProbeResult,
) -> tuple[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]], list[WireExample]]:
    shape = (*result.scored.shape, _MISTAKES)
    places, read_as = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    margins = np.full(shape, np.nan, np.float32)
    numbers: dict[int, int] = {}
    computed = result.computed
    for at in np.ndindex(*result.scored.shape):
        if not computed[at[1:]]:
            continue
        wrong = np.flatnonzero(result.predicted[at] != result.examples.labels)
        first = wrong[np.argsort(result.margin[at][wrong], kind="stable")][:_MISTAKES]
        count = len(first)
        places[at][:count] = [numbers.setdefault(example, len(numbers)) for example in first.tolist()]
        read_as[at][:count] = result.predicted[at][first]
        margins[at][:count] = -result.margin[at][first]
    return (places, read_as, margins), [_example(result, example) for example in numbers]


def _example(result: ProbeResult, example: int) -> WireExample:
    examples = result.examples
    tokens, position = examples.texts[examples.text[example]].labels, int(examples.position[example])
    if position < 0:
        first = max(0, len(tokens) - 2 * _AROUND)
        shown, token = tokens[first:], None
    else:
        first = max(0, position - _AROUND)
        shown, token = tokens[first : position + _AROUND + 1], position - first
    return {
        "tokens": list(shown),
        "token": token,
        "number": int(examples.text[example]),
        "label": int(examples.labels[example]),
    }


def _promoted(result: ProbeResult) -> tuple[NDArray[np.int32], list[str]]:
    ids = np.unique(result.top_ids)
    ids = ids[ids >= 0]
    places = np.where(result.top_ids >= 0, np.searchsorted(ids, result.top_ids), -1)
    return places.astype(np.int32), [result.vocab[token] for token in ids.tolist()]
