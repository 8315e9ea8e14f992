"""Views of grids that a server computes: they open while the job waits, and tell of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnsight import TransformersModel

from interp_widgets import (
    run_patching,
    show_patching,
)
from interp_widgets.results.errors import (
    PromptError,
    RemoteRunError,
    ResultError,
)
from interp_widgets.results.patching import Status as CellStatus
from interp_widgets.views.patching_grid import PatchingGrid
from tests.remote.conftest import GIVEN, PROMPTS, Watching, watch


def watched(monkeypatch: pytest.MonkeyPatch, far: TransformersModel, *prompts: str, **asked: Any) -> PatchingGrid:
    """Show a grid where somebody watches, until its end."""
    return watch(monkeypatch, lambda: show_patching(far, *prompts, **asked, **GIVEN))


def test_a_view_opens_while_the_job_is_in_the_queue_and_tells_of_it(
    far: TransformersModel, near: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str | None] = []
    send = PatchingGrid.send_state

    def told(view: PatchingGrid, key: Any = None) -> None:
        if key == "job":
            notes.append(view.job.status()["note"])
        send(view, key)

    monkeypatch.setattr(PatchingGrid, "send_state", told)
    view = watched(monkeypatch, far, *PROMPTS, remote=Watching(host), max_rows=4)
    assert f"in the queue at {host}: You are number 1." in notes
    assert notes[-2:] == [f"running at {host}", None]
    waiting = notes[: notes.index(f"running at {host}")]
    assert len(waiting) == len(set(waiting))  # each is told once, however long it lasts
    assert view.result == run_patching(near, *PROMPTS, max_rows=4, **GIVEN)
    state = view.get_state(["spec", "arrays", "metric"])
    assert len(state["spec"]["panels"]) == 1
    assert state["arrays"]["status"]["shape"] == list(view.result.status.shape)
    assert state["metric"] == "logit_diff"


def test_what_the_server_refuses_is_said_in_the_view_and_by_its_result(
    far: TransformersModel, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = watched(monkeypatch, far, "one two", "one two three", remote=Watching(host))
    assert view.job.state == "failed"
    assert str(view.job.status()["error"]).startswith("PromptError: ")
    with pytest.raises(PromptError, match="so their positions cannot be matched"):
        _ = view.result
    for use in (view.figure, view.code, view.snapshot, lambda: view.to_html(tmp_path / "page.html")):
        with pytest.raises(ResultError, match=r"there is no result yet .*positions cannot be matched"):
            use()
    view.close()


def test_a_head_by_position_waits_for_the_server_without_holding_the_notebook(
    far: TransformersModel, near: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head: Any = {"site": "z", "layer": 2, "head": 1}

    async def notebook() -> tuple[PatchingGrid, int]:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_patching(far, *PROMPTS, remote=Watching(host), sites="z", layers=2, **GIVEN)
        assert view.job._task is not None
        await view.job._task
        view._on_message(None, {"kind": "request", "id": "1", "name": "by_position", "cell": head}, [])
        await asyncio.sleep(0)
        (strip,) = view.strips
        assert strip.job._task is not None
        turns = 0
        while not strip.job._task.done():
            turns += strip.job.state == "running" and not np.isfinite(strip.partial.value()).any()
            await asyncio.sleep(0.001)
        return view, turns

    view, turns = asyncio.run(notebook())
    assert turns > 1
    assert view.strips[0].result == run_patching(near, *PROMPTS, sites="z", layers=2, heads=1, by="pos", **GIVEN)


def test_what_can_be_known_before_the_queue_is_raised_at_once(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RemoteRunError, match="This API key is not known"):
        watched(monkeypatch, far, *PROMPTS, remote=Watching(host, "unknown"))
    with pytest.raises(RemoteRunError, match="names no server"):
        watched(monkeypatch, far, *PROMPTS, remote="local")


def test_a_view_that_loses_its_server_keeps_what_arrived(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def notebook() -> PatchingGrid:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_patching(far, *PROMPTS, remote=Watching(host, "drop"), max_rows=4, **GIVEN)
        assert view.job._task is not None
        await view.job._task
        return view

    view = asyncio.run(notebook())
    assert view.job.state == "failed"
    assert isinstance(view.job.error, RemoteRunError)
    assert (view.partial.status == CellStatus.COMPUTED).sum() == 4
