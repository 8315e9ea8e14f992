"""The folder that a TopK dictionary of our own is kept in: SAELens' format, and some files more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from interp_widgets.models.dictionaries.files import read_json, read_safetensors
from interp_widgets.models.dictionaries.topk_parts import TopKParts, TopKWeights
from interp_widgets.models.numbers import is_whole
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import DictionaryInfo, Place
from interp_widgets.results.errors import FeatureError, ResultError
from interp_widgets.results.terms import Site
from interp_widgets.results.training import TrainingCurves
from interp_widgets.results.words import counted

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
        ResultError: it is missing, something else, or damaged; with the file that is.
    """
    try:
        config, stored = read_json(folder / CONFIG), read_safetensors(folder / WEIGHTS)
        weights, k, place = _weights(stored), _whole(config, "k"), _place(config)
        if not 1 <= k <= len(weights.encoder):
            raise FeatureError(f"{folder / CONFIG} says k={k} for {counted(len(weights.encoder), 'latent')}.")
        return TopKParts(
            weights=weights,
            k=k,
            place=place,
            curves=TrainingCurves.load(folder / CURVES),
            state=read_safetensors(folder / STATE) if (folder / STATE).exists() else {},
            concepts=Concepts.load(folder / CONCEPTS),
        )
    except (FeatureError, ResultError) as error:
        raise ResultError(
            f"{folder} holds no dictionary that `TopKSAE.save` wrote, or a damaged one: {error}"
        ) from error


def check_belong(concepts: Concepts, info: DictionaryInfo, folder: Path) -> None:
    """Refuse names that were written for other weights than those beside them.

    Raises:
        ResultError: with both files.
    """
    if concepts.fingerprint != info.fingerprint:
        raise ResultError(
            f"{WEIGHTS} and {CONCEPTS} in {folder} do not belong together: the weights have the fingerprint "
            f"{info.fingerprint}, and the names were written for weights with {concepts.fingerprint}. One of the two "
            "was replaced or damaged. Copy the folder again, or remove the names."
        )


def _weights(stored: dict[str, torch.Tensor]) -> TopKWeights:
    missing = [name for name in _NAMES.values() if name not in stored]
    if missing:
        raise FeatureError(f"{WEIGHTS} lacks {', '.join(missing)}. It has {', '.join(stored) or 'nothing'}.")
    broken = [name for name in _NAMES.values() if not torch.isfinite(stored[name]).all()]
    if broken:
        raise FeatureError(f"{WEIGHTS} has NaN or infinity in {broken[0]}.")
    encoder = stored["W_enc"]
    d_in, n_latents = encoder.shape if encoder.ndim == 2 else (0, 0)
    for name, shape in (
        ("W_enc", (d_in, n_latents)),
        ("b_enc", (n_latents,)),
        ("W_dec", (n_latents, d_in)),
        ("b_dec", (d_in,)),
    ):
        if tuple(stored[name].shape) != shape or not n_latents:
            raise FeatureError(
                f"{WEIGHTS} was cut or put together from several: W_enc has the shape {tuple(encoder.shape)}, and "
                f"{name} {tuple(stored[name].shape)}."
            )
    named = {part: stored[name].float() for part, name in _NAMES.items()}
    return TopKWeights(**named | {"encoder": named["encoder"].T.contiguous()})


def _place(config: dict[str, Any]) -> Place:
    said = config.get("metadata")
    if not isinstance(said, dict) or "site" not in said:
        raise FeatureError(f"{CONFIG} does not say at which site the latents are read.")
    if said["site"] not in _HOOKS:
        raise FeatureError(f"{CONFIG} names a site {said['site']!r}, and there is none.")
    return Place(said["site"], _whole(said, "layer"))


def _whole(config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    if not is_whole(value):
        given = f"says {name}={value!r}" if name in config else f"does not say {name}"
        raise FeatureError(f"{CONFIG} {given}, which should be a whole number.")
    return int(value)


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
