"""What a view is made from: a result that is there, or the steps of one that is being computed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from interp_widgets.results.errors import ResultError

R = TypeVar("R")


def steps_of(source: R | Generator[R, None, R], kind: type[R], view: str) -> Generator[R, None, R]:
    """The steps that a view follows: those that are given, or none where the work is done.

    Args:
        source: what the view was given.
        kind: the results that it shows.
        view: what it is called.

    Raises:
        ResultError: it was given neither.
    """
    if isinstance(source, Generator):
        return source
    if isinstance(source, kind):
        return _finished(source)
    given = type(source).__name__
    raise ResultError(f"{view} takes {kind.__name__}, or the steps that lead to it; {given} was given.")


def _finished(result: R) -> Generator[R, None, R]:
    yield from ()
    return result
