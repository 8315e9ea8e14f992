"""A prediction as a sum over components and neurons, on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.results.memories import MemoriesResult, Memory, Part
from interp_widgets.results.memories_in_words import against
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MORE, LESS = "#b8390e", "#1f5fae"
"""Of what adds to the answer's logit, and of what takes away from it."""
_PALE = "#d9d8d5"
_BAR = 0.27
"""Inches from one bar to the next."""
_LETTERS = 46
"""Letters of tokens that stand in a line."""
_LAST = 24
"""Tokens at the end of a prompt that the title shows."""


class MemoriesFigure:
    """`MemoriesResult` as a picture, which a notebook shows."""

    def __init__(self, result: MemoriesResult) -> None:
        self.result = result

    def figure(self) -> Figure:
        """Draw it with matplotlib: on the left what adds up to the prediction, on the right the strongest neurons."""
        return draw_memories(self.result)

    def _repr_png_(self) -> bytes:
        png: bytes = self.figure()._repr_png_()  # type: ignore[attr-defined]  # ours has it
        return png

    def __repr__(self) -> str:
        return self.result.summary()


def draw_memories(result: MemoriesResult) -> Figure:
    """Draw what adds up to a prediction, and the strongest neurons with what their values promote."""
    rows = max(len(result.parts), len(result.memories))
    size = (11.5, _BAR * rows + 1.25)
    figure = notebook_figure()(figsize=size, facecolor=PAPER)
    top, bottom = 1 - 0.85 / size[1], 0.4 / size[1]
    left, right = (figure.add_axes((x, bottom, 0.21, top - bottom)) for x in (0.085, 0.5))
    _sum(left, result)
    _neurons(right, result)
    for axis, name in ((left, "What adds up to it"), (right, "The neurons that do most")):
        axis.set_title(name, loc="left", fontsize=8.5, color=INK, fontweight="bold", pad=16)
        axis.tick_params(labelsize=7, colors=INK, length=0)
        axis.tick_params(axis="x", colors=QUIET)
        axis.grid(axis="x", color=_PALE, linewidth=0.5)
        axis.set_axisbelow(True)
        axis.spines[:].set_visible(False)
    prompt = ("… " if len(result.tokens) > _LAST else "") + "".join(result.tokens.labels[-_LAST:])
    for text, down, color, points in (
        (f"Logit of {result.answer} above {against(result)}: {result.logit:.3g}", 0.07, INK, 10.5),
        (f"after  {prompt}", 0.29, QUIET, 8.0),
    ):
        figure.text(0.012, 1 - down / size[1], text, fontsize=points, color=color, va="top", parse_math=False)
    return figure


def _sum(axis: Axes, result: MemoriesResult) -> None:
    """Bars that begin where the ones before end, and what the model would say after each."""
    contributions = np.array([part.contribution for part in result.parts])
    ends = np.cumsum(contributions)
    places = np.arange(len(ends))
    axis.barh(places, contributions, left=ends - contributions, color=_colors(contributions), height=0.62)
    for place, end in enumerate(ends[:-1]):
        axis.plot([end, end], [place - 0.31, place + 1.31], color=QUIET, linewidth=0.6)
    _frame(axis, [part.component for part in result.parts], [*ends, *(ends - contributions)])
    for place, part in enumerate(result.parts):
        _beside(axis, place, _says(part), INK if part.top == result.answer else QUIET)
    _above(axis, "the model would then say")


def _neurons(axis: Axes, result: MemoriesResult) -> None:
    """Bars of the neurons' contributions, what their values promote, and what fires them."""
    contributions = np.array([memory.contribution for memory in result.memories])
    places = np.arange(len(contributions))
    axis.barh(places, contributions, color=_colors(contributions), height=0.62)
    _frame(axis, [memory.name for memory in result.memories], [0.0, *contributions])
    for place, memory in enumerate(result.memories):
        _beside(axis, place, _value(memory), INK)
    keys = any(memory.triggers for memory in result.memories)
    _above(axis, "its value promotes" + "   (fires on)" * keys)


def _frame(axis: Axes, names: Sequence[str], reached: Sequence[float]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    low, high = min(0.0, *reached), max(0.0, *reached)
    margin = 0.03 * (high - low) or 1.0
    axis.set_xlim(low - margin, high + margin)
    axis.axvline(0, color=QUIET, linewidth=0.8)


def _beside(axis: Axes, place: int, text: str, color: str) -> None:
    axis.text(
        1.03, place, text, transform=axis.get_yaxis_transform(), fontsize=7, color=color, va="center", parse_math=False
    )


def _above(axis: Axes, text: str) -> None:
    axis.annotate(
        text, (1.03, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=7, color=QUIET
    )


def _colors(contributions: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[str]:
    return [MORE if contribution >= 0 else LESS for contribution in contributions]


def _says(part: Part) -> str:
    return f"{part.top}  {part.top_prob:.0%}"


def _value(memory: Memory) -> str:
    """As many of the promoted tokens as there is room for, and of those that fire the neuron."""
    fires = _fitting([token.label for token, _ in memory.triggers], _LETTERS // 2)
    promotes = _fitting([word.token.label for word in memory.card.promotes or ()], _LETTERS + 8 - len(fires))
    return f"{promotes}   ({fires})" if fires else promotes


def _fitting(labels: Sequence[str], letters: int) -> str:
    line = ""
    for label in labels:
        longer = f"{line}  {label}" if line else label
        if line and len(longer) > letters:
            break
        line = longer
    return line
