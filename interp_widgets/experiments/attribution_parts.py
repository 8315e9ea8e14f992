"""Take single components of an attribution further apart: a head by source token, an MLP by neuron."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.models.access import Access, Runs, resolve
from interp_widgets.models.dictionaries.neurons import Neurons
from interp_widgets.models.direct import AnswerReaders, answer_readers
from interp_widgets.models.finite import check_finite
from interp_widgets.models.heads import Columns
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.patterns import scan
from interp_widgets.models.straight import Straight
from interp_widgets.results.attribution import AttributionResult
from interp_widgets.results.attribution_parts import HeadSources, NeuronParts
from interp_widgets.results.errors import ModelError, SelectionError
from interp_widgets.results.terms import Site


@dataclass(frozen=True)
class Parts:
    """Takes single heads and MLPs further apart, by running the prompts of a result again."""

    by_source: Callable[[AttributionResult, int, int], Generator[HeadSources, None, HeadSources]]
    """Of a layer and a head; yields what there is after each prompt."""
    neurons: Callable[[AttributionResult, int], Generator[NeuronParts, None, NeuronParts]]
    """Of a layer; yields what there is after each prompt."""


def parts_on_request(model: ModelLike, tokenizer: object | None = None) -> Parts:
    """Return what takes components of a model's attributions further apart."""
    access = resolve(open_model(model, tokenizer))
    straight = Straight(access)

    def sources(result: AttributionResult, layer: int, head: int) -> Generator[HeadSources, None, HeadSources]:
        check_head(access, layer, head)
        return head_sources(access, straight, result, layer, head)

    def neurons(result: AttributionResult, layer: int) -> Generator[NeuronParts, None, NeuronParts]:
        check_neurons(access, layer)
        return neuron_parts(access, straight, result, layer)

    return Parts(sources, neurons)


def check_head(access: Access, layer: int, head: int) -> None:
    """Refuse a head that does not exist.

    Raises:
        SiteError: the architecture has no patterns.
        SelectionError: there is no such layer or head.
    """
    access.check_site("pattern")
    _check_layer(access, layer)
    last = (access.n_heads or 0) - 1
    if not 0 <= head <= last:
        raise SelectionError(f"There is no head {head} in a layer of {access.opened.name}: they run from 0 to {last}.")


def check_neurons(access: Access, layer: int) -> None:
    """Refuse an MLP that does not exist, or that has no neurons.

    Raises:
        SiteError: the architecture has none, as in a mixture of experts.
        SelectionError: there is no such layer.
    """
    access.check_site("mlp_post")
    _check_layer(access, layer)


def _check_layer(access: Access, layer: int) -> None:
    if not 0 <= layer < access.n_layers:
        raise SelectionError(
            f"There is no layer {layer} in {access.opened.name}: they run from 0 to {access.n_layers - 1}."
        )


@torch.no_grad()
def head_sources(
    access: Access, straight: Straight, result: AttributionResult, layer: int, head: int
) -> Generator[HeadSources, None, HeadSources]:
    """Find what a head brings from each token, one prompt after the other.

    Args:
        access: the model.
        straight: its straight paths.
        result: whose prompts, answers and positions are taken.
        layer: of the head.
        head: its number.

    Raises:
        ModelError: what the head adds to the stream is not known to be linear in its values.
    """
    ending = straight.ending("attn", layer)
    if ending is None:
        raise ModelError(
            f"It is not known how heads of {access.opened.name} write to the stream, so what one of them brings from a "
            "token cannot be told."
        )
    shape = (*result.targets.shape, max(map(len, result.prompts)))
    contributions, weights = (np.full(shape, np.nan, np.float32) for _ in range(2))

    def found() -> HeadSources:
        return HeadSources(layer, head, contributions.copy(), weights.copy())

    for number, (ids, runs, readers) in _again(access, straight, result, ("z",)):
        targets = result.targets[number].tolist()
        z = runs.site("z", layer)[0, targets].float().flatten(1)
        back = ending.back(readers.directions, ending.size(z).to(readers.directions.device), z.shape[1])
        own = back.reshape(len(targets), -1, access.d_head or 1)[:, head]
        contributions[number, :, : ids.shape[1]], weights[number, :, : ids.shape[1]] = _brought(
            access, ids, layer, head, targets, own
        )
        yield found()
    return found()


@torch.no_grad()
def _brought(
    access: Access, ids: torch.Tensor, layer: int, head: int, targets: list[int], readers: torch.Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a head brings from each token, and its pattern, each (target, source); `readers` read its z there."""
    layout = access.inside.heads
    assert layout is not None, "the head was checked"
    brought: list[torch.Tensor] = []
    pattern: list[torch.Tensor] = []

    def use(_layer: int, part: Columns) -> None:
        weights = part.weights[0, head, targets].float()
        values = layout.shared(part.values)[0, :, head].float()
        brought.append((weights * (readers.to(values.device) @ values.T)).cpu())
        pattern.append(weights.cpu())

    for _ in scan(access, ids, [layer], use):
        pass
    return torch.cat(brought, dim=-1).numpy(), torch.cat(pattern, dim=-1).numpy()


@torch.no_grad()
def neuron_parts(
    access: Access, straight: Straight, result: AttributionResult, layer: int
) -> Generator[NeuronParts, None, NeuronParts]:
    """Find what each neuron of a layer does, one prompt after the other.

    Args:
        access: the model.
        straight: its straight paths.
        result: whose prompts, answers and positions are taken.
        layer: of the MLP.

    Raises:
        FeatureError: what the MLP adds is not linear in its neurons.
    """
    neurons = Neurons(access, layer)
    shape = (*result.targets.shape, neurons.info.n_latents)
    contributions, activations = (np.full(shape, np.nan, np.float32) for _ in range(2))

    def found() -> NeuronParts:
        return NeuronParts(layer, contributions.copy(), activations.copy())

    for number, (_, runs, readers) in _again(access, straight, result, ("mlp_post",)):
        post = runs.site("mlp_post", layer)[0, result.targets[number].tolist()].float()
        reads = readers.directions.to(neurons.decoder.device) @ neurons.decoder.T
        each = post.to(reads.device) * reads * neurons.scale(post).to(reads.device)
        contributions[number], activations[number] = each.cpu().numpy(), post.cpu().numpy()
        yield found()
    return found()


def _again(
    access: Access, straight: Straight, result: AttributionResult, sites: tuple[Site, ...]
) -> Generator[tuple[int, tuple[torch.Tensor, Runs, AnswerReaders]], None, None]:
    """Run the prompts of a result again, with what reads their answers; those that it has not reached are left out."""
    opened = access.opened
    for number, prompt in enumerate(result.prompts):
        if np.isnan(result.logits[number]).any():
            continue
        ids = torch.tensor([prompt.ids], device=opened.device)
        with torch.no_grad():
            runs = access.read(ids, sites)
        check_finite(runs.stream, runs.logits, opened.name, opened.dtype)
        wrong = result.wrong_answers[number]
        last = runs.stream[-1][0, result.targets[number].tolist()]
        wrong_id = None if wrong is None else wrong.id
        readers = answer_readers(access, straight, ids[0], last, result.answers[number].id, wrong_id)
        yield number, (ids, runs, readers)
