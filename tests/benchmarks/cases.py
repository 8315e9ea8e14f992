"""What is patched, and how few operations it could take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

LAYERS, HEADS, WIDTH, VOCAB = 12, 12, 768, 50257
SEED = 0
ANSWER, WRONG = 11, 27

Cell = tuple[int, ...]
"""A layer, then a position, a head, or a head and a position."""


@dataclass(frozen=True)
class Case:
    """A grid over two prompts of one length, of which the first tokens are the same."""

    length: int
    shared: int = 0
    axes: tuple[str, ...] = ("layer", "pos")
    """Those of `resid_pre`; with heads, of `z`."""

    @property
    def name(self) -> str:
        what = "z by " + " and ".join(self.axes[1:]) if self.heads else "resid_pre"
        return f"{what}, {self.length} tokens, " + (f"{self.shared} of them shared" if self.shared else "all different")

    @property
    def heads(self) -> bool:
        return "head" in self.axes

    def prompts(self) -> tuple[list[int], list[int]]:
        """The clean and the corrupt prompt."""
        generator = torch.Generator().manual_seed(SEED)
        clean = torch.randint(0, VOCAB, (self.length,), generator=generator)
        corrupt = (clean + 1 + torch.randint(0, 1000, (self.length,), generator=generator)) % VOCAB
        corrupt[: self.shared] = clean[: self.shared]
        return clean.tolist(), corrupt.tolist()

    def cells(self) -> list[Cell]:
        """The whole grid."""
        sizes = {"layer": LAYERS, "head": HEADS, "pos": self.length}
        return list(product(*(range(sizes[axis]) for axis in self.axes)))

    def operations(self) -> int:
        """Fewest floating-point operations of a grid of `resid_pre`.

        Only layers and positions from each patch on are run, one position at the end. Attention reads cached keys and
        values; cells that cannot differ take none.
        """
        token = 24 * WIDTH**2  # projections of attention, and the MLP
        reading = 2 * self.length * LAYERS * token
        unembedding = 2 * WIDTH * VOCAB
        patches = 0
        for layer, position in self.cells():
            if position >= self.shared:
                run = self.length - position
                seen = sum(range(position + 1, self.length + 1))
                patches += (LAYERS - 1 - layer) * (run * token + 4 * WIDTH * seen)
                # Keys and values of the last layer, and the rest of it for the final position.
                patches += run * 4 * WIDTH**2 + 20 * WIDTH**2 + 4 * WIDTH * self.length + unembedding
        return reading + patches + 2 * unembedding


def sample(cells: Sequence[Cell], most: int) -> Sequence[Cell]:
    """At most so many cells, spread evenly over the grid."""
    return cells if len(cells) <= most else [cells[number * len(cells) // most] for number in range(most)]


def gpt2_small() -> Any:
    """GPT-2 small's shape with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(SEED)
    return GPT2LMHeadModel(GPT2Config()).eval()


def matrix_rate() -> float:
    """Operations a second in a float32 product of the model's shape, the best of some."""
    tokens, weights = torch.randn(768, WIDTH), torch.randn(WIDTH, 4 * WIDTH)
    times = []
    for _ in range(10):
        started = time.perf_counter()
        tokens @ weights
        times.append(time.perf_counter() - started)
    return 2 * tokens.shape[0] * WIDTH * 4 * WIDTH / min(times)
