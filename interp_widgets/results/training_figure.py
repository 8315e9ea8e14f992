"""How a training went, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp_widgets.results.paper import INK, PAPER, QUIET, notebook_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from interp_widgets.results.training import TrainingCurves

_DRAWN = (
    ("loss", "loss"),
    ("variance_explained", "variance explained"),
    ("l0", "latents on a token (L0)"),
    ("dead_share", "share of dead latents"),
)
_COLOR = "#b8390e"


def draw_training(curves: TrainingCurves) -> Figure:
    """Draw loss, variance explained, L0 and dead latents by tokens seen."""
    figure = notebook_figure()(figsize=(9.4, 2.6), facecolor=PAPER, layout="constrained")
    for axis, (name, label) in zip(figure.subplots(1, len(_DRAWN)), _DRAWN, strict=True):
        axis.plot(curves.tokens, getattr(curves, name), color=_COLOR, linewidth=1.3)
        axis.set_title(label, loc="left", fontsize=8, color=QUIET)
        axis.set_xlabel("tokens", fontsize=7.5, color=QUIET)
        axis.tick_params(labelsize=7, colors=QUIET, length=2)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 4), useMathText=True)
        axis.xaxis.get_offset_text().set(fontsize=6.5, color=QUIET)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#d9d8d5")
    title = f"{curves.provenance.model}: {curves.summary()}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, color=INK, parse_math=False)
    return figure
