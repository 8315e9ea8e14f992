"""Where a colour scale ends by default."""

from __future__ import annotations

import numpy as np

from interp_widgets.results.patching import PatchingResult

WHOLE = 1.0
"""The other run in full: where a scale ends, so that colours mean the same in every grid."""
_SMALL = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25)
"""Where the scale of a grid of small effects may end: numbers that are easy to read, so close that the strongest cell
has more than half of the colour. A smaller effect than the first is shown as 0.00, so that a grid of
nothing but rounding keeps looking empty."""


def default_limit(result: PatchingResult) -> float:
    """The effect at which the colour scale of a result ends, on both sides of 0.

    It is 1, the other run in full, unless no effect of the metric asked for reaches a quarter of that in the mean over
    pairs, as is usual of single neurons: such a grid would be pale all over.
    """
    effect = np.abs(result.mean_effect())
    finite = effect[np.isfinite(effect)]
    largest = float(finite.max()) if finite.size else WHOLE
    if largest == 0:
        return WHOLE
    return next((limit for limit in _SMALL if largest <= limit), WHOLE)
