"""Find out about single latents when somebody asks, with the dictionary opened once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from interp_widgets.experiments.latent_cards import Cards, check_same, latent_cards, one_by_one
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.texts import Corpus, Cutter
from interp_widgets.results.errors import PromptError
from interp_widgets.results.examples import ExamplesResult


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

    Arguments are those of `run_latent_cards`.

    Raises:
        PromptError: a corpus that is not made of documents, or that can be read only once.
        ResultError: examples of another dictionary.
    """
    opened = open_model(model, tokenizer)
    dictionary = open_dictionary(features, resolve(opened), site=site, layer=layer)
    if isinstance(corpus, ExamplesResult):
        check_same(corpus.dictionary, dictionary.info)
    elif corpus is not None:
        _check_documents(corpus, Cutter(opened))

    def find(latents: Sequence[int]) -> Generator[Cards, None, Cards]:
        return one_by_one(
            latent_cards(model, dictionary, latents, text=text, corpus=corpus, called=called, tokenizer=tokenizer)
        )

    return find


def _check_documents(corpus: Corpus, cutter: Cutter) -> None:
    if isinstance(corpus, Iterator):
        raise PromptError(
            f"The corpus is {kind_of(corpus)}, which can be read only once, and it is read for every card. Pass a "
            "list, or what run_top_examples finds in it."
        )
    for _ in cutter.documents(corpus, "document"):
        pass
