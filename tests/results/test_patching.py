"""Patching results: arithmetic, words, tables and files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp_widgets.results.errors import ResultError, UnknownNameError
from interp_widgets.results.patching import PatchingResult, Status
from interp_widgets.results.story import patching_story
from interp_widgets.results.tokens import Token, Tokens
from tests import made


def with_values(**arrays: list[float]) -> PatchingResult:
    """One pair, site and layer with three positions; baselines 4 (clean) and 2 (corrupt)."""
    whole = made.result(layers=1, pairs=(made.pair(made.CLEAN[:3], changed=1),))
    values = {name: np.array(array, dtype=np.float32).reshape(1, 1, 1, 3) for name, array in arrays.items()}
    baselines = {name: np.array([[4.0, 2.0]]) for name in arrays}
    return replace(whole, values=values, baselines=baselines, metric=next(iter(arrays)))


def test_an_effect_is_the_share_of_the_gap_and_is_not_clipped() -> None:
    result = with_values(logit_diff=[2, 5, 1])
    assert result.effect()[0, 0, 0].tolist() == [0, 1.5, -0.5]
    noising = replace(result, story=patching_story("noising"))
    assert noising.effect()[0, 0, 0].tolist() == [1, -0.5, 1.5]


def test_prompts_of_unequal_length_have_no_positions_at_which_they_differ() -> None:
    pair = made.pair()
    longer = replace(pair, corrupt=Tokens((7, *pair.corrupt.ids), ("␣So", *pair.corrupt.labels)))
    assert (pair.differs, longer.differs) == ((5,), ())


def test_no_effect_is_no_negative_zero() -> None:
    result = replace(with_values(logit_diff=[4, 4, 4]), baselines={"logit_diff": np.array([[2.0, 4.0]])})
    assert not np.signbit(result.effect()).any()


def test_a_metric_without_a_gap_has_no_effect() -> None:
    result = replace(with_values(rank=[0, 1, 2]), baselines={"rank": np.array([[0.0, 0.0]])})
    assert np.isnan(result.effect()).all()


def test_mean_and_spread_over_pairs() -> None:
    result = made.result(pairs=(made.pair(), made.pair(), made.pair()))
    np.testing.assert_allclose(result.mean_effect(), result.effect().mean(axis=0))
    np.testing.assert_allclose(result.spread(), result.effect().std(axis=0, ddof=1))
    assert np.isnan(made.result().spread()).all()


def test_the_mean_is_over_pairs_that_are_computed() -> None:
    result = made.result(pairs=(made.pair(), made.pair()))
    values = {name: array.copy() for name, array in result.values.items()}
    values["logit_diff"][1, 0, 2, 6] = np.nan
    partial = replace(result, values=values)
    assert partial.mean_effect()[0, 2, 6] == pytest.approx(result.effect()[0, 0, 2, 6])


def test_complete_means_that_nothing_is_pending() -> None:
    result = made.result()
    assert result.complete
    status = result.status.copy()
    status[..., 0] = Status.LEFT_OUT
    assert replace(result, status=status).complete
    status[0, 0, 0, 1] = Status.PENDING
    partial = replace(result, status=status)
    assert not partial.complete
    assert "1 of 32 cells are not computed." in partial.summary()


def test_the_strongest_cell_can_be_looked_for_in_some_sites() -> None:
    result = made.heads()
    assert result.strongest() == {"site": "z", "layer": 4, "head": 6}
    assert result.strongest(sites=("k", "v")) == {"site": "k", "layer": 1, "head": 1}


def test_the_summary_says_where_it_is_strongest() -> None:
    text = made.result().summary()
    assert "from the clean run, in the corrupt run of made by hand" in text
    assert "logit difference +3.5 clean, -3.5 corrupt" in text
    assert "resid_pre: strongest at layer 0, ␣John (position 5): effect +1.00." in text


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'logit_dif': did you mean 'logit_diff'"):
        made.result().effect("logit_dif")
    assert made.result().with_metric("kl").metric == "kl"


def test_a_tidy_table_has_a_row_for_each_cell_and_metric() -> None:
    result = made.result(sites=("resid_pre", "mlp_out"), pairs=(made.pair(), made.pair()))
    frame = result.to_frame()
    assert len(frame) == result.status.size * len(result.metrics)
    row = frame.query("prompt == 1 and site == 'mlp_out' and layer == 2 and pos == 5 and metric == 'kl'").iloc[0]
    assert row["value"] == result.value("kl")[1, 1, 2, 5]
    assert row["effect"] == result.effect("kl")[1, 1, 2, 5]
    assert (row["token"], row["token_corrupt"], row["status"]) == ("␣John", "␣Mary", "computed")
    assert set(made.result().to_frame()["status"]) <= {"pending", "computed", "known", "left_out"}


def test_a_labelled_array_has_the_axes_by_name() -> None:
    result = made.result(sites=("resid_pre", "mlp_out"))
    data = result.to_xarray()
    cell = data["value"].sel(metric="prob", prompt=0, site="mlp_out", layer=3, pos=7)
    assert float(cell) == pytest.approx(float(result.value("prob")[0, 1, 3, 7]))
    assert data["effect"].dims == ("metric", "prompt", "site", "layer", "pos")


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    result = made.result(sites=("resid_pre", "attn_out"), pairs=(made.pair(), made.pair()))
    values = {name: array.copy() for name, array in result.values.items()}
    values["prob"][0, 0, 1, 1] = np.nan
    result = replace(result, values=values)
    loaded = PatchingResult.load(result.save(tmp_path / "grid.safetensors"))
    assert loaded == result
    assert loaded.provenance.seconds == result.provenance.seconds
    assert loaded.pairs[0].clean_top == result.pairs[0].clean_top
    assert loaded != result.with_metric("kl")
    assert loaded != 3


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    other = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(2)}, other)
    with pytest.raises(ResultError, match="holds no PatchingResult"):
        PatchingResult.load(other)
    text = tmp_path / "text"
    text.write_text("no such format")
    with pytest.raises(ResultError, match="is not a safetensors file"):
        PatchingResult.load(text)


def test_a_summary_of_several_pairs_speaks_for_all_of_them():
    first, second = made.pair(), made.pair(labels=("␣When", "␣Ann", *made.CLEAN[2:]))
    several = made.result(pairs=(first, replace(second, answer=Token(2, "␣Ann"))))
    summary = several.summary()
    assert "Answers: logit difference +3.5 clean, -3.5 corrupt" in summary
    assert "␣Ann" not in summary
    assert "␣Mary" not in summary


def test_a_summary_of_a_metric_without_a_gap_says_so():
    whole = made.result()
    whole.baselines["rank"][:] = 0
    assert "resid_pre: no gap, so no effect." in whole.with_metric("rank").summary()


def test_what_cannot_be_saved_or_loaded_is_refused_in_words(tmp_path):
    with pytest.raises(ResultError, match="there is no folder"):
        made.result().save(tmp_path / "none" / "result.safetensors")
    with pytest.raises(ResultError, match="there is no file"):
        PatchingResult.load(tmp_path)
    path = made.result().save(tmp_path / "result.safetensors")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'\\"pairs\\"', b'\\"piars\\"'))
    with pytest.raises(ResultError, match="written by another version"):
        PatchingResult.load(path)


def test_a_loaded_result_cannot_be_written(tmp_path):
    loaded = PatchingResult.load(made.result().save(tmp_path / "result.safetensors"))
    with pytest.raises(ValueError, match="read-only"):
        loaded.values["prob"][:] = 0
