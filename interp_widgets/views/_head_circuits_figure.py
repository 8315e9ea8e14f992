"""Both circuits of a head on paper, with its eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.head_circuits import HeadCircuits
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE, WARM, COOL, LINE = "#f3f2f0", "#b8390e", "#1f5fae", "#e2e2e6"
_LABELS = 48


def draw(result: HeadCircuits, layer: int, head: int) -> Figure:
    """Draw the QK circuit, the OV circuit and the eigenvalues of a head.

    Raises:
        SelectionError: it is not in the result.
    """
    row, column = result.place(layer, head)
    figure = notebook_figure()(figsize=(11.4, 4.6), facecolor=PAPER)
    left, middle, right = (
        figure.add_axes(box) for box in ((0.08, 0.2, 0.32, 0.6), (0.48, 0.2, 0.32, 0.6), (0.86, 0.42, 0.12, 0.38))
    )
    figure.text(0.02, 0.95, f"{result.provenance.model}: head {layer}.{head}", fontsize=10.5, color=INK, va="center")
    behind = f", {result.offset} tokens on" if result.positions == "rotary" else ""
    said = f"which tokens{behind} attend to it\nscore before softmax"
    _map(left, result.tokens.labels, result.qk[row, column].T, "QK", said, result.missing.get("qk"))
    said = "what attending to it promotes\nlogits at a last norm of size 1"
    _map(middle, result.tokens.labels, result.ov[row, column], "OV", said, None)
    _plane(right, result.eigenvalues[row, column], float(result.copying[row, column]))
    return figure


def _map(
    axes: Axes, labels: tuple[str, ...], values: NDArray[np.float32], name: str, said: str, missing: str | None
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("circuit", [COOL, PALE, WARM]).with_extremes(bad=LINE)
    limit = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=-limit, vmax=limit, aspect="auto")
    axes.text(0, 1.13, name, transform=axes.transAxes, fontsize=9, color=INK, fontweight="bold", va="bottom")
    axes.text(0, 1.02, said, transform=axes.transAxes, fontsize=7.5, color=QUIET, va="bottom")
    if missing is not None:
        axes.text(
            0.5, 0.5, "not a product of a query and a key here", transform=axes.transAxes, fontsize=8, ha="center"
        )
    shown = [label.replace("$", r"\$") for label in labels] if len(labels) <= _LABELS else []
    axes.set_xticks(range(len(shown)), shown, rotation=60, ha="right", fontsize=7, family="monospace")
    axes.set_yticks(range(len(shown)), shown, fontsize=7, family="monospace")
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    figure = axes.figure
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6.5, colors=QUIET, length=0)


def _plane(axes: Axes, eigenvalues: NDArray[np.float64], copying: float) -> None:
    """Eigenvalues of the OV circuit: right of 0 tokens raise themselves."""
    real, imaginary = eigenvalues[:, 0], eigenvalues[:, 1]
    axes.axhline(0, color=LINE, linewidth=0.8)
    axes.axvline(0, color=LINE, linewidth=0.8)
    if np.isfinite(real).any():
        limit = 1.1 * float(np.hypot(real, imaginary).max()) or 1.0
        axes.scatter(real, imaginary, s=9, c=np.where(real >= 0, WARM, COOL), linewidths=0)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
        axes.set_title(f"eigenvalues of OV\ncopying {copying:+.2f}", loc="left", fontsize=8, color=INK)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=6, colors=QUIET, length=2)
    axes.spines[:].set_visible(False)
