"""Greater-than: which head brings the start year to where the end year is said."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from interp_widgets.teaching.prompt_sets import prompts

from .figure import Figure
from .heads import head_shares
from .ioi import attention_from_end
from .lab import Lab


def measure(lab: Lab) -> Iterator[Figure]:
    """Share that every head carries, and its attention to the start year."""
    pairs = prompts("greater_than", n=64).pairs
    years = lab.tokens([f"{year:02d}" for year in range(100)])
    starts = torch.tensor([int(pair.clean.split("year ")[1][2:4]) for pair in pairs])[:, None]
    later = torch.arange(100)[None] > starts

    def score(logits: torch.Tensor) -> torch.Tensor:
        shares = logits.softmax(-1)[:, years]
        return (shares * later).sum(-1) - (shares * ~later).sum(-1)

    shares = head_shares(lab, pairs, score)
    looks = attention_from_end(lab, pairs, "start")
    for layer in range(lab.layers):
        for head in range(lab.heads):
            yield Figure(
                f"greater_than.head_share.L{layer}H{head}",
                shares[layer, head].item(),
                "share of (mass after - mass up to the start year) that moves when this head's output comes from the "
                "prompt with an earlier start, 64 pairs",
                0.03,
            )
            yield Figure(
                f"greater_than.attention.L{layer}H{head}",
                looks[layer, head].item(),
                "attention from the last token to the start year, mean over 64 prompts",
            )
