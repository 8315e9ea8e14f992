"""A sweep of strengths, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.results.paper import INK, PAPER, QUIET, notebook_figure
from interp_widgets.results.terms import metric_term
from interp_widgets.results.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from interp_widgets.results.steering import SteeringResult

_LINE, _MEAN = "#c9c7c3", "#b8390e"


def draw_steering(result: SteeringResult) -> Figure:
    """Draw a metric, and how far the prediction moves, by strength: a thin line for each prompt, a thick one for their
    mean, and a dashed one for the prompts as they are."""
    figure = notebook_figure()(figsize=(7.4, 3.1), facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2)
    term = metric_term(result.metric)
    _curves(left, result, result.metric, f"{term.label}{f' ({term.unit})' * bool(term.unit)}")
    _curves(right, result, "kl", "KL from the prompt as it is (nats)")
    title = f"{result.what}, {counted(len(result.prompts), 'prompt')}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK, parse_math=False)
    return figure


def _curves(axis: Axes, result: SteeringResult, metric: str, label: str) -> None:
    order = 1 + np.argsort(result.strengths[1:], kind="stable")
    strengths, values = result.strengths[order], result.values[metric]
    for row in values[:, order] if len(values) > 1 else ():
        axis.plot(strengths, row, color=_LINE, linewidth=0.8)
    axis.plot(strengths, values[:, order].mean(axis=0), color=_MEAN, linewidth=1.6, marker="o", markersize=3)
    axis.axhline(float(values[:, 0].mean()), color=QUIET, linewidth=0.8, linestyle=(0, (3, 3)))
    axis.set_xlabel(f"strength ({result.mode.replace('_', ' ')})", fontsize=7.5, color=QUIET)
    axis.set_title(label, loc="left", fontsize=8, color=QUIET)
    axis.tick_params(labelsize=7, colors=QUIET, length=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#d9d8d5")
