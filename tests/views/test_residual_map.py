"""The view of residual streams, on its Python side: state, selection, streaming, layers on demand, code and figure."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
import traitlets

from interp_widgets import link
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.views import _residual_map_wire as wires
from interp_widgets.views.residual_map import ProjectionView
from tests.made_projection import projection


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def steps():
    """Layers that are placed one by one."""
    for placed in ((), (0,), (0, 1)):
        yield projection(computed=placed)
    return projection()


def unpacked(layer):
    """Coordinates as the page reads them."""
    low, high = np.array(layer["low"])[:, None], np.array(layer["high"])[:, None]
    return (low + (high - low) * array(layer["coords"]) / 65535).T


def test_what_travels_is_what_there_is():
    result = projection(computed=(0, 2))
    sent = wires.residual_map_arrays(result, wanted=0)
    labels = np.array(list(result.vocab.values()))
    assert [labels[word] for word in array(sent["text"])] == [
        label for prompt in result.prompts for label in prompt.labels
    ]
    assert np.flatnonzero(array(sent["taken"])).tolist() == result.points.tolist()
    assert array(sent["starts"]).tolist() == result.starts.tolist()
    assert array(sent["labels"]).tolist() == [n % 2 for n in range(12)]
    assert [layer["row"] for layer in sent["layers"]] == [0, 2]
    for layer in sent["layers"]:
        there = result.coords[layer["row"]]
        assert unpacked(layer) == pytest.approx(there, abs=float(np.ptp(there)) / 60_000)
        assert np.array(layer["turn"]) == pytest.approx(result.turns[layer["row"]])


def test_the_spec_says_what_points_and_axes_are():
    spec = wires.residual_map_spec(projection(outlier=40.0))
    json.dumps(spec, allow_nan=False)
    assert spec["title"] == "Does the residual stream tell left from right?"
    assert "48 tokens of 12 prompts, at resid_post" in spec["meaning"]
    assert "up to 40 times larger" in spec["notes"][0]
    plain = wires.residual_map_spec(projection(labels=False, axes=("refusal", "PC 1"), n_given=1))
    assert plain["title"] == "How does the residual stream arrange these tokens?"
    assert "components along refusal, and the largest variance at right angles" in plain["meaning"]
    assert plain["notes"] == []
    tsne = wires.residual_map_spec(projection(method="tsne", axes=("t-SNE 1", "t-SNE 2")))
    assert "its distances and axes mean nothing" in tsne["meaning"]
    layers = wires.residual_map_arrays(projection(method="tsne", axes=("t-SNE 1", "t-SNE 2")), 0)["layers"]
    assert layers[0]["shares"] == [None, None]
    json.dumps([{**layer, "coords": None} for layer in layers], allow_nan=False)


def test_of_many_points_the_layers_nearest_to_the_wanted_one_travel(monkeypatch):
    monkeypatch.setattr(wires, "MOST_BYTES", 2 * 48 * 2 * 2)
    sent = wires.residual_map_arrays(projection(layers=range(6)), wanted=4)
    assert [layer["row"] for layer in sent["layers"] if layer["coords"] is not None] == [3, 4]
    assert len(sent["layers"]) == 6


def test_a_layer_comes_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(wires, "MOST_BYTES", 1)
    result = projection()
    view = ProjectionView(result)
    sent = []
    monkeypatch.setattr(view, "send", lambda content, buffers=None: sent.append((content, buffers)))
    view._on_message(view, {"kind": "request", "id": "a", "name": "layer", "row": 2}, [])
    (layer, buffers), (reply, _) = sent
    assert (layer["kind"], layer["layer"]["row"]) == ("layer", 2)
    assert buffers == [wires.quantised(result, 2)]
    assert reply == {"kind": "reply", "id": "a", "ok": True, "value": "sent"}
    view._on_message(view, {"kind": "request", "id": "b", "name": "layer", "row": 7}, [])
    assert sent[-1][0]["ok"] is False
    assert "layer number 7 is not placed" in sent[-1][0]["value"]


def test_layers_reach_the_page_as_they_are_placed(monkeypatch):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)
        view = ProjectionView(steps())
        sent = []
        monkeypatch.setattr(view, "send", lambda content, buffers=None: sent.append((content, buffers)))
        view.layer = 0
        await view.job._task
        return view, sent

    view, sent = asyncio.run(notebook())
    rows = [(message["seq"], message["layer"]["row"]) for message, _ in sent if message.get("kind") == "layer"]
    assert rows[:2] == [(1, 0), (2, 1)]
    assert view.arrays == projection()
    assert view.result.complete
    assert view.layer == 0
    assert repr(view) == "ProjectionView(48 points x 3 layers, done)"


def test_it_opens_in_the_middle_and_by_label():
    view = ProjectionView(projection())
    assert (view.layer, view.color_by, view.align, view.selected) == (1, "label", True, [])
    assert ProjectionView(projection(labels=False)).color_by == "token"


def test_selected_are_numbers_of_points():
    view = ProjectionView(projection())
    view.selected = [7, 3, np.int64(3)]
    assert view.selected == [3, 7]
    view.selected = view.result.find(label="left")
    assert len(view.selected) == 24
    for wrong in ([48], [-1], [1.5], [True]):
        with pytest.raises(traitlets.TraitError, match="numbers of points, from 0 to 47"):
            view.selected = wrong


def test_what_the_page_writes_is_checked():
    view = ProjectionView(projection())
    view.set_state({"selected": [4, 2], "layer": 2, "align": False, "spec": {}, "axes": [1, 0]})
    assert (view.selected, view.layer, view.align, view.axes) == ([2, 4], 2, False, [1, 0])
    assert view.spec["n_points"] == 48
    view.set_state({"selected": [99], "layer": 9, "color_by": "mood"})
    assert (view.selected, view.layer, view.color_by) == ([2, 4], 2, "label")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("layer", 5, "no layer 5 here: there are layers 0, 1, 2"),
        ("color_by", "lable", "did you mean 'label'"),
        ("axes", [0, 0], "axes are two different numbers from 0 to 1"),
        ("axes", [0, 2], "axes are two different numbers from 0 to 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(name, value, words):
    view = ProjectionView(projection())
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(view, name, value)


def test_labels_are_needed_to_colour_by_them():
    with pytest.raises(traitlets.TraitError, match="prompts have no labels"):
        ProjectionView(projection(labels=False)).color_by = "label"


def test_linked_views_share_layers_and_positions():
    one, other = ProjectionView(projection()), ProjectionView(projection(layers=(1, 2), labels=False))
    together = link(one, other)
    one.layer = 2
    one.selected = one.result.find(prompt=3, position=2)
    assert other.layer == 2
    assert other.selected == other.result.find(position=2), "of all prompts: a place says the position, not the prompt"
    one.selected = one.result.find(label="left")
    assert other.selected == other.result.find(position=2)
    one.selected = []
    assert other.selected == []
    together.close()
    assert one._words(1) == ["␣Mary", "␣John"]
    assert one._words(9) == []


def test_other_things_are_no_projections():
    with pytest.raises(ResultError, match="ProjectionView takes ProjectionResult, or the steps"):
        ProjectionView([1, 2])


def test_the_code_is_that_of_the_shown_layer():
    view = ProjectionView(projection())
    view.layer = 2
    assert view.code() == "print(layer2)\n"
    assert view.code(0) == "print(layer0)\n"
    with pytest.raises(SelectionError, match="no layer 8"):
        view.code(8)


@pytest.mark.parametrize("color_by", ["label", "token", "position", "prompt"])
def test_the_figure_draws_every_point_once(color_by):
    view = ProjectionView(projection())
    view.color_by = color_by
    view.selected = [1, 2, 3] if color_by == "token" else []
    figure = view.figure()
    drawn = np.concatenate([np.asarray(points.get_offsets()) for points in figure.axes[0].collections])
    expected = view.result.coordinates(1, align=True)
    assert np.array(sorted(drawn.tolist())) == pytest.approx(np.array(sorted(expected.tolist())), abs=1e-6)
    assert "PC 1, turned · " in figure.axes[0].get_xlabel()
    if color_by == "label":
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["left (24)", "right (24)"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_figure_of_a_layer_that_is_not_placed_says_so():
    view = ProjectionView(projection(computed=(0,)))
    assert [text.get_text() for text in view.figure().axes[0].texts] == ["not placed yet"]


def test_the_page_is_whole_and_small(tmp_path):
    view = ProjectionView(projection())
    page = view.to_html(tmp_path / "map.html").read_text()
    assert "<title>Does the residual stream tell left from right?</title>" in page
    assert len(page) < 80_000
