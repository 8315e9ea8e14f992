"""Maps of residual streams: alignment against scipy, finding points, tables, files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from interp_widgets import ProjectionResult
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.procrustes import turned_onto
from tests.made_projection import N_PROMPTS, projection


@pytest.mark.parametrize("axes", [2, 3])
def test_a_turn_is_that_of_scipy(axes):
    rng = np.random.default_rng(3)
    points, reference = rng.normal(size=(2, 40, axes))
    assert turned_onto(points, reference) == pytest.approx(orthogonal_procrustes(points, reference)[0], abs=1e-12)


def test_layers_are_turned_one_onto_the_other():
    result = projection()
    before = result.coords[0].astype(np.float64)
    for row, layer in enumerate(result.layers):
        here = result.coords[row].astype(np.float64)
        centred = here - here.mean(0)
        if row:
            turn, _ = orthogonal_procrustes(centred, before)
            assert result.turns[row] == pytest.approx(turn, abs=1e-6)
            before = centred @ turn
        assert result.coordinates(layer, align=True) == pytest.approx(here @ result.turns[row], abs=1e-5)
    # These layers are the first one turned and enlarged, so that turning back shows nothing but growth.
    assert result.coordinates(2, align=True) == pytest.approx(3 * result.coords[0], abs=1e-4)
    assert result.coordinates(2) != pytest.approx(3 * result.coords[0], abs=1)


def test_a_layer_that_is_missing_is_passed_over():
    result = projection(computed=[0, 2])
    assert (result.turns[1] == np.eye(2)).all()
    assert result.coordinates(2, align=True) == pytest.approx(3 * result.coords[0], abs=1e-4)
    assert result.remaining == 1
    assert "1 layers are not placed yet" in result.summary()


def test_directions_that_were_given_do_not_turn():
    result = projection(axes=("refusal", "PC 1"), n_given=1)
    assert (result.turns == np.eye(2)).all()


def test_shares_of_turned_axes_are_the_variance_along_them():
    result = projection()
    for row, layer in enumerate(result.layers):
        for align in (False, True):
            along = result.coordinates(layer, align=align).astype(np.float64)
            if align:  # the formula takes principal components to be uncorrelated, which these axes are not
                covariance = np.diag(result.variance[row])
                expected = np.diag(result.turns[row].T @ covariance @ result.turns[row]) / result.total[row]
            else:
                expected = along.var(0, ddof=1) / result.total[row]
            assert result.shares(layer, align=align) == pytest.approx(expected, rel=1e-6)
        assert result.shares(layer, align=True).sum() == pytest.approx(0.8)
        assert result.explained(layer) == pytest.approx(0.8)
    assert np.isnan(projection(axes=("a", "b"), n_given=2).explained(0))


def test_points_know_their_tokens():
    result = projection()
    assert len(result) == N_PROMPTS * 4
    assert (result.token(0), result.label(0)) == ("␣Mary", "left")
    assert (result.token(4), result.label(4), result.prompt_of[4], result.position_of[4]) == ("␣John", "right", 1, 1)
    assert result.prompts[1].labels == ("<bos>", "␣John", "␣gave", "␣the", "↵")
    assert projection(labels=False).label(0) is None
    with pytest.raises(SelectionError, match="there is no point 48: they run from 0 to 47"):
        result.token(48)


def test_points_are_found_by_what_they_are():
    result = projection()
    assert result.find(token="Mary") == result.find(token="␣Mary") == [8 * n for n in range(6)]
    assert result.find(token=" John", prompt=3) == [12]
    assert result.find(label="right", position=-1) == [4 * n + 3 for n in range(1, 12, 2)]
    assert result.find(position=0) == []


def test_the_table_has_a_row_for_each_layer_and_point():
    result = projection()
    frame = result.to_frame()
    assert len(frame) == 3 * 48
    row = frame[(frame.layer == 2) & (frame.point == 5)].iloc[0]
    assert (row.token, row.prompt, row.position, row.label) == ("␣gave", 1, 2, "right")
    assert row["PC 2"] == result.coords[2, 5, 1]
    few = result.to_frame(points=[7, 3], align=True)
    assert few.point.tolist() == [7, 3] * 3
    assert few["PC 1"].iloc[-1] == result.coordinates(2, align=True)[3, 0]


def test_it_is_saved_and_read(tmp_path):
    for result in (projection(outlier=42.0), projection(axes=("t-SNE 1", "t-SNE 2"), method="tsne", labels=False)):
        read = ProjectionResult.load(result.save(tmp_path / "map.safetensors"))
        assert read == result
        assert (read.code, read.reads, read.find(token="Mary")) == (
            result.code,
            result.reads,
            result.find(token="Mary"),
        )


def test_words_and_refusals():
    result = projection(outlier=42.0)
    assert "First tokens are left out: they are up to 42 times larger" in result.summary()
    assert "Layer 1: of the variance" in result.summary()
    assert result.script(1) == "print(layer1)\n"
    with pytest.raises(SelectionError, match="no layer 9 here: there are layers 0, 1, 2"):
        result.coordinates(9)
    with pytest.raises(ResultError, match="no few lines"):
        projection(axes=("a", "PC 1"), n_given=1).script(0)
