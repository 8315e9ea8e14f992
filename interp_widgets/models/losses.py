"""How well a model predicts the tokens of texts, as it is and with something else at one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.adapted import Adapted
from interp_widgets.models.guard import exclusive
from interp_widgets.models.harvest import check_place, read_site
from interp_widgets.models.layer import Layer
from interp_widgets.models.probe import logits_of
from interp_widgets.results.dictionary import Place
from interp_widgets.results.terms import HEAD_SITES

_CHUNK = 1 << 24
"""Most logits that are held as float32 at once."""
_BATCH = 1 << 27
"""Most logits that one run hands over, unless a single text has more."""


@dataclass(frozen=True)
class Replacement:
    """What to put at a place, given what is there and what is at another place, or the same, that is read before."""

    reads: Place
    writes: Place
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Gets what is at both places, each (row, position, d), float32, and returns what to put at the second."""


def predicts_tokens(access: Access) -> bool:
    """Whether the model predicts, at each position, the token that comes next."""
    module = access.opened.module
    if not isinstance(module, Adapted):
        return True
    return module.reads_last and module.description.causal and module.n_answers == access.n_vocab


def token_losses(access: Access, ids: torch.Tensor, replacement: Replacement | None = None) -> float:
    """Return the sum of the cross-entropies, in nats, of all tokens of texts but the first of each.

    Args:
        access: a model that predicts tokens; of another, the run is made and the sum is NaN.
        ids: texts, (row, position). They are run a few at a time where their logits would take much memory.
        replacement: what to put at a place on the way.

    Raises:
        SiteError: a place that the architecture lacks.
        SelectionError: there is no such layer.
    """
    if replacement is not None:
        check_place(access, replacement.reads)
        check_place(access, replacement.writes)
    at_once = max(1, _BATCH // (ids.shape[1] * access.n_vocab))
    return sum(_run(access, part, replacement) for part in torch.split(ids.to(access.opened.device), at_once))


def _run(access: Access, ids: torch.Tensor, replacement: Replacement | None) -> float:
    found: list[torch.Tensor] = []
    counts = predicts_tokens(access)
    # Without `logits_to_keep`, since every position counts.
    with exclusive(access.opened.module), access.model.trace(input_ids=ids, use_cache=False):
        if replacement is not None:
            _put(access, replacement)
        logits = _logits(access)
        found.append(_summed(logits, ids) if counts else logits.new_full((), torch.nan))
    return float(found[0])


def _put(access: Access, replacement: Replacement) -> None:
    reads, writes = replacement.reads, replacement.writes
    layer = access.layers[writes.layer]
    if reads == writes:
        _write(layer, writes, layer.block.input, lambda there: replacement.change(there, there))
        return
    before = access.layers[reads.layer]
    stream = before.block.input
    read = read_site(before, reads.site, stream).float()
    if writes.layer != reads.layer:
        stream = layer.block.input
    _write(layer, writes, stream, lambda there: replacement.change(read, there))


def _write(layer: Layer, place: Place, stream: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def changed(there: torch.Tensor) -> torch.Tensor:
        flat = there.flatten(2) if place.site in HEAD_SITES else there
        return change(flat.float()).to(there.dtype).reshape(there.shape)

    if place.site == "resid_pre":
        layer.block.input = changed(stream)
    elif place.site == "mlp_in" and layer.enters is not None:
        entering = layer.enters.input
        layer.enters.input = changed(entering.reshape(*stream.shape[:2], -1)).reshape(entering.shape)
    elif place.site != "mlp_in":
        layer.write({place.site: changed}, stream)


def _logits(access: Access) -> torch.Tensor:
    """All positions' logits, of which an adapted model would hand over one."""
    module: Any = access.opened.module
    if isinstance(module, Adapted):
        return module.logits_in(access.envoy_of(module.net).output)
    return logits_of(access.model.output)


def _summed(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    rows, length, width = logits.shape
    total = torch.zeros((), dtype=torch.float64)
    step = max(1, _CHUNK // (rows * width))
    for first in range(0, length - 1, step):
        last = min(first + step, length - 1)
        predicted = logits[:, first:last].float().flatten(0, 1)
        targets = ids[:, first + 1 : last + 1].flatten().to(predicted.device)
        total += nn.functional.cross_entropy(predicted, targets, reduction="sum").double().cpu()
    return total
