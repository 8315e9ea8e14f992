"""What is known of each architecture: where a block adds to the stream, and where its heads and neurons are.

A row is data, never trusted blindly: `models.probe` checks on the model itself that the stream grows by exactly these
two outputs, `models.inside` that heads and neurons are what they are taken for. Architectures without a row are
searched for what similar ones use, under the same checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any


@dataclass(frozen=True)
class Heads:
    """Where a block's attention hands over its heads.

    `attention` is the path inside the block to the module that computes all of it; the other paths start there. `out`
    is the output projection, whose input is z. `qkv` names what hands over queries, keys and values: three projections,
    or one of all of them, or none where they are not known. The fused one has all query heads, then all keys, then all
    values; with `by_group` it has for each key-value head in turn its query heads, its key and its value. Where a norm
    over all heads follows a projection, that norm is named instead: before it, no number is one head's alone.
    """

    attention: str
    qkv: tuple[str, ...]
    out: str
    by_group: bool = False


@dataclass(frozen=True)
class Parts:
    """Where a block's two additions to the stream come from.

    `attn` and `mlp` are paths inside the block to the modules whose outputs are added to the stream: after a norm that
    follows them where there is one, before the addition where the module makes it itself. One of them is empty in
    blocks that are all attention or all MLP. `scale` names the entry of the config by which both are multiplied on
    their way into the stream. `heads` and `down`, the path inside the block to the MLP's last projection, are known in
    families with a row; a mixture of experts has no `down`.
    """

    attn: str
    mlp: str
    scale: str = ""
    heads: Heads | None = None
    down: str = ""

    def multiplier(self, config: Any) -> float:
        """By how much the modules' outputs are multiplied before they are added."""
        return float(getattr(config, self.scale)) if self.scale else 1.0


_SPLIT = ("q_proj", "k_proj", "v_proj")
_SPLIT_NORMED = ("q_norm", "k_norm", "v_proj")
_LLAMA_HEADS = Heads("self_attn", _SPLIT, "o_proj")
_OLMO_HEADS = Heads("self_attn", _SPLIT_NORMED, "o_proj")
_GPT2_HEADS = Heads("attn", ("c_attn",), "c_proj")
_BLOOM_HEADS = Heads("self_attention", ("query_key_value",), "dense", by_group=True)

_LLAMA = Parts("self_attn", "mlp", heads=_LLAMA_HEADS, down="mlp.down_proj")
_EXPERTS = Parts("self_attn", "mlp", heads=_LLAMA_HEADS)
_NORMED = Parts("post_attention_layernorm", "post_feedforward_layernorm", heads=_LLAMA_HEADS, down="mlp.down_proj")

FAMILIES: dict[str, Parts] = {
    # Both modules of BLOOM return the sum with the stream.
    "bloom": Parts("self_attention.dense", "mlp.dense_4h_to_h", heads=_BLOOM_HEADS, down="mlp.dense_4h_to_h"),
    "cohere": _LLAMA,
    "cohere2": _LLAMA,
    "falcon": Parts("self_attention", "mlp", heads=_BLOOM_HEADS, down="mlp.dense_4h_to_h"),
    "gemma": _LLAMA,
    "gemma2": _NORMED,
    "gemma3_text": _NORMED,
    "glm": _LLAMA,
    "glm4": Parts("post_self_attn_layernorm", "post_mlp_layernorm", heads=_LLAMA_HEADS, down="mlp.down_proj"),
    "gpt2": Parts("attn", "mlp", heads=_GPT2_HEADS, down="mlp.c_proj"),
    "gpt_bigcode": Parts("attn", "mlp", heads=replace(_GPT2_HEADS, by_group=True), down="mlp.c_proj"),
    "gpt_neo": Parts("attn", "mlp", heads=Heads("attn.attention", _SPLIT, "out_proj"), down="mlp.c_proj"),
    "gpt_neox": Parts("attention", "mlp", heads=replace(_BLOOM_HEADS, attention="attention"), down="mlp.dense_4h_to_h"),
    "gpt_oss": _EXPERTS,
    "gptj": Parts("attn", "mlp", heads=Heads("attn", _SPLIT, "out_proj"), down="mlp.fc_out"),
    "granite": replace(_LLAMA, scale="residual_multiplier"),
    "granitemoe": replace(_EXPERTS, mlp="block_sparse_moe", scale="residual_multiplier"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _EXPERTS,
    # The module ffn of MPT returns the sum with the stream.
    "mpt": Parts("attn", "ffn.down_proj", heads=Heads("attn", ("Wqkv",), "out_proj"), down="ffn.down_proj"),
    "olmo": _LLAMA,
    "olmo2": replace(_NORMED, heads=_OLMO_HEADS),
    "olmo3": replace(_NORMED, heads=_OLMO_HEADS),
    "olmoe": replace(_EXPERTS, heads=_OLMO_HEADS),
    "opt": Parts("self_attn", "fc2", heads=Heads("self_attn", _SPLIT, "out_proj"), down="fc2"),
    "phi": Parts("self_attn", "mlp", heads=Heads("self_attn", _SPLIT, "dense"), down="mlp.fc2"),
    "phi3": replace(_LLAMA, heads=Heads("self_attn", ("qkv_proj",), "o_proj")),
    "qwen2": _LLAMA,
    "qwen2_moe": _EXPERTS,
    "qwen3": _LLAMA,
    "qwen3_moe": _EXPERTS,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "starcoder2": replace(_LLAMA, down="mlp.c_proj"),
}

_ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")
_MLPS = ("mlp", "ffn", "feed_forward", "block_sparse_moe", "moe", "fc2")
_SCALES = ("residual_multiplier",)
_QKV = (_SPLIT, _SPLIT_NORMED, ("c_attn",), ("query_key_value",), ("qkv_proj",), ("Wqkv",))
_OUTS = ("o_proj", "out_proj", "c_proj", "dense")
_DOWNS = ("down_proj", "c_proj", "fc2", "fc_out", "dense_4h_to_h", "w2")

ALIBI = frozenset({"bloom", "mpt"})
"""Families whose positions are a bias on distance, so that no prompt is too long."""

RECURRENT = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"})
"""Families that mix positions by a recurrence: their blocks have neither attention nor an MLP, only a stream."""


def candidates(model_type: str, config: Any) -> Iterator[Parts]:
    """Yield where to look for a block's parts: the family's row first, then what similar architectures use.

    The config of a model that its user described says itself where.
    """
    if hasattr(config, "parts"):
        yield from config.parts
        return
    if model_type in FAMILIES:
        yield FAMILIES[model_type]
    for scale in ("", *(name for name in _SCALES if hasattr(config, name))):
        for attn, mlp in product(_ATTENTIONS, _MLPS):
            yield Parts(attn, mlp, scale)


def guesses(attn: str | None, mlp: str | None) -> Iterator[Parts]:
    """Yield where to look for parts of which one or both may be known: under usual names, or without the other."""
    attns = (*_ATTENTIONS, "") if attn is None else (attn,)
    mlps = (*_MLPS, "") if mlp is None else (mlp,)
    for first, second in product(attns, mlps):
        if first or second:
            yield Parts(first, second)


def head_candidates(parts: Parts) -> Iterator[Heads]:
    """Yield where to look for a block's heads: as its row says, or where similar architectures have them."""
    if parts.heads is not None:
        yield parts.heads
        return
    for attention, qkv, out in product(dict.fromkeys((parts.attn, *_ATTENTIONS)), _QKV, _OUTS):
        for by_group in (False, True) if len(qkv) == 1 else (False,):
            yield Heads(attention, qkv, out, by_group)


def down_candidates(parts: Parts) -> Iterator[str]:
    """Yield where to look for the MLP's last projection."""
    if parts.down:
        yield parts.down
        return
    for mlp in dict.fromkeys((parts.mlp, *_MLPS)):
        yield mlp
        for down in _DOWNS:
            yield f"{mlp}.{down}"


def entrance_candidates(parts: Parts, down: str) -> Iterator[str]:
    """Yield where to look for the module that gets what the MLP gets, given its last projection if that is known."""
    yield from dict.fromkeys(path for path in (down.rpartition(".")[0], *_MLPS[:-1], "fc1", parts.mlp) if path)


def value_limit(config: Any) -> float | None:
    """Return the size at which a model clips what its projections of queries, keys and values hand over, if it does."""
    for place in (config, getattr(config, "attn_config", None)):
        limit = getattr(place, "clip_qkv", None)
        if limit:
            return float(limit)
    return None


def context_length(config: Any) -> int | None:
    """Return the longest prompt that a model takes, in tokens, or None when there is no limit."""
    if config.model_type in ALIBI or getattr(config, "alibi", False):
        return None
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    return None
