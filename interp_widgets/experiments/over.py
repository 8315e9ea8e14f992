"""An experiment's arguments, written once for all the ways to have its result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def over(experiment: Callable[P, S]) -> Callable[[Callable[[S], T]], Callable[P, T]]:
    """Make a function of an experiment's steps one of its arguments.

    What is decorated says in its docstring what the arguments are; its signature is the experiment's own.

    >>> def count(*, upto):
    ...     return range(upto)
    >>> @over(count)
    ... def total(steps):
    ...     return sum(steps)
    >>> total(upto=4), str(inspect.signature(total))
    (6, '(*, upto)')
    """

    def decorate(use: Callable[[S], T]) -> Callable[P, T]:
        @wraps(use)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return use(experiment(*args, **kwargs))

        signature = inspect.signature(experiment)
        call.__signature__ = signature.replace(  # type: ignore[attr-defined]
            return_annotation=inspect.signature(use).return_annotation
        )
        return call

    return decorate
