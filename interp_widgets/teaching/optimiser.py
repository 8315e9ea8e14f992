"""The optimiser: Muon on the matrices of the blocks, AdamW on everything else.

Muon learned induction in about half the tokens that AdamW alone needed.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import nn

from .muon import Muon

_MUON_RATE: Final = 2e-2
_ADAM_RATE: Final = 2e-3
_WARM_UP: Final = 150
_FLOOR: Final = 0.02


class Optimiser:
    """Two optimisers that step as one, with warm-up and a cosine schedule.

    Args:
        model: The network to train; its blocks are found by ``.h.`` in their parameters' names, as in GPT-2.
        steps: Length of the whole run, which the cosine ends with.
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        matrices = [p for name, p in model.named_parameters() if ".h." in name and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self._parameters = matrices + rest
        self._steps = steps
        self._parts: tuple[tuple[torch.optim.Optimizer, float], ...] = (
            (Muon(matrices, lr=_MUON_RATE), _MUON_RATE),
            (torch.optim.AdamW(rest, lr=_ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.01), _ADAM_RATE),
        )

    def rate(self, step: int) -> float:
        """The share of the full learning rate at this step: 0 to 1."""
        if step < _WARM_UP:
            return (step + 1) / _WARM_UP
        done = (step - _WARM_UP) / max(1, self._steps - _WARM_UP)
        return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def step(self, step: int) -> None:
        """Clip the gradients, update the weights, and clear the gradients."""
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        rate = self.rate(step)
        for optimiser, full in self._parts:
            for group in optimiser.param_groups:
                group["lr"] = full * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """State to resume from."""
        return [optimiser.state_dict() for optimiser, _ in self._parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Resume from a state that ``state_dict`` gave."""
        for (optimiser, _), part in zip(self._parts, state, strict=True):
            optimiser.load_state_dict(part)
