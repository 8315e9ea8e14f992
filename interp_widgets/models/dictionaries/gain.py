"""Dictionaries that read what is before the gain of the norm in front of an MLP."""

from __future__ import annotations

from dataclasses import replace

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.coder import Weights
from interp_widgets.models.dictionaries.places import Spot, width_of
from interp_widgets.models.norms import norm_before_mlp, rms_gain
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError


def past_gain(weights: Weights, access: Access, reads: Spot, name: str) -> Weights:
    """Make weights that read what is before the gain read what is after it, mlp_in; others stay as they are.

    Raises:
        FeatureError: no norm is known to come before the MLP, or its gain is zero somewhere.
    """
    if not reads.before_gain:
        return weights
    gain = _gain(access, reads.place.layer, name).to(weights.encoder.device)
    skip = None if weights.skip is None else weights.skip / gain
    return replace(weights, encoder=weights.encoder / gain, skip=skip)


def _gain(access: Access, layer: int, name: str) -> torch.Tensor:
    """Return what the norm before an MLP multiplies numbers by after TransformerLens' `ln2.hook_normalized`.

    That is its gain in an RMS norm. What a layer norm hands over there has its gain and bias already: ones.

    Raises:
        FeatureError: no norm is known to come before the MLP.
    """
    width = width_of(access, Place("mlp_in", layer))
    norm = norm_before_mlp(access, layer)
    if norm is None:
        raise FeatureError(
            f"{name} reads what a norm hands to the MLP of layer {layer}, and {access.opened.name} has no such norm."
        )
    gain = rms_gain(norm, width)
    if gain is None:
        return torch.ones(width)
    if not bool((gain != 0).all()):
        raise FeatureError(
            f"{name} reads what is before the gain of the norm in layer {layer}, which is zero for some numbers, so "
            "that they cannot be read after it."
        )
    return gain
