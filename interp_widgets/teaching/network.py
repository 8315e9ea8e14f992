"""The network: a GPT-2 of four layers and four heads, small enough to ship and to train on one core."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from transformers import GPT2Config, GPT2LMHeadModel

CONTEXT: Final = 64

TRAINING_ACTIVATION: Final = "gelu_pytorch_tanh"
"""The same function as GPT-2's ``gelu_new``, in one fused kernel."""


def config(vocabulary: int, **changes: Any) -> GPT2Config:
    """The architecture, as transformers describes it.

    Args:
        vocabulary: Number of tokens.
        changes: Fields of ``GPT2Config`` to set otherwise.
    """
    fields: dict[str, Any] = {
        "vocab_size": vocabulary,
        "n_layer": 4,
        "n_head": 4,
        "n_embd": 128,
        "n_positions": CONTEXT,
        "activation_function": "gelu_new",
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return GPT2Config(**{**fields, **changes})


def build(settings: GPT2Config, seed: int) -> GPT2LMHeadModel:
    """A fresh network with seeded weights, in training mode.

    What reads the stream starts with std 0.5 / sqrt(width), what writes to it with 0.02 / sqrt(2 layers).
    """
    settings.activation_function = TRAINING_ACTIVATION
    model = GPT2LMHeadModel(settings)
    generator = torch.Generator().manual_seed(seed)
    read = 0.5 / math.sqrt(settings.n_embd)
    write = 0.02 / math.sqrt(2 * settings.n_layer)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("c_proj.weight"):
                parameter.normal_(0.0, write, generator=generator)
            elif name.endswith(("c_attn.weight", "c_fc.weight")):
                parameter.normal_(0.0, read, generator=generator)
            elif parameter.ndim == 2:
                parameter.normal_(0.0, 0.02, generator=generator)
    return model.train()
