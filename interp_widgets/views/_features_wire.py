"""Features on text as the page reads them. Only what fires travels, and of a long text the strongest of each token."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dial import DialReading
from interp_widgets.results.dictionary import DictionaryInfo, Fit
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.latent import LatentCard, Link, Weighted
from interp_widgets.results.provenance import Provenance
from interp_widgets.views._token_strip import wire_text, wire_values
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.common import WireArray, WirePrediction
from interp_widgets.views.protocol.features import (
    DialMode,
    FeatureArrays,
    FeatureSpec,
    WireCard,
    WireColumn,
    WireDictionary,
    WireFit,
    WireLink,
    WireReading,
    WireWeighted,
)

MOST_ENTRIES = 400_000
"""About how many activations the page gets at once: 3.2 MB."""
WHOLE = 24
"""Of how many latents, the strongest of the text, all tokens travel whatever the length of the text."""


def feature_spec(result: FeatureResult, *, answers: bool, turns: bool) -> FeatureSpec:
    """All that the page shows apart from numbers."""
    return {
        "texts": [
            wire_text(name, [text for text, side in zip(result.texts, result.sides, strict=True) if side == name])
            for name in dict.fromkeys(result.sides)
        ],
        "dictionary": _dictionary(result.dictionary),
        "threshold": result.threshold,
        "kept": result.kept,
        "answers": answers,
        "turns": turns,
        "code": result.code,
        "provenance": _provenance(result.provenance, result.dictionary),
    }


def feature_arrays(result: FeatureResult, watched: Collection[int]) -> FeatureArrays:
    """What the page holds of a result.

    Args:
        result: the whole, or what there is of it.
        watched: latents of which all tokens are wanted, beside the strongest.
    """
    per_token = most_per_token(result)
    whole = {*watched, *(latent for latent, _ in result.ranked("max", WHOLE))}
    every = np.arange(result.n_tokens)
    counts, latents, activations = _with_columns(result, *entries(result, every, per_token, whole))
    firing = np.flatnonzero(result.fires.any(axis=0))
    maximum, total, fires = statistics(result, firing)
    return {
        "starts": wire_array(np.concatenate([[0], np.cumsum(counts)]), "int32"),
        "latents": wire_array(latents, "int32"),
        "activations": wire_array(activations, "float32"),
        "computed": wire_array(result.computed, "uint8"),
        "firing": wire_array(firing, "int32"),
        "maximum": maximum,
        "total": total,
        "fires": fires,
        "per_token": per_token if len(latents) < len(result.latents) else result.kept,
        "fit": None if result.fit is None else _fit(result.fit),
    }


def wire_reading(reading: DialReading, token: int | None) -> WireReading:
    """What the page shows of a turned latent, up to a token."""
    before, after = (
        [WirePrediction(label=said.token.label, prob=said.prob) for said in side]
        for side in (reading.before, reading.after)
    )
    return {
        "latent": reading.latent,
        "mode": cast("DialMode", reading.mode),
        "strength": reading.strength,
        "token": token,
        "before": before,
        "after": after,
        "kl": reading.kl,
        "text_before": reading.text_before,
        "text_after": reading.text_after,
    }


def most_per_token(result: FeatureResult) -> int:
    """How many latents of each token travel."""
    return max(1, MOST_ENTRIES // max(1, result.n_tokens))


def statistics(result: FeatureResult, latents: NDArray[np.integer]) -> tuple[WireArray, WireArray, WireArray]:
    """Maximum, total and fires of some latents on each side, over its documents: (side, latent)."""
    sides = [np.flatnonzero(np.array(result.sides) == side) for side in dict.fromkeys(result.sides)]
    return (
        wire_array(np.stack([_largest(result.maximum[side][:, latents]) for side in sides]), "float32"),
        wire_array(np.stack([result.total[side][:, latents].sum(axis=0) for side in sides]), "float32"),
        wire_array(np.stack([result.fires[side][:, latents].sum(axis=0) for side in sides]), "int32"),
    )


def _largest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The value of the largest size in each column, with its sign."""
    largest: NDArray[np.float32] = np.take_along_axis(values, np.abs(values).argmax(axis=0)[None], 0)[0]
    return largest


def entries(
    result: FeatureResult, tokens: NDArray[np.integer], per_token: int, whole: Collection[int] = ()
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The strongest latents of some tokens.

    Args:
        result: where they are.
        tokens: in rising order.
        per_token: so many of each token at most.
        whole: latents that are kept wherever they fire.

    Returns:
        how many each token has, (token,), and those latents and their activations, (entry,).
    """
    counts = result.starts[tokens + 1] - result.starts[tokens]
    owner = np.repeat(np.arange(len(tokens)), counts)
    first = np.cumsum(counts) - counts
    at = result.starts[tokens][owner] + np.arange(len(owner)) - first[owner]
    latents, activations = result.latents[at], result.activations[at]
    if counts.max(initial=0) <= per_token:
        return counts, latents, activations
    order = np.lexsort((-np.abs(activations), owner))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order)) - first[owner]
    kept = (rank < per_token) | np.isin(latents, list(whole))
    return np.bincount(owner[kept], minlength=len(tokens)), latents[kept], activations[kept]


def _with_columns(
    result: FeatureResult, counts: NDArray[np.int64], latents: NDArray[np.int32], activations: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Entries with those latents added that were asked for on every token, wherever they are not 0."""
    if not result.columns:
        return counts, latents, activations
    dense = np.nan_to_num(np.stack(list(result.columns.values())))
    column, token = np.nonzero(dense)
    asked = np.array(list(result.columns), np.int32)
    rest = ~np.isin(latents, asked)
    owners = np.concatenate([np.repeat(np.arange(len(counts)), counts)[rest], token])
    every = np.concatenate([latents[rest], asked[column]])
    order = np.lexsort((every, owners))
    values = np.concatenate([activations[rest], dense[column, token]])
    return np.bincount(owners, minlength=len(counts)), every[order], values[order]


def wire_column(result: FeatureResult, latent: int) -> WireColumn:
    """All tokens on which a latent fires.

    Raises:
        SelectionError: there is no such latent.
    """
    column = result.column(latent)
    tokens = np.flatnonzero(np.nan_to_num(column))
    return {"tokens": tokens.tolist(), "activations": column[tokens].tolist()}


def wire_cards(cards: Mapping[int, LatentCard], latents: Iterable[int]) -> dict[str, WireCard]:
    """The cards of some latents, by number; those without one are left out."""
    return {str(latent): _card(cards[latent]) for latent in dict.fromkeys(latents) if latent in cards}


def _card(card: LatentCard) -> WireCard:
    return {
        "promotes": None if card.promotes is None else [_weighted(item) for item in card.promotes],
        "suppresses": None if card.suppresses is None else [_weighted(item) for item in card.suppresses],
        "nearest": None
        if card.nearest is None
        else [{"latent": other.latent, "cosine": float(other.cosine)} for other in card.nearest],
        "written_by": None if card.written_by is None else [_link(link) for link in card.written_by],
        "written_at": None
        if card.written_at is None
        else {"document": card.written_at[0], "position": card.written_at[1]},
        "feeds": None if card.feeds is None else [_link(link) for link in card.feeds],
        "examples": None
        if card.examples is None
        else [wire_values(example.tokens, example.activations, example.peak) for example in card.examples],
        "histogram": None
        if card.histogram is None
        else {"edges": card.histogram.edges.tolist(), "counts": card.histogram.counts.tolist()},
        "density": card.density,
        "corpus": card.corpus,
    }


def _weighted(item: Weighted) -> WireWeighted:
    return {"label": item.token.label, "logit": float(item.logit)}


def _link(link: Link) -> WireLink:
    latent = dict(link.cell).get("latent")
    return {
        "component": link.component,
        "weight": float(link.weight),
        "latent": latent if isinstance(latent, int) else None,
    }


def _dictionary(info: DictionaryInfo) -> WireDictionary:
    return {
        "name": info.name,
        "kind": info.kind,
        "reads": str(info.reads),
        "writes": str(info.writes),
        "n_latents": info.n_latents,
        "normalised": info.normalised,
        "signed": info.signed,
    }


def _fit(fit: Fit) -> WireFit:
    return {
        "variance_explained": _finite(fit.variance_explained),
        "l0": fit.l0,
        "loss": fit.loss,
        "loss_with": fit.loss_with,
        "loss_without": fit.loss_without,
        "loss_recovered": _finite(fit.loss_recovered),
        "n_tokens": fit.n_tokens,
    }


def _finite(value: float) -> float | None:
    """A number as JSON has it."""
    return value if math.isfinite(value) else None


def _provenance(source: Provenance, dictionary: DictionaryInfo) -> list[str]:
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    settings = [f"{name}: {said}" for name, said in source.settings.items()]
    weights = f"{source.dtype}, weights {source.fingerprint}"
    return [f"{dictionary.name} {dictionary.fingerprint}".strip(), *settings, source.model, weights, versions]
