"""Views that open from places of another one: which, of what, and what becomes of them."""

import asyncio
import json
import re

import nbformat
import pytest

from interp_widgets import PatchingGrid, link
from interp_widgets.publish import publish
from interp_widgets.results.errors import ResultError, SelectionError, UnknownNameError
from interp_widgets.views._way import Way, place_in_words
from tests import made
from tests.made_ways import CELL, HEAD, grid, ways


def test_a_view_opens_of_the_selected_place_else_of_the_strongest():
    asked, view = grid()
    strongest = view.partial.strongest()
    first = view.drill("parts")
    view.selected = CELL
    second = view.drill("parts")
    third = view.drill("parts", {**CELL, "layer": 3})
    assert asked == [("parts", strongest), ("parts", CELL), ("parts", {**CELL, "layer": 3})]
    assert view.opened == (first, second, third)


def test_what_is_open_is_shown_again_and_goes_to_the_place():
    asked, view = grid()
    parts = view.drill("parts", CELL)
    assert view.drill("parts", CELL) is parts
    rows = parts.drill("rows", HEAD)
    assert parts.drill("rows", {"site": "q", "layer": 2, "head": 3}) is rows
    assert len(asked) == 2
    assert rows.selected is None  # it has no cell without a position
    rows.selected = {"site": "z", "layer": 0, "head": 1, "pos": 3}
    parts.drill("rows", {"site": "q", "layer": 2, "head": 3})
    assert rows.selected == {"site": "z", "layer": 2, "head": 3, "pos": 3}


def test_a_way_that_tells_prompts_apart_opens_one_view_of_each():
    _, both = ways(apart=("prompt",))
    view = PatchingGrid(made.heads(pairs=(made.pair(), made.pair())))._offer(*both)
    view.selected = HEAD
    every = view.drill("rows")
    view.pair = 1
    second = view.drill("rows")
    assert view.opened == (every, second)
    assert view.drill("rows") is second
    view.pair = 0
    assert view.drill("rows") is every, "of the mean it is the first prompt that opens"


def test_the_page_is_told_the_way_to_each_view():
    _, view = grid()
    parts = view.drill("parts", CELL)
    rows = parts.drill("rows", HEAD)
    (on_page,) = view.get_state("opened")["opened"]
    assert on_page == {
        "model": parts.model_id,
        "way": "parts",
        "place": {"layer": 2, "pos": 5},
        "trail": ["patching", "resid_pre, layer 2, ␣John / ␣Mary (5)", "parts"],
    }
    parts.drill("rows", {**HEAD, "head": 3})
    (below,) = parts.get_state("opened")["opened"]
    assert below["trail"] == [*on_page["trail"], "z, layer 1, head 3", "rows"]
    assert below["model"] == rows.model_id
    assert view.get_state("ways")["ways"][0] == {
        "name": "parts",
        "meaning": "what wrote it",
        "key": "o",
        "needs": ["layer", "pos"],
        "sites": ["resid_pre"],
        "apart": ["layer", "pos"],
    }


def test_a_view_and_what_is_opened_from_it_share_what_the_way_says_but_not_nothing():
    _, view = grid()
    parts = view.drill("parts", CELL)
    rows = parts.drill("rows", HEAD)
    view.selected = CELL
    rows.selected = {"site": "z", "layer": 2, "head": 1, "pos": 7}
    assert parts.selected == {"site": "z", "layer": 2, "head": 1}
    assert view.selected == CELL
    rows.selected = None
    assert parts.selected is not None
    assert rows.links[0]["group"] == parts.links[1]["group"]


def test_closing_a_view_takes_away_what_was_opened_from_it():
    _, view = grid()
    parts = view.drill("parts", CELL)
    rows = parts.drill("rows", HEAD)
    other = view.drill("parts", {**CELL, "layer": 1})
    parts.close()
    assert view.opened == (other,)
    assert rows.comm is None
    assert rows.job.state == "done"
    assert parts.links == rows.links == []
    assert len(view.links) == 1
    view.close()
    assert other.comm is None


def test_what_cannot_be_opened_is_refused_in_words():
    asked, view = grid()
    with pytest.raises(UnknownNameError, match="unknown way 'part': did you mean 'parts'"):
        view.drill("part")
    with pytest.raises(SelectionError, match=r"rows opens from a place with layer and head, and \{.*\} was given"):
        view.drill("rows", CELL)
    with pytest.raises(
        SelectionError, match=r"parts opens from a place with layer and pos of resid_pre, and .*mlp_out"
    ):
        view.drill("parts", {**CELL, "site": "mlp_out"})
    with pytest.raises(SelectionError, match="a place has numbers from 0 on, and its layer is '2'"):
        view.drill("parts", {**CELL, "layer": "2"})
    with pytest.raises(SelectionError, match="its pos is -1"):
        view.drill("parts", {**CELL, "pos": -1})
    assert asked == []
    loaded = PatchingGrid(made.result())
    with pytest.raises(ResultError, match=r"nothing opens from here: views open from what a show function returned"):
        loaded.drill("parts")
    with pytest.raises(ResultError, match="nothing opens from here: it is far away"):
        loaded._refuse_to_open("it is far away").drill("parts")
    assert loaded.get_state("no_ways")["no_ways"] == "it is far away"


def test_an_error_of_the_view_that_is_opened_leaves_the_rest_as_it_is():
    def broken(_spot):
        raise SelectionError("nothing has written to it yet")

    view = PatchingGrid(made.result())._offer(Way("parts", "what wrote it", "o", broken))
    with pytest.raises(SelectionError, match="nothing has written"):
        view.drill("parts", CELL)
    assert view.opened == ()
    assert view.links == []


class Notebook:
    """Talks to a view as a page does, where somebody watches."""

    def __init__(self, monkeypatch, view):
        self.view = view
        self.sent = []
        monkeypatch.setattr(view, "send", lambda content, buffers=None: self.sent.append(content))

    def tell(self, **message):
        self.view._on_message(self.view, message, [])


def test_the_page_opens_and_closes_views(monkeypatch):
    async def body():
        monkeypatch.setattr("interp_widgets.views._kernel._somebody_watches", lambda: True)
        asked, both = ways()
        view = PatchingGrid(made.steps(made.result()))._offer(*both)
        # A message does not say that somebody watches, so the view has to remember it.
        monkeypatch.setattr("interp_widgets.views._kernel._somebody_watches", lambda: False)
        notebook = Notebook(monkeypatch, view)
        notebook.tell(kind="request", id="1", name="open", way="parts", place=CELL)
        assert asked == []  # a message only asks: what it asks for is done on the loop
        await asyncio.sleep(0)
        (child,) = view.opened
        assert notebook.sent[-1] == {"kind": "reply", "id": "1", "ok": True, "value": child.model_id}
        assert child._loop is asyncio.get_running_loop()
        notebook.tell(kind="request", id="2", name="open", way="parts", place={"layer": [1]})
        await asyncio.sleep(0)
        assert not notebook.sent[-1]["ok"]
        assert "its layer is [1]" in notebook.sent[-1]["value"]
        notebook.tell(kind="close", model="another")
        notebook.tell(kind="close", model=child.model_id)
        await asyncio.sleep(0)
        assert view.opened == ()
        view.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "request", "id": "1", "name": "open", "way": 3, "place": CELL},
        {"kind": "request", "id": "1", "name": "open", "way": "parts", "place": None},
        {"kind": "close", "model": 4},
    ],
)
def test_a_message_that_makes_no_sense_is_refused(message, caplog):
    _, view = grid()
    view._on_message(view, message, [])
    assert "refused an unknown message" in caplog.text


def test_where_nothing_runs_between_cells_the_page_is_told_so(monkeypatch):
    _, view = grid()
    notebook = Notebook(monkeypatch, view)
    notebook.tell(kind="request", id="1", name="open", way="parts", place=CELL)
    assert "Call drill on the view" in notebook.sent[0]["value"]


def content(page):
    return json.loads(re.search(r'id="iw-state">(.*?)</script>', page, re.DOTALL).group(1))


def test_a_page_has_every_view_that_was_opened_and_each_bundle_once(tmp_path):
    _, view = grid()
    parts = view.drill("parts", CELL)
    rows = parts.drill("rows", HEAD)
    page = view.to_html(tmp_path / "view.html").read_text(encoding="utf-8")
    held = content(page)
    assert list(held["others"]) == [parts.model_id, rows.model_id]
    assert {other["bundle"] for other in held["others"].values()} == {0}
    assert page.count('class="iw-bundle"') == 1
    assert [opened["model"] for opened in held["others"][parts.model_id]["state"]["opened"]] == [rows.model_id]
    assert content(parts._page())["others"].keys() == {rows.model_id}


def test_a_published_notebook_has_them_too():
    _, view = grid()
    parts = view.drill("parts", CELL)
    rows = parts.drill("rows", HEAD)
    models = {}
    for one in (view, parts, rows):
        state = {**one.get_state(), "arrays": None}
        models[one.model_id] = {"model_name": "AnyModel", "model_module": "anywidget", "state": state}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("view")])
    notebook.cells[0].outputs = [
        nbformat.v4.new_output(
            "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": view.model_id}}
        )
    ]
    widgets = {"application/vnd.jupyter.widget-state+json": {"version_major": 2, "version_minor": 0, "state": models}}
    notebook.metadata["widgets"] = json.loads(json.dumps(widgets, default=str))
    page = publish(notebook, title="views")
    assert parts.model_id in page
    assert rows.model_id in page


@pytest.mark.parametrize(
    ("spot", "words", "said"),
    [
        ({"site": "z", "layer": 2, "head": 3}, (), "z, layer 2, head 3"),
        ({"layer": 2, "pos": 4}, ("␣the",), "layer 2, ␣the (4)"),
        ({"pos": 4}, (), "position 4"),
        ({"site": "embed", "neuron": 7}, (), "neuron 7"),
        ({"layer": 2, "prompt": 1}, (), "layer 2"),
        ({}, (), "the whole"),
    ],
)
def test_places_in_words(spot, words, said):
    assert place_in_words(spot, words) == said
    assert place_in_words(spot, words, "pair 1 of 8") == f"{said}, pair 1 of 8"


def test_a_link_of_ones_own_goes_on_when_a_view_is_opened():
    _, view = grid()
    other = PatchingGrid(made.result())
    link(view, other)
    view.drill("parts", CELL)
    view.selected = CELL
    assert other.selected == CELL
