"""A stand-in for `HookedTransformer` of TransformerLens: the same modules by the same names, and no more."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


class HookPoint(nn.Module):
    """Returns what it gets."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value


def points(module: nn.Module, *names: str) -> None:
    for name in names:
        module.add_module(f"hook_{name}", HookPoint())


class Attention(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        heads, kv_heads, width, size = cfg.n_heads, cfg.n_key_value_heads, cfg.d_model, cfg.d_head
        self.group = heads // kv_heads
        self.W_Q, self.W_K, self.W_V = (nn.Parameter(torch.randn(n, width, size)) for n in (heads, kv_heads, kv_heads))
        self.W_O = nn.Parameter(torch.randn(heads, size, width))
        self.b_O = nn.Parameter(torch.randn(width))
        points(self, "q", "k", "v", "z", "attn_scores", "pattern")

    def forward(self, query_input: torch.Tensor, key_input: torch.Tensor, value_input: torch.Tensor) -> torch.Tensor:
        q = self.hook_q(torch.einsum("rpd,hds->rphs", query_input, self.W_Q))
        k = self.hook_k(torch.einsum("rpd,hds->rphs", key_input, self.W_K)).repeat_interleave(self.group, 2)
        v = self.hook_v(torch.einsum("rpd,hds->rphs", value_input, self.W_V)).repeat_interleave(self.group, 2)
        scores = torch.einsum("rqhs,rkhs->rhqk", q, k) / math.sqrt(q.shape[-1])
        length = scores.shape[-1]
        scores = self.hook_attn_scores(scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf))
        z = self.hook_z(torch.einsum("rhqk,rkhs->rqhs", self.hook_pattern(scores.softmax(-1)), v))
        return torch.einsum("rphs,hsd->rpd", z, self.W_O) + self.b_O


class MLP(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.randn(cfg.d_model, cfg.d_mlp))
        self.W_out = nn.Parameter(torch.randn(cfg.d_mlp, cfg.d_model))
        points(self, "pre", "post")

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.hook_post(self.hook_pre(value @ self.W_in).relu()) @ self.W_out


class TransformerBlock(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(cfg.d_model), nn.LayerNorm(cfg.d_model)
        self.attn = Attention(cfg)
        self.alone = cfg.attn_only
        points(self, "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
        if not self.alone:
            self.mlp = MLP(cfg)

    def forward(self, resid_pre: torch.Tensor) -> torch.Tensor:
        resid_pre = self.hook_resid_pre(resid_pre)
        normed = self.ln1(resid_pre)
        resid_mid = resid_pre + self.hook_attn_out(self.attn(query_input=normed, key_input=normed, value_input=normed))
        if self.alone:
            return self.hook_resid_post(resid_mid)
        resid_mid = self.hook_resid_mid(resid_mid)
        return self.hook_resid_post(resid_mid + self.hook_mlp_out(self.mlp(self.ln2(resid_mid))))


class Embed(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.randn(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.W_E[tokens]


class Unembed(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.randn(cfg.d_model, cfg.d_vocab))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value @ self.W_U


class HookedTransformer(nn.Module):
    def __init__(self, *, attn_only: bool = False, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.cfg = SimpleNamespace(
            model_name="hooked-toy",
            n_layers=3,
            d_model=16,
            d_head=4,
            n_heads=4,
            n_key_value_heads=2,
            d_mlp=24,
            d_vocab=31,
            n_ctx=20,
            attn_only=attn_only,
        )
        self.embed = Embed(self.cfg)
        points(self, "embed", "pos_embed")
        self.pos = nn.Parameter(torch.randn(20, 16))
        self.blocks = nn.ModuleList(TransformerBlock(self.cfg) for _ in range(3))
        self.ln_final = nn.LayerNorm(16)
        self.unembed = Unembed(self.cfg)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if "W_" in name and "W_E" not in name:
                    weight.mul_(0.3)

    def forward(self, input: torch.Tensor, return_type: str = "logits") -> torch.Tensor:
        stream = self.hook_embed(self.embed(input)) + self.hook_pos_embed(self.pos[: input.shape[1]])
        for block in self.blocks:
            stream = block(stream)
        return self.unembed(self.ln_final(stream))
