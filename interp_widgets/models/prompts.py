"""From what a user passes as prompts to pairs of token ids that can be compared position by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from numpy.typing import NDArray

from interp_widgets.models.labels import Labels, Names
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.results.errors import PromptError
from interp_widgets.results.tokens import Tokens, describe_difference
from interp_widgets.results.words import counted

Ids: TypeAlias = "Sequence[int] | torch.Tensor | NDArray[Any]"
Prompt: TypeAlias = "str | Ids"
Prompts: TypeAlias = "Prompt | Sequence[Prompt]"
"""One prompt or a batch: text, or token ids as a list or a one-dimensional tensor or array."""


@dataclass(frozen=True)
class PromptPair:
    """The two sides of a pair."""

    clean: Tokens
    corrupt: Tokens
    """Without any tokens where there is no second prompt."""
    noised: tuple[int, ...] = ()
    """Positions whose embeddings carry noise on the corrupt side."""


def parse_pairs(
    clean: Prompts,
    corrupt: Prompts,
    *,
    tokenizer: Any | None,
    n_vocab: int,
    context: int | None,
    aligned: bool = True,
    names: Names | None = None,
) -> tuple[PromptPair, ...]:
    """Tokenise both sides as the tokenizer does by default and check that they can be compared.

    Args:
        clean: a prompt or a list.
        corrupt: the same on the other side.
        tokenizer: for text.
        n_vocab: how many token ids the model has.
        context: most tokens that it takes.
        aligned: whether prompts are compared position by position, so that all have the same length.
        names: what token ids are called, where no tokenizer says.

    Raises:
        PromptError: text without a tokenizer, an empty prompt, ids outside the vocabulary, sides or pairs of unequal
            length, identical prompts, or more tokens than the model's context holds.
    """
    labels = Labels(tokenizer, names)
    sides = [
        [labels.tokens(token_ids(prompt, name, tokenizer, n_vocab)) for prompt in listed(prompts, name)]
        for name, prompts in (("clean prompt", clean), ("corrupt prompt", corrupt))
    ]
    if len(sides[0]) != len(sides[1]):
        raise PromptError(
            f"{counted(len(sides[0]), 'clean prompt')} but {counted(len(sides[1]), 'corrupt prompt')}. Pass one "
            "corrupt prompt for each clean one."
        )
    pairs = tuple(PromptPair(*sides_of_pair) for sides_of_pair in zip(*sides, strict=True))
    for number, pair in enumerate(pairs):
        where = f"pair {number}: " if len(pairs) > 1 else ""
        _check_pair(pair, where, context, aligned=aligned)
    if not aligned:
        return pairs
    check_equal_lengths([pair.clean for pair in pairs], "pair")
    return pairs


def check_equal_lengths(prompts: Sequence[Tokens], noun: str) -> None:
    """Refuse prompts that cannot share columns which are positions; `noun` is what the message calls one.

    Raises:
        PromptError: they have unequal token counts.
    """
    lengths = list(map(len, prompts))
    odd = next((number for number, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        raise PromptError(
            f"{noun.capitalize()} {odd} has {lengths[odd]} tokens but {noun} 0 has {lengths[0]}. All {noun}s of one "
            "grid must have the same number of tokens, since its columns are positions. Run them apart, write prompts "
            "of equal length, or give `roles=` to compare them by what their tokens are for."
        )


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8, as tokenizers need: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def listed(prompts: Prompts, name: str) -> list[Prompt]:
    """Return one prompt or many as a list; `name` is what messages call one.

    Raises:
        PromptError: it is neither text nor token ids nor a list of them.
    """
    if isinstance(prompts, str):
        return [prompts]
    plain = as_plain(prompts)
    if not isinstance(plain, Sequence) or isinstance(plain, (bytes, bytearray)):
        raise PromptError(f"The {name} is {kind_of(plain)}. Pass text, token ids, or a list of either.")
    if all(is_whole(item) for item in plain):
        return [cast("Prompt", plain or "")]
    return list(cast("Sequence[Prompt]", plain))


def _the(name: str) -> str:
    """Begin a sentence: "The text", but "Text 3"."""
    return name[0].upper() + name[1:] if name[-1:].isdigit() else f"The {name}"


def token_ids(prompt: Prompt, name: str, tokenizer: Any | None, n_vocab: int) -> tuple[int, ...]:
    """Return the ids of one prompt, tokenised as the tokenizer does by default; `name` is what messages call it.

    Raises:
        PromptError: an empty prompt, text without a tokenizer, or ids outside the vocabulary.
    """
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError(f"{_the(name)} is empty. Pass one with at least one token.")
        if tokenizer is None:
            raise PromptError(
                f"{_the(name)} is text, but this model comes without a tokenizer. Pass `tokenizer=`, or token ids."
            )
        if not is_text(prompt):
            raise PromptError(f"{_the(name)}, {prompt!r}, holds half a character (a lone surrogate). Pass whole text.")
        # No padding and no truncation, whatever the tokenizer is set to: nnsight switches padding to the left. No words
        # about length either: what is too long is refused, or cut.
        ids = tokenizer(prompt, padding=False, truncation=False, verbose=False)["input_ids"]
    else:
        ids = as_plain(prompt)
    if not isinstance(ids, Sequence) or isinstance(ids, (bytes, bytearray)) or not all(is_whole(item) for item in ids):
        raise PromptError(
            f"{_the(name)} is {prompt!r}, which is neither text nor a list of token ids. "
            "Pass a string, a list of whole numbers, or a list of such prompts."
        )
    if not ids:
        raise PromptError(f"{_the(name)} is empty. Pass one with at least one token.")
    wrong = [token for token in ids if not 0 <= token < n_vocab]
    if wrong:  # before labels are made: a tokenizer has no names for such ids
        raise PromptError(
            f"{_the(name)} holds token id {wrong[0]}, but the model's ids run from 0 to {n_vocab - 1}. "
            "Was it tokenised for another model?"
        )
    return tuple(int(item) for item in ids)


def parse_prompts(
    prompts: Prompts,
    name: str,
    *,
    tokenizer: Any | None,
    n_vocab: int,
    context: int | None,
    names: Names | None = None,
) -> tuple[Tokens, ...]:
    """Tokenise prompts that are not compared with others; they may have any lengths.

    Raises:
        PromptError: as for `parse_pairs`.
    """
    labels = Labels(tokenizer, names)
    called = "prompt" if name == "prompt" else f"{name} prompt"
    parsed = tuple(labels.tokens(token_ids(prompt, called, tokenizer, n_vocab)) for prompt in listed(prompts, called))
    if not parsed:
        raise PromptError(f"There is no {called}. Pass at least one.")
    for number, tokens in enumerate(parsed):
        _check_length(tokens, f"{called} {number}" if len(parsed) > 1 else f"the {called}", context)
    return parsed


def _check_length(tokens: Tokens, called: str, context: int | None) -> None:
    if context is not None and len(tokens) > context:
        raise PromptError(f"{called} has {len(tokens)} tokens, but the model's context holds {context}. Shorten it.")


def _check_pair(pair: PromptPair, where: str, context: int | None, *, aligned: bool) -> None:
    clean, corrupt = pair.clean, pair.corrupt
    for name, tokens in (("clean", clean), ("corrupt", corrupt)):
        _check_length(tokens, f"{where}the {name} prompt", context)
    if aligned and len(clean) != len(corrupt):
        raise PromptError(
            f"{where}the prompts have {len(clean)} and {len(corrupt)} tokens, so their positions cannot be matched.\n"
            f"{describe_difference(clean, corrupt)}\n"
            "Replace words in brackets until both sides have the same number of tokens: a name of one token by another "
            "name of one token."
        )
    if clean.ids == corrupt.ids:
        raise PromptError(
            f"{where}the clean and the corrupt prompt are identical, so that nothing tells them apart. "
            "Change what you want to trace in one of them."
        )
