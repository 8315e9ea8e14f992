"""The view of toy models, on its Python side: state, selection, streaming, code and figure."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.views.superposition import Superposition, question, superposition_arrays, superposition_spec
from tests import made
from tests.made_toys import cube, orthogonal, steps, toys, untrained
from tests.made_toys import made as trained


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def watched(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
    monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)


def test_the_training_is_done_before_the_call_returns_where_nobody_watches():
    view = Superposition(steps(toys()))
    assert view.job.state == "done"
    assert view.result == toys()
    assert view.arrays == toys()
    assert repr(view) == "Superposition(5 features in 2 dimensions, 3 sparsities x 2 models, done)"


def test_arrays_reach_the_page_in_the_order_that_the_protocol_names():
    whole = toys()
    wire = superposition_arrays(whole)
    np.testing.assert_array_equal(array(wire["weights"]), whole.weights[:, 1])
    for name, values in (
        ("norms", whole.norms),
        ("dimensionality", whole.dimensionality),
        ("interference", whole.interference),
        ("biases", whole.biases),
        ("losses", whole.losses),
        ("lost", whole.lost),
    ):
        np.testing.assert_allclose(array(wire[name]), values, rtol=1e-6)
    assert (wire["trained"], wire["best"]) == (100, [1, 1, 1])
    assert wire["shapes"][1] == [
        {"name": "antipodal pair", "features": [0, 1]},
        {"name": "antipodal pair", "features": [2, 3]},
    ]
    assert wire["geometry"] == ["2 on their own, 3 not kept", "2 antipodal pairs, 1 not kept", "pentagon"]


def test_the_spec_says_what_was_trained_and_which_landmarks_fit():
    spec = superposition_spec(toys())
    json.dumps(spec, allow_nan=False)
    assert spec["title"] == "How does a model fit 5 features into 2 dimensions?"
    assert [mark["label"] for mark in spec["landmarks"]] == ["1", "2/3", "1/2", "2/5"]
    assert [mark["label"] for mark in superposition_spec(cube())["landmarks"]] == [
        "1",
        "3/4",
        "2/3",
        "1/2",
        "2/5",
        "3/8",
    ]
    assert spec["provenance"] == ["ReLU(WᵀWx + b)", "seed: 0", "torch 2.0"]
    assert spec["probabilities"] == [1.0, 0.3, 0.04]


def test_one_of_each_is_said_in_the_singular():
    one = trained(orthogonal(1, 1, 1)[None, None], np.array([[0.1]]), (0.5,))
    assert question(one) == "How does a model fit 1 feature into 1 dimension?"
    assert Superposition(one).figure().axes


def test_a_click_is_the_selection_in_python_and_tells_observers():
    view = Superposition(toys())
    seen = []
    view.observe(lambda change: seen.append(change.new), "selected")
    view.set_state({"selected": {"sparsity": 1, "feature": 3}})
    view.selected = {"sparsity": np.int64(2)}
    assert view.selected == {"sparsity": 2, "feature": None}
    assert type(view.selected["sparsity"]) is int
    view.selected = None
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"sparsity": 3}, "no sparsity 3 in this result: it has sparsity 0 to 2."),
        ({"sparsity": 0, "feature": 5}, "no feature 5 in this result"),
        ({"feature": 1}, "a selection is {'sparsity': …, 'feature': …}"),
        ({"sparsity": "0"}, "no sparsity '0'"),
        ({"sparsity": 0, "script": "alert(1)"}, "a selection is"),
    ],
)
def test_a_wrong_selection_is_refused_from_python_and_set_right_on_the_page(monkeypatch, value, words):
    view = Superposition(toys())
    view.selected = {"sparsity": 1, "feature": 0}
    with pytest.raises(traitlets.TraitError) as refused:
        view.selected = value
    assert words in str(refused.value)
    corrected = []
    monkeypatch.setattr(view, "send_state", lambda key=None: corrected.append(key))
    view.set_state({"selected": value})
    assert view.selected == {"sparsity": 1, "feature": 0}
    assert corrected == [["selected"]]


def test_what_the_page_must_not_write_stays_as_it_is():
    view = Superposition(toys())
    view.set_state({"arrays": {}, "spec": {"title": "x"}, "job": {}})
    assert view.arrays == toys()
    assert view.spec["title"].startswith("How does")


def test_partial_results_reach_the_page_while_models_are_trained(monkeypatch):
    async def notebook():
        watched(monkeypatch)
        view = Superposition(steps(toys()))
        view._due = 0.0
        seen = []
        view.observe(lambda change: seen.append(change.new.trained), "arrays")
        assert view.arrays == untrained(toys())
        await view.job._task
        return view, seen

    monkeypatch.setattr("interp_widgets.views.superposition._RATE", float("inf"))
    view, seen = asyncio.run(notebook())
    assert seen == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert view.arrays == toys()


def test_large_models_are_sent_less_often_but_in_the_end(monkeypatch):
    async def notebook():
        watched(monkeypatch)
        view = Superposition(steps(toys()))
        seen = []
        view.observe(lambda change: seen.append(change.new.trained), "arrays")
        await view.job._task
        return seen

    monkeypatch.setattr("interp_widgets.views.superposition._RATE", 1e-3)
    assert asyncio.run(notebook()) == [10, 100]


def test_cancel_from_the_page_keeps_what_was_trained(monkeypatch):
    async def notebook():
        watched(monkeypatch)
        view = Superposition(steps(toys()))
        while view.partial.trained < 30:
            await asyncio.sleep(0)
        view._on_message(view, {"kind": "cancel"}, [])
        await view.job._task
        return view

    view = asyncio.run(notebook())
    assert view.job.state == "cancelled"
    assert 0 < view.result.trained < 100
    assert view.arrays == view.partial


def test_an_error_in_the_background_keeps_what_was_trained(monkeypatch):
    async def notebook():
        watched(monkeypatch)
        view = Superposition(steps(toys(), fail_at=40))
        await view.job._task
        return view

    view = asyncio.run(notebook())
    with pytest.raises(RuntimeError, match="the training broke"):
        view.result  # noqa: B018
    assert view.arrays.trained == 30
    assert view.get_state("job")["job"] | {"seconds": 0} == {
        "state": "failed",
        "done": 30,
        "total": 100,
        "seconds": 0,
        "eta": None,
        "error": "RuntimeError: the training broke",
        "note": None,
    }


@pytest.mark.parametrize("source", [None, 3, "x"])
def test_what_is_no_result_is_refused_by_name(source):
    with pytest.raises(ResultError, match=f"{type(source).__name__} was given"):
        Superposition(source)


def test_a_result_of_another_kind_is_refused_by_name():
    with pytest.raises(ResultError, match="PatchingResult was given"):
        Superposition(made.result())


def test_code_is_of_the_selected_sparsity_and_its_best_model():
    view = Superposition(toys())
    assert view.code() == "probability = 0.04\nmodel = 1\n", "the sparsest stands in for none"
    view.selected = {"sparsity": 1}
    assert view.code() == "probability = 0.3\nmodel = 1\n"
    assert view.code(0) == "probability = 1.0\nmodel = 1\n"
    with pytest.raises(SelectionError, match="no sparsity 9"):
        view.code(9)


def test_a_figure_draws_the_directions_of_the_best_models():
    figure = Superposition(toys()).figure()
    pictures, chart = figure.axes[:3], figure.axes[3]
    for level, axis in enumerate(pictures):
        drawn = {tuple(np.round(line.get_xydata()[1], 5)) for line in axis.lines if len(line.get_xydata()) == 2}
        assert drawn == {tuple(tip) for tip in np.round(toys().directions(level).T.astype(float), 5)}
    shares = [points.get_offsets()[:, 1] for points in chart.collections]
    np.testing.assert_allclose(shares, toys().dimensionality[:, 1], atol=1e-6)
    assert [label.get_text() for label in chart.get_xticklabels()] == ["100%", "30%", "4%"]
    assert "2/5 pentagon" in [text.get_text() for text in chart.texts]


def test_a_figure_of_more_dimensions_draws_what_features_put_on_each_other():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Superposition(cube()).figure()
        figure.canvas.draw()
    first, second, chart = figure.axes
    np.testing.assert_allclose(first.images[0].get_array(), cube().gram(0))
    np.testing.assert_allclose(second.images[0].get_array(), cube().gram(1))
    names = [text.get_window_extent() for text in chart.texts]
    assert len(names) == 6
    for number, box in enumerate(names):
        assert not any(box.overlaps(other) for other in names[:number]), "names of landmarks can be read"


def test_many_sparsities_wrap_and_a_figure_is_the_picture_of_its_cell():
    levels = 13
    weights = np.broadcast_to(orthogonal(2), (levels, 1, 2, 5))
    many = trained(weights, np.full((levels, 1), 0.5), tuple(np.linspace(1, 0.1, levels)))
    figure = Superposition(many).figure()
    assert figure.get_size_inches()[0] < 14
    assert len(figure.axes) == levels + 1
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_output_holds_a_picture_for_places_where_no_script_runs():
    data, _ = Superposition(toys())._output()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json", "image/png"}


def test_a_page_that_is_saved_while_models_are_trained_says_how_far_they_came(monkeypatch):
    async def notebook():
        watched(monkeypatch)
        view = Superposition(steps(toys()))
        page = view._page()
        view.close()
        await view.job._task
        return page

    assert '"state":"cancelled"' in asyncio.run(notebook())


def test_a_result_without_code_is_shown_all_the_same(tmp_path):
    bare = Superposition(replace(toys(), code=""))
    with pytest.raises(ResultError, match="came without"):
        bare.code()
    assert bare.to_html(tmp_path / "toys.html").stat().st_size > 10_000
