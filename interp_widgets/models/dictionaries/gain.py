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


def past_gain(
    weights: Weights, access: Access, reads: Spot, name: str, *, transcodes: bool, normalises: bool = False
) -> Weights:
    """Make weights that read what is before the gain read what is after it, mlp_in; others stay as they are.

    Args:
        weights: of the dictionary.
        access: the model.
        reads: where it reads.
        name: of the dictionary.
        transcodes: whether it writes elsewhere; else what it writes is past the gain too.
        normalises: whether it normalises what it reads, which it could then not do as before.

    Raises:
        FeatureError: no norm is known to come before the MLP, or its gain cannot be made up for.
    """
    if not reads.before_gain:
        return weights
    gain = _gain(access, reads.place.layer, name).to(weights.encoder.device)
    if normalises and bool((gain != 1).any()):
        raise FeatureError(
            f"{name} normalises what is before the gain of the norm in layer {reads.place.layer}, which is not "
            "supported: it can only be read after the gain here."
        )
    skip = None if weights.skip is None else weights.skip / gain
    inward = replace(weights, encoder=weights.encoder / gain, skip=skip)
    if transcodes:
        return inward
    bias, centre = weights.decoder_bias, weights.centre
    return replace(
        inward,
        decoder=weights.decoder * gain,
        decoder_bias=None if bias is None else bias * gain,
        centre=None if centre is None else centre * gain,
    )


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
    gain = rms_gain(access, norm, width)
    if gain is None:
        return torch.ones(width)
    if not bool((gain != 0).all()):
        raise FeatureError(
            f"{name} reads what is before the gain of the norm in layer {layer}, which is zero for some numbers, so "
            "that they cannot be read after it."
        )
    return gain
