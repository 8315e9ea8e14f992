"""Work that waits for other cells: if none can run meanwhile, it never ends."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

R = TypeVar("R")


class Gate:
    """Lets as many steps through as `open` says."""

    def __init__(self) -> None:
        self.open = 0

    def let_through(self, steps: Generator[R, None, R]) -> Generator[R, None, R]:
        """The first step at once, and each other when the gate is open for it."""
        partial = next(steps)
        yield partial
        number = 0
        while True:
            number += 1
            while self.open < number:
                yield partial
            try:
                partial = next(steps)
            except StopIteration as stop:
                return stop.value
            yield partial
