"""The view of an attribution, on its Python side: state, selection, what is opened on request, code and figure."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from interp_widgets import AttributionView, link, run_attribution, show_attribution, teaching
from interp_widgets.results.errors import ResultError, SelectionError, SiteError
from interp_widgets.views._attribution_wire import attribution_arrays, attribution_spec, wire_neurons
from interp_widgets.views.attribution import question
from tests import made_attribution as made

HEAD = {"site": "z", "layer": 2, "head": 1}
MLP = {"site": "mlp_out", "layer": 1, "head": None}


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def opening(whole):
    """What takes components apart, and the list of what it was asked."""
    asked = []

    def sources_of(result, layer, head):
        if head >= made.HEADS:
            raise SelectionError(f"There is no head {head}")
        asked.append(("sources", layer, head))
        found = made.sources(whole, layer, head)
        yield replace(found, contributions=np.full_like(found.contributions, np.nan))
        return found

    def neurons_of(result, layer):
        asked.append(("neurons", layer))
        yield made.neurons(whole, layer)
        return made.neurons(whole, layer)

    return {"sources_of": sources_of, "neurons_of": neurons_of}, asked


def replies(view, monkeypatch):
    sent = []
    monkeypatch.setattr(view, "send", lambda message, buffers=None: sent.append(message))
    return sent


def test_the_work_is_done_before_the_call_returns_where_nobody_watches():
    whole = made.result(made.PROMPTS)
    view = AttributionView(made.steps(whole))
    assert view.result == whole
    assert view.job.state == "done"
    assert repr(view) == "AttributionView(3 prompts x 1 x 24 components, done)"


def test_arrays_reach_the_page_in_the_order_that_the_protocol_names():
    whole = made.result(made.PROMPTS, targets=2)
    wire, spec = attribution_arrays(whole), attribution_spec(whole, opens=True)
    np.testing.assert_array_equal(array(wire["contributions"]), whole.contributions)
    np.testing.assert_allclose(array(wire["unexplained"]), 2e-6, rtol=1e-3)
    np.testing.assert_array_equal(array(spec["targets"]), [[6, 7], [7, 8], [4, 5]])
    assert array(spec["ids"])[-6:].tolist() == [0, 1, 2, 3, 4, 5]
    assert (wire["answers"][1], wire["wrong_answers"][1], wire["answer_ids"]) == ("␣Anna", "␣Tom", [11, 12, 13])
    assert (spec["n_layers"], spec["n_heads"], spec["text"]["starts"]) == (3, 4, [0, 8, 17])
    assert spec["components"][3] == {"name": "head 0.1", "kind": "head", "site": "z", "layer": 0, "head": 1}
    assert len({(part["site"], part["layer"], part["head"]) for part in spec["components"]}) == 24


def test_more_than_a_page_takes_is_refused(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._attribution_wire.MOST_NUMBERS", 70)
    with pytest.raises(SelectionError, match="3 prompts x 1 positions x 24 components are more than the 70"):
        AttributionView(made.result(made.PROMPTS))


def test_a_component_is_selected_by_its_place_and_nothing_else():
    view = AttributionView(made.result())
    view.selected = {"layer": 2, "head": 1}
    assert view.selected == HEAD
    view.selected = {"site": "mlp_out", "layer": 1}
    assert view.selected == MLP
    view.selected = {"site": "bias"}
    assert view.selected == {"site": "bias", "layer": None, "head": None}
    for wrong, words in (
        ({"layer": 7, "head": 0}, "No component"),
        ({"layer": 1}, "components are at"),
        ({"x": 1}, "its place"),
    ):
        with pytest.raises(traitlets.TraitError, match=words):
            view.selected = wrong
    for name, value in (("prompt", 1), ("target", 1), ("color_limit", -1.0), ("prompt", -1)):
        with pytest.raises(traitlets.TraitError):
            setattr(view, name, value)


def test_the_page_may_not_write_what_it_may_not():
    view = AttributionView(made.result(made.PROMPTS))
    view.set_state({"selected": HEAD, "prompt": 2, "spec": {}})
    assert (view.selected, view.prompt, view.spec["n_layers"]) == (HEAD, 2, 3)
    view.set_state({"selected": {"site": "z", "layer": 9, "head": 0}})
    assert view.selected == HEAD


def test_the_code_is_of_what_is_shown():
    view = AttributionView(made.result(made.PROMPTS))
    assert view.code() == "print(2, 1, [0, 1, 2, 3, 4, 5, 6, 7], 7, 'W[11] - W[21]')\n"  # the strongest
    view.selected = {"layer": 0, "head": 3}
    view.prompt = 2
    assert view.code() == "print(0, 3, [0, 1, 2, 3, 4, 5], 5, 'W[13] - W[23]')\n"
    assert view.code("MLP 2") == "print(2)\n"
    with pytest.raises(SelectionError, match=r"no component 'head 9\.9': they are token embedding"):
        view.code("head 9.9")
    with pytest.raises(ResultError, match="There are no lines for last biases"):
        view.code("last biases")


def test_the_question_names_the_answers_where_they_are_the_same():
    one, many = made.result(), made.result(made.PROMPTS)
    assert question(one) == "What makes the model say Mary rather than John?"
    assert question(many) == "What makes the model say the answer rather than the wrong answer?"
    assert question(many, 1) == "What makes the model say Anna rather than Tom?"
    bare = replace(one, wrong_answers=(None,))
    assert question(bare) == "What makes the model say Mary?"


def test_heads_and_mlps_are_opened_once_and_kept():
    whole = made.result(made.PROMPTS)
    given, asked = opening(whole)
    view = AttributionView(made.steps(whole), **given)
    assert view.by_source(*made.MOVER) == made.sources(whole, *made.MOVER)
    view.selected = HEAD
    assert view.by_source() == made.sources(whole, *made.MOVER)
    assert view.neurons(1) == made.neurons(whole, 1)
    assert asked == [("sources", 2, 1), ("neurons", 1)]
    assert view.result.sources == {made.MOVER: made.sources(whole, *made.MOVER)}
    assert view.result.neurons == {1: made.neurons(whole, 1)}
    with pytest.raises(SelectionError, match="no MLP is selected"):
        view.neurons()
    view.selected = MLP
    assert view.neurons() == made.neurons(whole, 1)
    with pytest.raises(SelectionError, match="no head is selected"):
        view.by_source()


def test_a_loaded_result_says_how_to_ask_for_more():
    view = AttributionView(made.result(parts=True))
    assert view.by_source(*made.MOVER).layer == 2
    with pytest.raises(ResultError, match=r"does not have head 0.2 by source.*by_source=\[\(0, 2\)\]"):
        view.by_source(0, 2)
    with pytest.raises(ResultError, match=r"does not have the neurons of MLP 0.*neurons=0"):
        view.neurons(0)


def test_the_page_asks_and_is_answered_when_it_is_there(monkeypatch):
    whole = made.result()
    given, _ = opening(whole)
    view = AttributionView(whole, **given)
    sent = replies(view, monkeypatch)
    view._on_message(view, {"kind": "request", "id": "a", "name": "sources", "layer": 2, "head": 1}, [])
    assert sent == [{"kind": "reply", "id": "a", "ok": True, "value": "done"}]
    assert view.sources[2, 1] == made.sources(whole, 2, 1)
    view._on_message(view, {"kind": "request", "id": "b", "name": "sources", "layer": 2, "head": 1}, [])
    view._on_message(view, {"kind": "request", "id": "c", "name": "neurons", "layer": 1}, [])
    view._on_message(view, {"kind": "request", "id": "d", "name": "sources", "layer": 2, "head": 9}, [])
    assert [(message["id"], message["ok"]) for message in sent[1:]] == [("b", True), ("c", True), ("d", False)]
    assert "There is no head 9" in sent[-1]["value"]
    wire = view.get_state(["sources", "neuron_parts"])
    assert list(wire["sources"]) == ["2.1"]
    np.testing.assert_array_equal(array(wire["sources"]["2.1"]["weights"]), made.sources(whole, 2, 1).weights)


def test_what_is_asked_while_prompts_are_to_come_is_answered_at_the_end(monkeypatch):
    whole = made.result(made.PROMPTS)
    given, asked = opening(whole)
    message = {"kind": "request", "id": "a", "name": "neurons", "layer": 1}
    gate = {"open": False}

    def gated():
        yield made.until(whole, 1)
        while not gate["open"]:
            yield made.until(whole, 2)
        return whole

    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = AttributionView(gated(), **given)
        sent = replies(view, monkeypatch)
        view._on_message(view, message, [])
        for _ in range(5):
            await asyncio.sleep(0)
        assert (view.job.state, asked, view.neuron_parts) == ("running", [], {})
        gate["open"] = True
        while not any(reply.get("id") == "a" for reply in sent):
            await asyncio.sleep(0)
        return view

    view = asyncio.run(notebook())
    assert view.neuron_parts == {1: made.neurons(whole, 1)}
    assert view.result == replace(whole, neurons={1: made.neurons(whole, 1)})


def test_a_saved_page_has_what_was_opened_and_the_strongest(tmp_path):
    whole = made.result()
    given, asked = opening(whole)
    view = AttributionView(whole, **given)
    heads = [part for part, _ in whole.strongest(len(whole.components)) if part.kind == "head"]
    view.by_source(heads[-1].layer, heads[-1].head)
    page = view.to_html(tmp_path / "view.html").read_text()
    state = json.loads(page.split('id="iw-state">')[1].split("</script>")[0])["state"]
    assert {f"{head.layer}.{head.head}" for head in (heads[-1], *heads[:6])} == state["sources"].keys()
    assert set(state["neuron_parts"]) == {"0", "1", "2"}
    assert len(asked) == 10


def test_a_page_is_saved_of_a_model_whose_mlps_have_no_neurons(tmp_path):
    whole = made.result()
    given, _ = opening(whole)

    def refuse(result, layer):
        raise SiteError("its MLP is a mixture of experts")

    view = AttributionView(whole, **given | {"neurons_of": refuse})
    page = view.to_html(tmp_path / "view.html").read_text()
    state = json.loads(page.split('id="iw-state">')[1].split("</script>")[0])["state"]
    assert len(state["sources"]) == 6
    assert not state["neuron_parts"]
    with pytest.raises(SiteError, match="a mixture of experts"):
        view.neurons(1)


def test_neurons_that_travel_are_the_strongest_of_any_prompt():
    whole = made.result(made.PROMPTS)
    found = made.neurons(whole, 1, count=3000)
    found.contributions[2, 0, 2999] = 3.0
    wire = wire_neurons({1: found})["1"]
    kept = array(wire["neurons"]).tolist()
    assert {5, 2999} <= set(kept)
    assert len(kept) < 120
    np.testing.assert_array_equal(array(wire["contributions"])[2, 0, kept.index(2999)], 3.0)
    assert wire["count"] == 3000


def test_a_failure_keeps_the_prompts_before(monkeypatch):
    whole = made.result(made.PROMPTS)

    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = AttributionView(made.steps(whole, fail_at=2))
        while view.job.state == "running":
            await asyncio.sleep(0)
        return view

    view = asyncio.run(notebook())
    assert (view.job.state, view.job.status()["done"]) == ("failed", 1)
    assert view.partial == made.until(whole, 1)
    assert np.isnan(array(view.get_state(["arrays"])["arrays"]["logits"])).ravel().tolist() == [False, True, True]
    assert "image/png" in view._output()[0]
    with pytest.raises(RuntimeError, match="the model broke"):
        _ = view.result


def test_the_figure_shows_all_three_parts():
    view = AttributionView(made.result(made.PROMPTS))
    heat, total, ranked = view.figure().axes
    assert [text.get_text() for text in ranked.get_yticklabels()][:3] == ["head 2.1", "head 1.3", "MLP 1"]
    assert len(heat.patches) == 24
    # Embeddings, three layers of attention and MLP, and the last biases.
    assert len(total.patches) == 8
    ends = [bar.get_x() + bar.get_width() for bar in total.patches]
    assert ends[-1] == pytest.approx(view.result.total.mean(), abs=1e-5)
    view.prompt = 1
    assert "Anna rather than Tom" in view.figure().texts[0].get_text()


def test_a_linked_view_goes_to_the_same_head():
    left, right = AttributionView(made.result()), AttributionView(made.result(made.PROMPTS))
    link(left, right)
    left.selected = HEAD
    assert right.selected == HEAD
    right.selected = MLP
    assert left.selected == MLP


def test_what_it_shows_is_what_run_attribution_returns():
    pairs = teaching.prompts("ioi", n=2)
    asked = {"answer": [pair.answer for pair in pairs], "wrong_answer": [pair.wrong_answer for pair in pairs]}
    prompts = [pair.clean for pair in pairs]
    view = show_attribution(teaching.load(), prompts, **asked)
    assert view.result == run_attribution(teaching.load(), prompts, **asked)
    whole = run_attribution(teaching.load(), prompts, **asked, by_source=[(3, 3)], neurons=3)
    assert view.by_source(3, 3) == whole.sources[3, 3]
    assert view.neurons(3) == whole.neurons[3]
    assert view.result == whole
    with pytest.raises(SelectionError, match="no head 7"):
        view.by_source(3, 7)
