"""Toy models of superposition on paper: the matplotlib counterpart of the page."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from interp_widgets.results.shapes import LANDMARKS
from interp_widgets.results.superposition import SuperpositionResult, percent
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = "#e2e2e6"
_PALE = "#c3c4ca"
_DIVERGING = ["#1f5fae", "#f3f2f0", "#b8390e"]
_TILE, _MOST_COLUMNS = 1.55, 8
_CHART = 2.6
_LETTERS = 25
"""Letters of a caption in a line below a picture."""


def draw(result: SuperpositionResult) -> Figure:
    """Draw the best model of every sparsity, and below them the dimensionality of every feature."""
    levels = len(result.probabilities)
    rows = -(-levels // _MOST_COLUMNS)
    columns = -(-levels // rows)
    width = max(5.6, columns * _TILE)
    height = 0.75 + rows * (_TILE + 0.42) + _CHART
    figure = notebook_figure()(figsize=(width, height), facecolor=PAPER)
    features, share = result.n_features, result.n_hidden
    title = f"{features} features in {share} dimension{'s' * (share != 1)}"
    figure.text(0.1 / width, 1 - 0.1 / height, title, fontsize=10.5, color=INK, va="top")
    about = f"{result.provenance.model}, by how often a feature is on"
    figure.text(0.1 / width, 1 - 0.32 / height, about, fontsize=8, color=QUIET, va="top")
    longest = max(1.2, float(result.norms.max()))
    for level in range(levels):
        row, column = divmod(level, columns)
        left, top = column * _TILE + 0.08, 0.6 + row * (_TILE + 0.42)
        side = _TILE - 0.16
        axis = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
        _draw_model(axis, result, level, longest)
        lost = float(result.lost[level, result.best[level]])
        caption = f"on {percent(result.probabilities[level])}, loses {percent(lost)}"
        words = "\n".join([caption, *textwrap.wrap(result.geometry(level), _LETTERS, max_lines=2, placeholder=" …")])
        axis.annotate(words, (0, 0), (0, -3), **_below())
    _draw_chart(figure.add_axes((0.45 / width, 0.45 / height, 1 - 1.85 / width, (_CHART - 0.75) / height)), result)
    return figure


def _below() -> dict[str, Any]:
    return {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "fontsize": 6.5,
        "color": QUIET,
        "va": "top",
        "linespacing": 1.25,
    }


def _draw_model(axis: Axes, result: SuperpositionResult, level: int, longest: float) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if result.n_hidden > 2:
        from matplotlib.colors import LinearSegmentedColormap

        colors = LinearSegmentedColormap.from_list("interference", _DIVERGING)
        axis.imshow(result.gram(level), cmap=colors, vmin=-1, vmax=1, interpolation="nearest")
        return
    directions = result.directions(level)
    across = directions[0]
    up = directions[1] if result.n_hidden > 1 else np.zeros_like(across)
    circle = np.linspace(0, 2 * np.pi, 100)
    axis.plot(np.cos(circle), np.sin(circle), color=_LINE, lw=0.8)
    weights = result.importance / result.importance.max()
    for feature in reversed(range(result.n_features)):
        color = _between(_PALE, INK, 0.15 + 0.85 * float(weights[feature]))
        axis.plot([0, across[feature]], [0, up[feature]], color=color, lw=1.2, marker="o", markersize=3, markevery=[1])
    axis.set(xlim=(-longest * 1.12, longest * 1.12), ylim=(-longest * 1.12, longest * 1.12), aspect="equal")


def _draw_chart(axis: Axes, result: SuperpositionResult) -> None:
    levels = len(result.probabilities)
    values = result.dimensionality
    aside = np.linspace(-0.28, 0.28, result.n_features) if result.n_features > 1 else np.zeros(1)
    fitting = [landmark for landmark in LANDMARKS if landmark.dimensions <= result.n_hidden]
    for landmark in fitting:
        share = float(landmark.share)
        axis.axhline(share, color=_LINE, lw=0.8, zorder=0)
        name = landmark.name if share == 1 else f"{landmark.share} {landmark.name}"
        near = [other for other in fitting if 0 < abs(float(other.share) - share) < 0.05]
        # Two that are next to each other make room for each other's names.
        up = 3 if any(float(other.share) < share for other in near) else -3 if near else 0
        axis.annotate(name, (1, share), (4, up), xycoords=("axes fraction", "data"), **_beside())
    weights = result.importance / result.importance.max()
    for level in range(levels):
        own = values[level, result.best[level]]
        colors = [_between(_PALE, INK, 0.15 + 0.85 * float(weight)) for weight in weights]
        axis.scatter(level + aside, own, s=9 if result.n_features <= 40 else 3, c=colors, linewidths=0)
    axis.set(xlim=(-0.5, levels - 0.5), ylim=(-0.04, 1.06))
    axis.set_xticks(range(levels), [percent(probability) for probability in result.probabilities], fontsize=7)
    axis.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7)
    axis.tick_params(colors=QUIET, length=0)
    axis.set_xlabel("share of the time that a feature is on", fontsize=7.5, color=QUIET)
    axis.set_ylabel("dimensionality", fontsize=7.5, color=QUIET)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _beside() -> dict[str, Any]:
    return {"textcoords": "offset points", "fontsize": 6.5, "color": QUIET, "va": "center"}


def _between(start: str, end: str, share: float) -> str:
    from matplotlib.colors import to_hex, to_rgb

    (r, g, b), (to_r, to_g, to_b) = to_rgb(start), to_rgb(end)
    return to_hex((r + (to_r - r) * share, g + (to_g - g) * share, b + (to_b - b) * share))
