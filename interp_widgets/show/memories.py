"""A prediction as a sum over neurons, as a picture."""

from __future__ import annotations

from collections.abc import Generator

from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.memories import memories
from interp_widgets.experiments.over import over
from interp_widgets.results.memories import MemoriesResult
from interp_widgets.views._memories_figure import MemoriesFigure


@over(memories)
def show_memories(steps: Generator[MemoriesResult, None, MemoriesResult]) -> MemoriesFigure:
    """Show a prediction as a sum over the neurons of MLPs, as a picture: MLPs as key-value memories.

    The arguments are those of `run_memories`. On the left is what embedding, attention and MLPs add to the answer's
    logit, one after the other, and what the model would say after each; on the right are the neurons that do most, the
    tokens that their values promote and, with a corpus, those that fire them. `view.result` has the numbers, and
    `MemoriesFigure(result)` shows a result that you have.

    Returns:
        The picture, which shows itself as the value of a cell; `figure()` is it as a matplotlib figure.

    Raises:
        InterpWidgetsError: see `run_memories`.

    Example:
        >>> from interp_widgets import show_memories, teaching
        >>> view = show_memories(teaching.load(), "When Mary and John went to the store, John gave a drink to", top=2)
        >>> [memory.name for memory in view.result.memories]
        ['3.303', '3.404']
    """
    return MemoriesFigure(finish(steps))
