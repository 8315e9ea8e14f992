"""Where the code runs: whether somebody watches, and which event loop can carry work on between cells."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_known: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("watching loop", default=None)


def watching_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that goes on between cells while somebody watches, or None when nobody does.

    Scripts and plain interpreters have no such loop. nbclient (and so nbconvert and papermill) runs a real kernel, but
    takes no keyboard input and stops the kernel after the last cell: there the work must be done within the cell.
    """
    if (known := _known.get()) is not None:
        return known
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if _somebody_watches() else None


@contextmanager
def watched_by(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Say that somebody watches, where that is known and cannot be found out."""
    token = _known.set(loop)
    try:
        yield
    finally:
        _known.reset(token)


def _somebody_watches() -> bool:
    if "marimo" in sys.modules:
        import marimo

        if marimo.running_in_notebook():
            return marimo.app_meta().mode in ("edit", "run")
    if "IPython" in sys.modules:
        from IPython import get_ipython

        kernel = getattr(get_ipython(), "kernel", None)
        if kernel is not None:
            content = (kernel.get_parent("shell") or {}).get("content", {})
            return bool(content.get("allow_stdin", False))
    return False
