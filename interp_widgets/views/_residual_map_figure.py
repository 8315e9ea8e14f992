"""One layer of a map of residual streams on paper: the matplotlib counterpart of the page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.projection import ProjectionResult
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure
from interp_widgets.views._residual_map_wire import question
from interp_widgets.views.protocol.residual_map import ColorBy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HUES = ("#c4410b", "#0b62a8", "#00875f", "#b5538f", "#c98a00", "#3aa0d8", "#7a4fbf")
_MARKERS = ("o", "s", "^", "D", "v", "P", "o")
_OTHER, _FADED = "#a6a8af", "#dddde2"
_RAMP = ("#2b3f92", "#b04a86", "#e0a21b")
_LINE = "#c3c4ca"
_MANY = 20_000
"""Above so many points each is a pixel."""
_LETTERS = 96


def draw(
    result: ProjectionResult,
    row: int,
    *,
    color_by: ColorBy,
    align: bool,
    axes: tuple[int, int],
    selected: Sequence[int],
) -> Figure:
    """Draw the points of one layer, with what colours mean beside them."""
    figure = notebook_figure()(figsize=(6.4, 4.6), facecolor=PAPER)
    axis = figure.add_axes((0.09, 0.11, 0.66, 0.73))
    figure.text(0.02, 0.985, question(result), fontsize=10.5, color=INK, va="top")
    where = f"{result.provenance.model}, {result.site} of layer {result.layers[row]}"
    if result.outlier is not None:
        where += ", first tokens left out as attention sinks"
    figure.text(0.02, 0.935, "\n".join(textwrap.wrap(where, _LETTERS)), fontsize=8, color=QUIET, va="top")
    _frame(axis)
    if not result.computed[row]:
        axis.text(0.5, 0.5, "not placed yet", transform=axis.transAxes, ha="center", color=QUIET, fontsize=8)
        return figure
    layer = result.layers[row]
    coords = result.coordinates(layer, align=align)[:, list(axes)]
    chosen = np.ones(len(result), bool)
    if len(selected):
        chosen[:] = False
        chosen[list(selected)] = True
        _points(axis, coords[~chosen], color=_FADED, marker="o")
    _colored(figure, axis, result, coords, chosen, color_by)
    shares = result.shares(layer, align=align)
    turned = ", turned" if align and result.method == "pca" and not _is_plain(result.turns[row]) else ""
    across, up = (
        f"{result.axes[number]}{turned}"
        + (f" · {shares[number]:.0%} of the variance" if np.isfinite(shares[number]) else "")
        for number in axes
    )
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    if not result.n_given:
        axis.set_aspect("equal", adjustable="datalim")
    return figure


def _is_plain(turn: NDArray[np.float64]) -> bool:
    return bool(np.allclose(turn, np.eye(len(turn))))


def _frame(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_LINE)
    axis.tick_params(labelsize=7, colors=QUIET, length=3, color=_LINE)
    axis.xaxis.label.set(fontsize=8, color=INK)
    axis.yaxis.label.set(fontsize=8, color=INK)


def _colored(
    figure: Figure,
    axis: Axes,
    result: ProjectionResult,
    coords: NDArray[np.float32],
    chosen: NDArray[np.bool_],
    color_by: ColorBy,
) -> None:
    prompts = len(result.starts)
    if color_by == "position" or (color_by == "prompt" and prompts > len(_HUES)):
        values = result.position_of if color_by == "position" else result.prompt_of
        _ramp(figure, axis, coords[chosen], values[chosen], int(values.max()), color_by)
        return
    kinds, names = _kinds(result, color_by)
    counts = np.bincount(kinds, minlength=len(names))
    present = np.flatnonzero(counts)
    leading = present if len(present) <= len(_HUES) else present[np.argsort(-counts[present], kind="stable")]
    own = leading[: len(_HUES)]
    others = ~np.isin(kinds, own)
    if others.any():
        rest = len(leading) - len(own)
        _points(axis, coords[others & chosen], color=_OTHER, marker="o", label=f"{rest:,} others ({others.sum():,})")
    for number, kind in enumerate(own):
        label = f"{names[kind]} ({counts[kind]:,})".replace("$", r"\$")
        here = (kinds == kind) & chosen
        _points(axis, coords[here], color=_HUES[number], marker=_MARKERS[number], label=label, hollow=number == 6)
    axis.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        handletextpad=0.3,
        markerscale=1 if len(result) <= _MANY else 8,
    )


def _kinds(result: ProjectionResult, color_by: ColorBy) -> tuple[NDArray[np.int64], Sequence[str]]:
    """The number of each point's kind, and what kinds are called."""
    if color_by == "prompt":
        return result.prompt_of, [f"prompt {number}" for number in range(len(result.starts))]
    if color_by == "label" and result.labels:
        names = list(dict.fromkeys(result.labels))
        of_prompt = np.array([names.index(label) for label in result.labels])
        return of_prompt[result.prompt_of], names
    index = {token: number for number, token in enumerate(result.vocab)}
    lookup = np.zeros(max(index) + 1, np.int64)
    lookup[list(index)] = list(index.values())
    return lookup[result.ids[result.points]], list(result.vocab.values())


def _ramp(
    figure: Figure, axis: Axes, coords: NDArray[np.float32], values: NDArray[np.int64], last: int, name: str
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    ramp = LinearSegmentedColormap.from_list("ramp", _RAMP)
    drawn = axis.scatter(
        coords[:, 0], coords[:, 1], c=values, cmap=ramp, vmin=0, vmax=max(1, last), **_size(len(coords)), linewidths=0
    )
    bar = figure.colorbar(drawn, cax=figure.add_axes((0.79, 0.58, 0.018, 0.26)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, colors=QUIET, length=0)
    bar.set_label(name, fontsize=8, color=INK)


def _size(count: int) -> dict[str, Any]:
    return {"s": max(1.5, min(18.0, 2500 / max(1, count))), "rasterized": count > 2000}


def _points(
    axis: Axes, coords: NDArray[np.float32], *, color: str, marker: str, label: str | None = None, hollow: bool = False
) -> None:
    if len(coords) > _MANY:
        axis.plot(coords[:, 0], coords[:, 1], ",", color=color, label=label, rasterized=True)
        return
    size = _size(len(coords))
    axis.scatter(
        coords[:, 0],
        coords[:, 1],
        **size,
        marker=marker,
        facecolors="none" if hollow else color,
        edgecolors=color if hollow else PAPER,
        linewidths=1.2 if hollow else 0.4,
        label=label,
    )
