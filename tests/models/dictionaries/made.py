"""Small dictionaries with random weights, written as the libraries write them, without the libraries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

Array = NDArray[np.float32]

D_IN, D_OUT, N_LATENTS, K = 32, 32, 48, 6
N_HEADS, D_HEAD = 4, 8
"""As wide as the models of tests/experiments/zoo.py."""


@dataclass(frozen=True)
class Case:
    """One dictionary of SAELens: its config, and its weights drawn from a seed."""

    name: str
    architecture: str
    config: dict[str, Any] = field(default_factory=dict)
    training: bool = False
    """Whether it is of a training run, as checkpoints are, rather than made for use."""

    @property
    def transcodes(self) -> bool:
        return self.architecture.endswith("transcoder")


CASES = [
    Case("standard", "standard"),
    Case("standard, decoder bias kept", "standard", {"apply_b_dec_to_input": False}),
    Case("standard, layer_norm", "standard", {"normalize_activations": "layer_norm"}),
    Case("standard, constant_norm_rescale", "standard", {"normalize_activations": "constant_norm_rescale"}),
    Case("standard, expected_average_only_in", "standard", {"normalize_activations": "expected_average_only_in"}),
    Case("standard, heads", "standard", {"reshape_activations": "hook_z", "hook_name": "blocks.1.attn.hook_z"}),
    Case("gated", "gated"),
    Case("gated, layer_norm", "gated", {"normalize_activations": "layer_norm"}),
    Case("jumprelu", "jumprelu", {"apply_b_dec_to_input": False}),
    Case("topk", "topk", {"k": K}),
    Case("topk, by decoder norm", "topk", {"k": K, "rescale_acts_by_decoder_norm": True}),
    Case("topk, layer_norm", "topk", {"k": K, "normalize_activations": "layer_norm"}),
    Case("abstopk", "abstopk", {"k": K}),
    Case("transcoder", "transcoder"),
    Case("skip_transcoder", "skip_transcoder"),
    Case("jumprelu_transcoder", "jumprelu_transcoder"),
    Case("jumprelu_skip_transcoder", "jumprelu_skip_transcoder"),
    Case("batchtopk", "batchtopk", {"k": float(K), "rescale_acts_by_decoder_norm": True}, training=True),
    Case("batchtopk, plain", "batchtopk", {"k": float(K), "rescale_acts_by_decoder_norm": False}, training=True),
    Case(
        "matryoshka_batchtopk",
        "matryoshka_batchtopk",
        {"k": float(K), "rescale_acts_by_decoder_norm": True, "matryoshka_widths": [12, N_LATENTS]},
        training=True,
    ),
]


def weights(case: Case) -> dict[str, Array]:
    """Random weights under SAELens' names, the same on every machine."""
    rng = np.random.default_rng(len(case.name))

    def normal(*shape: int, scale: float = 0.3) -> Array:
        return rng.normal(0, scale, shape).astype(np.float32)

    found = {
        "W_enc": normal(D_IN, N_LATENTS),
        "W_dec": normal(N_LATENTS, D_OUT),
        "b_enc": normal(N_LATENTS),
        "b_dec": normal(D_OUT),
    }
    if case.architecture == "gated":
        del found["b_enc"]
        found |= {"b_gate": normal(N_LATENTS), "r_mag": normal(N_LATENTS), "b_mag": normal(N_LATENTS)}
    if "jumprelu" in case.architecture:
        found["threshold"] = np.abs(normal(N_LATENTS, scale=1))
    if "skip" in case.architecture:
        found["W_skip"] = normal(D_OUT, D_IN)
    if "batchtopk" in case.architecture:
        found["topk_threshold"] = np.asarray(1.5, np.float32)
    return found


def activations(seed: int = 0) -> Array:
    """(2, 5, D_IN), with a mean that is not zero."""
    return np.random.default_rng(seed).normal(0.5, 2, (2, 5, D_IN)).astype(np.float32)


def saelens_folder(folder: Path, case: Case, *, layer: int = 1) -> Path:
    """Write a dictionary as SAELens 6 does."""
    settings = dict(case.config)
    hook = settings.pop("hook_name", f"blocks.{layer}.{'ln2.hook_normalized' if case.transcodes else 'hook_resid_pre'}")
    metadata = {"model_name": "small", "hook_name": hook, "sae_lens_version": "6.54.12", "prepend_bos": True}
    if case.transcodes:
        metadata["hook_name_out"] = f"blocks.{layer}.hook_mlp_out"
        settings["d_out"] = D_OUT
    config = {
        "d_in": D_IN,
        "d_sae": N_LATENTS,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": not case.transcodes,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": case.architecture,
        "metadata": metadata,
    }
    return write(folder, config | settings, weights(case))


def write(
    folder: Path, config: dict[str, Any], tensors: dict[str, Array], name: str = "sae_weights.safetensors"
) -> Path:
    """Write a config and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file({key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in tensors.items()}, folder / name)
    return folder
