"""The patching grid's Python side: state, selection, streaming and code."""

import asyncio
import gc
import json
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from interp_widgets.results.errors import ResultError
from interp_widgets.results.estimates import Estimates
from interp_widgets.results.patching import CellCode, Status
from interp_widgets.results.tokens import Token, Tokens
from interp_widgets.views._grid_wire import grid_arrays, grid_spec
from interp_widgets.views.patching_grid import PatchingGrid, question
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


every_kind = pytest.mark.parametrize(("maker", "cell"), made.KINDS.values(), ids=made.KINDS)


@every_kind
def test_a_cell_of_any_kind_is_selected_by_its_own_name_in_plain_numbers(maker, cell):
    view = PatchingGrid(maker())
    view.selected = {name: np.int64(value) if isinstance(value, int) else value for name, value in cell.items()}
    assert view.selected == cell
    assert {type(value) for value in view.selected.values()} <= {int, str}
    view.set_state({"selected": {"site": cell["site"], "layer": cell["layer"], "elsewhere": 1}})
    assert view.selected == cell, "the page is not trusted"


@pytest.mark.parametrize(
    ("maker", "cell", "words"),
    [
        (made.heads, {"site": "z", "layer": 1, "pos": 3}, "a cell of z is {'site': …, 'layer': …, 'head': …}"),
        (made.heads, {"site": "k", "layer": 1, "head": 7}, "no head 7 in this grid: it has 0, 1."),
        (made.heads_by_position, {"site": "z", "layer": 1, "head": 9, "pos": 3}, "no head 9 of layer 1 in this grid"),
        (made.neurons, {"site": "mlp_post", "layer": 1, "neuron": 9999}, "it has 0, 1, 2, …, 3071."),
        (made.by_role, {"site": "mlp_out", "layer": 1, "role": "S3"}, "no role 'S3' in this grid: it has S1, IO, S2"),
        (made.path, {"site": "mlp_out", "layer": 1, "head": 0}, "a cell of mlp_out is {'site': …, 'layer': …}"),
    ],
)
def test_a_cell_that_a_panel_has_not_is_refused_in_its_own_words(maker, cell, words):
    view = PatchingGrid(maker())
    with pytest.raises(traitlets.TraitError) as refused:
        view.selected = cell
    assert words in str(refused.value)
    with pytest.raises(traitlets.TraitError):
        view.code(cell)


@every_kind
def test_the_spec_describes_every_panel_and_the_words_of_the_experiment(maker, cell):
    whole = maker()
    spec = grid_spec(whole)
    assert [(panel["term"]["name"], panel["columns"]) for panel in spec["panels"]] == [
        (panel.site, panel.columns) for panel in whole.panels
    ]
    for wire, panel in zip(spec["panels"], whole.panels, strict=True):
        assert [(line["layer"], line["head"]) for line in wire["lines"]] == [(x.layer, x.head) for x in panel.lines]
        assert (tuple(wire["labels"]), tuple(wire["notes"])) == (panel.labels, panel.notes)
    assert spec["story"]["sides"] == list(whole.story.sides)
    assert spec["story"]["host"] == whole.story.host
    assert [pair["differs"] for pair in spec["pairs"]] == [list(pair.differs) for pair in whole.pairs]
    json.dumps(spec, allow_nan=False)


@pytest.mark.parametrize(
    ("maker", "cell", "line"),
    [
        (made.heads, {"site": "k", "layer": 1, "head": 1}, "# k 1 1"),
        (made.heads_by_position, {"site": "z", "layer": 2, "head": 1, "pos": 8}, "# z 2 1 8"),
        (made.neurons, {"site": "mlp_post", "layer": 2, "neuron": 1024}, "# mlp_post 2 1024"),
        (made.by_role, {"site": "resid_pre", "layer": 2, "role": "S2"}, '# resid_pre 2 "S2"'),
        (made.path, {"site": "mlp_out", "layer": 0}, "# mlp_out 0"),
    ],
)
def test_code_is_filled_in_with_what_names_the_cell(maker, cell, line):
    view = PatchingGrid(maker())
    assert view.code(cell).splitlines()[1] == line
    strongest = view.partial.strongest()
    assert view.code() == view.code(strongest), "the strongest cell stands in for none"


def test_rows_of_panels_of_different_sizes_stream_in_their_places(monkeypatch):
    whole = made.heads()
    sent = Sent(monkeypatch)
    PatchingGrid(made.steps(whole))
    width = whole.status.shape[-1]
    seen = {}
    for content, buffers in sent.rows:
        values = np.frombuffer(buffers[0], "float32").reshape(6, len(content["rows"]), 1, width)
        for n, (panel, row) in enumerate(content["rows"]):
            seen[panel, row] = values[:, n]
    assert set(seen) == set(np.ndindex(4, 6))
    for (panel, row), values in seen.items():
        for number, metric in enumerate(whole.metrics):
            np.testing.assert_array_equal(values[number], whole.values[metric][:, panel, row])


def test_a_row_whose_estimates_became_exact_is_sent_again_and_counts_only_then(monkeypatch):
    whole = made.heads()
    sent = Sent(monkeypatch)

    def replaced():
        yield made.estimated(whole)
        yield made.estimated(whole, slice(0, 3))
        return whole

    states = []

    def note(view, key=None):
        if key == "job":
            states.append(view.job.status())

    monkeypatch.setattr(PatchingGrid, "send_state", note)
    view = PatchingGrid(replaced())
    rows = {tuple(row) for content, _ in sent.rows for row in content["rows"]}
    assert {(0, 3), (3, 5)} <= rows
    half, end = states[0], view.job.status()
    cells = 6 * (8 + 8 + 2 + 2)
    assert (half["done"], half["total"]) == (cells / 2, cells)
    assert (end["done"], end["total"]) == (cells, cells)


def test_the_page_is_told_which_estimates_an_exact_value_will_replace(monkeypatch):
    whole = made.heads()
    exact = np.zeros(whole.status.shape[1:], dtype=bool)
    exact[0, 2, 5] = exact[3, 1, 1] = True
    estimates = Estimates("logit_diff", whole.values["logit_diff"], exact)
    estimated = replace(made.estimated(whole), estimates=estimates)
    status = array(grid_arrays(estimated)["status"])[0]
    asked = estimated.status[0] == Status.ESTIMATED
    np.testing.assert_array_equal(status == 5, exact)
    np.testing.assert_array_equal(status == 4, asked & ~exact)
    sent = Sent(monkeypatch)

    def steps():
        yield made.blank(whole)
        yield estimated
        return estimated

    PatchingGrid(steps())
    content, buffers = sent.rows[0]
    streamed = np.frombuffer(buffers[1], "uint8").reshape(len(content["rows"]), -1)
    for row, (panel, line) in zip(streamed, content["rows"], strict=True):
        np.testing.assert_array_equal(row, status[panel, line])


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


def test_what_fills_in_for_a_pair_gives_way_to_what_fills_in_for_the_mean_of_all():
    result = made.result(pairs=(made.pair(), made.pair()))
    fills = {"places": ["{'end': [1]}", "{'end': [2]}"], "samples": ["[0]", "[1]"]}
    code = CellCode({"resid_pre": "$places $samples"}, result.code.metrics, fills, {"samples": "range(2)"})
    view = PatchingGrid(replace(result, code=code))
    assert view.code() == "{'end': [1]} range(2)"
    view.pair = 1
    assert view.code() == "{'end': [2]} [1]"


def test_code_of_a_result_without_code_says_so():
    bare = made.result()
    view = PatchingGrid(replace(bare, code=CellCode({}, {})))
    with pytest.raises(ResultError, match="no printed lines for resid_pre in this grid: what its cells do takes more"):
        view.code()
    view = PatchingGrid(replace(bare, code=CellCode({}, {}, refused={"resid_pre": "it is long."})))
    with pytest.raises(ResultError, match=r"no printed lines for resid_pre in this grid: it is long\."):
        view.code()


def test_prompts_of_unequal_length_are_shown_without_marks():
    pair = made.pair()
    longer = replace(pair, corrupt=Tokens((7, *pair.corrupt.ids), ("␣So", *pair.corrupt.labels)))
    result = replace(made.result(), pairs=(longer,))
    shown = grid_spec(result)["pairs"][0]
    assert (shown["differs"], len(shown["corrupt"]["labels"])) == ([], 1 + len(pair.corrupt))
    assert PatchingGrid(result).figure()


def test_the_question_names_the_answers_only_when_all_pairs_share_them():
    assert question(made.result()) == "Where is what makes the model say Mary rather than John?"
    several = made.result(pairs=(made.pair(), replace(made.pair(), answer=Token(9, "␣Tom"))))
    assert question(several) == "Where is what makes the model prefer the answer? Mean of 2 pairs"


def test_the_output_holds_a_picture_for_places_where_no_script_runs():
    data, _ = PatchingGrid(made.result())._output()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json", "image/png"}
    assert data["text/plain"].startswith("PatchingGrid(resid_pre: 4 layers x 9 tokens, denoising, logit_diff, done)")


def test_an_answer_is_not_asked_for_rather_than_itself():
    itself = replace(made.pair(), wrong_answer=made.MARY)
    assert question(made.result(pairs=(itself,))) == "Where is what makes the model prefer the answer?"
    assert question(made.ablation()) == "What does the model need to say Mary?"


def test_what_was_put_where_is_told_first():
    whole = made.result()
    source = replace(whole.provenance, settings={"noise": "Gaussian", "seed": "3"})
    told = grid_spec(replace(whole, provenance=source))["provenance"]
    assert told[:3] == ["noise: Gaussian", "seed: 3", "made by hand"]
