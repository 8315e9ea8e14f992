"""Superposition results: what follows of weights, in numbers, words, tables and files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.superposition import SuperpositionResult, percent
from tests import made
from tests.made_toys import polygon, toys


def test_what_is_said_of_a_sparsity_is_about_its_best_model():
    result = toys()
    assert result.best.tolist() == [1, 1, 1]
    np.testing.assert_allclose(result.directions(2), polygon(5, length=1.1), atol=1e-6)
    np.testing.assert_allclose(result.directions(2, model=0), polygon(3), atol=1e-6)
    assert [result.geometry(at) for at in range(3)] == [
        "2 on their own, 3 not kept",
        "2 antipodal pairs, 1 not kept",
        "pentagon",
    ]
    assert result.geometry(0, model=0) == "triangle, 2 not kept"


def test_norms_dimensionalities_and_interference_have_the_axes_of_the_models():
    result = toys()
    np.testing.assert_allclose(result.norms[2, 1], 1.1, atol=1e-6)
    np.testing.assert_allclose(result.dimensionality[:, 1], [[1, 1, 0, 0, 0], [0.5] * 4 + [0], [0.4] * 5], atol=1e-6)
    np.testing.assert_allclose(result.dimensionality[1, 0], [2 / 3] * 3 + [0, 0], atol=1e-6)
    np.testing.assert_allclose(result.interference[1, 1], [1, 1, 1, 1, 0], atol=1e-6)


def test_the_gram_says_what_each_feature_puts_on_each():
    np.testing.assert_allclose(toys().gram(1)[0], [1, -1, 0, 0, 0], atol=1e-6)
    pentagon = toys().gram(2)
    np.testing.assert_allclose(pentagon[0, :2] / 1.21, [1, np.cos(np.deg2rad(72))], atol=1e-6)


def test_what_is_lost_is_a_share_of_what_a_constant_loses():
    result = toys()
    np.testing.assert_allclose(result.lost[:, 1], [0.6 / 1.2, 0.2 / 0.65, 0.02 / 0.1])
    np.testing.assert_allclose(result.losses, result.curves[-1])
    assert result.sparsities == pytest.approx((0, 0.7, 0.96))


def test_the_summary_is_for_people():
    assert toys().summary().splitlines() == [
        "5 features in 2 dimensions, ReLU(WᵀWx + b), best of 2.",
        "On 100% of the time: 2 of 5 kept, 2 on their own, 3 not kept; 50% is lost.",
        "On 30% of the time: 4 of 5 kept, 2 antipodal pairs, 1 not kept; 31% is lost.",
        "On 4% of the time: 5 of 5 kept, pentagon; 20% is lost.",
    ]
    half = replace(toys(), steps=200)
    assert not half.complete
    assert half.summary().endswith("Trained for 100 of 200 steps.")
    assert repr(half) == (
        "SuperpositionResult(5 features in 2 dimensions, 3 sparsities x 2 models, relu, 100 of 200 steps)"
    )


@pytest.mark.parametrize(
    ("share", "words"), [(1.0, "100%"), (0.5, "50%"), (0.123, "12%"), (0.008, "0.8%"), (1e-6, "<0.1%"), (0.0, "0%")]
)
def test_shares_are_said_as_people_say_them(share, words):
    assert percent(share) == words


def test_a_tidy_table_has_a_row_for_each_feature_of_each_model():
    result = toys()
    table = result.to_frame()
    assert len(table) == 3 * 2 * 5
    row = table.query("probability == 0.3 and model == 1 and feature == 2").iloc[0]
    assert row["best"]
    assert row["importance"] == pytest.approx(0.81)
    assert (row["norm"], row["dimensionality"], row["interference"]) == pytest.approx((1, 0.5, 1))
    assert row["bias"] == pytest.approx(result.biases[1, 1, 2])
    assert (row["loss"], row["lost"]) == pytest.approx((0.2, 0.2 / 0.65))
    assert table.query("best").groupby("probability")["dimensionality"].sum().tolist() == pytest.approx([2, 2, 2])


def test_what_is_saved_is_loaded_again(tmp_path):
    result = replace(toys(), correlated=((0, 1),), anticorrelated=((2, 3),))
    loaded = SuperpositionResult.load(result.save(tmp_path / "toys.safetensors"))
    assert loaded == result
    assert loaded.correlated == ((0, 1),)
    assert loaded.provenance.seconds == result.provenance.seconds
    assert loaded.curve_steps.dtype == result.curve_steps.dtype
    changed = result.weights.copy()
    changed[0, 0, 0, 0] += 1
    assert loaded != replace(result, weights=changed)
    assert loaded != 3
    with pytest.raises(ValueError, match="read-only"):
        loaded.weights[:] = 0


def test_other_files_are_refused(tmp_path):
    patching = made.result().save(tmp_path / "patching.safetensors")
    with pytest.raises(ResultError, match="holds no SuperpositionResult"):
        SuperpositionResult.load(patching)
    path = toys().save(tmp_path / "toys.safetensors")
    with pytest.raises(ResultError, match="holds no PatchingResult"):
        PatchingResult.load(path)
    (tmp_path / "text").write_text("no such format")
    with pytest.raises(ResultError, match="is not a safetensors file"):
        SuperpositionResult.load(tmp_path / "text")
    with pytest.raises(ResultError, match="there is no file"):
        SuperpositionResult.load(tmp_path / "none")
    with pytest.raises(ResultError, match="there is no folder"):
        toys().save(tmp_path / "none" / "toys.safetensors")
    path.write_bytes(path.read_bytes().replace(b'\\"steps\\"', b'\\"spets\\"'))
    with pytest.raises(ResultError, match="written by another version"):
        SuperpositionResult.load(path)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda result: result.directions(3), "no sparsity 3 in this result: it has sparsity 0 to 2."),
        (lambda result: result.gram(0, model=2), "no model 2 in this result: it has model 0 to 1."),
        (lambda result: result.shapes(-1), "no sparsity -1"),
        (lambda result: result.geometry(True), "no sparsity True"),
        (lambda result: result.find({"sparsity": 0, "feature": 5}), "no feature 5 in this result"),
        (
            lambda result: result.find({"feature": 1}),
            "a selection is {'sparsity': …, 'feature': …}, not {'feature': 1}",
        ),
        (lambda result: result.find({"sparsity": 0, "layer": 1}), "a selection is"),
        (lambda result: result.find([0, 1]), "a selection is"),
    ],
)
def test_what_the_result_has_not_is_refused_in_words(call, words):
    with pytest.raises(SelectionError) as refused:
        call(toys())
    assert words in str(refused.value)


def test_a_result_without_code_says_so():
    assert toys().script(2) == "probability = 0.04\nmodel = 1\n"
    with pytest.raises(ResultError, match="came without the lines"):
        replace(toys(), code="").script(0)
