"""What to do when memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Portions:
    """Takes things some at a time, and half as many from when memory has run out on."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, things: Sequence[T], run: Callable[[Sequence[T]], R]) -> Iterator[tuple[Sequence[T], R]]:
        """Yield each portion with what running it gave.

        Raises:
            RuntimeError: memory does not hold a single one, or whatever else `run` raises.
        """
        done = 0
        while done < len(things):
            some = things[done : done + self.most]
            try:
                found = run(some)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not out_of_memory(error) or len(some) == 1:
                    raise
                self.most = len(some) // 2
                release(error)
                continue
            done += len(some)
            yield some, found


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    return "out of memory" in message or "can't allocate memory" in message


def release(error: BaseException) -> None:
    """Free what a failed run holds."""
    error.__traceback__ = None  # it holds the activations that did not fit
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
