"""Directions of a site as people name them: a vector, a difference of means, a latent, two tokens to tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.steering import Vector, parse_vector
from interp_widgets.models.access import Access
from interp_widgets.models.answers import parse_answers
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.dictionaries.places import width_of
from interp_widgets.models.direct import Readout, contrast_of
from interp_widgets.models.numbers import as_plain, is_whole
from interp_widgets.models.straight import Straight
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, ModelError, SelectionError
from interp_widgets.results.terms import STREAM_SITES, Site


@runtime_checkable
class ByLayer(Protocol):
    """Anything that has a direction for each layer, such as what `difference_of_means` returns."""

    def vector(self, layer: int) -> NDArray[np.float32]:
        """Return the direction of a layer."""


Direction: TypeAlias = "Vector | ByLayer | tuple[str | int, str | int] | tuple[Features, int]"
"""A vector, one for each layer by way of `vector(layer)`, two tokens, or a dictionary and one of its latents."""
NamedDirections: TypeAlias = "Mapping[str, Direction]"


def parse_directions(
    directions: NamedDirections | None, access: Access, site: Site, layers: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Return directions by name, (layer, d).

    Raises:
        FeatureError: a direction of another width, zero, NaN or infinite.
        SelectionError: none for a layer, or no mapping of names.
        ModelError: two tokens, in a model whose logits are no readout of its stream.
    """
    if directions is None:
        return {}
    if not isinstance(directions, Mapping) or not directions:
        raise SelectionError(
            "directions maps a name to each direction, such as directions={'refusal': found.vector(2)}; "
            f"{'an empty mapping' if isinstance(directions, Mapping) else type(directions).__name__} was given."
        )
    found = {}
    for name, direction in directions.items():
        if not isinstance(name, str) or not name.strip():
            raise SelectionError(f"directions are named by text, not by {name!r}.")
        try:
            found[name] = _by_layer(direction, access, site, layers)
        except FeatureError as error:
            raise FeatureError(f"directions[{name!r}]: {error}") from error
    return found


def _by_layer(direction: Direction, access: Access, site: Site, layers: Sequence[int]) -> NDArray[np.float64]:
    where = f"{site} of {access.opened.name}"
    width = width_of(access, Place(site, layers[0]))
    if isinstance(direction, ByLayer):
        return np.stack([parse_vector(direction.vector(layer), width, where).double().numpy() for layer in layers])
    if isinstance(direction, tuple) and len(direction) == 2:
        first, second = direction
        if _is_token(first) and _is_token(second):
            vector = _telling_apart(cast("tuple[str | int, str | int]", direction), access, site)
        elif is_whole(as_plain(second)):
            vector = _latent(cast("Features", first), int(cast("int", second)), access, site)
        else:
            vector = parse_vector(direction, width, where)
    else:
        vector = parse_vector(cast("Vector", direction), width, where)
    vector = parse_vector(vector.cpu(), width, where)
    return np.repeat(vector.double().numpy()[None], len(layers), 0)


def _is_token(given: object) -> bool:
    return isinstance(given, str) or is_whole(as_plain(given))


def _telling_apart(tokens: tuple[str | int, str | int], access: Access, site: Site) -> torch.Tensor:
    """Return the direction along which the stream raises one token's logit above another's.

    The last norm's gain is in it, its division by the size of the stream, which is another one at every token, is not.
    """
    if site not in STREAM_SITES:
        raise ModelError(f"{tokens} tells tokens apart in the stream, and {site} is not as wide as that.")
    opened = access.opened
    straight = Straight(access)
    if straight.unembedding is None or straight.last is None:
        raise ModelError(
            f"It is not known how {opened.name} makes logits of its last stream, so that {tokens} is no direction of "
            "it. Pass a vector."
        )
    ids = [
        parse_answers(token, "directions", 1, tokenizer=opened.tokenizer, n_vocab=opened.n_answers)[0]
        for token in tokens
    ]
    assert ids[0] is not None
    if ids[0] == ids[1]:
        raise FeatureError(f"both tokens are [{opened.answer_labels(ids[0])}], so that nothing tells them apart.")
    norm = straight.last
    device = norm.gain.device
    readout = Readout(norm, straight.unembedding, torch.ones(1, device=device), 1.0, torch.zeros(1, device=device))
    return readout.reader(contrast_of(torch.zeros(opened.n_answers, device=device), ids[0], ids[1]))


def _latent(features: Features, latent: int, access: Access, site: Site) -> torch.Tensor:
    """Return what one unit of a latent adds."""
    dictionary = open_dictionary(features, access)
    if not 0 <= latent < dictionary.info.n_latents:
        raise SelectionError(
            f"there is no latent {latent}: those of {dictionary.info.name} are 0 to {dictionary.info.n_latents - 1}."
        )
    if site in STREAM_SITES and dictionary.info.writes.site not in STREAM_SITES:
        info = dictionary.info
        raise FeatureError(f"The output of {info.name} is {info.writes}, which is no direction of {site}.")
    return dictionary.decoder[latent]
