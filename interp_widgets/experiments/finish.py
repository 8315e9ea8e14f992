"""Run an experiment to its end, and lose nothing when it does not get there."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

R = TypeVar("R")


def finish(steps: Generator[R, None, R]) -> R:
    """Drain an experiment and return its result.

    An interrupt or an error that ends it early carries what was computed until then as its attribute `partial`; in a
    notebook or at the prompt that is `sys.last_value.partial`. It is None where nothing was computed by then.
    """
    partial: R | None = None
    try:
        while True:
            partial = next(steps)
    except StopIteration as stop:
        result: R = stop.value
        return result
    except BaseException as error:
        error.partial = partial  # type: ignore[attr-defined]  # not every exception is ours
        if hasattr(error, "add_note"):  # Python 3.11
            computed = "What was computed until then: sys.last_value.partial"
            error.add_note(computed if partial is not None else "Nothing was computed by then.")
        raise
