"""Where a result comes from: the model, the versions and the work that it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Provenance:
    """What computed a result.

    The time and the work that a result took play no part when results are compared.
    """

    model: str
    """Name of the model: its repository id or folder, else its class."""
    fingerprint: str
    """Hash of a sample of every weight; models whose weights differ have different fingerprints."""
    dtype: str
    versions: Mapping[str, str] = field(compare=False)
    """Versions of the packages that took part."""
    forward_passes: float = field(default=0.0, compare=False)
    """Work done, in forward passes of one prompt through all layers: a run of some layers counts as their share of all,
    from whichever position on it starts, and a way back counts as two."""
    seconds: float = field(default=0.0, compare=False)
    """Time spent computing, without the time in which nothing was asked of the model."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What was put where, in words: a noise's size and seed, what a mean was taken over, the layers of a window."""
