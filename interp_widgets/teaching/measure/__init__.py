"""Measurements of a trained network: what it does, and which parts of it do it.

>>> from interp_widgets.teaching.data import FOLDER
>>> from interp_widgets.teaching.measure import Lab, refusal
>>> {figure.name: figure.value for figure in refusal.measure(Lab(FOLDER))}["refusal.direction.L1.added"]
1.0
"""

from __future__ import annotations

from pathlib import Path

from . import behaviours, facts, greater_than, induction, ioi, probes, refusal
from .figure import Figure
from .lab import Lab

__all__ = ["Figure", "Lab", "measure_all"]


def measure_all(folder: Path) -> dict[str, Figure]:
    """Measure everything there is to measure. Takes under a minute on one core.

    Args:
        folder: Holds ``model.safetensors``, ``config.json`` and ``tokenizer.json``.

    Returns:
        Figures by name, in the order of the model card.
    """
    lab = Lab(folder)
    parts = (behaviours, induction, ioi, facts, greater_than, refusal, probes)
    return {figure.name: figure for part in parts for figure in part.measure(lab)}
