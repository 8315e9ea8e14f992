"""The view of a lens in Python: what it sends, what it takes, and tokens that are followed later."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import traitlets

from interp_widgets import LensView, link, run_lens, show_lens, teaching
from interp_widgets.results.errors import AnswerError, ResultError
from interp_widgets.views._lens_wire import MOST_BYTES, lens_arrays
from tests import made_lens as made

KINDS = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2"}


def read(wire):
    return np.frombuffer(wire["data"], KINDS[wire["dtype"]]).reshape(wire["shape"])


def test_the_page_gets_every_number_and_the_labels_that_occur():
    whole = made.result(2)
    sent = lens_arrays(whole)
    for name in ("logprobs", "ranks", "entropy", "kl", "log_sums", "apart", "top_probs"):
        np.testing.assert_array_equal(read(sent[name]), getattr(whole, name))
    ids = read(sent["vocab_ids"])
    np.testing.assert_array_equal(ids[read(sent["top"])], whole.top_ids)
    assert sent["vocab"] == [made.VOCAB[token] for token in ids]
    assert sent["answers"] == ["␣Mary", "␣John"]


def test_numbers_of_eighty_layers_and_two_thousand_tokens_stay_below_the_limit_and_are_close():
    whole = made.long(2000, 80)
    sent = lens_arrays(whole)
    arrays = [value for value in sent.values() if isinstance(value, dict)]
    assert sum(len(wire["data"]) for wire in arrays) < MOST_BYTES + 50_000
    assert sum(len(wire["data"]) for wire in arrays) + len(json.dumps(sent["vocab"]).encode()) < 5_000_000
    np.testing.assert_allclose(read(sent["logprobs"]), whole.logprobs, rtol=1e-3)
    np.testing.assert_allclose(8 * read(sent["ranks"]).astype(float), whole.ranks, rtol=1e-3)
    k = sent["top"]["shape"][-1]
    assert k == 3
    np.testing.assert_array_equal(read(sent["vocab_ids"])[read(sent["top"])], whole.top_ids[..., :k])


def test_cells_stream_as_they_are_read(monkeypatch):
    messages = []
    monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0)
    monkeypatch.setattr(LensView, "send", lambda _self, content, buffers=None: messages.append((content, buffers)))
    whole = made.result(2)
    view = LensView(made.steps(whole))
    assert view.result == whole
    vocab, cells = [*lens_arrays(made.until(whole, 0))["vocab"]], []
    for content, buffers in messages:
        assert content["kind"] == "cells"
        vocab += content["vocab"]
        numbers = np.frombuffer(buffers[0], "<i4")
        cells += numbers.tolist()
        rows, positions = np.unravel_index(numbers, whole.entropy.shape[1:])
        entropy = np.frombuffer(buffers[3], "<f4").reshape(2, -1)
        np.testing.assert_array_equal(entropy, whole.entropy[:, rows, positions])
        top = np.frombuffer(buffers[7], "<i4").reshape(2, len(numbers), 3)
        labels = [[made.VOCAB[token] for token in cell] for cell in whole.top_ids[1, rows, positions].tolist()]
        assert [[vocab[number] for number in cell] for cell in top[1].tolist()] == labels
    assert cells == list(range(24))  # the last batch comes with the state
    assert [content["seq"] for content, _ in messages] == [1, 2, 3, 4]


def test_a_cell_is_selected_by_as_much_as_one_says():
    view = LensView(made.result(2))
    view.selected = {"layer": 0}
    assert view.selected == {"site": "resid_post", "layer": 0, "pos": 5, "prompt": 0}
    assert view.code() == f"after 0 at 5 of {list(made.CLEAN)}"
    view.selected = {"site": "resid_pre", "layer": 1, "pos": -2, "prompt": 1}
    assert view.selected == {"site": "resid_post", "layer": 0, "pos": 4, "prompt": 1}
    assert view.code() == f"after 0 at 4 of {list(made.CORRUPT)}"
    view.selected = None
    assert view.code() == f"the end at 5 of {list(made.CLEAN)}"
    view.selected = {"site": "resid_pre", "layer": 0}
    with pytest.raises(ResultError, match="no lines for this cell"):
        view.code()


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("selected", {"head": 3}, "selected is"),
        ("selected", {"layer": 4}, "No row shows resid_post of layer 4"),
        ("selected", {"pos": 6}, "no position 6: the prompt has tokens 0 to 5"),
        ("selected", {"pos": "1"}, "pos='1' is no whole number"),
        ("selected", {"prompt": 1}, "no prompt 1"),
        ("answer", 2, r"answer=2 is not followed. The tokens that are: 0 \[␣Mary\]"),
        ("pinned", [{"answer": 0}], "a pin is"),
        ("pinned", [{"pos": 1, "answer": 7}], "answer=7 is not followed"),
        ("pinned", [{"pos": pos, "answer": answer} for pos in range(-6, 6) for answer in (0, 1)][:13], None),
        ("metric", "probability", "metric"),
    ],
)
def test_what_is_not_there_cannot_be_selected_shown_or_pinned(trait, value, words):
    view = LensView(made.result())
    if words is None:  # the same places counted from either end are the same lines
        view.pinned = value
        assert len(view.pinned) == 12
        return
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(view, trait, value)


def test_what_the_page_writes_is_checked():
    view = LensView(made.result())
    view.set_state({"selected": {"site": "resid_post", "layer": 9, "pos": 0, "prompt": 0}, "spec": {}})
    assert view.selected is None
    assert view.spec["lens"] == "logit lens"


@pytest.fixture(scope="module")
def model():
    return teaching.load()


def test_show_lens_shows_what_run_lens_returns(model):
    pair = teaching.prompts("ioi", n=1)[0]
    both = [pair.answer, pair.wrong_answer]
    view = show_lens(model, pair.clean, both, corrupt=pair.corrupt)
    assert view.result == run_lens(model, pair.clean, both, corrupt=pair.corrupt, sites=("resid_mid", "resid_post"))
    assert view.rows == "all"
    assert view.figure().axes[1].get_title(loc="left") == "corrupt"


def test_a_token_is_followed_later(model):
    pair = teaching.prompts("ioi", n=1)[0]
    view = show_lens(model, pair.clean, pair.answer)
    asked = run_lens(model, pair.clean, " the", sites=("resid_mid", "resid_post"))
    assert view.follow(" the") == 1
    assert view.answer == 1
    np.testing.assert_allclose(view.result.value("logprob", 1), asked.value("logprob", 0), atol=1e-6)
    assert view.follow(view.result.answers[1].id) == 1
    assert len(view.result.answers) == 2
    with pytest.raises(AnswerError):
        view.follow(" two words")
    with pytest.raises(ResultError, match="came without a model"):
        LensView(view.result).follow(" the")


def test_the_page_is_answered_when_a_token_is_followed_or_is_none(model, monkeypatch):
    pair = teaching.prompts("ioi", n=1)[0]
    view = show_lens(model, pair.clean, pair.answer)
    replies = []
    monkeypatch.setattr(view, "send", lambda content, buffers=None: replies.append(content))
    ask = {"kind": "request", "name": "follow", "token": None}
    view._on_message(view, {**ask, "id": "a", "text": "the"}, [])
    view._on_message(view, {**ask, "id": "b", "text": "no such token at all"}, [])
    view._on_message(view, {**ask, "id": "c", "text": "", "token": view.result.answers[0].id}, [])
    told = {reply["id"]: (reply["ok"], reply["value"]) for reply in replies if reply["kind"] == "reply"}
    assert told["a"] == (True, "1")
    assert view.result.answers[1].label == "␣the"
    assert told["b"][0] is False
    assert "AnswerError" in told["b"][1]
    assert told["c"] == (True, "0")


def test_linked_views_agree_on_layer_and_position():
    one, two = LensView(made.result()), LensView(made.result(2))
    with contextlib.closing(link(one, two)):
        one.selected = {"site": "resid_mid", "layer": 1, "pos": 2}
        assert two.selected == {"site": "resid_mid", "layer": 1, "pos": 2, "prompt": 0}
    assert two._go({"site": "z", "layer": 0, "head": 3, "pos": 1})
    assert two.selected == {"site": "resid_mid", "layer": 0, "pos": 1, "prompt": 0}
    assert two._go({"site": "mlp_out", "layer": 0})
    assert two.selected["site"] == "resid_post"
    assert not two._go({"layer": 7})


@pytest.mark.parametrize("metric", ["prob", "logprob", "logit", "rank"])
def test_figures_show_the_likeliest_tokens(metric):
    view = LensView(made.result(2))
    view.metric, view.answer = metric, 0
    view.selected = {"layer": 0, "prompt": 1}
    figure = view.figure()
    assert len(figure.axes) == 2
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == [view.result.top(0, row, pos)[0][0].label for row in range(5) for pos in range(6)]
    assert len(figure.axes[1].patches) == 1
    view.metric, view.rows = "entropy", "layers"
    assert len(view.figure().axes[0].texts) == 18


def test_only_results_of_a_lens_are_shown():
    with pytest.raises(ResultError, match="LensView takes LensResult, or the steps"):
        LensView(3)
