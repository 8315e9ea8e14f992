"""What is found of a model, however it is handed over."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from nnsight import NNsight, TransformersModel
from torch import nn

from interp_widgets.experiments.patching import run_patching
from interp_widgets.models.access import resolve
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.opening import open_model
from interp_widgets.models.probe import probe_ids
from interp_widgets.models.shortcuts import _agree
from interp_widgets.results.errors import ModelError
from tests.experiments import zoo


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_each_family_is_found_as_its_source_reads(name: str) -> None:
    family = zoo.FAMILIES[name]
    access = resolve(open_model(zoo.model(name)))
    parts = access.anatomy.parts
    assert parts is not None
    assert (parts.attn, parts.mlp) == (family.attn, family.mlp)
    assert access.anatomy.parallel == family.parallel
    assert access.scale == family.multiplier
    assert access.blocks[0].path == f"model.{family.blocks}.0"
    assert ("resid_mid" in access.sites) != family.parallel
    assert family.mlp in repr(access)


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_only_two_families_refuse_a_growing_batch(name: str) -> None:
    """So that a change in transformers which costs speed does not go unseen."""
    assert resolve(open_model(zoo.model(name))).grows == (name not in ("bloom", "gpt_bigcode", "gpt_bigcode_old"))


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_every_family_runs_on_from_cached_keys_and_values(name: str) -> None:
    """Alternating windows and ALiBi included, since masks and position tables are the model's own."""
    access = resolve(open_model(zoo.model(name)))
    assert access.n_kv_heads is not None
    assert access.d_head is not None
    shared = 2 * access.n_kv_heads * access.d_head
    assert access.cached in (shared, 2 * (access.n_heads or 0) * access.d_head)  # of all query heads in Falcon


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "granite", "gpt_neox", "mpt"])
def test_without_its_row_a_family_is_found_by_search_or_does_without(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp_widgets.models.families.FAMILIES", {})
    access = resolve(open_model(zoo.build(name).to(dtype)))
    parts = access.anatomy.parts
    if name in ("gemma2", "mpt"):  # what their attention and MLP return is not what they add
        assert parts is None
        assert access.sites == ("resid_pre", "resid_post")
        assert "not found" in repr(access)
    else:
        assert parts is not None
        assert (parts.attn, parts.mlp) == (zoo.FAMILIES[name].attn, zoo.FAMILIES[name].mlp)


def test_reading_gives_what_the_model_says() -> None:
    for name in ("gpt2", "falcon", "granite", "opt"):
        model = zoo.model(name)
        access = resolve(open_model(model))
        ids = probe_ids(model)
        runs = access.read(ids, ("attn_out", "mlp_out"))
        with torch.no_grad():
            expected = model(ids).logits[:, -1]
        torch.testing.assert_close(runs.logits, expected, atol=1e-4, rtol=1e-4)
        for layer in range(access.n_layers):
            added = runs.site("attn_out", layer) + runs.site("mlp_out", layer)
            torch.testing.assert_close(runs.stream[layer] + added, runs.stream[layer + 1], atol=1e-4, rtol=1e-4)
        assert not any(tensor.requires_grad for tensor in runs.stream)


CLEAN, CORRUPT = "Once upon a time Tim", "Once upon a time Lily"
ANSWERS: dict[str, Any] = {"answer": " was", "wrong_answer": " He"}


def test_every_way_to_hand_over_one_model_gives_one_result(story_model: Path) -> None:
    expected = run_patching(story_model, CLEAN, CORRUPT, **ANSWERS)
    loaded = TransformersModel(str(story_model), task="text-generation", dispatch=True)
    # nnsight cannot guess the tokenizer of a folder that it has not loaded yet.
    lazy = TransformersModel(str(story_model), task="text-generation", tokenizer=loaded.tokenizer)
    assert not lazy.dispatched
    ways: list[tuple[Any, Any]] = [
        (str(story_model), None),
        (loaded, None),
        (lazy, None),
        (loaded._module, loaded.tokenizer),
        (NNsight(loaded._module), loaded.tokenizer),
    ]
    for model, tokenizer in ways:
        found = run_patching(model, CLEAN, CORRUPT, tokenizer=tokenizer, **ANSWERS)
        np.testing.assert_allclose(found.value(), expected.value(), atol=1e-5)
        assert found.provenance.fingerprint == expected.provenance.fingerprint
        assert found.pairs[0].clean == expected.pairs[0].clean
        assert found.pairs[0].clean.labels[0] == "<s>"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old name, which users still type, is deprecated
        from nnsight import LanguageModel

        old = LanguageModel(str(story_model), tokenizer=loaded.tokenizer)
    np.testing.assert_allclose(run_patching(old, CLEAN, CORRUPT, **ANSWERS).value(), expected.value(), atol=1e-5)


def test_ids_and_text_are_one(story_model: Path) -> None:
    by_text = run_patching(story_model, CLEAN, CORRUPT, **ANSWERS)
    pair = by_text.pairs[0]
    by_ids = run_patching(
        story_model,
        list(pair.clean.ids),
        list(pair.corrupt.ids),
        answer=pair.answer.id,
        wrong_answer=pair.wrong_answer.id,
    )
    assert by_ids == by_text


def test_the_fingerprint_tells_weights_and_types_apart() -> None:
    first, second = nn.Linear(40, 5), nn.Linear(40, 5)
    assert fingerprint(first) != fingerprint(second)
    second.load_state_dict(first.state_dict())
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(second.to(torch.bfloat16))
    with torch.no_grad():
        first.bias[2] += 1
    assert fingerprint(first) != fingerprint(nn.Linear(40, 5))


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_the_last_mlp_is_trimmed_where_it_sees_positions(name: str) -> None:
    assert resolve(open_model(zoo.model(name))).trims == (name != "opt")  # whose MLP works on a flat list


@pytest.mark.skipif(not hasattr(transformers, "Gemma4TextConfig"), reason="this transformers has no Gemma 4")
def test_a_model_that_reads_its_tokens_again_in_later_layers_is_refused() -> None:
    """Rows run on the ids of one prompt, so patches of other prompts would be measured with the wrong tokens."""
    torch.manual_seed(0)
    config = transformers.Gemma4TextConfig(
        vocab_size=61,
        vocab_size_per_layer_input=61,
        hidden_size=32,
        hidden_size_per_layer_input=8,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=48,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ModelError, match="does not run on from a stream alone"):
        resolve(open_model(model))


def test_logits_agree_only_but_for_rounding() -> None:
    logits = torch.linspace(-20, 20, 61)[None]
    assert _agree(logits * (1 + 1e-6), logits, torch.float32)
    assert not _agree(logits * 1.01, logits, torch.float32)
    assert _agree(logits * 1.01, logits, torch.bfloat16)
    assert not _agree(logits * 1.2, logits, torch.bfloat16)


def test_replaced_and_swapped_blocks_are_found_again() -> None:
    model = zoo.build("gpt2")
    wrapped = NNsight(model)
    resolve(open_model(model))
    blocks = model.transformer.h
    blocks[0], blocks[1] = blocks[1], blocks[0]
    assert resolve(open_model(model)).anatomy.blocks == tuple(blocks)
    blocks[1] = copy.deepcopy(blocks[2])
    assert resolve(open_model(model)).anatomy.blocks == tuple(blocks)
    with pytest.raises(ModelError, match=r"A GPT2Block of .* was put in after nnsight wrapped the model.*Wrap"):
        resolve(open_model(wrapped))
