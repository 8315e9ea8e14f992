"""What figures of views share with those of results."""

from __future__ import annotations

from interp_widgets.results.paper import INK, PAPER, QUIET, notebook_figure

__all__ = ["INK", "PAPER", "QUIET", "notebook_figure"]
