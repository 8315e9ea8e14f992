"""Activations in shuffled batches without end, with few of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Gather = Callable[[Sequence[int]], torch.Tensor]
"""Returns the activations of some pieces, (row, d), in any order that follows from the pieces."""


@dataclass(frozen=True)
class ActivationStream:
    """Pieces of text, or of anything that has activations, handed out in a random order again and again.

    Where all fit into the buffer they are gathered once. Else as many pieces as fill it are gathered, shuffled and
    handed out in batches, but for what does not fill a last one, before the next are gathered. A batch follows from
    the seed and its number alone, so that a training that goes on later sees what it would have seen.
    """

    sizes: Sequence[int]
    """How many activations each piece has; not all of them 0."""
    gather: Gather
    batch: int
    buffer: int
    """About how many activations are held; a batch at least."""
    seed: int

    def batches(self, first: int = 0) -> Iterator[torch.Tensor]:
        """Yield batches, (batch, d), from number `first` on. Nothing is gathered for those before."""
        return self._from_memory(first) if sum(self.sizes) <= self.buffer else self._from_fillings(first)

    def _from_memory(self, first: int) -> Iterator[torch.Tensor]:
        activations = self.gather(range(len(self.sizes)))
        epoch, begun = divmod(first * self.batch, len(activations))
        rows = self._shuffled(epoch, len(activations))[begun:]
        while True:
            while len(rows) < self.batch:
                epoch += 1
                rows = np.concatenate([rows, self._shuffled(epoch, len(activations))])
            yield _picked(activations, rows[: self.batch])
            rows = rows[self.batch :]

    def _from_fillings(self, first: int) -> Iterator[torch.Tensor]:
        begun = 0
        for number, pieces in enumerate(self._fillings()):
            held = sum(self.sizes[piece] for piece in pieces)
            ready = held // self.batch
            if first < begun + ready:
                activations = self.gather(pieces)
                rows = self._shuffled(number, held)
                for at in range(max(0, first - begun), ready):
                    yield _picked(activations, rows[at * self.batch : (at + 1) * self.batch])
                del activations  # before the next are gathered
            begun += ready

    def _fillings(self) -> Iterator[list[int]]:
        """Yield the pieces that fill the buffer each time."""
        filling: list[int] = []
        held = epoch = 0
        while True:
            for piece in np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.sizes)).tolist():
                filling.append(piece)
                held += self.sizes[piece]
                if held >= max(self.batch, self.buffer):
                    yield filling
                    filling, held = [], 0
            epoch += 1

    def _shuffled(self, number: int, rows: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, 1, number]).permutation(rows)


def _picked(activations: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    return activations[torch.from_numpy(rows).to(activations.device)]
