"""Direct logit attribution, against what plain hooks and the weights of many families say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets import AttributionResult, describe, run_attribution, run_memories, teaching
from interp_widgets.experiments.direct_attribution import direct_attribution
from interp_widgets.results.attribution import Component
from interp_widgets.results.errors import AnswerError, ModelError, NonFiniteError, SelectionError, UnknownNameError
from interp_widgets.results.intervals import interval
from tests.experiments import zoo
from tests.experiments.plain import Plain
from tests.models.own_modules import Stack
from tests.models.test_describe import STACK

IDS = [5, 9, 17, 3, 22, 40, 8]
ANSWER, WRONG = 4, 33
UNCAPPED = [name for name in zoo.FAMILIES if name != "gemma2"]

NORMS = ("model.norm", "transformer.ln_f", "model.final_layernorm", "gpt_neox.final_layer_norm", "transformer.norm_f")


class Held:
    """A norm whose size is held at what it is for one row, by what its source says."""

    def __init__(self, norm: nn.Module, row: torch.Tensor) -> None:
        kind, weight = type(norm).__name__, getattr(norm, "weight", None)
        self.gain = torch.ones(len(row)) if weight is None else weight.detach()
        self.gain = 1 + self.gain if kind.startswith("Gemma") else self.gain
        self.centres = "LayerNorm" in kind
        eps = getattr(norm, "eps", getattr(norm, "variance_epsilon", 1e-5))
        centred = row - row.mean() if self.centres else row
        self.size = (centred.square().mean() + eps).sqrt()

    def __call__(self, added: torch.Tensor) -> torch.Tensor:
        centred = added - added.mean(-1, keepdim=True) if self.centres else added
        return centred * self.gain / self.size


class Reference:
    """A family's model on a prompt, taken apart by hand at one position."""

    def __init__(self, name: str, at: int) -> None:
        self.plain, self.at, self.family = Plain(name), at, zoo.FAMILIES[name]
        model = self.plain.model
        parts = dict(model.named_modules())
        norm = next(parts[path] for path in (*NORMS, "model.decoder.final_layer_norm") if path in parts)
        self.norm = Held(norm, self.plain.read(IDS, "resid_post")[-1][at])
        config = model.config
        self.factor = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1)

    def __call__(self, added: torch.Tensor) -> float:
        """What is done to the logit difference by what is added to the stream, (d_model,)."""
        unembedding = self.plain.model.get_output_embeddings().weight.detach()
        return float((unembedding[ANSWER] - unembedding[WRONG]) @ self.norm(added)) * self.factor

    @torch.no_grad()
    def heads(self, layer: int) -> list[float]:
        """What each head of a layer does, one after the other through the output projection."""
        family, block = self.family, self.plain.blocks[layer]
        z = self.plain.read(IDS, "z")[layer][self.at]
        out = block.get_submodule(f"{family.attention}.{family.out}")
        silent = out(torch.zeros_like(z)[None])[0]
        made = []
        for head in range(family.heads):
            alone = torch.zeros_like(z)
            columns = slice(head * family.d_head, (head + 1) * family.d_head)
            alone[columns] = z[columns]
            made.append(out(alone[None])[0] - silent)
        if family.attn.startswith("post_"):
            after = Held(block.get_submodule(family.attn), out(z[None])[0])
            made = [after(row) for row in made]
        return [self(row * family.multiplier) for row in made]


def by_name(result: AttributionResult, prompt: int = 0, target: int = -1) -> dict[str, float]:
    names = [part.name for part in result.components]
    return dict(zip(names, result.contributions[prompt, target].tolist(), strict=True))


@pytest.mark.parametrize("name", UNCAPPED)
def test_contributions_add_up_to_the_models_own_logit_difference(name: str) -> None:
    result = run_attribution(zoo.model(name), IDS, ANSWER, WRONG, positions=None)
    with torch.no_grad():
        logits = zoo.model(name)(input_ids=torch.tensor([IDS]), use_cache=False).logits[0]
    wanted = (logits[:, ANSWER] - logits[:, WRONG]).numpy()
    np.testing.assert_allclose(result.logits[0], wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result.total[0], wanted, rtol=0, atol=1e-4)
    assert result.targets.tolist() == [list(range(len(IDS)))]
    assert {part.kind for part in result.components} >= {"head", "mlp", "bias"}


@pytest.mark.parametrize("name", UNCAPPED)
def test_heads_and_mlps_are_what_plain_hooks_see(name: str) -> None:
    result = run_attribution(zoo.model(name), IDS, ANSWER, WRONG, positions=3)
    reference = Reference(name, 3)
    tolerance = {"rtol": 1e-3, "atol": 1e-4}
    assert result.scales[0, 0] == pytest.approx(float(reference.norm.size), rel=1e-4)
    found, heads = by_name(result), result.heads()[0, 0]
    for layer in range(len(reference.plain.blocks)):
        np.testing.assert_allclose(heads[layer], reference.heads(layer), **tolerance)
        attention = reference(reference.plain.read(IDS, "attn_out")[layer][3])
        np.testing.assert_allclose(heads[layer].sum() + found.get(f"attention {layer} bias", 0), attention, **tolerance)
        mlp = reference(reference.plain.read(IDS, "mlp_out")[layer][3])
        np.testing.assert_allclose(found[f"MLP {layer}"] + found.get(f"MLP {layer} bias", 0), mlp, **tolerance)
    entered = reference(reference.plain.read(IDS, "resid_pre")[0][3])
    embedded = sum(float(result.of(kind)[0, 0]) for kind in ("embedding", "token", "position"))
    np.testing.assert_allclose(embedded, entered, **tolerance)
    np.testing.assert_allclose(result.after_layers[0, 0, 0], entered, **tolerance)
    last = reference(reference.plain.read(IDS, "resid_post")[-1][3])
    np.testing.assert_allclose(result.after_layers[0, 0, -1], last, **tolerance)


@pytest.mark.parametrize(("name", "shift"), [("gpt2", 0), ("opt", 2)])
def test_tokens_and_positions_are_told_apart(name: str, shift: int) -> None:
    result = run_attribution(zoo.model(name), IDS, ANSWER, WRONG)
    reference = Reference(name, -1)
    model = zoo.model(name)
    table = model.get_input_embeddings().weight.detach()
    places = model.transformer.wpe if name == "gpt2" else model.model.decoder.embed_positions
    place = places.weight.detach()[len(IDS) - 1 + shift]
    found = by_name(result)
    assert found["token embedding"] == pytest.approx(reference(table[IDS[-1]]), abs=1e-4)
    assert found["position embedding"] == pytest.approx(reference(place), abs=1e-4)


def test_biases_are_apart_from_what_depends_on_the_prompt() -> None:
    result = run_attribution(zoo.model("gpt2"), IDS, ANSWER, WRONG)
    reference, found = Reference("gpt2", -1), by_name(result)
    for layer, block in enumerate(zoo.model("gpt2").transformer.h):
        assert found[f"attention {layer} bias"] == pytest.approx(reference(block.attn.c_proj.bias.detach()), abs=1e-4)
        assert found[f"MLP {layer} bias"] == pytest.approx(reference(block.mlp.c_proj.bias.detach()), abs=1e-4)
    assert not [part for part in run_attribution(zoo.model("llama"), IDS).components if "bias" in part.name][:-1]


def test_without_a_wrong_answer_the_mean_over_the_vocabulary_is_taken_off() -> None:
    result = run_attribution(zoo.model("gpt2"), IDS)
    with torch.no_grad():
        logits = zoo.model("gpt2")(input_ids=torch.tensor([IDS])).logits[0, -1]
    assert result.answers[0].id == int(logits.argmax())
    assert result.wrong_answers == (None,)
    assert result.logits[0, 0] == pytest.approx(float(logits.max() - logits.mean()), rel=1e-5)
    assert result.total[0, 0] == pytest.approx(result.logits[0, 0], abs=1e-4)
    assert "above the mean over the vocabulary" in result.summary()
    other = run_attribution(zoo.model("gpt2"), IDS, wrong_answer=int(logits.argmax()))
    assert other.answers[0].id == int(logits.topk(2).indices[1])


def test_many_prompts_and_their_spread() -> None:
    pairs = teaching.prompts("ioi", n=4)
    prompts, right = [pair.clean for pair in pairs], [pair.answer for pair in pairs]
    wrong = [pair.wrong_answer for pair in pairs]
    result = run_attribution(teaching.load(), prompts, right, wrong)
    assert result.contributions.shape[0] == 4
    for number in range(4):
        alone = run_attribution(teaching.load(), prompts[number], right[number], wrong[number])
        np.testing.assert_allclose(result.contributions[number], alone.contributions[0], atol=1e-5)
    np.testing.assert_allclose(result.mean(), result.contributions.mean(0), atol=1e-6)
    np.testing.assert_allclose(result.spread(), result.contributions.std(0, ddof=1), atol=1e-6)
    low, high = interval(result.contributions)
    np.testing.assert_allclose(result.interval(), (low, high), atol=1e-9)
    assert "in a mean over 4 prompts" in result.summary()
    component, mean = result.strongest(1)[0]
    assert abs(mean) == pytest.approx(np.abs(result.mean()).max())
    assert component.name in result.summary()


def test_an_mlp_is_its_neurons() -> None:
    """The same sum, made by the experiment that looks at neurons one by one."""
    whole = by_name(run_attribution(zoo.model("llama"), IDS, ANSWER, WRONG))
    neurons = run_memories(zoo.model("llama"), IDS, ANSWER, WRONG)
    for layer in range(3):
        assert float(neurons.contributions[layer].sum()) == pytest.approx(whole[f"MLP {layer}"], abs=1e-4)


def test_prompts_of_unequal_lengths_are_taken_from_the_end() -> None:
    result = run_attribution(zoo.model("llama"), [IDS, IDS[:4]], ANSWER, WRONG, positions=-2)
    assert result.targets.tolist() == [[5], [2]]
    np.testing.assert_allclose(result.unexplained, 0, atol=1e-4)
    with pytest.raises(SelectionError, match="from 4 to 7 tokens, so positions=2 means something else"):
        direct_attribution(zoo.model("llama"), [IDS, IDS[:4]], ANSWER, WRONG, positions=2)


def test_in_portions_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_attribution(zoo.model("gpt2"), IDS, ANSWER, WRONG, positions=None)
    monkeypatch.setattr("interp_widgets.experiments.direct_attribution._NUMBERS", 300)
    apart = run_attribution(zoo.model("gpt2"), IDS, ANSWER, WRONG, positions=None)
    np.testing.assert_allclose(apart.contributions, whole.contributions, atol=1e-5)
    np.testing.assert_allclose(apart.scales, whole.scales, rtol=1e-5)


def test_the_sum_holds_for_edits_of_the_user() -> None:
    model = NNsight(zoo.build("gpt2"))
    with model.edit(inplace=True):
        model.transformer.h[1].mlp.output[:] = 0
    result = run_attribution(model, IDS, ANSWER, WRONG)
    found = by_name(result)
    assert found["MLP 1"] + found["MLP 1 bias"] == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(result.unexplained, 0, atol=1e-4)
    assert found["MLP 0"] + found["MLP 0 bias"] != pytest.approx(0, abs=1e-3)


def test_an_error_keeps_the_prompts_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from interp_widgets.experiments import direct_attribution as module

    real, calls = module.answer_readers, []

    def tired(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(module, "answer_readers", tired)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_attribution(zoo.model("llama"), [IDS, IDS[::-1], IDS[1:]])
    partial = stopped.value.partial  # type: ignore[attr-defined]
    assert not partial.complete
    assert np.isnan(partial.logits).ravel().tolist() == [False, False, True]
    assert np.isfinite(partial.mean()).all()
    assert "1 prompt is still to be computed" in partial.summary()


def test_saved_and_read_again(tmp_path: Path) -> None:
    result = run_attribution(zoo.model("gpt2"), [IDS, IDS[::-1]], ANSWER, WRONG, positions=[0, -1])
    read = AttributionResult.load(result.save(tmp_path / "attribution.safetensors"))
    assert read == result
    assert read != run_attribution(zoo.model("gpt2"), [IDS, IDS[::-1]], ANSWER, WRONG + 1, positions=[0, -1])
    frame = read.to_frame()
    assert len(frame) == result.contributions.size
    ends = frame.groupby(["prompt", "position"])["accumulated"].last().to_numpy().reshape(2, 2)
    np.testing.assert_allclose(ends, result.logits, atol=1e-4)
    head = frame[(frame["layer"] == 1) & (frame["head"] == 2) & (frame["prompt"] == 1) & (frame["position"] == 6)]
    assert head["contribution"].item() == pytest.approx(float(result.heads()[1, 1, 1, 2]))
    data = read.to_xarray()
    assert float(data["contribution"].sel(component="head 1.2")[1, 1]) == pytest.approx(head["contribution"].item())


def test_modules_of_the_user_add_up_too() -> None:
    result = run_attribution(describe(Stack().eval(), STACK), [3, 5, 9, 2, 11], 4, 7, positions=None)
    np.testing.assert_allclose(result.unexplained, 0, atol=1e-5)
    assert [part.kind for part in result.components[:2]] == ["token", "position"]


def test_components_are_cells_of_other_results() -> None:
    assert Component("head 1.2", "head", 1, 2).cell == {"site": "z", "layer": 1, "head": 2}
    assert Component("MLP 0", "mlp", 0).cell == {"site": "mlp_out", "layer": 0}
    assert Component("attention 0 bias", "bias", 0).cell == {}


def test_a_cap_on_logits_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"Gemma2ForCausalLM caps its logits at 30 \(final_logit_softcapping\)"):
        run_attribution(zoo.model("gemma2"), IDS, ANSWER, WRONG)


def test_gemma_2_without_the_cap_adds_up() -> None:
    model = zoo.build("gemma2")
    model.config.final_logit_softcapping = None
    result = run_attribution(model, IDS, ANSWER, WRONG, positions=None)
    np.testing.assert_allclose(result.unexplained, 0, atol=1e-4)


def test_nan_is_refused_where_it_comes_from() -> None:
    model = zoo.build("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="first in the output of layer 0"):
        run_attribution(model, IDS, ANSWER, WRONG)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"answer": 4, "wrong_answer": 4}, AnswerError, "the same token"),
        ({"answer": 99}, AnswerError, "answer=99 is no token id"),
        ({"prompt": [IDS, IDS], "answer": 4, "wrong_answer": [5]}, AnswerError, "1 value of `wrong_answer` for 2"),
        ({"by_source": 5}, SelectionError, "by_source=5 is no list of heads. Name them, such as"),
        ({"by_source": "ab"}, SelectionError, "by_source='ab' is no list of heads"),
        ({"positions": 9}, SelectionError, "they run from 0 to 6"),
        ({"positions": []}, SelectionError, "positions is empty"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        direct_attribution(zoo.model("llama"), **{"prompt": IDS, **arguments})


def test_kinds_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="head"):
        run_attribution(zoo.model("llama"), IDS).of("heads")  # type: ignore[arg-type]
