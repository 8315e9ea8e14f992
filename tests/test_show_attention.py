"""`show_attention` on the bundled model: what it computes, what it is called by, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets import run_attention, run_head_scores, show_attention, teaching
from interp_widgets.results.errors import AnswerError, PromptError, ResultError

MODEL = teaching.load()
TEXT = "When Mary and John went to the store, John gave a drink to"
OTHER = TEXT.replace("John gave", "Mary gave")


def test_patterns_come_first_and_then_what_heads_do() -> None:
    view = show_attention(MODEL, TEXT, corrupt=OTHER, answer=" Mary", wrong_answer=" John")
    assert view.result == run_attention(MODEL, TEXT, corrupt=OTHER)
    assert view.scores == run_head_scores(MODEL, TEXT, answer=" Mary", wrong_answer=" John")
    done, total = view.job.status()["done"], view.job.status()["total"]
    assert (done, total) == (8, 8)
    assert view.result.leading() == (3, 3), "the name mover, which is what the page shows first"
    assert view.scores is not None
    assert [(layer, head) for layer, head, _ in view.scores.named("name_mover")] == [(3, 3)]


def test_scores_are_left_out_or_given() -> None:
    assert show_attention(MODEL, TEXT, scores=False).scores is None
    given = run_head_scores(MODEL, copying=False, n_sequences=4)
    assert show_attention(MODEL, TEXT, scores=given).scores is given
    with pytest.raises(ResultError, match=r"scores='all' is a str\. Pass what run_head_scores returned, True to"):
        show_attention(MODEL, TEXT, scores="all")
    with pytest.raises(AnswerError, match=r"scores= says not to"):
        show_attention(MODEL, TEXT, scores=False, answer=" Mary", wrong_answer=" John")
    with pytest.raises(PromptError, match="does not hold its answer"):
        show_attention(MODEL, TEXT, answer=" Paris", wrong_answer=" John")


def test_a_layer_in_blocks_is_read_token_by_token() -> None:
    whole = run_attention(MODEL, TEXT)
    room = 2 * 4 * 14**2  # one layer in float16
    view = show_attention(MODEL, TEXT, scores=False, max_bytes=room)
    assert view.result.block > 1
    close = view.read(2, 1)
    assert (close.layers, close.heads, close.block) == ((2,), (0, 1, 2, 3), 1)
    np.testing.assert_allclose(close.pattern(2, 1), whole.pattern(2, 1), atol=1e-3)
    less = show_attention(MODEL, TEXT, scores=False, max_bytes=room // 3)
    assert less.read(3, 2).heads == (2,), "all heads do not fit"
