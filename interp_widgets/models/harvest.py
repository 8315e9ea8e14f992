"""Read places of a model on many texts, running no more of the model than that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.adapted import model_class
from interp_widgets.models.guard import exclusive
from interp_widgets.models.layer import Layer
from interp_widgets.models.probe import first_tensor
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import SelectionError, SiteError
from interp_widgets.results.terms import HEAD_SITES, Site

T = TypeVar("T")


def check_place(access: Access, place: Place) -> None:
    """Refuse a place that the model does not have.

    Raises:
        SiteError: the architecture lacks the site.
        SelectionError: there is no such layer.
    """
    if not 0 <= place.layer < access.n_layers:
        raise SelectionError(
            f"There is no layer {place.layer}: {access.opened.name} has layers 0 to {access.n_layers - 1}."
        )
    if place.site != "mlp_in":
        access.check_site(place.site)
    elif not access.entrance:
        raise SiteError(
            f"mlp_in does not exist in {model_class(access.opened.module)}: its blocks have no MLP, or no module was "
            "found that gets what the MLP gets."
        )


def harvest(access: Access, ids: torch.Tensor, place: Place, use: Callable[[torch.Tensor], T]) -> T:
    """Run prompts as far as a place, and hand what is there to `use` inside the trace.

    Args:
        access: the model.
        ids: (row, position). Rows may be padded on the right where the model is causal: what comes after a token does
            not change it.
        place: the layers after it do not run.
        use: gets the activations, (row, position, d), float32, with the heads of `z` side by side; what it returns is
            returned.

    Raises:
        SiteError: the architecture lacks the site.
        SelectionError: there is no such layer.
    """
    return harvest_layers(access, ids, [place], lambda _number, there: use(there))[0]


def harvest_layers(
    access: Access, ids: torch.Tensor, places: Sequence[Place], use: Callable[[int, torch.Tensor], T]
) -> list[T]:
    """Run prompts once as far as the last of some places, and hand what is at each to `use` inside the trace.

    Args:
        access: the model.
        ids: as for `harvest`.
        places: one or more, each in a later layer than the one before.
        use: gets the number of a place and its activations, as for `harvest`. What it returns is returned, for each.

    Raises:
        SiteError: the architecture lacks a site.
        SelectionError: there is no such layer.
    """
    for place in places:
        check_place(access, place)
    found: list[T] = []
    ids = ids.to(access.opened.device)
    with exclusive(access.opened.module), access.model.trace(input_ids=ids, **access.options()) as tracer:
        for number, place in enumerate(places):
            layer = access.layers[place.layer]
            found.append(use(number, read_site(layer, place.site, layer.block.input).float()))
        tracer.stop()
    return found


def read_site(layer: Layer, site: Site | Literal["mlp_in"], stream: torch.Tensor) -> torch.Tensor:
    """Return what is at a site of the layer that `stream` enters, inside a trace, (row, position, d)."""
    if site == "resid_pre":
        return stream
    if site == "mlp_in":
        entering: torch.Tensor = layer.enters.input  # type: ignore[union-attr]  # `check_place` has seen to it
        return entering.reshape(*stream.shape[:2], -1)
    stream = stream.clone()  # some blocks go on to add into it
    if site == "resid_post":
        leaving: torch.Tensor = first_tensor(layer.block.output)
        return leaving
    if site == "resid_mid":
        return stream + layer.read({"attn_out"}, stream)["attn_out"]
    there = layer.read({site}, stream)[site]
    return there.flatten(2) if site in HEAD_SITES else there
