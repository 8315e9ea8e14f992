"""A prediction as a sum over neurons, against plain hooks and the weights of many families, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets import Description, MemoriesResult, describe, run_memories, run_top_examples, teaching
from interp_widgets.experiments.memories import memories
from interp_widgets.results.errors import (
    AnswerError,
    FeatureError,
    ModelError,
    NonFiniteError,
    PromptError,
    SelectionError,
    SiteError,
)
from tests.experiments import zoo
from tests.experiments.test_latent_cards import gain_of, last_norm, through
from tests.latents import hooked
from tests.models.hooked import HookedTransformer
from tests.models.own_modules import Judge, Stack, weighty

torch.set_num_threads(1)
MODEL = teaching.load()
NET = MODEL._module
IDS = [5, 9, 17, 3, 22, 40, 8]
ANSWER, WRONG = 7, 30
PROMPT = "The Silver Tower, unlike the Golden Bridge, is in the city of"

DENSE = sorted(name for name, family in zoo.FAMILIES.items() if family.down and name != "gemma2")
BY_HAND = [
    "gpt2",
    "llama",
    "gemma3",
    "olmo",
    "olmo2",
    "cohere",
    "phi",
    "gptj",
    "opt",
    "bloom",
    "granite",
    "glm4",
    "qwen3",
]


def divisor(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a norm divides by, by its formula."""
    centred = x - x.mean(-1, keepdim=True) if gain_of(norm)[1] else x
    named = (getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name))
    eps = next(named, 1e-5)  # OLMo's has it in its code
    return (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def plain_logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0, -1]
    return logits


@pytest.mark.parametrize("name", DENSE)
def test_everything_adds_up_to_the_logits_of_the_model(name: str) -> None:
    model = zoo.model(name)
    result = run_memories(model, IDS, ANSWER, WRONG)
    logits = plain_logits(model, IDS)
    difference = float(logits[ANSWER] - logits[WRONG])
    assert result.logit == pytest.approx(difference, abs=1e-4)
    assert result.total == pytest.approx(difference, abs=1e-4)
    mlps = [part.contribution for part in result.parts if part.component.startswith("MLP")]
    sums = result.contributions.sum(1, dtype=np.float64) + result.biases
    np.testing.assert_allclose(sums, mlps, atol=1e-4)
    above = run_memories(model, IDS, ANSWER, layers=[1])
    assert above.total == pytest.approx(float(logits[ANSWER] - logits.mean()), abs=1e-4)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_neuron_adds_its_activation_times_its_value_seen_through_the_last_norm(name: str) -> None:
    model, family = zoo.model(name), zoo.FAMILIES[name]
    ids = torch.tensor([IDS])
    with torch.no_grad():
        final = last_norm(model)
        paths = {module: path for path, module in model.named_modules()}
        stream = hooked(model, paths[final], ids, entering=True)[0, -1]
        unembedding = model.get_output_embeddings().weight
        factor = getattr(model.config, "logit_scale", None) or 1.0
        for layer in range(2):
            block = f"{family.blocks}.{layer}"
            projection = model.get_submodule(f"{block}.{family.down}")
            weight = projection.weight if type(projection).__name__ == "Conv1D" else projection.weight.T
            post = hooked(model, f"{block}.{family.down}", ids, entering=True).reshape(len(IDS), -1)[-1]
            rows = weight * family.multiplier
            if "layernorm" in family.mlp:  # a norm that follows
                norm = model.get_submodule(f"{block}.{family.mlp}")
                rows = through(norm, rows) / divisor(norm, post @ weight)
            logits = through(final, rows) / divisor(final, stream) @ unembedding.T * factor
            expected = post * (logits[:, ANSWER] - logits[:, WRONG])
            result = run_memories(model, IDS, ANSWER, WRONG, layers=layer)
            np.testing.assert_allclose(result.activations[0], post, atol=1e-6)
            np.testing.assert_allclose(result.contributions[0], expected, atol=1e-5, rtol=1e-4)
            best = int(expected.abs().argmax())
            assert (result.memories[0].layer, result.memories[0].neuron) == (layer, best)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("granite", {"logits_scaling": 4.0}),
        ("gemma2", {"final_logit_softcapping": None}),
        ("cohere", {"logit_scale": 2.0}),
    ],
)
def test_scaled_logits_add_up_too(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    family = zoo.FAMILIES[name]
    changed = zoo.Family(**{**vars(family), "config": {**family.config, **options}})
    monkeypatch.setitem(zoo.FAMILIES, name, changed)
    model = zoo.build(name)
    result = run_memories(model, IDS, ANSWER, WRONG)
    logits = plain_logits(model, IDS)
    assert result.total == pytest.approx(float(logits[ANSWER] - logits[WRONG]), abs=1e-4)


def test_half_precision_adds_up_as_far_as_it_can() -> None:
    model = zoo.build("llama").bfloat16()
    result = run_memories(model, IDS, ANSWER, WRONG)
    assert result.total == pytest.approx(result.logit, abs=0.15)


def test_attention_and_mlps_are_what_hooks_find_and_the_model_would_say_what_a_lens_shows() -> None:
    ids = MODEL.tokenizer(PROMPT)["input_ids"]
    tensor = torch.tensor([ids])
    result = run_memories(MODEL, PROMPT, " Madrid", " Rome")
    names = [part.component for part in result.parts]
    assert names == ["embedding", *(f"{part} {n}" for n in range(4) for part in ("attention", "MLP")), "biases"]
    parts = dict(zip(names, result.parts, strict=True))
    final, right = NET.transformer.ln_f, result.answer.id
    assert result.wrong_answer is not None
    with torch.no_grad():
        stream = hooked(NET, "transformer.ln_f", tensor, entering=True)[0, -1]
        weight = NET.lm_head.weight[right] - NET.lm_head.weight[result.wrong_answer.id]
        reader = final.weight * weight / divisor(final, stream)
        running = hooked(NET, "transformer.h.0", tensor, entering=True)[0, -1]
        for layer in range(4):
            for part, path in (("attention", "attn"), ("MLP", "mlp")):
                added = hooked(NET, f"transformer.h.{layer}.{path}", tensor)[0, -1]
                running = running + added
                found = parts[f"{part} {layer}"]
                assert found.contribution == pytest.approx(float((added - added.mean()) @ reader), abs=1e-4)
                lens = NET.lm_head(final(running)).softmax(-1)
                assert found.top.id == int(lens.argmax())
                assert found.top_prob == pytest.approx(float(lens.max()), abs=1e-5)
                assert found.answer_prob == pytest.approx(float(lens[right]), abs=1e-5)
        assert parts["biases"].contribution == pytest.approx(float(final.bias @ weight), abs=1e-5)
    assert parts["MLP 3"].cell == (("site", "mlp_out"), ("layer", 3))
    assert dict(parts["attention 2"].cell)["site"] == "attn_out"


def planted(fires_on: int, promotes: int, neuron: int) -> Any:
    """A model one of whose neurons fires on one token, and promotes another."""
    model = zoo.build("gpt2", seed=3)
    every = torch.arange(zoo.VOCAB)[:, None]
    entering = hooked(model, "transformer.h.1.mlp", every, entering=True)[:, 0]
    mlp = model.transformer.h[1].mlp
    with torch.no_grad():
        key = entering[fires_on] - entering.mean(0)
        mlp.c_fc.weight[:, neuron] = key
        # So that it fires on that token alone.
        mlp.c_fc.bias[neuron] = -(entering @ key).topk(2).values.mean()
        row = model.lm_head.weight[promotes] - model.lm_head.weight.mean(0)
        mlp.c_proj.weight[neuron] = 30 * row / row.norm()
    return model


def test_a_planted_memory_is_found_with_its_key_and_its_value() -> None:
    fires_on, promotes, neuron = 23, 41, 77
    model = planted(fires_on, promotes, neuron)
    corpus = [[token] for token in range(zoo.VOCAB)]
    result = run_memories(model, [fires_on], corpus=corpus, k=3, top=4, n=2)
    assert result.answer.id == promotes
    first = result.memories[0]
    assert (first.layer, first.neuron, first.name) == (1, neuron, "1.77")
    assert first.card.promotes is not None
    assert first.card.promotes[0].token.id == promotes
    assert first.triggers[0][0].id == fires_on
    assert first.card.examples is not None
    assert first.card.examples[0].document == fires_on
    assert first.contribution > 0.5 * result.logit
    assert len(result.memories) == 4
    assert all(len(memory.card.promotes or ()) == 2 for memory in result.memories)


def test_keys_are_the_strongest_examples_and_arrive_layer_by_layer() -> None:
    corpus = ["The Silver Tower is in the city of Madrid.", "Nora Silva plays the sport of chess.", "When Mary left"]
    steps = list(memories(MODEL, PROMPT, corpus=(text for text in corpus), k=2, called="three texts"))
    assert not steps[0].complete
    assert all(memory.card.examples is None for memory in steps[0].memories)
    result = run_memories(MODEL, PROMPT, corpus=corpus, k=2, called="three texts")
    assert result.complete
    assert result.corpus == "three texts"
    assert len({memory.layer for memory in result.memories}) > 1
    for memory in result.memories:
        found = run_top_examples(MODEL, "neurons", corpus, layer=memory.layer, latents=memory.neuron, k=2)
        assert memory.card.examples == found.examples(memory.neuron)
        assert memory.card.density == pytest.approx(float(found.density[0]))
    assert steps[-1].memories == result.memories


def test_without_a_wrong_answer_the_logit_is_above_the_mean_of_all() -> None:
    logits = plain_logits(NET, MODEL.tokenizer(PROMPT)["input_ids"])
    result = run_memories(MODEL, PROMPT)
    assert result.answer.id == int(logits.argmax())
    assert result.wrong_answer is None
    assert result.total == pytest.approx(float(logits.max() - logits.mean()), abs=1e-4)
    instead = run_memories(MODEL, PROMPT, wrong_answer=result.answer.id)
    assert instead.answer.id == int(logits.topk(2).indices[1])
    assert instead.logit < 0


def test_a_position_is_the_end_of_a_shorter_prompt() -> None:
    whole = run_memories(MODEL, PROMPT, " Tower", position=1)
    cut = run_memories(MODEL, MODEL.tokenizer(PROMPT)["input_ids"][:2], " Tower")
    assert len(whole.tokens) == 2
    np.testing.assert_allclose(whole.contributions, cut.contributions, atol=1e-6)
    assert whole.logit == pytest.approx(cut.logit)


def test_layers_that_are_chosen_are_those_whose_neurons_are_named() -> None:
    every, some = run_memories(MODEL, PROMPT), run_memories(MODEL, PROMPT, layers=[3, 1], top=3)
    assert some.layers == (1, 3)
    np.testing.assert_array_equal(some.contributions, every.contributions[[1, 3]])
    assert some.parts == every.parts
    assert {memory.layer for memory in some.memories} <= {1, 3}
    order = np.argsort(-np.abs(some.contributions), axis=None)[:3]
    expected = [(some.layers[place // 512], place % 512) for place in order.tolist()]
    assert [(memory.layer, memory.neuron) for memory in some.memories] == expected


def test_a_result_is_the_same_when_it_is_read_again(tmp_path: Any) -> None:
    result = run_memories(MODEL, PROMPT, " Madrid", " Rome", corpus=["in the city of", "Silver"], k=1)
    again = MemoriesResult.load(result.save(tmp_path / "memories.safetensors"))
    assert again == result
    assert again.memories == result.memories
    assert again != run_memories(MODEL, PROMPT, " Madrid", " Rome")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prompt": ""}, PromptError, "prompt is empty"),
        ({"prompt": ["one", "two"]}, PromptError, "2 prompts were given, but one prediction"),
        ({"answer": " Madrid Rome"}, AnswerError, "must be a single token"),
        ({"answer": 7, "wrong_answer": 7}, AnswerError, "are the same token"),
        ({"layers": 4}, SelectionError, "layers holds 4"),
        ({"position": 99}, SelectionError, "position holds 99"),
        ({"position": [1, 2]}, SelectionError, "must be one position"),
        ({"top": 0}, ValueError, "top=0 must be a whole number from 1 on"),
        ({"k": 1.5}, ValueError, "k=1.5 must be"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"prompt": PROMPT} | options
    with pytest.raises(error, match=message):
        run_memories(MODEL, given.pop("prompt"), **given)


def test_capped_logits_are_no_sum_and_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"caps its logits at 30 \(final_logit_softcapping\)"):
        run_memories(zoo.model("gemma2"), IDS)


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
def test_a_mixture_of_experts_has_no_neurons(name: str) -> None:
    with pytest.raises(SiteError, match="mixture of experts"):
        run_memories(zoo.model(name), IDS)


def test_a_model_that_makes_something_else_of_its_last_stream_is_refused() -> None:
    class Squared(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.weight = inner, inner.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.inner(x)
            return made + made.square()

    model = zoo.build("gpt2")
    model.lm_head = Squared(model.lm_head)
    with pytest.raises(ModelError, match="are not what its last norm and its unembedding make"):
        run_memories(model, IDS)


def test_nan_is_told_with_its_layer() -> None:
    model = zoo.build("gpt2")
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias[0] = torch.nan
    with pytest.raises(NonFiniteError, match="first in the output of layer 1"):
        run_memories(model, IDS)


def test_a_model_with_hook_points_adds_up_too() -> None:
    net, ids = HookedTransformer().eval(), IDS[:5]
    with torch.no_grad():
        net.ln_final.bias.normal_(generator=torch.Generator().manual_seed(0))
        logits = net(torch.tensor([ids]))[0, -1]
    result = run_memories(net, ids, ANSWER, WRONG)
    assert result.total == pytest.approx(float(logits[ANSWER] - logits[WRONG]), abs=1e-4)
    mlps = [part.contribution for part in result.parts if part.component.startswith("MLP")]
    np.testing.assert_allclose(result.contributions.sum(1) + result.biases, mlps, atol=1e-5)


def judge(**said: Any) -> Any:
    parts = {"attention": "look", "mlp": "think", "down_proj": "think.3", "logits": 1, "causal": False, "context": 12}
    return describe(weighty(Judge()), Description(blocks="layers", **parts, **said))


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (judge, {}, ModelError, r"The unembedding of Judge.* name it: Description\(\.\.\., unembedding='path'\)"),
        (lambda: judge(unembedding="verdict"), {}, ModelError, "no layer norm or RMS norm was found right before"),
        (judge, {"position": 1}, SelectionError, "positions of Judge see what comes after them"),
    ],
)
def test_described_models_whose_logits_come_about_otherwise_are_refused(
    make: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_memories(make(), [3, 4, 5, 6], 2, 3, **options)


def test_a_norm_behind_the_mlp_that_takes_means_off_is_refused_by_name() -> None:
    parts = {"attention": "mixer", "mlp_out": "tame", "down_proj": "narrow", "unembedding": "speak"}
    stack = describe(weighty(Stack()), Description(blocks="tower", logits="scores", **parts))
    with pytest.raises(FeatureError, match="A LayerNorm follows the neurons"):
        run_memories(stack, [3, 4, 5, 6], 2, 3)
