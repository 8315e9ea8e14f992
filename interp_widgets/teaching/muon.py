"""Muon: momentum whose update is made orthogonal, for weight matrices.

After Jordan et al., 2024 (https://kellerjordan.github.io/posts/muon). ``torch.optim.Muon`` does the same in bfloat16,
which takes three times as long as the forward and backward pass on a CPU without bfloat16 instructions; this one works
in the precision of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch

_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_ROUNDS: Final = 5


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Bring every singular value of a matrix near 1 and keep its singular vectors, by five Newton-Schulz rounds.

    Args:
        matrix: Any real matrix, (rows, columns).

    Returns:
        A matrix of the same shape whose singular values lie between about 0.7 and 1.2.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: torch.Tensor = x.T if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    Args:
        matrices: Two-dimensional parameters.
        lr: Learning rate; a matrix of shape (r, c) is stepped by ``lr * sqrt(max(1, r / c))``.
        momentum: Share of the past in the momentum.
        weight_decay: Decay of the weights, times ``lr`` at each step.
    """

    def __init__(
        self, matrices: Iterable[torch.Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient. ``closure`` is not supported."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group)

    def _update(self, matrix: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if "past" not in state:
            state["past"] = torch.zeros_like(matrix)
        state["past"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalise(gradient.lerp(state["past"], group["momentum"]))
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)
