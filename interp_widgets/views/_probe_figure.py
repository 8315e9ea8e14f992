"""Probes on paper: the matplotlib counterpart of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.results.probe import KINDS, MEASURES, Kind, Measure, ProbeResult
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure
from interp_widgets.views._probe_wire import question
from interp_widgets.views.protocol.probe_grid import ProbeChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _PALE, _MISSING = "#e2e2e6", "#fcebe4", "#c3c4ca"
_CLEAN, _CORRUPT = "#b8390e", "#1f5fae"
_DIVERGING = ["#1a57a6", "#f3f3f1", "#b5380a"]
_CELL, _ROW = 0.42, 0.24
_LETTERS = 14


def draw(result: ProbeResult, kind: Kind, measure: Measure, place: ProbeChoice | None) -> Figure:
    """Draw the grid of a measure, and beside it the layers at the chosen position as lines."""
    rows, columns = len(result.rows), len(result.positions)
    grid = max(1.6, min(7.0, columns * _CELL)), max(1.6, min(6.0, rows * _ROW))
    width, height = grid[0] + (4.9 if place else 1.6), grid[1] + 1.75
    figure = notebook_figure()(figsize=(width, height), facecolor=PAPER)
    figure.text(0.12 / width, 1 - 0.1 / height, question(result), fontsize=10.5, color=INK, va="top")
    about = f"{MEASURES[measure].label} of {KINDS[kind].label}, {result.provenance.model}"
    figure.text(0.12 / width, 1 - 0.34 / height, about, fontsize=8, color=QUIET, va="top")
    left, bottom = 0.55, 0.95
    axis = figure.add_axes((left / width, bottom / height, grid[0] / width, grid[1] / height))
    _draw_grid(axis, result, kind, measure, place)
    if place:
        chart = figure.add_axes(
            ((left + grid[0] + 0.7) / width, bottom / height, 2.3 / width, max(1.4, min(grid[1], 2.4)) / height)
        )
        _draw_chart(chart, result, kind, measure, place)
    return figure


def _draw_grid(axis: Axes, result: ProbeResult, kind: Kind, measure: Measure, place: ProbeChoice | None) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    values, chance = result.value(measure)[result.kinds.index(kind)], result.chance(measure)
    colors = LinearSegmentedColormap.from_list("probe", _DIVERGING).with_extremes(bad=PAPER)
    picture = axis.imshow(
        np.ma.masked_invalid(values),
        cmap=colors,
        vmin=2 * chance - 1,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    missing = np.argwhere(np.isnan(values))
    axis.scatter(missing[:, 1], missing[:, 0], s=3, color=_MISSING, linewidths=0)
    several = len({each.site for each in result.rows}) > 1
    names = [f"{each.layer} {each.site}" if several else str(each.layer) for each in result.rows]
    step = max(1, len(names) // 24)
    axis.set_yticks(range(0, len(names), step), names[::step], fontsize=7)
    labels = [label if len(label) <= _LETTERS else f"{label[:_LETTERS]}…" for label in result.labels]
    axis.set_xticks(range(len(labels)), labels, fontsize=7, rotation=55, ha="right", rotation_mode="anchor")
    axis.set_ylabel("layer", fontsize=7.5, color=QUIET)
    _quiet(axis)
    if place:
        row, column = result.find(place["layer"], place["pos"], place["site"])
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, lw=1.4))
    bar = axis.figure.colorbar(picture, ax=axis, fraction=0.05, pad=0.02, boundaries=np.linspace(chance, 1, 128))
    bar.set_ticks([chance, 1], labels=[f"{chance:.2f}", "1"], fontsize=6.5, color=QUIET)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _draw_chart(axis: Axes, result: ProbeResult, kind: Kind, measure: Measure, place: ProbeChoice) -> None:
    _, column = result.find(place["layer"], place["pos"], place["site"])
    rows = [number for number, each in enumerate(result.rows) if each.site == place["site"]]
    layers = [result.rows[row].layer for row in rows]
    low, high = result.interval(measure)
    chance = result.chance(measure)
    axis.axhline(chance, color=QUIET, lw=0.8, ls=":")
    ends = [("majority" if measure == "accuracy" else "chance", chance, QUIET)]
    for number, each in enumerate(result.kinds):
        own = result.value(measure)[number, rows, column]
        shown = each == kind
        if shown:
            axis.fill_between(layers, low[number, rows, column], high[number, rows, column], color=_PALE, linewidth=0)
        axis.plot(layers, own, color=_CLEAN if shown else _MISSING, lw=1.6 if shown else 1, marker="o", markersize=3)
        ends.append((KINDS[each].label, float(own[-1]), _CLEAN if shown else QUIET))
    if result.control is not None:
        control = result.control_value(measure)[result.kinds.index(kind), rows, column]
        axis.plot(layers, control, color=_CORRUPT, lw=1.1, ls="--")
        ends.append(("control task", float(control[-1]), _CORRUPT))
    axis.set_title(f"by layer, {result.where(column)}", fontsize=8, color=INK, loc="left")
    axis.set_xticks(layers[:: max(1, len(layers) // 8)])
    axis.set_xlabel("layer", fontsize=7.5, color=QUIET)
    axis.set_ylim(top=1.03)
    axis.tick_params(labelsize=7)
    axis.grid(axis="y", color=_LINE, lw=0.6)
    axis.set_axisbelow(True)
    _quiet(axis)
    bottom, top = axis.get_ylim()
    last = -np.inf
    for text, value, color in sorted((end for end in ends if np.isfinite(end[1])), key=lambda end: end[1]):
        at = last = max(value, last + (top - bottom) * 0.09)
        axis.annotate(text, (1, at), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=6.8, color=color, va="center", annotation_clip=False)  # fmt: skip


def _quiet(axis: Axes) -> None:
    axis.tick_params(colors=QUIET, length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
