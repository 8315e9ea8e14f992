"""How well probes read labels: measures of what they say of examples that were held out, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.proportions import Bounds, of_mean_share, of_share
from interp_widgets.results.terms import Term

Measure = Literal["accuracy", "balanced", "auroc"]

MEASURES: Mapping[Measure, Term] = {
    "accuracy": Term("accuracy", "accuracy", "share of examples whose label is read right"),
    "balanced": Term("balanced", "balanced accuracy", "the mean over classes of the share that is read right"),
    "auroc": Term(
        "auroc",
        "AUROC",
        "how often an example of a class scores above one of another: the mean over folds, and over classes if there "
        "are more than two",
    ),
}


def held_out_share(predicted: NDArray[np.int16], labels: NDArray[np.int32], measure: Measure) -> NDArray[np.float64]:
    """Accuracy or balanced accuracy over the last axis; NaN where not computed."""
    right = predicted == labels
    if measure == "accuracy":
        shares = right.mean(-1)
    else:
        shares = np.mean([right[..., labels == each].mean(-1) for each in np.unique(labels)], axis=0)
    return np.where((predicted < 0).any(-1), np.nan, shares)


def share_interval(
    predicted: NDArray[np.int16], labels: NDArray[np.int32], groups: NDArray[np.int32], measure: Measure
) -> Bounds:
    """The 95% confidence interval of the same, with as many examples as those are worth that share a group."""
    right = predicted == labels
    if measure == "accuracy":
        return of_share(right, groups)
    return of_mean_share([(right[..., labels == each], groups[labels == each]) for each in np.unique(labels)])
