"""One line for each experiment: start it, and open its view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.patching import patching
from interp_widgets.experiments.path_patching import Sender, path_patching
from interp_widgets.experiments.receivers import ReceiversLike
from interp_widgets.models.answers import Answers
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.terms import Direction, Site
from interp_widgets.views.patching_grid import PatchingGrid


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
) -> PatchingGrid:
    """Show which activations cause the model's answer, as a live grid of layers by tokens.

    The arguments are those of `run_patching`, which returns the numbers without a view. Prompts and names are checked
    and both runs are made before the call returns, so that errors are raised here; rows then fill in while other cells
    run. `view.result` waits for the whole, `view.job.cancel()` stops and keeps what is there.

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
    )
    return PatchingGrid(steps)


def show_path_patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    *,
    receivers: ReceiversLike,
    answer: Answers = None,
    wrong_answer: Answers = None,
    senders: Sender | Sequence[Sender] = ("z", "mlp_out"),
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    by: Literal["pos"] | None = None,
    receiver_positions: Sequence[int] | int | None = None,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
) -> PatchingGrid:
    """Show which heads and MLPs move the answer by sending straight into some receivers, as a live grid of senders.

    The arguments are those of `run_path_patching`, which returns the numbers without a view. Errors are raised here,
    before the call returns; cells then fill in while other cells of the notebook run.

    Returns:
        The view. Colour is the effect: 0 is the host run unchanged, 1 the other run in full.

    Raises:
        InterpWidgetsError: see `run_path_patching`.

    Example:
        >>> from interp_widgets import Receiver, show_path_patching, teaching
        >>> clean = "When Mary and John went to the store, John gave a drink to"
        >>> corrupt = "When Mary and John went to the store, Mary gave a drink to"
        >>> view = show_path_patching(teaching.load(), clean, corrupt, receivers=Receiver("final"))
        >>> view.result.panels[0].site, view.result.strongest()["site"] in ("z", "mlp_out")
        ('z', True)
    """
    steps = path_patching(
        model,
        clean,
        corrupt,
        receivers=receivers,
        answer=answer,
        wrong_answer=wrong_answer,
        senders=senders,
        direction=direction,
        metric=metric,
        layers=layers,
        positions=positions,
        heads=heads,
        by=by,
        receiver_positions=receiver_positions,
        top_k=top_k,
        max_rows=max_rows,
        tokenizer=tokenizer,
    )
    return PatchingGrid(steps)
