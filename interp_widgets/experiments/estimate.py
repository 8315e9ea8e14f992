"""Attribution patching: what cells would do to the metric, to first order, from one pass forth and back.

The estimate of a cell is the sum, over the activations that it replaces, of the metric's gradient in the host run times
what is put in minus what was there. It is exact where the metric is linear in between, and misleads where it is not,
for instance through a saturated softmax or a normalised stream early on.

Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale".
Syed et al. 2023, "Attribution Patching Outperforms Automated Circuit Discovery", arXiv:2310.10348.
Kramár et al. 2024, "AtP*: An efficient and scalable method for localizing LLM behaviour to components",
arXiv:2403.00745.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.cells import Cells, Target
from interp_widgets.experiments.contrast import Scene
from interp_widgets.experiments.grid import Cell
from interp_widgets.experiments.metrics import MetricContext, Metrics
from interp_widgets.experiments.sweep import default_rows
from interp_widgets.models.access import Access
from interp_widgets.models.gradients import Place, gradients
from interp_widgets.models.memory import Portions
from interp_widgets.results.errors import MetricError
from interp_widgets.results.panel import Latent
from interp_widgets.results.terms import STREAM_SITES, Site

PASSES = 3
"""What a run forth and back costs, in forward passes."""


def check_derivative(metrics: Metrics, host: int) -> None:
    """Refuse a metric whose derivative tells nothing in the host run: 0 is the clean one, 1 the corrupt one.

    Raises:
        MetricError: with the metrics that can be estimated.
    """
    offer = "Use metric='logit_diff'; the result has the other metrics of every exact cell, see `with_metric`."
    if not metrics.differentiable:
        raise MetricError(f"metric {metrics.front} has no derivative, so cells cannot be estimated. {offer}")
    if metrics.front == "kl" and host == 0:
        raise MetricError(
            "metric kl is at its minimum in the clean run, where its derivative is 0 in every direction, so cells that "
            f"start from it cannot be estimated. {offer}"
        )


def estimates(
    access: Access,
    cells: Cells,
    metrics: Metrics,
    scenes: Sequence[Scene],
    contexts: Sequence[MetricContext],
    wanted: Sequence[Sequence[Cell]],
) -> Iterator[tuple[Cell, float]]:
    """Yield the estimated change of the metric in front for cells of some pairs that were read together.

    Args:
        access: the model.
        cells: what the cells replace.
        metrics: the metric in front is estimated.
        scenes: what was read of each pair.
        contexts: the answers of each pair.
        wanted: the cells of each pair.

    Raises:
        MetricError: the metric has no derivative.
        ModelError: a part of the model has none.
    """
    hosts, places = scenes[0].hosts, cells.places()
    # The way back needs the activations of all layers, where other runs keep those of one at a time.
    most = max(1, default_rows(access, hosts.ids.shape[1]) // access.n_layers)

    def run(some: Sequence[int]) -> dict[Place, torch.Tensor]:
        rows = [scenes[number].row for number in some]

        def measure(logits: torch.Tensor) -> torch.Tensor:
            parts = [metrics.of_graph(logits[at : at + 1], contexts[number]) for at, number in enumerate(some)]
            return torch.cat(parts)

        return gradients(access, hosts.ids[rows], hosts.stream[0][rows], places, measure)

    for some, found in Portions(most)(range(len(scenes)), run):
        for at, number in enumerate(some):
            pair = Attribution(scenes[number], {place: gradient[at] for place, gradient in found.items()})
            for cell in wanted[number]:
                yield cell, pair(cells.target(*cell))


class Attribution:
    """Estimates what cells of one pair change.

    Args:
        scene: what was read of the pair.
        slopes: the metric's gradient with respect to the host's activations, without the axis of rows.
    """

    def __init__(self, scene: Scene, slopes: Mapping[Place, torch.Tensor]) -> None:
        self._scene = scene
        self._slopes = slopes
        self._products: dict[tuple[Place, Latent | None], NDArray[np.float32]] = {}

    def __call__(self, target: Target) -> float:
        """Return by how much the metric changes, to first order, when a target is replaced."""
        return sum(self._change(target, layer) for layer in target.layers)

    def _change(self, target: Target, layer: int) -> float:
        place = (target.site, layer)
        if self._scene.aligned and target.positions == target.sources:
            key = place, target.latent
            if key not in self._products:
                every = slice(None)
                alone = target.latent is None
                self._products[key] = self._product(place, every, every) if alone else self._of_latent(*key)
            found = self._products[key]
            rows = found if target.positions is None else found[list(target.positions)]
        else:
            assert target.positions is not None
            assert target.sources is not None
            rows = self._product(place, list(target.positions), list(target.sources))
        units = rows if target.unit is None else rows[:, target.unit]
        return float(units.sum(dtype=np.float64))

    def _of_latent(self, place: Place, latent: Latent | None) -> NDArray[np.float32]:
        """Multiply slope and what a latent changes: (position, 1)."""
        assert self._scene.latents is not None
        assert latent is not None
        moved = self._scene.latents.moved(latent)
        product = self._slopes[place].float().to(moved.device) * moved
        return product.flatten(1).sum(-1, keepdim=True).cpu().numpy()

    def _product(self, place: Place, to: slice | list[int], at: slice | list[int]) -> NDArray[np.float32]:
        """Multiply slope and difference, summed over what no cell takes apart: (position, unit) or (position, 1)."""
        site, layer = place
        slope, host, donor = (
            _by_position(site, tensor).float()
            for tensor in (self._slopes[place], self._scene.host(site, layer), self._scene.donor(site, layer))
        )
        host, slope = host[to], slope[to].to(host.device)
        product = slope * (donor[at].to(host.device) - host)
        if site != "mlp_post":
            product = product.sum(-1, keepdim=site in STREAM_SITES)
        return product.cpu().numpy()


def _by_position(site: Site, activations: torch.Tensor) -> torch.Tensor:
    """Put the position first, which for patterns, (head, query, key), is the query's."""
    return activations.transpose(0, 1) if site == "pattern" else activations
