"""Find out about single latents when somebody asks, with the dictionary opened once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from interp_widgets.experiments.latent_cards import Cards, latent_cards
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.texts import Corpus
from interp_widgets.results.examples import ExamplesResult
from interp_widgets.results.latent import LatentCard


def cards_on_request(
    model: ModelLike,
    features: Features,
    *,
    text: Prompts,
    corpus: Corpus | ExamplesResult | None,
    called: str,
    site: str | None,
    layer: int | None,
    tokenizer: Any | None,
) -> Callable[[Sequence[int]], Generator[Cards, None, Cards]]:
    """Return what starts `latent_cards` on some latents.

    Arguments are those of `run_latent_cards`; a corpus may also be what `run_top_examples` found in one.
    """
    dictionary = open_dictionary(features, resolve(open_model(model, tokenizer)), site=site, layer=layer)
    found = corpus if isinstance(corpus, ExamplesResult) else None
    documents = None if isinstance(corpus, ExamplesResult) else corpus

    def find(latents: Sequence[int]) -> Generator[Cards, None, Cards]:
        steps = latent_cards(
            model, dictionary, latents, text=text, corpus=documents, called=called, tokenizer=tokenizer
        )
        return steps if found is None else _with(found, steps)

    return find


def _with(found: ExamplesResult, steps: Generator[Cards, None, Cards]) -> Generator[Cards, None, Cards]:
    """Add examples that were found before."""
    try:
        while True:
            yield tuple(_one_with(found, card) for card in next(steps))
    except StopIteration as stop:
        return tuple(_one_with(found, card) for card in stop.value)


def _one_with(found: ExamplesResult, card: LatentCard) -> LatentCard:
    if card.latent not in found.latents:
        return card
    said = found.card(card.latent)
    return replace(card, examples=said.examples, histogram=said.histogram, density=said.density, corpus=said.corpus)
