"""A measured number that can be claimed on the model card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        name: Dotted, from the topic down: ``"ioi.name_mover.L3H2.io"``.
        value: The number; shares and accuracies lie in 0 to 1, logit differences are in nats.
        how: How it was measured, in a sentence.
        tolerance: How far a new measurement on another machine may lie.
    """

    name: str
    value: float
    how: str
    tolerance: float = 0.02
