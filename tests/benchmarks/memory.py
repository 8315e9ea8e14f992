"""Memory that a run takes at its peak. A process that has not got this package can read this file too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def megabytes(run: Callable[[], object], device: str = "cpu") -> float:
    """Memory that a run takes beside what the process, or its device, holds before it."""
    if device != "cpu":
        return _on_device(run, device)
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


def _on_device(run: Callable[[], object], device: str) -> float:
    import torch

    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    peak: int = torch.cuda.max_memory_allocated(device)
    return (peak - before) / 2**20
