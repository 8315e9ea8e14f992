"""Features on paper: the text as tokens coloured by a latent, with pinned latents as rows of bars below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.features import FeatureResult
from interp_widgets.results.words import counted
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

PALE, WARM, COOL = "#f3f2f0", "#b8390e", "#1f5fae"
_WIDTH, _GUTTER = 96, 9
"""Characters of a line, and those that its number and the names of rows take."""
_MOST = 240
"""Tokens of a text that are drawn: of a longer one those around the strongest."""
_DOCUMENTS = 12
"""Texts that are drawn: of more, those on which the latent is strongest."""
_LETTER, _TEXT, _ROW, _GAP = 0.082, 0.2, 0.12, 0.09
"""Inches: width of a character, height of a line of text and of a row of bars, and room between lines."""


@dataclass(frozen=True)
class _Band:
    """A latent on one text: its values, and how they are coloured."""

    latent: int
    values: NDArray[np.float32]
    colors: Colormap
    limits: Normalize


def draw(result: FeatureResult, shown: int | None, pinned: Sequence[int], *, color_limit: float | None) -> Figure:
    """Draw texts, coloured by the latent that is shown; of a long one the part around its strongest token.

    Of more than 12 texts those are drawn on which that latent is strongest, in the order of the texts; the figure says
    how many there are.
    """
    latents = [*([] if shown is None else [shown]), *pinned]
    bands = [_band(result, latent, color_limit) for latent in latents]
    ends = np.cumsum([0, *map(len, result.texts)])
    chosen = _strongest(result, shown)
    parts = [_part(len(result.texts[number]), bands[:1], int(ends[number])) for number in chosen]
    lines = [list(_lines(result.texts[number].labels, part)) for number, part in zip(chosen, parts, strict=True)]
    heads = len(result.texts) > 1 or len(parts[0]) < len(result.texts[0])
    height_of_line = _TEXT + _ROW * len(pinned) + _GAP
    height = 0.62 + sum(len(some) * height_of_line + 0.2 * heads for some in lines) + 0.1
    width = (_WIDTH + _GUTTER) * _LETTER + 0.3
    figure = notebook_figure()(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.15, width - 0.15), ylim=(height, 0))
    axes.axis("off")
    title = f"{result.dictionary.name}, {result.dictionary.reads}"
    axes.text(0, 0.18, title, fontsize=10.5, color=INK, va="center")
    axes.text(0, 0.4, _said(result, shown, color_limit), fontsize=8, color=QUIET, va="center")
    top = 0.62
    for number, part, some in zip(chosen, parts, lines, strict=True):
        if heads:
            axes.text(0, top + 0.07, _side(result, number, part), fontsize=8, color=QUIET, va="center")
            top += 0.2
        for line in some:
            _draw_line(axes, result, bands, shown is not None, line, (int(ends[number]), number, top))
            top += height_of_line
    return figure


def _band(result: FeatureResult, latent: int, color_limit: float | None) -> _Band:
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    limit = color_limit or float(np.abs(result.maximum[:, latent]).max()) or 1.0
    signed = result.dictionary.signed
    colors = LinearSegmentedColormap.from_list("activation", [COOL, PALE, WARM] if signed else [PALE, WARM])
    return _Band(latent, result.column(latent), colors, Normalize(-limit if signed else 0, limit))


def _part(length: int, bands: Sequence[_Band], start: int) -> range:
    """Which tokens of a text are drawn."""
    if length <= _MOST or not bands:
        return range(min(length, _MOST))
    sizes = np.nan_to_num(np.abs(bands[0].values[start : start + length]))
    first = min(max(0, int(sizes.argmax()) - _MOST // 2), length - _MOST)
    return range(first, first + _MOST)


def _lines(labels: Sequence[str], part: range) -> Iterator[range]:
    """The tokens of each line: it ends where the text's own line does, or where there is no more room."""
    first, used = part.start, 0
    for token in part:
        if used and used + len(labels[token]) > _WIDTH:
            yield range(first, token)
            first, used = token, 0
        used += len(labels[token])
        if labels[token].endswith("↵"):
            yield range(first, token + 1)
            first, used = token + 1, 0
    if first < part.stop:
        yield range(first, part.stop)


def _draw_line(
    axes: Axes, result: FeatureResult, bands: Sequence[_Band], colored: bool, line: range, at: tuple[int, int, float]
) -> None:
    from matplotlib.patches import Rectangle

    start, text, top = at
    rows = bands[1:] if colored else bands
    left = _GUTTER * _LETTER
    axes.text(left - 0.1, top + _TEXT / 2, str(line.start), fontsize=6.5, color=QUIET, va="center", ha="right")
    for row, band in enumerate(rows):
        foot = top + _TEXT + (row + 1) * _ROW
        axes.text(left - 0.1, foot - _ROW / 2, str(band.latent), fontsize=6.5, color=INK, va="center", ha="right")
    for token in line:
        label = result.texts[text].labels[token]
        width = len(label) * _LETTER
        value = bands[0].values[start + token] if colored else 0.0
        ink = INK
        if np.isnan(value):
            axes.add_patch(Rectangle((left, top), width, _TEXT, fill=False, hatch="////", edgecolor="#d5d5d8", lw=0))
        elif value:
            fill = bands[0].colors(bands[0].limits(value))
            ink = PAPER if _dark(fill) else INK
            axes.add_patch(Rectangle((left, top), width - 0.012, _TEXT, facecolor=fill, lw=0))
        # Dollar signs would start a formula.
        shown = label.replace("␣", " ").replace("$", r"\$")
        axes.text(left, top + _TEXT / 2, shown, fontsize=8, family="monospace", color=ink, va="center_baseline")
        for row, band in enumerate(rows):
            _draw_bar(axes, band, band.values[start + token], (left, top + _TEXT + (row + 1) * _ROW, width))
        left += width


def _draw_bar(axes: Axes, band: _Band, value: float, place: tuple[float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    left, foot, width = place
    axes.plot([left, left + width], [foot, foot], color="#e2e2e6", lw=0.6)
    if value and not np.isnan(value):
        height = 0.8 * _ROW * min(1.0, abs(float(value)) / float(band.limits.vmax or 1))
        color = band.colors(band.limits(value))
        axes.add_patch(Rectangle((left + 0.006, foot - height), width - 0.018, height, facecolor=color, lw=0))


def _dark(color: Sequence[float]) -> bool:
    red, green, blue = color[:3]
    return 0.3 * red + 0.59 * green + 0.11 * blue < 0.55


def _said(result: FeatureResult, shown: int | None, color_limit: float | None) -> str:
    if shown is None:
        return "no latent fires"
    name = f" ({result.names[shown]})" if shown in result.names else ""
    limit = color_limit or float(np.abs(result.maximum[:, shown]).max())
    low = f"{-limit:.3g}" if result.dictionary.signed else "0"
    fires, read = int(result.fires[:, shown].sum()), int(result.computed.sum())
    said = f"colour: latent {shown}{name}, {low} to {limit:.3g}; fires on {fires:,} of {counted(read, 'token')}"
    drawn = len(_strongest(result, shown))
    if drawn < len(result.texts):
        said += f"; drawn are the {drawn} of {len(result.texts):,} texts on which it is strongest"
    return said


def _strongest(result: FeatureResult, shown: int | None) -> list[int]:
    """The numbers of the texts that are drawn."""
    if shown is None or len(result.texts) <= _DOCUMENTS:
        return list(range(min(len(result.texts), _DOCUMENTS)))
    sizes = np.abs(result.maximum[:, shown])
    return sorted(np.argsort(-sizes, kind="stable")[:_DOCUMENTS].tolist())


def _side(result: FeatureResult, number: int, part: range) -> str:
    said = result.sides[number] if len(result.texts) == 1 else f"{result.sides[number]} {number}"
    length = len(result.texts[number])
    return said if len(part) == length else f"{said}, tokens {part.start} to {part.stop - 1} of {length:,}"
