"""The one engine: many edits of a forward pass, run together.

Rows that change the same layers share a batch. A batch is a wave: it starts at its first changed layer, from the host's
cached stream, and rows join at the layer that they change, so that no layer is run before it matters.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from interp_widgets.models.access import Access, Write
from interp_widgets.results.terms import HEAD_SITES, NEURON_SITES, Site

_GROUP = 3
"""Layers a wave spans at most: more would grow the batch beyond the processor's cache before its first rows end."""
_TOKENS_CPU = 768
_TOKENS_GPU = 16384
"""Tokens a batch holds: enough to fill the machine, little enough that results come in quick succession."""
_LOGITS = 2**26
"""Logits a batch may end in, since a large vocabulary takes more memory than the layers."""


@dataclass(frozen=True)
class Edit:
    """Put `value` at a site of a layer.

    `position` is one position, or None for all of them; `unit` one head or neuron, or None for all. The value has the
    shape that the site has there: (d_model,) for one position of the stream, (position, d_head) for all of one head.
    """

    site: Site
    layer: int
    position: int | None
    value: torch.Tensor
    unit: int | None = None

    @property
    def index(self) -> tuple[Any, ...]:
        """Where the value goes in one row of the site's activations."""
        return site_index(self.site, self.position, self.unit)


def site_index(site: Site, position: int | None, unit: int | None) -> tuple[Any, ...]:
    """Index one row of a site's activations by position (the query's, for patterns) and by head or neuron."""
    at = slice(None) if position is None else position
    of = slice(None) if unit is None else unit
    if site == "pattern":
        return of, at
    return (at, of) if site in HEAD_SITES or site in NEURON_SITES else (at,)


@dataclass(frozen=True)
class Row:
    """One run of a host prompt with some edits."""

    host: int
    """Which of the hosts is run."""
    edits: tuple[Edit, ...]

    @property
    def start(self) -> int:
        """The first layer that is not as in the host's own run."""
        return min(edit.layer for edit in self.edits)


@dataclass(frozen=True)
class Hosts:
    """The prompts that rows run, with the stream of each at every layer."""

    ids: torch.Tensor
    """(host, position): token ids."""
    stream: Sequence[torch.Tensor]
    """What enters each layer, (host, position, d_model)."""


@dataclass(frozen=True)
class Done:
    """Rows that were run together, and what it took."""

    rows: tuple[int, ...]
    logits: torch.Tensor
    """(row, d_vocab): float32 logits at the last position."""
    layer_passes: int
    """Layers that were run, each counted once for each row."""


def sweep(access: Access, hosts: Hosts, rows: Sequence[Row], *, max_rows: int | None = None) -> Iterator[Done]:
    """Run rows in batches, those that change the deepest layers first, since they need the least work.

    Args:
        access: the model.
        hosts: the unedited runs.
        rows: what to run.
        max_rows: most rows in one batch; chosen from the prompt's length and the device when not given. It is halved
            when memory runs out, and the batch run again.

    Yields:
        The logits of each batch as soon as they are computed; `Done.rows` are indices into `rows`.
    """
    limit = max_rows or default_rows(access, hosts.ids.shape[1])
    pending = sorted(range(len(rows)), key=lambda index: -rows[index].start)
    while pending:
        batch = _next_batch(rows, pending, limit, access)
        try:
            logits = _run(access, hosts, [rows[index] for index in batch])
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not _out_of_memory(error) or len(batch) == 1:
                raise
            limit = len(batch) // 2
            error.__traceback__ = None  # it holds the activations that did not fit
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        pending = pending[len(batch) :]
        start = 0 if access.edited else min(rows[index].start for index in batch)
        work = sum(access.n_layers - (rows[index].start if access.grows else start) for index in batch)
        yield Done(tuple(batch), logits, work)


def default_rows(access: Access, length: int) -> int:
    """Return how many rows of a prompt of `length` tokens make a batch on the model's device."""
    tokens = _TOKENS_CPU if access.opened.device.type == "cpu" else _TOKENS_GPU
    return max(1, min(tokens // length, _LOGITS // access.n_vocab))


def _next_batch(rows: Sequence[Row], pending: Sequence[int], limit: int, access: Access) -> list[int]:
    span = _GROUP if access.grows else 1
    deepest = rows[pending[0]].start
    batch = []
    for index in pending[:limit]:
        if not access.edited and deepest - rows[index].start >= span:
            break
        batch.append(index)
    return batch


def _run(access: Access, hosts: Hosts, rows: list[Row]) -> torch.Tensor:
    """Return the logits of the rows, (row, d_vocab), in their order."""
    if access.edited:
        # The user's own edits may be anywhere, so that every layer of every row runs from its tokens.
        return access.run(hosts.ids[[row.host for row in rows]], plan(rows).get)
    start = min(row.start for row in rows)
    # Rows enter in the order of their layers, so the batch is ordered by them.
    order = sorted(range(len(rows)), key=lambda index: rows[index].start)
    ordered = [rows[index] for index in order]
    entering: dict[int, list[int]] = defaultdict(list)
    for row in ordered:
        entering[row.start if access.grows else start].append(row.host)
    writes = plan(ordered)

    def enter(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
        stream = hosts.stream[layer][entering[layer]]
        if arriving is not None:
            stream = torch.cat([arriving, stream.to(arriving)]) if len(stream) else arriving
        change = writes.get(("resid_pre", layer))
        return change(stream) if change else stream

    ids = hosts.ids[:1] if access.grows else hosts.ids[:1].expand(len(rows), -1)
    logits = access.resume(ids, start, enter, writes.get)
    return logits[torch.tensor(order, device=logits.device).argsort()]


def plan(rows: Sequence[Row]) -> dict[tuple[Site, int], Write]:
    """Collect what to write at each site of each layer."""
    edits: dict[tuple[Site, int], list[tuple[int, Edit]]] = defaultdict(list)
    for number, row in enumerate(rows):
        for edit in row.edits:
            edits[edit.site, edit.layer].append((number, edit))
    return {place: _writer(listed) for place, listed in edits.items()}


def _writer(edits: list[tuple[int, Edit]]) -> Write:
    def change(activations: torch.Tensor) -> torch.Tensor:
        changed = activations.clone()
        for number, edit in edits:
            place = (number, *edit.index)
            changed[place] = edit.value.to(changed)
        return changed

    return change


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    return "out of memory" in message or "can't allocate memory" in message
