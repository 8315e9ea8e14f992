"""Estimated against exact effects, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interp_widgets.results.errors import ResultError
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.terms import Site, metric_term
from interp_widgets.views._paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_scatter(result: PatchingResult) -> Figure:
    """Draw the estimate of each cell that was run against its exact effect, with one panel for each site.

    Cells on the diagonal were estimated right; those far below or above it are where attribution patching misleads. A
    colour is a layer, the lighter the later.

    Raises:
        ResultError: no cell has both.
    """
    estimates = result.estimates
    if estimates is None or not any(len(result.compare(site).exact) for site in result.sites):
        raise ResultError(
            "no cell has both an estimate and an exact value. Compute the result with preview=True, to its end."
        )
    count = len(result.sites)
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = notebook_figure()(figsize=(3.1 * columns + 0.4, 3.3 * rows + 0.3), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis, site in zip(axes, result.sites, strict=False):
        _frame(axis, result, site)
    label = metric_term(estimates.metric).label
    figure.supxlabel(f"exact effect on {label}", fontsize=7.5, color=QUIET)
    figure.supylabel("estimate (gradient times difference)", fontsize=7.5, color=QUIET)
    return figure


def _frame(axis: Axes, result: PatchingResult, site: Site) -> None:
    cells = result.compare(site)
    both = np.concatenate([cells.estimated, cells.exact, [0.0]])
    margin = 0.05 * float(np.ptp(both)) or 1.0
    ends = (float(both.min()) - margin, float(both.max()) + margin)
    axis.plot(ends, ends, color=QUIET, linewidth=0.8, zorder=1)
    axis.scatter(
        cells.exact,
        cells.estimated,
        c=cells.layers,
        cmap="viridis",
        vmin=min(result.layers),
        vmax=max(result.layers),
        s=9,
        alpha=0.75,
        linewidths=0,
        zorder=2,
    )
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    axis.tick_params(labelsize=6.5, colors=QUIET, length=2)
    correlation = cells.rank_correlation
    said = f"rank correlation {correlation:.2f}" if np.isfinite(correlation) else "too few cells to compare"
    axis.set_title(f"{site}\n", loc="left", fontsize=8.5, color=INK, family="monospace", fontweight="bold")
    axis.text(0, 1.02, f"{said}, {len(cells.exact)} cells", transform=axis.transAxes, fontsize=7, color=QUIET)
    for spine in axis.spines.values():
        spine.set_color("#d9d8d5")
