"""One line for each experiment: start it, and open its view."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from interp_widgets.experiments.ablation import ablation
from interp_widgets.experiments.causal_trace import Subject, causal_trace
from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.patching import patching
from interp_widgets.experiments.path_patching import Sender, path_patching
from interp_widgets.experiments.receivers import ReceiversLike
from interp_widgets.experiments.request import RolesLike
from interp_widgets.models.answers import Answer, Answers
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompt, Prompts
from interp_widgets.results.panel import Columns
from interp_widgets.results.terms import Ablation, Direction, Site
from interp_widgets.views.patching_grid import PatchingGrid, Steps
from interp_widgets.views.protocol import Cell


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
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    neurons: Sequence[int] | int | None = None,
    by: Columns | None = None,
    window: int = 1,
    roles: RolesLike = None,
    corrupt_roles: RolesLike = None,
    top_k: int = 5,
    max_rows: int | None = None,
    preview: bool | None = None,
    exact: int | None = None,
    tokenizer: Any | None = None,
) -> PatchingGrid:
    """Show which activations cause the model's answer, as a live grid of layers by tokens.

    The arguments are those of `run_patching`, which returns the numbers without a view. Prompts and names are checked
    and both runs are made before the call returns, so that errors are raised here; rows then fill in while other cells
    run, in a large grid over an estimate of every cell that comes first. `view.result` waits for the whole,
    `view.job.cancel()` stops and keeps what is there.

    Returns:
        The view. Colour is the effect: 0 is the host run unchanged, 1 the other run in full. In a grid of heads,
        `view.by_position()` shows one of them position by position.

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
    run = partial(
        patching,
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
        heads=heads,
        neurons=neurons,
        by=by,
        window=window,
        roles=roles,
        corrupt_roles=corrupt_roles,
        top_k=top_k,
        max_rows=max_rows,
        preview=preview,
        exact=exact,
        tokenizer=tokenizer,
    )

    def by_position(cell: Cell) -> Steps:
        head: dict[str, Any] = {"sites": cell["site"], "layers": cell["layer"], "heads": cell["head"]}
        return run(**head, by="pos", neurons=None, roles=None, corrupt_roles=None)

    return PatchingGrid(run(), by_position=by_position)


def show_causal_trace(
    model: ModelLike,
    prompt: Prompt,
    *,
    subject: Subject,
    answer: Answer | None = None,
    wrong_answer: Answer | None = None,
    noise: float = 3.0,
    samples: int = 10,
    seed: int = 0,
    sites: Site | Sequence[Site] = ("resid_post",),
    window: int = 1,
    metric: Metric = "prob",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    neurons: Sequence[int] | int | None = None,
    by: Columns | None = None,
    roles: RolesLike = None,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
) -> PatchingGrid:
    """Show where the model recalls what it knows of a subject, as a live grid: the causal trace of ROME.

    The arguments are those of `run_causal_trace`, which returns the numbers without a view.

    Returns:
        The view. Colour is the share of the answer that comes back: 0 is the run with noise on the subject, 1 the run
        without.

    Raises:
        InterpWidgetsError: see `run_causal_trace`.

    Example:
        >>> from interp_widgets import show_causal_trace, teaching
        >>> prompt = "When Mary and John went to the store, John gave a drink to"
        >>> view = show_causal_trace(teaching.load(), prompt, subject="Mary", samples=2)
        >>> view.result.complete
        True
    """
    steps = causal_trace(
        model,
        prompt,
        subject=subject,
        answer=answer,
        wrong_answer=wrong_answer,
        noise=noise,
        samples=samples,
        seed=seed,
        sites=sites,
        window=window,
        metric=metric,
        layers=layers,
        positions=positions,
        heads=heads,
        neurons=neurons,
        by=by,
        roles=roles,
        top_k=top_k,
        max_rows=max_rows,
        tokenizer=tokenizer,
    )
    return PatchingGrid(steps)


def show_ablation(
    model: ModelLike,
    prompts: Prompts,
    *,
    how: Ablation = "zero",
    reference: Prompts | None = None,
    answer: Answers = None,
    wrong_answer: Answers = None,
    sites: Site | Sequence[Site] = ("z", "mlp_out"),
    metric: Metric = "logit_diff",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    neurons: Sequence[int] | int | None = None,
    by: Columns | None = None,
    window: int = 1,
    roles: RolesLike = None,
    seed: int = 0,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
) -> PatchingGrid:
    """Show what the model cannot do without, as a live grid of what is left without each activation.

    The arguments are those of `run_ablation`, which returns the numbers without a view.

    Returns:
        The view. Colour is the share of the answer that is lost: 0 is the intact run, 1 a model that knows nothing.

    Raises:
        InterpWidgetsError: see `run_ablation`.

    Example:
        >>> from interp_widgets import show_ablation, teaching
        >>> prompt = "When Mary and John went to the store, John gave a drink to"
        >>> view = show_ablation(teaching.load(), prompt, sites="mlp_out")
        >>> view.result.complete
        True
    """
    steps = ablation(
        model,
        prompts,
        how=how,
        reference=reference,
        answer=answer,
        wrong_answer=wrong_answer,
        sites=sites,
        metric=metric,
        layers=layers,
        positions=positions,
        heads=heads,
        neurons=neurons,
        by=by,
        window=window,
        roles=roles,
        seed=seed,
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
