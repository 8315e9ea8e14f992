"""Views that open where somebody watches, before a server has sent a first result."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from interp_widgets.results.errors import ResultError
from interp_widgets.views.attention_heads import AttentionView
from interp_widgets.views.attribution import AttributionView
from interp_widgets.views.features import FeatureView
from interp_widgets.views.head_circuits import HeadCircuitView
from interp_widgets.views.lens_table import LensView
from interp_widgets.views.patching_grid import PatchingGrid
from interp_widgets.views.probe_grid import ProbeView
from interp_widgets.views.residual_map import ProjectionView

VIEWS = (
    AttentionView,
    AttributionView,
    FeatureView,
    HeadCircuitView,
    LensView,
    PatchingGrid,
    ProbeView,
    ProjectionView,
)


class Queued(Generator):
    """Steps on a server that has not begun."""

    note = "in the queue"

    def wait(self):
        return False

    def send(self, value):
        raise AssertionError("nobody takes a step before there is a result")

    def throw(self, *error):
        raise error[0]


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_opens_before_there_is_a_result(kind, monkeypatch):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = kind(Queued())
        state = view.get_state()  # all of it goes to the page
        assert not state["spec"]
        assert state["arrays"] is None
        assert state["job"]["note"] == "in the queue"
        assert repr(view) == f"{kind.__name__}(in the queue)"
        with pytest.raises(ResultError, match=r"there is no result yet \(in the queue\)"):
            _ = view.partial
        view.close()
        await asyncio.sleep(0.01)

    asyncio.run(notebook())
