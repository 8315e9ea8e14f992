"""Labels, prompts and answers, with tokenizers of both kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp_widgets.models.answers import parse_answers
from interp_widgets.models.labels import Labels
from interp_widgets.models.prompts import parse_pairs
from interp_widgets.results.errors import AnswerError, PromptError


def byte_level() -> Any:
    """A tokenizer in the manner of GPT-2, whose alphabet stands for bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|end|>", *alphabet, "ĠM", "ar", "ĠMar", "ĠMary", "Mary", "ĠJ", "oh", "ohn", "ĠJohn", "ĠâĢ"]
    merges = [("Ġ", "M"), ("a", "r"), ("ĠM", "ar"), ("ĠMar", "y"), ("M", "ar"), ("Ġ", "J"), ("o", "h"), ("oh", "n")]
    merges += [("ĠJ", "ohn"), ("Mar", "y"), ("â", "Ģ")]
    words += ["Mar", "âĢ"]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def sentence_piece() -> Any:
    """A tokenizer in the manner of Llama 2: a space goes before every text, and bytes stand in for what is unknown."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["▁", "▁Mary", "Mary", "▁John", "M", "a", "r", "y", "▁M", "▁Ma", "▁Mar"]
    merges = [("▁", "M"), ("▁M", "a"), ("▁Ma", "r"), ("▁Mar", "y")]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def label(tokenizer: Any, name: str) -> str:
    return Labels(tokenizer)(tokenizer.convert_tokens_to_ids(name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ĠMary", "␣Mary"),
        ("Mary", "Mary"),
        ("Ċ", "↵"),
        ("Ġ", "␣"),
        ("âĢ", "⟨E2 80⟩"),
        ("ĠâĢ", "␣⟨E2 80⟩"),
        ("é", "⟨E9⟩"),  # the letter stands for a byte that is no character alone
        ("<|end|>", "<|end|>"),
    ],
)
def test_byte_level_labels(name: str, expected: str) -> None:
    assert label(byte_level(), name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("▁Mary", "␣Mary"), ("▁", "␣"), ("<0xE2>", "⟨E2⟩"), ("<0x41>", "A"), ("<0x0A>", "↵"), ("<s>", "<s>")],
)
def test_sentence_piece_labels(name: str, expected: str) -> None:
    assert label(sentence_piece(), name) == expected


def test_ids_without_a_name() -> None:
    assert Labels(None)(262) == "#262"
    assert Labels(byte_level())(9999) == "#9999"


def answer(text: Any, tokenizer: Any) -> str:
    (token,) = parse_answers(text, "answer", 1, tokenizer=tokenizer, n_vocab=len(tokenizer))
    assert token is not None
    return str(tokenizer.convert_ids_to_tokens(token))


def test_a_leading_space_is_part_of_an_answer() -> None:
    assert answer(" Mary", byte_level()) == "ĠMary"
    assert answer("Mary", byte_level()) == "Mary"


def test_a_tokenizer_that_adds_a_space_makes_no_difference_of_it() -> None:
    assert answer("Mary", sentence_piece()) == "▁Mary"
    assert answer(" Mary", sentence_piece()) == "▁Mary"
    assert answer(sentence_piece().convert_tokens_to_ids("Mary"), sentence_piece()) == "Mary"


@pytest.mark.parametrize(
    ("text", "tokenizer", "expected"),
    [
        (
            "John",
            byte_level(),
            r"answer='John' is 2 tokens, \[J\] \[ohn\].* With the leading space, ' John', it is one",
        ),
        ("John", byte_level(), r"Pass ' John', or the id of the token .* such as \d+ for \[J\]"),
        (" ar", byte_level(), r"' ar' is 2 tokens, \[␣\] \[ar\].* Without the leading space, 'ar', it is one"),
        (" Mary John", byte_level(), r"is 2 tokens, \[␣Mary\] \[␣John\], but .* Pass a word of one token, or"),
        ("", byte_level(), "answer='' is empty"),
        (None.__class__, byte_level(), "is a type. Pass the text of one token, or a token id"),
    ],
)
def test_answers_that_are_no_single_token(text: Any, tokenizer: Any, expected: str) -> None:
    with pytest.raises(AnswerError, match=expected):
        parse_answers([text], "answer", 1, tokenizer=tokenizer, n_vocab=1000)


def pairs(clean: Any, corrupt: Any, tokenizer: Any = None) -> Any:
    return parse_pairs(clean, corrupt, tokenizer=tokenizer, n_vocab=1000, context=None)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_ids_of_any_kind(kind: Any) -> None:
    (pair,) = pairs(kind([1, 2, 3]), kind([1, 2, 4]))
    assert pair.clean.ids == (1, 2, 3)
    assert [type(token) for token in pair.corrupt.ids] == [int] * 3
    two = pairs(kind([[1, 2], [3, 4]]), kind([[1, 3], [3, 5]]))
    assert [pair.corrupt.ids for pair in two] == [(1, 3), (3, 5)]


def test_lists_of_prompts_may_mix_kinds() -> None:
    both = pairs([" Mary", [1]], [[2], torch.tensor([3])], byte_level())
    assert [pair.clean.labels for pair in both] == [("␣Mary",), ("!",)]


def test_text_is_neither_padded_nor_cut() -> None:
    tokenizer = byte_level()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"  # as nnsight sets it
    tokenizer.model_max_length = 1
    first, second = pairs([" Mary John", " John Mary"], [" John John", " Mary Mary"], tokenizer)
    assert first.clean.labels == ("␣Mary", "␣John")
    assert len(second.corrupt) == 2


def test_unequal_texts_show_where_they_part() -> None:
    with pytest.raises(PromptError, match=r"(?s)2 and 3 tokens.*clean +\(2 tokens\): ␣Mary \[␣John\].*␣Mary \[␣ ar\]"):
        pairs(" Mary John", " Mary ar", byte_level())


def test_every_byte_has_a_label() -> None:
    tokenizer = byte_level()
    assert all(Labels(tokenizer)(token) for token in range(len(tokenizer)))


def test_what_a_tokenizer_cannot_take_is_refused_before() -> None:
    tokenizer = byte_level()
    with pytest.raises(PromptError, match="holds token id -1, but the model's ids run from 0 to 999"):
        pairs([-1, 2], [3, 2], tokenizer)
    with pytest.raises(PromptError, match="holds half a character"):
        pairs("a\ud800b", "a", tokenizer)
    with pytest.raises(AnswerError, match="holds half a character"):
        answer("\ud800", tokenizer)
