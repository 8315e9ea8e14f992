"""Texts found in tokenised prompts, with tokenizers of both kinds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_widgets.models.labels import Labels
from interp_widgets.models.spans import occurrences
from tests.models.test_prompts import byte_level, sentence_piece

TOKENIZERS = {"byte level": byte_level(), "sentence piece": sentence_piece()}


def found(text: str, prompt: str, tokenizer: Any) -> list[tuple[int, ...]]:
    labels = Labels(tokenizer)
    return occurrences(text, labels.tokens(tuple(tokenizer(prompt)["input_ids"])), labels)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_all_tokens_that_hold_any_of_its_characters(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    prompt = " Mary Mar Mary" if name == "byte level" else "Mary Mar Mary"  # where the tokenizer adds a space itself
    assert [tokenizer.convert_ids_to_tokens(token)[1:] for token in tokenizer(prompt)["input_ids"]] == [
        *("Mary", "Mar", "Mary")
    ]
    assert found("Mary", prompt, tokenizer) == [(0,), (2,)]
    assert found("Mar", prompt, tokenizer) == [(0,), (1,), (2,)]
    assert found(" Mar M", prompt, tokenizer) == [(1, 2)]
    assert found("y M", prompt, tokenizer) == [(0, 1)]
    assert found("Maria", prompt, tokenizer) == []


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_character_of_several_tokens_is_found_whole(name: str) -> None:
    prompt = "a… é"
    spans = found("…", prompt, TOKENIZERS[name])
    assert len(spans) == 1
    assert len(spans[0]) in (2, 3)
    assert found("é", prompt, TOKENIZERS[name]) == [tuple(range(spans[0][-1] + 2, spans[0][-1] + 4))]


@given(
    before=st.text(st.sampled_from("aMry é…"), max_size=5),
    text=st.text(st.sampled_from("Mary"), min_size=1, max_size=4),
    after=st.text(st.sampled_from("aMry é…"), max_size=5),
)
def test_what_is_found_holds_the_text_and_nothing_more(before: str, text: str, after: str) -> None:
    tokenizer = TOKENIZERS["byte level"]
    labels = Labels(tokenizer)
    ids = tokenizer(before + text + after)["input_ids"]
    spans = found(text, before + text + after, tokenizer)
    assert len(spans) == (before + text + after).count(text)
    for span in spans:
        spelled = [labels.spelling(ids[position]) for position in span]
        assert text.encode() in b"".join(spelled)
        assert text.encode() not in b"".join(spelled[1:])
        assert text.encode() not in b"".join(spelled[:-1])
