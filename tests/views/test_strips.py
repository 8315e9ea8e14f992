"""Heads opened position by position: from Python and from the page, streaming, cancel, failure, and saved pages."""

import asyncio
import base64
import json
import re
import threading
import zlib
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from interp_widgets.results.errors import ResultError
from interp_widgets.results.patching import CellCode, Status
from interp_widgets.views._saved import saved_views
from interp_widgets.views._strips import MOST_STRIPS
from interp_widgets.views.patching_grid import PatchingGrid
from tests import made

HEAD = {"site": "z", "layer": 4, "head": 6}
OTHER = {"site": "q", "layer": 1, "head": 2}


PAIR = (made.pair(),)


def grid(fail=(), pairs=PAIR, asked=None):
    """A view of heads that can be opened, but for some that fail on their second step."""

    def by_position(cell):
        if asked is not None:
            asked.append(cell)
        whole = made.strip(cell, pairs)
        yield made.blank(whole)
        if cell["head"] in fail:
            raise RuntimeError("this head broke")
        return whole

    return PatchingGrid(made.heads(pairs=pairs), by_position=by_position)


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def on_page(view):
    return view.get_state("strips")["strips"]


@pytest.mark.parametrize("given", ["argument", "selection", "strongest"])
def test_a_head_is_run_by_position_and_stays_in_the_view(given):
    asked = []
    view = grid(asked=asked)
    cell = HEAD if given == "strongest" else OTHER
    if given == "selection":
        view.selected = cell
    shown = view.by_position({**cell, "head": np.int64(cell["head"])} if given == "argument" else None)
    assert asked == [cell]
    assert type(asked[0]["head"]) is int
    assert shown == made.strip(cell)
    assert [strip.cell for strip in view.strips] == [cell]
    assert view.by_position(cell) is shown, "what is there is not run again"
    assert asked == [cell]


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        (made.heads, "this view came without its experiment"),
        (made.result, "this grid has none (resid_pre: 4 layers x 9 tokens)"),
        (made.heads_by_position, "this grid has none (z: 12 heads x 9 tokens)"),
    ],
)
def test_a_view_that_cannot_show_a_head_by_position_says_why(maker, words):
    view = PatchingGrid(maker())
    assert view.spec["by_position"] is False
    with pytest.raises(ResultError, match=re.escape(words)):
        view.by_position()


def test_by_position_takes_heads_only():
    view = PatchingGrid(made.path(), by_position=made.strip)
    view.selected = {"site": "mlp_out", "layer": 0}
    with pytest.raises(ResultError, match=r"mlp_out has no heads in this grid\. Choose a cell of z"):
        view.by_position()
    with pytest.raises(traitlets.TraitError, match="no head 99"):
        view.by_position({"site": "z", "layer": 0, "head": 99})


def test_the_page_has_the_numbers_of_every_strip_the_last_one_on_top():
    pairs = (made.pair(), made.pair())
    view = grid(pairs=pairs)
    cells = [HEAD, OTHER, {"site": "z", "layer": 0, "head": 3}, {"site": "z", "layer": 2, "head": 0}]
    for cell in cells:
        view.by_position(cell)
    wire = on_page(view)
    assert [head["cell"] for head in wire["heads"]] == cells[::-1]
    assert [panel["term"]["name"] for panel in wire["panels"]] == ["z", "q"], "in the grid's order"
    values, status = array(wire["arrays"]["values"]), array(wire["arrays"]["status"])
    assert values.shape == (6, 2, 2, 3, 9)
    for number, panel in enumerate(wire["panels"]):
        assert panel["columns"] == "pos"
        for row, line in enumerate(panel["lines"]):
            own = made.strip({"site": panel["term"]["name"], **line}, pairs)
            for metric, name in enumerate(view.partial.metrics):
                np.testing.assert_array_equal(values[metric, :, number, row], own.values[name][:, 0, 0])
            np.testing.assert_array_equal(status[:, number, row], own.status[:, 0, 0])
    assert [line["layer"] for line in wire["panels"][0]["lines"]] == [4, 0, 2]
    assert (status[:, 1, 1:] == Status.LEFT_OUT).all()


def test_estimates_of_a_strip_reach_the_page_beside_exact_strips():
    def by_position(cell):
        whole = made.strip(cell)
        yield made.blank(whole)
        return made.estimated(whole, slice(0, 1)) if cell == HEAD else whole

    view = PatchingGrid(made.heads(), by_position=by_position)
    view.by_position(HEAD)
    view.by_position({**HEAD, "head": 0})
    status = array(on_page(view)["arrays"]["status"])[0, 0]
    assert (set(status[0]), set(status[1])) == ({5}, {1})


def test_a_position_of_a_strip_is_selected_by_its_own_name_and_has_its_own_code():
    view = grid()
    pinned = {**HEAD, "pos": 8}
    with pytest.raises(traitlets.TraitError, match="a cell of z is"):
        view.selected = pinned
    view.by_position(HEAD)
    view.set_state({"selected": {**pinned, "layer": np.int64(4)}})
    assert view.selected == pinned
    assert view.code().splitlines()[1] == "# z 4 6 8"
    with pytest.raises(traitlets.TraitError, match="no position 9"):
        view.selected = {**HEAD, "pos": 9}
    view.by_position()
    assert len(view.strips) == 1, "a position stands for its head"
    view.strips = ()
    assert view.selected == HEAD, "what is pinned of a strip that goes is its head"


def test_a_view_keeps_so_many_strips_and_those_that_are_assigned():
    view = grid()
    cells = [{"site": "z", "layer": layer, "head": head} for layer in range(2) for head in range(8)]
    for cell in cells[: MOST_STRIPS + 2]:
        view.by_position(cell)
    assert [strip.cell for strip in view.strips] == cells[: MOST_STRIPS + 2][:1:-1]
    view.strips = view.strips[2:3]
    assert len(on_page(view)["heads"]) == 1
    with pytest.raises(traitlets.TraitError, match="strips holds what by_position opened"):
        view.strips = (HEAD,)
    view.strips = ()
    assert on_page(view) is None


def test_a_head_that_fails_is_told_in_the_page_and_can_be_tried_again():
    fail = {6}
    view = grid(fail=fail)
    whole = view.result
    with pytest.raises(RuntimeError, match="this head broke"):
        view.by_position(HEAD)
    told = on_page(view)["heads"][0]["job"]
    assert (told["state"], told["error"]) == ("failed", "RuntimeError: this head broke")
    assert (view.job.state, view.result) == ("done", whole)
    fail.clear()
    assert view.by_position(HEAD) == made.strip(HEAD)
    assert [strip.job.state for strip in view.strips] == ["done"]


class Notebook:
    """A view whose kernel's loop runs, and what it told the page."""

    def __init__(self, monkeypatch, view):
        self.view = view
        self.sent = []
        monkeypatch.setattr(view, "send", lambda content, buffers=None: self.sent.append(content))

    def tell(self, **message):
        self.view._on_message(self.view, message, [])

    def ask(self, cell):
        self.tell(kind="request", id="7", name="by_position", cell=cell)

    async def until(self, state):
        while [strip.job.state for strip in self.view.strips][:1] != [state]:
            await asyncio.sleep(0)


def in_notebook(monkeypatch, body, **kind):
    async def run():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        await body(Notebook(monkeypatch, grid(**kind)))

    asyncio.run(run())


def test_a_request_is_answered_at_once_and_run_when_the_loop_comes_to_it(monkeypatch):
    threads = []

    def by_position(cell):
        threads.append(threading.current_thread())
        return (yield from made.steps(made.strip(cell)))

    async def body(notebook):
        notebook.view._positions_of = by_position
        await asyncio.to_thread(notebook.ask, HEAD)  # a kernel takes messages on another thread
        assert [(reply["ok"], reply["value"]) for reply in notebook.sent] == [(True, "")]
        await notebook.until("done")
        assert threads == [threading.main_thread()]
        assert notebook.view.strips[0].result == made.strip(HEAD)
        notebook.tell(kind="remove_strip", cell=HEAD)
        await asyncio.sleep(0)
        assert notebook.view.strips == ()

    in_notebook(monkeypatch, body)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"site": "z", "layer": 0, "head": 99}, "no head 99"),
        ({"site": "z"}, "a cell of z is"),
        ({"layer": 0}, "a cell is a dictionary with its 'site' and its place"),
        ({"site": "z", "layer": [1], "head": {}}, "no layer [1] in this grid"),
        ({**HEAD, "pos": 3}, "a cell of z is"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_words(monkeypatch, cell, words):
    async def body(notebook):
        notebook.ask(cell)
        await asyncio.sleep(0)
        (reply,) = notebook.sent
        assert not reply["ok"]
        assert words in reply["value"]
        assert notebook.view.strips == ()

    in_notebook(monkeypatch, body)


@pytest.mark.parametrize("cell", [None, "z", 3, ["z"]])
def test_a_message_without_a_cell_is_refused(cell, caplog):
    view = grid()
    for message in (
        {"kind": "request", "id": "1", "name": "by_position", "cell": cell},
        {"kind": "cancel_strip", "cell": cell},
        {"kind": "remove_strip", "cell": cell},
    ):
        caplog.clear()
        view._on_message(view, message, [])
        assert "refused an unknown message" in caplog.text


def test_where_nothing_runs_between_cells_the_page_is_told_so(monkeypatch):
    notebook = Notebook(monkeypatch, grid())
    notebook.ask(HEAD)
    assert not notebook.sent[0]["ok"]
    assert "Call by_position on the view" in notebook.sent[0]["value"]


def endless(cell):
    whole = made.strip(cell)
    while True:
        yield made.blank(whole)


@pytest.mark.parametrize("how", ["cancel", "remove", "close"])
def test_a_strip_under_way_is_cancelled(monkeypatch, how):
    async def body(notebook):
        view = notebook.view
        view._positions_of = endless
        notebook.ask(HEAD)
        await notebook.until("running")
        strip = view.strips[0]
        if how == "cancel":
            notebook.tell(kind="cancel_strip", cell=HEAD)
        elif how == "remove":
            notebook.tell(kind="remove_strip", cell=HEAD)
        else:
            view.close()
        while strip.job.state == "running":
            await asyncio.sleep(0)
        assert strip.job.state == "cancelled"
        assert (view.strips == ()) is (how == "remove")

    in_notebook(monkeypatch, body)


def test_a_view_that_is_closed_before_its_turn_runs_nothing(monkeypatch):
    asked = []

    async def body(notebook):
        notebook.ask(HEAD)
        notebook.view.close()
        await asyncio.sleep(0.01)
        assert asked == []

    in_notebook(monkeypatch, body, asked=asked)


def test_a_failing_strip_is_told_by_the_page_and_not_raised_into_the_loop(monkeypatch):
    async def body(notebook):
        notebook.ask(HEAD)
        await notebook.until("failed")
        assert on_page(notebook.view)["heads"][0]["job"]["error"] == "RuntimeError: this head broke"

    in_notebook(monkeypatch, body, fail={6})


def state_in(page):
    found = re.search(r'id="iw-state">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def test_a_page_has_the_strips_and_finishes_those_under_way(monkeypatch, tmp_path):
    async def body(notebook):
        notebook.ask(HEAD)
        await asyncio.sleep(0)
        page = notebook.view.to_html(tmp_path / "view.html").read_text(encoding="utf-8")
        content = state_in(page)
        strips = content["state"]["strips"]
        assert [(head["cell"], head["job"]["state"]) for head in strips["heads"]] == [(HEAD, "done")]
        number = strips["arrays"]["values"]["data"]["$buffer"]
        values = np.frombuffer(zlib.decompress(base64.b64decode(content["buffers"][number])), "float32")
        np.testing.assert_array_equal(values.reshape(6, 9)[0], made.strip(HEAD).values["logit_diff"][0, 0, 0])

    in_notebook(monkeypatch, body)


def test_a_page_that_is_asked_for_meanwhile_says_that_a_strip_was_not_finished(monkeypatch):
    async def body(notebook):
        notebook.view._positions_of = endless
        notebook.ask(HEAD)
        await notebook.until("running")
        notebook.sent.clear()
        notebook.tell(kind="request", id="8", name="html")
        strips = state_in(notebook.sent[0]["value"])["state"]["strips"]
        assert strips["heads"][0]["job"]["state"] == "cancelled"
        notebook.view.close()

    in_notebook(monkeypatch, body)


def test_a_saved_notebook_has_its_strips():
    strips = {"heads": [], "arrays": {"values": {"dtype": "float32"}}, "panels": [{"labels": []}]}
    state = {"_anywidget_id": "interp_widgets.views.patching_grid.PatchingGrid", "strips": strips}
    saved = {
        "model": {
            "state": state,
            "buffers": [
                {"path": ["strips", "arrays", "values", "data"], "data": base64.b64encode(b"ab").decode()},
                {"path": ["strips", "panels", 0, "data"], "data": base64.b64encode(b"cd").decode()},
            ],
        }
    }
    restored = saved_views({"widgets": {"application/vnd.jupyter.widget-state+json": {"state": saved}}})["model"]
    assert restored["strips"]["arrays"]["values"] == {"dtype": "float32", "data": b"ab"}
    assert restored["strips"]["panels"] == [{"labels": [], "data": b"cd"}]
    assert "data" not in strips["panels"][0]


def test_a_strip_without_code_says_so():
    view = PatchingGrid(
        made.heads(), by_position=lambda cell: made.steps(replace(made.strip(cell), code=CellCode({}, {})))
    )
    view.by_position(HEAD)
    with pytest.raises(ResultError, match="no printed lines for z"):
        view.code({**HEAD, "pos": 2})
