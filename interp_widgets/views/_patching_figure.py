"""A patching grid on paper: the matplotlib counterpart of the page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.panel import Line, Panel
from interp_widgets.results.patching import PatchingResult, Status
from interp_widgets.results.terms import metric_term, site_term
from interp_widgets.views._color_limit import WHOLE
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE = "#f3f2f0"
"""The colour of no effect."""
CLEAN = "#b8390e"
CORRUPT = "#1f5fae"
_DIVERGING = [CORRUPT, PALE, CLEAN]
_WIDEST = 18.5
"""Inches that panels take side by side before they wrap."""
_GAP, _MARGIN, _NAME = 0.32, 0.55, 0.5
"""Inches between panels, left of them for labels of rows, and above them for their names."""
_LETTERS = 16
"""Letters of a latent's name that are shown beside its row."""
_LINE, _LETTER = 0.12, 0.056
"""Inches of a line and of a letter of what is said below a panel's name."""
_CELL = (0.27, 0.17)
"""Inches of a cell, across and up, where there is room."""
_MOST_CELLS = 800
"""Cells along one side of a drawn panel; of more, each drawn cell shows the strongest of those that it stands for."""
_ROOM_FOR_GAPS = 60


def draw(result: PatchingResult, *, pair: int | None, color_limit: float) -> Figure:
    """Draw the effects of one pair, or the mean of all when `pair` is None."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    effect = result.mean_effect() if pair is None else result.effect()[pair]
    boxes, size = _place(result)
    figure = notebook_figure()(figsize=size, facecolor=PAPER)
    # A colour means a side whichever is the host: warm is towards the first one.
    scale = _DIVERGING if result.story.host else _DIVERGING[::-1]
    colors = LinearSegmentedColormap.from_list("effect", scale).with_extremes(bad=PAPER)
    limits = Normalize(-color_limit, color_limit)
    for number, panel in enumerate(result.panels):
        rows, columns = len(panel.lines), panel.width(result.length)
        axis = figure.add_axes(_share_of(size, boxes[number]))
        axis.imshow(
            np.ma.masked_invalid(_pooled(effect[number, :rows, :columns])),
            origin="lower",
            aspect="auto",
            cmap=colors,
            norm=limits,
            interpolation="nearest",
            extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
        )
        _frame(axis, result, panel, pair, numbered=boxes[number].left == _margin(result))
        status = result.status[:, number] if pair is None else result.status[[pair], number]
        _hatch(axis, (status == Status.ESTIMATED).any(axis=0)[:rows, :columns])
    first = boxes[0]
    bar = figure.colorbar(
        ScalarMappable(limits, colors),
        cax=figure.add_axes(
            _share_of(size, _Box(size[0] - 0.75, first.top, 0.11, min(first.height, 2.2))),
        ),
        extend=_extend(effect, color_limit),
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, colors=QUIET, length=0)
    bar.set_label(_legend(result, color_limit), fontsize=7.5, color=QUIET)
    title, label = _heading(result, pair)
    for text, down, color, large in ((title, 0.08, INK, 10.5), (label, 0.29, QUIET, 8.0)):
        figure.text(_margin(result) / size[0], 1 - down / size[1], text, fontsize=large, color=color, va="top")
    return figure


@dataclass(frozen=True)
class _Box:
    """Where something is, in inches from the upper left corner of the figure."""

    left: float
    top: float
    width: float
    height: float


def _share_of(size: tuple[float, float], box: _Box) -> tuple[float, float, float, float]:
    """A box as matplotlib takes it: in shares of the figure, from its lower left corner."""
    width, height = size
    return box.left / width, 1 - (box.top + box.height) / height, box.width / width, box.height / height


def _place(result: PatchingResult) -> tuple[list[_Box], tuple[float, float]]:
    """Where each panel goes, and how large the figure is: cells of one size, side by side until a line is full."""
    widths = [_width(panel, result.length) for panel in result.panels]
    boxes: list[_Box] = []
    top, right = 0.45, 0.0
    for line in _lines(widths, _margin(result)):
        top += _NAME + _LINE * (max(len(_meaning(result.panels[number], widths[number])) for number in line) - 1)
        left, below = _margin(result), top
        for number in line:
            panel, width = result.panels[number], widths[number]
            boxes.append(_Box(left, top, width, _height(panel)))
            left += _room(width) + _GAP
            below = max(below, top + _height(panel) + _labels_below(result, panel))
        right = max(right, left)
        top = below
    return boxes, (max(right + 0.75, 4.6), top + 0.1)


def _margin(result: PatchingResult) -> float:
    """Inches left of panels: more where rows have names."""
    longest = max((len(line.name) for panel in result.panels for line in panel.lines), default=0)
    return _MARGIN + _LETTER * min(longest, _LETTERS)


def _lines(widths: Sequence[float], margin: float) -> list[list[int]]:
    """Which panels stand side by side."""
    lines: list[list[int]] = [[]]
    left = margin
    for number, width in enumerate(widths):
        if lines[-1] and left + width > _WIDEST:
            lines.append([])
            left = margin
        lines[-1].append(number)
        left += _room(width) + _GAP
    return lines


def _room(width: float) -> float:
    """Inches that a panel takes with its name."""
    return max(width, 1.1)


def _meaning(panel: Panel, width: float) -> list[str]:
    """What a panel's site is, in lines that end before the next panel."""
    return textwrap.wrap(site_term(panel.site).meaning, int((_room(width) + _GAP / 2) / _LETTER)) or [""]


def _labels_below(result: PatchingResult, panel: Panel) -> float:
    """Inches for the labels of columns."""
    if panel.columns in ("pos", "role"):
        labels = panel.labels or tuple(label for pair in result.pairs for label in pair.clean.labels)
        return 0.2 + 0.057 * min(24, max(map(len, labels)))
    return 0.45


def _by_head(panel: Panel) -> bool:
    return panel.rows == "head"


def _width(panel: Panel, length: int) -> float:
    return min(max(_CELL[0] * panel.width(length), _CELL[0] if panel.columns == "layer" else 1.1), 9.0)


def _height(panel: Panel) -> float:
    return min(max(_CELL[1] * len(panel.lines), 1.5), 9.0 if _by_head(panel) else 8.0)


def _pooled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The strongest of each block of cells, where there are more cells than can be drawn."""
    for axis in (0, 1):
        block = -(-values.shape[axis] // _MOST_CELLS)
        if block == 1:
            continue
        starts = np.arange(0, values.shape[axis], block)
        low = np.fmin.reduceat(values, starts, axis=axis)
        high = np.fmax.reduceat(values, starts, axis=axis)
        values = np.where(np.abs(low) > np.abs(high), low, high)
    return values


def _frame(axis: Axes, result: PatchingResult, panel: Panel, pair: int | None, *, numbered: bool) -> None:
    term = site_term(panel.site)
    name: dict[str, Any] = {"fontsize": 8.5, "color": INK, "family": "monospace", "fontweight": "bold"}
    about: dict[str, Any] = {"fontsize": 7, "color": QUIET}
    meaning = _meaning(panel, _width(panel, result.length))
    name_up = 5 + 72 * _LINE * len(meaning)
    for text, up, look in ((term.label, name_up, name), ("\n".join(meaning), 4, about)):
        axis.annotate(text, (0, 1), (0, up), xycoords="axes fraction", textcoords="offset points", **look)
    axis.tick_params(colors=QUIET, length=0, pad=2)
    _label_columns(axis, result, panel, pair)
    _label_rows(axis, panel, named=numbered)
    for spine in axis.spines.values():
        spine.set_visible(False)
    rows, columns = len(panel.lines), panel.width(result.length)
    across: Sequence[float] = list(np.arange(columns - 1) + 0.5) if columns <= _ROOM_FOR_GAPS else []
    upwards: Sequence[float] = list(np.arange(rows - 1) + 0.5)
    if rows > _ROOM_FOR_GAPS:
        upwards = [first - 0.5 for first in _groups(panel)[1:]]
    axis.set_xticks(across, minor=True)
    axis.set_yticks(upwards, minor=True)
    axis.grid(which="minor", color=PAPER, linewidth=0.8)
    axis.tick_params(which="minor", length=0)


def _groups(panel: Panel) -> list[int]:
    """The first row of each layer, where rows are heads."""
    if not _by_head(panel):
        return []
    return [0, *(row for row in range(1, len(panel.lines)) if panel.lines[row].layer != panel.lines[row - 1].layer)]


def _label_rows(axis: Axes, panel: Panel, *, named: bool) -> None:
    lines = panel.lines
    if not _by_head(panel):
        rows = _thin(len(lines), round(_height(panel) / 0.13))
        by_latent = panel.rows == "latent"
        labels = [_latent(lines[row]) if by_latent else str(lines[row].layer) for row in rows]
        name = str(panel.rows)
    elif len(lines) <= _ROOM_FOR_GAPS:
        rows = _thin(len(lines), round(_height(panel) / 0.13))
        labels = [f"{lines[row].layer}.{lines[row].head}" for row in rows]
        name = "layer.head"
    else:
        starts = _groups(panel)
        kept = [starts[n] for n in _thin(len(starts), round(_height(panel) / 0.13))]
        size = starts[1] if len(starts) > 1 else len(lines)
        axis.set_yticks([first + (size - 1) / 2 for first in kept], [str(lines[first].layer) for first in kept])
        axis.tick_params(axis="y", labelsize=7)
        rows, labels, name = [], [], "layer"
    if rows:
        axis.set_yticks(rows, labels, fontsize=7)
    if named:
        axis.set_ylabel(name, fontsize=7.5, color=QUIET)


def _latent(line: Line) -> str:
    name = line.name if len(line.name) <= _LETTERS else f"{line.name[: _LETTERS - 1]}…"
    # Dollar signs would start a formula.
    return f"{line.latent} {name}".strip().replace("$", r"\$")


def _label_columns(axis: Axes, result: PatchingResult, panel: Panel, pair: int | None) -> None:
    if panel.columns == "layer":
        axis.set_xticks([0] if panel.labels else [], list(panel.labels), fontsize=7)
        return
    if panel.columns in ("head", "neuron"):
        digits = len(panel.labels[-1])
        columns = _thin(len(panel.labels), round(_width(panel, result.length) / (0.1 + 0.07 * digits)))
        axis.set_xticks(columns, [panel.labels[column] for column in columns], fontsize=7)
        axis.set_xlabel(panel.columns, fontsize=7.5, color=QUIET, labelpad=2)
        return
    columns = _thin(panel.width(result.length), 40)
    labels = _tokens(result, pair, columns) if panel.columns == "pos" else [panel.labels[n] for n in columns]
    # A dollar sign would start a formula.
    labels = [label.replace("$", r"\$") for label in labels]
    axis.set_xticks(columns, labels, rotation=90, fontsize=6.5, family="monospace")
    changed = set(result.pairs[pair or 0].differs) if panel.columns == "pos" else set()
    for column, label in zip(columns, axis.get_xticklabels(), strict=True):
        if column in changed:
            label.set(color=(CLEAN, CORRUPT)[result.story.donor], fontweight="bold")


def _tokens(result: PatchingResult, pair: int | None, positions: Sequence[int]) -> list[str]:
    """Labels of positions. In a mean over pairs a position holds one label only if all pairs agree."""
    shown = result.pairs if pair is None else (result.pairs[pair],)
    # The donor's side, as in the page: its token is what a cell puts in.
    prompts = [(one.clean, one.corrupt)[result.story.donor].labels or one.clean.labels for one in shown]
    columns = [{labels[position] for labels in prompts} for position in positions]
    return [labels.pop() if len(labels) == 1 else "≠" for labels in columns]


def _hatch(axis: Axes, estimated: NDArray[np.bool_]) -> None:
    """Stripes over what is only estimated, one patch for each stretch of a row."""
    from matplotlib.patches import Rectangle

    for row, cells in enumerate(estimated):
        start = 0
        for marked, stretch in groupby(cells.tolist()):
            length = len(list(stretch))
            if marked:
                axis.add_patch(
                    Rectangle(
                        (start - 0.5, row - 0.5), length, 1, facecolor="none", edgecolor=PAPER, hatch="//////", lw=0
                    )
                )
            start += length


def _thin(count: int, most: int) -> list[int]:
    """Every so many of `count`, in steps that are easy to count on, so that at most about `most` are left."""
    least = -(-count // max(1, most))
    step = next(digit * 10**power for power in range(9) for digit in (1, 2, 5) if digit * 10**power >= least)
    return list(range(0, count, step))


def _extend(effect: NDArray[Any], limit: float) -> str:
    finite = effect[np.isfinite(effect)]
    below, above = bool((finite < -limit).any()), bool((finite > limit).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}[below, above]


def _legend(result: PatchingResult, limit: float) -> str:
    story = result.story
    estimates = "\nstriped: estimate" if (result.status == Status.ESTIMATED).any() else ""
    ends = f"0: {story.sides[story.host]}, 1: {story.sides[story.donor]}"
    end = "" if limit == WHOLE else f"\nscale ends at ±{limit:.3g}"
    return f"effect on {metric_term(result.metric).label}\n{ends}{end}{estimates}".replace("$", r"\$")


def _heading(result: PatchingResult, pair: int | None) -> tuple[str, str]:
    """The question, and which experiment answers it."""
    shown = result.pairs if pair is None else (result.pairs[pair],)
    title = result.story.title({(one.answer.label, one.wrong_answer.label) for one in shown})
    several = f", mean of {len(shown)} {result.story.noun}s" if len(shown) > 1 else ""
    return title.replace("$", r"\$"), f"{result.story.label}{several}".replace("$", r"\$")
