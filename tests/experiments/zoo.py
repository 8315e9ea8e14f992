"""Small random models of many families, and where a reader of their source finds their sites."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
import transformers
from torch import nn

VOCAB = 61


@dataclass(frozen=True)
class Family:
    """How to build a family, and where a reader of its source finds its sites."""

    model: str
    blocks: str = "model.layers"
    attn: str = "self_attn"
    mlp: str = "mlp"
    parallel: bool = False
    multiplier: float = 1.0
    attention: str = "self_attn"
    """The module that computes attention; `qkv` and `out` are paths inside it."""
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    layout: Literal["apart", "stacked", "groups"] = "apart"
    """How one projection lays out its output: all queries, keys, values; or so for each key-value head."""
    out: str = "o_proj"
    down: str = "mlp.down_proj"
    """The MLP's last projection, empty in a mixture of experts."""
    heads: int = 4
    kv_heads: int = 2
    d_head: int = 8
    config: dict[str, Any] = field(default_factory=dict)


_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "head_dim": 8,
}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
_BLOCK = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_POST = {"attn": "post_attention_layernorm", "mlp": "post_feedforward_layernorm"}
_H = "transformer.h"
_GPT2_PARTS: dict[str, Any] = {
    "attention": "attn",
    "qkv": ("c_attn",),
    "layout": "stacked",
    "out": "c_proj",
    "down": "mlp.c_proj",
    "kv_heads": 4,
}
_NEOX_PARTS: dict[str, Any] = {
    "attention": "attention",
    "qkv": ("query_key_value",),
    "layout": "groups",
    "out": "dense",
    "down": "mlp.dense_4h_to_h",
    "kv_heads": 4,
}
_BLOOM_PARTS = _NEOX_PARTS | {"attention": "self_attention"}
_BIGCODE_PARTS = _GPT2_PARTS | {"layout": "groups"}
_PHI_PARTS: dict[str, Any] = {"out": "dense", "down": "mlp.fc2", "kv_heads": 4}
# One norm over the queries of all heads, and one over all keys, stands between the projections and attention.
_NORMED_TOGETHER: dict[str, Any] = {"qkv": ("q_norm", "k_norm", "v_proj")}

FAMILIES: dict[str, Family] = {
    "gpt2": Family("GPT2LMHeadModel", _H, "attn", **_GPT2_PARTS, config=_GPT2),
    "llama": Family("LlamaForCausalLM", config=_LLAMA),
    "qwen3": Family("Qwen3ForCausalLM", d_head=16, config=_LLAMA | {"head_dim": 16}),
    "gemma": Family("GemmaForCausalLM", d_head=16, config=_LLAMA | {"head_dim": 16}),
    "gpt_neox": Family(
        "GPTNeoXForCausalLM", "gpt_neox.layers", "attention", parallel=True, **_NEOX_PARTS, config=_BLOCK
    ),
    "gpt_neox_sequential": Family(
        "GPTNeoXForCausalLM",
        "gpt_neox.layers",
        "attention",
        **_NEOX_PARTS,
        config=_BLOCK | {"use_parallel_residual": False},
    ),
    "gptj": Family(
        "GPTJForCausalLM",
        _H,
        "attn",
        parallel=True,
        attention="attn",
        out="out_proj",
        down="mlp.fc_out",
        kv_heads=4,
        config=_GPT2 | {"rotary_dim": 4},
    ),
    "phi": Family("PhiForCausalLM", parallel=True, **_PHI_PARTS, config=_BLOCK),
    "phi_normed": Family("PhiForCausalLM", parallel=True, **_PHI_PARTS, config=_BLOCK | {"qk_layernorm": True}),
    "mistral_sliding": Family("MistralForCausalLM", config=_LLAMA | {"sliding_window": 3}),
    "mixtral": Family("MixtralForCausalLM", down="", config=_LLAMA | {"num_local_experts": 3}),
    "qwen2": Family("Qwen2ForCausalLM", config=_LLAMA),
    "gemma2": Family("Gemma2ForCausalLM", **_POST, config=_LLAMA | {"sliding_window": 3}),
    "gemma3": Family("Gemma3ForCausalLM", **_POST, config=_LLAMA | {"sliding_window": 3}),
    "olmo2": Family("Olmo2ForCausalLM", **_POST, **_NORMED_TOGETHER, config=_LLAMA),
    "olmo3": Family("Olmo3ForCausalLM", **_POST, **_NORMED_TOGETHER, config=_LLAMA | {"sliding_window": 3}),
    "gpt_neo": Family(
        "GPTNeoForCausalLM",
        _H,
        "attn",
        attention="attn.attention",
        out="out_proj",
        down="mlp.c_proj",
        kv_heads=4,
        config={
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "max_position_embeddings": 64,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 3,
        },
    ),
    "opt": Family(
        "OPTForCausalLM",
        "model.decoder.layers",
        mlp="fc2",
        out="out_proj",
        down="fc2",
        kv_heads=4,
        config=_BLOCK | {"ffn_dim": 48, "word_embed_proj_dim": 32},
    ),
    "bloom": Family(
        "BloomForCausalLM",
        _H,
        "self_attention.dense",
        "mlp.dense_4h_to_h",
        **_BLOOM_PARTS,
        config={"hidden_size": 32, "n_layer": 3, "n_head": 4},
    ),
    "falcon": Family(
        "FalconForCausalLM",
        _H,
        "self_attention",
        parallel=True,
        **_BLOOM_PARTS | {"kv_heads": 2},
        config=_BLOCK | {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "falcon_alibi": Family(
        "FalconForCausalLM",
        _H,
        "self_attention",
        **_BLOOM_PARTS | {"kv_heads": 1},
        config=_BLOCK | {"alibi": True, "parallel_attn": False, "new_decoder_architecture": False},
    ),
    "falcon_old": Family(
        "FalconForCausalLM",
        _H,
        "self_attention",
        parallel=True,
        **_BLOOM_PARTS,
        config=_BLOCK | {"multi_query": False, "new_decoder_architecture": False},
    ),
    "mpt": Family(
        "MptForCausalLM",
        "transformer.blocks",
        "attn",
        "ffn.down_proj",
        attention="attn",
        qkv=("Wqkv",),
        layout="stacked",
        out="out_proj",
        down="ffn.down_proj",
        kv_heads=4,
        config={"d_model": 32, "n_layers": 3, "n_heads": 4},
    ),
    "phi3": Family("Phi3ForCausalLM", qkv=("qkv_proj",), layout="stacked", config=_LLAMA | {"pad_token_id": 0}),
    "stablelm": Family("StableLmForCausalLM", config=_LLAMA),
    "starcoder2": Family("Starcoder2ForCausalLM", down="mlp.c_proj", config=_LLAMA),
    "gpt_bigcode": Family("GPTBigCodeForCausalLM", _H, "attn", **_BIGCODE_PARTS | {"kv_heads": 1}, config=_GPT2),
    "gpt_bigcode_old": Family(
        "GPTBigCodeForCausalLM", _H, "attn", **_BIGCODE_PARTS, config=_GPT2 | {"multi_query": False}
    ),
    "cohere": Family("CohereForCausalLM", parallel=True, config=_LLAMA),
    "cohere2": Family("Cohere2ForCausalLM", parallel=True, config=_LLAMA | {"sliding_window": 3}),
    "granite": Family("GraniteForCausalLM", multiplier=0.3, config=_LLAMA | {"residual_multiplier": 0.3}),
    "granitemoe": Family(
        "GraniteMoeForCausalLM",
        mlp="block_sparse_moe",
        down="",
        multiplier=0.3,
        config=_LLAMA | {"num_local_experts": 3, "num_experts_per_tok": 2, "residual_multiplier": 0.3},
    ),
    "gpt_oss": Family(
        "GptOssForCausalLM",
        down="",
        config=_LLAMA | {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 3},
    ),
    "olmo": Family("OlmoForCausalLM", config=_LLAMA),
    "glm4": Family("Glm4ForCausalLM", attn="post_self_attn_layernorm", mlp="post_mlp_layernorm", config=_LLAMA),
    "glm": Family("GlmForCausalLM", config=_LLAMA | {"pad_token_id": 0}),
    "olmo_clipped": Family("OlmoForCausalLM", config=_LLAMA | {"clip_qkv": 0.5}),
    "olmoe": Family(
        "OlmoeForCausalLM", down="", **_NORMED_TOGETHER, config=_LLAMA | {"num_experts": 3, "num_experts_per_tok": 2}
    ),
    "qwen2_moe": Family(
        "Qwen2MoeForCausalLM",
        down="",
        config=_LLAMA
        | {
            "num_experts": 3,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 24,
        },
    ),
    "qwen3_moe": Family(
        "Qwen3MoeForCausalLM",
        down="",
        d_head=16,
        config=_LLAMA | {"head_dim": 16, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    ),
    "smollm3": Family("SmolLM3ForCausalLM", config=_LLAMA),
}


def build(name: str, seed: int = 0) -> Any:
    """Make a family's model with weights that are large enough for patches to matter."""
    family = FAMILIES[name]
    model_class = getattr(transformers, family.model)
    tokens = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    made = model_class(model_class.config_class(**tokens | family.config)).eval()
    enlarge(made, seed)
    return made


def enlarge(module: nn.Module, seed: int = 0) -> None:
    """Give every weight a size at which it matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim < 2:
                weight.copy_(weight + 0.1 * noise)
            elif "emb" in name or "wte" in name or "wpe" in name:
                weight.copy_(noise)
            else:
                weight.copy_(1.5 * noise / weight.shape[-1] ** 0.5)


@cache
def model(name: str) -> Any:
    """A family's model, built once: no test changes it."""
    return build(name)
