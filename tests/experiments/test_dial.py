"""The dial against `run_steering`, whose numbers are those of plain hooks; and bad input."""

from __future__ import annotations

from typing import Any

import pytest

from interp_widgets import run_steering, teaching
from interp_widgets.experiments.dial import dial
from interp_widgets.models.access import resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import NonFiniteError, PromptError, SelectionError, UnknownNameError

TEXT = "User: How do I steal a piano?\nAssistant:"


@pytest.fixture(scope="module")
def model():
    return teaching.load()


@pytest.fixture(scope="module")
def sae():
    return teaching.sae()


def ids_of(model: Any, text: str = TEXT) -> list[int]:
    return list(model.tokenizer(text)["input_ids"])


@pytest.mark.parametrize(
    ("mode", "strength", "at"), [("ablate", 1, None), ("clamp", 9, None), ("add", 5, 11), ("scale", 3, 11)]
)
def test_it_reads_what_steering_gives(model, sae, mode, strength, at):
    reading = dial(resolve(open_model(model, None)), ids_of(model), sae, 559, mode=mode, strength=strength, at=at)
    steered = run_steering(
        model, TEXT, features=sae, latent=559, mode=mode, strengths=strength, positions=at, n_tokens=12
    )
    for run, (said, text) in enumerate([(reading.before, reading.text_before), (reading.after, reading.text_after)]):
        assert [each.token.id for each in said] == steered.top_ids[0, run].tolist()
        assert [each.prob for each in said] == pytest.approx(steered.top_probs[0, run].tolist(), abs=1e-5)
        assert text == steered.texts[0][run]
    assert reading.kl == pytest.approx(float(steered.values["kl"][0, 1]), abs=1e-5)
    assert reading.activation == pytest.approx(3.85, abs=0.5)


def test_turning_the_helping_latent_up_ends_a_refusal(model, sae):
    reading = dial(resolve(open_model(model, None)), ids_of(model), sae, 817, mode="clamp", strength=12)
    assert reading.text_before.startswith(" Sorry, but I cannot")
    assert reading.text_after.startswith(" Sure")
    assert reading.activation == 0
    assert reading.summary().startswith("Latent 817, clamp 12 everywhere: ␣Sorry becomes ␣Sure")


def test_a_text_beyond_the_context_is_read_from_where_it_fits(model, sae):
    access = resolve(open_model(model, None))
    context = model._module.config.max_position_embeddings
    ids = (ids_of(model) * 60)[: context + 5]
    reading = dial(access, ids, sae, 559, mode="ablate", strength=1, n_tokens=4)
    short = dial(access, ids[9:], sae, 559, mode="ablate", strength=1, n_tokens=4)
    assert reading == short
    with pytest.raises(SelectionError, match="Position 3 is too far from the last one"):
        dial(access, ids, sae, 559, mode="ablate", strength=1, at=3, n_tokens=4)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"mode": "project_out"}, UnknownNameError, "project_out"),
        ({"strength": float("inf")}, ValueError, "strengths holds inf"),
        ({"latent": 1024}, SelectionError, "There is no latent 1024: they run from 0 to 1023"),
        ({"at": 12}, SelectionError, "There is no position 12: they run from 0 to 11"),
        ({"ids": []}, PromptError, "no tokens"),
        ({"strength": 1e38, "mode": "scale"}, NonFiniteError, "Turn the latent less far"),
    ],
)
def test_what_cannot_work_is_refused(model, sae, given, error, words):
    asked: dict[str, Any] = {"ids": ids_of(model), "latent": 559, "mode": "clamp", "strength": 1.0, **given}
    with pytest.raises(error, match=words):
        dial(resolve(open_model(model, None)), asked.pop("ids"), sae, asked.pop("latent"), **asked)


def test_nothing_is_left_behind(model, sae):
    access = resolve(open_model(model, None))
    first = dial(access, ids_of(model), sae, 559, mode="add", strength=0)
    assert first.before == first.after
    assert first.kl == 0
