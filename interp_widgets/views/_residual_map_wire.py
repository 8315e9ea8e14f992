"""A map of residual streams as the page reads it: coordinates in 16 bits, and not more layers at once than need be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.projection import NAMES, ProjectionResult
from interp_widgets.results.terms import STREAM_SITES, site_term
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.residual_map import ResidualMapArrays, ResidualMapSpec, WireLayer

MOST_BYTES = 24_000_000
"""Of coordinates that travel with the state; further layers come when they are looked at."""
_STEPS = 65535
_FEW = 6


def question(result: ProjectionResult) -> str:
    """The question that a map answers."""
    where = "the residual stream" if result.site.startswith("resid") else site_term(result.site).label
    names = list(dict.fromkeys(result.labels))
    if 1 < len(names) <= _FEW and sum(map(len, names)) <= 60:
        if len(names) == 2:
            return f"Does {where} tell {names[0]} from {names[1]}?"
        return f"Does {where} keep {', '.join(names[:-1])} and {names[-1]} apart?"
    return f"How does {where} arrange these tokens?"


def residual_map_spec(result: ProjectionResult) -> ResidualMapSpec:
    """All that the page shows apart from where points are."""
    source = result.provenance
    work = f"{source.forward_passes:,.4g} forward passes"
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    how = [f"{name}: {value}" for name, value in source.settings.items()]
    return {
        "title": question(result),
        "meaning": _meaning(result),
        "notes": _notes(result),
        "method": NAMES[result.method],
        "layers": list(result.layers),
        "axes": list(result.axes),
        "n_given": result.n_given,
        "n_points": len(result),
        "vocab": list(result.vocab.values()),
        "labels": list(dict.fromkeys(result.labels)),
        "code": result.code,
        "reads": list(result.reads),
        "provenance": [f"{source.model} ({source.fingerprint[:8]}, {source.dtype})", *how, work, versions],
    }


def _meaning(result: ProjectionResult) -> str:
    n_points, n_prompts = len(result), len(result.starts)
    tokens = f"{n_points:,} tokens of {n_prompts:,} prompts" if n_prompts > 1 else f"{n_points:,} tokens of one prompt"
    place = f"{result.site}, {site_term(result.site).meaning}" if result.site in STREAM_SITES else result.site
    given, rest = result.axes[: result.n_given], len(result.axes) - result.n_given
    if result.method != "pca":
        axes = f"{NAMES[result.method]} keeps neighbours together; its distances and axes mean nothing."
    elif not given:
        axes = "Axes are the directions of largest variance in each layer (PCA)."
    else:
        axes = f"Axes are components along {_listed(given)}" + (
            ", and the largest variance at right angles to that." if rest else "."
        )
    if n_points == n_prompts and n_prompts > 1:
        positions = np.unique(result.position_of - np.diff([*result.starts, len(result.ids)]))
        which = "last token" if positions.tolist() == [-1] else "chosen token"
        return f"Each point is the {which} of one of {n_prompts:,} prompts, at {place}. {axes}"
    return f"Each point is one of {tokens}, at {place}. {axes}"


def _notes(result: ProjectionResult) -> list[str]:
    if result.outlier is None:
        return []
    return [
        f"First tokens are left out: as attention sinks they are up to {result.outlier:.0f} times larger than other "
        "tokens, and would make the first axis by themselves. first=True keeps them."
    ]


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def residual_map_arrays(result: ProjectionResult, wanted: int) -> ResidualMapArrays:
    """What the page holds of a result.

    Args:
        result: the whole, or what there is of it.
        wanted: the row of the layer that is looked at, which travels in any case.
    """
    index = {token: number for number, token in enumerate(result.vocab)}
    lookup = np.zeros(max(index, default=0) + 1, np.int32)
    lookup[list(index)] = list(index.values())
    taken = np.zeros(len(result.ids), np.uint8)
    taken[result.points] = 1
    names = {name: number for number, name in enumerate(dict.fromkeys(result.labels))}
    rows = [int(row) for row in np.flatnonzero(result.computed)]
    held = travelling(result, rows, wanted)
    return {
        "text": wire_array(lookup[result.ids], "uint16" if len(index) <= _STEPS else "int32"),
        "starts": wire_array(result.starts, "int32"),
        "taken": wire_array(taken, "uint8"),
        "labels": wire_array(np.array([names[name] for name in result.labels], np.int32), "int32"),
        "layers": [wire_layer(result, row, with_coords=row in held) for row in rows],
    }


def travelling(result: ProjectionResult, rows: Collection[int], wanted: int) -> list[int]:
    """Return the rows of the layers that travel at once: all if they are small, else those nearest to the wanted."""
    each = len(result) * len(result.axes) * 2
    most = max(1, MOST_BYTES // max(1, each))
    return sorted(rows, key=lambda row: abs(row - wanted))[:most]


def wire_layer(result: ProjectionResult, row: int, *, with_coords: bool) -> WireLayer:
    """Return one layer, which must be placed."""
    layer = result.layers[row]
    low, high, quantised = _quantised(result, row)
    two_given = result.n_given > 1
    return {
        "row": row,
        "low": low.tolist(),
        "high": high.tolist(),
        "coords": wire_array(quantised, "uint16") if with_coords else None,
        "turn": result.turns[row].tolist(),
        "shares": _finite(result.shares(layer)),
        "turned_shares": _finite(result.shares(layer, align=True)),
        "explained": _finite(np.array([result.explained(layer)]))[0],
        "cosines": result.cosines(layer).tolist() if two_given else [],
        "scree": [float(share) for share in result.scree[row]],
        "spread": float(np.sqrt(max(0.0, float(result.total[row])))),
    }


def quantised(result: ProjectionResult, row: int) -> bytes:
    """Return the coordinates of a layer as they travel."""
    return bytes(wire_array(_quantised(result, row)[2], "uint16")["data"])


def _quantised(result: ProjectionResult, row: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint16]]:
    coords = result.coords[row].astype(np.float64)
    low, high = coords.min(0), coords.max(0)
    span = np.where(high > low, high - low, 1.0)
    return low, high, np.rint((coords - low) / span * _STEPS).astype(np.uint16).T


def _finite(numbers: NDArray[np.float64]) -> list[float | None]:
    return [float(number) if np.isfinite(number) else None for number in numbers]
