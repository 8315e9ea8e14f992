"""Path patching by its definition: two full forward passes with PyTorch hooks, which know nothing of the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from tests.experiments import zoo

Ids = list[int]
Place = tuple[str, int]
"""What is kept of a run: "z", "q", "k", "v", "mlp_out", "mlp_in" of a layer, or "final" of layer 0."""


@dataclass(frozen=True)
class Wiring:
    """Where a reader of a family's source finds what path patching freezes and changes."""

    out: str
    """The output projection of attention: its input is z."""
    qkv: tuple[str, ...]
    """Its projections: three, or one that hands over all."""
    norm: str
    """The final norm: its input is the final stream."""
    grouped: bool = False
    """Whether one projection hands over query, key and value of each head in turn."""


_LLAMA = Wiring("self_attn.o_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "model.norm")
WIRING = {
    "gpt2": Wiring("attn.c_proj", ("attn.c_attn",), "transformer.ln_f"),
    "llama": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _LLAMA,
    "granite": _LLAMA,
    "mistral_sliding": _LLAMA,
    "gpt_neox": Wiring("attention.dense", ("attention.query_key_value",), "gpt_neox.final_layer_norm", grouped=True),
    "gptj": Wiring("attn.out_proj", ("attn.q_proj", "attn.k_proj", "attn.v_proj"), "transformer.ln_f"),
    "bloom": Wiring("self_attention.dense", ("self_attention.query_key_value",), "transformer.ln_f", grouped=True),
}


class Model:
    """A family's model, run with values kept and others put in."""

    def __init__(self, name: str) -> None:
        self.module: Any = zoo.model(name)
        self.wiring, self.family = WIRING[name], zoo.FAMILIES[name]
        self.blocks = list(self.module.get_submodule(self.family.blocks))
        config = self.module.config
        self.n_heads = config.num_attention_heads
        self.n_kv_heads = getattr(config, "num_key_value_heads", self.n_heads)
        self.d_head = self.blocks[0].get_submodule(self.wiring.out).weight.numel() // config.hidden_size // self.n_heads
        self.kept: dict[Place, torch.Tensor] = {}

    def run(self, ids: Ids, put: Mapping[Place, torch.Tensor]) -> torch.Tensor:
        """The logits at the last position, with some places set to (position, ...) values; `kept` has all places.

        Where a place is set, what would have been there is kept, not what was put.
        """
        self.kept = {}
        with ExitStack() as hooks, torch.no_grad():

            def at(module: Any, place: Place, *, output: bool, cut: Callable[..., Any] | None = None) -> None:
                def hook(_module: Any, args: Any, *produced: Any) -> Any:
                    value = produced[-1] if output else args[0]
                    raw = value[0].clone()
                    view = raw if cut is None else cut(raw)
                    self.kept[place] = view.clone()
                    if place not in put:
                        return None
                    view.copy_(put[place].reshape(view.shape))
                    return raw[None] if output else (raw[None], *args[1:])

                register = module.register_forward_hook if output else module.register_forward_pre_hook
                hooks.callback(register(hook).remove)

            for layer, block in enumerate(self.blocks):
                at(block.get_submodule(self.wiring.out), ("z", layer), output=False, cut=self._heads)
                for site in ("q", "k", "v"):
                    one = len(self.wiring.qkv) == 1
                    path = self.wiring.qkv[0 if one else "qkv".index(site)]
                    cut = self._fused(site) if one else self._heads
                    at(block.get_submodule(path), (site, layer), output=True, cut=cut)
                at(block.get_submodule("mlp"), ("mlp_in", layer), output=False)
                at(block.get_submodule(self.family.mlp), ("mlp_out", layer), output=True)
            at(self.module.get_submodule(self.wiring.norm), ("final", 0), output=False)
            logits: torch.Tensor = self.module(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        return logits

    def _heads(self, raw: torch.Tensor) -> torch.Tensor:
        return raw.view(len(raw), -1, self.d_head)

    def _fused(self, site: str) -> Callable[[torch.Tensor], torch.Tensor]:
        number = "qkv".index(site)
        if self.wiring.grouped:
            return lambda raw: raw.view(len(raw), self.n_heads, 3, self.d_head)[:, :, number]
        return lambda raw: raw.view(len(raw), 3, self.n_heads, self.d_head)[:, number]


def path_patched(
    model: Model,
    host: Ids,
    donor: Ids,
    sender: tuple[str, int, int | None],
    receivers: list[tuple[str, int | None, int | None]],
    positions: list[int] | None = None,
    receiver_positions: list[int] | None = None,
) -> torch.Tensor:
    """Logits of the host prompt, where receivers read what they do when the sender alone is the donor's."""
    model.run(donor, {})
    changed = dict(model.kept)
    model.run(host, {})
    own = dict(model.kept)
    site, layer, head = sender
    at = slice(None) if positions is None else positions

    # The first run: everything that adds to the stream is put in, as the host has it but for the sender.
    frozen = {place: value.clone() for place, value in own.items() if place[0] in ("z", "mlp_out")}
    place = ("mlp_out" if site == "mlp_out" else "z", layer)
    of = (at,) if head is None else (at, head)
    frozen[place][of] = changed[place][of]
    model.run(host, frozen)
    read = dict(model.kept)

    # The second run: the receivers' inputs are put in, the rest is computed. What is put in is the host's own run's
    # but for the receivers' heads and positions, and where an earlier receiver has moved it, a run with those put in.
    put: dict[Place, torch.Tensor] = {}
    to = slice(None) if receiver_positions is None else receiver_positions
    order = {"q": 0, "k": 0, "v": 0, "mlp_in": 1, "final": 2}
    for name, where, unit in sorted(receivers, key=lambda receiver: (receiver[1] or 0, order[receiver[0]])):
        model.run(host, put)
        value = put.get((name, where or 0), model.kept[name, where or 0]).clone()
        index = (to,) if unit is None else (to, unit)
        value[index] = read[name, where or 0][index]
        put[name, where or 0] = value
    return model.run(host, put)
