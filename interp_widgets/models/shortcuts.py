"""Which ways of running less than the whole model leave its own logits as they are, tried on a few tokens."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import torch

from interp_widgets.models.adapted import model_class
from interp_widgets.models.prefix import Prefix
from interp_widgets.models.probe import probe_ids
from interp_widgets.results.errors import ModelError

if TYPE_CHECKING:
    from interp_widgets.models.access import Access, Runs  # which finds its shortcuts here


def probe_shortcuts(access: Access) -> tuple[bool, bool]:
    """Find out which shortcuts leave the model's own logits as they are: a growing batch, and a trimmed last MLP.

    Raises:
        ModelError: it does not, so something besides the stream runs through the model.
    """
    ids = probe_ids(access.opened.module)
    runs = access.read(ids, ())
    for grows, trims in product((True, False), (access.trims, False)):
        access.trims = trims
        try:
            logits = _resume_from(access, ids, runs, grows)
        except (RuntimeError, ValueError, IndexError):  # what torch raises where shapes do not fit
            continue
        if _agree(logits, runs.logits, runs.stream[-1].dtype):
            access.grows = grows
            return grows, trims
    raise ModelError(
        f"{model_class(access.opened.module)} does not run on from a stream alone: something else passes from its "
        "tokens or its early layers to later ones, so patches would not mean what they say. This architecture is not "
        "supported."
    )


def probe_prefix(access: Access) -> int:
    """Find out whether rows run on from cached keys and values, and return how many numbers those are: see `cached`."""
    ids = probe_ids(access.opened.module)
    first = 2  # the prompts agree before it, so both run on from the keys and values of the first
    try:
        access.cached = 1
        runs = access.read(ids, ())
        if not runs.past:  # it has nothing of the kind
            return 0
        late = replace(runs, stream=[stream[:, first:] for stream in runs.stream])
        logits = _resume_from(access.after(Prefix(runs.past, [0, 0], first)), ids[:, first:], late, access.grows)
    except Exception:  # whatever a model may say to a cache that it does not know
        return 0
    finally:
        access.cached = 0
    if not _agree(logits, runs.logits, runs.stream[-1].dtype):
        return 0
    return sum(kept.numel() for pair in runs.past.values() for kept in pair) // (ids.numel() * access.n_layers)


def _resume_from(access: Access, ids: torch.Tensor, runs: Runs, grows: bool) -> torch.Tensor:
    start, last = min(1, access.n_layers - 1), access.n_layers - 1

    def enter(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
        if arriving is None:
            return runs.stream[layer][:1] if grows and start < last else runs.stream[layer]
        joins = grows and layer == last
        return torch.cat([arriving, runs.stream[layer][1:]]) if joins else arriving

    # All on the first prompt's ids, as a sweep runs them: a model that reads its tokens again in later layers shows it.
    hosts = ids[:1] if grows else ids[:1].expand(len(ids), -1)
    return access.resume(hosts, start, enter, lambda _place: None)


def _agree(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether logits of a model of some dtype agree but for rounding."""
    if left.shape != right.shape or not torch.isfinite(right).all():
        return left.shape == right.shape
    allowed = 0.05 * float(right.std())
    if not (right.is_cuda and torch.backends.cuda.matmul.allow_tf32):  # which rounds more than its dtype says
        allowed = min(allowed, 256 * torch.finfo(dtype).eps * float(right.abs().max()))
    return float((left - right).abs().max()) <= allowed + 1e-6
