"""A run followed by its changes is the run itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from interp_widgets.results.changes import changed, changes
from interp_widgets.results.errors import ResultError
from interp_widgets.results.patching import PatchingResult
from tests import made


def test_changes_lead_from_each_partial_result_to_the_next() -> None:
    whole = made.result(("resid_pre", "attn_out"), pairs=(made.pair(), made.pair(changed=2)))
    steps = list(made.steps(whole))
    followed = [steps[0]]
    for before, after in pairwise(steps):
        followed.append(changed(followed[-1], changes(before, after)))
    assert followed == steps
    assert followed[-1] == whole
    assert followed[0] == made.blank(whole)  # what came earlier stays as it was


def test_words_and_work_come_along() -> None:
    after = made.result()
    before = replace(made.blank(after), vocab={1: "␣Mary"}, provenance=replace(after.provenance, forward_passes=2.0))
    found = changed(before, changes(before, after))
    assert found.vocab == after.vocab
    assert found.provenance.forward_passes == 12.0
    with pytest.raises(ValueError, match="read-only"):
        found.values["prob"][0, 0, 0, 0] = 1


def test_cells_that_did_not_change_do_not_travel() -> None:
    whole = made.result(("resid_pre", "attn_out"), layers=40)
    one_more = whole.status.copy()
    one_more[0, 0, 5, 5] = 0
    before = replace(whole, status=one_more)
    assert len(changes(before, whole)) < len(whole.to_bytes()) / 10
    assert np.array_equal(changed(before, changes(before, whole)).status, whole.status)


def test_a_result_as_bytes_is_what_is_saved(tmp_path: Path) -> None:
    whole = made.result()
    assert PatchingResult.from_bytes(whole.to_bytes()) == whole
    assert PatchingResult.from_bytes(whole.save(tmp_path / "saved").read_bytes()) == whole
    with pytest.raises(ResultError, match="this is not a safetensors file"):
        PatchingResult.from_bytes(b"something else")
