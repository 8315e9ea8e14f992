"""The view of circuits, on its Python side: state, selection, the vocabulary on request, streaming, figure."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from string import Template

import numpy as np
import pytest
import traitlets

from interp_widgets import run_head_circuits, show_head_circuits, teaching
from interp_widgets.results.errors import ResultError
from interp_widgets.views.head_circuits import HeadCircuitView, circuit_spec, leading, wire_arrays
from tests import made_circuits as made


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def test_numbers_reach_the_page_as_they_are():
    result = made.result()
    wire = wire_arrays(result)
    np.testing.assert_array_equal(array(wire["qk"]), result.qk)
    np.testing.assert_array_equal(array(wire["ov"]), result.ov)
    np.testing.assert_allclose(array(wire["copying"]), result.copying, rtol=1e-6)
    assert array(wire["copying"])[1, 1] == pytest.approx(4.5 / (2.5 + 2 * 1.25**0.5))
    assert wire["eigenvalues"]["shape"] == [2, 3, 4, 2]
    spec = circuit_spec(result, answers=True)
    assert (spec["labels"], spec["layers"], spec["positions"]) == (list(made.LABELS), [0, 2], "added")
    json.dumps(spec)
    json.dumps(HeadCircuitView(result).extremes)


def test_the_head_that_copies_most_is_shown_until_somebody_chooses():
    result = made.result()
    row, column = np.unravel_index(result.copying.argmax(), result.copying.shape)
    assert leading(result) == (made.LAYERS[row], made.HEADS[column])
    unknown = replace(result, eigenvalues=np.full_like(result.eigenvalues, np.nan))
    assert leading(unknown) == (0, 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": 1, "head": 0}, "There is no layer 1 here: 0, 2 were asked for"),
        ({"layer": 0, "head": 3}, "There is no head 3 here"),
        ({"layer": 0, "head": 0, "token": 5}, "There is no token 5: they run from 0 to 4"),
        ({"layer": 0, "head": True}, "head=True is no number"),
        ({"layer": 0}, "selected is "),
        ({"layer": 0, "head": 0, "pos": 1}, "selected is "),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(given, message):
    view = HeadCircuitView(made.result())
    with pytest.raises(traitlets.TraitError, match=message):
        view.selected = given
    assert view.selected is None
    view.set_state({"selected": given})
    assert view.selected is None


def test_what_the_page_may_write_is_taken():
    view = HeadCircuitView(made.result())
    view.set_state({"selected": {"layer": 2, "head": 1, "token": 0}, "small": "qk", "color_scale": "shared"})
    assert view.selected == {"layer": 2, "head": 1, "token": 0}
    assert (view.small, view.color_scale) == ("qk", "shared")
    view.set_state({"small": "pattern", "extremes": []})
    assert view.small == "qk"
    assert view.extremes


def test_the_vocabulary_is_looked_through_when_somebody_asks():
    model = teaching.load()
    view = show_head_circuits(model, " Mary John Tom", 3, 1, layers=[0, 3], copying=False)
    assert view.extremes == []
    found = view.vocabulary()
    again = run_head_circuits(model, " Mary", layers=3, vocabulary=(3, 1), copying=False).extremes
    for one, other in zip(found, again, strict=True):
        values = [[pair.value for pair in extremes.highest] for extremes in (one, other)]
        np.testing.assert_allclose(*values, rtol=1e-4)
        assert one.highest[0].first == other.highest[0].first
    assert [(one["circuit"], one["layer"], one["head"]) for one in view.extremes] == [("qk", 3, 1), ("ov", 3, 1)]
    assert view.result.extremes == found
    assert view.vocabulary() == found
    sent = []
    view.send = lambda content, buffers=None: sent.append(content)
    view._on_message(view, {"kind": "request", "id": "a", "name": "vocabulary", "layer": 0, "head": 2}, [])
    view._on_message(view, {"kind": "request", "id": "b", "name": "vocabulary", "layer": 1, "head": 2}, [])
    assert [(reply["id"], reply["ok"]) for reply in sent] == [("a", True), ("b", False)]
    assert "There is no layer 1 here" in sent[1]["value"]
    assert len(view.extremes) == 4


def looked(share):
    """A look that is so far."""
    extremes = tuple(replace(found, layer=0, head=2, share=share) for found in made.result().extremes)
    return replace(made.result(), extremes=extremes if share else ())


def test_other_cells_run_while_the_vocabulary_is_looked_through(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
    monkeypatch.setattr("interp_widgets.views.head_circuits._TOLD", 0.0)
    threads, told, turns = [], [], []

    def look(layer, head):
        assert (layer, head) == (0, 2)
        for share in (0.0, 0.25, 0.5):
            threads.append(threading.get_ident())
            yield looked(share)
        return looked(1.0)

    async def notebook():
        view = HeadCircuitView(made.result(extremes=False), look=look)
        view.observe(lambda change: told.append((change["new"]["job"]["done"], len(view.extremes))), "looking")
        ask = {"kind": "request", "id": "a", "name": "vocabulary", "layer": 0, "head": 2}
        await asyncio.to_thread(view._on_message, view, ask, [])
        while view.looking is None or view.looking["job"]["state"] == "running":
            turns.append(len(told))
            await asyncio.sleep(0)
            if view.looking and view.looking["job"]["state"] == "running":
                with pytest.raises(ResultError, match=r"is being looked through for head 0\.2\. Wait for that"):
                    view.vocabulary(0, 0)
        return view

    view = asyncio.run(notebook())
    assert told == [(0, 0), (25, 2), (50, 2), (100, 2)]
    assert {2, 3} <= set(turns)  # other things ran between steps
    assert set(threads) == {threading.get_ident()}
    assert view.vocabulary(0, 2) == looked(1.0).extremes


def test_a_look_that_was_cancelled_or_failed_can_be_asked_for_again(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
    monkeypatch.setattr("interp_widgets.views.head_circuits._TOLD", 0.0)
    broken = [True]

    def look(layer, head):
        yield looked(0.25)
        yield looked(0.5)
        if broken:
            raise RuntimeError("the model broke")
        return looked(1.0)

    async def notebook():
        view = HeadCircuitView(made.result(extremes=False), look=look)
        ask = {"kind": "request", "id": "a", "name": "vocabulary", "layer": 0, "head": 2}
        view._on_message(view, ask, [])
        await asyncio.sleep(0)
        view._on_message(view, {"kind": "cancel_vocabulary"}, [])
        while view.looking is None or view.looking["job"]["state"] == "running":
            await asyncio.sleep(0)
        assert (view.looking["job"]["state"], view.extremes) == ("cancelled", [])
        view._on_message(view, ask, [])
        while view.looking["job"]["state"] != "failed":
            await asyncio.sleep(0)
        assert view.looking["job"]["error"] == "RuntimeError: the model broke"
        assert view.extremes == []
        broken.clear()
        return view

    view = asyncio.run(notebook())
    assert view.vocabulary(0, 2) == looked(1.0).extremes
    assert view.looking["job"]["state"] == "done"


def test_the_code_is_that_of_the_head_that_is_shown():
    view = show_head_circuits(teaching.load(), " Mary John", 3, 1, layers=[0, 3], copying=False)
    assert view.code() == view.result.script(3, 1)
    assert "z[:, 2] = " in view.code(0, 2)
    wire = wire_arrays(view.result)
    filled = Template(wire["code"][1]).safe_substitute(ids=view.spec["ids"], head="1")
    assert filled == view.code()
    with pytest.raises(ResultError, match="came without code for layer 0"):
        HeadCircuitView(made.result()).code(0, 0)


def test_without_a_model_it_says_so():
    view = HeadCircuitView(made.result())
    assert [found.circuit for found in view.vocabulary(2, 1)] == ["qk", "ov"]  # which the result brought along
    with pytest.raises(ResultError, match="this view came without a model to look through"):
        view.vocabulary(0, 0)
    with pytest.raises(ResultError, match="a HeadCircuitView shows a HeadCircuits, or the steps of one; int was given"):
        HeadCircuitView(3)


def test_layers_arrive_one_by_one(monkeypatch):
    async def watch():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)

        def steps():
            for done in range(2):
                yield made.result(done=done, extremes=False)
            return made.result()

        view = HeadCircuitView(steps())
        seen = []
        view.observe(lambda change: seen.append(int(np.isfinite(change["new"].ov[:, 0, 0, 0]).sum())), "arrays")
        while view.job.state == "running":
            await asyncio.sleep(0.01)
        return view, seen

    view, seen = asyncio.run(watch())
    assert seen == [1, 2]
    assert view.result == made.result()
    assert view.extremes


def test_the_figure_has_both_maps_with_attended_tokens_as_rows():
    view = HeadCircuitView(made.result())
    view.selected = {"layer": 2, "head": 1, "token": None}
    figure = view.figure()
    qk, ov = (axes.images[0].get_array() for axes in figure.axes[:2])
    np.testing.assert_array_equal(qk, made.result().qk[1, 1].T)
    np.testing.assert_array_equal(ov, made.result().ov[1, 1])
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == list(made.LABELS)
    assert "head 2.1" in figure.texts[0].get_text()
    missing = HeadCircuitView(made.result(missing=True)).figure()
    assert any("not a product" in text.get_text() for text in missing.axes[0].texts)
