"""Small results of a lens, made of logits that are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import Place
from interp_widgets.results.lens import LensResult
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Token, Tokens

VOCAB = ("When", "␣Mary", "␣and", "␣John", "␣went", "␣to", "␣gave", "<b>")
CLEAN, CORRUPT = (0, 1, 2, 3, 6, 5), (0, 1, 2, 1, 6, 5)
ROWS = (
    Place("resid_pre", 0),
    Place("resid_mid", 0),
    Place("resid_post", 0),
    Place("resid_mid", 1),
    Place("resid_post", 1),
)
MARY, JOHN = 1, 3


def prompt(ids: tuple[int, ...]) -> Tokens:
    return Tokens(ids, tuple(VOCAB[token] for token in ids))


def logits(prompts: int = 1) -> NDArray[np.float64]:
    """Each row leans towards the token itself below, and towards ␣Mary at the end above; (prompt, row, pos, token)."""
    sides = []
    for side, ids in enumerate((CLEAN, CORRUPT)[:prompts]):
        made = np.random.default_rng(side).normal(0, 0.3, (len(ROWS), len(ids), len(VOCAB)))
        for row in range(len(ROWS)):
            for pos, token in enumerate(ids):
                made[row, pos, token] += 3 - row
                made[row, pos, ids[pos + 1] if pos + 1 < len(ids) else (JOHN if side else MARY)] += 1.2 * row
        sides.append(made)
    return np.stack(sides)


def from_logits(
    said: NDArray[np.float64], answers: tuple[int, ...] = (MARY, JOHN), k: int = 3, ids: tuple[int, ...] = CLEAN
) -> LensResult:
    """What a lens keeps of logits, (prompt, row, position, token)."""
    sums = np.log(np.exp(said).sum(-1))
    logprobs = said - sums[..., None]
    probs = np.exp(logprobs)
    top = np.argsort(-said, axis=-1, kind="stable")[..., :k]
    own = logprobs[:, -1:]
    apart = (probs[:1] * (logprobs[:1] - logprobs[1:])).sum(-1) if len(said) > 1 else np.zeros((0, *sums.shape[1:]))
    return LensResult(
        prompts=tuple(map(prompt, (ids, CORRUPT)[: len(said)])),
        answers=tuple(Token(token, VOCAB[token]) for token in answers),
        rows=ROWS,
        lens="logit lens",
        logprobs=logprobs[..., list(answers)].astype(np.float32),
        ranks=np.stack([(said > said[..., [token]]).sum(-1) for token in answers], -1).astype(np.float32),
        entropy=-(probs * logprobs).sum(-1).astype(np.float32),
        kl=(np.exp(own) * (own - logprobs)).sum(-1).clip(0).astype(np.float32),
        log_sums=sums.astype(np.float32),
        apart=apart.clip(0).astype(np.float32),
        top_ids=top.astype(np.int32),
        top_probs=np.take_along_axis(probs, top, -1).astype(np.float32),
        vocab=dict(enumerate(VOCAB)),
        provenance=Provenance("made", "0" * 16, "float32", {"torch": "2"}),
        code={"resid_post": "after $layer at $pos of $ids", "last": "the end at $pos of $ids"},
    )


def result(prompts: int = 1) -> LensResult:
    return from_logits(logits(prompts))


def until(whole: LensResult, cells: int) -> LensResult:
    """The result as it was when so many cells had been read, row by row."""
    unread = np.arange(whole.entropy[0].size).reshape(whole.entropy.shape[1:]) >= cells
    arrays = {}
    for name in ("logprobs", "ranks", "entropy", "kl", "log_sums", "apart", "top_ids", "top_probs"):
        arrays[name] = getattr(whole, name).copy()
        arrays[name][:, unread] = -1 if name == "top_ids" else np.nan
    return replace(whole, **arrays)


def steps(whole: LensResult, batches: int = 5) -> Iterator[LensResult]:
    """A generator that reads so many cells at a time."""
    total = whole.entropy[0].size
    for batch in range(batches):
        yield until(whole, batch * total // batches)
    return whole


def long(length: int, depth: int, k: int = 5) -> LensResult:
    """A long prompt through a deep model, of numbers that mean nothing."""
    rng = np.random.default_rng(0)
    shape = (1, depth + 1, length)
    words = [f"␣w{number}" for number in range(5000)]
    ids = tuple(rng.integers(0, len(words), length).tolist())
    return LensResult(
        prompts=(Tokens(ids, tuple(words[token] for token in ids)),),
        answers=(Token(1, words[1]), Token(2, words[2])),
        rows=(Place("resid_pre", 0), *(Place("resid_post", layer) for layer in range(depth))),
        lens="logit lens",
        logprobs=-rng.gamma(3, 2, (*shape, 2)).astype(np.float32),
        ranks=rng.integers(0, 250_000, (*shape, 2)).astype(np.float32),
        entropy=8 * rng.random(shape).astype(np.float32),
        kl=8 * rng.random(shape).astype(np.float32),
        log_sums=20 + rng.random(shape).astype(np.float32),
        apart=np.zeros((0, *shape[1:]), np.float32),
        top_ids=rng.integers(0, len(words), (*shape, k)).astype(np.int32),
        top_probs=-np.sort(-rng.random((*shape, k)).astype(np.float32) / k, axis=-1),
        vocab=dict(enumerate(words)),
        provenance=Provenance("made", "0" * 16, "float32", {}),
        code={},
    )
