"""Which features share dimensions, and the shape that their directions form: a pair, a triangle, a pentagon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

KEPT = 0.5
"""Length of its direction from which a feature counts as kept; one that is kept in full has a length of about 1."""
_APART = 0.2
"""Cosine up to which two features count as orthogonal: those of a square antiprism have 0.26 and more."""
_REGULAR = 0.12
"""How far, as a share, the dimensionalities of a regular shape may be from their mean."""

_NAMES = {
    (1, 1): "feature on its own",
    (2, 1): "antipodal pair",
    (3, 2): "triangle",
    (5, 2): "pentagon",
    (4, 3): "tetrahedron",
    (8, 3): "square antiprism",
}
"""By numbers of features and of dimensions: the shapes that Elhage et al. found, from which all others are built."""


@dataclass(frozen=True)
class Shape:
    """Features that share dimensions with each other and with no others."""

    features: tuple[int, ...]
    dimensions: int
    regular: bool
    """Whether all of them get about the same share of these dimensions."""

    @property
    def name(self) -> str:
        """What the shape is called: "pentagon", or "7 features in 3 dimensions"."""
        size = len(self.features), self.dimensions
        if self.regular and size in _NAMES:
            return _NAMES[size]
        return f"{size[0]} features in {size[1]} dimension{'s' * (size[1] != 1)}"


@dataclass(frozen=True)
class Landmark:
    """A dimensionality at which features of a regular shape sit."""

    share: Fraction
    name: str
    dimensions: int


LANDMARKS = tuple(
    sorted(
        (Landmark(Fraction(across, count), name, across) for (count, across), name in _NAMES.items()),
        key=lambda landmark: -landmark.share,
    )
)
"""The sticky fractions of Elhage et al.: 1, 3/4, 2/3, 1/2, 2/5, 3/8."""


def dimensionality(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The share of a dimension that each feature has to itself, (…, feature), from directions (…, hidden, feature).

    |W_i|² over the sum of (Ŵ_i · W_j)² over all j: 1 for a direction that no other shares, 1/2 in an antipodal pair, 0
    for a feature that is not represented. The sum over features is at most the number of hidden dimensions.
    """
    size, shared = _strengths(weights)
    with np.errstate(invalid="ignore"):
        return np.where(size > 0, size / (size + shared), 0.0)


def interference(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """How strongly all others lie along each feature's direction, (…, feature): the sum of (Ŵ_i · W_j)² over j ≠ i."""
    return _strengths(weights)[1]


def shapes(weights: NDArray[np.floating]) -> tuple[Shape, ...]:
    """The shapes that the kept features of one model form, the largest first; directions are (hidden, feature)."""
    directions = weights.astype(np.float64)
    norms = np.linalg.norm(directions, axis=0)
    share = dimensionality(directions)
    kept = np.flatnonzero(norms >= KEPT)
    units = directions[:, kept] / norms[kept]
    near = np.abs(units.T @ units) > _APART
    found = []
    for members in _components(near):
        values = np.linalg.svd(units[:, members], compute_uv=False)
        dimensions = int((values > 0.2 * values[0]).sum())
        own = share[kept[members]]
        regular = bool((np.abs(own - own.mean()) <= _REGULAR * own.mean()).all())
        found.append(Shape(tuple(kept[members].tolist()), dimensions, regular))
    return tuple(sorted(found, key=lambda shape: (-len(shape.features), shape.features)))


def in_words(found: Iterable[Shape], n_features: int) -> str:
    """Say which shapes there are, and how many features are in none: "2 antipodal pairs, 1 not kept"."""
    shapes = list(found)
    parts = [_counted(name, count) for name, count in Counter(shape.name for shape in shapes).items()]
    missing = n_features - sum(len(shape.features) for shape in shapes)
    return ", ".join([*parts, *([f"{missing} not kept"] if missing else [])])


def _counted(name: str, count: int) -> str:
    if name == _NAMES[1, 1]:
        return f"{count} on {'its' if count == 1 else 'their'} own"
    if count == 1 or name[0].isdigit():
        return name if count == 1 else f"{count} x {name}"
    return f"{count} {'tetrahedra' if name == 'tetrahedron' else f'{name}s'}"


def _strengths(weights: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The squared length of each direction, and the sum of squares of the others along it."""
    directions = weights.astype(np.float64)
    size = (directions**2).sum(axis=-2)
    gram = np.swapaxes(directions, -1, -2) @ directions
    along = (gram**2).sum(axis=-1) - size**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return size, np.where(size > 0, np.maximum(along, 0) / size, 0.0)


def _components(near: NDArray[np.bool_]) -> list[list[int]]:
    """The groups of a graph that no edge joins."""
    left = set(range(len(near)))
    groups = []
    while left:
        edge, group = [min(left)], []
        left.discard(edge[0])
        while edge:
            at = edge.pop()
            group.append(at)
            reached = left.intersection(np.flatnonzero(near[at]).tolist())
            left -= reached
            edge += sorted(reached)
        groups.append(sorted(group))
    return groups
