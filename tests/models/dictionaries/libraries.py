"""The libraries that dictionaries come from, where they are installed."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import pytest


def imported(name: str) -> Any:
    """Import a library, whose own dependencies warn and print on the way, or skip the test."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, exc_type=ImportError)
