"""Dictionaries of EleutherAI's sparsify: SAEs and transcoders with TopK."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.activations import Activation, GroupMax, TopK
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.models.dictionaries.files import name_of, read_json, read_safetensors
from interp_widgets.models.dictionaries.places import Asked, names_layer, spot_of_hook, spot_or_asked
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError
from interp_widgets.results.words import counted

WEIGHTS = "sae.safetensors"
"""The file that a folder of sparsify has its weights in."""


def from_sparsify_folder(folder: Path, access: Access, asked: Asked) -> Coder:
    """Make a dictionary of a folder that sparsify saved, whose name is the module that it was trained on: layers.3.mlp.

    Raises:
        FeatureError: a file that is missing or broken, or something that is not known.
        SelectionError: neither the folder's name nor the user says where it reads.
    """
    hook = next(
        (part for part in (folder.name, folder.parent.name) if names_layer(part) is not None), None
    )  # or seed0 inside it
    config = read_json(folder / "cfg.json")
    return from_sparsify(config, read_safetensors(folder / WEIGHTS), access, asked, name_of(folder), hook)


def is_sparsify(features: object) -> bool:
    """Whether an object is one of sparsify, which need not be installed to ask."""
    return any(base.__module__.startswith("sparsify.") for base in type(features).__mro__) and hasattr(features, "cfg")


def from_sparsify_object(coder: Any, access: Access, asked: Asked) -> Coder:
    """Make a dictionary of an object of sparsify, which does not know where it belongs."""
    return from_sparsify(coder.cfg.to_dict(), dict(coder.state_dict()), access, asked, type(coder).__name__, None)


def from_sparsify(
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    access: Access,
    asked: Asked,
    name: str,
    hook: str | None,
) -> Coder:
    """Make a dictionary of a config and weights.

    Args:
        config: as sparsify saves it.
        tensors: by sparsify's names.
        access: the model that it is to belong to.
        asked: where the user says that it is read, if they do.
        name: what to call it.
        hook: the module that it was trained on, if that is known.

    Raises:
        FeatureError: something that is not known.
        SelectionError: it is not known where it reads.
    """
    expected = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
    missing = [key for key in expected if key not in tensors]
    unknown = [key for key in tensors if key not in (*expected, "W_skip")]
    if missing or unknown:
        raise FeatureError(
            f"{name} is not in sparsify's format, which has {', '.join(expected)}. It has {', '.join(tensors)}."
        )
    if config.get("signed"):
        raise FeatureError(f"{name} has signed latents, of an early version of sparsify, which are not supported.")
    transcodes = bool(config.get("transcode", False))
    reads, writes = _places(transcodes, hook, access, asked, name)
    weights = Weights(
        encoder=tensors["encoder.weight"],
        decoder=tensors["W_dec"],
        encoder_bias=tensors["encoder.bias"],
        decoder_bias=tensors["b_dec"],
        centre=None if transcodes else tensors["b_dec"],
        skip=tensors.get("W_skip"),
    )
    return Coder(
        weights,
        _activation(config, len(tensors["W_dec"]), name),
        name=name,
        kind="transcoder" if transcodes else "sae",
        reads=reads,
        writes=writes,
    )


def _places(transcodes: bool, hook: str | None, access: Access, asked: Asked, name: str) -> tuple[Place, Place]:
    if not transcodes:
        reads = spot_or_asked(hook, access, asked, name).place
        return reads, reads
    if hook is None:
        reads = asked.place(name)
        return reads, Place("mlp_out", reads.layer) if reads.site == "mlp_in" else Place("resid_post", reads.layer)
    # It reads what the module gets and writes what it returns.
    reads = spot_or_asked(f"{hook}.input", access, asked, name).place
    return reads, spot_of_hook(hook, access, name).place


def _activation(config: Mapping[str, Any], n_latents: int, name: str) -> Activation:
    k, function = config.get("k"), config.get("activation", "topk")
    if not isinstance(k, int) or not 0 < k <= n_latents:
        raise FeatureError(
            f"{name} has k={k!r} for {counted(n_latents, 'latent')}; its cfg.json should say how many fire."
        )
    if function == "topk":
        return TopK(k)
    if function == "groupmax" and n_latents % k == 0:
        return GroupMax(k)
    raise FeatureError(f"{name} has the activation {function!r}; known are 'topk' and, in equal groups, 'groupmax'.")
