"""A lens as the page reads it: the few numbers of each cell, in half precision where there are very many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.lens import LensResult
from interp_widgets.views._token_strip import wire_text
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.common import Dtype, WireArray
from interp_widgets.views.protocol.lens_table import LensArrays, LensSpec

MOST_BYTES = 4_500_000
"""How large the numbers of a page may be before they travel in half precision, with fewer of the likeliest tokens."""
_WIDEST_HALF = 65504
_RANK_UNIT = 8
"""Ranks are counted in this unit in half precision, which ends below the size of some vocabularies."""


def lens_spec(result: LensResult, *, follows: bool) -> LensSpec:
    """All that the page shows apart from numbers."""
    source = result.provenance
    names = ("prompt",) if len(result.prompts) == 1 else ("clean", "corrupt")
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    return {
        "prompts": [wire_text(name, [tokens]) for name, tokens in zip(names, result.prompts, strict=True)],
        "ids": [list(tokens.ids) for tokens in result.prompts],
        "rows": [{"site": place.site, "layer": place.layer} for place in result.rows],
        "lens": result.lens,
        "follows": follows,
        "code": dict(result.code),
        "provenance": [result.lens, source.model, f"{source.dtype}, weights {source.fingerprint}", versions],
    }


class Vocabulary:
    """The tokens that a page has labels of, in the order in which it got them."""

    def __init__(self, result: LensResult) -> None:
        self.ids = np.unique(result.top_ids[result.top_ids >= 0]).astype(np.int64)
        self.labels = [result.vocab[token] for token in self.ids.tolist()]

    def add(self, top: NDArray[np.int32], vocab: Mapping[int, str]) -> list[int]:
        """Take in tokens that are new, and return their ids."""
        new: list[int] = np.setdiff1d(top[top >= 0], self.ids).tolist()
        self.ids = np.concatenate([self.ids, np.array(new, np.int64)])
        self.labels += [vocab[token] for token in new]
        return new

    def numbers(self, top: NDArray[np.int32]) -> NDArray[np.int64]:
        """Give tokens as numbers into the labels; 0 for those of cells that are not read."""
        if not len(self.ids):
            return np.zeros(top.shape, np.int64)
        order = np.argsort(self.ids)
        found = order[np.searchsorted(self.ids, top, sorter=order).clip(max=len(order) - 1)]
        return np.where(top < 0, 0, found)


def lens_arrays(result: LensResult) -> LensArrays:
    """What the page holds of a result."""
    cells = result.entropy.size
    k = result.top_ids.shape[-1]
    single = cells * (12 + 8 * len(result.answers) + 8 * k) + 4 * result.apart.size
    brief = single > MOST_BYTES
    if brief:
        left = (MOST_BYTES - 2 * result.apart.size) // cells - 6 - 4 * len(result.answers)
        k = max(1, min(k, left // 4))
    floats: Dtype = "float16" if brief else "float32"
    top, vocabulary = result.top_ids[..., :k], Vocabulary(result)
    if brief:  # labels of tokens that do not travel need not travel either
        vocabulary.ids = np.unique(top[top >= 0]).astype(np.int64)
        vocabulary.labels = [result.vocab[token] for token in vocabulary.ids.tolist()]

    def packed(array: NDArray[Any]) -> WireArray:
        return wire_array(np.clip(array, -_WIDEST_HALF, _WIDEST_HALF) if brief else array, floats)

    return {
        "answers": [token.label for token in result.answers],
        "logprobs": packed(result.logprobs),
        "ranks": packed(result.ranks / _RANK_UNIT if brief else result.ranks),
        "entropy": packed(result.entropy),
        "kl": packed(result.kl),
        "log_sums": packed(result.log_sums),
        "apart": packed(result.apart),
        "top": wire_array(vocabulary.numbers(top), "uint16" if len(vocabulary.labels) < 2**16 else "int32"),
        "top_probs": packed(result.top_probs[..., :k]),
        "vocab": vocabulary.labels,
        "vocab_ids": wire_array(vocabulary.ids, "int32"),
    }


def lens_cells(result: LensResult, cells: NDArray[np.integer], vocabulary: Vocabulary) -> Sequence[bytes]:
    """The buffers of cells that were read, numbered by row and position, in the order of the message."""

    def of(array: NDArray[Any]) -> NDArray[Any]:
        return array.reshape(len(array), result.entropy[0].size, *array.shape[3:])[:, cells]

    floats = (result.logprobs, result.ranks, result.entropy, result.kl, result.log_sums, result.apart)
    wires = [
        wire_array(cells, "int32"),
        *(wire_array(of(array), "float32") for array in floats),
        wire_array(vocabulary.numbers(of(result.top_ids)), "int32"),
        wire_array(of(result.top_probs), "float32"),
    ]
    return [wire["data"] for wire in wires]
