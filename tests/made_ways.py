"""Grids from whose cells others open, with the numbers of `made`."""

from __future__ import annotations

from interp_widgets.views._way import Way
from interp_widgets.views.patching_grid import PatchingGrid
from interp_widgets.views.protocol.common import Spot
from tests import made

CELL = {"site": "resid_pre", "layer": 2, "pos": 5}
HEAD = {"site": "z", "layer": 1, "head": 2}
Asked = list[tuple[str, Spot]]


def ways(*, apart: tuple[str, ...] = ()) -> tuple[Asked, tuple[Way, Way]]:
    """From an activation to heads, and from a head to all of its positions; the list notes what is opened.

    Args:
        apart: what of a head makes its positions another view.
    """
    asked: Asked = []

    def parts(spot: Spot) -> PatchingGrid:
        asked.append(("parts", spot))
        return PatchingGrid(made.heads(layers=3, n_heads=4))._offer(*both)

    def rows(spot: Spot) -> PatchingGrid:
        asked.append(("rows", spot))
        return PatchingGrid(made.heads_by_position())._offer(*both)

    both = (
        Way(
            "parts",
            "what wrote it",
            "o",
            parts,
            needs=("layer", "pos"),
            sites=("resid_pre",),
            apart=("layer", "pos"),
            by=("pos",),
        ),
        Way("rows", "all of it", "t", rows, needs=("layer", "head"), apart=apart, by=("layer", "head")),
    )
    return asked, both


def grid(*, apart: tuple[str, ...] = ()) -> tuple[Asked, PatchingGrid]:
    """A grid of streams from which both open."""
    asked, both = ways(apart=apart)
    return asked, PatchingGrid(made.result())._offer(*both)
