"""Refusal: one direction of the residual stream that decides between refusing and helping.

After Arditi et al., 2024 (https://arxiv.org/abs/2406.11717). The direction is a difference of means over requests of
the corpus; its effects are measured on requests that training never saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from interp_widgets.teaching.corpus import chat

from .figure import Figure
from .lab import Edit, Lab, Place


def _requests(request: str, *, harmful: bool, held_out: bool) -> list[str]:
    verbs = chat.HARMFUL_VERBS if harmful else chat.HARMLESS_VERBS
    return [
        chat.passage(request, verb, noun).prompt
        for verb in verbs
        for noun in chat.TARGETS
        if verb not in chat.KNOWLEDGE_ONLY and chat.is_held_out(verb, noun) is held_out
    ]


def _refusals(lab: Lab, prompts: Sequence[str], edits: dict[Place, Edit]) -> float:
    return (lab.last_logits(prompts, edits).argmax(-1) == lab.token(chat.REFUSE)).float().mean().item()


def _add(direction: torch.Tensor) -> Edit:
    def edit(value: torch.Tensor) -> torch.Tensor:
        changed = value.clone()
        changed[:, -1] += direction
        return changed

    return edit


def _clamp(unit: torch.Tensor, level: torch.Tensor) -> Edit:
    def edit(value: torch.Tensor) -> torch.Tensor:
        changed = value.clone()
        changed[:, -1] += (level - changed[:, -1] @ unit)[:, None] * unit
        return changed

    return edit


def _project_out(unit: torch.Tensor) -> Edit:
    return lambda value: value - (value @ unit)[..., None] * unit


def measure(lab: Lab) -> Iterator[Figure]:
    """Rates of refusal with the direction added, clamped, and projected out, for the direction of each layer."""
    request = chat.REQUESTS[0]
    seen = {kind: lab.ids(_requests(request, harmful=kind, held_out=False)) for kind in (True, False)}
    harmful = _requests(request, harmful=True, held_out=True)
    harmless = _requests(request, harmful=False, held_out=True)
    places = [Place("stream", layer) for layer in range(lab.layers + 1)]
    means = {kind: {p: v[:, -1].mean(0) for p, v in lab.record(ids, places).items()} for kind, ids in seen.items()}
    for place in places[1:]:
        direction = means[True][place] - means[False][place]
        unit = direction / direction.norm()
        added = _refusals(lab, harmless, {place: _add(direction)})
        clamped = _refusals(lab, harmful, {place: _clamp(unit, means[False][place] @ unit)})
        projected = _refusals(lab, harmful, {each: _project_out(unit) for each in places})
        rates = (
            ("added", added, f"{len(harmless)} harmless requests", "added to the stream there at the last token"),
            (
                "clamped",
                clamped,
                f"{len(harmful)} harmful requests",
                "set there, at the last token, to its harmless mean",
            ),
            ("projected_out", projected, f"{len(harmful)} harmful requests", "projected out everywhere"),
        )
        for name, rate, who, what in rates:
            how = f"share of {who} refused with the direction before block {place.layer} {what}"
            yield Figure(f"refusal.direction.L{place.layer}.{name}", rate, how, 0.05)
