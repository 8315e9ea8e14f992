"""One line for each experiment: start it, and open its view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.patching import patching
from interp_widgets.models.answers import Answers
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.terms import Direction, Site
from interp_widgets.views.patching_grid import PatchingGrid

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


def show_patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    *,
    answer: Answers = None,
    wrong_answer: Answers = None,
    sites: Site | Sequence[Site] = ("resid_pre",),
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> PatchingGrid:
    """Show which activations cause the model's answer, as a live grid of layers by tokens.

    The arguments are those of `run_patching`, which returns the numbers without a view. Prompts and names are checked
    and both runs are made before the call returns, so that errors are raised here; rows then fill in while other cells
    run. `view.result` waits for the whole, `view.job.cancel()` stops and keeps what is there. With `remote` the call
    returns when the server has read the prompts; until then nnsight's status line shows the job's place in the queue.

    Returns:
        The view. Colour is the effect: 0 is the host run unchanged, 1 the other run in full.

    Raises:
        InterpWidgetsError: see `run_patching`.

    Example:
        >>> from interp_widgets import show_patching, teaching
        >>> clean = "When Mary and John went to the store, John gave a drink to"
        >>> corrupt = "When Mary and John went to the store, Mary gave a drink to"
        >>> view = show_patching(teaching.load(), clean, corrupt)
        >>> view.selected = {"site": "resid_pre", "layer": 0, "pos": view.partial.pairs[0].differs[0]}
        >>> float(view.result.effect()[0, 0, 0, view.selected["pos"]])  # layer 0 has the whole difference there
        1.0
    """
    steps = patching(
        model,
        clean,
        corrupt,
        answer=answer,
        wrong_answer=wrong_answer,
        sites=sites,
        direction=direction,
        metric=metric,
        layers=layers,
        positions=positions,
        top_k=top_k,
        max_rows=max_rows,
        tokenizer=tokenizer,
        remote=remote,
    )
    return PatchingGrid(steps)
