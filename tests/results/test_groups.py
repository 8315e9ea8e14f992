"""Effects of groups, their words and their files, on numbers made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interp_widgets.results.errors import ResultError
from interp_widgets.results.groups import GroupResult
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.story import patching_story
from tests.made import pair

HEADS = {"site": "z", "layer": 9, "head": 6}, {"site": "z", "layer": 9, "head": 9}


def result(values: Any, probs: Any) -> GroupResult:
    """Two groups, in as many pairs as there are values."""
    count = len(values)
    return GroupResult(
        groups={"movers": HEADS, "an MLP": ({"site": "mlp_out", "layer": 0, "pos": 3},)},
        pairs=(pair(),) * count,
        story=patching_story("denoising"),
        metric="logit_diff",
        values={"logit_diff": np.array(values, dtype=np.float32), "prob": np.array(probs, dtype=np.float32)},
        baselines={"logit_diff": np.array([[4.0, 0.0]] * count), "prob": np.array([[1.0, 0.5]] * count)},
        provenance=Provenance("made by hand", "0", "float32", {"torch": "2"}, 12.0, settings={"a": "b"}),
    )


HALF = result([[3, np.nan], [1, 2], [np.nan, 2]], [[0.8, np.nan], [0.6, 0.75], [np.nan, 0.75]])


def test_what_is_still_to_come_has_no_effect_and_is_counted() -> None:
    assert HALF.remaining == 2
    assert not HALF.complete
    np.testing.assert_array_equal(HALF.effect(), [[0.75, np.nan], [0.25, 0.5], [np.nan, 0.5]])
    assert HALF.summary().splitlines()[1:] == [
        "movers, 2 cells: not computed for all pairs.",
        "an MLP, 1 cell: not computed for all pairs.",
    ]
    assert repr(HALF) == "GroupResult(movers, an MLP; 3 pairs, logit_diff, 2 not computed)"
    none = result([[np.nan, 2]], [[np.nan, 0.75]])
    assert none.summary().splitlines()[1:] == ["an MLP, 1 cell: effect +0.50.", "movers, 2 cells: not computed."]


def test_a_metric_of_ones_own_that_is_nan_is_computed_all_the_same() -> None:
    whole = result([[np.nan, 2]], [[0.8, 0.75]])
    assert whole.complete
    assert whole.summary().splitlines()[-1] == "movers, 2 cells: no gap, so no effect."


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    loaded = GroupResult.load(HALF.save(tmp_path / "groups.safetensors"))
    assert loaded == HALF
    assert loaded.names == HALF.names
    assert loaded.groups["movers"] == HEADS
    assert loaded.provenance.forward_passes == 12
    assert loaded.values["prob"].dtype == np.float32
    assert loaded.baselines["prob"].dtype == np.float64
    assert loaded != result([[3, 4]], [[0.8, 0.8]])
    with pytest.raises(ValueError, match="read-only"):
        loaded.values["prob"][:] = 0


def test_files_that_hold_no_groups_are_refused(tmp_path: Path) -> None:
    path = HALF.save(tmp_path / "groups.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResultError, match=r"groups.safetensors is not a safetensors file: .* Pass a file that `save`"):
        GroupResult.load(path)
    with pytest.raises(ResultError, match="there is no folder"):
        HALF.save(tmp_path / "none" / "groups.safetensors")
    with pytest.raises(ResultError, match="there is no file"):
        GroupResult.load(tmp_path)
