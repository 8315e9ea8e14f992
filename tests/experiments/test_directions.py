"""Differences of means against plain hooks and scikit-learn-free arithmetic, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets import Directions, difference_of_means, run_features, run_steering
from interp_widgets.results.errors import PromptError, SelectionError, SiteError, UnknownNameError
from tests.experiments import zoo
from tests.experiments.plain import Plain

POSITIVE = [[5, 9, 13, 22], [5, 31, 2], [40, 7, 8, 9], [1, 2, 3, 4, 5]]
NEGATIVE = [[5, 9, 14, 50], [33, 31], [41, 7, 8]]


def by_hand(plain: Plain, prompts: list[list[int]], site: str, position: int) -> np.ndarray[Any, Any]:
    """(prompt, layer, d)."""
    return np.array([[there[position].double().numpy() for there in plain.read(ids, site)] for ids in prompts])


@pytest.mark.parametrize("site", ["resid_pre", "resid_post", "mlp_out", "z", "mlp_post"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox"])
def test_means_separation_and_accuracy_are_those_of_a_loop(name, site):
    found = difference_of_means(zoo.model(name), POSITIVE, NEGATIVE, site=site, positions=(-1, 0))
    plain = Plain(name)
    for number, position in enumerate((-1, 0)):
        left, right = (by_hand(plain, prompts, site, position) for prompts in (POSITIVE, NEGATIVE))
        for layer in range(left.shape[1]):
            a, b = left[:, layer], right[:, layer]
            vector = a.mean(0) - b.mean(0)
            assert found.vector(layer, position) == pytest.approx(vector, abs=1e-5)
            assert found.norms[layer, number] == pytest.approx(np.linalg.norm(vector), rel=1e-5)
            unit = vector / np.linalg.norm(vector)
            spread = np.sqrt((np.var(a @ unit, ddof=1) + np.var(b @ unit, ddof=1)) / 2)
            assert found.separation[layer, number] == pytest.approx(
                (a @ unit - 0).mean() / spread - (b @ unit).mean() / spread, rel=1e-3
            )
            shares = []
            for own, other, sign in ((a, b, 1), (b, a, -1)):
                right_ones = 0
                for left_out in range(len(own)):
                    rest = np.delete(own, left_out, 0).mean(0)
                    direction = sign * (rest - other.mean(0))
                    middle = (rest + other.mean(0)) / 2
                    right_ones += sign * ((own[left_out] - middle) @ direction) > 0
                shares.append(right_ones / len(own))
            assert found.accuracy[layer, number] == pytest.approx(np.mean(shares))


def test_the_best_place_has_the_highest_accuracy_and_then_the_largest_separation():
    found = difference_of_means(zoo.model("gpt2"), POSITIVE, NEGATIVE, positions=(-1, -2))
    best = found.best()
    at = found.layers.index(best["layer"]), found.positions.index(best["position"])
    assert found.accuracy[at] == found.accuracy.max()
    assert found.separation[at] == found.separation[found.accuracy == found.accuracy.max()].max()
    assert f"layer {best['layer']}, position {best['position']}" in found.summary()
    assert found.to_frame().loc[lambda rows: (rows.layer == best["layer"]) & (rows.position == best["position"])][
        "norm"
    ].item() == pytest.approx(found.norms[at])


def test_it_is_saved_and_is_a_direction_and_features(tmp_path):
    found = difference_of_means(zoo.model("gpt2"), POSITIVE, NEGATIVE, layers=(0, 1))
    assert Directions.load(found.save(tmp_path / "it.safetensors")) == found
    steered = run_steering(zoo.model("gpt2"), POSITIVE[0], found.vector(1), layers=1, n_tokens=0)
    assert steered.values["kl"][0, 1] > 0
    read = run_features(zoo.model("gpt2"), POSITIVE[0], found.matrix, layer=1, fit=False)
    assert read.dictionary.n_latents == 2
    assert found.provenance.forward_passes == 7


def test_one_prompt_on_a_side_has_a_direction_and_no_accuracy():
    found = difference_of_means(zoo.model("gpt2"), POSITIVE[0], NEGATIVE)
    assert np.isfinite(found.vectors).all()
    assert np.isnan(found.accuracy).all()
    assert np.isnan(found.separation).all()
    assert "Told apart" not in found.summary()
    with pytest.raises(SelectionError, match="a set of one prompt"):
        found.best()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"positive": []}, PromptError, "positive prompt"),
        ({"negative": ""}, PromptError, "negative prompt is empty"),
        ({"positions": -4}, SelectionError, "positions holds -4, but the shortest prompt has 2 tokens"),
        ({"positions": ()}, SelectionError, "positions is empty"),
        ({"layers": 9}, SelectionError, "layers holds 9"),
        ({"site": "pattern"}, SiteError, "pattern has no numbers of single tokens"),
        ({"site": "here"}, UnknownNameError, "here"),
    ],
)
def test_what_cannot_work_is_refused(given, error, words):
    asked = {"positive": POSITIVE, "negative": NEGATIVE, **given}
    with pytest.raises(error, match=words):
        difference_of_means(zoo.model("gpt2"), **asked)


def test_a_direction_that_is_not_there_is_refused():
    found = difference_of_means(zoo.model("gpt2"), POSITIVE, NEGATIVE, layers=1)
    assert found.vector(1).shape == (32,)
    with pytest.raises(SelectionError, match="no direction for layer 0 and position -1: there are layers 1"):
        found.vector(0)
    assert torch.as_tensor(found.vectors.copy()).isfinite().all()
