"""What all figures for print share: their colours, and a figure that shows itself."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, PAPER = "#1b1c1e", "#6a6c70", "#ffffff"
"""Of what is read first, of what explains it, and of what they stand on."""


@cache
def notebook_figure() -> type[Figure]:
    """matplotlib's figure, which shows itself as the value of a cell: pyplot, which else sees to that, is not used."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
            return buffer.getvalue()

    return NotebookFigure
