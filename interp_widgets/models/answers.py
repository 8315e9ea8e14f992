"""Resolve an answer to one token of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from interp_widgets.models.labels import Labels
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.models.prompts import is_text
from interp_widgets.results.errors import AnswerError

Answer: TypeAlias = "str | int"
Answers: TypeAlias = "Answer | Sequence[Answer] | None"
"""One answer for all pairs, one for each pair, or None for the model's own."""


def parse_answers(
    answers: Answers, name: str, n_pairs: int, *, tokenizer: Any | None, n_vocab: int
) -> tuple[int | None, ...]:
    """Return one token id for each pair, or None for each where no answer was given.

    A string must be exactly one token. Most tokenizers keep a word with its leading space (" Mary") apart from the
    same letters inside a word ("Mary"), and what follows a prompt is usually the former: which one is meant is up to
    you, and an error says when only the other is a single token. Tokenizers of the Llama 2 kind put a space before
    every text that they are given, so with them "Mary" and " Mary" both mean the token that starts a word; the bare
    piece is reached by its id.

    Raises:
        AnswerError: not one token, outside the vocabulary, or not one answer for each pair.
    """
    if answers is None:
        return (None,) * n_pairs
    plain = as_plain(answers)
    # Not any iterable: bytes and sets have elements too, but no answers in the order of the pairs.
    several = isinstance(plain, Sequence) and not isinstance(plain, (str, bytes, bytearray))
    listed = list(cast("Sequence[Answer]", plain)) if several else [plain] * n_pairs
    if len(listed) != n_pairs:
        values = "1 value" if len(listed) == 1 else f"{len(listed)} values"
        pairs = "1 pair" if n_pairs == 1 else f"{n_pairs} pairs"
        raise AnswerError(f"{values} of `{name}` for {pairs} of prompts. Pass one for all pairs, or one for each.")
    return tuple(_resolve(as_plain(answer), name, tokenizer, n_vocab) for answer in listed)


def _resolve(answer: object, name: str, tokenizer: Any | None, n_vocab: int) -> int:
    if is_whole(answer):
        if not 0 <= answer < n_vocab:
            raise AnswerError(f"{name}={answer!r} is no token id of this model: its ids run from 0 to {n_vocab - 1}.")
        return int(answer)
    if not isinstance(answer, str):
        raise AnswerError(f"{name}={answer!r} is {kind_of(answer)}. Pass the text of one token, or a token id.")
    if tokenizer is None:
        raise AnswerError(
            f"{name}={answer!r} is text, but this model comes without a tokenizer. Pass `tokenizer=`, or a token id."
        )
    if not is_text(answer):
        raise AnswerError(f"{name}={answer!r} holds half a character (a lone surrogate). Pass whole text.")
    return _single_token(answer, name, tokenizer)


def _single_token(answer: str, name: str, tokenizer: Any) -> int:
    ids = _encode(answer, tokenizer)
    if len(ids) == 1 and not _is_unknown(ids[0], answer, tokenizer):
        return ids[0]
    labels = Labels(tokenizer)
    if answer.startswith(" "):
        # A tokenizer that puts a space before every text makes two spaces of this one.
        bare = _encode(answer[1:], tokenizer) if len(answer) > 1 else []
        if len(bare) == 1 and labels.text(bare[0]) == answer:
            return bare[0]
    if not ids:
        raise AnswerError(f"{name}={answer!r} is empty. Pass the text of one token, or a token id.")
    if len(ids) == 1:
        raise AnswerError(
            f"{name}={answer!r} is not in the tokenizer's vocabulary. Pass another answer, or a token id."
        )
    pieces = " ".join(f"[{labels(token)}]" for token in ids)
    other = answer[1:] if answer.startswith(" ") else f" {answer}"
    found = _encode(other, tokenizer)
    single = len(found) == 1 and not _is_unknown(found[0], other, tokenizer)
    hint = f" With{'out' if answer.startswith(' ') else ''} the leading space, {other!r}, it is one." if single else ""
    raise AnswerError(
        f"{name}={answer!r} is {len(ids)} tokens, {pieces}, but an answer must be a single token.{hint} "
        f"Pass {repr(other) if single else 'a word of one token'}, or the id of the token that tells the prompts "
        f"apart, such as {ids[0]} for [{labels(ids[0])}]."
    )


def _encode(text: str, tokenizer: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, padding=False, truncation=False)["input_ids"])


def _is_unknown(token: int, text: str, tokenizer: Any) -> bool:
    return token == getattr(tokenizer, "unk_token_id", None) and text != getattr(tokenizer, "unk_token", None)
