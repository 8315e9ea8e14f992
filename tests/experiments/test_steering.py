"""Steering against plain PyTorch hooks, greedy continuations included; and bad input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets import SteeringResult, run_steering, teaching
from interp_widgets.experiments.steering import steering
from interp_widgets.models.dictionaries.activations import ReLU
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.models.dictionaries.normalisation import Standardised
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import (
    AnswerError,
    FeatureError,
    NonFiniteError,
    PromptError,
    SelectionError,
    UnknownNameError,
)
from tests.experiments import zoo
from tests.experiments.plain import Act, Plain
from tests.latents import Sparse

PROMPTS = [[5, 9, 13, 22], [5, 31, 2], [40, 7, 8, 9]]
D = 32
VECTOR = torch.randn(D, generator=torch.Generator().manual_seed(3))
STRENGTHS = (-1.5, 0.5, 3.0)

TURNS: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "add": lambda c, s: torch.full_like(c, s),
    "clamp": lambda c, s: s - c,
    "scale": lambda c, s: (s - 1) * c,
    "ablate": lambda c, s: -s * c,
    "project_out": lambda c, s: -s * c,
}


def logits_with(plain: Plain, ids: Sequence[int], acts: Sequence[tuple[str, int, Act]]) -> torch.Tensor:
    with ExitStack() as hooks, torch.no_grad():
        for site, layer, act in acts:
            hooks.enter_context(plain._at(site, layer, act))
        return plain.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]


def greedy(plain: Plain, ids: Sequence[int], acts: Sequence[tuple[str, int, Act]], n: int) -> list[int]:
    ids = list(ids)
    for _ in range(n):
        ids.append(int(logits_with(plain, ids, acts).argmax()))
    return ids[-n:]


def along(mode: str, strength: float, positions: Sequence[int] | None = None) -> Act:
    def act(values: torch.Tensor) -> torch.Tensor:
        by = TURNS[mode](values @ VECTOR / VECTOR.norm() ** 2, strength)[:, None] * VECTOR
        if positions is None:
            return values + by
        changed = values.clone()
        changed[list(positions)] += by[list(positions)]
        return changed

    return act


def check(result: SteeringResult, plain: Plain, acts_of: Callable[[int, float], Any], n: int) -> None:
    for number, ids in enumerate(PROMPTS):
        before = logits_with(plain, ids, [])
        assert result.continuations[number, 0].tolist() == greedy(plain, ids, [], n)
        for run, strength in enumerate(STRENGTHS, 1):
            acts = acts_of(number, strength)
            logits = logits_with(plain, ids, acts)
            right, wrong = result.answers[number].id, result.wrong_answers[number].id
            assert (right, wrong) == tuple(before.topk(2).indices.tolist())
            found = result.values["logit_diff"][number, run]
            assert found == pytest.approx(float(logits[right] - logits[wrong]), abs=1e-5)
            kl = (before.softmax(-1) * (before.log_softmax(-1) - logits.log_softmax(-1))).sum()
            assert result.values["kl"][number, run] == pytest.approx(float(kl), abs=1e-5)
            probs, tokens = logits.softmax(-1).topk(5)
            assert result.top_ids[number, run].tolist() == tokens.tolist()
            assert result.top_probs[number, run] == pytest.approx(probs.numpy(), abs=1e-5)
            assert result.continuations[number, run].tolist() == greedy(plain, ids, acts, n)


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_widgets.experiments.steering.ends_of", lambda access: frozenset())


@pytest.mark.parametrize("mode", list(TURNS))
@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_a_direction_at_several_layers_equals_hooks(name, mode):
    plain = Plain(name)
    result = run_steering(
        zoo.model(name), PROMPTS, VECTOR, mode=mode, strengths=STRENGTHS, layers=(0, 1), n_tokens=4, max_rows=5
    )
    check(result, plain, lambda _n, s: [("resid_post", layer, along(mode, s)) for layer in (0, 1)], 4)


@pytest.mark.parametrize("site", ["resid_pre", "attn_out", "mlp_out"])
@pytest.mark.parametrize("name", ["gpt_neox", "falcon", "llama", "opt"])
def test_a_direction_at_other_sites_of_other_families_equals_hooks(name, site):
    result = run_steering(
        zoo.model(name), PROMPTS, VECTOR.numpy(), site=site, layers=-1, strengths=STRENGTHS, n_tokens=2
    )
    check(result, Plain(name), lambda _n, s: [(site, len(Plain(name).blocks) - 1, along("add", s))], 2)


def test_chosen_positions_are_those_of_the_prompt_alone():
    result = run_steering(
        zoo.model("gpt2"), PROMPTS, VECTOR, mode="add", strengths=STRENGTHS, layers=0, positions=(-1, 0), n_tokens=3
    )
    check(result, Plain("gpt2"), lambda n, s: [("resid_post", 0, along("add", s, (0, len(PROMPTS[n]) - 1)))], 3)


@pytest.mark.parametrize("mode", ["add", "clamp", "scale", "ablate"])
def test_a_latent_is_turned_and_all_else_stays(mode):
    dictionary = Sparse(D, 40, k=6, place=Place("resid_post", 0))
    plain = Plain("gpt2")
    latent = int(dictionary.encode(plain.read(PROMPTS[0], "resid_post")[0])[-1].argmax())

    def turned(strength: float) -> Act:
        def act(values: torch.Tensor) -> torch.Tensor:
            latents = dictionary.encode(values)
            error = values - dictionary.decode(latents, values)
            latents[:, latent] += TURNS[mode](latents[:, latent], strength)
            return dictionary.decode(latents, values) + error

        return act

    given = {"features": dictionary, "latent": latent, "mode": mode, "strengths": STRENGTHS}
    result = run_steering(zoo.model("gpt2"), PROMPTS, **given, n_tokens=4)
    check(result, plain, lambda _n, s: [("resid_post", 0, turned(s))], 4)
    assert result.values["kl"][0, 1:].max() > 1e-4


def test_a_latent_of_a_normalised_dictionary_is_turned_in_its_own_units():
    generator = torch.Generator().manual_seed(0)
    weights = Weights(*(torch.randn(40, D, generator=generator) / D**0.5 for _ in range(2)))
    place = Place("resid_post", 0)
    coder = Coder(weights, ReLU(), name="it", kind="sae", reads=place, writes=place, normalisation=Standardised())

    def turned(strength: float) -> Act:
        def act(values: torch.Tensor) -> torch.Tensor:
            latents = coder.encode(values)
            error = values - coder.decode(latents, values)
            latents[:, 7] = strength
            return coder.decode(latents, values) + error

        return act

    result = run_steering(
        zoo.model("gpt2"), PROMPTS, features=coder, latent=7, mode="clamp", strengths=STRENGTHS, n_tokens=2
    )
    check(result, Plain("gpt2"), lambda _n, s: [("resid_post", 0, turned(s))], 2)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_neuron_is_turned_where_it_is(name):
    def turned(strength: float) -> Act:
        def act(values: torch.Tensor) -> torch.Tensor:
            changed = values.clone()
            changed[:, 3] = strength
            return changed

        return act

    result = run_steering(
        zoo.model(name),
        PROMPTS,
        features="neurons",
        latent=3,
        layers=0,
        mode="clamp",
        strengths=STRENGTHS,
        n_tokens=3,
    )
    check(result, Plain(name), lambda _n, s: [("mlp_post", 0, turned(s))], 3)


def test_a_direction_and_a_dictionary_of_it_are_the_same():
    asked: dict[str, Any] = {"strengths": (0.0, 2.0), "n_tokens": 0, "layers": 1}
    along_it = run_steering(zoo.model("gpt2"), PROMPTS, VECTOR / VECTOR.norm(), mode="clamp", **asked)
    latent = run_steering(
        zoo.model("gpt2"), PROMPTS, features=VECTOR[None] / VECTOR.norm(), latent=0, mode="clamp", **asked
    )
    assert latent.values["logit_diff"] == pytest.approx(along_it.values["logit_diff"], abs=1e-5)


def test_what_is_asked_comes_first_and_partial_results_grow():
    steps = steering(zoo.model("gpt2"), PROMPTS, VECTOR, layers=0, strengths=STRENGTHS, n_tokens=1, max_rows=4)
    seen = []
    try:
        while True:
            seen.append(next(steps))
    except StopIteration as stop:
        whole = stop.value
    done = [int((partial.top_ids[:, 0, 0] >= 0).sum()) for partial in seen]
    assert done == [1, 2, 3]
    assert [partial.complete for partial in seen] == [False, False, True]
    assert seen[-1] == whole
    assert not whole.values["kl"].flags.writeable
    assert "Not all of it" in seen[0].summary()


def test_it_is_saved_and_told(tmp_path):
    model = teaching.load()
    pair = teaching.prompts("refusal", n=1)[0]
    vector = torch.randn(128, generator=torch.Generator().manual_seed(0))
    result = run_steering(
        model, pair.clean, vector, layers=2, strengths=0.5, answer=pair.answer, wrong_answer=pair.wrong_answer
    )
    assert SteeringResult.load(result.save(tmp_path / "it.safetensors")) == result
    table = result.to_frame()
    assert table.shape[0] == 2
    assert table.continuation[0].startswith(pair.answer)
    assert result.answers[0].label == "␣" + pair.answer.strip()
    assert "the same next token in" in result.summary()
    assert result.change().shape == (1, 1)
    assert result.complete


def test_a_text_ends_where_the_tokenizer_says(monkeypatch):
    plain = Plain("gpt2")
    said = greedy(plain, PROMPTS[0], [], 6)
    end = said[2]
    monkeypatch.setattr("interp_widgets.experiments.steering.ends_of", lambda access: frozenset({end}))
    result = run_steering(zoo.model("gpt2"), PROMPTS[:1], VECTOR, layers=0, strengths=0.0, n_tokens=6)
    stop = said.index(end) + 1
    assert result.continuations[0, 0].tolist() == said[:stop] + [-1] * (6 - stop)


def test_nothing_of_the_model_changes_and_weak_steering_is_none():
    result = run_steering(zoo.model("gpt2"), PROMPTS, VECTOR, layers=(0, 1), strengths=0, n_tokens=3)
    assert np.array_equal(result.values["logit_diff"][:, 0], result.values["logit_diff"][:, 1])
    assert np.array_equal(result.continuations[:, 0], result.continuations[:, 1])


NAN, ZERO = torch.full((D,), float("nan")), torch.zeros(D)
LATENT: dict[str, Any] = {"direction": None, "features": torch.eye(D), "layers": 0}


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"direction": torch.ones(D + 1)},
            FeatureError,
            r"shape \(33,\), and resid_post of GPT2LMHeadModel is 32 wide",
        ),
        ({"direction": NAN}, FeatureError, "direction holds NaN"),
        ({"direction": ZERO}, FeatureError, "direction is zero"),
        ({"direction": "up"}, FeatureError, "direction is a str. Pass one number for each"),
        ({"strengths": float("nan")}, ValueError, "strengths holds nan"),
        ({"strengths": ()}, ValueError, "strengths is empty"),
        ({"strengths": "much"}, ValueError, "strengths holds 'much'"),
        ({"mode": "push"}, UnknownNameError, "push"),
        ({"layers": 7}, SelectionError, "layers holds 7"),
        ({"layers": None}, SelectionError, r"Say at which layers .* layers=range"),
        ({"site": "stream"}, UnknownNameError, "stream"),
        ({"site": "pattern"}, SelectionError, "pattern has no numbers of single tokens"),
        ({"positions": 3}, SelectionError, "positions holds 3"),
        ({"n_tokens": -1}, ValueError, "n_tokens=-1"),
        ({"n_tokens": 10_000}, PromptError, "more than the model's context"),
        ({"direction": None}, SelectionError, "Pass what is turned"),
        ({"features": torch.eye(D), "latent": 0}, SelectionError, "one of them at a time"),
        ({**LATENT, "latent": 32}, SelectionError, "latent=32, but those of 32 directions run from 0 to 31"),
        ({**LATENT, "latent": 0, "mode": "project_out"}, SelectionError, "Use mode='ablate'"),
        ({**LATENT, "latent": 0, "layers": (0, 1)}, SelectionError, "read at one layer"),
        ({"answer": 61}, AnswerError, "61"),
        ({"prompts": []}, PromptError, "steered prompt"),
    ],
)
def test_what_cannot_work_is_refused(given, error, words):
    asked = {"prompts": PROMPTS, "direction": VECTOR, "layers": 0, **given}
    with pytest.raises(error, match=words):
        steering(zoo.model("gpt2"), asked.pop("prompts"), **asked)


def test_overflow_is_told_with_its_strength():
    with pytest.raises(NonFiniteError, match=r"Prompt 0 with strength 1e\+38 gives NaN"):
        run_steering(zoo.model("gpt2"), PROMPTS[0], 1e30 * VECTOR, layers=0, strengths=1e38, n_tokens=0)


def test_the_figure_has_the_metric_and_the_kl_by_strength():
    result = run_steering(zoo.model("gpt2"), PROMPTS, direction=VECTOR, layers=1, strengths=(3.0, -1.5, 0.5), answer=11)
    left, right = result.figure().axes
    for axis, metric in ((left, result.metric), (right, "kl")):
        *thin, mean, before = axis.lines
        assert len(thin) == len(PROMPTS)
        assert mean.get_xdata().tolist() == [-1.5, 0.5, 3.0]
        order = [2, 3, 1]
        np.testing.assert_allclose(mean.get_ydata(), result.values[metric][:, order].mean(0), rtol=1e-6)
        assert before.get_ydata()[0] == pytest.approx(float(result.values[metric][:, 0].mean()))
    alone = run_steering(zoo.model("gpt2"), PROMPTS[0], direction=VECTOR, layers=1, strengths=(1.0,), answer=11)
    assert len(alone.figure().axes[0].lines) == 2
