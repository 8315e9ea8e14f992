"""Circuits of heads whose every number is known."""

from __future__ import annotations

import numpy as np

from interp_widgets.results.head_circuits import Extremes, HeadCircuits, TokenPair
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Token, Tokens

LABELS = ("␣Mary", "␣John", "<b>", "↵", "␣שלום")
LAYERS, HEADS = (0, 2), (0, 1, 2)


def result(*, missing: bool = False, extremes: bool = True, done: int = 2) -> HeadCircuits:
    """Two layers of three heads; head 2.1 copies, and in it ␣John attends to ␣Mary."""
    count = len(LABELS)
    random = np.random.default_rng(0)
    shape = (len(LAYERS), len(HEADS), count, count)
    qk, ov = (random.normal(size=shape).astype(np.float32) / 4 for _ in range(2))
    qk[1, 1, 1, 0] = 6.0  # query ␣John, key ␣Mary
    ov[1, 1] += 3 * np.eye(count, dtype=np.float32)
    eigenvalues = random.normal(size=(*shape[:2], 4, 2))
    eigenvalues[1, 1] = [(2.0, 0.0), (1.0, 0.5), (1.0, -0.5), (0.5, 0.0)]
    by_offset = random.normal(size=(*shape[:2], 8)).astype(np.float32)
    for array in (qk, ov, eigenvalues, by_offset):
        array[done:] = np.nan
    if missing:
        qk[:] = by_offset[:] = np.nan
    mary, john = (Token(n, label) for n, label in enumerate(LABELS[:2]))
    pairs = (TokenPair(john, mary, 7.5), TokenPair(mary, mary, 5.25))
    found = Extremes(2, 1, "qk", pairs, pairs[::-1]), Extremes(2, 1, "ov", pairs, pairs[::-1])
    return HeadCircuits(
        tokens=Tokens(tuple(range(count)), LABELS),
        layers=LAYERS,
        heads=HEADS,
        qk=qk,
        ov=ov,
        eigenvalues=eigenvalues,
        by_offset=by_offset,
        offset=1,
        positions="added",
        extremes=found if extremes else (),
        missing={"qk": "its queries and keys are normalised."} if missing else {},
        provenance=Provenance("made by hand", "0123abcd", "float32", {"nnsight": "0.8.1"}, 0.0, 1.5),
    )
