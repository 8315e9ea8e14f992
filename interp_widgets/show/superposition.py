"""Toy models of superposition as a live view."""

from __future__ import annotations

from interp_widgets.experiments.over import over
from interp_widgets.experiments.superposition import superposition
from interp_widgets.views.superposition import Steps as ToySteps
from interp_widgets.views.superposition import Superposition


@over(superposition)
def show_superposition(steps: ToySteps) -> Superposition:
    """Train toy models of superposition and watch how their features share dimensions, by how sparse they are.

    The arguments are those of `run_superposition`, which returns the numbers without a view. Errors are raised here,
    before the call returns; directions then turn to their places while other cells of the notebook run.

    Returns:
        The view. An arrow is a feature's direction: its length says how much of the feature is kept, its angle to the
        others how they interfere.

    Raises:
        InterpWidgetsError: see `run_superposition`.
        ValueError: see `run_superposition`.

    Example:
        >>> from interp_widgets import show_superposition
        >>> view = show_superposition(n_features=5, n_hidden=2, probabilities=(1, 0.1, 0.01), steps=1000)
        >>> view.selected = {"sparsity": 2, "feature": 0}
        >>> view.result.geometry(2)
        'pentagon'
    """
    return Superposition(steps)
