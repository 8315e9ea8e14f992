"""Toy models made by hand, for tests of what shows and saves them: shapes whose numbers are known."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.provenance import Provenance
from interp_widgets.results.superposition import SuperpositionResult

PROBABILITIES = (1.0, 0.3, 0.04)


def polygon(count: int, n_features: int = 5, length: float = 1.0) -> NDArray[np.float64]:
    """Directions of a regular polygon, (2, feature); features beyond it are not represented."""
    angles = 2 * np.pi * np.arange(count) / count
    directions = np.zeros((2, n_features))
    directions[:, :count] = length * np.stack([np.cos(angles), np.sin(angles)])
    return directions


def orthogonal(count: int, n_hidden: int = 2, n_features: int = 5) -> NDArray[np.float64]:
    """The first features in a dimension each."""
    return np.eye(n_hidden, n_features) * (np.arange(n_features) < count)


def pairs(n_hidden: int = 2, n_features: int = 5) -> NDArray[np.float64]:
    """An antipodal pair in each dimension: features 0 and 1, 2 and 3, ..."""
    directions = np.zeros((n_hidden, n_features))
    for hidden in range(n_hidden):
        directions[hidden, 2 * hidden : 2 * hidden + 2] = (1, -1)
    return directions


def toys() -> SuperpositionResult:
    """Five features in two dimensions: two orthogonal ones, two pairs, a pentagon. Of two models the second is best.

    The first models are triangles, so that whoever takes the wrong ones is seen.
    """
    best = [orthogonal(2), pairs(), polygon(5, length=1.1)]
    weights = np.stack([np.stack([polygon(3), directions]) for directions in best])
    losses = np.array([[0.9, 0.6], [0.5, 0.2], [0.07, 0.02]])
    return made(weights, losses, PROBABILITIES)


def cube() -> SuperpositionResult:
    """Twelve features in four dimensions, drawn as WᵀW: some alone, and eight in antipodal pairs."""
    alone, paired = orthogonal(4, 4, 12), pairs(4, 12)
    return made(np.stack([alone, paired])[:, None], np.array([[0.6], [0.2]]), (0.9, 0.02))


def made(
    weights: NDArray[np.float64], losses: NDArray[np.float64], probabilities: tuple[float, ...]
) -> SuperpositionResult:
    """A trained result with these weights and losses."""
    levels, models, _, n_features = weights.shape
    biases = -np.arange(levels * models * n_features, dtype=np.float32).reshape(levels, models, n_features) / 100
    return SuperpositionResult(
        probabilities=probabilities,
        importance=0.9 ** np.arange(n_features),
        weights=weights.astype(np.float32),
        biases=biases,
        curve_steps=np.array([0, 100]),
        curves=np.stack([losses * 3, losses]),
        constant_losses=np.linspace(1.2, 0.1, levels),
        steps=100,
        activation="relu",
        provenance=Provenance("ReLU(WᵀWx + b)", "0123abcd", "float32", {"torch": "2.0"}, 51200.0, 1.5, {"seed": "0"}),
        code="probability = $probability\nmodel = $model\n",
    )


def untrained(whole: SuperpositionResult, at: int = 0) -> SuperpositionResult:
    """The same models before training, or after `at` steps of it: somewhere else."""
    start = np.linspace(-0.3, 0.3, whole.weights.size).reshape(whole.weights.shape) * (1 + at / whole.steps)
    curve = (np.array([at]), whole.curves[:1])
    return replace(whole, weights=start.astype(np.float32), curve_steps=curve[0], curves=curve[1])


def steps(
    whole: SuperpositionResult, fail_at: int | None = None
) -> Generator[SuperpositionResult, None, SuperpositionResult]:
    """A training that goes on for ten steps at a time, and fails where it is told to."""
    for at in range(0, whole.steps, 10):
        if at == fail_at:
            raise RuntimeError("the training broke")
        yield untrained(whole, at)
    return whole
