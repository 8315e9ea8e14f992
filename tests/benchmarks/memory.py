"""Memory that a run takes at its peak. A process that has not got this package can read this file too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def megabytes(run: Callable[[], object]) -> float:
    """Memory that a run takes beside what the process holds before it."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**20

    def resident() -> float:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * page

    before = peak = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    done.set()
    watcher.join()
    return peak - before
