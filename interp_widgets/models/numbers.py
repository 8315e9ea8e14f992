"""Whole numbers, whichever library made them, and how to name what is none."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
import torch


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number of Python or numpy, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> TypeGuard[float]:
    """Whether a value is a real number of Python or numpy, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_nan(value: object) -> bool:
    """Whether a value is what tables write where there is none: NaN, and pandas' own marks for it.

    >>> is_nan(float("nan")), is_nan(None), is_nan("nan")
    (True, False, False)
    """
    return (is_real(value) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")


def as_plain(value: Any) -> Any:
    """Return a tensor or an array as the number or the nested lists that it holds, and all else as it is."""
    return value.tolist() if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) else value


def kind_of(value: object) -> str:
    """Name the type of a value with its article.

    >>> kind_of(5), kind_of({})
    ('an int', 'a dict')
    """
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
