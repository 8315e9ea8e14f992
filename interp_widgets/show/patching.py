"""Patching, ablation, traces and paths as live grids."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from interp_widgets.experiments.ablation import ablation
from interp_widgets.experiments.causal_trace import causal_trace
from interp_widgets.experiments.feature_patching import feature_patching
from interp_widgets.experiments.over import over
from interp_widgets.experiments.patching import patching
from interp_widgets.experiments.path_patching import path_patching
from interp_widgets.show.drill_down import Asked, with_ways
from interp_widgets.views._strips import Steps
from interp_widgets.views.patching_grid import PatchingGrid
from interp_widgets.views.protocol.patching_grid import Cell

P = ParamSpec("P")

_OF_CELLS = ("layers", "positions", "heads", "neurons", "by", "window", "roles", "corrupt_roles", "exact")
"""Arguments that say which cells a grid has, and which of them are run."""


@dataclass(frozen=True)
class Started:
    """An experiment under way, how to start it again on one head position by position, and what it was asked of."""

    steps: Steps
    by_position: Callable[[Cell], Steps]
    asked: Asked


def _started(
    experiment: Callable[P, Steps], *, site: str = "sites", without: tuple[str, ...] = ()
) -> Callable[P, Started]:
    """Start an experiment so that its view can ask more of the same.

    Args:
        experiment: what is started.
        site: name of its argument that says what a cell is of.
        without: names of its arguments that make columns other than positions.
    """
    signature = inspect.signature(experiment)
    of_cells = [name for name in _OF_CELLS if name in signature.parameters]

    @wraps(experiment)
    def start(*args: P.args, **kwargs: P.kwargs) -> Started:
        anew: Any = experiment  # its types are checked where a person calls it
        given = signature.bind(*args, **kwargs).arguments

        def by_position(cell: Cell) -> Steps:
            head = {site: cell["site"], "layers": cell["layer"], "heads": cell["head"], "by": "pos"}
            steps: Steps = anew(*args, **kwargs | head | dict.fromkeys(without))
            return steps

        def again(cells: Mapping[str, Any]) -> Steps:
            defaults = {name: signature.parameters[name].default for name in of_cells}
            steps: Steps = anew(*args, **kwargs | defaults | dict(cells))
            return steps

        return Started(
            experiment(*args, **kwargs),
            by_position,
            Asked(given["model"], given.get("tokenizer"), bool(given.get("remote")), again, by_site=site == "sites"),
        )

    return start


def _view(started: Started) -> PatchingGrid:
    return with_ways(PatchingGrid(started.steps, by_position=started.by_position), started.asked)


@over(_started(patching, without=("roles", "corrupt_roles")))
def show_patching(started: Started) -> PatchingGrid:
    """Show which activations cause the model's answer, as a live grid of layers by tokens.

    The arguments are those of `run_patching`, which returns the numbers without a view. Prompts and names are checked
    and both runs are made before the call returns, so that errors are raised here; rows then fill in while other cells
    run, in a large grid over an estimate of every cell that comes first. `view.result` waits for the whole,
    `view.job.cancel()` stops and keeps what is there.

    With `remote`, in a notebook, the call returns as soon as the server has the request: the view then tells of the
    job's place in the queue, and what the server refuses is said in the view and raised by `view.result`. Cancelling
    stops listening and keeps what arrived; servers offer no way to stop a job, so theirs runs to its end.

    Returns:
        The view. Colour is the effect: 0 is the host run unchanged, 1 the other run in full. In a grid of heads,
        `view.by_position()`, or the button of a pinned head, shows one of them position by position. From a cell other
        views open below the grid, by the buttons of a pinned cell or `view.drill("parts")`: what wrote the activation,
        a head's "pattern", a token's "lens", a component's "attribution".

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
    return _view(started)


@over(_started(causal_trace, without=("roles",)))
def show_causal_trace(started: Started) -> PatchingGrid:
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
    return _view(started)


@over(_started(ablation, without=("roles",)))
def show_ablation(started: Started) -> PatchingGrid:
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
    return _view(started)


@over(_started(path_patching, site="senders"))
def show_path_patching(started: Started) -> PatchingGrid:
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
    return _view(started)


@over(feature_patching)
def show_feature_patching(steps: Steps) -> PatchingGrid:
    """Show which latents of a dictionary carry the answer, as a live grid of latents by tokens.

    The arguments are those of `run_feature_patching`, which returns the numbers without a view. Errors are raised here,
    before the call returns; cells then fill in while other cells of the notebook run.

    Returns:
        The view: the strongest latents at the top, above them all latents together, and at the bottom the dictionary's
        error. Colour is the effect: 0 is the host run unchanged, 1 the other run in full.

    Raises:
        InterpWidgetsError: see `run_feature_patching`.

    Example:
        >>> from interp_widgets import show_feature_patching, teaching
        >>> clean = "When Mary and John went to the store, John gave a drink to"
        >>> corrupt = "When Mary and John went to the store, Mary gave a drink to"
        >>> view = show_feature_patching(teaching.load(), clean, corrupt, "neurons", layer=2, n_latents=4)
        >>> [line.latent for line in view.result.panels[0].lines][::5]
        ['error', 'all']
    """
    return PatchingGrid(steps)
