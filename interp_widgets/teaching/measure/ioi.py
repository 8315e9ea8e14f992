"""Indirect objects: heads that read the repeated name, and name movers that attend to the other one.

After Wang et al., 2022 (https://arxiv.org/abs/2211.00593). Only the parts of that circuit that are measured here are
claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import torch

from interp_widgets.teaching.pairs import PromptPair
from interp_widgets.teaching.prompt_sets import prompts

from .figure import Figure
from .heads import head_shares, moved
from .lab import Edit, Lab, Place, differences, put

NAME_MOVER: Final = 0.3
"""Attention to the indirect object less attention to the subject above which a head counts as a name mover."""


def attention_from_end(lab: Lab, pairs: Sequence[PromptPair], role: str) -> torch.Tensor:
    """Mean attention from the last token to a role's token, (layers, heads)."""
    patterns = lab.patterns(lab.ids([pair.clean for pair in pairs]))
    columns = [patterns[:, i, :, -1, pair.roles[role][0]] for i, pair in enumerate(pairs)]
    return torch.stack(columns).mean(0)


def name_movers(io: torch.Tensor, subject: torch.Tensor) -> list[tuple[int, int]]:
    """Heads that attend to the indirect object rather than to the subject."""
    return [(int(layer), int(head)) for layer, head in (io - subject > NAME_MOVER).nonzero()]


def measure(lab: Lab) -> Iterator[Figure]:
    """What every head attends to, which heads carry the repeated name, and what the name movers do together."""
    pairs = prompts("ioi", n=64).pairs
    looks = {role: attention_from_end(lab, pairs, role) for role in ("IO", "S1", "S2")}
    shares = head_shares(lab, pairs, lambda logits: differences(lab, logits, pairs))
    how = "attention from the last token to {}, mean over 64 prompts of held-out names"
    for layer in range(lab.layers):
        for head in range(lab.heads):
            for role, pattern in looks.items():
                name = f"ioi.attention.L{layer}H{head}.{role}"
                yield Figure(name, pattern[layer, head].item(), how.format(role))
            yield Figure(
                f"ioi.head_share.L{layer}H{head}",
                shares[layer, head].item(),
                "share of the logit difference that moves when this head's output comes from the corrupt prompt",
                0.03,
            )
    movers = name_movers(looks["IO"], looks["S1"])
    gap = (looks["IO"] - looks["S1"]).max().item()
    yield Figure("ioi.name_mover_gap", gap, "largest attention to IO less attention to S1 of any head, as above")
    yield from _together(lab, pairs, movers)


def _together(lab: Lab, pairs: Sequence[PromptPair], movers: list[tuple[int, int]]) -> Iterator[Figure]:
    clean, corrupt = lab.ids([pair.clean for pair in pairs]), lab.ids([pair.corrupt for pair in pairs])
    host = differences(lab, lab.all_logits(clean)[:, -1], pairs)
    donor = differences(lab, lab.all_logits(corrupt)[:, -1], pairs)
    layers = sorted({layer for layer, _ in movers})
    places = [Place("heads", layer) for layer in layers]
    swapped = lab.record(corrupt, places)
    own = lab.record(clean, places)

    def only_movers(donors: dict[Place, torch.Tensor]) -> dict[Place, Edit]:
        edits: dict[Place, Edit] = {}
        for place in places:
            mixed = own[place].clone()
            for width in (lab.head(head) for layer, head in movers if layer == place.layer):
                mixed[:, -1, width] = donors[place][:, -1, width]
            edits[place] = put(mixed, tokens=-1)
        return edits

    names = ", ".join(f"L{layer}H{head}" for layer, head in movers) or "no head"
    patched = differences(lab, lab.all_logits(clean, only_movers(swapped))[:, -1], pairs)
    how = f"share of the logit difference that moves when {names} at the last token come from the corrupt prompt"
    yield Figure("ioi.name_movers.share", moved(host, donor, patched), how, 0.03)
    means = {place: value.mean(0, keepdim=True).expand_as(value) for place, value in own.items()}
    without = differences(lab, lab.all_logits(clean, only_movers(means))[:, -1], pairs)
    how = (
        f"logit difference with {names} at the last token at their mean over prompts, against {host.mean().item():.1f}"
    )
    yield Figure("ioi.name_movers.ablated_logit_difference", without.mean().item(), how, 0.3)
