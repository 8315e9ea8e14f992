"""Causal traces against plain hooks that add the same noise, and their known answers."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight

from interp_widgets import teaching
from interp_widgets.experiments import causal_trace as causal_trace_module
from interp_widgets.experiments.causal_trace import causal_trace, run_causal_trace
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import (
    AnswerError,
    NoGapError,
    PromptError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from interp_widgets.results.patching import PatchingResult, Status
from tests.experiments import zoo
from tests.experiments.plain import Plain, Put

PROMPT = [5, 9, 13, 22, 40, 7]
SUBJECT = (1, 3)
GIVEN: dict[str, Any] = {"subject": SUBJECT, "answer": 11, "wrong_answer": 27}
SENTENCE = "When Mary and John went to the store, John gave a drink to"


def noises(model: Any, samples: int, seed: int = 0, size: float = 3.0) -> list[torch.Tensor]:
    """The noise of each sample, (position, d_embed), as its description says."""
    embedding = model.get_input_embeddings()
    with torch.no_grad():
        handed_over = embedding(torch.arange(embedding.num_embeddings))
    deviation = float(handed_over.double().std(correction=0))
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(samples):
        noise = torch.zeros(len(PROMPT), handed_over.shape[-1])
        noise[slice(*SUBJECT)] = size * deviation * torch.randn(2, handed_over.shape[-1], generator=generator)
        made.append(noise)
    return made


def logit_diff(logits: torch.Tensor) -> float:
    return float(logits[11] - logits[27])


@pytest.mark.parametrize("name", ["gpt2", "gemma", "gemma3", "bloom", "granite", "opt", "gptj", "falcon"])
def test_every_cell_equals_plain_hooks(name: str) -> None:
    plain = Plain(name)
    samples, seed, reach = 2, 3, {1: (0, 1), 2: (1, 2), 0: (0,)}
    singles, windows = ("resid_pre", "resid_post"), ("mlp_out", "attn_out")
    arguments: dict[str, Any] = GIVEN | {"samples": samples, "seed": seed, "metric": "logit_diff"}
    found = run_causal_trace(plain.model, PROMPT, sites=singles, **arguments)
    windowed = run_causal_trace(plain.model, PROMPT, sites=windows, window=2, **arguments)

    for sample, noise in enumerate(noises(plain.model, samples, seed)):
        ends = [logit_diff(plain.run(PROMPT)), logit_diff(plain.run(PROMPT, noise=noise))]
        np.testing.assert_allclose(found.baselines["logit_diff"][sample], ends, atol=1e-4)
        for result, sites in ((found, singles), (windowed, windows)):
            for number, site in enumerate(sites):
                clean = plain.read(PROMPT, site)
                expected = np.empty((len(clean), len(PROMPT)))
                for layer, position in np.ndindex(expected.shape):
                    layers = reach[layer] if result is windowed else (layer,)
                    puts = [Put(site, one, position, clean[one][position]) for one in layers]
                    expected[layer, position] = logit_diff(plain.run(PROMPT, puts, noise))
                assert expected.std() > 0.01
                np.testing.assert_allclose(
                    result.value()[sample, number], expected, atol=1e-5 * max(1, np.abs(expected).max()), rtol=0
                )
    assert abs(ends[0] - ends[1]) > 0.1


def test_the_noise_follows_its_seed_and_more_samples_begin_alike() -> None:
    model = zoo.model("gpt2")
    two, again, three, other = (
        run_causal_trace(model, PROMPT, samples=samples, seed=seed, **GIVEN)
        for samples, seed in ((2, 0), (2, 0), (3, 0), (2, 1))
    )
    assert two == again
    np.testing.assert_allclose(three.value()[:2], two.value(), atol=1e-6)
    assert not np.allclose(two.value()[0], two.value()[1], atol=1e-3)
    assert not np.allclose(other.value(), two.value(), atol=1e-3)


def test_numbers_of_numpy_and_torch_will_do() -> None:
    plain, numpy = (
        next(causal_trace(zoo.model("gpt2"), PROMPT, samples=samples, seed=seed, noise=noise, **GIVEN))
        for samples, seed, noise in ((2, 1, 0.5), (np.int64(2), torch.tensor(1), np.float32(0.5)))
    )
    assert plain == numpy


def test_samples_beyond_the_cache_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    together = run_causal_trace(zoo.model("gpt2"), PROMPT, samples=3, **GIVEN)
    monkeypatch.setattr("interp_widgets.experiments.bench._CACHE_BYTES", 1)
    apart = run_causal_trace(zoo.model("gpt2"), PROMPT, samples=3, **GIVEN)
    np.testing.assert_allclose(apart.value(), together.value(), atol=1e-5)
    np.testing.assert_allclose(apart.baselines["prob"], together.baselines["prob"], atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "gemma", "bloom", "opt"])
def test_restoring_all_positions_gives_the_clean_run(name: str) -> None:
    found = run_causal_trace(
        zoo.model(name), PROMPT, sites=("resid_pre", "resid_mid", "resid_post"), by="layer", samples=2, **GIVEN
    )
    assert (found.mean_effect() == 1).all()
    assert (found.effect() == 1).all()


def test_the_first_layer_restored_at_the_whole_subject_gives_the_clean_run() -> None:
    found = run_causal_trace(
        zoo.model("gpt2"), PROMPT, sites="resid_pre", roles={"subject": SUBJECT, "end": -1}, samples=2, **GIVEN
    )
    first = found.effect()[:, 0, 0]
    assert first.tolist() == [[1, 0], [1, 0]]
    assert (found.status[:, 0, 0] == Status.KNOWN).all()


def test_positions_before_the_noise_are_certain() -> None:
    found = run_causal_trace(zoo.model("gpt2"), PROMPT, sites=("resid_post", "mlp_out"), samples=2, **GIVEN)
    assert (found.status[..., 0] == Status.KNOWN).all()
    assert (found.effect()[..., 0] == 0).all()
    assert (found.status[:, 0, 0, 1] == Status.COMPUTED).all()


def test_total_and_indirect_effects_are_means_over_samples() -> None:
    found = run_causal_trace(zoo.model("gpt2"), PROMPT, samples=3, **GIVEN)
    ends = found.baselines["prob"]
    total = (ends[:, 0] - ends[:, 1]).mean()
    indirect = (found.value("prob") - ends[:, 1, None, None, None]).mean(0)
    np.testing.assert_allclose(found.mean_effect("prob"), indirect / total, atol=1e-6)
    assert not np.allclose(found.mean_effect(), found.effect().mean(0), atol=1e-3)  # a mean of ratios is another thing


def test_the_result_says_what_was_added_where() -> None:
    model = zoo.model("gpt2")
    found = run_causal_trace(model, PROMPT, samples=2, seed=4, noise=2, sites="mlp_out", window=2, **GIVEN)
    deviation = float(model.transformer.wte.weight.detach().double().std(correction=0))
    assert found.provenance.settings == {
        "noise": f"Gaussian, 2 standard deviations of the token embedding ({2 * deviation:.4g})",
        "noised": "#9 (position 1), #13 (position 2)",
        "samples": "2",
        "seed": "4",
        "window": "2 layers around the one of a cell, clipped at both ends",
    }
    assert found.direction == "denoising"
    assert [pair.noised for pair in found.pairs] == [(1, 2), (1, 2)]
    assert found.pairs[0].differs == (1, 2)
    assert found.pairs[0].corrupt == found.pairs[0].clean
    assert "2 samples" in repr(found)
    assert "mean of 2 samples" in found.summary()
    assert "Restoring mlp_out from the clean run, in the noised run of" in found.summary()


def test_a_result_survives_saving(tmp_path: Any) -> None:
    found = run_causal_trace(zoo.model("gpt2"), PROMPT, samples=2, **GIVEN)
    assert PatchingResult.load(found.save(tmp_path / "trace.safetensors")) == found


def test_answers_that_are_not_given_are_the_models_first_two() -> None:
    model = zoo.model("gpt2")
    first, second, third = Plain("gpt2").run(PROMPT).topk(3).indices.tolist()
    for given, expected in (
        ({}, (first, second)),
        ({"answer": second}, (second, first)),
        ({"wrong_answer": first}, (second, first)),
        ({"answer": third}, (third, first)),
    ):
        steps = causal_trace(model, PROMPT, subject=2, samples=2, metric="logit_diff", **given)
        for pair in next(steps).pairs:
            assert (pair.answer.id, pair.wrong_answer.id) == expected
            assert pair.answer_source == "model"


def test_tiny_noise_warns_and_effects_stay_finite() -> None:
    with pytest.warns(UserWarning, match="mean of 2 samples: the two runs differ by only"):
        found = run_causal_trace(zoo.model("gpt2"), PROMPT, noise=1e-4, samples=2, **GIVEN)
    assert np.isfinite(found.mean_effect()).all()


def test_noise_that_changes_nothing_leaves_no_gap() -> None:
    with pytest.raises(
        NoGapError,
        match=r"mean of 2 samples: both runs score the same prob.*no gap.*, or more noise, or another metric",
    ):
        run_causal_trace(zoo.model("gpt2"), PROMPT, noise=1e-12, samples=2, **GIVEN)


def test_one_sample_without_a_gap_does_not_end_the_trace() -> None:
    """Ranks are whole numbers, so that the noise of some samples leaves them as they are."""
    found = run_causal_trace(zoo.model("gpt2"), PROMPT, noise=0.3, samples=8, metric="rank", **GIVEN)
    ends = found.baselines["rank"]
    assert (ends[:, 0] == ends[:, 1]).any()
    assert np.isnan(found.effect()).any()
    assert np.isfinite(found.mean_effect()).all()


def test_edits_of_the_user_apply_to_both_sides() -> None:
    silenced = zoo.build("gpt2")
    with torch.no_grad():
        silenced.transformer.h[1].mlp.c_proj.weight.zero_()
        silenced.transformer.h[1].mlp.c_proj.bias.zero_()
    sites = ("resid_pre", "attn_out")
    expected = run_causal_trace(silenced, PROMPT, sites=sites, samples=2, **GIVEN)
    model = NNsight(zoo.build("gpt2"))
    with model.edit(inplace=True):
        model.transformer.h[1].mlp.output[:] = 0
    found = run_causal_trace(model, PROMPT, sites=sites, samples=2, **GIVEN)
    model.clear_edits()
    np.testing.assert_allclose(found.value(), expected.value(), atol=1e-5)
    np.testing.assert_allclose(found.baselines["prob"], expected.baselines["prob"], atol=1e-6)


@pytest.mark.parametrize("subject", ["Mary", " Mary", "Mary and"])
def test_a_subject_is_found_in_the_text(subject: str) -> None:
    model = teaching.load()
    result = next(causal_trace(model, SENTENCE, subject=subject, samples=1))
    assert result.pairs[0].noised == ((1, 2) if "and" in subject else (1,))
    ids = model.tokenizer(SENTENCE)["input_ids"]
    assert next(causal_trace(model, ids, subject=subject, samples=1)).pairs[0].noised == result.pairs[0].noised


@pytest.mark.parametrize(
    ("subject", "noised"),
    [(2, (2,)), (-1, (5,)), ([3, 1], (1, 3)), ((1, 3), (1, 2)), (range(2), (0, 1)), (torch.tensor([4]), (4,))],
)
def test_a_subject_may_be_positions(subject: Any, noised: tuple[int, ...]) -> None:
    result = next(causal_trace(zoo.model("gpt2"), PROMPT, subject=subject, samples=1, answer=11))
    assert result.pairs[0].noised == noised


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(open_model(zoo.model("gpt2")))  # which takes probe runs of its own, once
    teaching.load()

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Access, "read", fail)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"noise": 0}, ValueError, "noise=0 must be a number above 0: how many standard deviations of the embedding"),
        ({"noise": -1.0}, ValueError, "noise=-1.0 must be a number above 0"),
        ({"noise": float("nan")}, ValueError, "noise=nan must be a number above 0"),
        ({"noise": float("inf")}, ValueError, "noise=inf must be a number above 0"),
        ({"noise": "s3"}, ValueError, "noise='s3' must be a number above 0"),
        ({"samples": 0}, ValueError, "samples=0 must be a whole number from 1 on"),
        ({"samples": 2.5}, ValueError, r"samples=2\.5 must be a whole number from 1 on"),
        ({"samples": True}, ValueError, "samples=True must be a whole number from 1 on"),
        ({"seed": -1}, ValueError, "seed=-1 must be a whole number from 0 on"),
        ({"seed": None}, ValueError, "seed=None must be a whole number from 0 on"),
        ({"subject": "Mary"}, SelectionError, "subject='Mary' is text, but this model comes without a tokenizer"),
        ({"subject": None}, SelectionError, "subject=None names nothing to add noise to"),
        ({"subject": 6}, SelectionError, "subject holds 6, but they run from 0 to 5"),
        ({"subject": []}, SelectionError, "subject is empty"),
        ({"subject": (3, 2)}, SelectionError, r"subject=\(3, 2\) is no span of the prompt. Give \(start, stop\)"),
        ({"subject": (1, 2, 3)}, SelectionError, "is no span of the prompt"),
        ({"answer": 27}, AnswerError, "The answer and the wrong answer .*are the same token"),
        ({"sites": "resid_pst"}, UnknownNameError, "did you mean 'resid_post'"),
        ({"by": "head"}, SiteError, "resid_post has none"),
        ({"window": 10}, SelectionError, "window=10 must be a number of layers from 1 to 3"),
        ({"roles": {"end": 8}}, SelectionError, r"roles\['end'\] of pair 0 is 8"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        causal_trace(zoo.model("gpt2"), PROMPT, **(GIVEN | arguments))


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("prompt", "subject", "error", "text"),
    [
        (SENTENCE, "Eiffel", SelectionError, "subject='Eiffel' does not occur in the prompt .*␣Mary.*Write it as"),
        (SENTENCE, "John", SelectionError, r"occurs 2 times in the prompt, at \(3, 4\), \(9, 10\). Say which, for"),
        (SENTENCE, " ", SelectionError, "subject=' ' is empty"),
        ([SENTENCE, SENTENCE], "Mary", PromptError, "A causal trace is of one prompt, but 2 were given"),
        ("", "Mary", PromptError, "The clean prompt is empty"),
    ],
)
def test_a_subject_that_is_not_one_place_is_refused(prompt: Any, subject: str, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        causal_trace(teaching.load(), prompt, subject=subject)


def test_the_example_runs() -> None:
    failed, tried = doctest.testmod(causal_trace_module, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
