"""What is patched, and how few operations it could take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from tests.benchmarks.machine import Machine

HEADS, WIDTH, VOCAB = 12, 768, 50257
SEED = 0
ANSWER, WRONG = 11, 27

Cell = tuple[int, ...]
"""A layer, then a position, a head, or a head and a position."""


@dataclass(frozen=True)
class Case:
    """A grid over pairs of prompts of one length, of which the first tokens are the same."""

    length: int
    shared: int = 0
    axes: tuple[str, ...] = ("layer", "pos")
    """Those of `resid_pre`; with heads, of `z`."""
    layers: int = 12
    pairs: int = 1
    every: int = 1
    """Only each so many-th position is patched, by all ways: a sample of a grid that would take too long."""

    @property
    def name(self) -> str:
        what = "z by " + " and ".join(self.axes[1:]) if self.heads else "resid_pre"
        differing = f"{self.shared} of them shared" if self.shared else "all different"
        sampled = f", each {self.every}th of them patched" if self.every > 1 else ""
        return f"{what}, {self.length} tokens, {differing}{sampled}"

    @property
    def heads(self) -> bool:
        return "head" in self.axes

    @property
    def shape(self) -> list[int]:
        """Of an array that holds every cell by its name, those left out too."""
        sizes = {"layer": self.layers, "head": HEADS, "pos": self.length}
        return [sizes[axis] for axis in self.axes]

    @property
    def positions(self) -> list[int]:
        """The positions that are patched."""
        return list(range(self.every // 2, self.length, self.every))

    def prompts(self, pair: int = 0) -> tuple[list[int], list[int]]:
        """The clean and the corrupt prompt of a pair."""
        generator = torch.Generator().manual_seed(SEED + pair)
        clean = torch.randint(0, VOCAB, (self.length,), generator=generator)
        corrupt = (clean + 1 + torch.randint(0, 1000, (self.length,), generator=generator)) % VOCAB
        corrupt[: self.shared] = clean[: self.shared]
        return clean.tolist(), corrupt.tolist()

    def cells(self) -> list[Cell]:
        """The grid of one pair."""
        places = {"layer": range(self.layers), "head": range(HEADS), "pos": self.positions}
        return list(product(*(places[axis] for axis in self.axes)))

    def operations(self) -> int:
        """Fewest floating-point operations of a grid of `resid_pre` of one pair.

        Only layers and positions from each patch on are run, one position at the end. Attention reads cached keys and
        values; cells that cannot differ take none.
        """
        token = 24 * WIDTH**2  # projections of attention, and the MLP
        reading = 2 * self.length * self.layers * token
        unembedding = 2 * WIDTH * VOCAB
        patches = 0
        for layer, position in self.cells():
            if position >= self.shared:
                run = self.length - position
                seen = sum(range(position + 1, self.length + 1))
                patches += (self.layers - 1 - layer) * (run * token + 4 * WIDTH * seen)
                # Keys and values of the last layer, and the rest of it for the final position.
                patches += run * 4 * WIDTH**2 + 20 * WIDTH**2 + 4 * WIDTH * self.length + unembedding
        return reading + patches + 2 * unembedding


def sample(cells: Sequence[Cell], most: int) -> Sequence[Cell]:
    """At most so many cells, spread evenly over the grid."""
    return cells if len(cells) <= most else [cells[number * len(cells) // most] for number in range(most)]


def gpt2_small(machine: Machine, layers: int = 12) -> Any:
    """GPT-2 small's shape, or one with more layers, with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(SEED)
    return GPT2LMHeadModel(GPT2Config(n_layer=layers)).eval().to(machine.device, machine.dtype)
