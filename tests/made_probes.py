"""Probes made by hand, for tests of what shows and saves them: every number is known without a fit."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from interp_widgets.results.dictionary import Place
from interp_widgets.results.probe import Examples, ProbeResult, Transfer
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Tokens

N = 40
"""Texts: the first half is bad, the second good."""
WORDS = ("␣The", "␣film", "␣was", "␣fine")


def right(kind: int, row: int, column: int) -> int:
    """How many texts of a cell are read right: another number in each, the most in the last row and column."""
    return 22 + 6 * row + 2 * column - 3 * kind


def texts(count: int = N, first: int = 0) -> tuple[Tokens, ...]:
    """Texts of four tokens, all different."""
    return tuple(Tokens((n, 1, 2, 3 + n), (*WORDS[:3], f"␣word{n}")) for n in range(first, first + count))


def examples(count: int = N, first: int = 0) -> Examples:
    """Whole texts, half of them bad."""
    labels = np.arange(count) >= count // 2
    return Examples(
        texts(count, first), np.arange(count, dtype=np.int32), np.full(count, -1, np.int32), labels.astype(np.int32)
    )


def probes() -> ProbeResult:
    """Two kinds, three layers and three columns, of which the first cannot be tested; one transfer.

    In each cell the first texts are read right and the others wrong, alternately from both classes.
    """
    own = examples()
    order = np.argsort(np.arange(N) % (N // 2), kind="stable")  # a bad one, a good one, a bad one, ...
    shape = (2, 3, 3)
    predicted = np.full((*shape, N), -1, np.int16)
    margin = np.full((*shape, N), np.nan, np.float32)
    for kind, row, column in np.ndindex(shape):
        if column == 0:
            continue
        read = 1 - own.labels
        read[order[: right(kind, row, column)]] = own.labels[order[: right(kind, row, column)]]
        predicted[kind, row, column] = read
        margin[kind, row, column] = np.where(read == own.labels, 1, -1) * (1 + np.arange(N) / N)
    missing = predicted[..., 0] < 0
    filled = np.arange(18, dtype=np.float32).reshape(shape)
    scored = np.where(missing, np.nan, 0.6 + filled / 100).astype(np.float32)
    controls = np.where(missing, np.nan, 0.4 + np.arange(2)[:, None, None, None] / 5 + filled / 1000)
    moved = examples(10, first=100)
    elsewhere = np.where(missing[..., None], -1, np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])).astype(np.int16)
    vectors = tuple(np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 1, 4) + 100 * row for row in range(3))
    top_ids = np.tile(np.array([[7, 8], [9, -1]], np.int32), (*shape, 1, 1, 1))
    return ProbeResult(
        examples=own,
        classes=("bad", "good"),
        rows=tuple(Place("resid_post", layer) for layer in (0, 2, 3)),
        positions=(1, 3, None),
        labels=("␣film", "pos 3", "mean"),
        kinds=("logistic", "means"),
        predicted=predicted,
        margin=margin,
        scored=scored,
        controls=np.stack([controls] * 3).astype(np.float32),
        folds=np.stack([np.full(N, -1), np.arange(N) % 5, np.arange(N) % 5]).astype(np.int16),
        groups=np.stack([np.zeros(N), np.arange(N), np.arange(N)]).astype(np.int32),
        untested={0: "all texts are the same up to here, so there is nothing to tell them apart by."},
        vectors=vectors,
        separation=np.where(missing, np.nan, 2 + filled)[..., None].astype(np.float32),
        top_ids=top_ids,
        top_logits=np.where(top_ids < 0, np.nan, 1.5).astype(np.float32),
        vocab={7: "␣nice", 8: "␣great", 9: "␣awful"},
        transfers=(Transfer("songs", moved, elsewhere, scored + np.float32(0.1)),),
        control="permuted",
        provenance=Provenance("made by hand", "0123abcd", "float32", {"torch": "2.0"}, 40.0, 1.5, {"folds": "5"}),
        code={f"resid_post {kind}": f"{kind} $layer $at $where $column $folds\n" for kind in ("logistic", "means")},
    )


def partial(columns: int = 0) -> ProbeResult:
    """The same before anything is computed, or with the last columns alone."""
    whole = probes()
    hidden = np.arange(3) < 3 - columns

    def without(array: np.ndarray, value: float) -> np.ndarray:
        shape = (-1, *[1] * (array.ndim - 3))
        return np.where(hidden.reshape(shape), value, array).astype(array.dtype)

    return replace(
        whole,
        predicted=without(whole.predicted, -1),
        margin=without(whole.margin, np.nan),
        scored=np.where(hidden, np.nan, whole.scored).astype(np.float32),
        controls=np.where(hidden, np.nan, whole.controls).astype(np.float32),
        separation=without(whole.separation, np.nan),
        top_ids=without(whole.top_ids, -1),
        transfers=tuple(
            replace(each, predicted=without(each.predicted, -1), auroc=np.where(hidden, np.nan, each.auroc))
            for each in whole.transfers
        ),
    )


def steps() -> Generator[ProbeResult, None, ProbeResult]:
    """A run that fits a column at a time."""
    yield partial(0)
    yield partial(1)
    return probes()
