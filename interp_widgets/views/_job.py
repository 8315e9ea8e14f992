"""A job drives an experiment step by step, so that it can be watched, cancelled and finished."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar, runtime_checkable

from interp_widgets.results.errors import ResultError
from interp_widgets.views.protocol.common import JobState, JobStatus

R = TypeVar("R")

_BREATH = 0.005
"""Seconds between two steps. Long enough for a kernel to start a waiting cell, which `sleep(0)` is not."""


@runtime_checkable
class Distant(Protocol):
    """Steps that are taken elsewhere, where one may have to wait for the first."""

    note: str | None
    """How things stand there, in words."""

    def wait(self) -> bool:
        """Listen for a moment, and return whether there is a first partial result."""


class Job(Generic[R]):
    """Work in steps, each of which leaves a partial result that can be shown and kept.

    Steps run either in the background of an event loop, a step at a time so that other cells run in between, or all at
    once by `finish`. Both may be used on the same job: `finish` takes over what the background has not done yet.
    Whatever ends a job early (`cancel`, an interrupt, an error) leaves the last partial result in `partial`.
    """

    def __init__(
        self,
        steps: Generator[R, None, R],
        measure: Callable[[R], tuple[int, int]],
        *,
        on_step: Callable[[R | None], None],
        on_end: Callable[[], None],
    ) -> None:
        """Take the first step, so that errors in what was asked for are raised here and now.

        Steps that are taken elsewhere are only started: until `begin`, or the background, has waited for the first of
        them, `partial` is None.

        Args:
            steps: yields partial results and returns the whole.
            measure: what of a partial result is done, and out of how much.
            on_step: called with every later partial result, and with None where there is news but no result yet.
            on_end: called once, when no further step will come.
        """
        self._steps = steps
        self._measure = measure
        self._on_step = on_step
        self._on_end = on_end
        self._lock = threading.RLock()
        self._cancel = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self.state: JobState = "running"
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.partial: R | None = None
        self._setup = 0.0
        self._done_at_start = 0
        if not isinstance(steps, Distant) or steps.wait():
            self.begin()

    def begin(self) -> None:
        """Take the first step, if it is not taken yet.

        Raises:
            Exception: whatever the experiment says to what was asked for.
        """
        if self.partial is not None:
            return
        started = time.perf_counter()
        try:
            partial = next(self._steps)
        except StopIteration as stop:
            partial = stop.value
            self.state = "done"
        self.seconds += time.perf_counter() - started
        self._first(partial)

    def _first(self, partial: R) -> None:
        self.partial = partial
        self._setup = self.seconds
        self._done_at_start = self._measure(partial)[0]

    @property
    def note(self) -> str | None:
        """How the work stands where it is done, if that is elsewhere, while it goes on."""
        return self._steps.note if self.state == "running" and isinstance(self._steps, Distant) else None

    @property
    def progress(self) -> float:
        """Share of the work that is done, from 0 to 1."""
        done, total = self._counts()
        return done / total if total else float(self.partial is not None)

    @property
    def eta(self) -> float | None:
        """Seconds of work that are left at the pace so far; None before the first step or after the end."""
        done, total = self._counts()
        gained = done - self._done_at_start
        if self.state != "running" or not gained:
            return None
        return (self.seconds - self._setup) / gained * (total - done)

    def status(self) -> JobStatus:
        """The job in plain values, for the page."""
        done, total = self._counts()
        error = None if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return {
            "state": self.state,
            "done": done,
            "total": total,
            "seconds": self.seconds,
            "eta": self.eta,
            "error": error,
            "note": self.note,
        }

    def _counts(self) -> tuple[int, int]:
        return (0, 0) if self.partial is None else self._measure(self.partial)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Carry on in the background of this thread's event loop."""
        if self.state == "running" and self._task is None:
            self._task = loop.create_task(self._run())

    def finish(self) -> R:
        """Do what is left and return the result; after `cancel`, return what there is.

        Raises:
            Exception: whatever the experiment raised, again on every call; `partial` keeps what was computed.
            ResultError: it was cancelled before there was anything to keep.
        """
        self.drain()
        if self.state == "failed" and self.error is not None:
            raise self.error
        if self.partial is None:
            raise ResultError("The run was cancelled before anything of it was computed. Start it again.")
        return self.partial

    def drain(self) -> None:
        """Do what is left, whatever becomes of it: `state`, `error` and `partial` tell."""
        while self.state == "running":
            self._step()

    def cancel(self) -> None:
        """Stop before the next step and keep what was computed. Safe to call from any thread."""
        self._cancel.set()
        if self._task is None and self._lock.acquire(blocking=False):
            try:
                self._step()
            finally:
                self._lock.release()

    async def _run(self) -> None:
        while self.state == "running":
            with _interrupt_calls(self._cancel.set):
                self._step()
            await asyncio.sleep(_BREATH)

    def _step(self) -> None:
        with self._lock:
            if self.state != "running":
                return
            if self._cancel.is_set():
                self._steps.close()
                self._end("cancelled")
                return
            started = time.perf_counter()
            try:
                partial = self._next()
            except StopIteration as stop:
                self.partial = stop.value
                self._end("done", since=started)
            except KeyboardInterrupt as interrupt:
                # Where the call that made the job never returned, this is the way to what was computed.
                interrupt.partial = self.partial  # type: ignore[attr-defined]
                self._end("cancelled", since=started)
                raise
            except Exception as error:
                error.partial = self.partial  # type: ignore[attr-defined]
                self.error = error
                self._end("failed", since=started)
            else:
                self.seconds += time.perf_counter() - started
                if partial is not None and self.partial is None:
                    self._first(partial)
                self.partial = partial
                self._on_step(partial)

    def _next(self) -> R | None:
        """Take a step, or where the first is yet to come wait for it a moment."""
        if self.partial is None and isinstance(self._steps, Distant) and not self._steps.wait():
            return None
        return next(self._steps)

    def _end(self, state: JobState, since: float | None = None) -> None:
        if since is not None:
            self.seconds += time.perf_counter() - since
        self.state = state
        self._on_end()


@contextmanager
def _interrupt_calls(action: Callable[[], object]) -> Iterator[None]:
    """Turn an interrupt into a call: between cells a kernel ignores it, and raised in a task it would end the loop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
