"""Open whatever a user means by `features` as a dictionary of latents."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.coder import Coder
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.folders import open_folder
from interp_widgets.models.dictionaries.matrix import directions
from interp_widgets.models.dictionaries.neurons import Neurons
from interp_widgets.models.dictionaries.own import Coding, Own
from interp_widgets.models.dictionaries.places import Asked, check_width, width_of
from interp_widgets.models.dictionaries.saelens import from_saelens_object, is_saelens
from interp_widgets.models.dictionaries.sparsify import from_sparsify_object, is_sparsify
from interp_widgets.models.dictionaries.topk import TopKSAE
from interp_widgets.models.dictionaries.topk_folder import is_ours
from interp_widgets.models.numbers import kind_of
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError

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
        ResultError: a folder of `TopKSAE.save` that was damaged.
        UnknownNameError: no such site.
        SiteError: the architecture lacks the site.
        SelectionError: there is no such layer, or none was named where one is needed.
    """
    asked = Asked(site, layer)
    if isinstance(features, Dictionary):
        return _checked(_as_asked(features, asked), access)
    if isinstance(features, str) and features == "neurons":
        return _neurons(access, asked)
    if isinstance(features, (str, Path)):
        folder = Path(features).expanduser()
        if is_ours(folder):  # SAELens' format, and names and curves that its reader would leave behind
            return _checked(_as_asked(TopKSAE.load(folder), asked), access)
        return _checked(open_folder(folder, access, asked), access)
    if isinstance(features, (torch.Tensor, np.ndarray)):
        place = Asked(site or "resid_post", layer).place("directions")
        return _checked(directions(features, place), access)
    if is_saelens(features):
        return _checked(from_saelens_object(features, access, asked), access)
    if is_sparsify(features):
        return _checked(from_sparsify_object(features, access, asked), access)
    if isinstance(features, Coding) and not isinstance(features, type):
        reads = asked.place(type(features).__name__)
        writes = Place("mlp_out", reads.layer) if reads.site == "mlp_in" else reads
        return Own(features, width_of(access, reads), width_of(access, writes), reads=reads, writes=writes)
    raise FeatureError(
        f"{kind_of(features)} is no dictionary of latents. Pass a folder that holds one, a SAELens SAE, any object "
        'with encode and decode, a matrix whose rows are directions, or "neurons".'
    )


def _neurons(access: Access, asked: Asked) -> Dictionary:
    if asked.site not in (None, "mlp_post"):
        raise FeatureError(f"Neurons are at mlp_post, not at {asked.site}. Leave out site=.")
    place = Asked("mlp_post", asked.layer).place("neurons")
    width_of(access, place)
    return Neurons(access, place.layer)


def _as_asked(dictionary: Dictionary, asked: Asked) -> Dictionary:
    reads = dictionary.info.reads
    if asked.site not in (None, reads.site) or asked.layer not in (None, reads.layer):
        raise FeatureError(f"The input of {dictionary.info.name} is {reads}. Leave out site= and layer=.")
    return dictionary


def _checked(dictionary: Dictionary, access: Access) -> Dictionary:
    info = dictionary.info
    check_width(access, info.reads, info.d_in, info.name, "input")
    if isinstance(dictionary, Coder):
        check_width(access, info.writes, dictionary.decoder.shape[1], info.name, "output")
    return dictionary
