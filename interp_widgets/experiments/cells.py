"""Which cells a grid has, and which activation each of them replaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interp_widgets.models.access import Access
from interp_widgets.results.errors import SelectionError, SiteError
from interp_widgets.results.panel import Columns, Latent, Line, Panel
from interp_widgets.results.terms import HEAD_SITES, NEURON_SITES, Site

Span = tuple[int, int]
"""First position and one past the last."""


@dataclass(frozen=True)
class Target:
    """The activation that a cell replaces, in one site of a layer or of a window of layers."""

    site: Site
    layers: tuple[int, ...]
    positions: tuple[int, ...] | None
    """Positions in the host's prompt; None for all of them."""
    sources: tuple[int, ...] | None
    """The positions of the donor's prompt that they are taken from."""
    unit: int | None = None
    """The head or neuron; None for all of them."""
    latent: Latent | None = None
    """The latent whose part in the activation is replaced; None for the whole of it."""


@dataclass(frozen=True)
class Roles:
    """Named places of one pair's prompts: role to span, on both sides."""

    host: Mapping[str, Span]
    donor: Mapping[str, Span]


@dataclass(frozen=True)
class Cells:
    """What is asked of a grid: its panels, and the positions that its cells are about."""

    panels: tuple[Panel, ...]
    positions: tuple[int, ...] | None
    """Positions that were chosen; None for all."""
    roles: tuple[Roles, ...]
    """For each pair, where columns are roles."""
    window: int
    """How many layers are replaced together around the layer of a cell."""
    n_layers: int

    @property
    def settings(self) -> dict[str, str]:
        """What a result says of its cells besides what its panels do."""
        said = {}
        if self.window > 1:
            said["window"] = f"{self.window} layers around the one of a cell, clipped at both ends"
        if self.positions is not None and any(panel.columns in ("head", "neuron", "layer") for panel in self.panels):
            said["positions"] = ", ".join(map(str, self.positions))
        return said

    def asked(self, length: int) -> NDArray[np.bool_]:
        """Return which cells are to be computed, (panel, row, column), padded to the largest panel."""
        widths = [panel.width(length) for panel in self.panels]
        mask = np.zeros((len(self.panels), max(len(panel.lines) for panel in self.panels), max(widths)), dtype=bool)
        for number, (panel, width) in enumerate(zip(self.panels, widths, strict=True)):
            columns = self.positions if panel.columns == "pos" and self.positions is not None else range(width)
            mask[number, : len(panel.lines), list(columns)] = True
        return mask

    def target(self, pair: int, number: int, row: int, column: int) -> Target:
        """Return what a cell of panel `number` replaces in the runs of a pair."""
        panel = self.panels[number]
        line = panel.lines[row]
        positions = sources = self.positions
        unit = line.head
        if panel.columns == "pos":
            positions = sources = (column,)
        elif panel.columns == "role":
            roles, name = self.roles[pair], panel.labels[column]
            positions, sources = (tuple(range(*spans[name])) for spans in (roles.host, roles.donor))
        elif panel.columns != "layer":
            unit = int(panel.labels[column])
        return Target(panel.site, self._window(line.layer), positions, sources, unit, line.latent)

    def places(self) -> set[tuple[Site, int]]:
        """Return every site of a layer that a cell replaces something in."""
        return {
            (panel.site, layer) for panel in self.panels for center in panel.layers for layer in self._window(center)
        }

    def _window(self, layer: int) -> tuple[int, ...]:
        """The layers of a window, clipped at both ends; an even one reaches further down, as in ROME's code."""
        first = layer - self.window // 2
        return tuple(range(max(0, first), min(self.n_layers, first + self.window)))


def plan_panels(
    access: Access,
    sites: Sequence[Site],
    layers: Sequence[int],
    *,
    by: Columns | None,
    heads: Sequence[int] | None,
    neurons: Sequence[int] | None,
    roles: Sequence[str],
) -> tuple[Panel, ...]:
    """Lay out one panel for each site.

    Args:
        access: the model.
        sites: the sites, which it has.
        layers: the layers of the rows.
        by: what columns are; by default positions for the stream's sites (roles where some are given), heads or
            neurons for sites that have them.
        heads: heads to patch; all by default.
        neurons: neurons to patch; all by default.
        roles: names of the roles that pairs share.

    Raises:
        SiteError: a site without the columns that are asked for.
        SelectionError: heads or neurons that do not exist.
    """
    return tuple(_panel(access, site, layers, by, heads, neurons, roles) for site in sites)


def _panel(
    access: Access,
    site: Site,
    layers: Sequence[int],
    by: Columns | None,
    heads: Sequence[int] | None,
    neurons: Sequence[int] | None,
    roles: Sequence[str],
) -> Panel:
    has_heads, has_neurons = site in HEAD_SITES, site in NEURON_SITES
    own: Columns = "head" if has_heads else "neuron" if has_neurons else "role" if roles else "pos"
    columns = by or own
    if (columns == "head" and not has_heads) or (columns == "neuron" and not has_neurons):
        raise SiteError(
            f"by={columns!r} needs a site that has {columns}s, and {site} has none. "
            f"Leave `by` out, or use {' or '.join(HEAD_SITES if columns == 'head' else NEURON_SITES)}."
        )
    if columns == "role" and not roles:
        raise SelectionError("by='role' needs `roles=`: for each pair, its roles with their spans of positions.")
    units: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    if has_heads:
        units = _chosen(heads, access.head_count(site), "heads", site)
        notes = _sharing(access, site, units)
    elif has_neurons:
        units = _chosen(neurons, access.d_mlp or 0, "neurons", site)
    if columns == own and columns in ("head", "neuron"):
        return Panel(site, tuple(map(Line, layers)), columns, tuple(map(str, units)), notes)
    lines = tuple(Line(layer, head) for layer in layers for head in units) if has_heads else tuple(map(Line, layers))
    if has_neurons and columns != "layer":
        raise SiteError(f"{site} is patched by neuron, or by='layer' for all of them; by={columns!r} is not possible.")
    if columns == "layer":
        return Panel(site, tuple(map(Line, layers)), columns, ("all positions",))
    return Panel(site, lines, columns, tuple(roles) if columns == "role" else ())


def _chosen(chosen: Sequence[int] | None, size: int, name: str, site: Site) -> tuple[int, ...]:
    if chosen is None:
        return tuple(range(size))
    if not chosen:
        raise SelectionError(f"{name} is empty. Leave it out for all {size}, or name at least one.")
    wrong = next((number for number in chosen if not -size <= number < size), None)
    if wrong is not None:
        raise SelectionError(f"{name} holds {wrong!r}, but those of {site} run from 0 to {size - 1}.")
    return tuple(sorted({number % size for number in chosen}))


def _sharing(access: Access, site: Site, heads: Sequence[int]) -> tuple[str, ...]:
    """Say of each key-value head which query heads share it, where several do."""
    if site not in ("k", "v") or access.n_kv_heads == access.n_heads:
        return ()
    shared = [access.shared_by(head) for head in heads]
    return tuple(f"key-value head, shared by query heads {', '.join(map(str, queries))}" for queries in shared)
