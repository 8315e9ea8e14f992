"""Dictionaries of SAELens: what its config and weights mean, from its folders and from its objects.

The names are SAELens' own, of versions 3 to 6, which `cfg.json` does not always tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.activations import AbsTopK, Activation, Gated, JumpReLU, ReLU, TopK
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.files import name_of, read_json, read_safetensors
from interp_widgets.models.dictionaries.gain import past_gain
from interp_widgets.models.dictionaries.normalisation import (
    AsTheyAre,
    Normalisation,
    Rescaled,
    ScaledInTraining,
    Standardised,
)
from interp_widgets.models.dictionaries.own import Own
from interp_widgets.models.dictionaries.places import Asked, Spot, spot_or_asked, width_of, writes_of
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError
from interp_widgets.results.words import counted

Tensors = dict[str, torch.Tensor]

NORMALISATIONS: dict[str, Callable[[], Normalisation]] = {
    "none": AsTheyAre,
    "layer_norm": Standardised,
    "constant_norm_rescale": Rescaled,
    "expected_average_only_in": ScaledInTraining,
}

WEIGHTS = "sae_weights.safetensors"
"""The file that a folder of SAELens has its weights in."""

_WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "W_skip")
_RELU = ("standard", "transcoder", "skip_transcoder")
_JUMP = ("jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder")
_TOP = ("topk", "abstopk")
_BATCH_TOPK = ("batchtopk", "matryoshka_batchtopk")
ARCHITECTURES = (*_RELU, *_JUMP, *_TOP, *_BATCH_TOPK, "gated")


@dataclass(frozen=True)
class Config:
    """What a config of SAELens says, in the terms of version 6."""

    architecture: str
    d_in: int
    d_sae: int
    k: int | None
    subtracts_bias: bool
    normalisation: str
    by_decoder_norm: bool
    """Whether pre-activations are compared as if the decoder's rows had norm 1."""
    hook: str | None
    hook_out: str | None
    head: int | None

    @property
    def transcodes(self) -> bool:
        """Whether it writes elsewhere than it reads."""
        return self.architecture.endswith("transcoder")


def read_config(raw: Mapping[str, Any], name: str) -> Config:
    """Read a config of any version.

    Raises:
        FeatureError: it lacks a width, or says something that is not known.
    """
    # Up to version 5 everything stood at the top, under other names in the first versions.
    said = {**raw, **(raw.get("metadata") or {})}
    missing = [key for key in ("d_in", "d_sae") if not isinstance(said.get(key), int)]
    if missing:
        raise FeatureError(f"The config of {name} does not say {' and '.join(missing)}, as SAELens' configs do.")
    architecture = said.get("architecture") or "standard"
    function = said.get("activation_fn") or said.get("activation_fn_str") or "relu"
    k = said.get("k")
    if function == "topk":
        architecture = "topk"
        k = (said.get("activation_fn_kwargs") or {}).get("k", k)
    elif function != "relu":
        raise FeatureError(f"{name} has the activation function {function!r}; known are 'relu' and 'topk'.")
    normalisation = said.get("normalize_activations") or "none"
    if normalisation is True:
        normalisation = "expected_average_only_in"
    if normalisation not in NORMALISATIONS:
        raise FeatureError(
            f"{name} normalises activations by {normalisation!r}; known are {', '.join(NORMALISATIONS)}. Fold it into "
            "the weights with SAELens first."
        )
    hook = said.get("hook_name") or said.get("hook_point")
    if said.get("hf_hook_name") and str(hook).endswith("hook_mlp_in"):
        # SAELens calls what Gemma Scope 2's transcoders read so, for TransformerLens before the norm, after it here.
        hook = said["hf_hook_name"]
    head = said.get("hook_head_index", said.get("hook_point_head_index"))
    return Config(
        architecture=architecture,
        d_in=said["d_in"],
        d_sae=said["d_sae"],
        k=k,
        subtracts_bias=bool(said.get("apply_b_dec_to_input", True)),
        normalisation=normalisation,
        by_decoder_norm=bool(said.get("rescale_acts_by_decoder_norm", False)),
        hook=hook,
        hook_out=said.get("hook_name_out"),
        head=head,
    )


def from_saelens(
    raw: Mapping[str, Any], tensors: Tensors, access: Access, asked: Asked, name: str, *, scaled: float | None = None
) -> Coder:
    """Make a dictionary of a config and weights.

    Args:
        raw: the config, as SAELens saves it.
        tensors: the weights, by SAELens' names.
        access: the model that it is to belong to.
        asked: where the user says that it is read, if they do.
        name: what to call it.
        scaled: what training multiplied activations by, if that is not folded into the weights.

    Raises:
        FeatureError: something that is not known, or weights that the config does not announce.
    """
    config = read_config(raw, name)
    if config.head is not None:
        raise FeatureError(f"{name} reads a single head ({config.hook}, head {config.head}), which is not supported.")
    tensors = {key: tensor.detach().float() for key, tensor in tensors.items()}
    _require(tensors, ("W_enc", "W_dec", "b_dec"), config, name)
    if "scaling_factor" in tensors and bool((tensors["scaling_factor"] == 1).all()):
        del tensors["scaling_factor"]  # which some versions wrote without using it
    if scaled is not None:
        tensors = _fold_scale(tensors, scaled, config)
    if config.by_decoder_norm:
        tensors = _fold_norms(tensors)
    activation = _activation(config, tensors, name)
    unknown = [key for key in tensors if key not in _WEIGHTS]
    if unknown:
        raise FeatureError(
            f"{name} has weights that an architecture {config.architecture!r} does not have: {', '.join(unknown)}."
        )
    if tuple(tensors["W_enc"].shape) != (config.d_in, config.d_sae):
        raise FeatureError(
            f"W_enc of {name} should have the shape {(config.d_in, config.d_sae)}, by its config, and has "
            f"{tuple(tensors['W_enc'].shape)}."
        )
    reads, writes = _spots(config, access, asked, name)
    subtracts = config.subtracts_bias and not config.transcodes
    weights = Weights(
        encoder=tensors["W_enc"].T,
        decoder=tensors["W_dec"],
        encoder_bias=tensors.get("b_enc"),
        decoder_bias=tensors["b_dec"],
        centre=tensors["b_dec"] if subtracts else None,
        skip=tensors.get("W_skip"),
    )
    normalisation = NORMALISATIONS["none" if scaled is not None else config.normalisation]()
    weights = past_gain(
        weights,
        access,
        reads,
        name,
        transcodes=config.transcodes,
        normalises=not isinstance(normalisation, AsTheyAre),
    )
    return Coder(
        weights,
        activation,
        name=name,
        kind="transcoder" if config.transcodes else "sae",
        reads=reads.place,
        writes=writes,
        normalisation=normalisation,
    )


def _spots(config: Config, access: Access, asked: Asked, name: str) -> tuple[Spot, Place]:
    reads = spot_or_asked(config.hook, access, asked, name)
    if not config.transcodes:
        return reads, reads.place
    return reads, writes_of(reads.place, config.hook_out, access, name)


def _activation(config: Config, tensors: Tensors, name: str) -> Activation:
    """Return what makes latents of pre-activations, and take its weights out of the others."""
    architecture = config.architecture
    if architecture in _RELU:
        _require(tensors, ("b_enc",), config, name)
        return ReLU()
    if architecture in _JUMP:
        if "log_threshold" in tensors:  # of checkpoints of older versions
            tensors["threshold"] = tensors.pop("log_threshold").exp()
        _require(tensors, ("b_enc", "threshold"), config, name)
        return JumpReLU(tensors.pop("threshold"))
    if architecture in _BATCH_TOPK:
        _require(tensors, ("b_enc", "topk_threshold"), config, name)
        return JumpReLU(tensors.pop("topk_threshold").expand(config.d_sae))
    if architecture == "gated":
        _require(tensors, ("b_gate", "r_mag", "b_mag"), config, name)
        return Gated(tensors.pop("b_gate"), tensors.pop("r_mag"), tensors.pop("b_mag"))
    if architecture in _TOP:
        _require(tensors, ("b_enc",), config, name)
        if not isinstance(config.k, int) or not 0 < config.k <= config.d_sae:
            raise FeatureError(
                f"{name} has k={config.k!r} for {counted(config.d_sae, 'latent')}; its config should say how many."
            )
        return (TopK if architecture == "topk" else AbsTopK)(config.k)
    raise FeatureError(
        f"{name} has the architecture {architecture!r}, of which single latents are not known here. Open it with "
        "SAELens and pass the object, with site= and layer=."
    )


def _require(tensors: Tensors, keys: Collection[str], config: Config, name: str) -> None:
    missing = [key for key in keys if key not in tensors]
    if missing:
        raise FeatureError(
            f"{name} lacks weights that an architecture {config.architecture!r} has: {', '.join(missing)}. Its file "
            f"has {', '.join(tensors) or 'none'}."
        )


def _fold_scale(tensors: Tensors, factor: float, config: Config) -> Tensors:
    """Let an SAE of activations that were multiplied by a factor work on activations as they are."""
    folded = {
        "W_enc": tensors["W_enc"] * factor,
        "W_dec": tensors["W_dec"] / factor,
        "b_dec": tensors["b_dec"] / factor,
    }
    if "topk_threshold" in tensors and config.by_decoder_norm:  # which is compared in units of the decoder's norm
        folded["topk_threshold"] = tensors["topk_threshold"] / factor
    return tensors | folded


def _fold_norms(tensors: Tensors) -> Tensors:
    """Give the decoder's rows norm 1, and the latents what they lose."""
    norms = tensors["W_dec"].norm(dim=-1).clamp(min=1e-8)
    return tensors | {
        "W_enc": tensors["W_enc"] * norms,
        "b_enc": tensors["b_enc"] * norms,
        "W_dec": tensors["W_dec"] / norms[:, None],
    }


def is_saelens(features: object) -> bool:
    """Whether an object is an SAE of SAELens, which need not be installed to ask."""
    return any(base.__module__.startswith("sae_lens.") for base in type(features).__mro__) and hasattr(features, "cfg")


def from_saelens_object(sae: Any, access: Access, asked: Asked) -> Dictionary:
    """Make a dictionary of an SAE of SAELens. Those of which single latents are not known are called as they are."""
    raw = sae.cfg.to_dict()
    hook = (raw.get("metadata") or {}).get("hook_name")
    name = type(sae).__name__ + (f" of {hook}" if hook else "")
    if raw["architecture"] not in ARCHITECTURES:
        reads = spot_or_asked(hook, access, asked, name).place
        width = width_of(access, reads)
        return Own(sae, width, width, reads=reads, writes=reads, name=name)
    tensors = dict(sae.state_dict())
    return from_saelens(raw, tensors, access, asked, name)


def from_saelens_folder(folder: Path, access: Access, asked: Asked) -> Coder:
    """Make a dictionary of a folder that SAELens saved.

    Raises:
        FeatureError: a file that is missing or broken, or whose content is not known.
    """
    scaler = folder / "activation_scaler.json"  # of a checkpoint, whose weights are not folded yet
    scaled = read_json(scaler).get("scaling_factor") if scaler.exists() else None
    tensors = read_safetensors(folder / WEIGHTS)
    return from_saelens(read_json(folder / "cfg.json"), tensors, access, asked, name_of(folder), scaled=scaled)
