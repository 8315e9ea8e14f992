"""What opens from places of a view: the same model and the same prompts, asked more closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from interp_widgets.models.access import resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.terms import STREAM_SITES, Site
from interp_widgets.show.readers import (
    ELSEWHERE,
    Prompted,
    attribution,
    lens,
    named_in_description,
    numbered,
    pattern,
)
from interp_widgets.views._strips import Steps
from interp_widgets.views._way import Way
from interp_widgets.views.patching_grid import PatchingGrid
from interp_widgets.views.protocol.common import Spot

Again: TypeAlias = Callable[[Mapping[str, Any]], Steps]
"""Starts an experiment once more, with some of its arguments changed."""


@dataclass(frozen=True)
class Asked:
    """What a grid was asked of: enough to ask more.

    Attributes:
        model: the model, as it was given.
        tokenizer: of a model that comes without one.
        remote: whether it ran on a server.
        again: starts the experiment once more, on other cells.
        by_site: whether its cells can be of any site.
        pos: the position that its cells are of, where they do not say it.
    """

    model: Any
    tokenizer: Any
    remote: bool
    again: Again
    by_site: bool
    pos: int | None = None


def with_ways(grid: PatchingGrid, asked: Asked) -> PatchingGrid:
    """Let views open from the cells of a grid."""
    if asked.remote:
        return grid._refuse_to_open(ELSEWHERE)

    def of(spot: Spot) -> Prompted:
        pairs, number = grid.partial.pairs, spot.get("prompt", 0)
        if number >= len(pairs):
            raise SelectionError(f"no prompt {number}: this grid has pairs 0 to {len(pairs) - 1}.")
        pair = pairs[number]
        compared = None if pair.noised or not pair.corrupt.ids else [*pair.corrupt.ids]
        answers = pair.answer.id, pair.wrong_answer.id
        texts = {(each.clean.ids, each.corrupt.ids) for each in pairs}  # one of many draws of noise
        said = numbered(grid.partial.story.noun, number, len(pairs)) if len(texts) > 1 else ""
        return Prompted(asked.model, asked.tokenizer, [*pair.clean.ids], compared, *answers, said)

    # Where keys and values are shared by several heads, theirs are other numbers.
    own = [panel.site for panel in grid.partial.panels if panel.site in ("k", "v") and not panel.notes]
    to_lens = lens(of) if asked.pos is None else lens(of, needs=())
    ways = pattern(of, sites=("z", "q", "pattern", *own)), to_lens, attribution(of)
    if asked.pos is not None:
        grid._everywhere = {"pos": asked.pos}
    return grid._offer(*([parts(grid, asked)] if asked.by_site else []), *ways)


def parts(grid: PatchingGrid, asked: Asked) -> Way:
    """From an activation of a grid to what it is the sum of, each patched at the same position, in all pairs."""

    def open_parts(spot: Spot) -> PatchingGrid:
        with named_in_description(asked.model, "`attention` and `mlp`, of heads `n_heads`, `qkv` and `o_proj`"):
            layers = _found(asked, _summands(spot["site"], spot["layer"]))
        by = {site: "layer" for site in layers if site in ("attn_out", "mlp_out")}
        cells = {"positions": spot["pos"], "sites": [*layers], "layers": layers, **({"by": by} if by else {})}
        opened = PatchingGrid(asked.again(cells))
        opened.pair = spot.get("prompt")  # as where it was opened from, until another one is chosen
        return with_ways(opened, replace(asked, pos=spot["pos"]))

    def all_pairs(_spot: Spot) -> str:
        count = len(grid.partial.pairs)
        return f"all {count} {grid.partial.story.noun}s" if count > 1 else ""

    needs = ("site", "layer", "pos") if asked.pos is None else ("site", "layer")
    return Way(
        "parts",
        "what wrote this activation, patched at its position: attention, MLPs and heads; of an MLP its neurons",
        "o",
        open_parts,
        needs=needs,
        sites=STREAM_SITES,
        apart=needs,
        by=("pos",),
        of=all_pairs,
    )


def _summands(site: str, layer: int) -> dict[Site, Sequence[int]]:
    """The layers of each site that is added up in an activation of the stream."""
    if site == "attn_out":
        return {"z": [layer]}
    if site == "mlp_out":
        return {"mlp_post": [layer]}
    upto = layer if site == "resid_pre" else layer + 1
    if upto == 0:
        raise SelectionError(
            "resid_pre of layer 0 is the embedding: nothing has written to it yet. Choose a later layer, or resid_post."
        )
    mlps = layer if site == "resid_mid" else upto  # its own layer's MLP reads it
    layers: dict[Site, Sequence[int]] = {"z": range(upto), "attn_out": range(upto), "mlp_out": range(mlps)}
    return {writer: numbers for writer, numbers in layers.items() if numbers}


def _found(asked: Asked, layers: Mapping[Site, Sequence[int]]) -> dict[Site, Sequence[int]]:
    """Those of some sites that the model has.

    Raises:
        SiteError: it has none.
    """
    access = resolve(open_model(asked.model, asked.tokenizer))
    there = {site: numbers for site, numbers in layers.items() if access.missing(site) is None}
    if not there:
        access.check_site([*layers][-1])
    return there
