"""Open whatever a user means by `features` as a dictionary of latents."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.matrix import directions
from interp_widgets.models.dictionaries.neurons import Neurons
from interp_widgets.models.dictionaries.own import Coding, Own
from interp_widgets.models.dictionaries.places import check_width, parse_place, width_of
from interp_widgets.models.numbers import kind_of
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, SelectionError

Features: TypeAlias = "Dictionary | Coding | torch.Tensor | NDArray[np.floating] | str | Path"
"""A dictionary of latents: the bundled one or one of `train_sae`, one of SAELens or of sparsify, a local folder that
holds one, any object with `encode` and `decode`, a matrix of directions, or the name "neurons"."""


def open_dictionary(
    features: Features, access: Access, *, site: str | None = None, layer: int | None = None
) -> Dictionary:
    """Open latents and check that they belong to a model.

    Args:
        features: the latents, in any of the forms that `Features` names.
        access: the model.
        site: where they are read; a dictionary that knows it needs none. `mlp_in`, what the MLP gets after its norm,
            is read by transcoders. Directions are read at resid_post unless it says otherwise.
        layer: of the site.

    Raises:
        FeatureError: no latents, a file that is none of them, or latents that do not belong to the model.
        UnknownNameError: no such site.
        SiteError: the architecture lacks the site.
        SelectionError: there is no such layer, or none was named where one is needed.
    """
    if isinstance(features, Dictionary):
        return _checked(features, access, site, layer)
    if isinstance(features, str) and features == "neurons":
        return _neurons(access, site, layer)
    if isinstance(features, (torch.Tensor, np.ndarray)):
        place = _place(site or "resid_post", layer, "directions")
        return _checked(directions(features, place), access)
    if isinstance(features, Coding) and not isinstance(features, type):
        return _own(features, access, site, layer)
    raise FeatureError(
        f"{kind_of(features)} is no dictionary of latents. Pass a folder that holds one, a SAELens SAE, any object "
        'with encode and decode, a matrix whose rows are directions, or "neurons".'
    )


def _neurons(access: Access, site: str | None, layer: int | None) -> Dictionary:
    if site not in (None, "mlp_post"):
        raise FeatureError(f"Neurons are at mlp_post, not at {site}. Leave out site=.")
    place = _place("mlp_post", layer, "neurons")
    width_of(access, place)
    return Neurons(access, place.layer)


def _own(coding: Coding, access: Access, site: str | None, layer: int | None) -> Dictionary:
    reads = _place(site, layer, type(coding).__name__)
    writes = Place("mlp_out", reads.layer) if reads.site == "mlp_in" else reads
    return Own(coding, width_of(access, reads), width_of(access, writes), reads=reads, writes=writes)


def _place(site: str | None, layer: int | None, what: str) -> Place:
    missing = [f"{name}=" for name, value in (("site", site), ("layer", layer)) if value is None]
    if missing:
        raise SelectionError(f"It is not known where {what} are read. Say it with {' and '.join(missing)}.")
    return parse_place(site, layer)


def _checked(dictionary: Dictionary, access: Access, site: str | None = None, layer: int | None = None) -> Dictionary:
    info = dictionary.info
    if (site or info.reads.site, info.reads.layer if layer is None else layer) != (info.reads.site, info.reads.layer):
        raise FeatureError(f"{info.name} reads {info.reads}. Leave out site= and layer=.")
    check_width(access, info.reads, info.d_in, info.name, "reads")
    return dictionary
