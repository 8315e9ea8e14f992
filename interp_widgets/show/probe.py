"""Linear probes as a live view."""

from __future__ import annotations

from interp_widgets.experiments.over import over
from interp_widgets.experiments.probe import probe
from interp_widgets.views.probe_grid import ProbeView
from interp_widgets.views.probe_grid import Steps as ProbeSteps


@over(probe)
def show_probe(steps: ProbeSteps) -> ProbeView:
    """Show where in a model a label can be read off by a linear probe: a grid of layers by positions, and its control.

    The arguments are those of `run_probe`, which returns the numbers without a view. Errors are raised here, before the
    call returns; cells then fill in while other cells of the notebook run, the last position of all layers first.

    Returns:
        The view. Colour is how well labels are read of texts that were held out, from what a probe that knows nothing
        reaches to all. `view.direction()` is the direction of the selected cell.

    Raises:
        InterpWidgetsError: see `run_probe`.

    Example:
        >>> from interp_widgets import show_probe, teaching
        >>> pairs = teaching.prompts("sentiment", n=20)
        >>> texts = [pair.clean for pair in pairs] + [pair.corrupt for pair in pairs]
        >>> labels = [pair.answer.strip() for pair in pairs] + [pair.wrong_answer.strip() for pair in pairs]
        >>> view = show_probe(teaching.load(), texts, labels, positions="last", control_draws=1)
        >>> result = view.result
        >>> view.selected = result.best()
        >>> view.direction().vectors.shape
        (1, 1, 128)
    """
    return ProbeView(steps)
