"""Attention made by hand, for tests of what shows and saves it: patterns whose numbers are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.attention import AttentionResult, LayerPatterns
from interp_widgets.results.head_scores import HeadScores
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Tokens

WORDS = ("When", " Mary", " and", " John", " went", ",", " he", " sat")
PROVENANCE = Provenance("made by hand", "0123abcd", "float32", {"nnsight": "0.8.1"}, 1.0, 0.5)
CODE = "$prompts\nshown = $shown\nprint($layer, $head, $pos)\n"


def tokens(count: int = len(WORDS)) -> Tokens:
    """So many tokens, the words again and again."""
    labels = tuple(WORDS[at % len(WORDS)].replace(" ", "␣") for at in range(count))
    return Tokens(tuple(range(count)), labels)


def pattern(layer: int, head: int, count: int, heads: int = 3) -> NDArray[np.float32]:
    """Each token gives most to the one so many places before it that no two heads are alike, the rest to the first."""
    back = 1 + layer * heads + head
    made = np.zeros((count, count), np.float32)
    for query in range(count):
        made[query, 0] += 0.25
        made[query, max(0, query - back)] += 0.75
    return made


def attention(
    count: int = len(WORDS),
    *,
    layers: int = 2,
    heads: int = 3,
    second: int | None = None,
    prompts: int = 1,
    read: int | None = None,
    block: int = 1,
) -> AttentionResult:
    """A result of one prompt or, with the length of a second, of two; the second one's patterns are those of the next
    layer. Value norms grow with the key. Of the layers the first `read` are there.
    """
    sides = [count] if second is None else [count, second]
    parts = []
    for layer in range(layers if read is None else read):
        for side, length in enumerate(sides):
            across = -(-length // block)
            maps = np.stack([pattern(layer + side, head, across, heads) for head in range(heads)])
            norms = np.tile(1 + np.arange(across, dtype=np.float32), (heads, 1))
            weighted = maps * norms[:, None] if prompts > 1 or block > 1 else None
            spread = maps / 10 if prompts > 1 else None
            parts.append(LayerPatterns(side, layer, maps, norms, weighted, spread, spread))
    return AttentionResult(
        prompts=tuple((tokens(length),) * prompts for length in sides),
        layers=tuple(range(layers)),
        heads=tuple(range(heads)),
        parts=tuple(parts),
        block=block,
        provenance=PROVENANCE,
        code=CODE,
        weighted_code=CODE.replace("print(", "print('weighted', "),
    )


def scores(layers: int = 2, heads: int = 3) -> HeadScores:
    """Head 1.1 is an induction head, head 0.2 a previous-token head; 0.0 is the opposite of a copying head."""
    shape = (4, layers, heads)
    rising = np.linspace(0, 0.2, layers * heads, dtype=np.float32).reshape(layers, heads)
    samples = {name: np.tile(rising, (4, 1, 1)) for name in ("previous_token", "duplicate_token", "induction")}
    samples["induction"][:, 1, 1] = (0.88, 0.9, 0.9, 0.92)
    samples["previous_token"][:, 0, 2] = (0.5, 0.6, 0.6, 0.7)
    samples["copying"] = np.full((1, layers, heads), 0.1, np.float32)
    samples["copying"][0, 0, 0] = -0.9
    assert all(array.shape[1:] == shape[1:] for array in samples.values())
    return HeadScores(
        layers=tuple(range(layers)),
        samples=samples,
        baselines={"previous_token": 0.1, "duplicate_token": 0.05, "induction": 0.05, "copying": float("nan")},
        missing={"name_mover": "it takes prompts=, answer= and wrong_answer=."},
        prompts=(),
        provenance=PROVENANCE,
    )
