"""An attribution on paper: components by layer and head, the sum layer by layer, and what counts most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.attribution import AttributionResult, Component
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

PALE, WARM, COOL, LINE = "#f3f3f1", "#b5380a", "#1a57a6", "#e2e2e6"
_RANKED = 14
_DOTS = 60
"""So many prompts at most are drawn as dots."""
_BESIDE = {"attn_out": "attn", "attn_bias": "bias\nattn", "mlp_out": "MLP", "mlp_bias": "bias\nMLP"}
"""Columns beside those of heads."""


@dataclass(frozen=True)
class _Shown:
    """What is drawn: one prompt, or the mean over those that are computed."""

    result: AttributionResult
    target: int
    each: NDArray[np.float32]
    """(prompt, component)."""
    logit: float

    @property
    def values(self) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self.each.mean(axis=0, dtype=np.float64)
        return values


def draw(result: AttributionResult, *, prompt: int | None, target: int, color_limit: float | None) -> Figure:
    """Draw the mean over prompts, or one of them, at one target."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    done = np.flatnonzero(~np.isnan(result.logits).any(axis=-1)) if prompt is None else np.array([prompt])
    shown = _Shown(
        result,
        target,
        result.contributions[done, target],
        float(result.logits[done, target].mean()) if len(done) else 0,
    )
    limit = color_limit or float(np.nanmax(np.abs(shown.values), initial=0)) or 1.0
    colors = LinearSegmentedColormap.from_list("contribution", [COOL, PALE, WARM])
    rows = 2 + _n_layers(result)
    height = max(3.4, 1.35 + 0.19 * rows)
    figure = notebook_figure()(figsize=(11.4, height), facecolor=PAPER)
    top, foot = 1 - 0.78 / height, 0.52 / height
    places = ((0.045, 0.34), (0.43, 0.24), (0.80, 0.185))
    heat, total, ranked = (figure.add_axes((left, foot, width, top - foot)) for left, width in places)
    figure.text(0.012, 1 - 0.2 / height, _question(result, prompt), fontsize=11, color=INK, va="center")
    figure.text(0.012, 1 - 0.42 / height, _said(shown, done, limit), fontsize=7.5, color=QUIET, va="center")
    _draw_heat(heat, shown, colors, Normalize(-limit, limit))
    _draw_sum(total, shown, rows)
    _draw_ranked(ranked, shown)
    return figure


def _question(result: AttributionResult, prompt: int | None) -> str:
    from interp_widgets.views.attribution import question

    # Dollar signs would start a formula.
    return question(result, prompt).replace("$", r"\$")


def _said(shown: _Shown, done: NDArray[np.intp], limit: float) -> str:
    result = shown.result
    over = f"mean over {len(done)} prompts" if len(done) > 1 else f"prompt {done[0]}" if len(done) else "nothing yet"
    missed = float(np.abs(result.unexplained[done, shown.target]).max()) if len(done) else 0.0
    return (
        f"{result.provenance.model}, {over}: direct contributions in logits, colours from {-limit:.3g} to {limit:.3g}; "
        f"scale of the last norm frozen; the sum misses the logit difference by {missed:.1g}"
    )


def _n_layers(result: AttributionResult) -> int:
    return 1 + max((part.layer for part in result.components if part.layer is not None), default=-1)


def _row(part: Component, n_layers: int) -> int:
    """0 for the embedding, then the layers, then the last biases."""
    if part.layer is not None:
        return part.layer + 1
    return n_layers + 1 if part.kind == "bias" else 0


def _draw_heat(axes: Axes, shown: _Shown, colors: Colormap, limits: Normalize) -> None:
    from matplotlib.patches import Rectangle

    result, n_layers = shown.result, _n_layers(shown.result)
    n_heads = 1 + max((part.head for part in result.components if part.head is not None), default=-1)
    sites = [site for site in _BESIDE if any(part.place["site"] == site for part in result.components)]
    beside = max(1.0, n_heads / 8)
    first = {site: n_heads + beside / 3 + at * beside * 1.08 for at, site in enumerate(sites)}
    width = max([n_heads, *(left + beside for left in first.values())])
    embedded = [part for part in result.components if part.layer is None and part.kind != "bias"]
    for part, value in zip(result.components, shown.values, strict=True):
        if part.head is not None:
            left, wide = float(part.head), 1.0
        elif part.layer is not None:
            left, wide = first[str(part.place["site"])], beside
        else:
            wide = width if part.kind == "bias" else width / len(embedded)
            left = 0.0 if part.kind == "bias" else wide * embedded.index(part)
        place = (left, _row(part, n_layers))
        if np.isnan(value):
            axes.add_patch(Rectangle(place, wide, 1, fill=False, hatch="////", edgecolor="#d5d5d8", lw=0))
        else:
            axes.add_patch(Rectangle(place, wide, 1, facecolor=colors(limits(value)), edgecolor=PAPER, lw=0.5))
    axes.set(xlim=(0, width), ylim=(0, n_layers + 2))
    step = max(1, -(-n_layers // 12))
    layers = range(0, n_layers, step)
    axes.set_yticks(
        [0.5, *(layer + 1.5 for layer in layers), n_layers + 1.5], ["emb", *map(str, layers), "bias"], fontsize=7
    )
    heads = range(0, n_heads, max(1, -(-n_heads // 12)))
    ticks = [*(head + 0.5 for head in heads), *(left + beside / 2 for left in first.values())]
    axes.set_xticks(ticks, [*map(str, heads), *(_BESIDE[site] for site in sites)], fontsize=7)
    axes.set_title("layer by head", fontsize=8, color=QUIET, loc="left")
    _bare(axes)


def _draw_sum(axes: Axes, shown: _Shown, rows: int) -> None:
    at = 0.0
    for (row, share, count), (low, high) in _steps(shown, rows - 2):
        height = 1 / count
        middle = row + (share + 0.5) * height
        axes.barh(middle, high - low, 0.72 * height, left=low, color=WARM if high >= low else COOL, linewidth=0)
        axes.plot([low, low], [at, middle], color=QUIET, lw=0.6)
        at = middle
    axes.plot([shown.logit] * 2, [0, rows], color=INK, lw=0.9, ls=(0, (3, 3)))
    axes.margins(x=0.06)
    axes.axvline(0, color=LINE, lw=0.8, zorder=0)
    axes.set_ylim(0, rows)
    axes.set_yticks([])
    axes.set_title(f"sum so far, up to {shown.logit:+.3g}", fontsize=8, color=QUIET, loc="left")
    axes.tick_params(labelsize=7)
    _bare(axes, bottom=True)


def _steps(shown: _Shown, n_layers: int) -> Iterator[tuple[tuple[int, int, int], tuple[float, float]]]:
    """Each layer's attention and MLP: its row, which of how many in that row, and where the sum goes."""
    groups: list[tuple[int, bool, float]] = []
    for part, value in zip(shown.result.components, shown.values, strict=True):
        row, mlp = _row(part, n_layers), str(part.place["site"]).startswith("mlp")
        if groups and groups[-1][:2] == (row, mlp):
            groups[-1] = (row, mlp, groups[-1][2] + float(value))
        else:
            groups.append((row, mlp, float(value)))
    rows = [row for row, _, _ in groups]
    total = 0.0
    for number, (row, _, value) in enumerate(groups):
        yield (row, rows[:number].count(row), rows.count(row)), (total, total + value)
        total += value


def _draw_ranked(axes: Axes, shown: _Shown) -> None:
    from interp_widgets.results.intervals import interval

    values = shown.values
    order = np.argsort(-np.abs(values), kind="stable")[:_RANKED]
    low, high = interval(shown.each) if len(shown.each) > 1 else (values, values)
    for place, number in enumerate(order):
        color = WARM if values[number] >= 0 else COOL
        many = len(shown.each) > 1
        axes.barh(-place, values[number], 0.62, color=color, alpha=0.5 if many else 1, linewidth=0)
        if many and len(shown.each) <= _DOTS:
            dots = shown.each[:, number]
            axes.plot(dots, np.full(len(dots), -place), ".", color=INK, ms=2.2, alpha=0.5, mew=0)
        if many:
            axes.plot([low[number], high[number]], [-place, -place], color=INK, lw=0.9)
    axes.set_yticks(
        [-place for place in range(len(order))], [shown.result.components[n].name for n in order], fontsize=7
    )
    axes.set_ylim(-_RANKED + 0.4, 0.6)
    axes.axvline(0, color=LINE, lw=0.8, zorder=0)
    about = "mean, 95% interval, prompts" if len(shown.each) > 1 else "what counts most"
    axes.set_title(about, fontsize=8, color=QUIET, loc="left")
    axes.tick_params(labelsize=7)
    _bare(axes, bottom=True)


def _bare(axes: Axes, *, bottom: bool = False) -> None:
    """Take away all lines but that of the numbers."""
    for side in ("top", "left", "right", *(() if bottom else ("bottom",))):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, colors=QUIET)
