"""An attention-only model of two layers whose induction circuit is written into its weights.

The stream is cut into slots. A slot says which of `SIZE` tokens or positions it holds by one number at 1 and its twin
at -1, so that a layer norm takes out no mean and divides by the same number at every position: it only scales.

Head `PREVIOUS` of layer 0 looks one position back and notes which token is there. Head `INDUCTION` of layer 1 looks
where the noted token is the present one, and copies the token from there to the slot that the unembedding reads. Every
other head looks somewhere too, and writes what it sees into a slot that nobody reads.
"""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

SIZE = 12
"""Tokens of the vocabulary, and most positions of a prompt."""
PREVIOUS = (0, 2)
INDUCTION = (1, 1)
"""(layer, head)"""

TOKEN, POSITION, NOTED, SAID, *_UNREAD = range(10)
_HEADS, _WIDTH = 4, 2 * SIZE * 10
_D_HEAD = _WIDTH // _HEADS
_SHARP = 30.0
"""By how much the score of what a head looks for is above all others: e^-30 is no longer seen in float32."""

CLEAN = [0, 3, 7, 5, 9, 3]
CORRUPT = [0, 5, 7, 3, 9, 3]
ANSWER, WRONG = 7, 9
"""After 3 came 7; in the corrupt prompt, 9. Tokens, queries and values are the same where it matters: keys are not."""


def build() -> GPT2LMHeadModel:
    """Write the weights."""
    config = GPT2Config(
        vocab_size=SIZE,
        n_positions=SIZE,
        n_embd=_WIDTH,
        n_layer=2,
        n_head=_HEADS,
        tie_word_embeddings=False,
        layer_norm_epsilon=1e-12,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        model.transformer.wte.weight.copy_(_slot(TOKEN))
        model.transformer.wpe.weight.copy_(_slot(POSITION))
        model.lm_head.weight.copy_(5 * _read(SAID, filled=10))
        # Two slots are filled before layer 0, and one more by each of its heads before layer 1.
        for head, back in enumerate((0, 3, 1, SIZE)):
            where = NOTED if (0, head) == PREVIOUS else _UNREAD[head % 3]
            _looks_back(model, 0, head, back, where, filled=2)
        for head, back in enumerate((2, 0, 0, 1)):
            if (1, head) == INDUCTION:
                _write(model, 1, head, _read(TOKEN, 6), _read(NOTED, 6), SAID, 6)
            else:
                _looks_back(model, 1, head, back, _UNREAD[3 + head % 3], filled=6)
    return model


def _slot(number: int) -> torch.Tensor:
    """What a slot looks like in the stream for each of its values, (value, d_model)."""
    values = torch.zeros(SIZE, _WIDTH)
    for value in range(SIZE):
        values[value, 2 * (SIZE * number + value)] = 1
        values[value, 2 * (SIZE * number + value) + 1] = -1
    return values


def _read(number: int, filled: int) -> torch.Tensor:
    """Read a slot as one-hot from a stream in which so many slots are filled, behind a layer norm, (value, d_model)."""
    return _slot(number) / 2 * (2 * filled / _WIDTH) ** 0.5


def _looks_back(model: GPT2LMHeadModel, layer: int, head: int, back: int, where: int, filled: int) -> None:
    """Make a head look some positions back, at most to the first, and write the token that is there."""
    wanted = torch.zeros(SIZE, SIZE)
    wanted[[max(0, position - back) for position in range(SIZE)], range(SIZE)] = 1
    _write(model, layer, head, wanted @ _read(POSITION, filled), _read(POSITION, filled), where, filled)


def _write(
    model: GPT2LMHeadModel, layer: int, head: int, query: torch.Tensor, key: torch.Tensor, where: int, filled: int
) -> None:
    """Set a head: what it looks for and by what, each (value, d_model), and the slot for the token that it finds."""
    attention = model.transformer.h[layer].attn
    first = head * _D_HEAD
    scale = (_SHARP * _D_HEAD**0.5) ** 0.5
    for number, read in enumerate((scale * query, scale * key, _read(TOKEN, filled))):
        attention.c_attn.weight[:, number * _WIDTH + first : number * _WIDTH + first + SIZE] = read.T
    attention.c_proj.weight[first : first + SIZE] = _slot(where)


def says(model: GPT2LMHeadModel, prompt: list[int]) -> int:
    """The token that the model says next."""
    with torch.no_grad():
        return int(model(torch.tensor([prompt])).logits[0, -1].argmax())
