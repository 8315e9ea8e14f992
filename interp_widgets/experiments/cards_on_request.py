"""Find out about single latents when somebody asks, with the dictionary opened once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from interp_widgets.experiments.latent_cards import Cards, latent_cards
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.texts import Corpus, Cutter
from interp_widgets.results.dictionary import DictionaryInfo
from interp_widgets.results.errors import PromptError, ResultError
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

    Raises:
        PromptError: a corpus that is not made of documents, or that can be read only once.
        ResultError: examples of another dictionary.
    """
    opened = open_model(model, tokenizer)
    dictionary = open_dictionary(features, resolve(opened), site=site, layer=layer)
    found = corpus if isinstance(corpus, ExamplesResult) else None
    documents = None if isinstance(corpus, ExamplesResult) else corpus
    if found is not None:
        _check_same(found.dictionary, dictionary.info)
    if documents is not None:
        _check_documents(documents, Cutter(opened))

    def find(latents: Sequence[int]) -> Generator[Cards, None, Cards]:
        steps = latent_cards(
            model, dictionary, latents, text=text, corpus=documents, called=called, tokenizer=tokenizer
        )
        return steps if found is None else _with(found, steps)

    return find


def _check_same(found: DictionaryInfo, info: DictionaryInfo) -> None:
    if found.fingerprint != info.fingerprint:
        raise ResultError(
            f"These examples are of {found.name}, reading {found.reads}, with the fingerprint {found.fingerprint}, and "
            f"not of {info.name}, reading {info.reads}, with {info.fingerprint}: the same numbers mean other latents "
            "there. Pass what run_top_examples finds with these features."
        )


def _check_documents(corpus: Corpus, cutter: Cutter) -> None:
    if isinstance(corpus, Iterator):
        raise PromptError(
            f"The corpus is {kind_of(corpus)}, which can be read only once, and it is read for every card. Pass a "
            "list, or what run_top_examples finds in it."
        )
    for _ in cutter.documents(corpus, "document"):
        pass


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
