"""What single components of an attribution are made of: a head by source token, an MLP by neuron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content


@dataclass(frozen=True, eq=False)
class HeadSources:
    """What a head brings from each token that it attends to: its weight there times what the value does to the answer.

    Over the sources of a target they add up to what the head contributes there.
    """

    layer: int
    head: int
    contributions: NDArray[np.float32]
    """(prompt, target, source): in logits; NaN behind the end of a shorter prompt, and where not computed yet."""
    weights: NDArray[np.float32]
    """(prompt, target, source): how much of its attention the head has there."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, HeadSources) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def computed(self) -> NDArray[np.bool_]:
        """(prompt,): those that are computed."""
        return _computed(self.contributions)


@dataclass(frozen=True, eq=False)
class NeuronParts:
    """What each neuron of an MLP does to the answer: its activation times what its value does.

    Over all neurons they add up to what the MLP contributes, the biases behind them apart.
    """

    layer: int
    contributions: NDArray[np.float32]
    """(prompt, target, neuron): in logits; NaN where not computed yet."""
    activations: NDArray[np.float32]
    """(prompt, target, neuron)."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, NeuronParts) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def computed(self) -> NDArray[np.bool_]:
        """(prompt,): those that are computed."""
        return _computed(self.contributions)

    def mean(self) -> NDArray[np.float64]:
        """The mean contribution over the prompts computed so far, (target, neuron)."""
        mean: NDArray[np.float64] = self.contributions[self.computed].mean(axis=0, dtype=np.float64)
        return mean

    def strongest(self, n: int = 10, target: int = -1) -> tuple[tuple[int, float], ...]:
        """Return the n neurons with the largest mean contributions by size, with those, the largest first."""
        mean = self.mean()[target]
        order = np.argsort(-np.abs(mean), kind="stable")[:n]
        return tuple((int(neuron), float(mean[neuron])) for neuron in order)


def _computed(contributions: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.array([not np.isnan(prompt[:, 0]).any() for prompt in contributions], bool)


Sources = Mapping[tuple[int, int], HeadSources]
"""By layer and head."""
Neurons = Mapping[int, NeuronParts]
"""By layer."""


def arrays_of(sources: Sources, neurons: Neurons) -> dict[str, NDArray[Any]]:
    """Return them as arrays by name."""
    arrays: dict[str, NDArray[Any]] = {}
    for head in sources.values():
        name = f"sources/{head.layer}.{head.head}"
        arrays |= {f"{name}/contributions": head.contributions, f"{name}/weights": head.weights}
    for mlp in neurons.values():
        name = f"neurons/{mlp.layer}"
        arrays |= {f"{name}/contributions": mlp.contributions, f"{name}/activations": mlp.activations}
    return arrays


def parts_of(arrays: Mapping[str, NDArray[Any]]) -> tuple[Sources, Neurons]:
    """Put them together again from arrays by name; names of anything else are passed over."""
    sources: dict[tuple[int, int], HeadSources] = {}
    neurons: dict[int, NeuronParts] = {}
    for name in arrays:
        match name.split("/"):
            case ["sources", place, "weights"]:
                layer, head = map(int, place.split("."))
                there = f"sources/{place}/contributions"
                sources[layer, head] = HeadSources(layer, head, arrays[there], arrays[name])
            case ["neurons", place, "activations"]:
                there = f"neurons/{place}/contributions"
                neurons[int(place)] = NeuronParts(int(place), arrays[there], arrays[name])
    return sources, neurons
