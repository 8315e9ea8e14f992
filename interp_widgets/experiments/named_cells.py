"""Activations by the names that people and views give them: {"site": "z", "layer": 9, "head": 6}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from interp_widgets.experiments.cells import Target
from interp_widgets.models.access import Access
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.terms import HEAD_SITES, NEURON_SITES, STREAM_SITES, parse_site

CellName: TypeAlias = "Mapping[str, Any]"
"""Site and layer, where it has them the head or neuron, and a position if not all are meant."""

_KEYS = ("site", "layer", "head", "neuron", "pos")


def parse_cells(cells: Iterable[CellName], what: str, access: Access, length: int | None) -> tuple[Target, ...]:
    """Return what cells name, each once; `what` is what a message calls them.

    They may be at single positions of prompts of `length` tokens; at none where that is None.

    Raises:
        SelectionError: no cells, or a cell that does not exist.
        SiteError: a site that the architecture does not have.
        UnknownNameError: a site that does not exist.
    """
    if isinstance(cells, (str, Mapping)) or not isinstance(cells, Iterable):
        raise SelectionError(
            f"{what} is {kind_of(cells)}. Pass a list of cells, such as [{{'site': 'z', 'layer': 9, 'head': 6}}]."
        )
    return tuple(dict.fromkeys(_parsed(cell, what, access, length) for cell in cells))


def _parsed(cell: object, what: str, access: Access, length: int | None) -> Target:
    if not isinstance(cell, Mapping) or not {"site", "layer"} <= set(cell) <= set(_KEYS):
        raise SelectionError(
            f"{what} holds {cell!r}. A cell is a dictionary with its site and layer, where it has them head or neuron, "
            "and pos if not all positions are meant: {'site': 'z', 'layer': 9, 'head': 6}."
        )
    site = parse_site(cell["site"])
    access.check_site(site)
    if "pos" in cell and length is None:
        raise SelectionError(
            f"{what} holds {dict(cell)!r}, but a head or MLP is in or out at all positions together, so that `pos` "
            "says nothing here. Leave it out; run_group_patching takes cells at single positions."
        )
    sizes = {"layer": access.n_layers, "pos": length or 0}
    if site in HEAD_SITES:
        sizes["head"] = access.head_count(site)
    elif site in NEURON_SITES:
        sizes["neuron"] = access.d_mlp or 0
    numbers: dict[str, int] = {}
    for name in (name for name in _KEYS[1:] if name in cell):
        if name not in sizes:
            raise SelectionError(f"{what} holds {dict(cell)!r}, but {site} has no {name}s. Leave it out.")
        number = as_plain(cell[name])
        if not is_whole(number) or not -sizes[name] <= number < sizes[name]:
            raise SelectionError(f"{what} holds {dict(cell)!r}, but {name} of {site} runs from 0 to {sizes[name] - 1}.")
        numbers[name] = int(number) % sizes[name]
    at = (numbers["pos"],) if "pos" in numbers else None
    return Target(site, (numbers["layer"],), at, at, numbers.get("head", numbers.get("neuron")))


def cell_name(target: Target) -> dict[str, Any]:
    """Return the name of what a target replaces in one layer."""
    name: dict[str, Any] = {"site": target.site, "layer": target.layers[0]}
    if target.unit is not None and target.site not in STREAM_SITES:
        name["head" if target.site in HEAD_SITES else "neuron"] = target.unit
    return name | ({"pos": target.positions[0]} if target.positions else {})
