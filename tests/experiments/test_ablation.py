"""Ablations against plain hooks, and their known answers."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets.experiments import ablation as ablation_module
from interp_widgets.experiments.ablation import ablation, run_ablation
from interp_widgets.experiments.patching import run_patching
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import AnswerError, PromptError, SelectionError, SiteError, UnknownNameError
from interp_widgets.results.patching import PatchingResult, Status
from tests.experiments import zoo
from tests.experiments.plain import Plain, Put

PROMPT = [5, 9, 13, 22, 40, 7]
OTHER = [5, 9, 31, 22, 2, 7]
THIRD = [8, 1, 31, 4, 40, 12]
LONGER = [5, 9, 13, 22, 40, 7, 3]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}
STREAMS = ("resid_post", "attn_out", "mlp_out")
FAMILIES = ("gpt2", "llama", "gemma2", "bloom", "granite", "opt", "gptj", "falcon")


def logit_diff(logits: torch.Tensor) -> float:
    return float(logits[11] - logits[27])


def filling(plain: Plain, how: str, site: str) -> list[torch.Tensor]:
    """What is put in at each layer, (position, width)."""
    if how == "zero":
        return [torch.zeros_like(values) for values in plain.read(PROMPT, site)]
    if how == "resample":
        return plain.read(OTHER, site)
    both = zip(plain.read(OTHER, site), plain.read(THIRD, site), strict=True)
    return [torch.stack(values).mean(0) for values in both]


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_cell_equals_plain_hooks(name: str, how: str) -> None:
    plain = Plain(name)
    reference = {"zero": None, "mean": [OTHER, THIRD], "resample": [OTHER]}[how]
    arguments: dict[str, Any] = {"how": how, "reference": reference, **GIVEN}
    found = run_ablation(plain.model, PROMPT, sites=STREAMS, **arguments)
    heads = run_ablation(plain.model, PROMPT, sites="z", **arguments)
    neuron = run_ablation(plain.model, PROMPT, sites="mlp_post", neurons=[7], **arguments)

    def close(values: np.ndarray, expected: np.ndarray) -> None:
        np.testing.assert_allclose(values, expected, atol=1e-5 * max(1, np.abs(expected).max()), rtol=0)

    for number, site in enumerate(STREAMS):
        put_in = filling(plain, how, site)
        expected = np.empty((len(put_in), len(PROMPT)))
        for layer, position in np.ndindex(expected.shape):
            put = Put(site, layer, position, put_in[layer][position])
            expected[layer, position] = logit_diff(plain.run(PROMPT, [put]))
        assert expected.std() > 0.01
        close(found.value()[0, number], expected)

    width = plain.family.d_head
    put_in = filling(plain, how, "z")
    expected = np.empty((len(put_in), plain.family.heads))
    for layer, head in np.ndindex(expected.shape):
        columns = slice(head * width, (head + 1) * width)
        put = Put("z", layer, slice(None), put_in[layer][:, columns], columns)
        expected[layer, head] = logit_diff(plain.run(PROMPT, [put]))
    close(heads.value()[0, 0], expected)

    put_in = filling(plain, how, "mlp_post")
    for layer, values in enumerate(put_in):
        put = Put("mlp_post", layer, slice(None), values[:, 7], 7)
        close(neuron.value()[0, 0, layer, 0], np.array(logit_diff(plain.run(PROMPT, [put]))))


def test_a_window_ablates_layers_together() -> None:
    plain = Plain("gpt2")
    found = run_ablation(plain.model, PROMPT, sites="mlp_out", window=2, **GIVEN)
    for layer, layers in ((0, (0,)), (1, (0, 1)), (2, (1, 2))):
        puts = [Put("mlp_out", one, 4, 0.0) for one in layers]
        assert found.value()[0, 0, layer, 4] == pytest.approx(logit_diff(plain.run(PROMPT, puts)), abs=2e-5)
    assert found.provenance.settings == {
        "put in": "zeros",
        "window": "2 layers around the one of a cell, clipped at both ends",
    }


def test_zeros_in_all_heads_leave_the_bias_of_attention() -> None:
    plain = Plain("gpt2")
    found = run_ablation(plain.model, PROMPT, sites="z", by="layer", **GIVEN)
    for layer, block in enumerate(plain.blocks):
        put = Put("attn_out", layer, slice(None), block.attn.c_proj.bias.detach())
        assert found.value()[0, 0, layer, 0] == pytest.approx(logit_diff(plain.run(PROMPT, [put])), abs=2e-5)
    heads, attention = (
        run_ablation(zoo.model("llama"), PROMPT, sites=site, by="layer", **GIVEN) for site in ("z", "attn_out")
    )
    np.testing.assert_allclose(heads.value(), attention.value(), atol=1e-5)


def test_zero_patterns_are_zero_heads() -> None:
    patterns, heads = (run_ablation(zoo.model("gpt2"), PROMPT, sites=site, **GIVEN) for site in ("pattern", "z"))
    np.testing.assert_allclose(patterns.value(), heads.value(), atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "bloom"])
def test_the_mean_of_the_prompt_itself_changes_nothing(name: str) -> None:
    found = run_ablation(
        zoo.model(name), PROMPT, how="mean", reference=[PROMPT] * 3, sites=(*STREAMS, "z", "pattern"), by=None, **GIVEN
    )
    computed = found.status != Status.LEFT_OUT
    np.testing.assert_allclose(found.effect()[computed], 0, atol=1e-4)


def test_resampling_a_given_prompt_is_noising_patching() -> None:
    model, sites = zoo.model("gpt2"), ("resid_pre", "resid_mid", *STREAMS)
    found = run_ablation(model, PROMPT, how="resample", reference=OTHER, sites=sites, **GIVEN)
    patched = run_patching(model, PROMPT, OTHER, direction="noising", sites=sites, **GIVEN)
    for metric in ("logit_diff", "kl", "rank"):
        np.testing.assert_allclose(found.value(metric), patched.value(metric), atol=1e-5)
        np.testing.assert_allclose(found.baselines[metric][:, 0], patched.baselines[metric][:, 0], atol=1e-6)
    assert (found.status[..., :2] == Status.KNOWN).all()  # where both prompts still agree
    assert not np.allclose(found.effect(), patched.effect(), atol=1e-2)


def test_a_mean_over_prompts_of_other_lengths_is_over_all_positions() -> None:
    plain = Plain("gpt2")
    references = [OTHER, LONGER, [3, 4]]
    found = run_ablation(
        plain.model, PROMPT, how="mean", reference=references, sites=("attn_out", "resid_post"), **GIVEN
    )
    for number, site in enumerate(("attn_out", "resid_post")):
        read = [plain.read(ids, site) for ids in references]
        for layer in range(3):
            mean = torch.cat([values[layer] for values in read]).mean(0)
            for position in (1, 5):
                expected = logit_diff(plain.run(PROMPT, [Put(site, layer, position, mean)]))
                assert found.value()[0, number, layer, position] == pytest.approx(expected, abs=3e-5)
    assert found.provenance.settings["put in"] == "the mean over all 15 positions of 3 reference prompts"


def test_each_prompt_gets_the_mean_that_suits_its_length() -> None:
    plain = Plain("gpt2")
    found = run_ablation(
        plain.model, [PROMPT, LONGER], how="mean", reference=[OTHER, THIRD], sites="attn_out", by="layer", **GIVEN
    )
    read = [torch.stack(both) for both in zip(*(plain.read(ids, "attn_out") for ids in (OTHER, THIRD)), strict=True)]
    for layer in range(3):
        for number, (ids, mean) in enumerate(((PROMPT, read[layer].mean(0)), (LONGER, read[layer].mean((0, 1))))):
            expected = logit_diff(plain.run(ids, [Put("attn_out", layer, slice(None), mean)]))
            assert found.value()[number, 0, layer, 0] == pytest.approx(expected, abs=3e-5)
    assert found.provenance.settings["put in"] == (
        "the mean over 2 reference prompts, position by position, for prompts of 6 tokens as theirs; "
        "else the mean over all 12 positions of 2 reference prompts"
    )


def test_the_prompts_themselves_are_the_reference_where_none_is_given() -> None:
    model, prompts = zoo.model("gpt2"), [PROMPT, OTHER, THIRD]
    for how in ("mean", "resample"):
        found = run_ablation(model, prompts, how=how, sites="attn_out", **GIVEN)
        given = run_ablation(model, prompts, how=how, reference=prompts, sites="attn_out", **GIVEN)
        np.testing.assert_array_equal(found.value(), given.value())
    assert run_ablation(model, prompts, how="mean", sites="attn_out", **GIVEN).provenance.settings == {
        "put in": "the mean over 3 reference prompts, position by position"
    }


def test_reference_prompts_run_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.model("gpt2")
    references = [[token, 9, 31, 22, 2, 7] for token in range(1, 30)]
    arguments: Any = {"how": "mean", "reference": references, "sites": ("z", "resid_post"), **GIVEN}
    whole = run_ablation(model, PROMPT, **arguments)
    read, sizes = Access.read, []

    def counted(self: Access, ids: torch.Tensor, *args: Any, **options: Any) -> Any:
        sizes.append(len(ids))
        return read(self, ids, *args, **options)

    monkeypatch.setattr(Access, "read", counted)
    monkeypatch.setattr(ablation_module, "_BATCH_BYTES", 20_000)
    cut = run_ablation(model, PROMPT, **arguments)
    assert max(sizes) < 10
    assert sum(sizes) == 1 + 29
    np.testing.assert_allclose(cut.value(), whole.value(), atol=1e-5)
    assert cut.provenance.forward_passes == pytest.approx(whole.provenance.forward_passes)
    assert cut.provenance.forward_passes > 30


def test_prompts_beyond_the_cache_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = zoo.model("gpt2"), [PROMPT, OTHER, THIRD]
    for how in ("zero", "mean", "resample"):
        arguments: Any = {"how": how, "sites": ("z", "resid_post"), **GIVEN}
        together = run_ablation(model, prompts, **arguments)
        with monkeypatch.context() as patched:
            patched.setattr("interp_widgets.experiments.bench._CACHE_BYTES", 1)
            apart = run_ablation(model, prompts, **arguments)
        np.testing.assert_allclose(apart.value(), together.value(), atol=1e-5)
        for number, prompt in enumerate(prompts[:1] if how == "zero" else ()):
            alone = run_ablation(model, prompt, **arguments)
            np.testing.assert_allclose(alone.value()[0], together.value()[number], atol=1e-5)


@pytest.mark.parametrize("metric", ["logit_diff", "prob", "logprob", "kl", "rank", "loss"])
def test_the_other_end_is_a_uniform_prediction(metric: str) -> None:
    model = zoo.model("gpt2")
    found = run_ablation(model, PROMPT, sites="attn_out", metric=metric, **GIVEN)
    logprobs = Plain("gpt2").run(PROMPT).log_softmax(-1)
    uniform = math.log(zoo.VOCAB)
    expected = {
        "logit_diff": 0,
        "prob": 1 / zoo.VOCAB,
        "logprob": -uniform,
        "kl": float((logprobs.exp() * (logprobs + uniform)).sum()),
        "rank": (zoo.VOCAB - 1) / 2,
        "loss": uniform,
    }
    assert found.metric == metric
    assert found.baselines[metric][0, 1] == pytest.approx(expected[metric], abs=1e-5)
    assert np.isfinite(found.effect()).all()
    assert found.baselines["kl"][0, 0] == 0


def test_a_metric_of_ones_own_sees_equal_logits() -> None:
    def entropy(logits: torch.Tensor) -> torch.Tensor:
        logprobs = logits.log_softmax(-1)
        return -(logprobs.exp() * logprobs).sum(-1)

    found = run_ablation(zoo.model("gpt2"), PROMPT, sites="attn_out", metric=entropy, **GIVEN)
    assert found.metric == "entropy"
    assert found.baselines["entropy"][0, 1] == pytest.approx(math.log(zoo.VOCAB), abs=1e-5)


def test_nothing_of_a_model_without_a_stream_is_left() -> None:
    """Zeros in the whole last stream leave the bias of the final norm alone, whatever the prompt was."""
    found = run_ablation(zoo.model("llama"), [PROMPT, THIRD], sites="resid_post", by="layer", layers=-1, **GIVEN)
    np.testing.assert_allclose(found.effect(), 1, atol=1e-6)


def test_prompts_of_different_lengths_share_a_grid_without_positions() -> None:
    model = zoo.model("gpt2")
    found = run_ablation(model, [PROMPT, LONGER], sites="z", **GIVEN)
    alone = run_ablation(model, LONGER, sites="z", **GIVEN)
    np.testing.assert_allclose(found.value()[1], alone.value()[0], atol=1e-5)
    roles = [{"second": 1, "end": -1}, {"second": 1, "end": -1}]
    found = run_ablation(model, [PROMPT, LONGER], sites="mlp_out", roles=roles, **GIVEN)
    alone = run_ablation(model, LONGER, sites="mlp_out", **GIVEN)
    np.testing.assert_allclose(found.value()[1, 0], alone.value()[0, 0][:, [1, 6]], atol=1e-5)


def test_answers_that_are_not_given_are_the_models_first_two() -> None:
    model, plain = zoo.model("gpt2"), Plain("gpt2")
    result = next(ablation(model, [PROMPT, THIRD], sites="attn_out"))
    for pair, ids in zip(result.pairs, (PROMPT, THIRD), strict=True):
        assert [pair.answer.id, pair.wrong_answer.id] == plain.run(ids).topk(2).indices.tolist()
        assert pair.answer_source == "model"


def test_the_draw_follows_its_seed_and_is_named() -> None:
    model, prompts = zoo.model("gpt2"), [PROMPT, OTHER, THIRD, LONGER, [1, *PROMPT]]
    settings = [
        run_ablation(
            model, prompts, how="resample", sites="attn_out", by="layer", layers=0, seed=seed, **GIVEN
        ).provenance.settings
        for seed in (0, 0, 1, 2, 3)
    ]
    assert settings[0] == settings[1]
    assert len({each["put in"] for each in settings}) > 1
    assert {each["seed"] for each in settings} == {"0", "1", "2", "3"}
    for each in settings:
        text = each["put in"]
        assert text.startswith("the activation of another prompt: reference ")
        draws = [tuple(map(int, draw.split(" for prompt "))) for draw in text.split("reference ")[1].split(", ")]
        assert [prompt for _, prompt in draws] == [0, 1, 2, 3, 4]
        assert all(drawn != prompt and len(prompts[drawn]) == len(prompts[prompt]) for drawn, prompt in draws)


def test_the_result_has_one_prompt_on_each_side_of_nothing(tmp_path: Any) -> None:
    found = run_ablation(zoo.model("gpt2"), PROMPT, sites=("z", "mlp_out"), **GIVEN)
    (pair,) = found.pairs
    assert (len(pair.corrupt), pair.corrupt_top, pair.differs) == (0, (), ())
    assert found.direction == "noising"
    assert "1 prompt, zero ablation, logit_diff" in repr(found)
    assert "Setting z, mlp_out to zero, in the intact run of" in found.summary()
    assert "+0 uniform prediction" in found.summary()
    frame = found.to_frame()
    assert len(frame) == 6 * (3 * 4 + 3 * 6)
    assert PatchingResult.load(found.save(tmp_path / "ablation.safetensors")) == found


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    access = resolve(open_model(zoo.model("gpt2")))  # which takes probe runs of its own, once
    assert access.d_mlp

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Access, "read", fail)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("prompts", "arguments", "error", "text"),
    [
        (PROMPT, {"how": "zeros"}, UnknownNameError, "unknown ablation 'zeros': did you mean 'zero'. Valid ablations"),
        (PROMPT, {"how": "means"}, UnknownNameError, "did you mean 'mean'"),
        (PROMPT, {"how": None}, UnknownNameError, "unknown ablation None: Valid ablations: zero, mean, resample"),
        (PROMPT, {"how": "mean"}, PromptError, "how='mean' needs at least two reference prompts .* but there is 1"),
        (PROMPT, {"how": "mean", "reference": [OTHER]}, PromptError, "but there is 1. Pass `reference=`"),
        (PROMPT, {"how": "zero", "reference": [OTHER]}, ValueError, "how='zero' takes no reference prompts"),
        (
            PROMPT,
            {"how": "resample", "reference": [LONGER, [3, 4]]},
            PromptError,
            "Prompt 0 has 6 tokens, and there is no other reference prompt of that length .*: theirs are 2, 7. Pass",
        ),
        ([PROMPT, PROMPT], {"how": "resample"}, PromptError, "Prompt 0 has 6 tokens, and there is no other reference"),
        (PROMPT, {"how": "resample", "reference": []}, PromptError, "The reference prompt is empty"),
        (
            PROMPT,
            {"how": "mean", "reference": [OTHER, LONGER], "sites": "pattern"},
            PromptError,
            "A mean of patterns needs prompts of one length.* but these have 6, 7 tokens",
        ),
        ([PROMPT, LONGER], {}, PromptError, "Prompt 1 has 7 tokens but prompt 0 has 6. All prompts of one grid"),
        ([PROMPT, LONGER], {"sites": "z", "positions": 1}, PromptError, "Prompt 1 has 7 tokens but prompt 0 has 6"),
        ([], {}, PromptError, "The intact prompt is empty"),
        ("text", {}, PromptError, "The intact prompt is text, but this model comes without a tokenizer"),
        (PROMPT, {"seed": 1.5}, ValueError, "seed=1.5 must be a whole number from 0 on"),
        (PROMPT, {"answer": 27}, AnswerError, "are the same token"),
        (PROMPT, {"answer": [11, 12]}, AnswerError, "2 values of `answer` for 1 pair"),
        (PROMPT, {"sites": "attn_out", "by": "head"}, SiteError, "by='head' needs a site that has heads"),
        (PROMPT, {"heads": [4]}, SelectionError, "heads holds 4, but those of z run from 0 to 3"),
        (PROMPT, {"max_rows": 0}, ValueError, "max_rows=0 must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    prompts: Any, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ablation(zoo.model("gpt2"), prompts, **(GIVEN | arguments))


def test_the_example_runs() -> None:
    failed, tried = doctest.testmod(ablation_module, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
