"""What to do when memory runs out."""

from __future__ import annotations

import gc

import torch


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
