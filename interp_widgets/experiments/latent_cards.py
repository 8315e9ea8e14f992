"""Find out about single latents: what they say, what writes to them, what reads them, and where they are strongest."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch.nn import functional

from interp_widgets.experiments.attribution import Writing, readers, written_by
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import chosen_numbers
from interp_widgets.experiments.top_examples import top_examples
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.labels import Labels
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.straight import Straight
from interp_widgets.models.texts import Corpus, Cutter
from interp_widgets.results.cards import CardSet
from interp_widgets.results.dictionary import DictionaryInfo
from interp_widgets.results.errors import FeatureError, ResultError
from interp_widgets.results.examples import ExamplesResult
from interp_widgets.results.latent import LatentCard, Neighbour, Weighted

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

R = TypeVar("R")

_CHUNK = 2**24
"""Most numbers of a decoder that are compared at once."""

Cards: TypeAlias = "tuple[LatentCard, ...]"


@runs_remotely
def latent_cards(
    model: ModelLike,
    features: Features,
    latents: Sequence[int] | int,
    *,
    text: Prompts | None = None,
    corpus: Corpus | ExamplesResult | None = None,
    site: str | None = None,
    layer: int | None = None,
    n: int = 10,
    k: int = 10,
    called: str = "your corpus",
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[CardSet, None, CardSet]:
    """Check the arguments at once, and return a generator that fills in cards.

    Arguments and errors are those of `run_latent_cards`. The first cards have what weights say, the next what writes
    on the text, and the later ones the examples found so far.

    Yields:
        The cards so far, in the order of `latents`.
    """
    opened = open_model(model, tokenizer)
    cutter = Cutter(opened)
    texts = None if text is None else list(cutter.documents(text, "text"))
    access = resolve(opened)
    dictionary = open_dictionary(features, access, site=site, layer=layer)
    wanted = chosen_numbers(latents, "latents", dictionary.info.n_latents)
    for name, number in (("n", n), ("k", k)):
        if not (is_whole(number) and number >= 1):
            raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")
    examples: Iterable[ExamplesResult] = ()
    if isinstance(corpus, ExamplesResult):
        check_same(corpus.dictionary, dictionary.info)
        examples = (corpus,)
    elif corpus is not None:
        examples = with_last(
            top_examples(model, dictionary, corpus, k=k, latents=wanted, called=called, tokenizer=tokenizer)
        )

    def steps() -> Generator[CardSet, None, CardSet]:
        straight = Straight(access)
        cards = _by_weights(dictionary, straight, access, wanted, n)
        if texts is not None:
            yield CardSet(cards)
            writing = written_by(access, cutter, dictionary, straight, texts, wanted, n)
            cards = tuple(_with_writing(card, writing[card.latent]) for card in cards)
        yield CardSet(cards)
        for found in examples:
            cards = tuple(with_examples(card, found) for card in cards)
            yield CardSet(cards)
        return CardSet(cards)

    return steps()


def one_by_one(steps: Generator[CardSet, None, CardSet]) -> Generator[Cards, None, Cards]:
    """Take cards out of what they travel in."""
    try:
        while True:
            yield next(steps).cards
    except StopIteration as stop:
        result: CardSet = stop.value
        return result.cards


def check_same(found: DictionaryInfo, info: DictionaryInfo) -> None:
    """Refuse examples of another dictionary.

    Raises:
        ResultError: with both.
    """
    if found.fingerprint != info.fingerprint:
        raise ResultError(
            f"These examples are of {found.name}, reading {found.reads}, with the fingerprint {found.fingerprint}, and "
            f"not of {info.name}, reading {info.reads}, with {info.fingerprint}: the same numbers mean other latents "
            "there. Pass what run_top_examples finds with these features."
        )


@over(latent_cards)
def run_latent_cards(steps: Generator[CardSet, None, CardSet]) -> Cards:
    """Find out about single latents: what they say, which are like them, what writes to them and what reads them.

    What a latent adds, its decoder row, is carried into the stream: as it is from a site of the stream, through the
    output projection from z and the MLP's last projection from mlp_post, and through a norm that follows one. On the
    way norms count as linear: each number times the norm's weight (1 + weight in Gemma), after the mean was taken off
    where the norm does so, with what the norm divides by left at 1. Figures of different layers are therefore on
    different scales. `LatentCard` says what each part is; parts that an architecture does not let one know are None.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        features: the latents, as for `run_features`.
        latents: which of them.
        text: text or token ids, or a list of either: what writes to each latent is looked at on the one token, of all
            texts, where it is strongest; `written_at` says which. Without it `written_by` is None.
        corpus: where to look for examples, as for `run_top_examples`, or what that found before: then `k` and `called`
            are those of then, and latents that were not looked at have none. Without it there are no examples.
        site: where latents are read that do not say so themselves.
        layer: of that site, or of the neurons.
        n: how many tokens, latents and components to name in each list.
        k: how many examples to keep of each latent.
        called: what the corpus is called.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_features`. The latents travel there, and a corpus too: pass a list then.

    Returns:
        A card for each latent, in rising order. `dataclasses.replace(result, cards={card.latent: card, ...})` puts
        them into the result of `run_features`.
        After an interrupt or an error, `sys.last_value.partial` is what was found until then.

    Raises:
        PromptError: empty text, text without a tokenizer, or token ids that the model does not have.
        ModelError: a model that cannot be read.
        FeatureError: no latents, or latents that do not belong to the model.
        SelectionError: a layer or a latent that does not exist.
        ResultError: examples of another dictionary.

    Example:
        >>> from interp_widgets import run_latent_cards, teaching
        >>> (card,) = run_latent_cards(teaching.load(), "neurons", 3, layer=3, n=3)
        >>> [str(word.token) for word in card.promotes]
        ['␣Lisbon', '␣chess', '␣01']

    References:
        nostalgebraist 2020, "interpreting GPT: the logit lens".
        Geva et al. 2022, "Transformer Feed-Forward Layers Build Predictions by Promoting Concepts in the Vocabulary
            Space", arXiv:2203.14680 (tokens that a direction promotes).
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (direct paths, values and outputs).
        Kissane et al. 2024, "Interpreting Attention Layer Outputs with Sparse Autoencoders", arXiv:2406.17759 (direct
            attribution of latents to heads).
        Dunefsky et al. 2024, "Transcoders Find Interpretable LLM Feature Circuits", arXiv:2406.11944.
    """
    return finish(one_by_one(steps))


def with_last(steps: Generator[R, None, R]) -> Generator[R, None, None]:
    """Yield what steps yield, and then what they return."""
    last = yield from steps
    yield last


def with_examples(card: LatentCard, found: ExamplesResult) -> LatentCard:
    """Put on a card what was found of its latent in a corpus, if it was looked at there and anything was read."""
    if card.latent not in found.latents or not found.n_tokens:
        return card
    said = found.card(card.latent)
    return replace(card, examples=said.examples, histogram=said.histogram, density=said.density, corpus=said.corpus)


def _with_writing(card: LatentCard, writing: Writing | None) -> LatentCard:
    return card if writing is None else replace(card, written_by=writing.links, written_at=writing.place)


def _by_weights(dictionary: Dictionary, straight: Straight, access: Access, latents: Sequence[int], n: int) -> Cards:
    """Say what the weights alone tell of latents."""
    try:
        decoder = dictionary.decoder.detach()
    except FeatureError:  # it is not linear, so that no latent adds one and the same thing
        return tuple(map(LatentCard, latents))
    own = decoder[list(latents)].float()
    stream = straight.to_stream(dictionary.info.writes, own)
    logits = None if stream is None else straight.logits(stream)
    nearest = _nearest(decoder, own, latents, n)
    feeds = None if stream is None else readers(access, straight, dictionary.info.writes, stream, n)
    labels = access.opened.answer_labels
    return tuple(
        LatentCard(
            latent,
            promotes=None if logits is None else strongest_tokens(logits[number], labels, n),
            suppresses=None if logits is None else strongest_tokens(-logits[number], labels, n, sign=-1),
            nearest=nearest[number],
            feeds=None if feeds is None else feeds[number],
        )
        for number, latent in enumerate(latents)
    )


def strongest_tokens(logits: torch.Tensor, labels: Labels, n: int, sign: int = 1) -> tuple[Weighted, ...]:
    """Return the tokens with the largest logits, (d_vocab,), each logit times `sign`: -1 if they were turned around."""
    top = logits.topk(min(n, len(logits)))
    return tuple(
        Weighted(labels.token(token), sign * value)
        for token, value in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    )


def _nearest(decoder: torch.Tensor, own: torch.Tensor, latents: Sequence[int], n: int) -> list[tuple[Neighbour, ...]]:
    """The latents whose decoder rows point most nearly where those of others do."""
    unit = functional.normalize(own, dim=-1)
    parts = torch.split(decoder, max(1, _CHUNK // decoder.shape[1]))
    cosines = torch.cat([unit @ functional.normalize(part.float(), dim=-1).T for part in parts], dim=1)
    cosines[torch.arange(len(latents)), torch.tensor(latents)] = -torch.inf  # each is nearest to itself
    top = cosines.topk(min(n, cosines.shape[1] - 1), dim=1)
    return [
        tuple(Neighbour(latent, cosine) for latent, cosine in zip(*row, strict=True))
        for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
