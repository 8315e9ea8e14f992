"""Run one block alone on given streams, to see what it would make of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from interp_widgets.models.access import Access, Write
from interp_widgets.models.guard import exclusive
from interp_widgets.results.terms import Site


def branch(
    access: Access,
    layer: int,
    ids: torch.Tensor,
    stream: torch.Tensor,
    sites: Collection[Site],
    changes: Mapping[Site, Write] | None = None,
) -> dict[Site, torch.Tensor]:
    """Run one block on given streams and return what is at some sites inside it.

    No other block is run, unless there are edits stored on the model, which need them all.

    Args:
        access: the model.
        layer: the block to run.
        ids: one prompt, (1, position), which gives the positions.
        stream: what enters the block, (row, position, d_model).
        sites: what to return, each as `Runs.site` does: no resid site, and none that the block computes before one
            that is changed.
        changes: what to write on the way, by site; resid_mid, but not resid_pre or resid_post.

    Raises:
        SiteError: a site that the architecture does not have.
    """
    changes = changes or {}
    for site in (*sites, *changes):
        access.check_site(site)  # before the trace, since looking for heads runs the model
    found: dict[Site, torch.Tensor] = {}
    rows = ids.expand(len(stream), -1)
    with exclusive(access.opened.module), access.model.trace(input_ids=rows, **access.options()) as tracer:
        if not access.edited:
            for number in range(layer):
                access.blocks[number].skip(access.block_output(stream))
        place = access.layers[layer]
        place.block.input = stream
        place.write(changes, stream)
        found |= place.read(sites, stream)
        if not access.edited:  # edits of later layers would wait in vain
            tracer.stop()
    return found
