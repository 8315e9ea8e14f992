"""Cells of a patching grid that are certain before any of them is run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interp_widgets.models.access import Runs
from interp_widgets.results.terms import Site

HOST, DONOR, UNKNOWN = 0, 1, -1

_STREAM: frozenset[Site] = frozenset({"resid_pre", "resid_mid", "resid_post"})


def known_cells(
    runs: Runs, clean: int, corrupt: int, shared: int, sites: Sequence[Site], layers: Sequence[int], *, causal: bool
) -> NDArray[np.int8]:
    """Return which run each cell of a pair equals: HOST, DONOR or UNKNOWN, with the axes (site, layer, pos).

    A patch equals the host run where it puts in what is there already. It equals the donor run where the stream then is
    the donor's at every position. In the last layer only the final position is still read once attention is done.

    Args:
        runs: the activations of both prompts, in rows `clean` and `corrupt`.
        clean: row of the clean prompt.
        corrupt: row of the corrupt prompt.
        shared: how many leading tokens the prompts share.
        sites: the grid's sites.
        layers: the grid's layers.
        causal: whether positions before the first different token are sure to agree. Edits that a user stored on the
            model may carry anything anywhere; then only equal activations count.
    """
    length = runs.stream[0].shape[1]
    cells = np.full((len(sites), len(layers), length), UNKNOWN, dtype=np.int8)
    last = len(runs.stream) - 2
    for (row, site), (column, layer) in _product(sites, layers):
        activations = runs.site(site, layer)
        differs = (activations[clean] != activations[corrupt]).any(-1).cpu().numpy()
        if causal:
            differs[:shared] = False
        cell = cells[row, column]
        cell[~differs] = HOST
        if not causal:
            continue
        if site in _STREAM and differs.sum() == 1:
            cell[differs] = DONOR
        if layer == last and site != "resid_pre":
            cell[:-1] = HOST
            if site in _STREAM and differs[-1]:
                cell[-1] = DONOR
    return cells


def _product(sites: Sequence[Site], layers: Sequence[int]) -> list[tuple[tuple[int, Site], tuple[int, int]]]:
    return [(site, layer) for site in enumerate(sites) for layer in enumerate(layers)]
