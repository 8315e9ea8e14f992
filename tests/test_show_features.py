"""What `show_features` does beyond showing what `run_features` returns: cards, with examples from a corpus."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from interp_widgets import run_features, run_latent_cards, run_top_examples, show_features, teaching
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import InterpWidgetsError, PromptError, ResultError

TEXT = "When Mary and John went to the store, John gave a drink to"
AGAINST = "When Mary and John went to the store, Mary gave a drink to"


@pytest.fixture(scope="module")
def model():
    return teaching.load()


@pytest.fixture(scope="module")
def corpus():
    return [pair.clean for pair in teaching.prompts("ioi", n=12)]


def test_its_arguments_are_those_of_run_features_and_a_corpus():
    shown, run = (inspect.signature(function).parameters for function in (show_features, run_features))
    for name, parameter in run.items():
        assert (shown[name].default, shown[name].kind) == (parameter.default, parameter.kind), name
    assert set(shown) - set(run) == {"corpus", "called"}


def test_the_view_shows_what_run_features_returns(model):
    arguments = {"layer": 2, "against": AGAINST, "threshold": 0.1, "latents": [3], "keep": 40}
    view = show_features(model, TEXT, "neurons", **arguments)
    assert view.result == run_features(model, TEXT, "neurons", **arguments)


def test_a_card_is_what_run_latent_cards_finds(model, corpus):
    view = show_features(model, TEXT, "neurons", layer=2, corpus=corpus, called="prompts")
    (card,) = run_latent_cards(model, "neurons", [7], layer=2, text=TEXT, corpus=corpus, called="prompts")
    assert same_content(view.card(7), card)
    assert card.examples
    assert same_content(view.result.cards[7], card)


def test_examples_that_were_found_before_are_not_looked_for_again(model, corpus):
    found = run_top_examples(model, "neurons", corpus, layer=2, latents=[7, 9], called="prompts")
    view = show_features(model, TEXT, "neurons", layer=2, corpus=found)
    (card,) = run_latent_cards(model, "neurons", [7], layer=2, text=TEXT)
    said = found.card(7)
    whole = replace(card, examples=said.examples, histogram=said.histogram, density=said.density, corpus=said.corpus)
    assert same_content(view.card(7), whole)
    assert view.card(8).examples is None  # nobody looked for them
    assert view.card(8).promotes


def test_what_writes_to_a_latent_is_looked_at_in_both_texts(model):
    sae = teaching.sae()
    view = show_features(model, TEXT, sae, against=[AGAINST, "Tom has a dog."])
    read = view.result
    latent = next(
        latent
        for latent, _ in read.ranked("difference", 1024)
        if abs(read.column(latent)).argmax() >= len(read.texts[0])
    )
    card = view.card(latent)
    strongest = abs(read.column(latent)).argmax()
    assert card.written_at == read.place(int(strongest))
    assert card.written_at[0] > 0
    assert sum(link.weight for link in card.written_by) == pytest.approx(read.column(latent)[strongest], abs=1e-3)


def test_examples_of_another_dictionary_are_refused(model, corpus):
    found = run_top_examples(model, "neurons", corpus, layer=1)
    with pytest.raises(ResultError, match=r"These examples are of neurons of layer 1.* and not of neurons of layer 2"):
        show_features(model, TEXT, "neurons", layer=2, corpus=found)


def test_a_corpus_that_no_card_can_be_made_from_is_refused_at_once(model, corpus):
    with pytest.raises(PromptError, match="The corpus is a generator, which can be read only once"):
        show_features(model, TEXT, "neurons", layer=2, corpus=(text for text in corpus))
    with pytest.raises(PromptError, match="Document 1 is empty"):
        show_features(model, TEXT, "neurons", layer=2, corpus=[TEXT, ""])
    with pytest.raises(PromptError, match="The document is an int"):
        show_features(model, TEXT, "neurons", layer=2, corpus=5)


def test_a_saved_page_has_cards_of_what_leads(model, tmp_path):
    view = show_features(model, TEXT, "neurons", layer=2)
    view.pinned = [100]
    view.to_html(tmp_path / "page.html")
    leading = [latent for latent, _ in view.result.ranked("max", 8)]
    assert view.result.cards.keys() == {100, *leading}


def test_what_is_wrong_is_said_before_anything_is_shown(model):
    with pytest.raises(InterpWidgetsError, match="layer 9"):
        show_features(model, TEXT, "neurons", layer=9)
