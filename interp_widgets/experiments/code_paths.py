"""The printed lines that send one sender's change to receivers, past everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from interp_widgets.experiments.code_sites import site_lines
from interp_widgets.experiments.receivers import Receiver, Receivers
from interp_widgets.models.access import Access
from interp_widgets.results.terms import Site


@dataclass(frozen=True)
class PathLines:
    """What stands between the run that is read and the run that is measured."""

    blocks: list[str]
    """Names for the receivers' blocks."""
    runs: list[str]
    """The runs that find out what the receivers get."""
    write: list[str]
    """In the run that is measured: the receivers get it."""


@dataclass(frozen=True)
class Sender:
    """What sends, as printed lines have it."""

    site: Site
    layers: tuple[int, ...]
    write: list[str]
    """The lines that replace it."""


def path_lines(
    access: Access, receivers: Receivers, sender: Sender, trace: str, block_at: Callable[[int], str]
) -> PathLines:
    """Write how receivers get a sender's change.

    Args:
        access: the model.
        receivers: who gets it.
        sender: whose change it is.
        trace: the host's run.
        block_at: writes the block of a layer.
    """
    part = site_lines(access, "mlp_out" if sender.site == "mlp_out" else "attn_out", ":")
    change = f"({part.read(':')} - before)"
    if access.scale != 1:
        change = f"({change} * {access.scale})"
    lines = [
        f"# How much more {'the MLP' if sender.site == 'mlp_out' else 'attention'} then adds, all else as it is.",
        f"with {trace}:",
        f"    before = {part.read(':')}.clone().save()",
        f"with {trace}:",
        *(f"    {line}" for line in sender.write),
        f"    sent = {change}.save()",
    ]
    at = ":" if receivers.positions is None else str(list(receivers.positions))
    write: list[str] = []
    layers: dict[int, None] = {}
    for receiver in sorted(receivers.listed, key=lambda receiver: _stage(access, receiver)):
        layer = access.n_layers - 1 if receiver.layer is None else receiver.layer
        layers[layer] = None
        site = _site(receiver)
        place = site_lines(access, site, ":" if receiver.head is None else str(receiver.head), f"block_{layer}")
        if receiver.layer is None:
            write += place.write("-1", value=f"{place.read('-1')} + sent[:, -1]")
            continue
        name = f"{'mlp' if receiver.head is None else receiver.input}_{layer}"
        name += "" if receiver.head is None else f"_{receiver.head}"
        lines += [
            "",
            f"# What {receiver} makes of the stream with that change and no other.",
            f"with {trace}:",
            *(f"    {line}" for line in _change(access, receivers, receiver, sender, layer)),
            f"    {name} = {place.read(at)}.clone().save()",
        ]
        write += place.write(at, value=name)
    return PathLines([f"block_{layer} = {block_at(layer)}" for layer in layers], lines, write)


def _site(receiver: Receiver) -> Site:
    """Where a receiver's input is put in: an MLP's as what it makes of it, which comes to the same."""
    return cast("Site", {"mlp_in": "mlp_out", "final": "resid_post"}.get(receiver.input, receiver.input))


def _stage(access: Access, receiver: Receiver) -> tuple[int, ...]:
    """When the model comes to a receiver, since what a run changes must be named in that order."""
    layer = access.n_layers if receiver.layer is None else receiver.layer
    if receiver.head is None or access.inside.heads is None:
        return layer, 0 if access.anatomy.mlp_first else 2, 0
    layout = access.inside.heads
    first = next(number for number, path in enumerate(layout.order) if receiver.input in layout.sites_of(path))
    return layer, 1, first


def _change(access: Access, receivers: Receivers, receiver: Receiver, sender: Sender, layer: int) -> list[str]:
    """Add the change to the stream that a receiver reads, if its sender comes before it."""
    between = receiver.input == "mlp_in" and not receivers.parallel
    if between:  # its own attention adds what it does without the change
        over = f" / {access.scale}" if access.scale != 1 else ""
        attn = site_lines(access, "attn_out", ":", f"block_{layer}")
        lines = attn.write(":", value=f"{attn.read(':')} + sent{over}")
    else:
        lines = [f"block_{layer}.input = block_{layer}.input + sent"]
    same = between and sender.site != "mlp_out"
    if layer > max(sender.layers) or (same and layer == max(sender.layers)):
        return lines
    sign = ">=" if same else ">"
    return [f"if {layer} {sign} $layer:  # else the sender comes too late", *(f"    {line}" for line in lines)]
