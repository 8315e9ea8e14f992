"""The SAE that ships: every figure of its card, and what it gives, against plain PyTorch."""

from __future__ import annotations

import json
from itertools import islice
from random import Random

import numpy as np
import pytest
import torch

from interp_widgets import TopKSAE, teaching
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.fit import measure_fit
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.harvest import harvest
from interp_widgets.models.opening import open_model
from interp_widgets.teaching import sae_card, train_sae
from interp_widgets.teaching.corpus import ioi, passages
from interp_widgets.teaching.data import FOLDER, SAE_FOLDER, bundled_tokenizer
from interp_widgets.teaching.measure import Lab
from interp_widgets.teaching.measure import sae as measurements
from interp_widgets.teaching.measure.concepts import CONCEPTS
from interp_widgets.teaching.measure.held_out import documents
from interp_widgets.teaching.measure.sae import Named, PlainSae, halves, measure, name_latents

CARD = sae_card.read()
NAMED = [Named(**each) for each in CARD["named"]]


@pytest.fixture(scope="module")
def lab():
    return Lab(FOLDER)


@pytest.fixture(scope="module")
def plain():
    return PlainSae(SAE_FOLDER)


@pytest.fixture(scope="module")
def measured(lab, plain):
    return measure(lab, plain, NAMED)


@pytest.mark.parametrize("figure", CARD["figures"], ids=lambda figure: figure["name"])
def test_a_claimed_figure_is_measured_again(figure, measured):
    again = measured[figure["name"]]
    assert again.value == pytest.approx(figure["value"], abs=figure["tolerance"])
    assert again.tolerance == figure["tolerance"]


def test_the_card_has_every_figure(measured):
    assert [figure["name"] for figure in CARD["figures"]] == list(measured)


def test_the_page_shows_the_figures_of_the_card():
    assert sae_card.SAE_PAGE.read_text() == sae_card.page(CARD)


def test_names_are_those_that_the_other_half_gives(lab, plain):
    again = name_latents(halves(lab, plain)[0])
    assert {each.concept: each.latent for each in again} == {each.concept: each.latent for each in NAMED}
    np.testing.assert_allclose(
        [each.threshold for each in again],
        [next(one.threshold for one in NAMED if one.concept == each.concept) for each in again],
        atol=0.05,
    )


def test_at_least_a_dozen_names_hold_on_documents_that_they_were_not_chosen_on(measured):
    sure = [
        each.concept
        for each in NAMED
        if min(measured[f"sae.latent.{each.concept}.{kind}"].value for kind in ("precision", "recall")) >= 0.9
    ]
    assert len(sure) >= 12


def test_the_names_travel_with_the_sae():
    sae = teaching.sae()
    names = {concept.key: concept.name for concept in CONCEPTS}
    assert sae.concepts.names == {each.latent: names[each.concept] for each in sorted(NAMED, key=lambda n: n.latent)}
    season = next(each for each in NAMED if each.concept == "season")
    assert sae.concepts.latent("a season") == season.latent
    assert sae.concepts.notes[season.latent].startswith(f"above {season.threshold:g}: precision ")


def test_it_is_what_the_card_says():
    sae = teaching.sae()
    assert (str(sae.info.reads), sae.info.writes) == ("resid_post of layer 1", sae.info.reads)
    assert (sae.info.n_latents, sae.k, sae.info.d_in) == (CARD["latents"], CARD["k"], 128)
    assert sae.curves.complete
    assert (sae.curves.total_steps, sae.curves.tokens[-1]) == (CARD["steps"], CARD["tokens"])
    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.ones(1024), atol=1e-3, rtol=0)
    assert {weight.dtype for weight in sae.buffers()} == {torch.float32}


def test_it_was_trained_on_the_model_that_ships():
    access = resolve(open_model(teaching.load()))
    assert teaching.sae().curves.provenance.fingerprint == fingerprint(access.opened.module)


def test_it_gives_what_plain_torch_gives_on_the_model_itself(lab, plain):
    sae, access = teaching.sae(), resolve(open_model(teaching.load()))
    ids = lab.ids([pair.clean for pair in teaching.prompts("ioi", n=5)])
    latents = harvest(access, ids, sae.info.reads, sae.encode)
    stream = lab.record(ids, [plain.place])[plain.place]
    torch.testing.assert_close(latents, plain.encode(stream), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(sae.decode(latents, stream), plain.decode(latents), atol=1e-5, rtol=1e-5)
    assert ((latents > 0).sum(-1) == 8).all()


def test_the_package_measures_the_same_fit_as_the_card(lab, measured):
    access = resolve(open_model(teaching.load()))
    groups = measurements._of_equal_length(lab, documents("latents", 1400))
    fit = measure_fit(access, teaching.sae(), [lab.ids([passage.text for passage in group]) for group in groups])
    for name in ("variance_explained", "l0", "loss", "loss_with", "loss_without", "loss_recovered"):
        assert getattr(fit, name) == pytest.approx(measured[f"sae.{name}"].value, abs=1e-3)


def test_each_load_is_fresh():
    one = teaching.sae()
    one.decoder.zero_()
    assert teaching.sae().decoder.abs().sum() > 0


def test_held_out_documents_are_not_what_training_draws():
    drawn = {passage.text for passage in islice(passages(Random("any")), 20_000)}
    assert not drawn & {passage.text for passage in documents("latents", 1400)}


def test_held_out_documents_come_from_their_seed():
    assert documents("a", 20) == documents("a", 20)[:20] != documents("b", 20)
    assert documents("a", 40)[:20] == documents("a", 20)


def marked(passage, key):
    """The tokens of a document that a concept finds."""
    concept = next(concept for concept in CONCEPTS if concept.key == key)
    offsets = bundled_tokenizer().encode(passage.text).offsets
    hits = concept.at(passage, offsets)
    return [passage.text[slice(*at)].strip() for at, hit in zip(offsets, hits, strict=True) if hit]


def test_concepts_find_what_they_say():
    said = ioi.passage(ioi.TEMPLATES[0], "Mary", "John", "John", "store", "drink")
    offsets = bundled_tokenizer().encode(said.text).offsets
    name_again = next(concept for concept in CONCEPTS if concept.key == "name_again").at(said, offsets)
    at = name_again.index(True)
    assert said.text[: offsets[at][1]].count("John") == 2
    assert marked(said, "to_whom") == ["to"]
    assert marked(said, "place") == ["store"]
    assert sorted(marked(said, "woman") + marked(said, "man")) == ["John", "John", "Mary", "Mary"]
    assert marked(said, "refused") == []


def test_each_concept_occurs_and_has_its_own_key():
    assert len({concept.key for concept in CONCEPTS}) == len({concept.name for concept in CONCEPTS}) == len(CONCEPTS)
    drawn = documents("latents", 700)
    assert all(any(marked(passage, concept.key) for passage in drawn) for concept in CONCEPTS)


def test_the_best_threshold_is_the_best_of_all():
    random = np.random.default_rng(0)
    latents = random.integers(0, 6, (60, 5)).astype(np.float32)
    tokens = random.random(60) < 0.3
    tokens[latents[:, 2] == 5] = True

    def f1(latent, threshold):
        above = latents[:, latent] > threshold
        return 2 * (above & tokens).sum() / (above.sum() + tokens.sum())

    scores, thresholds = measurements._best_thresholds(latents, tokens)
    for latent in range(5):
        best = max(f1(latent, threshold + 0.5) for threshold in range(5))
        assert scores[latent] == pytest.approx(max(best, f1(latent, 0)))
        assert f1(latent, thresholds[latent]) == pytest.approx(scores[latent])


def test_training_naming_and_installing_from_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_sae, "_BATCHES", 2)
    monkeypatch.setattr(train_sae, "SAE_FOLDER", tmp_path / "installed")
    monkeypatch.setattr(measurements, "_DOCUMENTS", 140)
    monkeypatch.setattr(measurements, "_DEAD_BATCHES", 2)
    monkeypatch.setattr(measurements, "_FLOOR", 0.3)
    for name in ("SAE_CARD", "SAE_PAGE"):
        monkeypatch.setattr(sae_card, name, tmp_path / name)
    train_sae.main(["--out", str(tmp_path / "run"), "--steps", "12", "--install"])
    sae = TopKSAE.load(tmp_path / "installed")
    card = json.loads((tmp_path / "SAE_CARD").read_text())
    assert card["steps"] == sae.curves.total_steps == 12
    assert sorted(sae.concepts.names) == sorted(each["latent"] for each in card["named"])
    page = (tmp_path / "SAE_PAGE").read_text()
    assert all(f"| {each['latent']} | " in page for each in card["named"])
    assert "sae.variance_explained" in capsys.readouterr().out
    before = (tmp_path / "installed" / "sae_weights.safetensors").read_bytes()
    train_sae.main(["--out", str(tmp_path / "run"), "--install"])  # what is trained is not trained again
    assert (tmp_path / "installed" / "sae_weights.safetensors").read_bytes() == before
