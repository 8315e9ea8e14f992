"""Activations of many texts at some layers and positions, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.models.access import Access
from interp_widgets.models.finite import check_finite
from interp_widgets.models.memory import out_of_memory, release
from interp_widgets.models.texts import Batch, Window, batches
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import NonFiniteError
from interp_widgets.results.probe import Examples

_TOKENS = 4096
"""Tokens of a batch, whose streams are held at all layers until the next."""

Gathered = NDArray[np.float32]
"""(column, example, d): what a probe reads at one place."""


@torch.no_grad()
def gather(
    access: Access, examples: Examples, places: Sequence[Place], positions: Sequence[int | None]
) -> Iterator[tuple[int, list[Gathered] | None]]:
    """Read activations at places, each text once.

    Args:
        access: the model.
        examples: whole texts or tokens.
        places: where in the model.
        positions: where in a text; None for its mean, or for the token that an example is.

    Yields:
        How many texts a batch had; at the end 0 and the activations at each place.

    Raises:
        NonFiniteError: NaN or infinity, with the layer where it appears.
    """
    windows = [Window(number, text.ids, 0, 0, len(text)) for number, text in enumerate(examples.texts)]
    found: list[Gathered] = []
    for whole in batches(windows, _TOKENS, causal=access.causal):
        pending = [whole]
        while pending:
            batch = pending.pop()
            try:
                parts = _read(access, batch, examples, places, positions)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not out_of_memory(error) or len(batch.windows) == 1:
                    raise
                release(error)
                pending += batch.halves()[::-1]
                continue
            if not found:
                shape = len(positions), len(examples)
                found = [np.empty((*shape, part.shape[-1]), np.float32) for _, part in parts]
            for there, (rows, part) in zip(found, parts, strict=True):
                there[:, rows] = part
            yield len(batch.windows), None
    yield 0, found


def _read(
    access: Access, batch: Batch, examples: Examples, places: Sequence[Place], positions: Sequence[int | None]
) -> list[tuple[NDArray[np.int64], Gathered]]:
    """Return for each place the examples of a batch and their activations, (column, example, d)."""
    opened = access.opened
    sites = [place.site for place in places if place.site != "mlp_in"]
    runs = access.read(batch.ids.to(opened.device), sites)
    check_finite(runs.stream, None, opened.name, opened.dtype)
    row_of = {window.document: row for row, window in enumerate(batch.windows)}
    chosen = np.flatnonzero(np.isin(examples.text, list(row_of)))
    rows = torch.tensor([row_of[text] for text in examples.text[chosen].tolist()])
    lengths = torch.tensor([len(window.ids) for window in batch.windows])[rows]
    parts = []
    for place in places:
        assert place.site != "mlp_in"
        there = runs.site(place.site, place.layer)
        there = (there.flatten(2) if there.ndim > 3 else there).float()
        columns = [_at(there, rows, lengths, examples, chosen, batch, position) for position in positions]
        part = torch.stack(columns).cpu().numpy()
        if not np.isfinite(part).all():
            raise NonFiniteError(f"{opened.name} gives NaN or infinity at {place}, though its stream is finite.")
        parts.append((chosen, part))
    return parts


def _at(
    there: torch.Tensor,
    rows: torch.Tensor,
    lengths: torch.Tensor,
    examples: Examples,
    chosen: NDArray[np.int64],
    batch: Batch,
    position: int | None,
) -> torch.Tensor:
    """Return what is at a position of each example, (example, d)."""
    if position is not None:
        return there[rows, lengths + position if position < 0 else torch.full_like(rows, position)]
    if examples.per_token:
        return there[rows, torch.from_numpy(examples.position[chosen].astype(np.int64))]
    inside = batch.taken.to(there.device)[..., None]
    means = (there * inside).sum(1) / inside.sum(1)
    return means[rows]
