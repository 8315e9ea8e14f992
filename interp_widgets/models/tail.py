"""What a model says of any stream: its own last norm and unembedding, run on streams in place of the last one.

Nothing of them is written again here, so that whatever a family does behind its blocks is done: norms of any kind, a
projection to a narrower unembedding, a scale, a cap.
"""

from __future__ import annotations

import torch

from interp_widgets.models.access import Access, Write
from interp_widgets.models.adapted import model_class
from interp_widgets.results.errors import ModelError
from interp_widgets.results.terms import Site


def tail(access: Access, ids: torch.Tensor, streams: torch.Tensor, *, gradients: bool = False) -> torch.Tensor:
    """Return what the model would say if each of some streams left its last block.

    Args:
        access: the model.
        ids: a prompt, (position,).
        streams: (row, d_model).
        gradients: whether logits keep the graph of how they came about; not behind edits that a user stored.

    Returns:
        float32 logits, (row, d_vocab).
    """
    if access.edited:
        return _behind_edits(access, ids, streams)
    # Behind the blocks positions have nothing to do with each other: each stream is a prompt of one token of its own.
    rows = ids[-1:].expand(len(streams), 1)
    return access.resume(
        rows, access.n_layers, lambda _layer, _arriving: streams[:, None], lambda _place: None, gradients=gradients
    )


def check_tail(access: Access, ids: torch.Tensor, stream: torch.Tensor, logits: torch.Tensor) -> None:
    """Check that the tail makes the model's own logits of its own last stream.

    Args:
        access: the model.
        ids: a prompt, (position,).
        stream: (d_model,): what leaves the last block at the last position.
        logits: (d_vocab,): what the model says there.

    Raises:
        ModelError: it does not, or the model says something at one position only, whichever its prompt has.
    """
    name = model_class(access.opened.module)
    if not access.reads_last:
        raise ModelError(
            f"{name} does not predict something at each position: its logits do not come from the last position alone, "
            "so its stream at one position says nothing by itself."
        )
    made = tail(access, ids, stream[None])[0].to(logits.device)
    allowed = max(1e-4, 32 * torch.finfo(stream.dtype).eps) * float(logits.abs().max())
    if float((made - logits).abs().max()) > allowed:
        raise ModelError(
            f"What {name} says of its last stream alone is not what it says of the prompt: something else passes from "
            "its tokens or its early layers to its logits. It cannot be read with a lens."
        )


def _behind_edits(access: Access, ids: torch.Tensor, streams: torch.Tensor) -> torch.Tensor:
    """Run the whole prompt for each stream, since edits that a user stored need every block to run."""
    last: tuple[Site, int] = ("resid_post", access.n_layers - 1)

    def put(arriving: torch.Tensor) -> torch.Tensor:
        return torch.cat([arriving[:, :-1], streams[:, None].to(arriving)], dim=1)

    def write(place: tuple[Site, int]) -> Write | None:
        return put if place == last else None

    return access.run(ids.expand(len(streams), -1), write)
