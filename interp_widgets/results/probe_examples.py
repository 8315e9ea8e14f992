"""What probes are fitted to or tested on: texts or tokens with their classes, and what probes say of others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.probe_measures import Measure, held_out_share, share_interval
from interp_widgets.results.proportions import Bounds
from interp_widgets.results.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Examples:
    """What probes are fitted to or tested on: whole texts, or single tokens of them."""

    texts: tuple[Tokens, ...]
    text: NDArray[np.int32]
    """(example,): which of the texts."""
    position: NDArray[np.int32]
    """(example,): which token of it; -1 where an example is a whole text."""
    labels: NDArray[np.int32]
    """(example,): number of its class."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, Examples) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def per_token(self) -> bool:
        """Whether each is a token."""
        return bool((self.position >= 0).any())


@dataclass(frozen=True, eq=False)
class Transfer:
    """Probes that were fitted to all examples, tested on others."""

    name: str
    examples: Examples
    predicted: NDArray[np.int16]
    """(kind, row, column, example): number of a class; -1 where not computed yet."""
    auroc: NDArray[np.float32]
    """(kind, row, column)."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, Transfer) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def value(self, measure: Measure) -> NDArray[np.float64]:
        """Return a measure of every cell, (kind, row, column)."""
        if measure == "auroc":
            return self.auroc.astype(np.float64)
        return held_out_share(self.predicted, self.examples.labels, measure)

    def chance(self, measure: Measure) -> float:
        """Return what a measure is for a probe that knows nothing but the commonest class of these examples."""
        counts = np.bincount(self.examples.labels)
        chances = {"accuracy": counts.max() / counts.sum(), "balanced": 1 / np.count_nonzero(counts), "auroc": 0.5}
        return float(chances[measure])

    def interval(self, measure: Measure) -> Bounds:
        """Return the 95% confidence interval of a measure; tokens of one text count as a group. AUROC has none."""
        if measure == "auroc":
            return np.full(self.auroc.shape, np.nan), np.full(self.auroc.shape, np.nan)
        return share_interval(self.predicted, self.examples.labels, self.examples.text, measure)
