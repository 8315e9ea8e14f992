"""QK and OV circuits of heads as a live view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.experiments.head_circuits import head_circuits
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.views.head_circuits import HeadCircuitView, Steps

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


def show_head_circuits(
    model: ModelLike,
    tokens: Prompts,
    layer: int | None = None,
    head: int | None = None,
    *,
    layers: Sequence[int] | int | None = None,
    offset: int = 1,
    copying: bool = True,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> HeadCircuitView:
    """Show which token each head attends to from which, and what attending to it promotes, by weights alone.

    Arguments beside these are those of `run_head_circuits`, which returns the numbers without a view. They are checked
    before the call returns; layers then fill in while other cells run. `view.result` waits for the whole.

    Args:
        model: as for `run_head_circuits`.
        tokens: as for `run_head_circuits`.
        layer: with `head`, the head that is large; without them the one that copies most.
        head: likewise.

    Returns:
        The view. `view.vocabulary()`, or its button, looks through the whole vocabulary for the strongest entries of
        the head that is shown, while other cells run. `view.code()` has the lines that compute both of its maps.

    Raises:
        InterpWidgetsError: see `run_head_circuits`.

    Example:
        >>> from interp_widgets import show_head_circuits, teaching
        >>> view = show_head_circuits(teaching.load(), " Mary John Tom", layer=3, head=1, layers=3)
        >>> view.selected
        {'layer': 3, 'head': 1, 'token': None}
        >>> view.result.qk.shape == view.result.ov.shape
        True
    """
    steps = head_circuits(
        model, tokens, layers=layers, offset=offset, copying=copying, tokenizer=tokenizer, remote=remote
    )

    def look(layer: int, head: int) -> Steps:
        return head_circuits(
            model,
            tokens,
            layers=layer,
            offset=offset,
            copying=False,
            vocabulary=(layer, head),
            tokenizer=tokenizer,
            remote=remote,
        )

    view = HeadCircuitView(steps, look=look)
    if layer is not None or head is not None:
        view.selected = {"layer": layer, "head": head, "token": None}
    return view
