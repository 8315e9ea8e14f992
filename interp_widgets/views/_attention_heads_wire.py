"""Attention heads as the page reads them: all numbers of short prompts, small pictures and tiles of long ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.attention import AttentionResult, LayerPatterns, Map, pooled
from interp_widgets.results.head_scores import SCORES, HeadScores
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.attention_heads import (
    AttentionSide,
    AttentionSpec,
    WireAttentionSide,
    WireLayer,
    WireMaps,
    WirePictures,
    WireScores,
    WireScoreTerm,
)
from interp_widgets.views.protocol.common import WireArray

WHOLE = 600_000
"""Numbers up to which the page gets all of them: 2.4 MB."""
PICTURES = 2**21
"""Bytes that the small pictures of all heads take at most."""
TILE = 256
KEPT = 2**22
"""Bytes of tiles and lines that a saved page keeps."""

Shown: TypeAlias = Literal["clean", "corrupt", "difference"]
SIDES: tuple[Literal["clean", "corrupt"], ...] = ("clean", "corrupt")
_SMALLEST, _LARGEST = 8, 64

BADGES = {
    "previous_token": "previous token",
    "duplicate_token": "same token",
    "induction": "induction",
    "copying": "copying",
    "copying_top": "copies tokens",
    "name_attention": "looks at answer",
    "name_copying": "copies answer",
    "name_mover": "name mover",
}
"""What heads are called in short that have much of a score."""


def attention_spec(result: AttentionResult, *, title: str, reads: bool) -> AttentionSpec:
    """All that the page shows apart from numbers."""
    return {
        "title": title,
        "sides": [_side(result, number) for number in range(len(result.prompts))],
        "layers": list(result.layers),
        "heads": list(result.heads),
        "block": result.block,
        "whole": is_whole(result),
        "tile": TILE,
        "small": small(result),
        "weighted": has_weights(result),
        "sides_shown": list(sides_shown(result)),
        "reads": reads and result.block > 1,
        "kept": KEPT,
        "terms": [_term(name) for name in SCORES],
        "code": result.code,
        "weighted_code": result.weighted_code,
        "provenance": _provenance(result),
    }


def sides_shown(result: AttentionResult) -> tuple[AttentionSide, ...]:
    """What can be shown: the prompts, and their difference where positions match and have numbers of their own."""
    if len(result.prompts) < 2:
        return ("clean",)
    matched = len(result.tokens(0)) == len(result.tokens(1)) and result.block == 1
    return (*SIDES, "difference") if matched else SIDES


def has_weights(result: AttentionResult) -> bool:
    """Whether weighted patterns were asked for; before any layer is read it is taken to be so."""
    return all(part.value_norms is not None for part in result.parts[:1])


def is_whole(result: AttentionResult) -> bool:
    """Whether the page gets all numbers."""
    several = [len(side) > 1 for side in result.prompts]
    maps = sum((4 if more else 1) * _across(result, side) ** 2 for side, more in enumerate(several))
    return maps * len(result.layers) * len(result.heads) <= WHOLE


def small(result: AttentionResult) -> int:
    """Numbers along a small picture, at most."""
    kinds = 2 * len(sides_shown(result))
    room = PICTURES / (kinds * len(result.layers) * len(result.heads))
    return int(min(_LARGEST, max(_SMALLEST, math.sqrt(room))))


def wire_layer(result: AttentionResult, layer: int) -> WireLayer | None:
    """What the page gets of a layer; None before all sides of it are read."""
    parts = [part for part in result.parts if part.layer == layer]
    if len(parts) < len(result.prompts):
        return None
    if is_whole(result):
        return {"sides": [_maps(part) for part in parts], "pictures": {}}
    size = small(result)
    pictures = {key: _pictures(_heads(result, parts, side, weighted), size) for key, side, weighted in _kinds(result)}
    return {"sides": [], "pictures": pictures}


def pattern_of(result: AttentionResult, side: Shown, layer: int, head: int, weighted: bool) -> NDArray[np.float32]:
    """One head's pattern on a side, or the difference of both.

    Raises:
        SelectionError: a head that was not read.
        ResultError: weights that were not asked for, or prompts that cannot be subtracted.
    """
    if side == "difference":
        return result.difference(layer, head, weighted=weighted)
    return result.pattern(layer, head, side=SIDES.index(side), weighted=weighted)


def tile_of(
    result: AttentionResult, side: Shown, layer: int, head: int, weighted: bool, at: tuple[int, int, int]
) -> NDArray[np.float32]:
    """A piece of a pattern, by its level, row and column: see `AttentionResult.tile`; of a difference the largest
    numbers by size.

    Raises:
        SelectionError: a head that was not read, or a piece that there is not.
        ResultError: as for `pattern_of`.
    """
    level, row, column = at
    if side != "difference":
        number = SIDES.index(side)
        return result.tile(layer, head, level, row, column, size=TILE, side=number, weighted=weighted)
    result.tile(layer, head, level, row, column, size=TILE)  # checks what is asked for
    wide = TILE * 2**level
    piece = pattern_of(result, side, layer, head, weighted)[row * wide :, column * wide :][:wide, :wide]
    return largest(piece, 2**level)


def top_of(result: AttentionResult, side: Shown) -> tuple[int, int, int]:
    """The tile that has a whole pattern, by its level, row and column."""
    return result.levels(SIDES.index(side) if side != "difference" else 0, size=TILE) - 1, 0, 0


def lines_of(
    result: AttentionResult, side: Shown, layer: int, head: int, weighted: bool, pos: int
) -> list[NDArray[np.float32]]:
    """Where a token looks, and who looks at it; over several prompts their spreads too.

    Raises:
        SelectionError: a head that was not read, or a position that there is not.
        ResultError: as for `pattern_of`.
    """
    number = SIDES.index(side) if side != "difference" else 1
    lines = list(result.lines(layer, head, pos, side=number, weighted=weighted))
    if side == "difference":
        result.difference(layer, head)  # says where there is none
        clean = result.lines(layer, head, pos, weighted=weighted)
        lines = [there - here for there, here in zip(lines, clean, strict=True)]
    at = pos // result.block
    if side != "difference" and len(result.prompts[SIDES.index(side)]) > 1 and result.block == 1:
        spread = result.spread(layer, head, side=SIDES.index(side), weighted=weighted)
        lines += [spread[at], spread[:, at]]
    return [np.ascontiguousarray(line) for line in lines]


def largest(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """The number of the largest size in each block of `step` by `step` of the last two axes, with its sign.

    >>> largest(np.array([[1, -2, 0], [3, 0, -5]], np.float32), 2).tolist()
    [[3.0, -5.0]]
    """
    if step == 1:
        return values
    if not (values < 0).any():
        return pooled(values, step)
    high, low = pooled(values, step), -pooled(-values, step)
    chosen: NDArray[np.float32] = np.where(np.abs(low) > np.abs(high), low, high)
    return chosen


def wire_scores(scores: HeadScores, layers: tuple[int, ...], heads: tuple[int, ...]) -> WireScores:
    """The scores of the heads that are shown; of layers that were not scored there are no numbers."""
    there = [number for number, layer in enumerate(layers) if layer in scores.layers]
    rows = [scores.layers.index(layers[number]) for number in there]

    def array(values: NDArray[np.float64]) -> WireArray:
        shown = np.full((len(layers), len(heads)), np.nan)
        shown[there] = values[np.ix_(rows, heads)]
        return wire_array(shown, "float32")

    told: WireScores = {"scores": {}, "missing": dict(scores.missing), "about": _settings(scores)}
    for name in scores.names:
        low, high = scores.interval(name)
        baseline = scores.baselines[name]
        told["scores"][name] = {
            "values": array(scores.score(name)),
            "low": array(low),
            "high": array(high),
            "baseline": baseline if math.isfinite(baseline) else None,
        }
    return told


def _settings(scores: HeadScores) -> list[str]:
    return [f"{name} {said}" for name, said in scores.provenance.settings.items()]


def _side(result: AttentionResult, number: int) -> WireAttentionSide:
    prompts = result.prompts[number]
    return {
        "name": result.names[number],
        "labels": list(prompts[0].labels),
        "prompts": len(prompts),
        "ids": str([list(prompt.ids) for prompt in prompts]),
    }


def _term(name: str) -> WireScoreTerm:
    term = SCORES[name]
    return {
        "name": name,
        "badge": BADGES[name],
        "head": term.head,
        "meaning": term.meaning,
        "sample": term.sample,
        "baseline": term.baseline,
        "source": term.source,
        "low": term.low,
        "high": term.high,
        "named": term.named,
    }


def _across(result: AttentionResult, side: int) -> int:
    return -(-len(result.tokens(side)) // result.block)


def _kinds(result: AttentionResult) -> Iterator[tuple[str, AttentionSide, bool]]:
    for side in sides_shown(result):
        yield side, side, False
        if has_weights(result):
            yield f"{side}/weighted", side, True


def _maps(part: LayerPatterns) -> WireMaps:
    def array(values: NDArray[Any] | None) -> WireArray | None:
        return None if values is None else wire_array(values, "float32")

    return {
        "pattern": wire_array(part.pattern, "float32"),
        "weighted": array(part.weighted),
        "norms": array(part.value_norms),
        "spread": array(part.spread),
        "weighted_spread": array(part.weighted_spread),
    }


def _heads(result: AttentionResult, parts: list[LayerPatterns], side: Shown, weighted: bool) -> Iterator[Map]:
    """The patterns of a layer, head by head, for what is large together."""
    part = parts[0] if side != "corrupt" else parts[-1]
    for number, head in enumerate(result.heads):
        if side == "difference" or (weighted and part.weighted is None):
            yield pattern_of(result, side, part.layer, head, weighted)
        else:
            kept = part.weighted if weighted else part.pattern
            assert kept is not None, "it was computed, or follows from the pattern"
            yield kept[number]


def _pictures(heads: Iterator[Map], size: int) -> WirePictures:
    codes, peaks = [], []
    for values in heads:
        step = -(-len(values) // size)
        coarse = _coarse(values, step)
        peak = float(np.nanmax(np.abs(coarse), initial=0.0)) or 1.0
        coded = np.round(128 + 127 * (coarse / peak))
        codes.append(np.where(np.isnan(coarse), 0, coded).astype(np.uint8))
        peaks.append(peak)
    return {"codes": wire_array(np.stack(codes), "uint8"), "peaks": wire_array(np.array(peaks), "float32")}


def _coarse(values: Map, step: int) -> NDArray[np.float32]:
    if values.dtype == np.float16 and not np.signbit(values).any():
        # Bits of what is not negative are in the order of the numbers, and whole numbers compare much faster.
        bits = pooled(np.ascontiguousarray(values).view(np.uint16), step)
        return bits.view(np.float16).astype(np.float32)
    return largest(values.astype(np.float32), step)


def _provenance(result: AttentionResult) -> list[str]:
    source = result.provenance
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    settings = [f"{name}: {said}" for name, said in source.settings.items()]
    return [source.model, f"{source.dtype}, weights {source.fingerprint}", *settings, versions]
