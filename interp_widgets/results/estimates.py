"""First-order estimates of cells, kept beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Estimates:
    """What attribution patching says of cells before they are run: gradient times difference.

    All arrays have the axes of the result that holds them.
    """

    metric: str
    """The metric that was estimated, which is the one asked for."""
    values: NDArray[np.float32]
    """(prompt, site, row, column): the host's value and the estimated change, in the metric's unit.

    NaN where a cell was certain without an estimate, or is not asked for.
    """
    exact: NDArray[np.bool_]
    """(site, row, column): cells that are to be run exactly too; the others stay estimates."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Estimates):
            return NotImplemented
        return (
            self.metric == other.metric
            and np.array_equal(self.values, other.values, equal_nan=True)
            and np.array_equal(self.exact, other.exact)
        )

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays


@dataclass(frozen=True, eq=False)
class Comparison:
    """Cells that were estimated and then run, one after the other."""

    layers: NDArray[np.int64]
    """(cell,): the layer of each."""
    estimated: NDArray[np.float64]
    """(cell,): estimated effect."""
    exact: NDArray[np.float64]
    """(cell,): effect when it was run."""

    @property
    def rank_correlation(self) -> float:
        """Spearman's correlation of the two; NaN for fewer than two cells, or where one side is constant."""
        return spearman(self.estimated, self.exact)


def largest(strengths: NDArray[np.floating[Any]], most: int) -> NDArray[np.bool_]:
    """Mark the `most` largest numbers of an array, the first of equals first, and never a NaN."""
    order = np.argsort(-strengths, axis=None, kind="stable")[:most]  # NaN comes last
    mask = np.zeros(strengths.size, dtype=bool)
    mask[order] = True
    mask[np.isnan(strengths).ravel()] = False
    return mask.reshape(strengths.shape)


def spearman(left: NDArray[np.floating[Any]], right: NDArray[np.floating[Any]]) -> float:
    """Return the rank correlation of two rows of numbers; NaN for fewer than two, or where one is constant."""
    left, right = (_ranks(row) - (len(row) + 1) / 2 for row in (left, right))
    norm = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / norm if norm else float("nan")


def _ranks(row: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rank numbers from 1 on; equal ones share the mean of their ranks."""
    _, which, counts = np.unique(row, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (counts.cumsum() - (counts - 1) / 2)[which]
    return ranks
