"""Attention patterns and what heads do as a live view."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from interp_widgets.experiments.attention import MAX_BYTES, attention, run_attention
from interp_widgets.experiments.head_scores import head_scores
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.errors import AnswerError, ResultError
from interp_widgets.results.head_scores import HeadScores
from interp_widgets.results.scored_attention import ScoredAttention
from interp_widgets.show.readers import ELSEWHERE, OF_MANY, from_attention, of_attention
from interp_widgets.views.attention_heads import AttentionView

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


def show_attention(
    model: ModelLike,
    prompt: Prompts,
    *,
    corrupt: Prompts | None = None,
    answer: Answers = None,
    wrong_answer: Answers = None,
    layers: Iterable[int] | int | None = None,
    heads: Iterable[int] | int | None = None,
    value_weighted: bool = True,
    scores: HeadScores | bool = True,
    max_bytes: int = MAX_BYTES,
    seed: int = 0,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> AttentionView:
    """Show where every head looks: small pictures of all, one large and linked to the text, and what heads are called.

    Arguments beside these are those of `run_attention`, which returns the numbers without a view. They are checked
    before the call returns; layers then fill in while other cells run, and the scores after them. `view.result` waits
    for the whole, `view.job.cancel()` stops and keeps what is there.

    Args:
        model: as for `run_attention`.
        prompt: as for `run_attention`.
        answer: with `wrong_answer`, what name movers are looked for by: see `run_head_scores`. Both have to stand in
            the prompts.
        wrong_answer: likewise.
        scores: whether to compute what heads do, or what `run_head_scores` said of them. On a server only such scores
            are shown.
        seed: of the random tokens that heads are scored on.

    Returns:
        The view. Of long prompts it asks for what is looked at, and a saved page keeps 4 MiB of that. Where patterns
        are kept in blocks (see `max_bytes` of `run_attention`), `view.read()` reads one layer token by token. Of one
        prompt, `view.drill("lens")` and `view.drill("attribution")` open below it.

    Raises:
        InterpWidgetsError: see `run_attention` and `run_head_scores`.

    Example:
        >>> from interp_widgets import show_attention, teaching
        >>> text = "When Mary and John went to the store, John gave a drink to"
        >>> view = show_attention(teaching.load(), text, answer=" Mary", wrong_answer=" John")
        >>> layer, head, score = view.scores.top("induction", 1)[0]
        >>> view.selected = {"layer": layer, "head": head, "pos": None}
        >>> view.result.pattern(layer, head).shape  # (query, key)
        (14, 14)
    """
    if not isinstance(scores, (bool, HeadScores)):
        raise ResultError(
            f"scores={scores!r} is {kind_of(scores)}. Pass what run_head_scores returned, True to compute "
            "them, or False."
        )
    asked = scores is True
    if not asked and (answer is not None or wrong_answer is not None):
        raise AnswerError(
            "answer= and wrong_answer= are what heads are scored by, and scores= says not to. Leave it out, or them."
        )
    steps = attention(
        model,
        prompt,
        corrupt=corrupt,
        layers=layers,
        heads=heads,
        value_weighted=value_weighted,
        max_bytes=max_bytes,
        tokenizer=tokenizer,
        remote=remote,
    )
    given = scores if isinstance(scores, HeadScores) else None
    if remote:
        return AttentionView(steps, scores=given)._refuse_to_open(ELSEWHERE)

    def read_anew(layer: int, head: int) -> AttentionResult:
        def read(some: Iterable[int] | int | None) -> AttentionResult:
            return run_attention(
                model,
                prompt,
                corrupt=corrupt,
                layers=layer,
                heads=some,
                value_weighted=value_weighted,
                max_bytes=max_bytes,
                tokenizer=tokenizer,
            )

        n_heads = len(view.partial.heads)
        sizes = [len(view.partial.tokens(side)) for side in range(len(view.partial.prompts))]
        fits = n_heads * sum(size * size for size in sizes) * 2 <= max_bytes  # 2 bytes a number
        return read(view.partial.heads if fits else head)

    if asked:
        named = None if answer is None and wrong_answer is None else prompt
        scoring = head_scores(
            model,
            named,
            answer=answer,
            wrong_answer=wrong_answer,
            layers=layers,
            seed=seed,
            tokenizer=tokenizer,
        )
        view = AttentionView(_scored(steps, scoring), read_anew=read_anew)
    else:
        view = AttentionView(steps, scores=given, read_anew=read_anew)
    if len(view.partial.prompts[0]) > 1:
        return view._refuse_to_open(OF_MANY)
    opened = open_model(model, tokenizer)
    (first,), (second,) = (
        parse_answers(token, name, 1, tokenizer=opened.tokenizer, n_vocab=opened.n_answers)
        for token, name in ((answer, "answer"), (wrong_answer, "wrong_answer"))
    )
    return from_attention(view, of_attention(view, model, tokenizer, (first, second)))


def _scored(
    patterns: Generator[AttentionResult, None, AttentionResult], scoring: Generator[HeadScores, None, HeadScores]
) -> Generator[ScoredAttention, None, ScoredAttention]:
    """Read the patterns, and then score the heads."""
    while True:
        try:
            partial = next(patterns)
        except StopIteration as stop:
            whole: AttentionResult = stop.value
            break
        yield ScoredAttention(partial, scoring=True)
    while True:
        try:
            scores = next(scoring)
        except StopIteration as stop:
            return ScoredAttention(whole, stop.value, scoring=True)
        yield ScoredAttention(whole, scores, scoring=True)
