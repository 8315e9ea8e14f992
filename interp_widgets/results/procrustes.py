"""Turning one cloud of points onto another, so that the same points are found in the same places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def turned_onto(points: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the rotation or reflection R, (k, k), that brings `points @ R` nearest to `reference` by least squares.

    Nothing is stretched or moved. Both are (point, k), each about its own origin.

    References:
        Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem".
    """
    left, _, right = np.linalg.svd(points.astype(np.float64).T @ reference.astype(np.float64))
    turn: NDArray[np.float64] = left @ right
    return turn
