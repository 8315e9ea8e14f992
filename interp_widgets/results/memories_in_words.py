"""What adds up to a prediction, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp_widgets.results.words import counted

if TYPE_CHECKING:
    from interp_widgets.results.memories import MemoriesResult, Memory

_NAMED = 3
"""Neurons and tokens that are named."""


def in_words(result: MemoriesResult) -> str:
    """Return what `MemoriesResult.summary` does."""
    lines = [
        f"{result.provenance.model} on {counted(len(result.tokens), 'token')}: the logit of {result.answer} is "
        f"{result.logit:.3g} above {against(result)}.",
        f"{_signed(result.parts[0].contribution)} come from the embedding, "
        f"{_signed(result.contribution_of('attn_out'))} directly from attention, "
        f"{_signed(result.contribution_of('mlp_out'))} from MLPs and {_signed(result.parts[-1].contribution)} from "
        "biases.",
    ]
    if (since := _since(result)) is not None:
        lines.append(since)
    half = result.making_up(0.5)
    where = f"layer {result.layers[0]}" if len(result.layers) == 1 else f"{len(result.layers)} layers"
    lines.append(
        f"{half:,} of {result.contributions.size:,} neurons of {where} make up half of what all of them add and take "
        "away."
    )
    lines += [_memory(memory) for memory in result.memories[:_NAMED]]
    if not result.complete:
        lines.append("There is more of the corpus to read.")
    return "\n".join(lines)


def against(result: MemoriesResult) -> str:
    """What the answer's logit is compared with, in words."""
    return "the mean over the vocabulary" if result.wrong_answer is None else f"that of {result.wrong_answer}"


def _since(result: MemoriesResult) -> str | None:
    """From which part on the answer is what the model would say."""
    first = len(result.parts)
    while first and result.parts[first - 1].top == result.answer:
        first -= 1
    if first == len(result.parts):
        return f"The model says {result.parts[-1].top} ({result.parts[-1].top_prob:.0%}) instead."
    return f"It is the most probable token from {result.parts[first].component} on."


def _memory(memory: Memory) -> str:
    said = f"Neuron {memory.name} fires at {memory.activation:.3g} and adds {_signed(memory.contribution)}"
    if memory.card.promotes:
        said += f": its value promotes {', '.join(word.token.label for word in memory.card.promotes[:_NAMED])}"
    if memory.triggers:
        said += f"; it fires most on {', '.join(token.label for token, _ in memory.triggers[:_NAMED])}"
    return f"{said}."


def _signed(number: float) -> str:
    return f"{number:+.3g}"
