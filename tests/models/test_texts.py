"""Documents in windows, against what can be counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interp_widgets import teaching
from interp_widgets.models import texts
from interp_widgets.models.opening import open_model
from interp_widgets.models.texts import Batch, Cutter, Window, batches
from interp_widgets.results.errors import PromptError

OPENED = open_model(teaching.load())


def cutter(context: int, stride: int | None = None, *, causal: bool = True, begin: int | None = None) -> Cutter:
    made = Cutter(OPENED)
    made.context, made._stride, made.causal, made._begin = context, stride, causal, begin
    return made


def where_from(windows: list[Window], length: int) -> list[tuple[int, int]]:
    """For each token of a document, how many tokens of it the window shows before it and after it."""
    found: dict[int, tuple[int, int]] = {}
    for window in windows:
        for place in range(window.first, window.stop):
            token = window.offset + place
            assert token not in found
            found[token] = (place, len(window.ids) - 1 - place)
    assert sorted(found) == list(range(length))
    return [found[token] for token in range(length)]


def test_a_document_that_fits_is_one_window() -> None:
    assert list(cutter(8).windows((5, 6, 7), 4)) == [Window(4, (5, 6, 7), 0, 0, 3)]


@pytest.mark.parametrize("length", [9, 10, 12, 13, 100])
@pytest.mark.parametrize("stride", [None, 1, 3, 8])
def test_every_token_is_taken_once_and_sees_what_comes_before_it(length: int, stride: int | None) -> None:
    ids = tuple(range(length))
    windows = list(cutter(8, stride).windows(ids, 0))
    for window in windows:
        assert window.ids == ids[window.offset : window.offset + 8]
    for token, (before, _) in enumerate(where_from(windows, length)):
        assert before >= min(token, 8 - (stride or 4))
    # From the earliest window that holds it, which shows most of what comes before.
    for token, (before, _) in enumerate(where_from(windows, length)):
        assert before == max(token - w.offset for w in windows if 0 <= token - w.offset < 8)


@pytest.mark.parametrize("length", [9, 10, 12, 13, 100])
def test_where_both_sides_count_tokens_keep_away_from_both_edges(length: int) -> None:
    windows = list(cutter(8, causal=False).windows(tuple(range(length)), 0))
    for token, (before, after) in enumerate(where_from(windows, length)):
        assert before >= min(token, 2)
        assert after >= min(length - 1 - token, 2)


def test_a_beginning_of_text_token_begins_every_window() -> None:
    ids = (99, *range(30))
    windows = list(cutter(8, begin=99).windows(ids, 0))
    for window in windows:
        assert window.ids[0] == 99
        assert len(window.ids) == 8
        assert window.ids[1:] == ids[window.offset + 1 : window.offset + 8]
    assert all(before >= min(token, 4) for token, (before, _) in enumerate(where_from(windows, 31)))


def test_text_and_ids_one_and_many_and_handed_over_one_by_one() -> None:
    made = Cutter(OPENED)
    ids = tuple(OPENED.tokenizer(" Mary and John")["input_ids"])  # type: ignore[misc]
    assert list(made.documents(" Mary and John", "text")) == [ids]
    assert list(made.documents(list(ids), "text")) == [ids]
    assert list(made.documents(torch.tensor(ids), "text")) == [ids]
    assert list(made.documents([" Mary and John", list(ids)], "text")) == [ids, ids]
    taken: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(1)
            yield " Mary and John"

    stream = made.documents(endless(), "text")
    assert [next(stream), next(stream)] == [ids, ids]
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", r"The text is empty\. Pass one with at least one token"),
        (["a", ""], r"Text 1 is empty"),
        ([], r"The text is empty"),
        (iter([]), r"There is no text\. Pass at least one"),
        ([1, 5000], r"The text holds token id 5000, but the model's ids run from 0 to 1\d+\. Was it tokenised for"),
        (iter(["a", ""]), r"Text 1 is empty"),
        (5, r"The text is an int\. Pass text, token ids, or a list of either"),
        ({"a": 1}, r"The text is a dict"),
    ],
)
def test_what_is_no_text_is_refused(given: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        list(Cutter(OPENED).documents(given, "text"))


def test_text_without_a_tokenizer_is_refused() -> None:
    bare = open_model(OPENED.module)
    with pytest.raises(PromptError, match="The text is text, but this model comes without a tokenizer"):
        list(Cutter(bare).documents("a", "text"))
    assert list(Cutter(bare).documents([3, 4], "text")) == [(3, 4)]


@pytest.mark.parametrize("stride", [0, 65, 2.5, True])
def test_a_stride_that_leaves_tokens_out_is_refused(stride: Any) -> None:
    with pytest.raises(PromptError, match=rf"stride={stride!r} must be a whole number from 1 to 64"):
        Cutter(OPENED, stride)


def windows_of(*lengths: int) -> list[Window]:
    return [Window(n, tuple(range(1, length + 1)), 0, 0, length) for n, length in enumerate(lengths)]


def test_batches_are_padded_on_the_right_and_say_what_is_taken() -> None:
    (batch,) = batches(windows_of(2, 4), 100, causal=True)
    assert batch.ids.tolist() == [[1, 2, 2, 2], [1, 2, 3, 4]]
    assert batch.taken.tolist() == [[True, True, False, False], [True] * 4]
    later = Batch.of([Window(0, (7, 8, 9), 5, 1, 3)])
    assert later.taken.tolist() == [[False, True, True]]


def test_where_positions_see_what_follows_nothing_is_padded() -> None:
    made = list(batches(windows_of(3, 2, 3, 2, 3), 6, causal=False))
    assert sorted(tuple(w.document for w in batch.windows) for batch in made) == [(0, 2), (1, 3), (4,)]
    assert all(batch.taken.all() for batch in made)


def test_batches_hold_as_many_tokens_as_they_should() -> None:
    made = list(batches(windows_of(*[4] * 10, 50), 12, causal=True))
    assert [len(batch.windows) for batch in made] == [3, 3, 3, 1, 1]
    assert all(batch.ids.numel() <= 12 or len(batch.windows) == 1 for batch in made)
    assert [w.document for batch in made for w in batch.windows] == list(range(11))


def test_an_endless_corpus_is_taken_a_few_batches_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_AHEAD", 2)
    taken: list[int] = []

    def endless() -> Iterator[Window]:
        while True:
            taken.append(1)
            yield windows_of(4)[0]

    next(batches(endless(), 8, causal=True))
    assert len(taken) == 4


def test_a_model_without_a_limit_reads_documents_whole() -> None:
    made = cutter(8)
    made.context = None
    assert len(list(made.windows(tuple(range(1000)), 0))) == 1


def test_an_odd_tokenizer_is_asked_for_whole_documents() -> None:
    asked: list[dict[str, Any]] = []

    def tokenizer(text: str, **options: Any) -> dict[str, list[int]]:
        asked.append(options)
        return {"input_ids": [1] * len(text)}

    made = Cutter(OPENED)
    made.opened = SimpleNamespace(tokenizer=tokenizer)  # type: ignore[assignment]
    assert list(made.documents("x" * 200, "text")) == [(1,) * 200]
    assert asked == [{"padding": False, "truncation": False, "verbose": False}]
