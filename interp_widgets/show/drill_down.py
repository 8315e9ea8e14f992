"""What opens from places of a view: the same model and the same prompts, asked more closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from interp_widgets.results.errors import SelectionError
from interp_widgets.results.terms import STREAM_SITES
from interp_widgets.show.attention import show_attention
from interp_widgets.show.attribution import show_attribution
from interp_widgets.show.lens import show_lens
from interp_widgets.views._strips import Steps
from interp_widgets.views._view import View
from interp_widgets.views._way import Way
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
        pos: the position that its cells are of, where they do not say it.
    """

    model: Any
    tokenizer: Any
    remote: bool
    again: Again
    by_site: bool
    pos: int | None = None


@dataclass(frozen=True)
class Prompted:
    """A model and what it is given: a prompt, perhaps one to compare it with, and two answers to it."""

    model: Any
    tokenizer: Any
    clean: list[int]
    corrupt: list[int] | None
    answer: int
    wrong_answer: int


Of: TypeAlias = Callable[[Spot], Prompted]
"""Finds the prompts that a place is in."""


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
    ways = pattern(of, ("z", "q", "pattern", *own)), to_lens, attribution(of)
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


def pattern(of: Of, sites: tuple[str, ...]) -> Way:
    """From a head to where it looks."""

    def open_pattern(spot: Spot) -> View:
        asked = of(spot)
        view = show_attention(asked.model, asked.clean, corrupt=asked.corrupt, tokenizer=asked.tokenizer)
        return view._offer(lens(of), attribution(of))

    return Way(
        "pattern",
        "where this head looks: its attention pattern, with those of all heads beside it",
        "t",
        open_pattern,
        needs=("layer", "head"),
        sites=sites,
        apart=("prompt",),
        by=("layer", "head", "pos"),
    )


def lens(of: Of, *, needs: tuple[str, ...] = ("pos",)) -> Way:
    """From a token to what the model would say there after each layer."""

    def open_lens(spot: Spot) -> View:
        asked = of(spot)
        answers = [asked.answer, asked.wrong_answer]
        view = show_lens(asked.model, asked.clean, answers, corrupt=asked.corrupt, tokenizer=asked.tokenizer)
        return view._offer(attribution(of))

    return Way(
        "lens",
        "what the model would say at this token after each layer",
        "l",
        open_lens,
        needs=needs,
        apart=("prompt",),
        by=("site", "layer", "pos"),
    )


def attribution(of: Of) -> Way:
    """From a component to what it and all others add to the answer."""

    def open_attribution(spot: Spot) -> View:
        asked = of(spot)
        view = show_attribution(asked.model, asked.clean, asked.answer, asked.wrong_answer, tokenizer=asked.tokenizer)
        return view._offer(lens(of))

    return Way(
        "attribution",
        "what this component and all others add to the answer by themselves",
        "a",
        open_attribution,
        needs=("layer",),
        apart=("prompt",),
        by=("site", "layer", "head"),
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
