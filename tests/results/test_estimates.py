"""Estimates beside exact values: choice, rank correlation, tables, files and words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp_widgets.results.errors import ResultError, UnknownNameError
from interp_widgets.results.estimates import Estimates, largest, spearman
from interp_widgets.results.patching import PatchingResult, Status
from tests import made


def estimated(bias: float = 0.5) -> PatchingResult:
    """A complete result whose estimates are the exact values and a bit more, but for what was known."""
    whole = made.result(sites=("resid_pre", "attn_out"))
    values = np.where(whole.status == Status.COMPUTED, whole.values["logit_diff"] + bias, np.nan)
    exact = np.ones(whole.status.shape[1:], dtype=bool)
    return replace(whole, estimates=Estimates("logit_diff", values.astype(np.float32), exact))


def test_the_largest_are_marked_and_ties_go_to_the_first() -> None:
    strengths = np.array([[0.1, np.nan, 3.0], [2.0, 2.0, 0.0]])
    assert np.argwhere(largest(strengths, 2)).tolist() == [[0, 2], [1, 0]]
    assert largest(strengths, 6).sum() == 5
    assert not largest(np.full(3, np.nan), 2).any()


def test_rank_correlation_has_known_answers() -> None:
    rows = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    assert spearman(rows, np.exp(rows)) == pytest.approx(1)
    assert spearman(rows, -rows) == pytest.approx(-1)
    # A textbook case (IQ and hours of television): -29/165.
    iq = np.array([106, 100, 86, 101, 99, 103, 97, 113, 112, 110.0])
    hours = np.array([7, 27, 2, 50, 28, 29, 20, 12, 6, 17.0])
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    # Ties share a rank: (1.5, 1.5, 3, 4) against (1, 2, 3.5, 3.5).
    assert spearman(np.array([1.0, 1, 2, 3]), np.array([5.0, 6, 7, 7])) == pytest.approx(4 / 4.5)
    assert np.isnan(spearman(np.array([1.0]), np.array([2.0])))
    assert np.isnan(spearman(np.array([1.0, 1.0]), np.array([2.0, 3.0])))


def test_rank_correlation_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    draws = np.random.default_rng(0).integers(0, 9, (20, 2, 30)).astype(float)
    for left, right in draws:
        assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)


def test_estimated_effects_are_shares_of_the_gap() -> None:
    result = estimated(bias=0.7)
    known = result.status == Status.KNOWN
    found = result.estimated_effect()
    assert np.isnan(found[known]).all()
    np.testing.assert_allclose(found[~known], result.effect()[~known] + 0.7 / 7, atol=1e-6)
    assert result.rank_correlation("attn_out") == pytest.approx(1)
    # They are about the metric that was asked for, whichever is looked at.
    assert result.with_metric("prob").rank_correlation("attn_out") == pytest.approx(1)
    assert result.compare("attn_out").layers.tolist() == [layer for layer in range(4) for _ in range(4)]


def test_a_result_without_estimates_says_so() -> None:
    with pytest.raises(ResultError, match=r"has no estimates\. Compute it with preview=True\."):
        made.result().rank_correlation("resid_pre")
    with pytest.raises(UnknownNameError, match="unknown site 'resid_pst'"):
        estimated().rank_correlation("resid_pst")  # type: ignore[arg-type]


def test_estimates_are_not_complete_unless_they_are_to_stay() -> None:
    result = estimated()
    status = result.status.copy()
    status[0, 1, 2, 6:] = Status.ESTIMATED
    partial = replace(result, status=status)
    assert partial.remaining == 3
    assert not partial.complete
    assert "3 cells not computed" in repr(partial)
    assert result.estimates is not None
    exact = result.estimates.exact.copy()
    exact[1, 2, 6:] = False
    kept = replace(partial, estimates=replace(result.estimates, exact=exact))
    assert kept.remaining == 0
    assert kept.complete
    assert "3 of 72 cells are estimates only, by gradients." in kept.summary()
    assert len(kept.compare("attn_out").exact) == len(kept.compare("resid_pre").exact) - 3


def test_the_strongest_cell_is_an_exact_one_where_there_are_any() -> None:
    result = made.result()
    values = {name: array.copy() for name, array in result.values.items()}
    values["logit_diff"][0, 0, 2, 7] = 100
    status = result.status.copy()
    status[0, 0, 2, 7] = Status.ESTIMATED
    estimates = Estimates("logit_diff", values["logit_diff"], np.zeros(status.shape[1:], dtype=bool))
    wild = replace(result, values=values, status=status, estimates=estimates)
    assert wild.strongest() == result.strongest()
    assert wild.summary().splitlines()[2] == result.summary().splitlines()[2]
    alone = replace(wild, status=np.where(status == Status.LEFT_OUT, status, Status.ESTIMATED).astype(np.uint8))
    assert alone.strongest() == {"site": "resid_pre", "layer": 2, "pos": 7}


def test_a_saved_result_has_its_estimates(tmp_path: Path) -> None:
    result = estimated()
    loaded = PatchingResult.load(result.save(tmp_path / "grid.safetensors"))
    assert loaded == result
    assert loaded.estimates is not None
    assert not loaded.estimates.values.flags.writeable
    assert loaded != replace(result, estimates=None)
    assert loaded != estimated(bias=0.25)
    plain = made.result()
    assert PatchingResult.load(plain.save(tmp_path / "plain.safetensors")).estimates is None


def test_a_table_has_the_estimate_beside_the_value_of_its_metric() -> None:
    frame = estimated(bias=0.5).to_frame()
    asked = frame[(frame["metric"] == "logit_diff") & (frame["status"] == "computed")]
    np.testing.assert_allclose(asked["estimate"] - asked["value"], 0.5, atol=1e-6)
    assert frame[(frame["metric"] == "prob") | (frame["status"] == "known")]["estimate"].isna().all()
    assert list(frame.columns[-5:]) == ["metric", "value", "estimate", "effect", "status"]
    assert "estimate" not in made.result().to_frame().columns
    arrays = estimated().to_xarray()
    np.testing.assert_array_equal(arrays["estimate"].values, estimated().estimates.values)  # type: ignore[union-attr]
    assert "estimate" not in made.result().to_xarray()
