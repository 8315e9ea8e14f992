"""Attention heads on paper: a small picture of each, and one large with its tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.head_scores import SCORES, HeadScores
from interp_widgets.views._attention_heads_wire import BADGES, SIDES, Shown, largest, pattern_of
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

PALE, WARM, COOL, LINE = "#f3f2f0", "#b8390e", "#1f5fae", "#e2e2e6"
_PIXELS = 24
"""Numbers along a small picture."""
_LARGE = 400
"""Numbers along the large one: of a longer prompt each is the largest of several."""
_LABELS = 48
"""Tokens up to which each has its label."""

Choice: TypeAlias = "tuple[int, int, int | None]"
"""Layer, head, and the query that is held."""


def draw(
    result: AttentionResult,
    close: AttentionResult,
    scores: HeadScores | None,
    choice: Choice,
    look: tuple[Shown, bool, str | None],
) -> Figure:
    """Draw the heads.

    Args:
        result: the patterns of all heads.
        close: a result that knows the chosen head, perhaps token by token.
        scores: what heads do.
        choice: what is drawn large.
        look: which prompt or their difference, whether weighted, and the score that frames tell.
    """
    side, weighted, _ = look
    columns, each = _wrapped(result)
    rows = len(result.layers) * each
    width = 4.3
    height = max(2.6, min(7.5, width * rows / columns))
    figure = notebook_figure()(figsize=(width + 4.9, max(height, 4.2) + 0.9), facecolor=PAPER)
    grid = figure.add_gridspec(
        1, 2, width_ratios=(width, 4.4), wspace=0.28, left=0.05, right=0.96, top=0.86, bottom=0.2
    )
    small, large = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    figure.text(0.05, 0.965, _title(result, side, weighted), fontsize=10.5, color=INK, va="center")
    _draw_small(small, result, scores, choice, look)
    _draw_large(large, close, scores, choice, look)
    return figure


def _title(result: AttentionResult, side: Shown, weighted: bool) -> str:
    what = {"clean": "", "corrupt": ", corrupt prompt", "difference": ", corrupt less clean"}[side]
    unit = "attention weighted by |v W_O|" if weighted else "attention"
    return f"{result.provenance.model}: {unit} of every head{what}"


def _colors(signed: bool) -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    ends = [COOL, PALE, WARM] if signed else [PALE, WARM]
    return LinearSegmentedColormap.from_list("attention", ends).with_extremes(bad=LINE)


def _draw_small(
    axes: Axes,
    result: AttentionResult,
    scores: HeadScores | None,
    choice: Choice,
    look: tuple[Shown, bool, str | None],
) -> None:
    from matplotlib.patches import Rectangle

    side, weighted, score = look
    columns, each = _wrapped(result)
    rows = len(result.layers) * each
    pictures = [[_small(result, side, layer, head, weighted) for head in result.heads] for layer in result.layers]
    known = [picture for row in pictures for picture in row if picture is not None]
    limit = (
        1.0 if not weighted else max((float(np.nanmax(np.abs(one), initial=0)) for one in known), default=1.0) or 1.0
    )
    signed = side == "difference"
    told = None if score is None or scores is None or score not in scores.names else scores.score(score)
    for row, layer in enumerate(result.layers):
        for column, head in enumerate(result.heads):
            # Layer 0 is at the bottom, as in all views.
            at, up = column % columns, (row + 1) * each - 1 - column // columns
            box = (at + 0.07, at + 0.93, up + 0.07, up + 0.93)
            picture = pictures[row][column]
            if picture is None:
                axes.add_patch(Rectangle((box[0], box[2]), 0.86, 0.86, facecolor=PAPER, edgecolor=LINE, hatch="////"))
                continue
            axes.imshow(
                picture,
                cmap=_colors(signed),
                vmin=-limit if signed else 0,
                vmax=limit,
                extent=box,
                interpolation="nearest",
                aspect="auto",
            )
            edge, thick = LINE, 0.5
            if told is not None and scores is not None and layer in scores.layers:
                value = told[scores.layers.index(layer), head]
                share = 0.0 if np.isnan(value) else float(np.clip(value / SCORES[score or ""].high, 0, 1))
                edge, thick = (INK, 0.5 + 2.5 * share) if share > 0.1 else (LINE, 0.5)
            if (layer, head) == choice[:2]:
                edge, thick = WARM, 2.0
            axes.add_patch(Rectangle((box[0], box[2]), 0.86, 0.86, fill=False, edgecolor=edge, linewidth=thick))
    axes.set(xlim=(0, columns), ylim=(0, rows), xlabel="head", ylabel="layer")
    shown = [str(head) for head in result.heads[:columns]] if each == 1 else [f"+{n}" for n in range(columns)]
    heads = [f"{layer}.{head}" for layer in result.layers for head in result.heads[::columns]]
    lines = [str(layer) for layer in result.layers] if each == 1 else heads
    # Of a layer that takes several rows the first is the upper one.
    places = [row // each * each + each - 1 - row % each + 0.5 for row in range(rows)]
    for axis, names, middles in ((axes.xaxis, shown, np.arange(columns) + 0.5), (axes.yaxis, lines, places)):
        step = math.ceil(len(names) / 16)
        axis.set_ticks(middles[::step], labels=names[::step])
    _quieten(axes)
    if score is not None and told is not None:
        axes.set_title(f"thicker frames: {score} (up to {np.nanmax(told):.2f})", fontsize=8, color=QUIET, loc="left")


def _wrapped(result: AttentionResult) -> tuple[int, int]:
    """How many pictures a row has, and how many rows a layer takes: several where layers are few and heads many."""
    n_heads, n_layers = len(result.heads), len(result.layers)
    each = -(-n_heads // 8)
    return (8, each) if each > 1 and each * n_layers <= 10 else (n_heads, 1)


def _small(result: AttentionResult, side: Shown, layer: int, head: int, weighted: bool) -> NDArray[np.float32] | None:
    try:
        values = pattern_of(result, side, layer, head, weighted)
    except (SelectionError, ResultError):
        return None
    return largest(values, -(-len(values) // _PIXELS))


def _draw_large(
    axes: Axes,
    result: AttentionResult,
    scores: HeadScores | None,
    choice: Choice,
    look: tuple[Shown, bool, str | None],
) -> None:
    side, weighted, _ = look
    layer, head, pos = choice
    values = pattern_of(result, side, layer, head, weighted)
    labels = result.tokens(SIDES.index(side) if side != "difference" else 0).labels
    step = -(-len(values) // _LARGE)
    across = len(labels)
    signed = side == "difference"
    top = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    limit = top if weighted or signed else 1.0
    image = axes.imshow(
        largest(values, step),
        cmap=_colors(signed),
        vmin=-limit if signed else 0,
        vmax=limit,
        extent=(0, across, across, 0),
        interpolation="nearest",
    )
    if across <= _LABELS:
        axes.set_xticks(np.arange(across) + 0.5, labels=labels, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(across) + 0.5, labels=labels)
    if pos is not None and pos < across:
        axes.axhspan(pos, pos + 1, fill=False, edgecolor=INK, linewidth=1.2)
    axes.set(xlabel="key: what is looked at", ylabel="query: what looks")
    _quieten(axes)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set(family="monospace", fontsize=7)
    called = [BADGES[name] for name, _ in _names(scores, layer, head)]
    axes.set_title(" · ".join([f"head {layer}.{head}", *called]), fontsize=9.5, color=INK, loc="left")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.6, aspect=28, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, colors=QUIET, length=0)


def _names(scores: HeadScores | None, layer: int, head: int) -> list[tuple[str, float]]:
    if scores is None:
        return []
    return [
        (name, score)
        for name in scores.names
        for at_layer, at_head, score in scores.named(name)
        if (at_layer, at_head) == (layer, head)
    ]


def _quieten(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=7.5, colors=QUIET)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=8, color=QUIET)
