"""Residual streams as a live scatter."""

from __future__ import annotations

from collections.abc import Generator

from interp_widgets.experiments.over import over
from interp_widgets.experiments.projection import projection
from interp_widgets.results.projection import ProjectionResult
from interp_widgets.views.residual_map import ProjectionView


@over(projection)
def show_projection(steps: Generator[ProjectionResult, None, ProjectionResult]) -> ProjectionView:
    """Show where tokens lie in the residual stream: a scatter, with a slider through the layers.

    Arguments are those of `run_projection`, which returns the numbers without a view. They are checked before the call
    returns; layers then appear one by one while other cells run. `view.result` waits for the whole, `view.job.cancel()`
    stops and keeps what is there.

    Args:
        model: as for `run_projection`.
        prompts: as for `run_projection`.
        labels: what to call each prompt: they give points their colours.
        method: "pca", "tsne" or "umap".
        directions: directions of your own as axes, by name: as for `run_projection`.
        n_components: how many axes; which two are drawn is chosen in the view.
        site: where activations are read.
        layers: of that site; all by default.
        positions: positions of each prompt that become points; all by default.
        first: whether first tokens are among them; by default unless they are attention sinks.
        seed: of t-SNE and UMAP.
        tokenizer: of a model that comes without one.
        remote: where to run, as for `run_patching`.

    Returns:
        The view. What is lassoed is `view.selected`, a list of numbers of points; setting it from Python shows it.

    Raises:
        InterpWidgetsError: see `run_projection`.

    Example:
        >>> from interp_widgets import show_projection, teaching
        >>> pairs = teaching.prompts("refusal", n=8)
        >>> prompts = [*(p.clean for p in pairs), *(p.corrupt for p in pairs)]
        >>> view = show_projection(teaching.load(), prompts, labels=["harmful"] * 8 + ["harmless"] * 8, positions=-1)
        >>> view.layer = 3
        >>> view.selected = view.result.find(label="harmful")
        >>> len(view.selected), view.result.label(view.selected[0])
        (8, 'harmful')
    """
    return ProjectionView(steps)
