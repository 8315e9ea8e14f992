"""What is refused before anything is computed, each by the text of its message."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from interp_widgets.experiments.patching import patching, run_patching
from interp_widgets.models.access import Access
from interp_widgets.results.errors import (
    AnswerError,
    MetricError,
    ModelError,
    NoGapError,
    NonFiniteError,
    PromptError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22]
CORRUPT = [5, 9, 31, 22]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a test that is about early refusals gets as far as reading activations."""
    zoo.model("gpt2")

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Access, "read", fail)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("clean", "corrupt", "options", "error", "text"),
    [
        ([5, 9, 13], CORRUPT, {}, PromptError, "the prompts have 3 and 4 tokens"),
        ([5, 9, 13], CORRUPT, {}, PromptError, r"clean   \(3 tokens\): #5 #9 \[#13\]"),
        ([5, 9, 13], CORRUPT, {}, PromptError, "Replace words in brackets"),
        ([CLEAN, [5, 6]], [CORRUPT, [7]], {}, PromptError, "pair 1: the prompts have 2 and 1 tokens"),
        ([CLEAN, [5, 6]], [CORRUPT, [7, 6]], {}, PromptError, "Pair 1 has 2 tokens but pair 0 has 4"),
        ([CLEAN, CLEAN], [CORRUPT], {}, PromptError, "2 clean prompts but 1 corrupt prompt. Pass"),
        (CLEAN, CLEAN, {}, PromptError, "are identical, so that nothing tells them apart"),
        ([], [], {}, PromptError, "The clean prompt is empty"),
        ("", "a", {}, PromptError, "The clean prompt is empty"),
        (CLEAN, "John", {}, PromptError, "The corrupt prompt is text, but this model comes without a tokenizer"),
        (CLEAN, [5, 9, 31, 99], {}, PromptError, "token id 99, but the model's ids run from 0 to 60"),
        (CLEAN, [5, 9, 31, -1], {}, PromptError, "token id -1"),
        (CLEAN, [5, 9, 3.5, 1], {}, PromptError, "is 5, which is neither text nor a list of token ids"),
        (CLEAN, 7, {}, PromptError, "The corrupt prompt is an int"),
        (
            list(range(60)) + [1] * 9,
            list(range(60)) + [2] * 9,
            {},
            PromptError,
            "has 69 tokens, but .* holds 64. Shorten",
        ),
        (CLEAN, CORRUPT, {"answer": "Mary"}, AnswerError, "answer='Mary' is text, but .* without a tokenizer"),
        (CLEAN, CORRUPT, {"answer": 61}, AnswerError, "answer=61 is no token id of this model: .* 0 to 60"),
        (CLEAN, CORRUPT, {"answer": [1, 2]}, AnswerError, "2 values of `answer` for 1 pair of"),
        (CLEAN, CORRUPT, {"wrong_answer": 2.5}, (AnswerError, TypeError), "float"),
        (CLEAN, CORRUPT, {"answer": 3, "wrong_answer": 3}, AnswerError, r"are the same token, \[#3\]"),
        (CLEAN, CORRUPT, {"sites": ("resid_pst",)}, UnknownNameError, "unknown site 'resid_pst': did you mean"),
        (CLEAN, CORRUPT, {"sites": ()}, SiteError, "sites is empty"),
        (CLEAN, CORRUPT, {"metric": "logit_dif"}, UnknownNameError, "did you mean 'logit_diff'"),
        (CLEAN, CORRUPT, {"direction": "denoise"}, UnknownNameError, "did you mean 'denoising'"),
        (CLEAN, CORRUPT, {"layers": [0, 3]}, SelectionError, "layers holds 3, but they run from 0 to 2"),
        (CLEAN, CORRUPT, {"layers": []}, SelectionError, "layers is empty. Leave it out for all 3"),
        (CLEAN, CORRUPT, {"positions": [-5]}, SelectionError, "positions holds -5, but they run from 0 to 3"),
        (CLEAN, CORRUPT, {"positions": [1.0]}, SelectionError, "positions holds 1.0"),
        (CLEAN, CORRUPT, {"top_k": 0}, ValueError, "top_k=0 must be a whole number from 1 on"),
        (CLEAN, CORRUPT, {"top_k": None}, ValueError, "top_k=None must be a whole number from 1 on"),
        (np.zeros((0, 5), int), CORRUPT, {}, PromptError, "The clean prompt is empty"),
        (CLEAN, np.array(3), {}, PromptError, "The corrupt prompt is an int"),
        (b"abc", CORRUPT, {}, PromptError, "The clean prompt is a bytes"),
        ({"a": CLEAN}, CORRUPT, {}, PromptError, "The clean prompt is a dict"),
        (CLEAN, [5, 9, 31, 10**30], {}, PromptError, "token id 10+, but"),
        (CLEAN, CORRUPT, {"answer": True}, AnswerError, "answer=True is a bool"),
        (CLEAN, CORRUPT, {"answer": b"M"}, AnswerError, "answer=b'M' is a bytes"),
        (CLEAN, CORRUPT, {"answer": {3}}, AnswerError, "is a set"),
        (CLEAN, CORRUPT, {"answer": {"a": 3}}, AnswerError, "is a dict"),
        (CLEAN, CORRUPT, {"answer": torch.tensor(3.0)}, AnswerError, "answer=3.0 is a float"),
        (CLEAN, CORRUPT, {"sites": None}, SiteError, "sites=None is a NoneType. Name sites"),
        (CLEAN, CORRUPT, {"sites": 5}, SiteError, "sites=5 is an int"),
        (CLEAN, CORRUPT, {"layers": 3}, SelectionError, "layers holds 3, but they run from 0 to 2"),
        (CLEAN, CORRUPT, {"layers": slice(0, 2)}, SelectionError, "is a slice. Pass whole numbers, for instance range"),
        (CLEAN, CORRUPT, {"layers": "1"}, SelectionError, "layers='1' is a str"),
        (
            CLEAN,
            CORRUPT,
            {"tokenizer": "gpt2"},
            ModelError,
            "tokenizer is a str. Pass one that transformers made",
        ),
        (CLEAN, CORRUPT, {"max_rows": 1.5}, ValueError, "max_rows=1.5 must be"),
    ],
)
def test_refused_at_once(clean: Any, corrupt: Any, options: dict[str, Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=f"(?s){text}"):
        patching(zoo.model("gpt2"), clean, corrupt, **options)


@pytest.mark.parametrize("name", ["gptj", "gpt_neox", "phi", "falcon", "cohere"])
def test_parallel_blocks_have_no_middle(name: str) -> None:
    with pytest.raises(
        SiteError, match=r"attention and MLP run in parallel.* Use resid_pre, resid_post, attn_out, mlp_out"
    ):
        patching(zoo.model(name), CLEAN, CORRUPT, sites="resid_mid")


def small(model: str, **config: Any) -> Any:
    model_class = getattr(transformers, model)
    return model_class(model_class.config_class(vocab_size=61, **config)).eval()


def test_models_that_are_none_are_refused_by_name() -> None:
    bert = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    t5 = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 48, "decoder_start_token_id": 0}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    cases: list[tuple[Any, str]] = [
        (small("BertForMaskedLM", **bert), "BertForMaskedLM does not predict the next token"),
        (small("T5ForConditionalGeneration", **t5), "T5ForConditionalGeneration is an encoder-decoder"),
        (small("GPT2Model", **gpt2), "GPT2Model does not predict the next token.*AutoModelForCausalLM"),
        (small("GPT2LMHeadModel", **gpt2 | {"n_layer": 0}), "GPT2LMHeadModel has no layers"),
        (torch.nn.Linear(2, 2), "Linear is no model of transformers"),
        (3, "model is an int. Pass nnsight's TransformersModel"),
        ("/no/such/folder", "There is no folder '/no/such/folder'"),
        ("no-such-model", "could not be loaded as a causal language model"),
        ("no/such/folder/at/all", "There is no folder 'no/such/folder/at/all'"),
    ]
    for model, text in cases:
        with pytest.raises(ModelError, match=text):
            patching(model, CLEAN, CORRUPT)


@pytest.mark.filterwarnings("ignore:Module .* has a submodule named")  # nnsight, of a name inside BERT
def test_a_model_that_sees_the_future_is_refused() -> None:
    bert = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    with pytest.raises(ModelError, match=r"BertLMHeadModel is not causal: its positions see"):
        patching(small("BertLMHeadModel", **bert), CLEAN, CORRUPT)


def test_a_model_without_weights_is_refused() -> None:
    with torch.device("meta"):
        model = small("GPT2LMHeadModel", n_embd=32, n_layer=2, n_head=4, bos_token_id=0)
    with pytest.raises(ModelError, match="has no weights: it lives on the meta device"):
        patching(model, CLEAN, CORRUPT)


def test_the_same_prediction_for_both_prompts_has_no_gap() -> None:
    model = zoo.build("gpt2")
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.lm_head.weight.mul_(1e-3)
        model.transformer.ln_f.bias.copy_(50 * model.lm_head.weight[7] / model.lm_head.weight[7].norm())
        model.lm_head.weight[7] *= 50
    with pytest.raises(NoGapError, match=r"top next token is '#7' for both prompts.*Give `answer=` and"):
        run_patching(model, CLEAN, CORRUPT)
    with pytest.raises(NoGapError, match="for the corrupt prompt is '#7', the same as `answer`"):
        run_patching(model, CLEAN, CORRUPT, answer=7)
    with pytest.warns(UserWarning, match="differ by only"):  # another metric needs no wrong answer
        result = run_patching(model, CLEAN, CORRUPT, metric="loss")
    assert result.pairs[0].answer_source == "model"


def test_equal_baselines_have_no_gap() -> None:
    with pytest.raises(NoGapError, match=r"both runs score the same flat, 1.*no gap for a patch to close"):
        run_patching(
            zoo.model("gpt2"), CLEAN, CORRUPT, metric=lambda_named("flat", lambda logits: torch.ones(len(logits)))
        )


def lambda_named(name: str, function: Any) -> Any:
    function.__name__ = name
    return function


def test_a_tiny_gap_warns() -> None:
    model = zoo.build("gpt2")
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.lm_head.weight[27] = model.lm_head.weight[11] + 1e-5 * torch.randn(32)
    with pytest.warns(UserWarning, match=r"by only .* in logit_diff \(answer '#11', wrong answer '#27'\)") as w:
        run_patching(model, CLEAN, CORRUPT, **GIVEN)
    if sys.version_info >= (3, 12):
        assert w[0].filename == __file__
    with pytest.warns(UserWarning, match=r"answer '#\d+' \(the model's own\), wrong answer '#27'\)"):
        run_patching(model, CLEAN, CORRUPT, wrong_answer=27, metric=lambda logits: 1 + 1e-6 * logits[:, 3])


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (
            lambda_named("total", lambda logits: logits.sum()),
            r"total returned shape \(\) for logits of shape \(2, 61\)",
        ),
        (lambda_named("words", lambda logits: ["a"] * len(logits)), "words returned a list"),
        (lambda_named("lost", lambda logits: logits[:, 99]), "lost failed on logits.*IndexError"),
        (lambda_named("broken", lambda logits: logits[:, 0] * float("nan")), "broken is nan in the clean"),
    ],
)
def test_a_metric_is_tried_on_the_baselines_first(metric: Any, text: str) -> None:
    with pytest.raises(MetricError, match=text):
        next(patching(zoo.model("gpt2"), CLEAN, CORRUPT, metric=metric, **GIVEN))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_activations_are_named_by_layer(value: float) -> None:
    model = zoo.build("gpt2")
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias[3] = value
    with pytest.raises(NonFiniteError, match="NaN or infinity, first in the output of layer 1"):
        next(patching(model, CLEAN, CORRUPT, **GIVEN))


def test_a_patch_that_overflows_is_named_by_its_cell() -> None:
    model = zoo.build("gpt2")
    steps = patching(model, CLEAN, CORRUPT, **GIVEN)
    next(steps)
    with torch.no_grad():
        model.transformer.h[2].mlp.c_proj.bias[3] = float("inf")
    with pytest.raises(NonFiniteError, match=r"Patching resid_pre at layer 2, position \d gives NaN or infinity"):
        next(steps)


def test_an_own_metric_takes_the_front() -> None:
    def twice(logits: torch.Tensor, context: Any) -> torch.Tensor:
        assert logits.ndim == 2
        assert context.pair == 0
        assert context.clean_logits.shape == (61,)
        return 2 * (logits[:, context.answer] - logits[:, context.wrong_answer])

    result = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, metric=twice, **GIVEN)
    assert result.metric == "twice"
    np.testing.assert_allclose(result.value(), 2 * result.value("logit_diff"), atol=1e-5)
    np.testing.assert_allclose(result.effect(), result.effect("logit_diff"), atol=1e-4)


def test_no_warning_in_the_usual_case() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_patching(zoo.model("gpt2"), np.array(CLEAN), torch.tensor(CORRUPT), **GIVEN)


@pytest.mark.parametrize("kind", [int, np.int64, torch.tensor, np.array])
def test_single_numbers_of_any_kind(kind: Any) -> None:
    model = zoo.model("gpt2")
    given = {"answer": kind(11), "wrong_answer": [kind(27)]}
    single = run_patching(model, CLEAN, CORRUPT, layers=kind(1), positions=kind(2), **given)
    assert single == run_patching(model, CLEAN, CORRUPT, layers=[1], positions=torch.tensor([2]), **GIVEN)
