"""How sure a share is, where some of what was counted belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Z = 1.959964
"""The normal's 97.5% point."""

Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]


def wilson(share: NDArray[np.float64], count: NDArray[np.float64]) -> Bounds:
    """Wilson's 95% score interval of a share of `count` independent trials, (low, high).

    >>> low, high = wilson(np.array(1.0), np.array(10.0))
    >>> round(float(low), 3), round(float(high), 3)
    (0.722, 1.0)
    """
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def worth(correct: NDArray[np.bool_], groups: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """How many independent trials some are worth that come in groups, over the last axis.

    It is the count at which a plain share would vary as much as this one does between groups (Korn and Graubard 1998),
    at most that of all trials; and that of the groups where all trials came out alike, so that nothing is seen of how
    they vary.
    """
    count = correct.shape[-1]
    names, member = np.unique(groups, return_inverse=True)
    n_groups = len(names)
    share = correct.mean(-1)
    if n_groups == count:
        return np.full(share.shape, float(count))
    off = correct - share[..., None]
    sums = np.zeros((*share.shape, n_groups))
    for group in range(n_groups):
        sums[..., group] = off[..., member == group].sum(-1)
    variance = n_groups / max(1, n_groups - 1) * (sums**2).sum(-1) / count**2
    with np.errstate(divide="ignore", invalid="ignore"):
        independent = share * (1 - share) / variance
    independent = np.where((share == 0) | (share == 1), n_groups, independent)
    clipped: NDArray[np.float64] = np.clip(np.nan_to_num(independent, nan=count, posinf=count), 1, count)
    return clipped


def of_share(correct: NDArray[np.bool_], groups: NDArray[np.integer[Any]]) -> Bounds:
    """The 95% interval of the share of trials, (..., trial), that came out right."""
    return wilson(correct.mean(-1), worth(correct, groups))


def of_mean_share(parts: Sequence[tuple[NDArray[np.bool_], NDArray[np.integer[Any]]]]) -> Bounds:
    """The 95% interval of the mean of several shares, each with its trials and groups.

    How far it reaches to a side follows from how far those of the shares do (Zou and Donner 2008).
    """
    shares = [correct.mean(-1) for correct, _ in parts]
    bounds = [of_share(correct, groups) for correct, groups in parts]
    mean = np.mean(shares, axis=0)
    pairs = list(zip(shares, bounds, strict=True))
    down = np.sqrt(sum((share - low) ** 2 for share, (low, _) in pairs)) / len(parts)
    up = np.sqrt(sum((high - share) ** 2 for share, (_, high) in pairs)) / len(parts)
    return np.clip(mean - down, 0, 1), np.clip(mean + up, 0, 1)
