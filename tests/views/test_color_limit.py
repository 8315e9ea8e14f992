"""Where the colour scale ends by default, and that nobody's choice is changed."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from interp_widgets.views._color_limit import default_limit
from interp_widgets.views.patching_grid import PatchingGrid
from tests import made


def small(share):
    """Heads whose largest effect is this share of the gap."""
    whole = made.heads()
    largest = np.nanmax(np.abs(whole.mean_effect()))
    values = {}
    for name, array in whole.values.items():
        host = whole.baselines[name].T[whole.story.host][:, None, None, None, None][0]
        values[name] = (host + (array - host) * share / largest).astype(np.float32)
    return replace(whole, values=values)


@pytest.mark.parametrize(
    ("largest", "limit"),
    [(0.9, 1), (0.26, 1), (0.24, 0.25), (0.11, 0.15), (0.026, 0.03), (0.004, 0.01), (1e-5, 0.01)],
)
def test_a_grid_of_small_effects_has_a_scale_that_ends_near_its_largest(largest, limit):
    assert default_limit(small(largest)) == limit


def test_a_grid_without_effects_keeps_the_whole_scale():
    assert default_limit(made.blank(made.heads())) == 1
    nothing = made.heads()
    for name, values in nothing.values.items():
        values[:] = nothing.baselines[name][0, nothing.story.host]
    assert default_limit(nothing) == 1


def test_streams_keep_the_scale_on_which_1_is_the_other_run():
    assert PatchingGrid(made.result()).color_limit == 1


def test_the_figure_and_the_page_have_the_same_scale_and_say_so():
    view = PatchingGrid(small(0.17))
    assert view.color_limit == 0.2
    assert '"color_limit":0.2' in view.snapshot().html
    figure = view.figure()
    assert figure.axes[0].images[0].get_clim() == (-0.2, 0.2)
    assert "scale ends at ±0.2" in figure.axes[-1].get_ylabel()
    assert "scale ends" not in PatchingGrid(made.heads()).figure().axes[-1].get_ylabel()


def test_estimates_set_the_scale_first_and_the_result_in_the_end(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)
    seen = []

    def steps():
        yield made.blank(small(0.04))
        seen.append(view[0].color_limit)
        yield made.estimated(small(0.04))
        seen.append(view[0].color_limit)
        return small(0.12)

    view = []

    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view.append(PatchingGrid(steps()))
        await view[0].job._task

    asyncio.run(notebook())
    assert [*seen, view[0].color_limit] == [1, 0.05, 0.15]


@pytest.mark.parametrize("who", ["python", "page"])
@pytest.mark.parametrize("limit", [0.4, 1.0])
def test_a_scale_that_somebody_chose_is_never_changed(monkeypatch, who, limit):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = PatchingGrid(made.steps(small(0.05)))
        if who == "python":
            view.color_limit = limit
        else:
            view.set_state({"color_limit": 0.7})
            view.set_state({"color_limit": limit})
        await view.job._task
        return view

    view = asyncio.run(notebook())
    assert view.result.complete
    assert view.color_limit == limit


def test_what_is_no_limit_is_no_choice():
    view = PatchingGrid(made.heads())
    view.set_state({"color_limit": -1})
    view._fit_limit(small(0.05))
    assert view.color_limit == 0.05
