"""What single heads and MLPs of an attribution are made of, and the printed lines, against plain hooks and weights."""

from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from numpy.typing import NDArray

from interp_widgets import AttributionResult, run_attribution, run_memories
from interp_widgets.experiments.attribution_parts import parts_on_request
from interp_widgets.experiments.direct_attribution import direct_attribution
from interp_widgets.experiments.finish import finish
from interp_widgets.results.errors import ResultError, SelectionError, SiteError
from tests.experiments import zoo
from tests.experiments.plain import Plain
from tests.experiments.test_direct_attribution import ANSWER, IDS, UNCAPPED, WRONG, Held, Reference

TWO = [3, -1]
OTHER = [7, 2, 30, 11]


def values_of(name: str, layer: int) -> torch.Tensor:
    """Values of each query head, (position, head, d_head), as a reader of the family's source finds them."""
    plain = Plain(name)
    family, block = plain.family, plain.blocks[layer]
    path = f"{family.attention}.{family.qkv[-1]}"
    kept: list[torch.Tensor] = []
    with contextlib.closing(contextlib.ExitStack()) as hooks, torch.no_grad():
        hooks.callback(block.get_submodule(path).register_forward_hook(lambda _m, _a, out: kept.append(out[0])).remove)
        plain.model(input_ids=torch.tensor([IDS]), use_cache=False)
    (raw,) = kept
    if family.layout == "stacked":
        raw = raw[:, -family.kv_heads * family.d_head :]
    elif family.layout == "groups":
        raw = raw.view(len(IDS), family.heads, 3, family.d_head)[:, :, 2]
    return raw.reshape(len(IDS), family.kv_heads, family.d_head).repeat_interleave(family.heads // family.kv_heads, 1)


@torch.no_grad()
def eager_pattern(name: str, layer: int, head: int) -> torch.Tensor:
    model = zoo.build(name)
    model.set_attn_implementation("eager")
    pattern: torch.Tensor = model(input_ids=torch.tensor([IDS]), output_attentions=True).attentions[layer][0, head]
    return pattern


@torch.no_grad()
def sources_by_hand(name: str, layer: int, head: int, at: int) -> NDArray[np.float32]:
    """What a head brings to a position from each token, one token after the other through the output projection."""
    reference, family = Reference(name, at), zoo.FAMILIES[name]
    block = reference.plain.blocks[layer]
    out = block.get_submodule(f"{family.attention}.{family.out}")
    pattern, values = eager_pattern(name, layer, head)[at], values_of(name, layer)[:, head]
    width = family.heads * family.d_head
    silent = out(torch.zeros(1, width))[0]
    brought = []
    for weight, value in zip(pattern, values, strict=True):
        alone = torch.zeros(1, width)
        alone[0, head * family.d_head : (head + 1) * family.d_head] = weight * value
        added = out(alone)[0] - silent
        if family.attn.startswith("post_"):
            whole = out(reference.plain.read(IDS, "z")[layer][at][None])[0]
            added = Held(block.get_submodule(family.attn), whole)(added)
        brought.append(reference(added * family.multiplier))
    return np.array(brought, np.float32)


@pytest.mark.parametrize("name", UNCAPPED)
def test_sources_add_up_to_their_head_and_neurons_to_their_mlp(name: str) -> None:
    has_neurons = zoo.FAMILIES[name].down != ""
    asked = {"by_source": [(1, 2), (0, 1)], "neurons": 1 if has_neurons else ()}
    result = run_attribution(zoo.model(name), [IDS, IDS[::-1]], ANSWER, WRONG, positions=TWO, **asked)  # type: ignore[arg-type]
    assert list(result.sources) == [(1, 2), (0, 1)]
    for (layer, head), found in result.sources.items():
        total = result.heads()[:, :, layer, head]
        np.testing.assert_allclose(found.contributions.sum(-1), total, rtol=0, atol=1e-4)
        assert np.abs(total).max() > 1e-3
        # Nothing comes from tokens after the target, whose position is 3.
        np.testing.assert_array_equal(found.contributions[:, 0, 4:], 0)
    if has_neurons:
        np.testing.assert_allclose(result.neurons[1].contributions.sum(-1), result.of("mlp", 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "layer", "head"),
    [("gpt2", 2, 3), ("llama", 1, 2), ("gemma3", 1, 3), ("gpt_neox", 0, 1), ("granite", 2, 0)],
)
def test_each_source_is_what_plain_hooks_see(name: str, layer: int, head: int) -> None:
    result = run_attribution(zoo.model(name), IDS, ANSWER, WRONG, positions=5, by_source=[(layer, head)])
    found = result.sources[layer, head]
    np.testing.assert_allclose(found.weights[0, 0], eager_pattern(name, layer, head)[5], atol=1e-5)
    wanted = sources_by_hand(name, layer, head, 5)
    np.testing.assert_allclose(found.contributions[0, 0], wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(wanted).max() > 1e-2


def test_neurons_are_those_of_run_memories() -> None:
    result = run_attribution(zoo.model("llama"), IDS, ANSWER, WRONG, neurons=[0, 2])
    memories = run_memories(zoo.model("llama"), IDS, ANSWER, WRONG)
    for layer in (0, 2):
        found = result.neurons[layer]
        np.testing.assert_allclose(found.contributions[0, 0], memories.contributions[layer], atol=1e-5)
        np.testing.assert_allclose(found.activations[0, 0], memories.activations[layer], atol=1e-6)
        strongest = int(np.abs(memories.contributions[layer]).argmax())
        assert found.strongest(1) == ((strongest, pytest.approx(memories.contributions[layer, strongest], abs=1e-5)),)


def test_prompts_of_unequal_lengths_end_in_nan() -> None:
    result = run_attribution(zoo.model("llama"), [IDS, OTHER], ANSWER, WRONG, by_source=[(2, 1)], neurons=0)
    found = result.sources[2, 1]
    assert np.isnan(found.contributions[1, 0]).tolist() == [False] * 4 + [True] * 3
    np.testing.assert_allclose(np.nansum(found.contributions, -1), result.heads()[:, :, 2, 1], atol=1e-5)
    assert found.computed.tolist() == result.neurons[0].computed.tolist() == [True, True]
    alone = run_attribution(zoo.model("llama"), OTHER, ANSWER, WRONG, by_source=[(2, 1)])
    np.testing.assert_allclose(found.contributions[1, :, :4], alone.sources[2, 1].contributions[0], atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "olmo2", "gemma3", "glm4"])  # three of them with norms behind their MLPs
def test_on_request_it_is_the_same(name: str) -> None:
    model = zoo.model(name)
    whole = run_attribution(model, [IDS, OTHER], ANSWER, None, by_source=[(1, 3)], neurons=2)
    bare = run_attribution(model, [IDS, OTHER], ANSWER, None)
    parts = parts_on_request(model)
    assert finish(parts.by_source(bare, 1, 3)) == whole.sources[1, 3]
    assert finish(parts.neurons(bare, 2)) == whole.neurons[2]
    first = next(parts.by_source(bare, 1, 3))
    assert first.computed.tolist() == [True, False]


def test_prompts_that_were_not_reached_are_left_out() -> None:
    model = zoo.model("llama")
    partial = next(direct_attribution(model, [IDS, OTHER]))
    found = finish(parts_on_request(model).by_source(partial, 0, 0))
    assert found.computed.tolist() == [True, False]


def test_the_sum_over_sources_holds_for_edits_of_the_user() -> None:
    model = NNsight(zoo.build("gpt2"))
    with model.edit(inplace=True):
        model.transformer.h[0].mlp.output[:] = 0
    result = run_attribution(model, IDS, ANSWER, WRONG, by_source=[(1, 2)])
    np.testing.assert_allclose(result.sources[1, 2].contributions.sum(), result.heads()[0, 0, 1, 2], atol=1e-5)


def test_saved_and_read_again(tmp_path: Path) -> None:
    result = run_attribution(zoo.model("gpt2"), [IDS, OTHER], ANSWER, by_source=[(1, 2)], neurons=[0])
    read = AttributionResult.load(result.save(tmp_path / "attribution.safetensors"))
    assert read == result
    assert read.sources == result.sources
    assert read.neurons == result.neurons
    assert read.code == result.code
    assert read != run_attribution(zoo.model("gpt2"), [IDS, OTHER], ANSWER, by_source=[(1, 1)], neurons=[0])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"by_source": [(0, 4)]}, SelectionError, "no head 4 in a layer of .*: they run from 0 to 3"),
        ({"by_source": [(3, 0)]}, SelectionError, "no layer 3 in .*: they run from 0 to 2"),
        (
            {"by_source": [5]},
            SelectionError,
            r"by_source holds 5. Name heads by layer and number, such as \[\(9, 6\)\]",
        ),
        ({"by_source": [(0.5, 1)]}, SelectionError, "Name heads by layer and number"),
        ({"neurons": 3}, SelectionError, "neurons holds 3, but they run from 0 to 2"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_runs(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        direct_attribution(zoo.model("llama"), IDS, **arguments)


def test_experts_have_no_neurons() -> None:
    with pytest.raises(SiteError, match="mlp_post does not exist"):
        direct_attribution(zoo.model("mixtral"), IDS, neurons=1)


def printed(code: str, folder: Path, model: Any) -> float:
    script = folder / f"part{len(list(folder.iterdir()))}.py"  # nnsight reads the source of a file once
    script.write_text(code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script), init_globals={"model": model})
    return float(out.getvalue())


@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt_neox", "gemma3", "glm4", "granite", "cohere", "olmo", "mixtral"])
def test_printed_lines_compute_each_kind_of_component(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    for wrong in (WRONG, None):
        result = run_attribution(model, IDS, ANSWER, wrong, positions=TWO)
        kinds = {part.place["site"]: number for number, part in enumerate(result.components) if part.layer in (None, 1)}
        assert kinds.keys() == result.code.keys()
        for number in kinds.values():
            found = printed(result.script(number, 0, 0), tmp_path, model)
            assert found == pytest.approx(float(result.contributions[0, 0, number]), abs=1e-4), result.components[
                number
            ]


def test_lines_of_a_plain_model_wrap_it(tmp_path: Path) -> None:
    result = run_attribution(zoo.model("llama"), [IDS, OTHER], ANSWER, WRONG)
    names = [part.name for part in result.components]
    number = names.index("head 2.3")
    found = printed(result.script(number, prompt=1), tmp_path, zoo.model("llama"))
    assert found == pytest.approx(float(result.contributions[1, 0, number]), abs=1e-5)


def test_a_result_without_code_says_so() -> None:
    result = run_attribution(zoo.model("llama"), IDS)
    bare = AttributionResult(**{**vars(result), "code": {}})
    with pytest.raises(ResultError, match=r"There are no lines for head 0\.0"):
        bare.script([part.name for part in bare.components].index("head 0.0"))


def test_components_are_found_by_their_place() -> None:
    result = run_attribution(zoo.model("gpt2"), IDS)
    for part in result.components:
        assert result.find(part.place) == part
    assert result.find({"layer": 1, "head": 2, "site": None}).name == "head 1.2"
    with pytest.raises(SelectionError, match=r"7 components are at \{'layer': 1\}"):
        result.find({"layer": 1})
    with pytest.raises(
        SelectionError, match=r"No component is at \{'layer': 9, 'head': 0\}. There are the sites embed"
    ):
        result.find({"layer": 9, "head": 0})
    with pytest.raises(SelectionError, match="named by its place"):
        result.find({"latent": 3})
