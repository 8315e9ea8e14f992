"""Attribution patching inside attention and MLPs: heads and neurons add up, and the strongest neurons are run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets.experiments.ablation import run_ablation
from interp_widgets.experiments.causal_trace import run_causal_trace
from interp_widgets.experiments.patching import run_patching
from interp_widgets.results.errors import MetricError
from interp_widgets.results.patching import Status
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}


def test_the_strongest_neurons_of_noised_and_ablated_runs_are_run() -> None:
    model = zoo.model("gpt2")
    for result in (
        run_causal_trace(model, CLEAN, subject=(2, 4), samples=2, sites="mlp_post", metric="logprob", **GIVEN),
        run_ablation(model, CLEAN, sites="mlp_post", **GIVEN),
    ):
        assert result.complete
        assert (result.status == Status.COMPUTED).sum(axis=-1).max() == 32
        assert (result.status == Status.ESTIMATED).sum(axis=-1).max() == 96


@pytest.mark.parametrize("name", ["gpt2", "llama", "granite"])
def test_the_heads_of_a_layer_sum_to_what_attention_adds(name: str) -> None:
    """z reaches the stream through one matrix, so that by position and over heads the estimates add up."""
    options: dict[str, Any] = {"preview": True, "positions": [2, 3, 4, 5], **GIVEN}
    whole = run_patching(zoo.model(name), CLEAN, CORRUPT, sites="attn_out", by="layer", **options)
    heads = run_patching(zoo.model(name), CLEAN, CORRUPT, sites="z", **options)
    places = run_patching(zoo.model(name), CLEAN, CORRUPT, sites="z", by="pos", **options)
    change = whole.estimated_effect()[0, 0, :, 0]
    assert np.abs(change).max() > 1e-2
    np.testing.assert_allclose(heads.estimated_effect()[0, 0].sum(axis=1), change, atol=1e-4)
    by_head = np.nansum(places.estimated_effect()[0, 0].reshape(3, 4, 6), axis=2)  # NaN where a cell is certainly 0
    np.testing.assert_allclose(by_head[:2], heads.estimated_effect()[0, 0, :2], atol=1e-4)


@pytest.mark.parametrize("site", ["q", "k", "v", "pattern"])
def test_estimates_inside_attention_are_right_for_small_differences(site: Any) -> None:
    """Grouped queries: a cell of k or v is a key-value head, which two query heads share."""
    model = zoo.build("llama").double()
    embedding = model.get_input_embeddings().weight
    with torch.no_grad():
        noise = torch.randn(embedding.shape[1], generator=torch.Generator().manual_seed(3)).double()
        embedding[31] = embedding[13] + 0.02 * noise
    for by in ("head", "pos"):
        found = run_patching(model, CLEAN, [5, 9, 31, 22, 40, 7], sites=site, by=by, preview=True, **GIVEN)
        cells = found.compare(site)
        strong = np.abs(cells.exact) > 0.05 * np.abs(cells.exact).max()
        assert strong.sum() >= 3
        np.testing.assert_allclose(cells.estimated[strong], cells.exact[strong], rtol=0.25)


def test_the_32_strongest_neurons_of_a_layer_are_run() -> None:
    model = zoo.model("gpt2")
    result = run_patching(model, CLEAN, CORRUPT, sites="mlp_post", **GIVEN)
    assert result.complete
    assert result.status.shape == (1, 1, 3, 128)
    assert (result.status == Status.COMPUTED).sum(axis=-1).tolist() == [[[32, 32, 32]]]
    strengths = np.abs(result.estimated_effect()[0, 0])
    run = result.status[0, 0] == Status.COMPUTED
    for layer in range(3):
        assert strengths[layer][run[layer]].min() >= strengths[layer][~run[layer]].max()

    ran = np.flatnonzero(run[1])[:3].tolist()
    chosen = sorted([*ran, int(np.flatnonzero(~run[1])[0])])
    exact = run_patching(model, CLEAN, CORRUPT, sites="mlp_post", neurons=chosen, **GIVEN)
    assert exact.estimates is None
    assert (exact.status == Status.COMPUTED).all()
    columns = [chosen.index(number) for number in ran]
    np.testing.assert_allclose(exact.value()[0, 0, 1, columns], result.value()[0, 0, 1, ran], atol=2e-5)
    whole = run_patching(model, CLEAN, CORRUPT, sites="mlp_post", preview=False, **GIVEN)
    assert (whole.status == Status.COMPUTED).all()
    np.testing.assert_allclose(exact.value()[0, 0], whole.value()[0, 0][:, chosen], atol=2e-5)


def test_all_neurons_of_a_layer_together_are_what_the_mlp_adds() -> None:
    model = zoo.model("gpt2")
    neurons = run_patching(model, CLEAN, CORRUPT, sites="mlp_post", positions=[2, 3, 4, 5], **GIVEN)
    added = run_patching(
        model, CLEAN, CORRUPT, sites="mlp_out", by="layer", positions=[2, 3, 4, 5], preview=True, **GIVEN
    )
    np.testing.assert_allclose(
        neurons.estimated_effect()[0, 0].sum(axis=1), added.estimated_effect()[0, 0, :, 0], atol=1e-4
    )


def test_neurons_of_a_metric_without_a_derivative_have_to_be_chosen() -> None:
    with pytest.raises(MetricError, match="metric rank has no derivative"):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites="mlp_post", metric="rank", **GIVEN)
    chosen = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites="mlp_post", metric="rank", neurons=[3], **GIVEN)
    assert chosen.complete
