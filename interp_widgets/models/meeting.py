"""How queries and keys meet: the score that a model's own attention makes of them, measured rather than assumed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.guard import exclusive
from interp_widgets.models.heads import Attention, HeadLayout
from interp_widgets.models.probe import probe_ids

_SIZE = 2.0
"""Length of the queries and keys that are tried."""
_OFFSETS = 3
"""Offsets at which it is checked that what was measured at two of them holds."""
_ROWS = 512


@dataclass(frozen=True, eq=False)
class Meeting:
    """The score of a query and a key that lies some tokens before it: q M R^offset k, before softmax.

    Without rotary positions R turns nothing. What is the same for every query and key at an offset (ALiBi) is left out.
    """

    scale: torch.Tensor
    """M, (d_head, d_head)."""
    turn: torch.Tensor
    """R, (d_head, d_head)."""

    @property
    def rotary(self) -> bool:
        """Whether the offset matters."""
        return bool((self.turn - torch.eye(len(self.turn))).abs().max() > 1e-3)

    def at(self, offset: int) -> torch.Tensor:
        """Return the matrix between a query and a key, (d_head, d_head)."""
        matrix: torch.Tensor = self.scale @ torch.linalg.matrix_power(self.turn, offset)
        return matrix


@torch.no_grad()
def meeting(access: Access, layer: int, known: Iterable[Meeting] = ()) -> Meeting | None:
    """Measure how queries and keys of a layer meet, with unit vectors in their places.

    Args:
        access: the model.
        layer: its layer.
        known: what was found in others, of which one that holds here too is taken.

    Returns:
        None where a score is no product of a query and a key, as with norms between the projections and the score.
    """
    layout = access.inside.heads
    if layout is None:
        raise AssertionError("the caller asks for q and k first")
    bench = _Bench(access, layout, layer)
    for other in known:
        if bench.holds(other):
            return other
    still, moved = bench.matrix(0), bench.matrix(1)
    found = Meeting(still, torch.linalg.lstsq(still, moved).solution)
    return found if bench.holds(found) else None


class _EnoughError(Exception):
    """Ends a run early."""


class _Bench:
    """A layer's attention, run on queries and keys of our own."""

    def __init__(self, access: Access, layout: HeadLayout, layer: int) -> None:
        self._access = access
        self._layout = layout
        attention = access.anatomy.blocks[layer].get_submodule(layout.where.attention)
        modules = {path: attention.get_submodule(path) for path in layout.where.qkv}
        self._attention = Attention(layout, modules, attention.get_submodule(layout.where.out))

    def matrix(self, offset: int) -> torch.Tensor:
        """Return the score of every pair of unit vectors, (d_head, d_head)."""
        n_heads, width = self._layout.n_heads, self._layout.d_head
        unit = torch.eye(width)
        found = torch.zeros(width, width)
        # Heads differ in the query that they get, so that a row tries as many pairs as there are heads.
        pairs = [(first, key) for first in range(0, width, n_heads) for key in range(width)]
        for start in range(0, len(pairs), _ROWS):
            some = pairs[start : start + _ROWS]
            which = [[(first + head) % width for head in range(n_heads)] for first, _ in some]
            queries, keys = unit[torch.tensor(which)], unit[[key for _, key in some]]
            scores = self.scores(queries, keys, offset)
            for row, (_, key) in enumerate(some):
                found[which[row], key] = scores[row]
        return found

    def holds(self, found: Meeting) -> bool:
        """Whether random queries and keys, of other lengths and at other offsets, score as was found."""
        generator = torch.Generator().manual_seed(0)
        shape = (4, self._layout.n_heads, self._layout.d_head)
        eps = max(torch.finfo(p.dtype).eps for p in self._access.opened.module.parameters() if p.is_floating_point())
        for offset in range(_OFFSETS):
            queries = torch.randn(shape, generator=generator) / shape[-1] ** 0.5
            keys = 2 * torch.randn(shape[0], shape[-1], generator=generator) / shape[-1] ** 0.5
            expected = torch.einsum("rhi,ij,rj->rh", queries, found.at(offset), keys)
            off = (self.scores(queries, keys, offset) - expected).abs().max()
            if not float(off) <= max(2e-3, 64 * eps) * float(expected.abs().max()) + 1e-5:
                return False
        return True

    def scores(self, queries: torch.Tensor, keys: torch.Tensor, offset: int) -> torch.Tensor:
        """Return the score of a query, (row, head, d_head), with a key, (row, d_head), so many tokens before it.

        Above that of a key of zeros, without what the offset alone adds: what a query of zeros finds.
        """
        none = torch.zeros_like(queries[:1])
        raw = self._raw(torch.cat([none, queries]), torch.cat([keys[:1], keys]), offset)
        return (raw[1:] - raw[:1]) / _SIZE**2

    def _raw(self, queries: torch.Tensor, keys: torch.Tensor, offset: int) -> torch.Tensor:
        module = self._access.opened.module
        # The query is the last token; all keys but one are of zeros.
        shape = (len(queries), _OFFSETS + 1)
        ids = probe_ids(module).reshape(-1)[:1].expand(shape)
        last = shape[1] - 1

        def put_queries(given: torch.Tensor) -> torch.Tensor:
            made = torch.zeros_like(given)
            made[:, last] = (_SIZE * queries).to(given)
            return made

        def put_keys(given: torch.Tensor) -> torch.Tensor:
            made = torch.zeros_like(given)
            made[:, last - offset] = (_SIZE * keys).to(given)[:, None]
            return made

        def stop(_module: nn.Module, _args: Any) -> None:
            raise _EnoughError

        def call() -> None:
            # Behind the hook that keeps what arrives there: nothing that comes later is needed.
            with self._attention.out.register_forward_pre_hook(stop), suppress(_EnoughError):
                module(input_ids=ids, use_cache=False)

        with exclusive(module):
            pattern = self._attention.pattern_of(call, shape, {"q": put_queries, "k": put_keys})
        weights = pattern[:, :, last].double().cpu()
        zeros = last if offset else last - 1  # the nearest, which windows of few tokens see too
        return (weights[..., last - offset].log() - weights[..., zeros].log()).float()
