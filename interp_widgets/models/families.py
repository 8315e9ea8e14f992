"""What is known of each architecture: where in a block attention and MLP hand over what they add to the stream.

A row is data, never trusted blindly: `models.probe` checks on the model itself that the stream grows by exactly these
two outputs. Architectures without a row are searched with `GENERIC` under the same check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True)
class Parts:
    """Where a block's two additions to the stream come from.

    `attn` and `mlp` are paths inside the block to the modules whose outputs are added to the stream: after a norm that
    follows them where there is one, before the addition where the module makes it itself. `scale` names the
    entry of the config by which both are multiplied on their way into the stream.
    """

    attn: str
    mlp: str
    scale: str = ""

    def multiplier(self, config: Any) -> float:
        """By how much the modules' outputs are multiplied before they are added."""
        return float(getattr(config, self.scale)) if self.scale else 1.0


_LLAMA = Parts("self_attn", "mlp")
_GPT2 = Parts("attn", "mlp")
_NORMED = Parts("post_attention_layernorm", "post_feedforward_layernorm")

FAMILIES: dict[str, Parts] = {
    "bloom": Parts("self_attention.dense", "mlp.dense_4h_to_h"),  # both modules return the sum with the stream
    "cohere": _LLAMA,
    "cohere2": _LLAMA,
    "falcon": Parts("self_attention", "mlp"),
    "gemma": _LLAMA,
    "gemma2": _NORMED,
    "gemma3": _NORMED,
    "gemma3_text": _NORMED,
    "glm": _LLAMA,
    "glm4": Parts("post_self_attn_layernorm", "post_mlp_layernorm"),
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": _GPT2,
    "gpt_neox": Parts("attention", "mlp"),
    "gpt_oss": _LLAMA,
    "gptj": _GPT2,
    "granite": Parts("self_attn", "mlp", "residual_multiplier"),
    "granitemoe": Parts("self_attn", "block_sparse_moe", "residual_multiplier"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    "mpt": Parts("attn", "ffn.down_proj"),  # ffn returns the sum with the stream
    "olmo": _LLAMA,
    "olmo2": _NORMED,
    "olmo3": _NORMED,
    "olmoe": _LLAMA,
    "opt": Parts("self_attn", "fc2"),
    "phi": _LLAMA,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen2_moe": _LLAMA,
    "qwen3": _LLAMA,
    "qwen3_moe": _LLAMA,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "starcoder2": _LLAMA,
}

_ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")
_MLPS = ("mlp", "ffn", "feed_forward", "block_sparse_moe", "moe", "fc2")
_SCALES = ("residual_multiplier",)

ALIBI = frozenset({"bloom", "mpt"})
"""Families whose positions are a bias on distance, so that no prompt is too long."""

STATE_SPACE = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"})
"""Families that mix positions by a recurrence: their blocks have neither attention nor an MLP."""


def candidates(model_type: str, config: Any) -> Iterator[Parts]:
    """Yield where to look for a block's parts: the family's row first, then what similar architectures use."""
    if model_type in FAMILIES:
        yield FAMILIES[model_type]
    for scale in ("", *(name for name in _SCALES if hasattr(config, name))):
        for attn, mlp in product(_ATTENTIONS, _MLPS):
            yield Parts(attn, mlp, scale)


def context_length(config: Any) -> int | None:
    """Return the longest prompt that a model takes, in tokens, or None when there is no limit."""
    if config.model_type in ALIBI or getattr(config, "alibi", False):
        return None
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    return None
