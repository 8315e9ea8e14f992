"""Directions that somebody chose, as a dictionary."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.models.dictionaries.activations import Identity
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError


def directions(matrix: torch.Tensor | NDArray[np.floating], place: Place) -> Coder:
    """Return a dictionary of directions, (n, d) or one of them alone, (d,): a latent is the dot product with its own.

    It writes v / |v|^2 for a direction v, normalised or not: that is the shortest change that raises the dot product
    with v by 1. So activations made to rise by some amount rise by exactly that. Directions that are not at right
    angles share what they see, and the sum of what they write is then no reconstruction.

    Raises:
        FeatureError: no matrix of numbers, or a direction that is zero, NaN or infinite.
    """
    try:
        # A copy: torch warns of arrays that cannot be written, as those of a result are.
        tensor = torch.as_tensor(np.array(matrix) if isinstance(matrix, np.ndarray) else matrix)
    except TypeError:
        raise FeatureError(f"Directions are rows of real numbers, and these are of type {matrix.dtype}.") from None
    if tensor.ndim == 1:
        tensor = tensor[None]
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise FeatureError(
            f"Directions are the rows of a matrix, (direction, number), and this has the shape {tuple(tensor.shape)}."
        )
    if tensor.is_complex():
        raise FeatureError(f"Directions are rows of real numbers, and these are of type {tensor.dtype}.")
    tensor = tensor.detach().float()
    squares = tensor.square().sum(1, keepdim=True)
    if not bool((squares > 0).all()):
        zero = int((squares[:, 0] > 0).int().argmin())
        raise FeatureError(f"Direction {zero} is zero, or NaN, so no dot product with it means anything. Leave it out.")
    name = f"{len(tensor)} direction{'s' if len(tensor) > 1 else ''}"
    weights = Weights(encoder=tensor, decoder=tensor / squares)
    return Coder(weights, Identity(), name=name, kind="directions", reads=place, writes=place)
