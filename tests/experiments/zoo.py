"""Small random models of many families, and where a reader of their source finds their sites."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

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

FAMILIES: dict[str, Family] = {
    "gpt2": Family("GPT2LMHeadModel", _H, "attn", config=_GPT2),
    "llama": Family("LlamaForCausalLM", config=_LLAMA),
    "qwen3": Family("Qwen3ForCausalLM", config=_LLAMA | {"head_dim": 16}),
    "gemma": Family("GemmaForCausalLM", config=_LLAMA | {"head_dim": 16}),
    "gpt_neox": Family("GPTNeoXForCausalLM", "gpt_neox.layers", "attention", parallel=True, config=_BLOCK),
    "gpt_neox_sequential": Family(
        "GPTNeoXForCausalLM", "gpt_neox.layers", "attention", config=_BLOCK | {"use_parallel_residual": False}
    ),
    "gptj": Family("GPTJForCausalLM", _H, "attn", parallel=True, config=_GPT2 | {"rotary_dim": 4}),
    "phi": Family("PhiForCausalLM", parallel=True, config=_BLOCK),
    "mistral_sliding": Family("MistralForCausalLM", config=_LLAMA | {"sliding_window": 3}),
    "mixtral": Family("MixtralForCausalLM", config=_LLAMA | {"num_local_experts": 3}),
    "qwen2": Family("Qwen2ForCausalLM", config=_LLAMA),
    "gemma2": Family("Gemma2ForCausalLM", **_POST, config=_LLAMA | {"sliding_window": 3}),
    "gemma3": Family("Gemma3ForCausalLM", **_POST, config=_LLAMA | {"sliding_window": 3}),
    "olmo2": Family("Olmo2ForCausalLM", **_POST, config=_LLAMA),
    "gpt_neo": Family(
        "GPTNeoForCausalLM",
        _H,
        "attn",
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
        config=_BLOCK | {"ffn_dim": 48, "word_embed_proj_dim": 32},
    ),
    "bloom": Family(
        "BloomForCausalLM",
        _H,
        "self_attention.dense",
        "mlp.dense_4h_to_h",
        config={"hidden_size": 32, "n_layer": 3, "n_head": 4},
    ),
    "falcon": Family(
        "FalconForCausalLM", _H, "self_attention", parallel=True, config=_BLOCK | {"new_decoder_architecture": True}
    ),
    "falcon_alibi": Family(
        "FalconForCausalLM",
        _H,
        "self_attention",
        config=_BLOCK | {"alibi": True, "parallel_attn": False, "new_decoder_architecture": False},
    ),
    "mpt": Family(
        "MptForCausalLM",
        "transformer.blocks",
        "attn",
        "ffn.down_proj",
        config={"d_model": 32, "n_layers": 3, "n_heads": 4},
    ),
    "phi3": Family("Phi3ForCausalLM", config=_LLAMA | {"pad_token_id": 0}),
    "stablelm": Family("StableLmForCausalLM", config=_LLAMA),
    "starcoder2": Family("Starcoder2ForCausalLM", config=_LLAMA),
    "gpt_bigcode": Family("GPTBigCodeForCausalLM", _H, "attn", config=_GPT2),
    "cohere": Family("CohereForCausalLM", parallel=True, config=_LLAMA),
    "granite": Family("GraniteForCausalLM", multiplier=0.3, config=_LLAMA | {"residual_multiplier": 0.3}),
    "gpt_oss": Family(
        "GptOssForCausalLM", config=_LLAMA | {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 3}
    ),
    "olmo": Family("OlmoForCausalLM", config=_LLAMA),
    "glm4": Family("Glm4ForCausalLM", attn="post_self_attn_layernorm", mlp="post_mlp_layernorm", config=_LLAMA),
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
