"""Read places of a model on documents, batch by batch, and keep of each batch what a function makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.finite import check_finite
from interp_widgets.models.harvest import harvest_layers
from interp_widgets.models.memory import out_of_memory, release
from interp_widgets.models.texts import Batch, Window, batches
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import NonFiniteError

T = TypeVar("T")

_TOKENS_CPU, _TOKENS_GPU = 4096, 16384
_NUMBERS_CPU, _NUMBERS_GPU = 2**24, 2**26
"""Tokens of a batch, and most numbers that a dictionary makes of them at a time."""


@dataclass(frozen=True)
class Read(Generic[T]):
    """One batch that was read."""

    batch: Batch
    made: T
    passes: float
    """Work done, in forward passes of one prompt through all layers."""


def batch_tokens(access: Access, n_latents: int) -> int:
    """Return how many tokens make a batch on the model's device, where each becomes so many numbers."""
    on_cpu = access.opened.device.type == "cpu"
    tokens, numbers = (_TOKENS_CPU, _NUMBERS_CPU) if on_cpu else (_TOKENS_GPU, _NUMBERS_GPU)
    return max(1, min(tokens, numbers // max(1, n_latents)))


def read(
    access: Access,
    place: Place,
    windows: Iterable[Window],
    use: Callable[[Batch, torch.Tensor], T],
    *,
    tokens: int,
) -> Iterator[Read[T]]:
    """Run windows as far as a place, about `tokens` tokens at a time; half as many whenever memory runs out.

    `use` is called inside the trace with a batch and its activations, (row, position, d), float32. Padding's are among
    them.

    Raises:
        NonFiniteError: NaN or infinity where activations are taken.
    """
    for found in read_layers(access, [place], windows, lambda batch, _number, there: use(batch, there), tokens=tokens):
        yield Read(found.batch, found.made[0], found.passes)


def read_layers(
    access: Access,
    places: Sequence[Place],
    windows: Iterable[Window],
    use: Callable[[Batch, int, torch.Tensor], T],
    *,
    tokens: int,
) -> Iterator[Read[list[T]]]:
    """Run windows once as far as the last of some places, each in a later layer than the one before.

    As `read`, with the number of the place handed to `use`; what it makes of a batch is only kept once all places were
    read, so that nothing counts twice when memory runs out on the way.

    Raises:
        NonFiniteError: NaN or infinity where activations are taken.
    """
    depth = (places[-1].layer + 1) / access.n_layers
    for whole in batches(windows, tokens, causal=access.causal):
        pending = [whole]
        while pending:
            batch = pending.pop()
            try:
                made = harvest_layers(access, batch.ids, places, partial(_used, use, batch))
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not out_of_memory(error) or len(batch.windows) == 1:
                    raise
                release(error)
                pending += batch.halves()[::-1]
                continue
            finite = [each[0] for each in made if each is not None]
            if len(finite) < len(places):
                _refuse(access, batch, places[made.index(None)])
            yield Read(batch, finite, len(batch.windows) * depth)


def _used(
    use: Callable[[Batch, int, torch.Tensor], T], batch: Batch, number: int, there: torch.Tensor
) -> tuple[T] | None:
    """What is made of a batch, in a tuple; None where it holds what is no number."""
    if not torch.isfinite(there.masked_fill(~batch.taken.to(there.device)[..., None], 0)).all():
        return None
    return (use(batch, number, there),)


def _refuse(access: Access, batch: Batch, place: Place) -> None:
    opened = access.opened
    check_finite(access.read(batch.ids.to(opened.device), ()).stream, None, opened.name, opened.dtype)
    raise NonFiniteError(
        f"{opened.name} gives NaN or infinity at {place}, though its stream is finite. Check the weights there and "
        f"their dtype ({opened.dtype})."
    )
