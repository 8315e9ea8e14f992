"""An attribution as the page reads it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.attribution import AttributionResult, Component
from interp_widgets.results.attribution_parts import HeadSources, NeuronParts
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.provenance import Provenance
from interp_widgets.views._token_strip import wire_text
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.attribution import (
    AttributionArrays,
    AttributionChoice,
    AttributionSpec,
    WireComponent,
    WireNeurons,
    WireSources,
)

MOST_NUMBERS = 4_000_000
"""Contributions that a page takes: 16 MB."""
_NEURONS = 24
"""How many neurons of an MLP travel, those that lead in a mean over prompts, and as many that lead in each prompt."""
_MOST_OF_NEURONS = 400_000
"""About how many numbers of them at most."""


def attribution_spec(result: AttributionResult, *, opens: bool) -> AttributionSpec:
    """All that the page shows apart from numbers.

    Args:
        result: what is shown.
        opens: whether components can be taken further apart.

    Raises:
        SelectionError: more contributions than a page takes.
    """
    if result.contributions.size > MOST_NUMBERS:
        prompts, targets, components = result.contributions.shape
        raise SelectionError(
            f"{prompts:,} prompts x {targets:,} positions x {components:,} components are more than the "
            f"{MOST_NUMBERS:,} contributions that a page takes. Ask for fewer positions= or prompts, or use "
            "run_attribution, which has no such limit."
        )
    kinds = {part.kind for part in result.components}
    heads = [part.head for part in result.components if part.head is not None]
    layers = [part.layer for part in result.components if part.layer is not None]
    return {
        "text": wire_text("prompts" if len(result.prompts) > 1 else "prompt", result.prompts),
        "ids": wire_array(np.concatenate([prompt.ids for prompt in result.prompts]), "int32"),
        "components": [_component(part) for part in result.components],
        "n_layers": 1 + max(layers, default=-1),
        "n_heads": 1 + max(heads, default=-1),
        "targets": wire_array(result.targets, "int32"),
        "opens": opens,
        "has_sources": "head" in kinds,
        "has_neurons": "mlp" in kinds,
        "code": dict(result.code),
        "provenance": _provenance(result.provenance),
    }


def attribution_arrays(result: AttributionResult) -> AttributionArrays:
    """The contributions of a result, or of what there is of it."""
    return {
        "contributions": wire_array(result.contributions, "float32"),
        "logits": wire_array(result.logits, "float32"),
        "unexplained": wire_array(result.unexplained, "float32"),
        "scales": wire_array(result.scales, "float32"),
        "answers": [token.label for token in result.answers],
        "wrong_answers": [None if token is None else token.label for token in result.wrong_answers],
        "answer_ids": [token.id for token in result.answers],
        "wrong_answer_ids": [None if token is None else token.id for token in result.wrong_answers],
    }


def wire_sources(sources: Mapping[tuple[int, int], HeadSources]) -> dict[str, WireSources]:
    """What heads bring from each token, by layer and head."""
    return {
        f"{layer}.{head}": {
            "contributions": wire_array(found.contributions, "float32"),
            "weights": wire_array(found.weights, "float32"),
        }
        for (layer, head), found in sources.items()
    }


def wire_neurons(neurons: Mapping[int, NeuronParts]) -> dict[str, WireNeurons]:
    """The strongest neurons of MLPs, by layer."""
    return {str(layer): _neurons(found) for layer, found in neurons.items()}


def choice_of(component: Component) -> AttributionChoice:
    """The place of a component."""
    return {"site": str(component.place["site"]), "layer": component.layer, "head": component.head}


def _neurons(found: NeuronParts) -> WireNeurons:
    done = found.contributions[found.computed]
    prompts, targets, count = done.shape
    most = max(_NEURONS, _MOST_OF_NEURONS // max(1, found.contributions.shape[0] * targets))
    chosen: dict[int, None] = {}
    for each in ([done.mean(axis=0, dtype=np.float64)] if prompts else []) + [*done]:
        for target in _leading(each):
            chosen |= dict.fromkeys(target.tolist())
    kept = np.array([*chosen][:most], np.int64)
    return {
        "count": count,
        "neurons": wire_array(kept, "int32"),
        "contributions": wire_array(found.contributions[..., kept], "float32"),
        "activations": wire_array(found.activations[..., kept], "float32"),
    }


def _leading(contributions: NDArray[np.floating]) -> NDArray[np.int64]:
    """The neurons with the largest contributions by size at each target, (target, neuron)."""
    leading: NDArray[np.int64] = np.argsort(-np.abs(contributions), axis=-1, kind="stable")[:, :_NEURONS]
    return leading


def _component(part: Component) -> WireComponent:
    place = choice_of(part)
    return {"name": part.name, "kind": part.kind, **place}


def _provenance(source: Provenance) -> list[str]:
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    settings = [f"{name}: {said}" for name, said in source.settings.items()]
    return [source.model, f"{source.dtype}, weights {source.fingerprint}", *settings, versions]
