"""How sure a mean over pairs is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Student's t at 97.5% for 1 to 30 degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def t95(freedom: NDArray[np.int_]) -> NDArray[np.float64]:
    """Student's t at 97.5%; beyond the table its expansion at the normal's, right to three places."""
    table = np.array(_T)[np.clip(freedom, 1, len(_T)) - 1]
    beyond = 1.95996 + 2.3722 / np.maximum(freedom, 1) + 2.82 / np.maximum(freedom, 1) ** 2
    return np.where(freedom <= len(_T), table, beyond)


def interval(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95% confidence interval of the mean over the first axis, (low, high), by Student's t; NaN for one value."""
    count = np.array(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = values.std(axis=0, ddof=1) if count > 1 else np.full(values.shape[1:], np.nan)
    half = t95(count - 1) * deviation / np.sqrt(count)
    mean = values.mean(axis=0, dtype=np.float64)
    return mean - half, mean + half
