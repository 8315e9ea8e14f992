"""Rows that start late: in a causal model, whatever comes before the first changed position is the host's.

Those positions are not computed again. Rows of a batch start at one position, and attend to the keys and values that
the host's own run left before it, as in generation: so masks and position tables are the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from transformers import DynamicCache

Past: TypeAlias = "dict[int, tuple[torch.Tensor, torch.Tensor]]"
"""Keys and values of each layer's attention, (row, head, position, d_head)."""


class Recorder(DynamicCache):  # type: ignore[misc]
    """Keeps the keys and values of one run."""

    def __init__(self) -> None:
        super().__init__()
        self.past: Past = {}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep a layer's keys and values, and return them as they are."""
        # Copied, since they may be slices of one large tensor with the queries.
        self.past[layer_idx] = key_states.clone(), value_states.clone()
        return key_states, value_states


class Prefix(DynamicCache):  # type: ignore[misc]
    """The positions before `first`, as in the hosts' own run, for a batch whose rows may join at any layer.

    Args:
        past: keys and values of the hosts; they stay as they are.
        hosts: the host of each row, in the order in which rows join.
        first: the first position that is run.
    """

    def __init__(self, past: Past, hosts: Sequence[int], first: int) -> None:
        super().__init__()
        self.past = past
        self.hosts = list(hosts)
        self.first = first

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the hosts' keys and values before those of the rows that have joined."""
        keys, values = (self._before(kept, len(key_states)) for kept in self.past[layer_idx])
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)

    def _before(self, kept: torch.Tensor, rows: int) -> torch.Tensor:
        before, hosts = kept[..., : self.first, :], self.hosts[:rows]
        if len(set(hosts)) == 1:  # the usual case, without a copy
            return before[hosts[:1]].expand(rows, *before.shape[1:])
        return before[hosts]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many positions come before those that are run."""
        return self.first

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Return how many positions attention sees, and where they begin."""
        return self.first + query_length, 0
