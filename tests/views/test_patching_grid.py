"""The patching grid's Python side: state, selection, streaming, code and figure."""

import asyncio
import gc
import warnings
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from interp_widgets.results.errors import ResultError
from interp_widgets.results.patching import Pair, Status
from interp_widgets.results.tokens import Token, Tokens
from interp_widgets.views.patching_grid import PatchingGrid, grid_arrays, question
from tests import made

HOT = {"site": "resid_pre", "layer": 1, "pos": 5}


class Sent:
    """Collects the messages of a view, with the arrays that their buffers hold."""

    def __init__(self, monkeypatch):
        self.messages = []
        monkeypatch.setattr(PatchingGrid, "send", lambda _view, content, buffers=None: self.take(content, buffers))
        monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)

    def take(self, content, buffers):
        self.messages.append((content, [bytes(buffer) for buffer in buffers or []]))

    @property
    def rows(self):
        return [(content, buffers) for content, buffers in self.messages if content["kind"] == "rows"]


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def test_the_work_is_done_before_the_call_returns_where_nobody_watches():
    whole = made.result()
    view = PatchingGrid(made.steps(whole))
    assert view.job.state == "done"
    assert view.result == whole
    assert array(view.get_state("arrays")["arrays"]["status"]).min() > Status.PENDING


def test_arrays_reach_the_page_in_the_order_that_the_protocol_names():
    whole = made.result(sites=("resid_pre", "mlp_out"), pairs=(made.pair(), made.pair()))
    arrays = grid_arrays(whole)
    values = array(arrays["values"])
    assert values.shape == (6, 2, 2, 4, 9)
    for number, metric in enumerate(whole.metrics):
        np.testing.assert_array_equal(values[number], whole.values[metric])
    np.testing.assert_array_equal(array(arrays["status"]), whole.status)
    np.testing.assert_array_equal(array(arrays["top_ids"]), whole.top_ids)
    np.testing.assert_array_equal(array(arrays["top_probs"]), whole.top_probs)


def test_streamed_rows_rebuild_the_whole_result(monkeypatch):
    """What the page puts together from messages alone equals what Python holds, whatever is sent together."""
    whole = made.result(sites=("resid_pre", "attn_out"), layers=5, pairs=(made.pair(), made.pair()))
    sent = Sent(monkeypatch)
    PatchingGrid(made.steps(whole))
    start = made.blank(whole)
    values = np.stack([start.values[metric] for metric in whole.metrics])
    status, ids, probs = start.status.copy(), start.top_ids.copy(), start.top_probs.copy()
    for seq, (content, buffers) in enumerate(sent.rows, start=1):
        assert content["seq"] == seq
        rows = content["rows"]
        shapes = [(6, len(rows), 2, 9), (len(rows), 2, 9), (len(rows), 2, 9, 2), (len(rows), 2, 9, 2)]
        dtypes = ["float32", "uint8", "int32", "float32"]
        parts = [
            np.frombuffer(buffer, dtype).reshape(shape)
            for buffer, dtype, shape in zip(buffers, dtypes, shapes, strict=True)
        ]
        for n, (site, layer) in enumerate(rows):
            values[:, :, site, layer] = parts[0][:, n]
            status[:, site, layer] = parts[1][n]
            ids[:, site, layer] = parts[2][n]
            probs[:, site, layer] = parts[3][n]
        assert set(content["vocab"]) == {str(made.MARY.id), str(made.JOHN.id)}
    assert len(sent.rows) == 5
    np.testing.assert_array_equal(values, np.stack([whole.values[metric] for metric in whole.metrics]))
    np.testing.assert_array_equal(status, whole.status)
    np.testing.assert_array_equal(ids, whole.top_ids)
    np.testing.assert_array_equal(probs, whole.top_probs)


def test_a_click_is_the_selection_in_python_and_tells_observers():
    view = PatchingGrid(made.result())
    seen = []
    view.observe(lambda change: seen.append(change.new), "selected")
    view.set_state({"selected": HOT})
    assert view.selected == HOT
    view.selected = {"site": "resid_pre", "layer": np.int64(2), "pos": np.int64(8)}
    assert [type(number) for number in (view.selected["layer"], view.selected["pos"])] == [int, int]
    view.selected = None
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("selected", {"site": "resid_pre", "layer": 9, "pos": 0}, "no layer 9 in this grid: it has layers 0, 1, 2, 3"),
        ("selected", {"site": "resid_pre", "layer": 0, "pos": 9}, "positions 0 to 8"),
        (
            "selected",
            {"site": "resid_post", "layer": 0, "pos": 0},
            "unknown site 'resid_post': did you mean 'resid_pre'",
        ),
        ("selected", {"layer": 0}, "a cell is a dictionary with its 'site' and its place"),
        ("metric", "probs", "unknown metric 'probs': did you mean 'prob'"),
        ("pair", 1, "no pair 1: this result has pairs 0 to 0, or None"),
        ("color_limit", 0.0, "an effect above 0"),
        ("color_limit", float("nan"), "an effect above 0"),
        ("theme", "neon", "neon"),
    ],
)
def test_a_wrong_value_is_refused_from_python_and_set_right_on_the_page(monkeypatch, trait, value, words):
    view = PatchingGrid(made.result())
    before = getattr(view, trait)
    with pytest.raises(traitlets.TraitError) as refused:
        setattr(view, trait, value)
    assert words in str(refused.value)
    corrected = []
    monkeypatch.setattr(view, "send_state", lambda key=None: corrected.append(key))
    view.set_state({trait: value})
    assert getattr(view, trait) == before
    assert [trait] in corrected


def test_what_the_page_must_not_write_stays_as_it_is():
    view = PatchingGrid(made.result())
    job, arrays = view.job, view.arrays
    spec, bundle = view.spec, view._esm
    view.set_state({"job": {"state": "running"}, "arrays": {"values": None}, "spec": {}, "_esm": "alert(1)"})
    assert (view.job, view.arrays, view.spec, view._esm) == (job, arrays, spec, bundle)


@pytest.mark.parametrize("message", [{"kind": "exec"}, "cancel", None, {"kind": "request", "id": 3, "name": "html"}])
def test_unknown_messages_are_refused(message, caplog):
    view = PatchingGrid(made.result())
    sent = []
    view.send = lambda content, buffers=None: sent.append(content)
    view._on_message(view, message, [])
    assert not sent
    assert "refused an unknown message" in caplog.text


def test_the_page_can_ask_for_itself_as_html():
    view = PatchingGrid(made.result())
    sent = []
    view.send = lambda content, buffers=None: sent.append(content)
    view._on_message(view, {"kind": "request", "id": "7", "name": "html"}, [])
    assert (sent[0]["kind"], sent[0]["id"], sent[0]["ok"]) == ("reply", "7", True)
    assert sent[0]["value"].startswith("<!doctype html>")


def test_a_page_that_cannot_be_made_is_an_answer_too(monkeypatch):
    view = PatchingGrid(made.result())
    sent = []
    view.send = lambda content, buffers=None: sent.append(content)
    monkeypatch.setattr(PatchingGrid, "_page", lambda _view: 1 / 0)
    view._on_message(view, {"kind": "request", "id": "7", "name": "html"}, [])
    assert sent == [{"kind": "reply", "id": "7", "ok": False, "value": "ZeroDivisionError: division by zero"}]


def test_cancel_from_the_page_keeps_what_was_computed(monkeypatch):
    sent = Sent(monkeypatch)

    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = PatchingGrid(made.steps(made.result()))
        while not sent.rows:
            await asyncio.sleep(0)
        view._on_message(view, {"kind": "cancel"}, [])
        await view.job._task
        return view

    view = asyncio.run(notebook())
    assert view.job.state == "cancelled"
    assert not view.result.complete
    assert (view.result.status[:, :, -1] != Status.PENDING).all()
    assert view.arrays == view.partial, "the page's arrays hold all that was computed"


def test_an_error_is_raised_by_the_call_where_nobody_watches():
    with pytest.raises(RuntimeError, match="the model broke"):
        PatchingGrid(made.steps(made.result(), fail_at=3))


def test_an_error_in_the_background_keeps_the_rows_before_it(monkeypatch):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = PatchingGrid(made.steps(made.result(), fail_at=3))
        await view.job._task
        return view

    view = asyncio.run(notebook())
    with pytest.raises(RuntimeError, match="the model broke"):
        view.result  # noqa: B018
    assert view.get_state("job")["job"]["error"] == "RuntimeError: the model broke"
    assert (view.arrays.status[:, :, 2:] != Status.PENDING).all()
    assert (view.arrays.status[0, 0, 0, 5:] == Status.PENDING).all()


def test_the_page_of_failed_work_has_what_was_computed(monkeypatch, tmp_path):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = PatchingGrid(made.steps(made.result(), fail_at=3))
        return view, view.to_html(tmp_path / "view.html"), view.snapshot()

    view, page, snapshot = asyncio.run(notebook())
    assert view.job.state == "failed"
    assert "RuntimeError: the model broke" in page.read_text(encoding="utf-8")
    assert "RuntimeError: the model broke" in snapshot.html


def test_a_first_step_that_refuses_leaves_nothing_behind(recwarn):
    def refuses():
        raise ResultError("no gap")
        yield

    with pytest.raises(ResultError, match="no gap"):
        PatchingGrid(refuses())
    gc.collect()  # a half-made widget that fails while it is collected would be an unraisable exception


@pytest.mark.parametrize("source", [None, "x", 3])
def test_what_is_no_result_is_refused_by_name(source):
    with pytest.raises(ResultError, match=f"{type(source).__name__} was given"):
        PatchingGrid(source)


def test_a_closed_view_shows_its_picture():
    view = PatchingGrid(made.result())
    view.close()
    view.close()
    data, _ = view._output()
    assert set(data) == {"text/plain", "image/png"}


def test_closing_a_displayed_view_lets_its_job_end(monkeypatch):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = PatchingGrid(made.steps(made.result()))
        view._displays.append("shown")
        monkeypatch.setattr("IPython.display.update_display", lambda *_args, **_kwargs: None)
        view.close()
        await view.job._task
        return view.job

    assert asyncio.run(notebook()).state == "cancelled"


def test_closing_a_view_stops_its_work(monkeypatch):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        with PatchingGrid(made.steps(made.result())) as view:
            pass
        await view.job._task
        return view

    view = asyncio.run(notebook())
    assert view.job.state == "cancelled"
    assert view.comm is None


def test_code_is_of_the_selected_cell_the_shown_metric_and_pair():
    other = replace(made.pair(), answer=Token(77, "␣Tom"))
    view = PatchingGrid(made.result(pairs=(made.pair(), other)))
    view.selected = HOT
    clean = list(range(9))
    assert view.code() == f"import torch\n# resid_pre 1 5\nclean = {clean}\nprint(logits[1] - logits[3])\n"
    view.pair = 1
    assert "logits[77]" in view.code()
    assert "# resid_pre 3 8" in view.code({"site": "resid_pre", "layer": 3, "pos": 8})
    view.selected = None
    assert "# resid_pre 0 5" in view.code(), "the strongest cell stands in for none"


def test_code_of_a_result_without_code_says_so():
    bare = made.result()
    view = PatchingGrid(replace(bare, code=type(bare.code)({}, {})))
    with pytest.raises(ResultError, match="came without code for resid_pre"):
        view.code()


def test_the_question_names_the_answers_only_when_all_pairs_share_them():
    assert question(made.result()) == "Where is what makes the model say Mary rather than John?"
    several = made.result(pairs=(made.pair(), replace(made.pair(), answer=Token(9, "␣Tom"))))
    assert question(several) == "Where is what makes the model prefer the answer? Mean of 2 pairs"


def test_the_figure_draws_each_cell_in_its_place():
    """Not square, and read back from the drawn image: a flipped or transposed panel shows."""
    whole = made.result(sites=("resid_pre", "mlp_out"))
    view = PatchingGrid(whole)
    panels = [axis for axis in view.figure().axes if axis.images]
    assert len(panels) == 2
    for number, axis in enumerate(panels):
        np.testing.assert_allclose(axis.images[0].get_array(), whole.mean_effect()[number], atol=1e-6)
        assert axis.images[0].origin == "lower"
        assert axis.images[0].get_clim() == (-1, 1)
    labels = [label.get_text() for label in panels[0].get_xticklabels()]
    assert labels == list(made.CLEAN)


def test_many_panels_wrap_and_a_figure_is_the_picture_of_its_cell():
    labels = tuple(f"t{n}" for n in range(40))
    sites = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
    figure = PatchingGrid(made.result(sites=sites, pairs=(made.pair(labels),))).figure()
    width, height = figure.get_size_inches()
    assert width < 20
    assert height > 5
    assert len([axis for axis in figure.axes if axis.images]) == 5
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_mean_over_pairs_claims_a_token_only_where_all_pairs_have_it():
    first, second = made.pair(), made.pair(labels=("␣When", "␣Ann", *made.CLEAN[2:]))
    view = PatchingGrid(made.result(pairs=(first, second)))
    axis = view.figure().axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()][:3] == ["␣When", "≠", "␣and"]


def test_a_figure_of_hostile_tokens_is_drawn_as_text():
    """A dollar sign would start a formula, and `$$` an invalid one."""
    labels = ("$", "$x_1$", "<script>", "␣'\"", "↵", "⟨E2 80⟩", "a$b", "\\", "%")
    view = PatchingGrid(made.result(pairs=(made.pair(labels, corrupt_label="$$"),)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data, _ = view._output()
    assert data["image/png"].startswith(b"\x89PNG")


def test_the_output_holds_a_picture_for_places_where_no_script_runs():
    data, _ = PatchingGrid(made.result())._output()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json", "image/png"}
    assert data["text/plain"].startswith("PatchingGrid(resid_pre: 4 layers x 9 tokens, denoising, logit_diff, done)")


def test_a_prompt_of_one_token_and_a_model_of_one_layer_are_drawn():
    one = Pair(Tokens((1,), ("a",)), Tokens((2,), ("b",)), made.MARY, made.JOHN)
    view = PatchingGrid(made.result(layers=1, pairs=(one,)))
    assert view.figure().axes
