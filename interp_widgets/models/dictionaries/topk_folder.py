"""The folder that a TopK dictionary of our own is kept in: SAELens' format, and some files more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from interp_widgets.models.dictionaries.topk_parts import TopKParts, TopKWeights
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import ResultError
from interp_widgets.results.terms import Site
from interp_widgets.results.training import TrainingCurves

CONFIG: Final = "cfg.json"
WEIGHTS: Final = "sae_weights.safetensors"
CONCEPTS: Final = "concepts.json"
CURVES: Final = "curves.safetensors"
STATE: Final = "training.safetensors"

_SAE_LENS: Final = "6.0.0"
"""Since when SAELens has this format; it asks for that before it reads the rest."""

_HOOKS: Final[dict[Site, str]] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "mlp_post": "mlp.hook_post",
    "z": "attn.hook_z",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
}
"""What TransformerLens, and so SAELens, calls a site."""

_NAMES: Final = {"encoder": "W_enc", "encoder_bias": "b_enc", "decoder": "W_dec", "centre": "b_dec"}
"""What SAELens calls the weights. Its encoder has rows and columns exchanged."""


def write(parts: TopKParts, folder: Path, dtype: torch.dtype) -> None:
    """Write the files of a dictionary, each of them whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = vars(parts.weights) | {"encoder": parts.weights.encoder.T}
    stored = {_NAMES[part]: weight.to("cpu", dtype).contiguous() for part, weight in weights.items()}
    config = json.dumps(_config(parts, dtype), indent=1) + "\n"
    _put(folder / CONFIG, lambda path: path.write_text(config, encoding="utf-8"))
    _put(folder / WEIGHTS, lambda path: save_file(stored, path, metadata={"format": "pt"}))
    _put(folder / CONCEPTS, parts.concepts.save)
    _put(folder / CURVES, parts.curves.save)
    # Last: a process that is killed before has left the state of an earlier step, from which it can go on.
    if parts.state:
        state = {name: tensor.cpu().contiguous() for name, tensor in parts.state.items()}
        _put(folder / STATE, lambda path: save_file(state, path))
    else:
        (folder / STATE).unlink(missing_ok=True)


def is_ours(folder: Path) -> bool:
    """Whether `write` wrote a folder, which other folders of SAELens' format can be told from by their curves."""
    return (folder / CURVES).is_file()


def read(folder: Path) -> TopKParts:
    """Read what `write` wrote.

    Raises:
        ResultError: it is missing, something else, or damaged.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        stored = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
        weights = {part: stored[name] for part, name in _NAMES.items()}
        k, site = int(config["k"]), config["metadata"]["site"]
        if not 1 <= k <= stored["b_enc"].numel():
            raise ValueError(f"k={k} for {stored['b_enc'].numel()} latents")
        broken = [name for name, tensor in stored.items() if not torch.isfinite(tensor).all()]
        if broken:
            raise ValueError(f"{broken[0]} has NaN or infinity")
        if site not in _HOOKS:
            raise ValueError(f"there is no site {site!r}")
        return TopKParts(
            weights=TopKWeights(**weights | {"encoder": weights["encoder"].T.contiguous()}),
            k=k,
            place=Place(site, int(config["metadata"]["layer"])),
            curves=TrainingCurves.load(folder / CURVES),
            state=load_file(folder / STATE) if (folder / STATE).exists() else {},
            concepts=Concepts.load(folder / CONCEPTS),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(
            f"{folder} holds no dictionary that `TopKSAE.save` wrote, or a damaged one ({error!r})."
        ) from error


def _config(parts: TopKParts, dtype: torch.dtype) -> dict[str, Any]:
    """What SAELens wants to know, and the place in our words."""
    n_latents, d_in = parts.weights.encoder.shape
    site: Any = parts.place.site
    return {
        "architecture": "topk",
        "d_in": d_in,
        "d_sae": n_latents,
        "k": parts.k,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "hook_z" if site == "z" else "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": {
            "sae_lens_version": _SAE_LENS,
            "model_name": parts.curves.provenance.model,
            "hook_name": f"blocks.{parts.place.layer}.{_HOOKS[site]}",
            "site": site,
            "layer": parts.place.layer,
        },
    }


def _put(path: Path, write_to: Callable[[Path], object]) -> None:
    """Write beside a file, and then put that in its place."""
    fresh = path.with_name(f"{path.name}.new")
    write_to(fresh)
    fresh.chmod(0o644)  # safetensors leaves files that only their owner may read
    os.replace(fresh, path)
