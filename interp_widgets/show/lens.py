"""A lens as a live view."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.experiments.lens import lens
from interp_widgets.models.access import resolve
from interp_widgets.models.answers import Answers
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompt
from interp_widgets.models.tuned_lens import TunedLensLike
from interp_widgets.results.errors import SiteError
from interp_widgets.results.lens import LensResult
from interp_widgets.results.terms import Site
from interp_widgets.show.readers import ELSEWHERE, from_lens, of_lens
from interp_widgets.views.lens_table import LensView

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


def show_lens(
    model: ModelLike,
    prompt: Prompt,
    answers: Answers = None,
    *,
    corrupt: Prompt | None = None,
    sites: Site | Iterable[Site] | None = None,
    layers: Sequence[int] | int | None = None,
    top_k: int | None = None,
    tuned: TunedLensLike | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> LensView:
    """Show what the model would say after each layer at each token: the logit lens, or a tuned lens.

    Arguments are those of `run_lens`, which returns the numbers without a view. They are checked before the call
    returns; cells then fill in while other cells of the notebook run. `view.result` waits for the whole, and
    `view.job.cancel()` stops and keeps what is there.

    Args:
        model: as for `run_lens`.
        prompt: as for `run_lens`.
        answers: as for `run_lens`. More can be followed later: type one in the view, or call `view.follow(" Mary")`.
        corrupt: as for `run_lens`; both prompts are shown, with their difference.
        sites: as for `run_lens`. By default after every layer and, where a layer's attention comes before its MLP and
            the lens can read there, also between them.
        layers: as for `run_lens`.
        top_k: as for `run_lens`.
        tuned: as for `run_lens`.

    Returns:
        The view. A cell has the likeliest token there; a bar under it says that this is the token that follows in the
        prompt. Colour is its probability, or whatever is chosen; lines show the followed tokens through the layers.
        `view.drill("pattern")` and `view.drill("attribution")` open below it.

    Raises:
        InterpWidgetsError: see `run_lens`.

    Example:
        >>> from interp_widgets import show_lens, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> view = show_lens(teaching.load(), pair.clean, [pair.answer, pair.wrong_answer])
        >>> view.selected = {"site": "resid_post", "layer": 2}
        >>> view.selected["pos"] == len(view.result.prompts[0]) - 1
        True
        >>> view.follow(" the")
        2
        >>> view.pinned = [{"pos": -1, "answer": 0}, {"pos": -1, "answer": 2}]
    """
    if sites is None:
        sites = _default_sites(model, tokenizer, tuned=tuned)

    def steps(tokens: Answers, top: int | None) -> Generator[LensResult, None, LensResult]:
        return lens(
            model,
            prompt,
            tokens,
            corrupt=corrupt,
            sites=sites,
            layers=layers,
            top_k=top,
            tuned=tuned,
            tokenizer=tokenizer,
            remote=remote,
        )

    view = LensView(steps(answers, top_k), follows=lambda token: steps(token, 1))
    return view._refuse_to_open(ELSEWHERE) if remote else from_lens(view, of_lens(view, model, tokenizer))


def _default_sites(model: ModelLike, tokenizer: Any | None, *, tuned: TunedLensLike | None) -> tuple[Site, ...]:
    if tuned is not None:
        return ("resid_post",)
    try:
        resolve(open_model(model, tokenizer)).check_site("resid_mid")
    except SiteError:
        return ("resid_post",)
    return ("resid_mid", "resid_post")
