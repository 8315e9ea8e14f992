"""Direct logit attribution as a live view."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

from interp_widgets.experiments.attribution_parts import Parts, parts_on_request
from interp_widgets.experiments.direct_attribution import direct_attribution
from interp_widgets.experiments.over import over
from interp_widgets.show.readers import ELSEWHERE, from_attribution, of_attribution
from interp_widgets.views.attribution import AttributionView, Steps

P = ParamSpec("P")


class _Started(NamedTuple):
    """An experiment that was started on a model, and what takes its components further apart; on a server, nothing."""

    steps: Steps
    model: Any
    tokenizer: Any
    parts: Parts | None


def _with_parts(experiment: Callable[P, Steps]) -> Callable[P, _Started]:
    """Start an experiment, and hold what opens the components of the same model."""

    @wraps(experiment)
    def start(*args: P.args, **kwargs: P.kwargs) -> _Started:
        steps = experiment(*args, **kwargs)
        model: Any = args[0] if args else kwargs["model"]
        tokenizer = kwargs.get("tokenizer")
        return _Started(steps, model, tokenizer, None if kwargs.get("remote") else parts_on_request(model, tokenizer))

    return start


@over(_with_parts(direct_attribution))
def show_attribution(started: _Started) -> AttributionView:
    """Show what each component adds to a logit difference, as a live view: direct logit attribution.

    The arguments are those of `run_attribution`, which returns the numbers without a view. They are checked before the
    call returns, and the first prompt is taken apart; others then fill in while other cells run. `view.result` waits
    for the whole, `view.job.cancel()` stops and keeps what is there.

    Returns:
        The view. Colour is what a component adds to the logit difference by itself, in logits: warm is for the answer,
        cool against it. Beside it the sum grows from layer to layer up to the model's own difference. A head that is
        chosen shows what it brings from each token (`view.by_source(9, 6)`), an MLP its neurons (`view.neurons(9)`);
        both are found out then. `view.drill("pattern")` of a head and `view.drill("lens")` open below it. Of a model on
        a server none of this is there: ask for it with `by_source` and `neurons`.

    Raises:
        InterpWidgetsError: see `run_attribution`.
        SelectionError: more contributions than a page takes.

    Example:
        >>> from interp_widgets import show_attribution, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> view = show_attribution(teaching.load(), pair.clean, pair.answer, pair.wrong_answer)
        >>> component, contribution = view.result.strongest(1)[0]
        >>> view.selected = component.cell
        >>> component.name, bool(abs(view.neurons().contributions.sum() - contribution) < 1e-4)
        ('MLP 3', True)
        >>> head = view.by_source(3, 3)
        >>> pair.clean.split()[head.contributions[0, 0].argmax()]
        'Lucy'
    """
    if started.parts is None:
        return AttributionView(started.steps)._refuse_to_open(ELSEWHERE)
    view = AttributionView(started.steps, sources_of=started.parts.by_source, neurons_of=started.parts.neurons)
    return from_attribution(view, of_attribution(view, started.model, started.tokenizer))
