"""What follows from a circuit's values, on numbers made by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interp_widgets.results.circuit import CircuitResult, Subset
from interp_widgets.results.errors import ResultError, UnknownNameError
from interp_widgets.results.intervals import interval
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.provenance import Provenance
from tests.made import pair
from tests.made import result as grid

HEADS = tuple({"site": "z", "layer": layer, "head": head} for layer, head in ((9, 6), (9, 9), (10, 0)))
CIRCUIT = (*HEADS, {"site": "mlp_out", "layer": 3})


def result(ends: Any, **changes: Any) -> CircuitResult:
    """A circuit of three heads and an MLP, with values of two prompts or as many as there are ends."""
    count = len(ends)
    made = CircuitResult(
        circuit=CIRCUIT,
        n_components=156,
        how="mean",
        pairs=(pair(),) * count,
        metric="logit_diff",
        ends={"logit_diff": np.array(ends, dtype=np.float32)},
        subsets=(Subset((0, 3), "random"), Subset((1,), "greedy")),
        completeness={"logit_diff": np.array([[[3, 2.5], [2, 0.5]]] * count, dtype=np.float32)},
        knockouts=((), (), (0, 1), ()),
        minimality={"logit_diff": np.array([[[3, 1], [3, 4], [1, 0.5], [3, 2]]] * count, dtype=np.float32)},
        provenance=Provenance("made by hand", "0", "float32", {}),
    )
    return dataclasses.replace(made, **changes)


def test_faithfulness_is_a_difference_and_a_share() -> None:
    made = result([[4, 3, 0], [2, 2, -2]])
    assert made.gap().tolist() == [1, 0]
    assert made.faithfulness().tolist() == [0.75, 1]
    assert made.mean_faithfulness() == pytest.approx(7 / 8)  # of the means: 3.5 of 4
    same = result([[4, 3, 0], [8, 6, 0]])  # one share for all prompts, however large their gaps are
    assert same.faithfulness_interval() == pytest.approx((0.75, 0.75))
    low, high = made.faithfulness_interval()
    # The parts that are left over are 3 - 3.5 and 4 - 3.5; t is 12.706 for two prompts.
    assert (low, high) == pytest.approx((7 / 8 - 12.706 * 0.5 / 4, 7 / 8 + 12.706 * 0.5 / 4))
    assert np.isnan(result([[4, 3, 0]]).faithfulness_interval()).all()
    assert np.isnan(result([[1, 3, 1]]).faithfulness()).all()


def test_completeness_and_minimality_are_differences() -> None:
    made = result([[4, 3, 0], [2, 2, -2]])
    assert made.incompleteness().tolist() == [[0.5, 1.5]] * 2
    assert made.contribution().tolist() == [[2, -1, 0.5, 1]] * 2
    with pytest.raises(UnknownNameError, match="unknown metric 'prob'"):
        made.contribution("prob")


def test_the_words_name_the_worst_subset_and_the_least_component() -> None:
    lines = result([[4, 3, 0]]).summary().splitlines()
    assert lines == [
        "Circuit of 4 of 156 components of made by hand: heads 9.6, 9.9 and 10.0, MLP 3; all others by mean ablation.",
        "Faithfulness: logit difference +3 for the circuit, +4 for the model, +0 with all ablated. It keeps 0.75 of "
        "the gap, and lacks +1.",
        "Completeness: of 2 subsets, model and circuit differ most without head 9.9: by +1.5.",
        "Minimality: the least that one component brings is +0.5, head 10.0, with heads 9.6 and 9.9 out as well.",
    ]
    several = result([[4, 3, 0], [2, 2, -2]]).summary()
    assert "mean of 2 prompts" in several
    assert "by +1.5 (95% interval +1.5 to +1.5)" in several


def test_the_table_has_a_row_for_each_comparison() -> None:
    table = result([[4, 3, 0]]).to_frame()
    assert table.check.tolist() == ["faithfulness", "nothing", *["completeness"] * 2, *["minimality"] * 4]
    assert table.difference.tolist() == [1, 4, 0.5, 1.5, 2, -1, 0.5, 1]
    assert table.removed.tolist()[2:4] == ["head 9.6, MLP 3", "head 9.9"]
    assert table.component.tolist()[4:] == ["head 9.6", "head 9.9", "head 10.0", "MLP 3"]


def test_equal_results_compare_equal() -> None:
    assert result([[4, 3, 0]]) == result([[4, 3, 0]])
    assert result([[4, 3, 0]]) != result([[4, 3.5, 0]])
    assert result([[4, 3, 0]]) != result([[4, 3, 0]], how="resample")


def test_intervals_are_of_students_t() -> None:
    low, high = interval(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    half = 4.303 / np.sqrt(3)
    assert low.tolist() == pytest.approx([2 - half, 5])
    assert high.tolist() == pytest.approx([2 + half, 5])
    assert np.isnan(interval(np.array([[1.0]]))[0]).all()


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    made = result([[4, 3, 0], [2, np.nan, -2]], complete=False)
    loaded = CircuitResult.load(made.save(tmp_path / "circuit.safetensors"))
    assert loaded == made
    assert loaded.knockouts == made.knockouts
    assert loaded.subsets == made.subsets
    assert loaded.provenance.versions == made.provenance.versions
    assert loaded != result([[4, 3, 0], [2, np.nan, -2]])  # which is complete
    empty = result([[4, 3, 0]], circuit=(), subsets=(), knockouts=())
    empty = dataclasses.replace(
        empty,
        completeness={"logit_diff": np.empty((1, 0, 2), dtype=np.float32)},
        minimality={"logit_diff": np.empty((1, 0, 2), dtype=np.float32)},
    )
    assert CircuitResult.from_bytes(empty.to_bytes()) == empty
    with pytest.raises(ValueError, match="read-only"):
        loaded.ends["logit_diff"][:] = 0


def test_a_file_of_something_else_is_called_by_its_name(tmp_path: Path) -> None:
    path = grid().save(tmp_path / "grid.safetensors")
    with pytest.raises(ResultError, match=r"grid.safetensors holds no CircuitResult, but a PatchingResult: `Patching"):
        CircuitResult.load(path)
    saved = result([[4, 3, 0]]).to_bytes()
    with pytest.raises(ResultError, match=r"this holds no PatchingResult, but a CircuitResult: `CircuitResult\.load`"):
        PatchingResult.from_bytes(saved)
    with pytest.raises(ResultError, match="is not a safetensors file"):
        CircuitResult.from_bytes(saved[:-5])
    with pytest.raises(ResultError, match="written by another version"):
        CircuitResult.from_bytes(saved.replace(b'\\"knockouts\\"', b'\\"knockuots\\"'))


def test_words_for_what_is_not_finished_name_no_number_that_is_not_there() -> None:
    nothing = result([[4, np.nan, np.nan]], complete=False)
    for values in (nothing.completeness, nothing.minimality):
        values["logit_diff"][:] = np.nan
    assert nothing.summary().splitlines()[1:] == ["Faithfulness: not computed.", "The check is not finished."]
    assert repr(nothing).endswith("logit_diff, not finished)")
    half = result([[4, 3, 0]], complete=False)
    half.completeness["logit_diff"][:, 0] = np.nan
    half.minimality["logit_diff"][:, :2] = np.nan
    words = half.summary().splitlines()
    assert "model and circuit differ most without head 9.9: by +1.5" in words[2]
    assert "the least that one component brings is +0.5, head 10.0, with heads 9.6 and 9.9 out as well" in words[3]
