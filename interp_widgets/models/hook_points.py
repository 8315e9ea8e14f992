"""Models with TransformerLens' hook points: known by the names of their modules, without TransformerLens.

A hook point is a module that returns what it gets, so that a site is what one of them returns. Two kinds of model have
them: `HookedTransformer`, up to TransformerLens 3, and `TransformerBridge`, from 3 on.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from nnsight import Envoy
from torch import nn

from interp_widgets.models.adapted import Adapted
from interp_widgets.models.described import Described
from interp_widgets.models.description import Description

_HOOKED = {
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "o_proj": "attn.hook_z",
    "down_proj": "mlp.hook_post",
}
_BRIDGE = {
    "attn_out": "attn.hook_out",
    "mlp_out": "mlp.hook_out",
    "q": "attn.q.hook_out",
    "k": "attn.k.hook_out",
    "v": "attn.v.hook_out",
    "o_proj": "attn.o.hook_in",
    "down_proj": "mlp.out.hook_in",
}
_SIGNS = {"hook_in": _BRIDGE, "hook_resid_pre": _HOOKED}
"""A hook point that every block has, and where the others are then. A bridge answers to the older names too."""

_SETUP = "from nnsight import NNsight\n\nlm = NNsight(model)  # `model` is your model with hook points\n"

_known: weakref.WeakKeyDictionary[Any, Described] = weakref.WeakKeyDictionary()
"""By the user's nnsight model, so that it is examined once."""


def adapt_hook_points(model: Any) -> Described | None:
    """Return a model with hook points as one that is described; None if it has none."""
    module = model._module if isinstance(model, Envoy) else model
    places = _places(module)
    if places is None:
        return None
    if isinstance(model, Envoy):
        if model not in _known:
            _known[model] = _adapt(module, places, "", "model")
        return _known[model]
    return _adapt(module, places, _SETUP, "lm")


def _places(module: Any) -> dict[str, str] | None:
    blocks = getattr(module, "blocks", None)
    if not isinstance(module, nn.Module) or not isinstance(blocks, nn.ModuleList) or not hasattr(module, "cfg"):
        return None
    found = (places for sign, places in _SIGNS.items() if all(_has(block, sign) for block in blocks))
    return next(found, None)


def _has(block: nn.Module, path: str) -> bool:
    try:
        block.get_submodule(path)
    except AttributeError:
        return False
    return True


def _adapt(module: Any, places: dict[str, str], setup: str, handle: str) -> Described:
    cfg, block = module.cfg, module.blocks[0]
    there = {name: path for name, path in places.items() if _has(block, path)}
    if not _has(block, "mlp"):  # a block that is all attention still has the hook point, which nothing reaches
        there.pop("mlp_out", None)
    projections = tuple(there[name] for name in "qkv" if name in there)
    heads = len(projections) == 3 and "o_proj" in there
    description = Description(
        blocks="blocks",
        attention="attn" if _has(block, "attn") else None,
        attn_out=there.get("attn_out"),
        n_heads=int(cfg.n_heads) if heads else None,
        qkv=projections if heads else None,
        o_proj=there.get("o_proj") if heads else None,
        mlp_out=there.get("mlp_out"),
        down_proj=there.get("down_proj"),
        embedding="embed",
        # What is capped after it is not what it returns.
        unembedding="unembed" if _has(module, "unembed") and not _capped(cfg) else None,
        context=int(cfg.n_ctx),
    )
    name = str(getattr(cfg, "model_name", "") or type(module).__name__)
    options = {"use_cache": False} if places is _BRIDGE else {}
    adapted = Adapted(module, description, Path(name).name if Path(name).is_dir() else name, options)
    return Described(adapted, tokenizer=getattr(module, "tokenizer", None), setup=setup, handle=handle)


def _capped(cfg: Any) -> bool:
    return (getattr(cfg, "output_logits_soft_cap", None) or 0) > 0
