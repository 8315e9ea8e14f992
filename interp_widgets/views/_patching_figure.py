"""A patching grid on paper: the matplotlib counterpart of the page."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.terms import SITE_TERMS, metric_term

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE = "#f3f2f0"
"""The colour of no effect."""
CLEAN = "#b8390e"
CORRUPT = "#1f5fae"
_DIVERGING = [CORRUPT, PALE, CLEAN]
_INK, _QUIET, _PAPER = "#1b1c1e", "#6a6c70", "#ffffff"
_MOST_LABELS = 40
_WIDEST = 18.0
"""Inches that panels take side by side before they wrap."""


def draw(result: PatchingResult, *, pair: int | None, color_limit: float) -> Figure:
    """Draw the effects of one pair, or the mean of all when `pair` is None."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    effect = result.mean_effect() if pair is None else result.effect()[pair]
    n_sites, n_layers, n_tokens = effect.shape
    panel = min(max(0.27 * n_tokens, 2.4), 9.0)
    height = min(max(0.17 * n_layers, 1.5), 8.0)
    columns = max(1, min(n_sites, int(_WIDEST / (panel + 0.35))))
    rows = -(-n_sites // columns)
    size = (columns * (panel + 0.35) + 1.0, rows * (height + 1.5) + 0.8)
    figure = _notebook_figure()(figsize=size, facecolor=_PAPER, layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axis in axes[n_sites:]:
        axis.set_visible(False)
    axes = axes[:n_sites]
    # A colour means a side in both directions: warm is towards the clean run.
    scale = _DIVERGING if result.direction == "denoising" else _DIVERGING[::-1]
    colors = LinearSegmentedColormap.from_list("effect", scale).with_extremes(bad=_PAPER)
    image = None
    for number, axis in enumerate(axes):
        image = axis.imshow(
            np.ma.masked_invalid(effect[number]),
            origin="lower",
            aspect="auto",
            cmap=colors,
            norm=Normalize(-color_limit, color_limit),
            interpolation="nearest",
        )
        _frame(axis, result, number, pair, numbered=number % columns == 0)
    assert image is not None
    bar = figure.colorbar(
        image, ax=list(axes), location="right", shrink=0.8, aspect=18, pad=0.015, extend=_extend(effect, color_limit)
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, colors=_QUIET, length=0)
    bar.set_label(_legend(result), fontsize=7.5, color=_QUIET)
    figure.suptitle(_heading(result, pair), x=0.01, ha="left", fontsize=9.5, color=_INK)
    return figure


@cache
def _notebook_figure() -> type[Figure]:
    """matplotlib's figure, which shows itself as the value of a cell: pyplot, which else sees to that, is not used."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
            return buffer.getvalue()

    return NotebookFigure


def _frame(axis: Axes, result: PatchingResult, number: int, pair: int | None, *, numbered: bool) -> None:
    site = result.sites[number]
    axis.set_title(f"{site}\n", loc="left", fontsize=8.5, color=_INK, family="monospace", fontweight="bold")
    axis.text(0, 1.012, SITE_TERMS[site].meaning, transform=axis.transAxes, fontsize=7, color=_QUIET, va="bottom")
    axis.set_xticks(*_token_ticks(result, pair), rotation=90, fontsize=6.5, family="monospace")
    layers = _thin(len(result.layers), 13)
    axis.set_yticks(layers, [str(result.layers[layer]) for layer in layers], fontsize=7)
    axis.tick_params(colors=_QUIET, length=0, pad=2)
    changed = set(result.pairs[pair or 0].differs)
    for tick, label in zip(axis.get_xticks(), axis.get_xticklabels(), strict=True):
        if int(tick) in changed:
            label.set(color=CLEAN if result.direction == "denoising" else CORRUPT, fontweight="bold")
    if numbered:
        axis.set_ylabel("layer", fontsize=7.5, color=_QUIET)
    for spine in axis.spines.values():
        spine.set_visible(False)
    n_layers, n_tokens = len(result.layers), result.length
    if max(n_layers, n_tokens) <= 60:
        axis.set_xticks(np.arange(n_tokens - 1) + 0.5, minor=True)
        axis.set_yticks(np.arange(n_layers - 1) + 0.5, minor=True)
        axis.grid(which="minor", color=_PAPER, linewidth=0.8)
        axis.tick_params(which="minor", length=0)


def _token_ticks(result: PatchingResult, pair: int | None) -> tuple[list[int], list[str]]:
    """Positions to label and their labels. In a mean over pairs a position holds one label only if all pairs agree."""
    shown = result.pairs if pair is None else (result.pairs[pair],)
    positions = _thin(result.length, _MOST_LABELS)
    # The copied side, as in the page: its token is what a cell puts in.
    prompts = [one.clean if result.direction == "denoising" else one.corrupt for one in shown]
    columns = [{prompt.labels[position] for prompt in prompts} for position in positions]
    # A dollar sign would start a formula.
    return positions, [(labels.pop() if len(labels) == 1 else "≠").replace("$", r"\$") for labels in columns]


def _thin(count: int, most: int) -> list[int]:
    return list(range(0, count, -(-count // most)))


def _extend(effect: NDArray[Any], limit: float) -> str:
    finite = effect[np.isfinite(effect)]
    below, above = bool((finite < -limit).any()), bool((finite > limit).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}[below, above]


def _legend(result: PatchingResult) -> str:
    other = "clean" if result.direction == "denoising" else "corrupt"
    return f"effect on {metric_term(result.metric).label}\n0 unchanged, 1 fully {other}"


def _heading(result: PatchingResult, pair: int | None) -> str:
    donor, host = ("clean", "corrupt") if result.direction == "denoising" else ("corrupt", "clean")
    if pair is None and len(result.pairs) > 1:
        return f"{donor} → {host}, mean of {len(result.pairs)} pairs"
    shown = result.pairs[pair or 0]
    text = f"{donor} → {host}:  {shown.answer.label.strip('␣')} rather than {shown.wrong_answer.label.strip('␣')}"
    return text.replace("$", r"\$")
