"""Toy models of superposition: what Elhage et al. (2022) found, a plain loop beside the batched one, and refusals."""

from __future__ import annotations

import contextlib
import io
from itertools import pairwise

import numpy as np
import pytest
import torch

from interp_widgets.experiments.superposition import run_superposition, superposition
from interp_widgets.experiments.toy_models import HELD_OUT
from interp_widgets.results.errors import InterpWidgetsError, NonFiniteError, SelectionError, UnknownNameError


def cosines(result, sparsity):
    directions = result.directions(sparsity)
    units = directions / np.linalg.norm(directions, axis=0)
    return units.T @ units


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_dense_features_are_kept_by_importance_each_in_its_own_dimension(activation):
    result = run_superposition(n_features=6, n_hidden=3, probabilities=1, activation=activation, models=2, steps=1500)
    share = result.dimensionality[0, result.best[0]]
    np.testing.assert_allclose(share, [1, 1, 1, 0, 0, 0], atol=0.06)
    assert result.geometry(0) == "3 on their own, 3 not kept"
    np.testing.assert_allclose(np.abs(cosines(result, 0)[:3, :3]), np.eye(3), atol=0.06)


def test_without_relu_there_is_no_superposition_however_sparse():
    """A linear model keeps the first principal components, whose number is that of its dimensions."""
    result = run_superposition(activation="linear", probabilities=(0.3, 0.05), models=2, steps=1500)
    for sparsity in range(2):
        np.testing.assert_allclose(result.dimensionality[sparsity, result.best[sparsity]], [1, 1, 0, 0, 0], atol=0.1)
    # What is lost is the variance of the features that are dropped.
    dropped = result.importance[2:].sum() / result.importance.sum()
    np.testing.assert_allclose(result.lost.min(axis=1), dropped, atol=0.04)


def test_five_sparse_features_of_equal_importance_make_a_pentagon():
    result = run_superposition(importance_decay=1, probabilities=0.05, steps=2500)
    assert result.geometry(0) == "pentagon"
    np.testing.assert_allclose(result.dimensionality[0, result.best[0]], 2 / 5, atol=0.01)
    directions = result.directions(0)
    angles = np.sort(np.rad2deg(np.arctan2(directions[1], directions[0])))
    np.testing.assert_allclose(np.diff(angles), 72, atol=2.5)


def test_features_that_are_never_on_together_are_opposite_to_each_other():
    result = run_superposition(
        n_features=4, importance_decay=1, anticorrelated=[(0, 2), (1, 3)], probabilities=0.2, models=2
    )
    alike = cosines(result, 0)
    np.testing.assert_allclose([alike[0, 2], alike[1, 3]], -1, atol=0.01)
    np.testing.assert_allclose(alike[0, [1, 3]], 0, atol=0.05)
    assert result.lost.min() < 1e-3, "nothing is lost where opposites never meet"


def test_features_that_are_on_together_are_at_right_angles():
    result = run_superposition(
        n_features=4, importance_decay=1, correlated=[(0, 2), (1, 3)], probabilities=0.05, models=3
    )
    alike = cosines(result, 0)
    np.testing.assert_allclose([alike[0, 2], alike[1, 3]], 0, atol=0.15)
    assert sorted(alike[0, [1, 3]])[0] < -0.9, "each is opposite to one of the other set"


def test_all_sizes_stay_within_their_dimensions():
    result = run_superposition(n_features=9, n_hidden=3, probabilities=(0.5, 0.05), models=2, steps=300)
    assert result.dimensionality.sum(axis=-1).max() <= 3 + 1e-6
    assert result.weights.shape == (2, 2, 3, 9)


def by_hand(*, n_features, n_hidden, probability, model, models, steps, whole, batch, seed, relu=True):
    """One model in a plain loop, its gradients written out, its Adam as in Kingma and Ba's paper."""
    random = torch.Generator().manual_seed(seed)
    weights = torch.randn(models, n_hidden, n_features, generator=random)[model].numpy() * n_features**-0.5
    importance = 0.9 ** np.arange(n_features)
    parameters = [weights.astype(np.float64), np.zeros(n_features)]
    moments = [(np.zeros_like(each), np.zeros_like(each)) for each in parameters]
    for step in range(steps):
        gate, value = (torch.rand(batch, n_features, generator=random).numpy().astype(np.float64) for _ in range(2))
        x = value * (gate < probability)
        w, b = parameters
        hidden = x @ w.T
        out = hidden @ w + b
        slope = 2 * importance * ((np.maximum(out, 0) if relu else out) - x) / batch * ((out > 0) if relu else 1)
        gradients = [hidden.T @ slope + (slope @ w.T).T @ x, slope.sum(0)]
        rate = 0.01 * (1 + np.cos(np.pi * step / whole)) / 2
        for number, gradient in enumerate(gradients):
            first, second = moments[number]
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            moments[number] = first, second
            scaled = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
            parameters[number] = parameters[number] - rate * scaled[0] / (np.sqrt(scaled[1]) + 1e-8)
    held_out = torch.Generator().manual_seed(seed + 1)
    gate, value = (torch.rand(HELD_OUT, n_features, generator=held_out).numpy().astype(np.float64) for _ in range(2))
    x = value * (gate < probability)
    w, b = parameters
    out = x @ w.T @ w + b
    loss = (importance * ((np.maximum(out, 0) if relu else out) - x) ** 2).sum(-1).mean()
    constant = (importance * (x - x.mean(0)) ** 2).sum(-1).mean()
    return w, b, loss, constant


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("sparsity", "model"), [(0, 0), (1, 2)])
def test_each_model_is_the_one_that_a_plain_loop_trains_alone(sparsity, model, relu):
    settings = {"n_features": 6, "n_hidden": 3, "models": 3, "batch": 64, "seed": 5}
    result = run_superposition(**settings, probabilities=(0.8, 0.1), steps=40, activation="relu" if relu else "linear")
    weights, biases, loss, constant = by_hand(
        **settings, probability=(0.8, 0.1)[sparsity], model=model, steps=40, whole=40, relu=relu
    )
    np.testing.assert_allclose(result.weights[sparsity, model], weights, atol=2e-5)
    np.testing.assert_allclose(result.biases[sparsity, model], biases, atol=2e-5)
    assert result.losses[sparsity, model] == pytest.approx(loss, rel=1e-4)
    assert result.constant_losses[sparsity] == pytest.approx(constant, rel=1e-5)


@pytest.mark.parametrize(
    "sets", [{}, {"correlated": [(0, 3)]}, {"anticorrelated": [(1, 2)], "correlated": [(0, 4)], "activation": "linear"}]
)
def test_the_printed_lines_train_the_same_model(sets):
    result = run_superposition(**sets, probabilities=(0.5, 0.1), steps=60, batch=64, seed=3, models=2)
    for sparsity in range(2):
        names: dict[str, object] = {}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(result.script(sparsity), names)
        np.testing.assert_allclose(names["W"].numpy(), result.directions(sparsity), atol=2e-5)
        share = result.dimensionality[sparsity, result.best[sparsity]]
        last = printed.getvalue().split("tensor(")[-1].partition(")")[0]
        np.testing.assert_allclose(eval(last), share, atol=2e-3)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    small = {"steps": 30, "batch": 32, "models": 2, "probabilities": (0.5, 0.1)}
    first = run_superposition(**small, seed=1)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert run_superposition(**small, seed=1) == first
    assert torch.equal(torch.random.get_rng_state(), before), "nobody else's random numbers are touched"
    assert not np.allclose(run_superposition(**small, seed=2).weights, first.weights)


def test_a_model_does_not_depend_on_which_others_are_trained_beside_it():
    small = {"steps": 30, "batch": 32}
    all_of_them = run_superposition(**small, probabilities=(0.6, 0.2, 0.1), models=2)
    alone = run_superposition(**small, probabilities=0.2, models=2)
    np.testing.assert_allclose(all_of_them.weights[1], alone.weights[0], atol=1e-5)


def test_partial_results_are_frozen_ordered_and_begin_before_training():
    partials = list(superposition(steps=120, batch=16, models=1, probabilities=(1, 0.1)))
    assert partials[0].trained == 0
    assert [one.trained for one in partials] == sorted({one.trained for one in partials})
    assert all(not one.complete for one in partials)
    for before, after in pairwise(partials):
        assert not np.array_equal(before.weights, after.weights)
        np.testing.assert_array_equal(after.curves[: len(before.curves)], before.curves)
    start = partials[0].weights
    np.testing.assert_array_equal(start[0], start[1])


def test_a_number_of_steps_that_nothing_divides_is_trained_in_full():
    result = run_superposition(steps=127, batch=8, models=1, probabilities=0.5)
    assert result.trained == 127
    assert result.complete


def test_it_trains_where_gradients_are_off():
    small = {"steps": 20, "batch": 16, "models": 1, "probabilities": 0.3}
    expected = run_superposition(**small)
    with torch.no_grad():
        assert run_superposition(**small) == expected


def test_sparsities_go_from_dense_to_sparse_and_defaults_respect_excluding_sets():
    small = {"steps": 1, "batch": 4, "models": 1}
    assert run_superposition(**small, probabilities=(0.1, 1, 0.5)).probabilities == (1, 0.5, 0.1)
    assert run_superposition(**small).probabilities[0] == 1
    apart = run_superposition(**small, anticorrelated=[(0, 1, 2)]).probabilities
    assert apart[0] == pytest.approx(1 / 3)


def test_features_come_as_often_as_said_and_sets_keep_to_each_other():
    """Seen from outside: what a constant loses is the sum of the features' variances."""
    for sets in ({}, {"correlated": [(0, 1, 2)]}, {"anticorrelated": [(0, 1, 2)]}):
        result = run_superposition(**sets, steps=1, models=1, probabilities=(0.3, 0.1), importance_decay=1)
        variance = [probability / 3 - probability**2 / 4 for probability in result.probabilities]
        np.testing.assert_allclose(result.constant_losses, 5 * np.array(variance), rtol=0.08)


def test_one_feature_and_one_dimension_are_enough():
    result = run_superposition(n_features=1, n_hidden=1, probabilities=0.5, steps=1500, models=1)
    assert result.geometry(0) == "1 on its own"
    assert result.lost.min() < 1e-3


def test_more_dimensions_than_features_lose_nothing():
    result = run_superposition(n_features=2, n_hidden=4, probabilities=0.5, steps=1500, models=3)
    assert result.geometry(0) == "2 on their own"
    assert result.lost.min() < 1e-3


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"n_features": 0}, ValueError, "n_features=0 must be a whole number from 1 on."),
        ({"n_hidden": 2.5}, ValueError, "n_hidden=2.5 must be a whole number from 1 on."),
        ({"models": True}, ValueError, "models=True must be a whole number"),
        ({"steps": -1}, ValueError, "steps=-1 must be a whole number"),
        ({"batch": "many"}, ValueError, "batch='many' must be a whole number"),
        ({"probabilities": 0}, ValueError, "0 is not above 0 and at most 1"),
        ({"probabilities": (0.5, 1.2)}, ValueError, "1.2 is not above 0 and at most 1. Say how often a feature is on"),
        ({"probabilities": (0.5, float("nan"))}, ValueError, "nan is not above 0"),
        ({"probabilities": (0.5, 1e-4)}, ValueError, "at 0.0001 a feature is on in fewer than one of 1,000 examples"),
        ({"probabilities": ()}, ValueError, "probabilities is empty"),
        ({"probabilities": (0.5, 0.5)}, ValueError, "has one twice"),
        ({"probabilities": (0.5, "0.1")}, ValueError, "'0.1' is not above 0"),
        ({"importance_decay": 0}, ValueError, "importance_decay=0 must be a number above 0."),
        ({"importance_decay": float("nan")}, ValueError, "importance_decay=nan must be a number above 0."),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate=inf must be a number above 0."),
        ({"seed": -1}, ValueError, "seed=-1 must be a whole number from 0 on."),
        (
            {"activation": "gelu"},
            UnknownNameError,
            "unknown activation 'gelu': did you mean 'relu'? Valid activations: relu, linear.",
        ),
        ({"correlated": [(0, 5)]}, SelectionError, "there is no feature 5, only 0 to 4."),
        ({"correlated": [(0,)]}, SelectionError, "lists sets of two or more features, such as correlated=[(0, 1)]."),
        ({"anticorrelated": (0, 1)}, SelectionError, "lists sets of two or more features"),
        ({"correlated": [(0, 1)], "anticorrelated": [(1, 2)]}, SelectionError, "feature 1 is in two sets."),
        (
            {"anticorrelated": [(0, 1)], "probabilities": (0.6, 0.1)},
            ValueError,
            "at most 0.5 of the time, and 0.6 is more",
        ),
    ],
)
def test_bad_arguments_are_refused_at_once(given, kind, words):
    with pytest.raises(kind) as refused:
        superposition(**given)  # before the first step
    assert words in str(refused.value)
    assert isinstance(refused.value, (InterpWidgetsError, ValueError))


def test_a_training_that_explodes_says_so_and_keeps_what_was_finite():
    with pytest.raises(NonFiniteError, match=r"Take a smaller learning_rate than 1e\+30\.") as raised:
        run_superposition(activation="linear", learning_rate=1e30, steps=200, batch=8, models=1)
    assert np.isfinite(raised.value.partial.weights).all()


def test_the_rarest_features_can_still_be_measured():
    result = run_superposition(n_features=1, n_hidden=1, probabilities=0.001, steps=1, batch=4, models=1)
    assert np.isfinite(result.lost).all()


def test_the_number_of_threads_is_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_superposition(steps=3, batch=4, models=1, probabilities=0.5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_interrupt_keeps_what_was_trained(monkeypatch):
    from interp_widgets.experiments.toy_models import ToyModels

    train, calls = ToyModels.train, []

    def interrupted(self, steps):
        calls.append(steps)
        if len(calls) == 3:
            raise KeyboardInterrupt
        train(self, steps)

    monkeypatch.setattr(ToyModels, "train", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_superposition(steps=600, batch=8, models=1)
    assert stopped.value.partial.trained == sum(calls[:2])
