"""A result as tables and labelled arrays, for libraries that are imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError
from interp_widgets.results.panel import Panel
from interp_widgets.results.patching import PatchingResult, Status

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_COLUMNS = (
    *("prompt", "site", "layer", "head", "latent", "name", "pos", "token", "token_corrupt", "neuron", "role"),
    *("metric", "value", "estimate", "effect", "status"),
)
"""Columns of a table, in order, as far as they apply."""


def frame(result: PatchingResult) -> pd.DataFrame:
    """Return what `PatchingResult.to_frame` does."""
    import pandas as pd

    names = np.array([status.name.lower() for status in Status], dtype=object)
    effects = {metric: result.effect(metric) for metric in result.metrics}
    parts: list[pd.DataFrame] = []
    for number, panel in enumerate(result.panels):
        shape = (len(result.pairs), len(panel.lines), panel.width(result.length))
        prompt, row, column = (axis.ravel() for axis in np.indices(shape))
        cells = {"prompt": prompt, "site": panel.site} | _named(result, panel, prompt, row, column)
        at = (prompt, number, row, column)
        parts += [
            pd.DataFrame(
                cells
                | {
                    "metric": metric,
                    "value": result.values[metric][at],
                    "effect": effects[metric][at],
                    "status": names[result.status[at]],
                }
                | ({} if (estimated := _estimated(result, metric)) is None else {"estimate": estimated[at]})
            )
            for metric in result.metrics
        ]
    table: pd.DataFrame = pd.concat(parts, ignore_index=True)
    given = [name for name in _COLUMNS if name in table.columns]
    ordered: pd.DataFrame = table[given]
    return ordered


def dataset(result: PatchingResult) -> xr.Dataset:
    """Return what `PatchingResult.to_xarray` does."""
    import xarray as xr

    first = result.panels[0]
    if any(
        (panel.lines, panel.columns, panel.labels) != (first.lines, first.columns, first.labels)
        for panel in result.panels
    ):
        raise ResultError("the sites of this result have different axes. Use to_frame(), or one site at a time.")
    rows = "layer" if first.rows == "layer" else "row"
    column = "column" if first.columns == "layer" else first.columns
    cells = ("prompt", "site", rows, column)
    axes = ("metric", *cells)
    coords: dict[str, Any] = {
        "metric": list(result.metrics),
        "prompt": range(len(result.pairs)),
        "site": list(result.sites),
        rows: list(range(len(first.lines))) if rows == "row" else list(first.layers),
        column: list(range(result.length)) if column == "pos" else list(first.labels),
    }
    if rows == "row":
        coords["layer"] = ("row", [line.layer for line in first.lines])
        coords[first.rows] = ("row", _units(first))
        if any(line.name for line in first.lines):
            coords["name"] = ("row", [line.name for line in first.lines])
    if column == "pos":
        coords["token"] = ("pos", list(result.pairs[0].clean.labels))
    elif column in ("head", "neuron"):
        coords[column] = [int(label) for label in first.labels]
    return xr.Dataset(
        {
            "value": (axes, np.stack([result.values[metric] for metric in result.metrics])),
            "effect": (axes, np.stack([result.effect(metric) for metric in result.metrics])),
            "status": (cells, result.status),
        }
        | ({"estimate": (cells, result.estimates.values)} if result.estimates else {}),
        coords=coords,
        attrs={"direction": result.direction, "model": result.provenance.model},
    )


def _units(panel: Panel) -> NDArray[Any]:
    """The head or the latent of each row; latents as objects, since not all of them are numbers."""
    if panel.rows == "head":
        return np.array([line.head for line in panel.lines])
    return np.array([line.latent for line in panel.lines], dtype=object)


def _named(
    result: PatchingResult, panel: Panel, prompt: NDArray[np.int_], row: NDArray[np.int_], column: NDArray[np.int_]
) -> dict[str, Any]:
    """The columns of a table that say where its cells are."""
    named: dict[str, Any] = {"layer": np.array([line.layer for line in panel.lines])[row]}
    if panel.rows != "layer":
        named[panel.rows] = _units(panel)[row]
        if any(line.name for line in panel.lines):
            named["name"] = np.array([line.name for line in panel.lines], dtype=object)[row]
    if panel.columns == "pos":
        named["pos"] = column
        for name, side in (("token", "clean"), ("token_corrupt", "corrupt")):
            labels = [getattr(pair, side).labels or ("",) * result.length for pair in result.pairs]
            named[name] = np.array(labels, dtype=object)[prompt, column]
    elif panel.columns == "role":
        named["role"] = np.array(panel.labels, dtype=object)[column]
    elif panel.columns != "layer":
        named[panel.columns] = np.array([int(label) for label in panel.labels])[column]
    return named


def _estimated(result: PatchingResult, metric: str) -> NDArray[np.float32] | None:
    """Estimated values of a metric: NaN but for the one that was estimated."""
    estimates = result.estimates
    if estimates is None:
        return None
    blank = np.full(estimates.values.shape, np.nan, dtype=np.float32)
    return estimates.values if metric == estimates.metric else blank
