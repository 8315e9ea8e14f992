"""Where dictionaries read and write: how wide a place is, and what other libraries call it."""

from __future__ import annotations

from typing import Literal, get_args

from interp_widgets.models.access import Access
from interp_widgets.models.harvest import check_place
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, SelectionError, unknown_name
from interp_widgets.results.terms import HEAD_SITES, SITES, Site

PlaceSite = Literal[Site, "mlp_in"]
_SITES: tuple[PlaceSite, ...] = get_args(PlaceSite)
READABLE: tuple[PlaceSite, ...] = tuple(site for site in _SITES if site != "pattern")
"""The sites where a token has one row of numbers, which can be encoded."""


def parse_place(site: object, layer: object) -> Place:
    """Return the place that a user names.

    Raises:
        UnknownNameError: no site where a token's activations can be encoded.
        SelectionError: a layer that is no number.
    """
    if site not in READABLE:
        raise unknown_name("site", site, READABLE)
    if isinstance(layer, bool) or not isinstance(layer, int):
        raise SelectionError(f"layer={layer!r} is no layer: give its number, counted from 0.")
    return Place(site, layer)


def width_of(access: Access, place: Place) -> int:
    """Return how many numbers a token has at a place of the model.

    Raises:
        SiteError: the architecture lacks the site.
        SelectionError: there is no such layer.
    """
    check_place(access, place)
    site = place.site
    if site in HEAD_SITES:
        return access.head_count(site) * (access.d_head or 0)
    if site == "mlp_post":
        return access.d_mlp or 0
    return int(access.opened.config.hidden_size)


def check_width(access: Access, place: Place, width: int, name: str, does: Literal["reads", "writes"]) -> None:
    """Refuse a dictionary that is not as wide as the place that it reads or writes.

    Raises:
        FeatureError: with both widths, and the sites that are as wide as it.
        SiteError: the architecture lacks the site.
        SelectionError: there is no such layer.
    """
    there = width_of(access, place)
    if width == there:
        return
    sites = [site for site in SITES if site != "pattern" and access.missing(site) is None]
    fitting = [site for site in sites if width_of(access, Place(site, place.layer)) == width]
    hint = (
        f"As wide in this model: {', '.join(fitting)}; say which with site=."
        if fitting
        else "No site of this model is as wide: these latents belong to another model."
    )
    raise FeatureError(
        f"{name} {does} activations {width} wide, and {place} of {access.opened.name} is {there} wide. {hint}"
    )
