"""Jobs: steps in the background or at once, and what is left after a cancel, an interrupt or an error."""

import asyncio
import os
import signal
import threading
from collections.abc import Generator
from itertools import pairwise

import pytest

from interp_widgets.results.errors import ResultError
from interp_widgets.views._job import Job


def counting(upto=5, events=None, at=None):
    """Yield 0, 1, ... and return `upto`; run `at[n]` within step n."""
    try:
        for n in range(upto):
            if at and n in at:
                at[n]()
            yield n
        return upto
    finally:
        if events is not None:
            events.append("closed")


def job_of(steps, seen=None, ended=None):
    return Job(
        steps,
        lambda n: (n, 5),
        on_step=(seen.append if seen is not None else lambda _: None),
        on_end=(lambda: ended.append("end")) if ended is not None else lambda: None,
    )


def test_finish_runs_every_step_once_and_returns_the_whole():
    seen, ended = [], []
    job = job_of(counting(), seen, ended)
    assert (job.partial, job.state, job.progress) == (0, "running", 0.0)
    assert job.finish() == 5
    assert seen == [1, 2, 3, 4]
    assert ended == ["end"]
    assert (job.state, job.progress, job.eta) == ("done", 1.0, None)
    assert job.finish() == 5, "a finished job is not run again"
    assert seen == [1, 2, 3, 4]


def test_errors_of_the_first_step_are_raised_at_once():
    def refuses():
        raise ValueError("no gap")
        yield

    with pytest.raises(ValueError, match="no gap"):
        job_of(refuses())


def test_cancel_keeps_the_partial_result_and_closes_the_experiment():
    events, ended = [], []
    job = job_of(counting(events=events), ended=ended)
    job.cancel()
    assert (job.state, job.finish()) == ("cancelled", 0)
    assert events == ["closed"]
    assert ended == ["end"]


def test_an_error_is_raised_on_every_finish_and_the_partial_result_stays():
    def breaks():
        raise RuntimeError("out of luck")

    job = job_of(counting(at={3: breaks}))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of luck"):
            job.finish()
    assert (job.state, job.partial) == ("failed", 2)
    assert job.status()["error"] == "RuntimeError: out of luck"


def test_an_interrupt_during_finish_reaches_the_cell_and_keeps_the_partial_result():
    def interrupts():
        raise KeyboardInterrupt

    job = job_of(counting(at={2: interrupts}))
    with pytest.raises(KeyboardInterrupt) as ended:
        job.finish()
    assert ended.value.partial == 1
    assert (job.state, job.finish()) == ("cancelled", 1)


def test_in_the_background_other_work_runs_between_steps():
    order = []

    async def notebook():
        job = job_of(counting(), seen=order)
        job.start(asyncio.get_running_loop())
        while job.state == "running":
            order.append("cell")
            await asyncio.sleep(0)
        return job

    job = asyncio.run(notebook())
    assert (job.state, job.partial) == ("done", 5)
    steps = [order.index(n) for n in (1, 2, 3, 4)]
    assert all("cell" in order[a:b] for a, b in pairwise(steps))


def test_finish_takes_over_from_the_background():
    async def notebook():
        job = job_of(counting())
        job.start(asyncio.get_running_loop())
        await asyncio.sleep(0)
        assert job.finish() == 5
        await job._task
        return job.state

    assert asyncio.run(notebook()) == "done"


def test_an_interrupt_between_cells_cancels_the_background_job_and_spares_the_loop():
    def interrupts():
        os.kill(os.getpid(), signal.SIGINT)

    async def notebook():
        job = job_of(counting(at={2: interrupts}))
        job.start(asyncio.get_running_loop())
        await job._task
        return job

    before = signal.getsignal(signal.SIGINT)
    job = asyncio.run(notebook())
    assert (job.state, job.partial) == ("cancelled", 2)
    assert signal.getsignal(signal.SIGINT) == before


def test_cancel_from_another_thread_stops_the_background_job_at_its_next_step():
    async def notebook():
        job = job_of(counting())
        job.start(asyncio.get_running_loop())
        thread = threading.Thread(target=job.cancel)
        thread.start()
        thread.join()
        assert job.state == "running", "only a flag is set off the main thread"
        await job._task
        return job.state

    assert asyncio.run(notebook()) == "cancelled"


def test_time_left_follows_the_pace_of_the_steps_so_far():
    job = job_of(counting())
    assert job.eta is None
    job._step()
    job.seconds = job._setup + 2.0
    assert job.eta == pytest.approx(2.0 * 4)


class Far(Generator):
    """Steps on a server, which says three things before there is a first result."""

    def __init__(self, steps, said=("received", "in the queue", "running")):
        self.steps = steps
        self.said = list(said)
        self.note = None

    def wait(self):
        if self.said:
            self.note = self.said.pop(0)
        return not self.said

    def send(self, value):
        while not self.wait():
            pass
        return next(self.steps)

    def throw(self, *error):
        return self.steps.throw(*error)

    def close(self):
        self.steps.close()


def test_steps_on_a_server_are_waited_for_in_the_background():
    async def notebook():
        job = job_of(Far(counting()), seen)
        seen.append(job.note)
        assert (job.partial, job.progress, job.status()["total"]) == (None, 0.0, 0)
        job.start(asyncio.get_running_loop())
        await job._task
        return job

    seen = []
    job = asyncio.run(notebook())
    assert seen == ["received", None, 0, 1, 2, 3, 4]
    assert (job.partial, job.state, job.note) == (5, "done", None)


def test_where_nobody_watches_one_waits_for_them():
    job = job_of(Far(counting()))
    job.begin()
    assert (job.partial, job.note) == (0, "running")
    job.begin()
    assert job.partial == 0, "the first step is taken once"
    assert job_of(Far(counting())).finish() == 5
    assert job_of(Far(counting(), ["running"])).partial == 0


def test_a_wait_that_is_cancelled_or_fails_leaves_nothing():
    events = []
    job = job_of(Far(counting(events=events)))
    job.cancel()
    assert (job.state, job.partial, job.note) == ("cancelled", None, None)
    with pytest.raises(ResultError, match="cancelled before anything of it was computed"):
        job.finish()

    class Refusing(Far):
        def wait(self):
            if len(self.said) == 1:
                raise ValueError("no such site")
            return super().wait()

    refused = job_of(Refusing(counting()))
    with pytest.raises(ValueError, match="no such site"):
        refused.finish()
    assert (refused.state, refused.status()["error"]) == ("failed", "ValueError: no such site")
