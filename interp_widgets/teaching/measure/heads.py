"""Which heads carry the difference between two prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from interp_widgets.teaching.pairs import PromptPair

from .lab import Lab, Place, put

Score = Callable[[torch.Tensor], torch.Tensor]
"""Logits at the end, (pairs, vocabulary), to one number a pair."""


def moved(host: torch.Tensor, donor: torch.Tensor, patched: torch.Tensor) -> float:
    """Share of the way from the host's score to the donor's that an edit went: 0 none, 1 all."""
    return ((patched - host).mean() / (donor - host).mean()).item()


def head_shares(lab: Lab, pairs: Sequence[PromptPair], score: Score) -> torch.Tensor:
    """Share of the clean prompts' score that moves when one head's output is taken from the corrupt run.

    Returns:
        (layers, heads): 0 if nothing moves, 1 if the score becomes that of the corrupt prompts.
    """
    clean, corrupt = lab.ids([pair.clean for pair in pairs]), lab.ids([pair.corrupt for pair in pairs])
    host, donor = score(lab.all_logits(clean)[:, -1]), score(lab.all_logits(corrupt)[:, -1])
    places = [Place("heads", layer) for layer in range(lab.layers)]
    outputs = lab.record(corrupt, places)
    return torch.tensor(
        [
            [
                moved(
                    host, donor, score(lab.all_logits(clean, {place: put(outputs[place], width=lab.head(head))})[:, -1])
                )
                for head in range(lab.heads)
            ]
            for place in places
        ]
    )
