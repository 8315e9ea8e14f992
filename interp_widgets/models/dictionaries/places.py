"""Where dictionaries read and write: how wide a place is, and what other libraries call it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, SupportsIndex, get_args

from interp_widgets.models.access import Access
from interp_widgets.models.harvest import check_place
from interp_widgets.models.norms import norm_before_mlp
from interp_widgets.models.probe import submodule
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, SelectionError, unknown_name
from interp_widgets.results.terms import HEAD_SITES, SITES, Site

PlaceSite = Literal[Site, "mlp_in"]
_SITES: tuple[PlaceSite, ...] = get_args(PlaceSite)
READABLE: tuple[PlaceSite, ...] = tuple(site for site in _SITES if site != "pattern")
"""The sites where a token has one row of numbers, which can be encoded."""

_HOOKS: dict[str, PlaceSite] = {
    "hook_resid_pre": "resid_pre",
    "hook_in": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_mlp_in": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_out": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "attn.hook_q": "q",
    "attn.hook_k": "k",
    "attn.hook_v": "v",
    "attn.hook_z": "z",
    "attn.o.hook_in": "z",
    "mlp.hook_post": "mlp_post",
    "mlp.out.hook_in": "mlp_post",
    "ln2.hook_normalized": "mlp_in",
    "mlp.hook_in": "mlp_in",
}
"""What TransformerLens calls places of a block; `hook_mlp_in` is before the norm, unlike mlp_in."""

_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)[._](\d+)(?:\.(.+))?$")


@dataclass(frozen=True)
class Spot:
    """A place as another library knows it."""

    place: Place
    before_gain: bool = False
    """Whether activations are those of mlp_in before the norm's gain multiplies them."""


@dataclass(frozen=True)
class Asked:
    """Where a user says that latents are read, as far as they do."""

    site: str | None = None
    layer: int | None = None

    def place(self, what: str) -> Place:
        """Return the place that is named in full.

        Raises:
            SelectionError: it is not.
            UnknownNameError: no such site.
        """
        missing = [f"{name}=" for name in ("site", "layer") if getattr(self, name) is None]
        if missing:
            raise SelectionError(f"It is not known where {what} are read. Say it with {' and '.join(missing)}.")
        return parse_place(self.site, self.layer)

    def over(self, spot: Spot) -> Spot:
        """Return a spot that a file names, with what the user says instead."""
        site = spot.place.site if self.site is None else self.site
        place = parse_place(site, spot.place.layer if self.layer is None else self.layer)
        return replace(spot, place=place, before_gain=spot.before_gain and place.site == "mlp_in")


def parse_place(site: object, layer: object) -> Place:
    """Return the place that a user names.

    Raises:
        UnknownNameError: no site where a token's activations can be encoded.
        SelectionError: a layer that is no number.
    """
    if site not in READABLE:
        raise unknown_name("site", site, READABLE)
    if isinstance(layer, bool) or not isinstance(layer, SupportsIndex):
        raise SelectionError(f"layer={layer!r} is no layer: give its number, counted from 0.")
    return Place(site, layer.__index__())


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


def check_width(access: Access, place: Place, width: int, name: str, side: Literal["input", "output"]) -> None:
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
        f"The {side} of {name} is {width} wide, and {place} of {access.opened.name} is {there} wide. {hint}"
    )


def spot_of_hook(hook: str, access: Access, name: str) -> Spot:
    """Return the place that TransformerLens or a path of modules names, such as blocks.8.hook_resid_pre or h.3.mlp.

    A path names what its module returns, or gets if it ends in `.input`.

    Raises:
        FeatureError: it names none of the places that are known in this model.
    """
    found = _BLOCK.search(hook)
    if found is None:
        raise FeatureError(f"{name} reads {hook}, which is no place inside a layer. Say site= and layer= if it is.")
    layer, rest = int(found[1]), found[2] or "output"
    if rest in _HOOKS:
        return Spot(Place(_HOOKS[rest], layer), before_gain=rest == "ln2.hook_normalized")
    path, end = rest, "output"
    if rest in ("input", "output") or rest.endswith((".input", ".output")):
        path, _, end = rest.rpartition(".")
    check_place(access, Place("resid_post", layer))
    site = _getting(access, path) if end == "input" else _returning(access, layer, path)
    if site is None:
        raise FeatureError(
            f"{name} reads or writes {hook}, and what is there is none of the sites of {access.opened.name} "
            f"({', '.join(access.sites)}). Say site= and layer= if it is one of them."
        )
    return Spot(Place(site, layer))


def _getting(access: Access, path: str) -> PlaceSite | None:
    """Return the site of what a module of a block gets."""
    heads = access.inside.heads
    if not path:
        return "resid_pre"
    if heads is not None and path == f"{heads.where.attention}.{heads.where.out}":
        return "z"
    if path == access.inside.down:
        return "mlp_post"
    return "mlp_in" if path == access.entrance else None


def _returning(access: Access, layer: int, path: str) -> PlaceSite | None:
    """Return the site of what a module of a block returns."""
    parts, block = access.anatomy.parts, access.anatomy.blocks[layer]
    if not path:
        return "resid_post"
    if parts is not None and path in (parts.attn, parts.mlp):
        return "attn_out" if path == parts.attn else "mlp_out"
    module = submodule(block, path)
    if module is None or not access.entrance:
        return None
    return "mlp_in" if module is norm_before_mlp(access, layer) else None


def names_layer(name: str) -> int | None:
    """Return the layer that TransformerLens' name of a place or a path of modules is about, None if it is neither."""
    found = _BLOCK.search(name)
    return int(found[1]) if found else None


def spot_or_asked(hook: str | None, access: Access, asked: Asked, name: str) -> Spot:
    """Return where latents are read: where the user says, as far as they do, else where the file says.

    Raises:
        SelectionError: neither does.
        FeatureError: the file names a place that is not known, and the user none.
    """
    in_full = asked.site is not None and asked.layer is not None
    if hook is None or (in_full and asked.site != "mlp_in"):
        return Spot(asked.place(name))
    return asked.over(spot_of_hook(hook, access, name))


def writes_of(reads: Place, hook: str | None, access: Access, name: str) -> Place:
    """Return where a transcoder writes: what its file says, or what the MLP adds."""
    return Place("mlp_out", reads.layer) if hook is None else spot_of_hook(hook, access, name).place
