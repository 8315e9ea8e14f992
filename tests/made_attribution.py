"""Attributions made by hand, for tests of what shows and saves them: every number is known without a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from interp_widgets.results.attribution import AttributionResult, Component
from interp_widgets.results.attribution_parts import HeadSources, NeuronParts
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Token, Tokens

PROMPTS = (
    ("␣When", "␣Mary", "␣and", "␣John", ",", "␣John", "␣gave", "␣to"),
    ("␣Then", "␣Anna", "␣met", "␣Tom", ",", "␣Tom", "␣gave", "␣it", "␣to"),
    ("␣Kim", "␣and", "␣Ann", ",", "␣Ann", "␣to"),
)
ANSWERS = (Token(11, "␣Mary"), Token(12, "␣Anna"), Token(13, "␣Kim"))
OTHERS = (Token(21, "␣John"), Token(22, "␣Tom"), Token(23, "␣Ann"))
LAYERS, HEADS = 3, 4
MOVER, ERASER = (2, 1), (1, 3)
"""A head for the answer and one against it: the strongest of all."""


def components(layers: int = LAYERS, heads: int = HEADS) -> tuple[Component, ...]:
    """Those of a model like GPT-2."""
    parts = [Component("token embedding", "token"), Component("position embedding", "position")]
    for layer in range(layers):
        parts += [Component(f"head {layer}.{head}", "head", layer, head) for head in range(heads)]
        parts += [Component(f"attention {layer} bias", "bias", layer), Component(f"MLP {layer}", "mlp", layer)]
        parts.append(Component(f"MLP {layer} bias", "bias", layer))
    return (*parts, Component("last biases", "bias"))


def result(
    prompts: Sequence[Sequence[str]] = PROMPTS[:1],
    *,
    targets: int = 1,
    parts: bool = False,
    layers: int = LAYERS,
    heads: int = HEADS,
) -> AttributionResult:
    """A complete result, with other numbers in every cell, so that a transposition or a shift cannot go unseen.

    Args:
        prompts: their tokens.
        targets: so many of the last positions.
        parts: with the two strongest heads by source, and the neurons of MLP 1.
        layers: of the model.
        heads: of a layer.
    """
    named = components(layers, heads)
    shape = (len(prompts), targets, len(named))
    contributions = (np.arange(np.prod(shape)).reshape(shape) % 17 - 8).astype(np.float32) / 100
    for place, value in ((MOVER, 2.0), (ERASER, -1.25)):
        at = next(n for n, part in enumerate(named) if (part.layer, part.head) == place)
        contributions[:, :, at] = value + 0.25 * np.arange(len(prompts))[:, None]
    contributions[:, :, next(n for n, part in enumerate(named) if part.name == "MLP 1")] = 0.75
    lengths = np.array([len(prompt) for prompt in prompts])
    made = AttributionResult(
        prompts=tuple(Tokens(tuple(range(len(labels))), tuple(labels)) for labels in prompts),
        answers=tuple(ANSWERS[n % 3] for n in range(len(prompts))),
        wrong_answers=tuple(OTHERS[n % 3] for n in range(len(prompts))),
        components=named,
        targets=(lengths[:, None] - targets + np.arange(targets)).astype(np.int32),
        contributions=contributions,
        logits=contributions.sum(-1, dtype=np.float64) + 2e-6,
        scales=np.full(shape[:2], 2.5),
        provenance=Provenance("made by hand", "0123abcd", "float32", {"nnsight": "0.8.1"}, 3.0, 1.5),
        code={"z": "print($layer, $head, $ids, $pos, 'W$answer - W$wrong_answer')\n", "mlp_out": "print($layer)\n"},
    )
    if not parts:
        return made
    return replace(
        made,
        sources={place: sources(made, *place) for place in (MOVER, ERASER)},
        neurons={1: neurons(made, 1)},
    )


def sources(of: AttributionResult, layer: int, head: int) -> HeadSources:
    """A head that takes three quarters from the second token and the rest from the target itself."""
    total = of.heads()[:, :, layer, head]
    weights = np.full((*of.targets.shape, max(map(len, of.prompts))), np.nan, np.float32)
    for number, prompt in enumerate(of.prompts):
        weights[number, :, : len(prompt)] = 0
        weights[number, :, 1] = 0.75
        for target, position in enumerate(of.targets[number]):
            weights[number, target, position] += 0.25
    return HeadSources(layer, head, weights * total[..., None], weights)


def neurons(of: AttributionResult, layer: int, count: int = 40) -> NeuronParts:
    """Of an MLP's contribution the fifth neuron has nine tenths, and all others share the rest."""
    total = of.of("mlp", layer)
    contributions = np.repeat(total[..., None] * 0.1 / (count - 1), count, axis=-1).astype(np.float32)
    contributions[..., 5] = 0.9 * total
    return NeuronParts(layer, contributions, np.full(contributions.shape, 1.5, np.float32))


def until(whole: AttributionResult, prompts: int) -> AttributionResult:
    """A result of which only the first prompts are computed."""
    later = np.arange(len(whole.prompts)) >= prompts
    blank = {name: getattr(whole, name).copy() for name in ("contributions", "logits", "scales")}
    for array in blank.values():
        array[later] = np.nan
    return replace(whole, **blank, sources={}, neurons={})


def steps(
    whole: AttributionResult, fail_at: int | None = None
) -> Generator[AttributionResult, None, AttributionResult]:
    """Reveal a result a prompt at a time; optionally fail before one."""
    for prompt in range(1, len(whole.prompts)):
        if prompt == fail_at:
            raise RuntimeError("the model broke")
        yield until(whole, prompt)
    return whole
