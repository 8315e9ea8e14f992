"""Latents on text as plain values and arrays by name, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import DictionaryInfo, Fit, Place
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.latent import Example, Histogram, LatentCard, Link, Neighbour, Weighted
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents
from interp_widgets.results.tokens import Token, Tokens

_ARRAYS = ("starts", "latents", "activations", "computed", "maximum", "total", "fires")


def contents(result: FeatureResult) -> Contents:
    """Return a result in parts."""
    arrays: dict[str, NDArray[Any]] = {name: getattr(result, name) for name in _ARRAYS}
    arrays |= {f"columns/{latent}": column for latent, column in result.columns.items()}
    header = {
        "texts": [asdict(text) for text in result.texts],
        "sides": result.sides,
        "dictionary": asdict(result.dictionary),
        "threshold": result.threshold,
        "kept": result.kept,
        "fit": result.fit and asdict(result.fit),
        "provenance": asdict(result.provenance),
        "columns": list(result.columns),
        "cards": [card_contents(card) for card in result.cards.values()],
        "names": _keyed(result.names),
        "notes": _keyed(result.notes),
        "code": result.code,
    }
    return header, arrays


def of_contents(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> FeatureResult:
    """Put a result together from its parts."""
    cards = map(card_of, header["cards"])
    return FeatureResult(
        texts=tuple(map(tokens_of, header["texts"])),
        sides=tuple(header["sides"]),
        dictionary=dictionary_of(header["dictionary"]),
        **{name: arrays[name] for name in _ARRAYS},
        threshold=header["threshold"],
        kept=header["kept"],
        fit=header["fit"] and Fit(**header["fit"]),
        provenance=Provenance(**header["provenance"]),
        columns={latent: arrays[f"columns/{latent}"] for latent in header["columns"]},
        cards={card.latent: card for card in cards},
        names=_unkeyed(header["names"]),
        notes=_unkeyed(header["notes"]),
        code=header.get("code", ""),  # of a result that was saved without
    )


def dictionary_of(data: Mapping[str, Any]) -> DictionaryInfo:
    """Put a dictionary's description together from what `asdict` made of it."""
    return DictionaryInfo(**{**data, "reads": Place(**data["reads"]), "writes": Place(**data["writes"])})


def tokens_of(data: Mapping[str, Any]) -> Tokens:
    """Put tokens together from what `asdict` made of them."""
    return Tokens(tuple(data["ids"]), tuple(data["labels"]))


def card_contents(card: LatentCard) -> dict[str, Any]:
    """Return a card as plain values."""
    histogram = card.histogram and {"edges": card.histogram.edges.tolist(), "counts": card.histogram.counts.tolist()}
    # `asdict` copies arrays as they are, which JSON does not know.
    return asdict(card) | {"histogram": histogram}


def card_of(data: Mapping[str, Any]) -> LatentCard:
    """Put a card together from plain values."""
    histogram = data["histogram"] and Histogram(
        np.array(data["histogram"]["edges"], np.float32), np.array(data["histogram"]["counts"], np.int64)
    )
    made: dict[str, Any] = {
        "promotes": _tuple(data["promotes"], _weighted),
        "suppresses": _tuple(data["suppresses"], _weighted),
        "nearest": _tuple(data["nearest"], lambda item: Neighbour(**item)),
        "written_by": _tuple(data["written_by"], _link),
        "written_at": tuple(data["written_at"]) if data.get("written_at") else None,  # older files have none
        "feeds": _tuple(data["feeds"], _link),
        "examples": _tuple(data["examples"], _example),
        "histogram": histogram,
    }
    return LatentCard(**{**data, **made})


def _tuple(items: Iterable[Any] | None, make: Any) -> tuple[Any, ...] | None:
    return None if items is None else tuple(map(make, items))


def _weighted(data: Mapping[str, Any]) -> Weighted:
    return Weighted(Token(**data["token"]), data["logit"])


def _link(data: Mapping[str, Any]) -> Link:
    return Link(data["component"], tuple((key, value) for key, value in data["cell"]), data["weight"])


def _example(data: Mapping[str, Any]) -> Example:
    return Example(data["document"], tokens_of(data["tokens"]), data["peak"], tuple(data["activations"]))


def _keyed(words: Mapping[int, str]) -> dict[str, str]:
    return {str(latent): text for latent, text in words.items()}


def _unkeyed(words: Mapping[str, str]) -> dict[int, str]:
    return {int(latent): text for latent, text in words.items()}
