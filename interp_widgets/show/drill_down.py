"""What opens from places of a view: the same model and the same prompts, asked more closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from interp_widgets.results.errors import SelectionError
from interp_widgets.results.terms import STREAM_SITES
from interp_widgets.show.readers import ELSEWHERE, Prompted, attribution, lens, pattern
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
        return Prompted(asked.model, asked.tokenizer, [*pair.clean.ids], compared, *answers)

    # Where keys and values are shared by several heads, theirs are other numbers.
    own = [panel.site for panel in grid.partial.panels if panel.site in ("k", "v") and not panel.notes]
    to_lens = lens(of) if asked.pos is None else lens(of, needs=())
    ways = pattern(of, sites=("z", "q", "pattern", *own)), to_lens, attribution(of)
    if asked.pos is not None:
        grid._everywhere = {"pos": asked.pos}
    return grid._offer(*([parts(asked)] if asked.by_site else []), *ways)


def parts(asked: Asked) -> Way:
    """From an activation to what it is the sum of, each patched at the same position."""

    def open_parts(spot: Spot) -> PatchingGrid:
        cells = {"positions": spot["pos"], **_summands(spot["site"], spot["layer"])}
        return with_ways(PatchingGrid(asked.again(cells)), replace(asked, pos=spot["pos"]))

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
    )


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
    sites = ["z", "attn_out", "mlp_out"]
    layers = dict.fromkeys(sites, range(upto))
    if site == "resid_mid":  # its own layer's MLP reads it
        layers["mlp_out"] = range(layer)
    sites = [writer for writer in sites if layers[writer]]
    layers = {writer: layers[writer] for writer in sites}
    return {"sites": sites, "layers": layers, "by": {writer: "layer" for writer in sites if writer != "z"}}
