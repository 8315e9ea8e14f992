"""Features on text made by hand, for tests of what shows and saves them: every activation is known without a model."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import DictionaryInfo, Fit, Place
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.latent import Example, Histogram, LatentCard, Link, Neighbour, Weighted
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Token, Tokens

TEXT = ("␣When", "␣Mary", "␣and", "␣John", "␣went", "␣to", "␣the", "␣store", ",", "␣John", "␣gave", "␣Mary", "↵")
OTHER = ("␣When", "␣Mary", "␣and", "␣John", "␣went", "␣home", ",", "␣Mary", "␣slept", ".")
NAMES, COMMA, ONCE, STORE = 7, 3, 11, 2
"""Latents: one of names, one of commas, one that fires on a single token more than any other, and one of places."""
N_LATENTS = 16


def tokens(labels: Sequence[str]) -> Tokens:
    """Ids do not matter here."""
    return Tokens(tuple(range(len(labels))), tuple(labels))


def info(signed: bool = False, n_latents: int = N_LATENTS) -> DictionaryInfo:
    place = Place("resid_post", 1)
    kind = "neurons" if signed else "sae"
    return DictionaryInfo("made by hand", kind, place, place, n_latents, 8, "", "feed", signed)


def activations(labels: Sequence[str], signed: bool = False) -> NDArray[np.float32]:
    """(token, latent), with other numbers at every token, so that a shift cannot go unseen."""
    dense = np.zeros((len(labels), N_LATENTS), np.float32)
    for at, label in enumerate(labels):
        if label in ("␣Mary", "␣John"):
            dense[at, NAMES] = 1 + at / 10
        if label in (",", ".", "↵"):
            dense[at, COMMA] = 0.5 + at / 20
        if label in ("␣store", "␣home"):
            dense[at, STORE] = 1.5
        dense[at, 12 + at % 4] = -0.4 if signed else 0.2
    dense[0, ONCE] = 9
    return dense


def from_dense(
    texts: Mapping[str, Sequence[str]],
    dense: NDArray[np.float32],
    *,
    dictionary: DictionaryInfo | None = None,
    kept: int | None = None,
    computed: NDArray[np.bool_] | None = None,
    cards: Mapping[int, LatentCard] | None = None,
) -> FeatureResult:
    """A result by the plain definition of each of its fields, from all activations, (token, latent)."""
    computed = np.ones(len(dense), bool) if computed is None else computed
    dense = np.where(computed[:, None], dense, 0)
    rows = []
    for row in dense:
        fires = np.flatnonzero(row)
        if kept is not None:
            fires = np.sort(fires[np.argsort(-np.abs(row[fires]), kind="stable")[:kept]])
        rows.append(fires)
    ends = np.cumsum([len(text) for text in texts.values()])[:-1]
    parts = np.split(dense, ends)
    strongest = [np.abs(part).argmax(axis=0) for part in parts]
    info_ = dictionary or info()
    return FeatureResult(
        texts=tuple(tokens(text) for text in texts.values()),
        sides=tuple(texts),
        dictionary=info_,
        starts=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        latents=np.concatenate(rows).astype(np.int32),
        activations=np.concatenate([dense[at][row] for at, row in enumerate(rows)]).astype(np.float32),
        threshold=0.0,
        kept=kept,
        computed=computed,
        maximum=np.stack([np.take_along_axis(part, at[None], 0)[0] for part, at in zip(parts, strongest, strict=True)]),
        total=np.stack([part.sum(axis=0, dtype=np.float64) for part in parts]),
        fires=np.stack([(part != 0).sum(axis=0) for part in parts]),
        fit=Fit(0.93, 3.4, 2.1, 2.2, 7.0, len(dense) - len(texts)) if computed.all() else None,
        provenance=Provenance("made by hand", "0123abcd", "float32", {"nnsight": "0.8.1"}, 12.0, 1.5),
        cards=dict(cards or {}),
    )


def result(*, two: bool = False, signed: bool = False, kept: int | None = None) -> FeatureResult:
    """One short text, or two, with cards of two latents."""
    texts = {"text": TEXT, "against": OTHER} if two else {"text": TEXT}
    dense = np.concatenate([activations(text, signed) for text in texts.values()])
    return from_dense(texts, dense, dictionary=info(signed), kept=kept, cards={n: card(n) for n in (NAMES, STORE)})


def card(latent: int = NAMES) -> LatentCard:
    """A card with everything that a card can have."""
    labels = ("␣said", "␣that", "␣Mary", "␣was", "␣here")
    return LatentCard(
        latent=latent,
        promotes=tuple(Weighted(Token(n, label), 2.5 - n) for n, label in enumerate(("␣said", "␣and", "'s"))),
        suppresses=tuple(Weighted(Token(n, label), -2.0 + n / 2) for n, label in enumerate(("␣the", "<b>", "↵"))),
        nearest=(Neighbour(COMMA, 0.61), Neighbour(ONCE, -0.32)),
        written_by=(
            Link("head 1.2", (("site", "z"), ("layer", 1), ("head", 2)), 0.8),
            Link("MLP 0", (("site", "mlp_out"), ("layer", 0)), -0.3),
        ),
        written_at=(0, 2),
        feeds=(Link(f"latent {STORE}", (("latent", STORE),), 0.4),),
        examples=tuple(Example(n, tokens(labels), 2, (0.0, 0.0, 4.0 - n / 2, 0.6, 0.0)) for n in range(3)),
        histogram=Histogram(np.linspace(0, 4, 9, dtype=np.float32), np.array([90, 40, 20, 9, 5, 2, 0, 1])),
        density=0.0123,
        corpus="a corpus made by hand, 1,000 tokens",
    )


def long(n_tokens: int, n_latents: int, l0: int, *, seed: int = 0, cards: int = 0) -> FeatureResult:
    """A text of random words on which `l0` random latents fire at every token, some of them much more often."""
    random = np.random.default_rng(seed)
    words = (
        "␣the",
        "␣a",
        "␣story",
        "␣of",
        "␣Mary",
        "␣and",
        "␣John",
        "ing",
        "s",
        ",",
        "␣went",
        "␣home",
        ".",
        "␣unbelievable",
    )
    labels = [words[n] for n in random.integers(len(words), size=n_tokens)]
    for at in range(60, n_tokens, 90):
        labels[at] = "↵"
    popular = random.permutation(n_latents)
    # Squared, so that low ranks come often; each token's latents are distinct.
    ranks = (random.random((n_tokens, 2 * l0)) ** 3 * n_latents).astype(np.int64)
    rows = [np.unique(popular[row])[:l0].astype(np.int32) for row in ranks]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    latents = np.concatenate(rows)
    strengths = random.gamma(1.2, 1.0, len(latents)).astype(np.float32) + np.float32(1e-3)
    maximum = np.zeros((1, n_latents), np.float32)
    np.maximum.at(maximum[0], latents, strengths)
    return FeatureResult(
        texts=(tokens(labels),),
        sides=("text",),
        dictionary=info(n_latents=n_latents),
        starts=starts,
        latents=latents,
        activations=strengths,
        threshold=0.0,
        kept=None,
        computed=np.ones(n_tokens, bool),
        maximum=maximum,
        total=np.bincount(latents, strengths, n_latents)[None],
        fires=np.bincount(latents, minlength=n_latents)[None],
        fit=None,
        provenance=Provenance("made by hand", "0123abcd", "float32", {"nnsight": "0.8.1"}, 12.0, 1.5),
        cards={int(latent): card(int(latent)) for latent in popular[:cards]},
    )


def steps(
    whole: FeatureResult, batches: int = 4, fail_at: int | None = None
) -> Generator[FeatureResult, None, FeatureResult]:
    """Reveal a result some tokens at a time, the last first; optionally fail at a step."""
    yield until(whole, 0)
    for batch in range(1, batches):
        if batch == fail_at:
            raise RuntimeError("the model broke")
        yield until(whole, batch * whole.n_tokens // batches)
    return whole


def until(whole: FeatureResult, count: int) -> FeatureResult:
    """A result of which only the last tokens have been read."""
    computed = np.arange(whole.n_tokens) >= whole.n_tokens - count
    dense = np.stack([np.nan_to_num(whole.column(latent)) for latent in range(whole.dictionary.n_latents)], axis=1)
    texts = {side: text.labels for side, text in zip(whole.sides, whole.texts, strict=True)}
    partial = from_dense(texts, dense, dictionary=whole.dictionary, computed=computed, cards=whole.cards)
    return replace(partial, fit=whole.fit if computed.all() else None)
