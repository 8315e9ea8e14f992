"""Say what is found of a model."""

from __future__ import annotations

from typing import Any

from interp_widgets.models.access import Access, resolve
from interp_widgets.models.adapted import model_class
from interp_widgets.models.families import context_length
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.results.model_report import ModelReport
from interp_widgets.results.terms import SITES, Site


def inspect(model: ModelLike, tokenizer: Any | None = None) -> ModelReport:
    """Find out what experiments can do with a model: its sizes, its sites, and why it does not have the others.

    Everything is found by running the model on a few tokens, and checked: that the stream grows by what attention and
    MLP add, that heads are wired as they seem to be, that z is values weighted by a pattern.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        tokenizer: of a model that comes without one; nothing here needs it.

    Raises:
        ModelError: a model that experiments cannot use, such as an encoder-decoder.

    Example:
        >>> from interp_widgets import inspect, teaching
        >>> inspect(teaching.load()).n_heads
        4
    """
    access = resolve(open_model(model, tokenizer))
    opened = access.opened
    reasons = {site: access.missing(site) for site in SITES}
    return ModelReport(
        name=opened.name,
        model_class=model_class(opened.module),
        family=opened.config.model_type,
        n_layers=access.n_layers,
        d_model=opened.config.hidden_size,
        n_heads=access.n_heads,
        n_kv_heads=access.n_kv_heads,
        d_head=access.d_head,
        d_mlp=access.d_mlp,
        n_vocab=access.n_vocab,
        context=context_length(opened.config),
        places={site: _place(access, site) for site, reason in reasons.items() if reason is None},
        missing={site: reason for site, reason in reasons.items() if reason is not None},
    )


def _place(access: Access, site: Site) -> str:
    root = f"{access.model.path}.{access.opened.spelling.inside}".removesuffix(".")
    blocks = access.blocks[0].path.removeprefix(f"{root}.").removesuffix(".0")
    if site in ("resid_pre", "resid_post"):
        return f"{'input' if site == 'resid_pre' else 'output'} of {blocks}[layer]"
    if site == "resid_mid":
        return "resid_pre + attn_out"
    parts, heads = access.anatomy.parts, access.inside.heads
    if parts is not None and site in ("attn_out", "mlp_out"):
        times = f", times {access.scale:g}" if access.scale != 1 else ""
        return f"output of {parts.attn if site == 'attn_out' else parts.mlp}{times}"
    if site == "mlp_post" or heads is None:
        return f"input of {access.inside.down}"
    where = heads.where
    if site == "z":
        return f"input of {where.attention}.{where.out}"
    if site == "pattern":
        return f"from values to z in {where.attention}"
    path = next(path for path in where.qkv if site in heads.sites_of(path))
    return f"{'output' if len(where.qkv) == 3 else 'part of the output'} of {where.attention}.{path}"
