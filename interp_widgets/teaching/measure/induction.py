"""Induction: a head that looks at the token before, and heads that look after the last time this token stood.

After Olsson et al., 2022 (https://arxiv.org/abs/2209.11895).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from .behaviours import induction_accuracy, repeated_tokens
from .figure import Figure
from .lab import Edit, Lab, Place

INDUCTION_HEAD: Final = 0.4
"""Prefix matching above which a head counts as an induction head."""


def previous_token(lab: Lab) -> torch.Tensor:
    """Mean attention to the token just before, on random tokens, (layers, heads)."""
    patterns = lab.patterns(repeated_tokens(lab)[:, :20])
    return patterns.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(1, 3))


def prefix_matching(lab: Lab) -> torch.Tensor:
    """Mean attention to the token after this one's last occurrence, on repeated random tokens, (layers, heads)."""
    ids = repeated_tokens(lab)
    period = ids.shape[1] // 2
    return lab.patterns(ids).diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:].mean(dim=(1, 3))


def mean_ablation(lab: Lab, ids: torch.Tensor, heads: list[tuple[int, int]]) -> dict[Place, Edit]:
    """Edits that replace heads' outputs by their mean over prompts and positions."""
    layers = sorted({layer for layer, _ in heads})
    means = lab.record(ids, [Place("heads", layer) for layer in layers])

    def ablate(layer: int) -> Edit:
        mean = means[Place("heads", layer)].mean(dim=(0, 1))
        chosen = [lab.head(head) for this, head in heads if this == layer]

        def edit(value: torch.Tensor) -> torch.Tensor:
            changed = value.clone()
            for width in chosen:
                changed[..., width] = mean[width]
            return changed

        return edit

    return {Place("heads", layer): ablate(layer) for layer in layers}


def measure(lab: Lab) -> Iterator[Figure]:
    """Scores of every head, and what is left of induction without the best."""
    previous, prefix = previous_token(lab), prefix_matching(lab)
    for layer in range(lab.layers):
        for head in range(lab.heads):
            name = f"L{layer}H{head}"
            yield Figure(
                f"induction.previous_token.{name}",
                previous[layer, head].item(),
                "attention to the token just before, mean over 64 rows of 20 random tokens",
            )
            yield Figure(
                f"induction.prefix_matching.{name}",
                prefix[layer, head].item(),
                "attention to the token after this one's last occurrence, mean over 64 rows of 20 random tokens twice",
            )
    ids = repeated_tokens(lab)
    best = divmod(int(previous.argmax()), lab.heads)
    matching = [(int(layer), int(head)) for layer, head in (prefix > INDUCTION_HEAD).nonzero()]
    for name, heads, what in (
        ("without_previous_token_head", [best], f"L{best[0]}H{best[1]}"),
        ("without_induction_heads", matching, ", ".join(f"L{layer}H{head}" for layer, head in matching)),
    ):
        left = induction_accuracy(lab, lab.all_logits(ids, mean_ablation(lab, ids, heads)), ids)
        yield Figure(
            f"induction.{name}.accuracy", left, f"induction accuracy with the mean output put for {what}", 0.03
        )
