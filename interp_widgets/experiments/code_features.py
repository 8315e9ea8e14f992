"""The few lines of nnsight that read one latent on a text, written for the model at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from interp_widgets.experiments.code_sites import site_lines, traced, written
from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.opening import Features
from interp_widgets.models.dictionaries.saelens import is_saelens
from interp_widgets.models.dictionaries.sparsify import WEIGHTS as SPARSIFY
from interp_widgets.models.dictionaries.sparsify import is_sparsify
from interp_widgets.models.dictionaries.topk_folder import is_ours
from interp_widgets.models.norms import norm_before_mlp, rms_gain
from interp_widgets.models.texts import Cutter
from interp_widgets.results.dictionary import DictionaryInfo, Place
from interp_widgets.results.terms import HEAD_SITES, SITE_TERMS
from interp_widgets.results.tokens import Tokens

_TOKENS = 512
"""So many tokens at most are printed of a text of which the first ones can be read by themselves."""


def feature_code(
    access: Access, features: Features, info: DictionaryInfo, cutter: Cutter, texts: tuple[Tokens, ...]
) -> str:
    """Write the template of the lines, with `$latent` to be filled in; nothing where a few lines do not do.

    They read the first text, of a long one as much as fits in the model's context.

    Args:
        access: the model.
        features: the latents as the user passed them.
        info: what they are.
        cutter: cuts texts into what is run at once.
        texts: what is read.
    """
    latents = _latents(access, features, info)
    if latents is None:
        return ""
    opened, reads = access.opened, info.reads
    ids, which = _ids(cutter, texts)
    training = any(part.training for part in opened.module.modules())
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # latents are read with dropout off"] if training else []),
        "",
        f"# {which}.",
        f"ids = torch.tensor([{list(ids)}])",
        "",
        "with torch.no_grad():",
        f"    # {reads}: {_meaning(reads)}, (token, number).",
        f"    with {traced(access, 'ids')}:",
        f"        x = {read_place(access, reads, info.d_in)}.clone().save()",
        "    x = x.float()",
        *(f"    {line}" for line in latents),
        "",
        "print(activations.tolist())",
    ]
    return "\n".join(lines) + "\n"


def _ids(cutter: Cutter, texts: tuple[Tokens, ...]) -> tuple[tuple[int, ...], str]:
    """The tokens of the first window, and which they are."""
    whole = texts[0].ids
    ids = next(iter(cutter.windows(whole, 0))).ids
    if cutter.causal:  # what comes after them changes nothing
        ids = ids[:_TOKENS]
    text = "the text" if len(texts) == 1 else f"the first of the {len(texts)} texts"
    return ids, f"The first {len(ids)} tokens of {text}" if len(ids) < len(whole) else f"T{text[1:]}"


def _meaning(place: Place) -> str:
    return "what the MLP gets, after its norm" if place.site == "mlp_in" else SITE_TERMS[place.site].meaning


def read_place(access: Access, place: Place, width: int) -> str:
    """Write what is at a place, (token, number)."""
    if place.site == "mlp_in":
        assert access.entrance, "the dictionary was opened there"
        return f"{written(access, access.layers[place.layer].enters)}.input.reshape(-1, {width})"
    block = written(access, access.blocks[place.layer])
    there = f"{site_lines(access, place.site, ':', block).read(':')}[0]"
    if place.site in HEAD_SITES:
        return f"{there}.flatten(1)"
    scaled = place.site in ("attn_out", "mlp_out") and access.scale != 1
    return f"({there} * {access.scale})" if scaled else there


def _latents(access: Access, features: Any, info: DictionaryInfo) -> list[str] | None:
    """Write how a latent is found from x; None where the user's object encodes something else."""
    if info.kind == "neurons":
        return ["activations = x[:, $latent]"]
    if info.kind == "directions":
        array = "torch.tensor(directions)" if isinstance(features, np.ndarray) else "directions"
        rows = f"{array}.to(x).reshape(-1, {info.d_in})"
        return ["# `directions` is the matrix that you passed.", f"activations = x @ {rows}[$latent]"]
    if _past_gain(access, features, info):
        return None
    folder = Path(features).expanduser() if isinstance(features, (str, Path)) else None
    noun = "transcoder" if info.kind == "transcoder" else "sparse autoencoder"
    about = f"# `sae` is your {noun}, {info.name}, {'as you passed it' if folder is None else 'loaded'}."
    given = "x"
    weight = next(features.parameters(), None) if isinstance(features, nn.Module) else None
    if weight is not None and (weight.dtype, weight.device) != (torch.float32, access.opened.device):
        given = "x.to(next(sae.parameters()))"
    if is_sparsify(features) or (folder and any(folder.rglob(SPARSIFY))):  # it returns those that fire, and which
        fires = "top.top_indices == $latent"
        return [about, f"top = sae.encode({given})", f"activations = (top.top_acts * ({fires})).sum(-1)"]
    return [about, f"activations = sae.encode({given})[:, $latent]"]


def _past_gain(access: Access, features: Any, info: DictionaryInfo) -> bool:
    """Whether it may be made for what an RMS norm has before its gain, which is no site: it was then changed to fit."""
    foreign = is_saelens(features) or (isinstance(features, (str, Path)) and not is_ours(Path(features).expanduser()))
    if info.reads.site != "mlp_in" or not foreign:
        return False
    norm = norm_before_mlp(access, info.reads.layer)
    return norm is not None and rms_gain(access, norm, info.d_in) is not None
