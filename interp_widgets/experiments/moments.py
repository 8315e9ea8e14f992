"""Principal components of activations that are seen some at a time and not kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

SCREE = 20
"""Of how many components the share of the variance is kept."""


@dataclass(frozen=True)
class Axes:
    """Axes through a cloud of points: directions that were given, then principal components at right angles to them."""

    basis: NDArray[np.float64]
    """(axis, d): unit vectors."""
    offsets: NDArray[np.float64]
    """(axis,)."""
    variance: NDArray[np.float64]
    """(axis,): along each."""
    total: float
    scree: NDArray[np.float64]
    """Shares of the leading principal components of all that there is."""

    def place(self, activations: torch.Tensor) -> NDArray[np.float64]:
        """Return the coordinates of activations, (point, axis)."""
        there: NDArray[np.float64] = activations.double().cpu().numpy() @ self.basis.T - self.offsets
        return there


class Moments:
    """The mean and the covariance of rows of numbers, (row, d), added up in float64."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._shift: torch.Tensor | None = None
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._products = torch.zeros(width, width, dtype=torch.float64)

    def add(self, rows: torch.Tensor) -> None:
        """Count more rows in."""
        if not len(rows):
            return
        wide = rows.cpu().double()
        if self._shift is None:  # products of numbers far from 0 would lose digits of a small spread
            self._shift = wide.mean(0)
        wide = wide - self._shift
        self.count += len(wide)
        self._sum += wide.sum(0)
        self._products.addmm_(wide.T, wide)

    def mean(self) -> NDArray[np.float64]:
        """(d,)."""
        assert self._shift is not None
        mean: NDArray[np.float64] = (self._shift + self._sum / self.count).numpy()
        return mean

    def covariance(self) -> NDArray[np.float64]:
        """(d, d), with n - 1 in the denominator."""
        centred = self._products - torch.outer(self._sum, self._sum) / self.count
        covariance: NDArray[np.float64] = (centred / (self.count - 1)).numpy()
        return covariance

    def axes(self, n_axes: int, given: NDArray[np.float64]) -> Axes:
        """Return axes: those given, (direction, d), and as many principal components as are wanted beside them.

        Components are those of what is left at right angles to the directions. Of each, the number that is largest in
        size is positive, as scikit-learn has it.
        """
        covariance, mean = self.covariance(), self.mean()
        shares, leading = _leading(covariance, max(SCREE, n_axes))
        total = float(np.trace(covariance))
        basis = given / np.linalg.norm(given, axis=-1, keepdims=True)
        if n_axes > len(given):
            if len(given):
                across, _ = np.linalg.qr(given.T)
                rest = np.eye(len(mean)) - across @ across.T
                _, leading = _leading(rest @ covariance @ rest, n_axes - len(given))
            basis = np.concatenate([basis, leading[: n_axes - len(given)]])
        offsets = basis @ mean
        offsets[: len(given)] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            scree = np.nan_to_num(shares[:SCREE] / total)
        return Axes(basis, offsets, ((basis @ covariance) * basis).sum(-1), total, scree)


def _leading(covariance: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues and their eigenvectors as rows."""
    values, vectors = np.linalg.eigh(covariance)
    rows = vectors.T[::-1][:count]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(-1)[:, None], -1)
    return np.maximum(values[::-1][:count], 0), rows * np.where(largest < 0, -1.0, 1.0)
