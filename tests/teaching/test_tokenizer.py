from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_widgets.teaching import tokenizer
from interp_widgets.teaching.corpus import passages
from interp_widgets.teaching.corpus.words import NAMES, PLACES, THINGS
from interp_widgets.teaching.data import FOLDER, bundled_tokenizer


@given(st.text())
@settings(deadline=None)
def test_any_text_round_trips(text):
    words = bundled_tokenizer()
    assert words.decode(words.encode(text).ids, skip_special_tokens=False) == text


def test_the_shipped_tokenizer_is_the_one_that_the_corpus_gives():
    assert tokenizer.build().to_str() == (FOLDER / "tokenizer.json").read_text()


@pytest.mark.parametrize("word", [*NAMES, *PLACES, *THINGS, "store", "drink", "Sorry", "Sure", "loved", "she", "are"])
def test_words_are_one_token(word):
    assert len(bundled_tokenizer().encode(f" {word}").ids) == 1


def test_years_are_a_century_and_a_year():
    assert bundled_tokenizer().encode(" 1732").tokens == ["Ġ17", "32"]


def test_no_word_of_the_corpus_falls_apart():
    words = bundled_tokenizer()
    for passage in islice(passages(Random("unseen sample")), 3000):
        encoding = words.encode(passage.text)
        # A token that begins inside a word would begin with a letter right after another letter.
        starts = [start for start, _ in encoding.offsets[1:]]
        assert not any(passage.text[start - 1].isalpha() and passage.text[start].isalpha() for start in starts), passage
