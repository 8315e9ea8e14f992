"""The tokenizer of the teaching model: every word of its corpus is one token, any other text falls back to pieces.

Byte-level BPE in the manner of GPT-2, with one difference: a word of the vocabulary is taken whole and never assembled
from merges. So prompts of the same shape have the same number of tokens, and positions can be compared and averaged.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import islice
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import passages
from .corpus.words import NAMES

END_OF_TEXT: Final = "<|endoftext|>"

PATTERN: Final = r" ?\p{L}+| ?\p{N}{2}| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How text is cut before words are looked up. Digits go in pairs, so that " 1732" is " 17" and "32"."""

_SAMPLE: Final = 60_000
_MERGES: Final = 160


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def build(sample: int = _SAMPLE, merges: int = _MERGES) -> Tokenizer:
    """Build the tokenizer from a fixed sample of the corpus. The same arguments always give the same tokenizer.

    Args:
        sample: How many documents to collect words from.
        merges: How many BPE merges to learn, for words outside the vocabulary.

    Returns:
        A tokenizer of the ``tokenizers`` library. Token 0 is ``<|endoftext|>``, then come the 256 bytes, the merges,
        and the words in order of frequency.
    """
    documents = [passage.text for passage in islice(passages(random.Random("tokenizer")), sample)]
    cut = _pre_tokenizer()
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(piece for piece, _ in cut.pre_tokenize_str(document))
    # Frequent or not, these must be whole: two-digit numbers in both places, and names with a space.
    numbers = [f"{space}{number:02d}" for space in ("", "Ġ") for number in range(100)]
    names = [f"Ġ{name}" for name in NAMES]

    base = Tokenizer(models.BPE())
    base.pre_tokenizer = cut
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    base.train_from_iterator(
        documents,
        trainers.BpeTrainer(
            vocab_size=1 + len(alphabet) + merges,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    pieces = sorted(base.get_vocab().items(), key=lambda item: item[1])
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*(p for p, _ in pieces), *words, *numbers, *names]))}
    learned = _learned_merges(base)

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=learned, ignore_merges=True))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def _learned_merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """The merges of a trained BPE, which the library shows only in its JSON."""
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    # Versions before 0.20 wrote a merge as one text.
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)
    return [(left, right) for left, right in pairs]
