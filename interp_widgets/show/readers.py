"""From what reads a model on a prompt to its other readers: a head's pattern, a token's lens, an attribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from interp_widgets.models.described import Described
from interp_widgets.results.errors import ModelError, SelectionError, SiteError
from interp_widgets.views._view import View
from interp_widgets.views._way import Way
from interp_widgets.views.attention_heads import AttentionView
from interp_widgets.views.attribution import AttributionView
from interp_widgets.views.lens_table import LensView
from interp_widgets.views.protocol.common import Spot

# The functions that make these views are imported where they are called: each of them opens the others.

ELSEWHERE = "its model runs on a server, and what opens from a view runs where its model is. Load the model here."
OF_MANY = "it is the mean of several prompts, and what opens from a view is of one. Show one prompt."


@dataclass(frozen=True)
class Prompted:
    """A model and what it is given: a prompt, perhaps one to compare it with, and two answers to it.

    Where there is no answer, the model's own stands in for it. `said` says which of several prompts it is.
    """

    model: Any
    tokenizer: Any
    clean: list[int]
    corrupt: list[int] | None
    answer: int | None
    wrong_answer: int | None
    said: str = ""


Of: TypeAlias = Callable[[Spot], Prompted]
"""Finds the prompts that a place is in."""


def from_attention(view: AttentionView, of: Of) -> AttentionView:
    """Let the other readers open from a head."""
    return view._offer(lens(of), attribution(of))


def from_lens(view: LensView, of: Of) -> LensView:
    """Let the other readers open from a token."""
    meaning = "where the heads of this layer look from this token"
    return view._offer(pattern(of, needs=("layer", "pos"), meaning=meaning), attribution(of))


def from_attribution(view: AttributionView, of: Of) -> AttributionView:
    """Let the other readers open from a component."""
    return view._offer(pattern(of, sites=("z",)), lens(of, needs=()))


def of_attention(view: AttentionView, model: Any, tokenizer: Any, answers: tuple[int | None, int | None]) -> Of:
    """Find the prompts that patterns are of."""

    def of(spot: Spot) -> Prompted:
        clean, *compared = (side[0].ids for side in view.partial.prompts)
        return Prompted(model, tokenizer, [*clean], [*compared[0]] if compared else None, *answers)

    return of


def of_lens(view: LensView, model: Any, tokenizer: Any) -> Of:
    """Find the prompts that a lens is read on; the first two tokens that it follows are the answers."""

    def of(spot: Spot) -> Prompted:
        clean, *compared = (prompt.ids for prompt in view.partial.prompts)
        answer, wrong_answer = [*(token.id for token in view.partial.answers), None][:2]
        return Prompted(model, tokenizer, [*clean], [*compared[0]] if compared else None, answer, wrong_answer)

    return of


def of_attribution(view: AttributionView, model: Any, tokenizer: Any) -> Of:
    """Find the prompt that is taken apart; of the mean of several it is the first."""

    def of(spot: Spot) -> Prompted:
        result, number = view.partial, spot.get("prompt", 0)
        if number >= len(result.prompts):
            raise SelectionError(f"no prompt {number}: this view has prompts 0 to {len(result.prompts) - 1}.")
        wrong = result.wrong_answers[number]
        answers = result.answers[number].id, None if wrong is None else wrong.id
        said = numbered("prompt", number, len(result.prompts))
        return Prompted(model, tokenizer, [*result.prompts[number].ids], None, *answers, said)

    return of


def numbered(noun: str, number: int, count: int) -> str:
    """Say which of several prompts is meant; nothing where there is one.

    >>> numbered("pair", 0, 8)
    'pair 1 of 8'
    """
    return f"{noun} {number + 1} of {count}" if count > 1 else ""


def only(asked: Prompted) -> Of:
    """Find the same prompt for every place. Which of several it is was said on the way to it."""
    alone = replace(asked, said="")
    return lambda _: alone


@contextmanager
def named_in_description(model: Any, fields: str) -> Iterator[None]:
    """Say of a described model that lacks a site by which fields of its description the site is found."""
    try:
        yield
    except SiteError as error:
        if not isinstance(model, Described):
            raise
        raise SiteError(f"{error} In its Description these modules are {fields}.") from error


def pattern(
    of: Of,
    *,
    sites: tuple[str, ...] = (),
    needs: tuple[str, ...] = ("layer", "head"),
    meaning: str = "where this head looks: its attention pattern, with those of all heads beside it",
) -> Way:
    """From a head to where it looks."""

    def open_pattern(spot: Spot) -> View[Any]:
        from interp_widgets.show.attention import show_attention

        asked = of(spot)
        shown = partial(show_attention, asked.model, asked.clean, corrupt=asked.corrupt, tokenizer=asked.tokenizer)
        with named_in_description(asked.model, "`n_heads`, `qkv` and `o_proj`"):
            try:
                view = shown()
            except ModelError:  # where no module joins the heads, there are patterns and no weights for them
                view = shown(value_weighted=False)
        return from_attention(view, only(asked))

    return Way(
        "pattern",
        meaning,
        "t",
        open_pattern,
        needs=needs,
        sites=sites,
        apart=("prompt",),
        by=("layer", "head", "pos"),
        of=lambda spot: of(spot).said,
    )


def lens(of: Of, *, needs: tuple[str, ...] = ("pos",)) -> Way:
    """From a token to what the model would say there after each layer."""

    def open_lens(spot: Spot) -> View[Any]:
        from interp_widgets.show.lens import show_lens

        asked = of(spot)
        answers = [answer for answer in (asked.answer, asked.wrong_answer) if answer is not None]
        view = show_lens(asked.model, asked.clean, answers or None, corrupt=asked.corrupt, tokenizer=asked.tokenizer)
        return from_lens(view, only(asked))

    return Way(
        "lens",
        "what the model would say at this token after each layer",
        "l",
        open_lens,
        needs=needs,
        apart=("prompt",),
        by=("site", "layer", "pos"),
        of=lambda spot: of(spot).said,
    )


def attribution(of: Of) -> Way:
    """From a component to what it and all others add to the answer."""

    def open_attribution(spot: Spot) -> View[Any]:
        from interp_widgets.show.attribution import show_attribution

        asked = of(spot)
        with named_in_description(asked.model, "`attention` and `mlp`"):
            view = show_attribution(
                asked.model, asked.clean, asked.answer, asked.wrong_answer, tokenizer=asked.tokenizer
            )
        return from_attribution(view, only(asked))

    return Way(
        "attribution",
        "what this component and all others add to the answer by themselves",
        "a",
        open_attribution,
        needs=("layer",),
        apart=("prompt",),
        by=("site", "layer", "head"),
        of=lambda spot: of(spot).said,
    )
