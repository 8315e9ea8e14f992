"""Estimated against exact effects: what is drawn, read back from the figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interp_widgets.results.errors import ResultError
from interp_widgets.results.estimates import Estimates
from interp_widgets.results.patching import PatchingResult, Status
from interp_widgets.views.patching_grid import PatchingGrid
from tests import made


def estimated(sites: tuple[str, ...] = ("resid_pre", "attn_out")) -> PatchingResult:
    whole = made.result(sites=sites)  # type: ignore[arg-type]
    rough = np.round(whole.values["logit_diff"], 1) + 0.5
    values = np.where(whole.status == Status.COMPUTED, rough, np.nan).astype(np.float32)
    exact = np.ones(values.shape[1:], dtype=bool)
    return replace(whole, estimates=Estimates("logit_diff", values, exact))


def test_each_cell_is_a_point_of_exact_and_estimated_effect() -> None:
    result = estimated()
    figure = PatchingGrid(result).scatter()
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert len(panels) == 2
    for axis, site in zip(panels, result.sites, strict=True):
        cells = result.compare(site)
        (points,) = axis.collections
        np.testing.assert_allclose(points.get_offsets(), np.column_stack([cells.exact, cells.estimated]))
        np.testing.assert_array_equal(points.get_array(), cells.layers)
        (identity,) = axis.lines
        np.testing.assert_array_equal(*identity.get_data())
        assert axis.get_xlim() == axis.get_ylim()
        low, high = axis.get_xlim()
        assert low < min(cells.exact.min(), cells.estimated.min())
        assert high > max(cells.exact.max(), cells.estimated.max())
        assert any(f"rank correlation {cells.rank_correlation:.2f}" in text.get_text() for text in axis.texts)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_metric_in_the_view_does_not_change_what_was_estimated() -> None:
    view = PatchingGrid(estimated())
    view.metric = "prob"
    assert "logit difference" in view.scatter()._supxlabel.get_text()


def test_many_sites_wrap() -> None:
    figure = PatchingGrid(estimated(("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"))).scatter()
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 5
    assert figure.get_size_inches()[0] < 14


@pytest.mark.parametrize("nothing", ["estimates", "exact values"])
def test_there_is_nothing_to_draw_without_both(nothing: str) -> None:
    result = estimated()
    if nothing == "estimates":
        result = replace(result, estimates=None)
    else:
        result = replace(result, status=np.full_like(result.status, Status.ESTIMATED))
    with pytest.raises(ResultError, match=r"no cell has both an estimate and an exact value\. Compute .*preview=True"):
        PatchingGrid(result).scatter()


def test_progress_counts_cells_that_are_to_be_run() -> None:
    whole = estimated()
    view = PatchingGrid(whole)
    computed = int((whole.status == Status.COMPUTED).sum())
    assert view._measure(whole) == (computed, computed)
    status = whole.status.copy()
    status[0, 1, 3, 6:] = Status.ESTIMATED
    partial = replace(whole, status=status)
    assert view._measure(partial) == (computed - 3, computed)
    assert whole.estimates is not None
    stays = replace(whole.estimates, exact=np.zeros_like(whole.estimates.exact))
    assert view._measure(replace(partial, estimates=stays)) == (computed - 3, computed - 3)
