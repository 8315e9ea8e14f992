"""Whole numbers, whichever library made them."""

from __future__ import annotations

from numbers import Integral
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number of Python or numpy, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)
