"""Tuned lenses: for each layer an affine map that moves its stream to where the last one would be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.numbers import kind_of
from interp_widgets.results.errors import ModelError
from interp_widgets.results.lens_training import LensCurves

TunedLensLike: TypeAlias = "str | Path | nn.Module"
"""A folder with config.json and params.pt, or an object of `tuned_lens.TunedLens`."""


@dataclass(frozen=True, eq=False)
class Translators:
    """The affine maps of a model, one for what enters each layer."""

    name: str
    weights: tuple[torch.Tensor, ...]
    """For each layer (d_model, d_model)."""
    biases: tuple[torch.Tensor | None, ...]

    def __call__(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
        """Translate what enters a layer, (..., d_model): x + W x + b."""
        weight, bias = self.weights[layer], self.biases[layer]
        # In float32, as the logits are: half precision would round twice.
        wide = stream.float()
        moved = nn.functional.linear(
            wide, weight.float().to(wide.device), None if bias is None else bias.float().to(wide.device)
        )
        return (wide + moved).to(stream.dtype)


class TunedLens(nn.Module):
    """Translators that `train_tuned_lens` trained, one for what enters each layer: x becomes x + W x + b.

    `run_lens` and `show_lens` take it as `tuned=`; `save` writes it in the format of the library tuned_lens.

    Attributes:
        layer_translators: the maps W x + b.
        curves: how training went.
    """

    def __init__(self, translators: Translators, model: str, curves: LensCurves) -> None:
        """Hold translators that were trained for a model of some name."""
        super().__init__()
        self.curves = curves
        self._model = model
        self.layer_translators = nn.ModuleList(map(_linear, translators.weights, translators.biases))

    def forward(self, stream: torch.Tensor, layer: int) -> torch.Tensor:
        """Translate what enters a layer, (..., d_model), to where the last layer's stream would be."""
        moved: torch.Tensor = self.layer_translators[layer](stream)
        return stream + moved

    def save(self, folder: str | Path) -> Path:
        """Write the translators as `TunedLens.save` of tuned_lens 0.2 does, with the curves in a file of their own.

        Args:
            folder: it is made if it does not exist; `run_lens(..., tuned=folder)` reads it.

        Returns:
            The folder.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        state = self.layer_translators.state_dict()
        torch.save(state, path / "params.pt")
        config = {
            "base_model_name_or_path": self._model,
            "d_model": int(state["0.weight"].shape[0]),
            "num_hidden_layers": len(self.layer_translators),
            "bias": True,
            "base_model_revision": None,
            "unembed_hash": None,
            "lens_type": "linear_tuned_lens",
        }
        (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        self.curves.save(path / "curves.safetensors")
        return path

    def extra_repr(self) -> str:
        """What printing shows beside the maps."""
        return self.curves.summary()


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    state = {"weight": weight} | ({} if bias is None else {"bias": bias})
    linear.load_state_dict({name: value.detach().cpu() for name, value in state.items()})
    return linear.requires_grad_(False)


def open_translators(lens: TunedLensLike, access: Access) -> Translators:
    """Read a tuned lens, and check that it fits a model.

    Raises:
        ModelError: there is none there, or it belongs to a model of another size.
    """
    if isinstance(lens, (str, Path)):
        name, state = _load(Path(lens))
    elif isinstance(translators := getattr(lens, "layer_translators", None), nn.Module):
        name, state = "in memory", translators.state_dict()
    else:
        raise ModelError(
            f"tuned is {kind_of(lens)}. Pass a folder that holds config.json and params.pt, as `TunedLens.save` of the "
            "library tuned_lens writes them, or such a lens itself."
        )
    width, n_layers = int(access.opened.config.hidden_size), access.n_layers
    try:
        weights = tuple(state[f"{layer}.weight"] for layer in range(n_layers))
    except KeyError as error:
        raise ModelError(
            f"The tuned lens {name} has no {error.args[0]}, but {access.opened.name} has {n_layers} layers. Pass the "
            "lens that was trained for this model."
        ) from None
    biases = tuple(state.get(f"{layer}.bias") for layer in range(n_layers))
    wrong = [tuple(weight.shape) for weight in weights if weight.shape != (width, width)]
    if wrong or f"{n_layers}.weight" in state:
        has = f"maps of shape {wrong[0]}" if wrong else "more layers"
        raise ModelError(
            f"The tuned lens {name} has {has}, but {access.opened.name} has {n_layers} layers and a stream of {width}. "
            "Pass the lens that was trained for this model."
        )
    return Translators(name, weights, biases)


def _load(folder: Path) -> tuple[str, Mapping[str, Any]]:
    config, params = folder / "config.json", folder / "params.pt"
    for file in (config, params):
        if not file.is_file():
            raise ModelError(f"There is no {file.name} in {folder}. Pass a folder as the library tuned_lens saves it.")
    kind = json.loads(config.read_text(encoding="utf-8")).get("lens_type", "linear_tuned_lens")
    if kind != "linear_tuned_lens":
        raise ModelError(f"{folder} holds a {kind}, but only linear_tuned_lens is read: x + W x + b for each layer.")
    # Tensors alone: a pickle may otherwise run anything.
    state: Mapping[str, Any] = torch.load(params, map_location="cpu", weights_only=True)
    return folder.name, state
