"""Grids of heads and neurons: every cell against plain hooks, and answers that are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interp_widgets.experiments.patching import run_patching
from interp_widgets.results.patching import Status
from tests.experiments import zoo
from tests.models.heads_reference import Reference

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "gpt_neox", "qwen3", "gpt_bigcode", "bloom", "falcon"])
def test_every_head_equals_one_plain_forward(name: str, direction: str) -> None:
    reference = Reference(zoo.FAMILIES[name], zoo.model(name))
    host, donor = (CORRUPT, CLEAN) if direction == "denoising" else (CLEAN, CORRUPT)
    found = run_patching(reference.model, CLEAN, CORRUPT, sites=("z", "q", "k", "v"), direction=direction, **GIVEN)
    assert found.complete
    for number, panel in enumerate(found.panels):
        assert panel.columns == "head"
        values = reference.activations(donor, panel.site)
        heads = reference.count(panel.site)
        assert panel.labels == tuple(map(str, range(heads or 0)))
        for layer in range(len(reference.blocks)):
            for head in range(heads or 0):
                logits = reference.patched(host, panel.site, layer, head, slice(None), values[layer][:, head])
                expected = float(logits[11] - logits[27])
                assert found.value()[0, number, layer, head] == pytest.approx(expected, abs=1e-4)
        beyond = found.status[0, number, :, heads:]
        assert (beyond == Status.LEFT_OUT).all()


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_every_head_by_position_equals_one_plain_forward(name: str) -> None:
    reference = Reference(zoo.FAMILIES[name], zoo.model(name))
    found = run_patching(reference.model, CLEAN, CORRUPT, sites=("z", "v"), by="pos", **GIVEN)
    for number, panel in enumerate(found.panels):
        values = reference.activations(CLEAN, panel.site)
        for row, line in enumerate(panel.lines):
            assert line.head is not None
            for position in range(len(CLEAN)):
                value = values[line.layer][position, line.head]
                logits = reference.patched(CORRUPT, panel.site, line.layer, line.head, position, value)
                expected = float(logits[11] - logits[27])
                assert found.value()[0, number, row, position] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "phi", "opt"])
def test_all_heads_of_a_layer_together_are_its_attention(name: str) -> None:
    """Where nothing but a linear map is between z and what attention adds."""
    found = run_patching(zoo.model(name), CLEAN, CORRUPT, sites=("z", "attn_out"), by="layer", **GIVEN)
    np.testing.assert_allclose(found.value()[0, 0, :, 0], found.value()[0, 1, :, 0], atol=2e-5)


def test_all_neurons_together_are_the_mlp() -> None:
    found = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites=("mlp_post", "mlp_out"), by="layer", **GIVEN)
    np.testing.assert_allclose(found.value()[0, 0, :, 0], found.value()[0, 1, :, 0], atol=2e-5)


def test_chosen_heads_and_neurons_equal_those_of_all() -> None:
    model = zoo.model("gpt2")
    whole = run_patching(model, CLEAN, CORRUPT, sites="z", **GIVEN)
    part = run_patching(model, CLEAN, CORRUPT, sites="z", heads=[-1, 1], layers=[1, 2], **GIVEN)
    assert part.panels[0].labels == ("1", "3")
    np.testing.assert_allclose(part.value()[0, 0], whole.value()[0, 0, 1:][:, [1, 3]], atol=1e-5)
    few = run_patching(model, CLEAN, CORRUPT, sites="mlp_post", neurons=[3, 100], **GIVEN)
    reference = Reference(zoo.FAMILIES["gpt2"], model)
    values = reference.activations(CLEAN, "mlp_post")
    host = reference.activations(CORRUPT, "mlp_post")
    for column, neuron in enumerate((3, 100)):
        changed = host[1].clone()
        changed[:, neuron] = values[1][:, neuron]
        logits = reference.patched(CORRUPT, "mlp_post", 1, 0, slice(None), changed)
        assert few.value()[0, 0, 1, column] == pytest.approx(float(logits[11] - logits[27]), abs=2e-5)


def test_a_key_value_head_says_who_shares_it() -> None:
    found = run_patching(zoo.model("llama"), CLEAN, CORRUPT, sites=("z", "k"), **GIVEN)
    assert found.panels[0].notes == ()
    assert found.panels[1].notes == (
        "key-value head, shared by query heads 0, 1",
        "key-value head, shared by query heads 2, 3",
    )
    assert set(found.to_frame().query("site == 'k'")["head"]) == {0, 1}


def test_a_head_is_known_where_it_cannot_differ() -> None:
    """Heads of the first layer read the same before the first different token."""
    found = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites="z", by="pos", **GIVEN)
    before = found.status[0, 0, :, :2]
    assert (before == Status.KNOWN).all()
    assert (found.effect()[0, 0, :, :2] == 0).all()
    last = [row for row, line in enumerate(found.panels[0].lines) if line.layer == 2]
    assert (found.status[0, 0, last, :-1] == Status.KNOWN).all()
    assert (found.status[0, 0, last, -1] == Status.COMPUTED).all()
