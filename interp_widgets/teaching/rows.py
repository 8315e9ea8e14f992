"""Training rows: 64 tokens each, with a weight for every target.

A batch is a function of (seed, step) alone, so a run that resumes from a checkpoint sees what it would have seen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer

from .corpus import passages
from .network import CONTEXT
from .tokenizer import END_OF_TEXT

ROWS: Final = 32

BATCH_TOKENS: Final = ROWS * CONTEXT

REPEATED_SHARE: Final = 0.15
"""Share of rows that are random tokens, repeated: what induction heads are learned from."""

_FIRST_COPY_WEIGHT: Final = 0.03
_PERIODS: Final = (8, 32)


@dataclass(frozen=True)
class Batch:
    """Rows to train on.

    Attributes:
        ids: Token ids, int64 (rows, 64).
        weights: Weight of predicting each token from those before it, float32 (rows, 64). The first column is unused.
    """

    ids: torch.Tensor
    weights: torch.Tensor


class RowMaker:
    """Draws batches.

    Args:
        tokenizer: The tokenizer of the model to train.
        rows: Rows in a batch.
    """

    def __init__(self, tokenizer: Tokenizer, rows: int = ROWS) -> None:
        self._tokenizer = tokenizer
        self._rows = rows
        (self._end,) = tokenizer.encode(END_OF_TEXT).ids
        self._vocabulary: int = tokenizer.get_vocab_size()

    def batch(self, seed: int, step: int) -> Batch:
        """The batch of one step of the run with this seed."""
        rng = random.Random(f"{seed}:{step}")
        rows = [
            self._repeated(rng) if rng.random() < REPEATED_SHARE else self._documents(rng) for _ in range(self._rows)
        ]
        return Batch(torch.tensor([ids for ids, _ in rows]), torch.tensor([weights for _, weights in rows]))

    def _repeated(self, rng: random.Random) -> tuple[list[int], list[float]]:
        period = rng.randint(*_PERIODS)
        copy = [rng.randrange(1, self._vocabulary) for _ in range(period)]
        copies = -(-CONTEXT // period)
        weights = [_FIRST_COPY_WEIGHT] * period + [1.0] * (CONTEXT - period)
        return (copy * copies)[:CONTEXT], weights

    def _documents(self, rng: random.Random) -> tuple[list[int], list[float]]:
        # Half of the rows begin without <|endoftext|>, because people type prompts without it.
        ids: list[int] = [] if rng.random() < 0.5 else [self._end]
        weights = [1.0] * len(ids)
        for passage in passages(rng):
            encoding = self._tokenizer.encode(passage.text)
            ids += encoding.ids
            weights += [
                passage.weight if any(left < stop and right > start for start, stop in passage.answers) else 1.0
                for left, right in encoding.offsets
            ]
            if len(ids) >= CONTEXT:
                break
            ids.append(self._end)
            weights.append(1.0)
        return ids[:CONTEXT], weights[:CONTEXT]
