"""The one engine: many edits of a forward pass, run together.

A batch is a wave: it starts at its first changed layer, from the host's cached stream, and rows join at the layer that
they change, so that no layer is run before it matters. No position is run before it matters either: a batch starts at
the first position that one of its rows changes, after the cached keys and values of the hosts. So rows share a batch
that change positions near each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from interp_widgets.models.access import Access, Write
from interp_widgets.models.memory import out_of_memory, release
from interp_widgets.models.prefix import Past, Prefix
from interp_widgets.results.terms import HEAD_SITES, NEURON_SITES, Site

_TOKENS_CPU = 768
_TOKENS_GPU = 16384
"""Tokens a batch holds: enough to fill the machine, little enough that results come in quick succession."""
_FEWEST_TOKENS = 8
"""Tokens a row counts as at least, since the logits that it ends in cost as much."""
_BATCH_COST_CPU = 80
_BATCH_COST_GPU = 1024
"""Tokens that a layer could run in the time that one more batch costs it, however few its rows (GPU: an estimate)."""
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
    first: int = 0
    """Of an edit of all positions, those before it have the host's values: where prompts share their first tokens.
    Patterns, whose first axis is none of positions, have 0."""

    def place(self, start: int) -> tuple[Any, ...]:
        """Where the value goes in one row of the site's activations, which begin at position `start`."""
        if self.position is None:
            return site_index(self.site, slice(self.first - start, None), self.unit)
        return site_index(self.site, self.position - start, self.unit)

    @property
    def part(self) -> torch.Tensor:
        """The value without the positions that have the host's."""
        return self.value if self.position is not None else self.value[self.first :]

    @property
    def reach(self) -> int:
        """The first position that must be run: all of them where a pattern is changed, which weighs every value."""
        if self.site == "pattern":
            return 0
        return self.first if self.position is None else self.position


def site_index(site: Site, position: int | slice, unit: int | None) -> tuple[Any, ...]:
    """Index one row of a site's activations by position (the query's, for patterns) and by head or neuron."""
    of = slice(None) if unit is None else unit
    if site == "pattern":
        return of, position
    return (position, of) if site in HEAD_SITES or site in NEURON_SITES else (position,)


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

    @property
    def first(self) -> int:
        """The first position that is not as in the host's own run."""
        return max(0, min(edit.reach for edit in self.edits))


@dataclass(frozen=True)
class Hosts:
    """The prompts that rows run, with the stream of each at every layer."""

    ids: torch.Tensor
    """(host, position): token ids."""
    stream: Sequence[torch.Tensor]
    """What enters each layer, (host, position, d_model)."""
    past: Past | None = None
    """Keys and values of each layer; without them every row is run from its first position on."""


@dataclass(frozen=True)
class Done:
    """Rows that were run together, and what it took."""

    rows: tuple[int, ...]
    logits: torch.Tensor
    """(row, d_vocab): float32 logits at the last position."""
    layer_passes: int
    """Layers that were run, each counted once for each row, from whichever position on."""


def sweep(access: Access, hosts: Hosts, rows: Sequence[Row], *, max_rows: int | None = None) -> Iterator[Done]:
    """Run rows in batches, those that change the last positions and deepest layers first: they need the least work.

    Args:
        access: the model.
        hosts: the unedited runs.
        rows: what to run.
        max_rows: most rows in one batch; chosen from the prompt's length and the device when not given. It is halved
            when memory runs out, and the batch run again.

    Yields:
        The logits of each batch as soon as they are computed; `Done.rows` are indices into `rows`.
    """
    length = hosts.ids.shape[1]
    late = hosts.past is not None and not access.edited
    firsts = [min(row.first, length - 1) if late else 0 for row in rows]
    places = [
        (first, row.start) if access.grows else (row.start, first) for first, row in zip(firsts, rows, strict=True)
    ]
    pending = sorted(range(len(rows)), key=places.__getitem__, reverse=True)
    fitting: int | None = None  # tokens, once memory has run out
    while pending:
        batch = _next_batch(access, rows, pending, firsts, length, max_rows, fitting)
        first = firsts[batch[-1]]
        try:
            logits = _run(access, hosts, [rows[index] for index in batch], first)
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not out_of_memory(error) or len(batch) == 1:
                raise
            fitting = len(batch) // 2 * (length - first)
            release(error)
            continue
        pending = pending[len(batch) :]
        yield Done(tuple(batch), logits, _layer_passes(access, [rows[index].start for index in batch]))


def _layer_passes(access: Access, starts: Sequence[int]) -> int:
    """Count the layers that rows which start at some layers run together."""
    if access.edited:
        starts = [0] * len(starts)
    elif not access.grows:
        starts = [min(starts)] * len(starts)
    return sum(access.n_layers - start for start in starts)


def default_rows(access: Access, length: int) -> int:
    """Return how many rows of `length` tokens make a batch on the model's device."""
    tokens = _TOKENS_GPU if _on_gpu(access) else _TOKENS_CPU
    return max(1, min(tokens // max(length, _FEWEST_TOKENS), _LOGITS // access.n_vocab))


def _next_batch(
    access: Access,
    rows: Sequence[Row],
    pending: Sequence[int],
    firsts: Sequence[int],
    length: int,
    max_rows: int | None,
    fitting: int | None,
) -> list[int]:
    """Take rows as long as it costs less to run them from the earliest row's first position than in two batches."""
    cost = _BATCH_COST_GPU if _on_gpu(access) else _BATCH_COST_CPU
    batch: list[int] = []
    layers = in_vain = 0
    for index in pending:
        row, first = rows[index], firsts[index]
        most = max_rows or default_rows(access, length - first)
        if fitting is not None:
            most = min(most, max(1, fitting // (length - first)))
        if batch:
            if len(batch) >= most or not (access.edited or access.grows or row.start == rows[batch[0]].start):
                break
            in_vain += layers * (firsts[batch[-1]] - first)
            if in_vain > cost * access.n_layers:
                break
        batch.append(index)
        layers += access.n_layers - row.start
    return batch


def _on_gpu(access: Access) -> bool:
    return access.opened.device.type != "cpu"


def _run(access: Access, hosts: Hosts, rows: list[Row], first: int) -> torch.Tensor:
    """Return the logits of the rows, (row, d_vocab), in their order, run from position `first` on."""
    if access.edited:
        # The user's own edits may be anywhere, so that every layer of every row runs from its tokens.
        return access.run(hosts.ids[[row.host for row in rows]], plan(rows, first).get)
    start = min(row.start for row in rows)
    # Rows enter in the order of their layers, so the batch is ordered by them.
    order = sorted(range(len(rows)), key=lambda index: rows[index].start)
    ordered = [rows[index] for index in order]
    entering: dict[int, list[int]] = defaultdict(list)
    for row in ordered:
        entering[row.start if access.grows else start].append(row.host)
    writes = plan(ordered, first)

    def enter(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
        stream = hosts.stream[layer][:, first:][entering[layer]]
        if arriving is not None:
            stream = torch.cat([arriving, stream.to(arriving)]) if len(stream) else arriving
        change = writes.get(("resid_pre", layer))
        return change(stream) if change else stream

    if hosts.past is not None and first:
        access = access.after(Prefix(hosts.past, [row.host for row in ordered], first))
    ids = hosts.ids[:1, first:]
    logits = access.resume(ids if access.grows else ids.expand(len(rows), -1), start, enter, writes.get)
    return logits[torch.tensor(order, device=logits.device).argsort()]


def plan(rows: Sequence[Row], first: int = 0) -> dict[tuple[Site, int], Write]:
    """Collect what to write at each site of each layer, in activations that begin at position `first`."""
    edits: dict[tuple[Site, int], list[tuple[int, Edit]]] = defaultdict(list)
    for number, row in enumerate(rows):
        for edit in row.edits:
            edits[edit.site, edit.layer].append((number, edit))
    return {place: _writer(listed, first) for place, listed in edits.items()}


def _writer(edits: list[tuple[int, Edit]], first: int) -> Write:
    def change(activations: torch.Tensor) -> torch.Tensor:
        changed = activations.clone()
        for number, edit in edits:
            place = (number, *edit.place(first))
            changed[place] = edit.part.to(changed)
        return changed

    return change
