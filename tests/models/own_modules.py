"""Modules such as researchers write, with parts of unusual names, and the sites of each as a reader finds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

VOCAB = 31


class Mixer(nn.Module):
    """Attention with a fused projection: for each key-value head its queries, its key and its value."""

    def __init__(self, width: int, heads: int, kv_heads: int, *, masked: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size, self.masked = heads, kv_heads, width // heads, masked
        self.read_all = nn.Linear(width, (heads + 2 * kv_heads) * self.size)
        self.send = nn.Linear(width, width)
        self.weigh: Callable[[torch.Tensor], torch.Tensor] = partial(torch.softmax, dim=-1)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        rows, length, _ = stream.shape
        group = self.heads // self.kv_heads
        fused = self.read_all(stream).view(rows, length, self.kv_heads, group + 2, self.size)
        queries = fused[..., :group, :].reshape(rows, length, self.heads, self.size)
        keys, values = (fused[..., group + at, :].repeat_interleave(group, dim=2) for at in (0, 1))
        scores = torch.einsum("rqhd,rkhd->rhqk", queries, keys) / math.sqrt(self.size)
        if self.masked:
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        z = torch.einsum("rhqk,rkhd->rqhd", self.weigh(scores), values)
        return self.send(z.reshape(rows, length, -1))


class Stage(nn.Module):
    """A block whose parts have names of their own; the norm comes after the MLP, in the way of Swin 2."""

    def __init__(self, width: int, heads: int, kv_heads: int, *, masked: bool) -> None:
        super().__init__()
        self.calm = nn.LayerNorm(width)
        self.mixer = Mixer(width, heads, kv_heads, masked=masked)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)
        self.tame = nn.LayerNorm(width)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        stream = stream + self.mixer(self.calm(stream))
        return stream + self.tame(self.narrow(torch.relu(self.widen(stream))))


class Stack(nn.Module):
    """A causal language model with fused, grouped projections; it returns a dict."""

    def __init__(self, width: int = 16, heads: int = 4, kv_heads: int = 2, depth: int = 3, length: int = 12) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCAB, width)
        self.places = nn.Embedding(length, width)
        self.tower = nn.ModuleList(Stage(width, heads, kv_heads, masked=True) for _ in range(depth))
        self.final = nn.LayerNorm(width)
        self.speak = nn.Linear(width, VOCAB, bias=False)

    def forward(self, symbols: torch.Tensor) -> dict[str, torch.Tensor]:
        stream = self.words(symbols) + self.places(torch.arange(symbols.shape[1]))
        for stage in self.tower:
            stream = stage(stream)
        return {"loss": stream.sum(), "scores": self.speak(self.final(stream))}


class Split(nn.Module):
    """Bidirectional attention, apart from the block that calls it, with three projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.offer, self.hold = (nn.Linear(width, width) for _ in range(3))
        self.send = nn.Linear(width, width)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part(stream).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.ask, self.offer, self.hold)
        )
        z = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.send(z.transpose(1, 2).flatten(-2))


class Layer(nn.Module):
    """A block that runs its MLP before its attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.calm = nn.LayerNorm(width)
        self.look = Split(width, heads)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        stream = stream + self.think(stream)
        return stream + self.look(self.calm(stream))


class Judge(nn.Module):
    """A bidirectional encoder that puts a sequence into one of five classes, by the mean of its positions."""

    def __init__(self, width: int = 16, heads: int = 4, depth: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCAB, width)
        self.places = nn.Parameter(torch.zeros(12, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.verdict = nn.Linear(width, 5)

    def forward(self, ids: torch.Tensor, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        stream = self.words(ids) + self.places[: ids.shape[1]]
        for layer in self.layers:
            stream = layer(stream)
        return stream, self.verdict(stream.mean(1)) * scale


def weighty(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight a size at which patches matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("bias"):
                weight.copy_(0.1 * noise)  # torch draws them from its global generator
            else:
                weight.copy_(noise / weight.shape[-1] ** 0.5 * 1.5 if weight.ndim == 2 else weight + 0.1 * noise)
    return module.eval()
