"""A lens on paper: layers by tokens, each cell with what would be said there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.lens import LensResult
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure
from interp_widgets.views.protocol.lens_table import LensCell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALE, WARM = "#f3f2f0", "#b8390e"
_MOST = 24
"""Tokens that are drawn: of a longer prompt those before the selected one."""
_WIDE, _TALL = 0.62, 0.24
"""Inches of a cell."""
_LETTERS = 8
_WORDS = {
    "prob": "probability",
    "logprob": "log probability",
    "logit": "logit",
    "rank": "-log10(1 + rank)",
    "entropy": "entropy in nats",
    "kl": "KL divergence from the end in nats",
}


def draw(result: LensResult, *, metric: str, answer: int | None, rows: str, selected: LensCell) -> Figure:
    """Draw a table for each prompt, of a long one the part that ends at the selected token."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shown = [row for row, place in enumerate(result.rows) if rows == "all" or place.site != "resid_mid"]
    length = len(result.prompts[0])
    stop = min(length, max(selected["pos"] + 1, _MOST))
    part = range(max(0, stop - _MOST), stop)
    values = _values(result, metric, answer)[:, shown][..., part.start : part.stop]
    colors = LinearSegmentedColormap.from_list("warm", [PALE, WARM])
    limits = Normalize(*_limits(values, metric))
    # Room for the row of tokens, whose labels are slanted.
    tall = len(shown) * _TALL + 1.0
    width, height = 1.5 + len(part) * _WIDE, 0.75 + tall * len(result.prompts)
    figure = notebook_figure()(figsize=(width, height), facecolor=PAPER)
    what = _WORDS[metric] + ("" if metric in ("entropy", "kl") else f" of {_of(result, answer)}")
    figure.text(0.02, 1 - 0.2 / height, f"{result.provenance.model}, {result.lens}", fontsize=10.5, color=INK)
    figure.text(0.02, 1 - 0.42 / height, f"Colour: {what}, {_ends(limits.vmin, limits.vmax)}.", fontsize=8, color=QUIET)
    names = ("",) if len(result.prompts) == 1 else ("clean", "corrupt")
    for prompt, name in enumerate(names):
        bottom = height - 0.6 - tall * (prompt + 1) + 0.8
        axes = figure.add_axes((1.15 / width, bottom / height, len(part) * _WIDE / width, len(shown) * _TALL / height))
        axes.pcolormesh(values[prompt], cmap=colors, norm=limits, edgecolors=PAPER, linewidth=0.8)
        for row, place in enumerate(shown):
            for column, pos in enumerate(part):
                top = result.top(prompt, place, pos)
                if not top:
                    continue
                share = float(limits(values[prompt, row, column])) if np.isfinite(values[prompt, row, column]) else 0.0
                label = top[0][0].label
                axes.text(
                    column + 0.5,
                    row + 0.48,
                    label if len(label) <= _LETTERS else f"{label[: _LETTERS - 1]}…",
                    fontsize=6.5,
                    family="monospace",
                    color=PAPER if share > 0.55 else INK,
                    ha="center",
                    va="center",
                )
        axes.set_yticks([row + 0.5 for row in range(len(shown))], [result.labels[row] for row in shown], fontsize=7)
        labels = result.prompts[prompt].labels
        ticks = [labels[pos] for pos in part]
        axes.set_xticks([column + 0.5 for column in range(len(part))], ticks, fontsize=7, rotation=45, ha="right")
        axes.tick_params(length=0, colors=QUIET)
        axes.set_title(name, fontsize=8, color=QUIET, loc="left", pad=3)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if selected["prompt"] == prompt:
            _outline(axes, shown, result, selected, part)
    return figure


def _outline(axes: object, shown: list[int], result: LensResult, selected: LensCell, part: range) -> None:
    from matplotlib.patches import Rectangle

    row = result.row(selected["site"], selected["layer"])
    if row in shown and selected["pos"] in part:
        box = (selected["pos"] - part.start, shown.index(row))
        axes.add_patch(Rectangle(box, 1, 1, fill=False, edgecolor=INK, linewidth=1.6))  # type: ignore[attr-defined]


def _of(result: LensResult, answer: int | None) -> str:
    return "the likeliest token" if answer is None else result.answers[answer].label


def _values(result: LensResult, metric: str, answer: int | None) -> NDArray[np.float32]:
    if metric in ("entropy", "kl"):
        return result.value(metric)
    if answer is None:
        return result.top_probs[..., 0]
    value = result.value(metric, answer)
    # Most of what matters happens near the top, so ranks are told apart by their logarithm.
    return -np.log10(1 + value) if metric == "rank" else value


def _limits(values: NDArray[np.float32], metric: str) -> tuple[float, float]:
    """Where the scale begins and ends."""
    known = values[np.isfinite(values)]
    if metric == "prob" or not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low if metric in ("logprob", "logit", "rank") else 0.0), max(high, low + 1e-6)


def _ends(low: float | None, high: float | None) -> str:
    return f"from {low or 0:.3g} (pale) to {high or 0:.3g}"
