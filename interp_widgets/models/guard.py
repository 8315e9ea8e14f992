"""One forward pass at a time on a model: two threads that trace one model corrupt each other without an error."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


@contextmanager
def exclusive(module: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Hold the model for one pass: alone, with dropout off, and without gradients unless they are the point.

    The mode of every submodule is put back afterwards, so a model in training stays in training.
    """
    with _locks_lock:
        lock = _locks.setdefault(module, threading.RLock())
    with lock, torch.set_grad_enabled(gradients):
        training = [part for part in module.modules() if part.training]
        try:
            for part in training:
                part.training = False
            yield
        finally:
            for part in training:
                part.training = True
