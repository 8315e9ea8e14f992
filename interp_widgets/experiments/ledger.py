"""What an experiment on documents takes, and where its numbers come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

from interp_widgets.experiments.bench import versions
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.opening import Opened
from interp_widgets.results.provenance import Provenance

R = TypeVar("R")


class Ledger:
    """Counts forward passes and seconds.

    Args:
        opened: the model.
        settings: what was done, in words.
    """

    def __init__(self, opened: Opened, settings: Mapping[str, str]) -> None:
        self.passes = 0.0
        self.seconds = 0.0
        self._opened = opened
        self._settings = settings
        self._fingerprint = fingerprint(opened.module)

    def steps(self, work: Generator[None, None, None], result: Callable[[], R]) -> Generator[R, None, R]:
        """Yield a result after every step of the work, and return the last one.

        Args:
            work: the work, which may stop anywhere.
            result: says what it has come to.
        """
        while True:
            started = time.perf_counter()
            done = next(work, _DONE) is _DONE
            self.seconds += time.perf_counter() - started
            if done:
                return result()
            yield result()

    def provenance(self) -> Provenance:
        """Say what computed a result, and the work that it took so far."""
        return Provenance(
            model=self._opened.name,
            fingerprint=self._fingerprint,
            dtype=self._opened.dtype,
            versions=versions(),
            forward_passes=self.passes,
            seconds=self.seconds,
            settings=dict(self._settings),
        )


_DONE = object()
