"""Attention patterns, against what models say of themselves in eager attention and against plain hooks."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from numpy.typing import NDArray

from interp_widgets import AttentionResult, run_attention, teaching
from interp_widgets.experiments import attention as experiment
from interp_widgets.experiments.attention import attention
from interp_widgets.models.access import resolve
from interp_widgets.models.opening import open_model
from interp_widgets.models.patterns import scan
from interp_widgets.results.attention import pooled
from interp_widgets.results.errors import (
    ModelError,
    NonFiniteError,
    PromptError,
    ResultError,
    SelectionError,
    SiteError,
)
from tests.experiments import zoo
from tests.models.heads_reference import Reference, Softmax, eager
from tests.models.hooked import HookedTransformer

MODEL = teaching.load()
NET = MODEL._module
TEXT = "When Mary and John went to the store, John gave a drink to"
OTHER = "When Mary and John went to the store, Mary gave a drink to"
IDS = [3, 17, 9, 41, 3, 17, 22, 60, 8, 1, 12]


def told(ids: list[int]) -> list[NDArray[np.float32]]:
    """The teaching model's own patterns, one array (head, query, key) a layer."""
    NET.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            found = NET(torch.tensor([ids]), output_attentions=True).attentions
    finally:
        NET.set_attn_implementation("sdpa")
    return [layer[0].numpy() for layer in found]


def ids_of(text: str) -> list[int]:
    ids: list[int] = MODEL.tokenizer(text, verbose=False)["input_ids"]
    return ids


def test_patterns_are_those_that_eager_attention_tells() -> None:
    result = run_attention(MODEL, TEXT)
    own = told(ids_of(TEXT))
    for layer, head in np.ndindex(4, 4):
        np.testing.assert_allclose(result.pattern(layer, head), own[layer][head], atol=1e-5)
    assert result.complete
    assert result.tokens().ids == tuple(ids_of(TEXT))
    np.testing.assert_allclose(result.provenance.forward_passes, 1)


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_every_family_has_its_own_softmax_and_value_norms(name: str) -> None:
    model = zoo.model(name)
    reference = Reference(zoo.FAMILIES[name], model)
    # Falcon's ALiBi is another bias in eager attention, so there all of it has to be eager.
    with eager(model) if name == "falcon_alibi" else nullcontext():
        result = run_attention(model, IDS)
    for layer in range(len(result.layers)):
        seen: list[torch.Tensor] = []
        with (
            eager(model),
            Softmax(reference, layer, lambda weights, seen=seen: seen.append(weights.clone())).watched(),
        ):
            reference.logits(IDS)
        norms = value_norms(reference, layer)
        for head in range(reference.family.heads):
            pattern = result.pattern(layer, head)
            np.testing.assert_allclose(pattern, seen[0][head].numpy(), atol=1e-5, rtol=1e-5)
            np.testing.assert_allclose(result.value_norms(layer, head), norms[head], rtol=1e-4, atol=1e-5)
            weighted = result.pattern(layer, head, weighted=True)
            np.testing.assert_allclose(weighted, seen[0][head].numpy() * norms[head], rtol=1e-4, atol=1e-4)
            assert (np.triu(pattern, 1) == 0).all()
            if name == "gpt_oss":  # what is left of a row goes to a sink
                assert (pattern.sum(1) < 1).all()
            else:
                np.testing.assert_allclose(pattern.sum(1), 1, atol=1e-5)


def value_norms(reference: Reference, layer: int) -> NDArray[np.float32]:
    """|v W_O|, (head, key): what the output projection makes of one head's value at a time."""
    family, lengths = reference.family, []
    out = reference.blocks[layer].get_submodule(family.attention).get_submodule(family.out)
    for head in range(family.heads):
        seen: list[torch.Tensor] = []
        shared = head // (family.heads // family.kv_heads)
        with (
            eager(reference.model),
            reference._at(layer, "v", shared, lambda v, seen=seen: seen.append(v.clone())),
        ):
            reference.logits(IDS)
        limit = family.config.get("clip_qkv")
        values = seen[0].clamp(-limit, limit) if limit else seen[0]
        alone = torch.zeros(len(IDS), family.heads * family.d_head)
        alone[:, head * family.d_head : (head + 1) * family.d_head] = values
        with torch.no_grad():
            lengths.append((out(alone) - out(torch.zeros_like(alone))).norm(dim=-1) * family.multiplier)
    return torch.stack(lengths).numpy()


def test_some_layers_and_heads_are_the_same_as_among_all() -> None:
    whole = run_attention(MODEL, TEXT)
    result = run_attention(MODEL, TEXT, layers=[-1, 1], heads=2)
    assert (result.layers, result.heads) == ((1, 3), (2,))
    for layer in (1, 3):
        np.testing.assert_allclose(result.pattern(layer, 2), whole.pattern(layer, 2), atol=1e-6)
        np.testing.assert_allclose(result.value_norms(layer, 2), whole.value_norms(layer, 2), rtol=1e-5)
    ran: list[int] = []
    handles = [
        block.mlp.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, block in enumerate(NET.transformer.h)
    ]
    try:
        run_attention(MODEL, TEXT, layers=[1])
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [0, 1]
    with pytest.raises(SelectionError, match=r"Layer 0 was not read. These were: 1, 3\."):
        result.pattern(0, 2)
    with pytest.raises(SelectionError, match=r"Head 0 was not read. These were: 2\."):
        result.pattern(1, 0)


def test_edits_stored_on_the_model_count() -> None:
    model = teaching.load()
    with model.edit(inplace=True):
        model.transformer.h[0].output[:] = model.transformer.h[0].output * 0.5
    result = run_attention(model, TEXT, layers=[1, 2])
    plain = run_attention(MODEL, TEXT, layers=[1, 2])

    def halved(_module: Any, _args: Any, output: Any) -> Any:
        return (output[0] * 0.5, *output[1:]) if isinstance(output, tuple) else output * 0.5

    handle = NET.transformer.h[0].register_forward_hook(halved)
    try:
        own = told(ids_of(TEXT))
    finally:
        handle.remove()
    for layer in (1, 2):
        np.testing.assert_allclose(result.pattern(layer, 0), own[layer][0], atol=1e-5)
    assert np.abs(result.pattern(2, 0) - plain.pattern(2, 0)).max() > 1e-2


def test_two_prompts_are_compared() -> None:
    result = run_attention(MODEL, TEXT, corrupt=OTHER)
    one, other = told(ids_of(TEXT)), told(ids_of(OTHER))
    for layer, head in np.ndindex(4, 4):
        np.testing.assert_allclose(result.difference(layer, head), other[layer][head] - one[layer][head], atol=1e-5)
    assert result.tokens(1).ids == tuple(ids_of(OTHER))
    longer = run_attention(MODEL, TEXT, corrupt=TEXT + " Mary", layers=0)
    assert longer.pattern(0, 0, side=1).shape == (15, 15)
    with pytest.raises(ResultError, match="The prompts have 14 and 15 tokens"):
        longer.difference(0, 0)
    with pytest.raises(ResultError, match="Pass one as corrupt="):
        run_attention(MODEL, TEXT, layers=0).difference(0, 0)


@pytest.mark.parametrize("numbers", [2**24, 1, 14 * 14 * 4 * 2])
def test_several_prompts_give_their_mean_and_spread(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "_ROWS", numbers)
    texts = [TEXT, OTHER, TEXT.replace("store", "park")]
    result = run_attention(MODEL, texts)
    each = [run_attention(MODEL, text) for text in texts]
    for weighted in (False, True):
        maps = np.stack([one.pattern(2, 1, weighted=weighted) for one in each])
        np.testing.assert_allclose(result.pattern(2, 1, weighted=weighted), maps.mean(0), atol=1e-5)
        np.testing.assert_allclose(result.spread(2, 1, weighted=weighted), maps.std(0, ddof=1), atol=1e-5)
    norms = np.stack([one.value_norms(2, 1) for one in each])
    np.testing.assert_allclose(result.value_norms(2, 1), norms.mean(0), rtol=1e-5)
    np.testing.assert_allclose(result.provenance.forward_passes, 3)
    with pytest.raises(ResultError, match="There is no spread"):
        each[0].spread(2, 1)


def test_what_does_not_fit_is_kept_coarser() -> None:
    ids = (ids_of(TEXT) * 4)[:50]
    exact = run_attention(MODEL, ids)
    cells = 4 * 4 * 50 * 50
    assert exact.parts[0].pattern.dtype == np.float32
    half = run_attention(MODEL, ids, max_bytes=cells * 2)
    assert (half.block, half.parts[0].pattern.dtype) == (1, np.float16)
    np.testing.assert_allclose(half.pattern(1, 2), exact.pattern(1, 2), atol=5e-4)
    for block in (2, 4, 8, 64):
        across = -(-50 // block)
        coarse = run_attention(MODEL, ids, max_bytes=2 * 4 * 4 * across * across * 2)
        assert coarse.block == block
        assert sum(part.pattern.nbytes for part in coarse.parts) <= cells * 2
        for weighted, tolerance in ((False, 5e-4), (True, 5e-3)):
            blocks = pooled(exact.pattern(1, 2, weighted=weighted), block)
            np.testing.assert_allclose(coarse.pattern(1, 2, weighted=weighted), blocks, atol=tolerance, rtol=1e-3)
    with pytest.raises(ResultError, match=r"block of 64 by 64 tokens. Run fewer layers= or heads="):
        coarse.looks_at(0, 0, 0)
    averaged = run_attention(MODEL, [ids, ids[::-1]], max_bytes=3000)
    both = run_attention(MODEL, [ids, ids[::-1]])
    assert averaged.block > 1
    np.testing.assert_allclose(averaged.pattern(3, 3), pooled(both.pattern(3, 3), averaged.block), atol=5e-4)


def test_tiles_are_pieces_of_a_pyramid_of_largest_numbers() -> None:
    ids = (ids_of(TEXT) * 4)[:50]
    result = run_attention(MODEL, ids, layers=[0, 3])
    whole = result.pattern(3, 3)
    assert result.levels(size=16) == 3
    assert result.levels() == 1
    np.testing.assert_array_equal(result.tile(3, 3, 0, 1, 0, size=16), whole[16:32, :16])
    np.testing.assert_array_equal(result.tile(3, 3, 0, 3, 3, size=16), whole[48:, 48:])
    np.testing.assert_array_equal(result.tile(3, 3, 2, size=16), pooled(whole, 4))
    second = result.tile(3, 3, 1, 1, 0, size=16)
    assert second.shape == (9, 16)
    for query, key in np.ndindex(9, 16):
        rows = slice(32 + 2 * query, 34 + 2 * query)
        assert second[query, key] == whole[rows, 2 * key : 2 * key + 2].max()
    weighted = result.pattern(3, 3, weighted=True)
    np.testing.assert_array_equal(result.tile(3, 3, 0, 1, 1, size=16, weighted=True), weighted[16:32, 16:32])
    with pytest.raises(SelectionError, match=r"no tile \(4, 0\) at level 0: there are 4 by 4 of 16 by 16"):
        result.tile(3, 3, 0, 4, 0, size=16)


def test_a_token_says_where_it_looks_and_who_looks_at_it() -> None:
    result = run_attention(MODEL, TEXT)
    own = told(ids_of(TEXT))[3][3]
    (key, weight), *_ = result.looks_at(3, 3, -1)
    assert (key, result.tokens().labels[key]) == (1, "␣Mary")
    np.testing.assert_allclose(weight, own[-1, 1], atol=1e-5)
    assert [query for query, _ in result.looked_at_by(3, 3, 1, n=2)] == list(np.argsort(-own[:, 1])[:2])
    with pytest.raises(SelectionError, match="no position 14: they run from 0 to 13"):
        result.looks_at(3, 3, 14)
    assert "head 3.3 looks at ␣Mary (position 1) with 0.99 of its attention" in result.summary()


def test_a_frame_has_a_row_for_each_number() -> None:
    result = run_attention(MODEL, TEXT, corrupt=OTHER, layers=[3], heads=[3])
    frame = result.to_frame()
    assert (frame["key"] <= frame["query"]).all()
    row = frame[(frame["side"] == 1) & (frame["query"] == 13) & (frame["key"] == 3)].iloc[0]
    assert (row["query_token"], row["key_token"]) == ("␣to", "␣John")
    assert row["pattern"] == result.pattern(3, 3, side=1)[13, 3]
    assert row["weighted"] == result.pattern(3, 3, side=1, weighted=True)[13, 3]
    np.testing.assert_allclose(frame.groupby(["side", "query"])["pattern"].sum(), 1, atol=1e-5)


@pytest.mark.parametrize("texts", [TEXT, [TEXT, OTHER]])
def test_a_result_is_the_same_from_a_file(texts: Any, tmp_path: Path) -> None:
    result = run_attention(MODEL, texts, corrupt=OTHER, layers=[0, 2])
    again = AttentionResult.load(result.save(tmp_path / "patterns.safetensors"))
    assert again == result
    assert again.provenance.seconds == result.provenance.seconds
    assert result == run_attention(MODEL, texts, corrupt=OTHER, layers=[0, 2])
    assert result != run_attention(MODEL, texts, corrupt=OTHER, layers=[0, 2], value_weighted=False)


def test_weights_are_left_out_on_request() -> None:
    result = run_attention(MODEL, TEXT, value_weighted=False)
    assert result.parts[0].value_norms is None
    with pytest.raises(ResultError, match="Pass value_weighted=True"):
        result.pattern(0, 0, weighted=True)


def test_layers_arrive_one_by_one_and_stay_after_an_interrupt() -> None:
    steps = attention(MODEL, TEXT)
    assert [len(partial.parts) for partial in steps] == [0, 1, 2, 3, 4]
    steps = attention(MODEL, TEXT)
    for _ in range(3):
        partial = next(steps)
    steps.close()
    assert (partial.complete, len(partial.parts)) == (False, 2)
    assert "2 layers not read" in repr(partial)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = NET.transformer.h[2].mlp.register_forward_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            run_attention(MODEL, TEXT)
    finally:
        handle.remove()
    kept = caught.value.partial  # type: ignore[attr-defined]
    assert [part.layer for part in kept.parts] == [0, 1]
    np.testing.assert_array_equal(kept.pattern(1, 3), run_attention(MODEL, TEXT).pattern(1, 3))


def test_what_cannot_be_read_is_refused_in_words() -> None:
    with pytest.raises(PromptError, match="Prompt 1 has 15 tokens but prompt 0 has 14"):
        run_attention(MODEL, [TEXT, TEXT + " Mary"])
    with pytest.raises(PromptError, match="corrupt prompt is empty"):
        run_attention(MODEL, TEXT, corrupt="")
    with pytest.raises(PromptError, match="context holds 64"):
        run_attention(MODEL, [5] * 65)
    with pytest.raises(ValueError, match="value_weighted='no' must be True or False"):
        run_attention(MODEL, TEXT, value_weighted="no")
    with pytest.raises(SelectionError, match="heads holds 4, but they run from 0 to 3"):
        run_attention(MODEL, TEXT, heads=4)
    with pytest.raises(SelectionError, match="layers is empty"):
        run_attention(MODEL, TEXT, layers=[])
    with pytest.raises(ValueError, match="max_bytes=0 must be a whole number from 1 on"):
        run_attention(MODEL, TEXT, max_bytes=0)
    with pytest.raises(SelectionError, match="no side 1"):
        run_attention(MODEL, TEXT, layers=0).pattern(0, 0, side=1)


def test_a_recurrent_model_has_no_patterns() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, state_size=4)).eval()
    with pytest.raises(SiteError, match="pattern does not exist in MambaForCausalLM"):
        run_attention(model, [1, 2, 3])


def test_numbers_that_are_none_are_refused_with_their_layer() -> None:
    model = zoo.build("llama")
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match="first in the output of layer 1"):
        run_attention(model, IDS)


def test_hook_points_tell_patterns_but_not_how_long_values_are() -> None:
    model = HookedTransformer()
    kept: list[torch.Tensor] = []
    handle = model.blocks[1].attn.hook_pattern.register_forward_hook(lambda *run: kept.append(run[2].clone()))
    with torch.no_grad():
        model(torch.tensor([[3, 17, 5, 9, 11, 2]]))
    handle.remove()
    result = run_attention(NNsight(model), [3, 17, 5, 9, 11, 2], value_weighted=False)
    np.testing.assert_allclose(result.pattern(1, 1), kept[0][0, 1].numpy(), atol=1e-5)
    with pytest.raises(ModelError, match=r"not a module of its own.* Pass value_weighted=False"):
        attention(NNsight(model), [3, 17, 5, 9, 11, 2])


def test_a_pattern_is_never_held_as_a_whole() -> None:
    """Attention hands over no more keys at a time than a head is wide."""
    access = resolve(open_model(zoo.model("llama")))
    widths: dict[int, list[int]] = {0: [], 2: []}
    ids = torch.tensor([list(range(1, 22))])
    assert access.head_count("pattern") == 4
    read = list(scan(access, ids, [0, 2], lambda layer, part: widths[layer].append(part.weights.shape[-1])))
    assert read == [0, 2]
    assert widths == {0: [8, 8, 5], 2: [8, 8, 5]}
