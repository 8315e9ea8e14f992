"""Cells of a grid that are certain before any of them is run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.contrast import Scene
from interp_widgets.experiments.sweep import site_index
from interp_widgets.models.access import Access
from interp_widgets.results.terms import STREAM_SITES, Site

HOST, DONOR, UNKNOWN = 0, 1, -1

_STREAM: frozenset[Site] = frozenset({"resid_pre", "resid_mid", "resid_post"})
_READ_BY_OTHERS: frozenset[Site] = frozenset({"resid_pre", "k", "v"})
"""What the final position of the last layer still reads of other positions."""


class Known:
    """Tells of each cell of a pair which run it equals without running it.

    A patch equals the host run where it puts in what is there already. It equals the donor run where the stream then is
    the donor's at every position. In the last layer only the final position is still read once attention is done.

    Args:
        scene: what was read of the pair.
        access: the model. Edits that a user stored on it may carry anything anywhere; then only equal activations
            count.
    """

    def __init__(self, scene: Scene, access: Access) -> None:
        self._scene = scene
        self._last = access.n_layers - 1
        self._edited = access.edited
        self._reads_last = access.reads_last
        self._differs: dict[tuple[Site, int], NDArray[np.bool_]] = {}

    def __call__(self, target: Target) -> int:
        """Return HOST, DONOR or UNKNOWN."""
        if self._scene.idle(target):
            return HOST
        if target.latent is not None:
            return HOST if self._lost(target) else UNKNOWN
        if not self._scene.aligned or target.positions != target.sources:
            return HOST if self._same(target) else UNKNOWN
        differs = [self._differing(target.site, layer) for layer in target.layers]
        if not any(self._taken(target, array).any() for array in differs):
            return HOST
        if self._edited:
            return UNKNOWN
        if self._lost(target):
            return HOST
        return DONOR if self._closes(target, differs[-1]) else UNKNOWN

    def _closes(self, target: Target, differs: NDArray[np.bool_]) -> bool:
        """Whether the stream becomes the donor's wherever it matters."""
        if target.site not in _STREAM or not self._scene.closes:
            return False
        matters = differs.copy()
        if self._reads_last and target.layers[-1] == self._last and target.site != "resid_pre":
            matters[:-1] = False
        return bool(matters.any()) and self._taken(target, matters).sum() == matters.sum()

    def _lost(self, target: Target) -> bool:
        """Whether nothing reads what a target replaces."""
        if self._edited or target.layers[0] != self._last or target.site in _READ_BY_OTHERS:
            return False
        length = self._scene.hosts.ids.shape[1]
        return self._reads_last and target.positions is not None and length - 1 not in target.positions

    @staticmethod
    def _taken(target: Target, differs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The part of an array (position, unit) that a target replaces."""
        rows = differs if target.positions is None else differs[list(target.positions)]
        return rows if target.unit is None or target.site in STREAM_SITES else rows[:, target.unit]

    def _differing(self, site: Site, layer: int) -> NDArray[np.bool_]:
        """Where host and donor differ, (position, unit), or (position,) for streams."""
        found = self._differs.get((site, layer))
        if found is None:
            host, donor = self._scene.host(site, layer), self._scene.donor(site, layer)
            differs = host != donor
            if site == "pattern":
                differs = differs.any(-1).T
            elif site != "mlp_post":
                differs = differs.any(-1)
            found = self._differs[site, layer] = differs.cpu().numpy()
            found[: self._scene.shared] = False
        return found

    def _same(self, target: Target) -> bool:
        assert target.positions is not None
        assert target.sources is not None
        return all(
            torch.equal(
                self._scene.host(target.site, layer)[site_index(target.site, to, target.unit)],
                self._scene.donor(target.site, layer)[site_index(target.site, at, target.unit)],
            )
            for layer in target.layers
            for to, at in zip(target.positions, target.sources, strict=True)
        )
