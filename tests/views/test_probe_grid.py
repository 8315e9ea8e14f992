"""The view of probes, on its Python side: state, selection, streaming, links, code, directions, figure."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
import traitlets

from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.views._link import link
from interp_widgets.views._probe_wire import probe_arrays, probe_spec
from interp_widgets.views.probe_grid import ProbeView
from tests.made_probes import N, partial, probes, right, steps


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def test_the_work_is_done_before_the_call_returns_where_nobody_watches():
    view = ProbeView(steps())
    assert view.job.state == "done"
    assert view.result == probes()
    assert repr(view).endswith("on 40 texts, at 3 places and 3 positions, done)")


def test_arrays_reach_the_page_in_the_order_that_the_protocol_names():
    result, wire = probes(), probe_arrays(probes())
    values = array(wire["values"])
    np.testing.assert_allclose(values[0], result.value(), rtol=1e-6)
    np.testing.assert_allclose(values[2], result.value("auroc"), rtol=1e-6)
    np.testing.assert_allclose(array(wire["low"])[1], result.interval("balanced")[0], rtol=1e-5)
    np.testing.assert_allclose(array(wire["high"])[0], result.interval()[1], rtol=1e-5)
    np.testing.assert_allclose(array(wire["control"])[0], result.control_value(), rtol=1e-6)
    np.testing.assert_allclose(array(wire["transfer"])[0, 2], result.transferred("songs", "auroc"), rtol=1e-6)
    np.testing.assert_array_equal(array(wire["confusion"])[1, 1, 1], result.confusion(2, 3, kind="means"))
    mistakes = result.mistakes(2, 3, kind="means", n=6)
    for n, mistake in enumerate(mistakes):
        example = wire["examples"][array(wire["mistakes"])[1, 1, 1, n]]
        assert (example["number"], example["tokens"][-1]) == (mistake.example, f"␣word{mistake.example}")
        assert array(wire["margins"])[1, 1, 1, n] == pytest.approx(mistake.margin)
    wrong = N - right(0, 2, 2)
    assert (array(wire["mistakes"])[0, 2, 2] >= 0).sum() == wrong == 2
    promoted = array(wire["promoted"])[0, 1, 1, 0]
    assert [wire["tokens"][at] for at in promoted[0]] == ["␣nice", "␣great"]
    assert (wire["tokens"][promoted[1, 0]], promoted[1, 1]) == ("␣awful", -1)


def test_the_spec_says_what_is_shown():
    spec = probe_spec(probes())
    json.dumps(spec, allow_nan=False)
    assert spec["title"] == "Where can a linear probe tell bad from good?"
    assert [column["where"] for column in spec["columns"]] == ["position 1", "position 3", "mean over tokens"]
    assert spec["columns"][0]["untested"].startswith("all texts are the same")
    assert [column["groups"] for column in spec["columns"]] == [1, N, N]
    assert (spec["counts"], spec["chance"]) == ([20, 20], [0.5, 0.5, 0.5])
    assert spec["control"] == {"meaning": "the labels shuffled between examples", "draws": 2}
    assert (spec["transfers"], spec["transfer_sizes"], spec["transfer_chance"]) == (["songs"], [10], [[0.5, 0.5, 0.5]])


def test_cells_are_sent_as_they_come(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
    monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)

    async def run():
        view = ProbeView(steps())
        seen = []
        view.observe(lambda change: seen.append(int(change["new"].computed.sum())), "arrays")
        assert view.job.status()["total"] == 6, "columns that cannot be tested are not waited for"
        while view.job.state == "running":
            await asyncio.sleep(0)
        return seen

    assert asyncio.run(run()) == [3, 6]


def test_selection_is_checked_from_both_sides():
    view = ProbeView(probes())
    view.selected = {"layer": 2, "pos": 3}
    assert view.selected == {"site": "resid_post", "layer": 2, "pos": 3}
    for wrong in ({"layer": 1, "pos": 3}, {"site": "z", "layer": 2, "pos": 3}, {"pos": 3}):
        with pytest.raises(traitlets.TraitError, match="there is no probe at"):
            view.selected = wrong
    view.set_state({"selected": {"site": "resid_post", "layer": 9, "pos": 3}, "measure": "loss", "spec": {}})
    assert view.selected == {"site": "resid_post", "layer": 2, "pos": 3}
    assert view.measure == "accuracy"
    view.set_state({"kind": "means", "measure": "auroc", "selected": None})
    assert (view.kind, view.measure, view.selected) == ("means", "auroc", None)
    with pytest.raises(traitlets.TraitError, match="kind='svm' is none of logistic, means"):
        view.kind = "svm"


def test_code_and_direction_are_those_of_the_selected_cell_or_of_the_best():
    view = ProbeView(probes())
    assert view.code().startswith("logistic 3 .mean(0)")
    view.kind, view.selected = "means", {"layer": 2, "pos": 3}
    assert view.code().startswith("means 2 [3] position 3")
    found = view.direction()
    assert (found.layers, found.positions) == ((2,), (3,))
    np.testing.assert_array_equal(found.vector(2), probes().vectors[1][1, 1, 0])
    np.testing.assert_array_equal(view.direction("bad").vector(2), -found.vector(2))
    view.selected = {"layer": 2, "pos": 1}
    with pytest.raises(SelectionError, match="nothing is fitted position 1"):
        view.code()
    with pytest.raises(ResultError, match="no cell is computed yet"):
        ProbeView(partial(0)).code()
    with pytest.raises(ResultError, match="ProbeView takes ProbeResult, or the steps"):
        ProbeView(3)


def test_linked_views_share_layers_and_positions_that_both_have():
    one, other = ProbeView(probes()), ProbeView(probes())
    with_link = link(one, other)
    one.selected = {"layer": 2, "pos": 3}
    assert other.selected == {"site": "resid_post", "layer": 2, "pos": 3}
    other.selected = {"layer": 3, "pos": None}
    assert one.selected == {"site": "resid_post", "layer": 3, "pos": 3}, "a mean is no position"
    assert one._go({"layer": 1}) is False
    assert one._go({"head": 1}) is False
    assert one._words(1) == ["␣film"]
    assert one._words(3) == []
    with_link.close()


@pytest.mark.parametrize("result", [probes(), partial(1), partial(0)])
@pytest.mark.parametrize("measure", ["accuracy", "auroc"])
def test_the_figure_draws_what_there_is(result, measure):
    view = ProbeView(result)
    view.measure = measure
    figure = view.figure()
    grid = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(np.ma.filled(grid, np.nan), result.value(measure)[0])
    assert figure._repr_png_().startswith(b"\x89PNG")
    if result.computed.all(axis=0).any():
        lines = [line.get_ydata() for line in figure.axes[-1].lines]
        assert any(np.allclose(line, result.value(measure)[0, :, 2]) for line in lines if len(line) == 3)


def test_a_page_holds_all_of_it(tmp_path):
    path = ProbeView(probes()).to_html(tmp_path / "probes.html")
    assert "Where can a linear probe tell bad from good?" in path.read_text()
