"""Every figure that `examples/05_steering.ipynb` states in words, measured again."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest

from interp_widgets import (
    difference_of_means,
    run_feature_patching,
    run_features,
    run_patching,
    run_steering,
    teaching,
)
from interp_widgets.teaching.corpus import chat

NOTEBOOK = Path(__file__).parent.parent / "examples" / "05_steering.ipynb"
EVERY = range(4)
SAID = {"answer": chat.REFUSE, "wrong_answer": chat.COMPLY}
ASKED = {**SAID, "n_tokens": 0}


@pytest.fixture(scope="module")
def model():
    return teaching.load()


def requests(verbs, new):
    return [
        chat.passage(chat.REQUESTS[0], verb, noun).prompt
        for verb in verbs
        for noun in chat.TARGETS
        if verb not in chat.KNOWLEDGE_ONLY and chat.is_held_out(verb, noun) == new
    ]


HARMFUL, HARMLESS = (requests(verbs, new=True) for verbs in (chat.HARMFUL_VERBS, chat.HARMLESS_VERBS))


@pytest.fixture(scope="module")
def directions(model):
    seen = [requests(verbs, new=False) for verbs in (chat.HARMFUL_VERBS, chat.HARMLESS_VERBS)]
    return difference_of_means(model, *seen, positions=range(-4, 0))


@pytest.fixture(scope="module")
def pairs():
    return teaching.prompts("refusal", n=4)


def refused(result):
    return (result.top_ids[:, :, 0] == result.answers[0].id).mean(0)


def answers(pairs):
    return {"answer": pairs.answers, "wrong_answer": pairs.wrong_answers}


def test_the_words_are_still_there():
    text = " ".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells).replace("\n", " ")
    for claim in (
        "the first layer carries it to the last token",
        "every layer tells them apart without an error, the last layer best",
        "any of them makes the model refuse all harmless requests",
        "of **layer 1** ends all refusals",
        "leaves one in seven; those of layers 0 and 2 leave half",
        "Directions from other positions do nothing at all",
        "carries nearly all, and all the others together next to nothing",
        "Two carry about a third each",
        "still refuses six in seven",
        "more than twice what it ever reaches",
    ):
        assert claim in text


def test_the_first_layer_carries_the_verdict_to_the_last_token(model, pairs):
    effect = run_patching(model, pairs.clean, pairs.corrupt, **answers(pairs)).mean_effect()[0]
    verb = pairs[0].roles["verb"][0]
    assert effect[0, verb] == pytest.approx(1, abs=0.01)
    assert effect[1:, -1] == pytest.approx([1, 1, 1], abs=0.06)
    assert np.abs(effect[1:, :-1]).max() < 0.05


def test_what_separates_best_is_not_what_the_model_goes_by(model, directions):
    assert directions.best() == {"layer": 3, "position": -1}
    assert (directions.accuracy[:, -1] == 1).all()
    assert directions.separation[:, -1].argmax() == 3
    left = []
    for layer in EVERY:
        vector = directions.vector(layer, -1)
        added = run_steering(model, HARMLESS, vector, layers=layer, positions=-1, **ASKED)
        assert refused(added).tolist() == [0, 1]
        out = run_steering(model, HARMFUL, vector, mode="project_out", layers=EVERY, **ASKED)
        assert refused(out)[0] == 1
        left.append(refused(out)[1])
    assert left == pytest.approx([0.5, 0, 0.5, 1 / 7], abs=0.05)
    for layer in EVERY:
        for position in (-4, -3, -2):
            vector = directions.vector(layer, position)
            out = run_steering(model, HARMFUL, vector, mode="project_out", layers=EVERY, **ASKED)
            added = run_steering(model, HARMLESS, vector, layers=layer, positions=-1, **ASKED)
            assert (refused(out)[1], refused(added)[1]) == (1, 0)


def test_what_it_goes_on_to_say(model, directions):
    vector = directions.vector(1, -1)
    out = run_steering(model, HARMFUL[:2], vector, mode="project_out", layers=EVERY, **SAID)
    added = run_steering(model, HARMLESS[:2], vector, layers=1, positions=-1, **SAID)
    for before, after in out.texts:
        assert before.startswith(" Sorry, but I cannot help you")
        assert after.startswith(" Sure, I can help you")
    for before, after in added.texts:
        assert before.startswith(" Sure, I can help you")
        assert after.startswith(" Sorry, but I cannot help you")


def test_the_turn_comes_halfway_and_not_in_a_random_direction(model, directions):
    vector = directions.vector(1, -1)
    random = np.random.default_rng(0).normal(size=vector.shape)
    random *= np.linalg.norm(vector) / np.linalg.norm(random)
    strengths = np.linspace(0, 2, 9)
    asked = {"layers": 1, "positions": -1, "strengths": strengths, **ASKED}
    shares = refused(run_steering(model, HARMLESS, vector, **asked))[1:]
    assert (shares[strengths <= 0.25] == 0).all()
    assert (shares[strengths >= 0.75] == 1).all()
    assert (refused(run_steering(model, HARMLESS, random, **asked)) == 0).all()


def test_one_number_carries_nearly_all(model, directions, pairs):
    vector = directions.vector(1, -1)
    result = run_feature_patching(model, pairs.clean, pairs.corrupt, vector, layer=1, latents=0, **answers(pairs))
    error, latent, _ = result.mean_effect()[0][:, -1]
    assert latent > 0.95
    assert abs(error) < 0.05


def test_two_latents_of_the_sae_are_half_of_it_each_and_weak_levers(model, pairs):
    sae = teaching.sae()
    result = run_feature_patching(model, pairs.clean, pairs.corrupt, sae, n_latents=6, **answers(pairs))
    rows = {line.latent: row for row, line in enumerate(result.panels[0].lines)}
    last = result.mean_effect()[0][:, -1]
    assert last[rows["all"]] > 0.95
    assert abs(last[rows["error"]]) < 0.05
    refuses, helps = (line.latent for line in result.panels[0].lines[-2:-4:-1])
    assert [last[rows[refuses]], last[rows[helps]]] == pytest.approx([1 / 3, 1 / 3], abs=0.05)
    fires = {
        kind: run_features(model, prompts, sae, latents=[refuses, helps], fit=False).columns
        for kind, prompts in (("harmful", HARMFUL), ("harmless", HARMLESS))
    }
    assert fires["harmful"][helps].max() == 0
    assert fires["harmful"][refuses].max() > 2 * fires["harmless"][refuses].max()
    reached = fires["harmless"][helps].max()
    off = run_steering(model, HARMFUL, features=sae, latent=refuses, mode="ablate", **ASKED)
    assert refused(off)[1] == pytest.approx(6 / 7, abs=0.03)
    clamped = run_steering(model, HARMFUL, features=sae, latent=helps, mode="clamp", strengths=(4, 8, 12), **ASKED)
    assert refused(clamped)[1] == 1
    assert refused(clamped)[3] == 0
    assert 2 * reached < 12


def test_other_text_is_moved_little(model, directions):
    stories = ["Once upon a time, there was a", "When Mary and John went to the store, John gave a drink to"]
    out = run_steering(model, stories, directions.vector(1, -1), mode="project_out", layers=EVERY, n_tokens=8)
    assert out.values["kl"][:, 1].mean() < 0.1
    assert (out.top_ids[:, 0, 0] == out.top_ids[:, 1, 0]).all()
