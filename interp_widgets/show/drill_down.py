"""What opens from places of a view: the same model and the same prompts, asked more closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from interp_widgets.results.errors import SelectionError
from interp_widgets.results.patching import Pair
from interp_widgets.results.terms import STREAM_SITES
from interp_widgets.show.attention import show_attention
from interp_widgets.views._strips import Steps
from interp_widgets.views._way import Way
from interp_widgets.views.attention_heads import AttentionView
from interp_widgets.views.patching_grid import PatchingGrid
from interp_widgets.views.protocol.common import Spot

Again: TypeAlias = Callable[[Mapping[str, Any]], Steps]
"""Starts an experiment once more, with some of its arguments changed."""

ELSEWHERE = "its model runs on a server, and what opens from a view runs where its model is. Load the model here."


@dataclass(frozen=True)
class Asked:
    """What a grid was asked of: enough to ask more.

    Attributes:
        model: the model, as it was given.
        tokenizer: of a model that comes without one.
        remote: whether it ran on a server.
        again: starts the experiment once more, on other cells.
        by_site: whether its cells can be of any site.
    """

    model: Any
    tokenizer: Any
    remote: bool
    again: Again
    by_site: bool


def with_ways(grid: PatchingGrid, asked: Asked) -> PatchingGrid:
    """Let views open from the cells of a grid."""
    if asked.remote:
        return grid._refuse_to_open(ELSEWHERE)
    ways = [parts(asked)] if asked.by_site else []
    return grid._offer(*ways, pattern(grid, asked))


def parts(asked: Asked) -> Way:
    """From an activation to what it is the sum of, each patched at the same position."""

    def open_parts(spot: Spot) -> PatchingGrid:
        cells = {"positions": spot["pos"], **_summands(spot["site"], spot["layer"])}
        return with_ways(PatchingGrid(asked.again(cells)), asked)

    return Way(
        "parts",
        "what wrote this activation, patched at its position: attention, MLPs and heads; of an MLP its neurons",
        "o",
        open_parts,
        needs=("site", "layer", "pos"),
        sites=STREAM_SITES,
        apart=("site", "layer", "pos"),
        by=("pos",),
    )


def pattern(grid: PatchingGrid, asked: Asked) -> Way:
    """From a head to where it looks, on the prompts of the pair that is shown."""

    def open_pattern(spot: Spot) -> AttentionView:
        pair = _pair(grid, spot)
        view = show_attention(
            asked.model,
            [*pair.clean.ids],
            corrupt=None if pair.noised or not pair.corrupt.ids else [*pair.corrupt.ids],
            tokenizer=asked.tokenizer,
        )
        view.selected = {"layer": spot["layer"], "head": spot["head"], "pos": spot.get("pos")}
        return view

    return Way(
        "pattern",
        "where this head looks: its attention pattern, with those of all heads beside it",
        "t",
        open_pattern,
        needs=("layer", "head"),
        # Where keys and values belong to several heads, theirs are other numbers.
        sites=(
            "z",
            "q",
            "pattern",
            *(panel.site for panel in grid.partial.panels if panel.site in "kv" and not panel.notes),
        ),
        apart=("prompt",),
        by=("layer", "head", "pos"),
    )


def _pair(grid: PatchingGrid, spot: Spot) -> Pair:
    """The pair whose prompts are meant: the one that is shown, else the first."""
    return grid.partial.pairs[spot.get("prompt", 0)]


def _summands(site: str, layer: int) -> dict[str, Any]:
    """The sites and layers of what is added up in an activation of the stream."""
    if site == "attn_out":
        return {"sites": "z", "layers": layer}
    if site == "mlp_out":
        return {"sites": "mlp_post", "layers": layer}
    upto = layer if site == "resid_pre" else layer + 1
    if upto == 0:
        raise SelectionError(
            "resid_pre of layer 0 is the embedding: nothing has written to it yet. Choose a later layer, or resid_post."
        )
    return {"sites": ("z", "attn_out", "mlp_out"), "layers": range(upto)}
