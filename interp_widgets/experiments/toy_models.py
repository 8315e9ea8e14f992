"""Toy models of superposition, all trained together: one batched model with an instance for each sparsity and start."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.request import parse_seed
from interp_widgets.models.numbers import as_plain, is_whole
from interp_widgets.results.errors import NonFiniteError, SelectionError, unknown_name
from interp_widgets.results.superposition import Activation

HELD_OUT = 8192
"""Examples on which models are compared; none of them is trained on."""
_FEW = 2**20
_RAREST = 0.001
"""Below this probability hardly any of the held-out examples would have a feature on."""


@dataclass(frozen=True)
class ToyTask:
    """What is trained, checked."""

    n_features: int
    n_hidden: int
    probabilities: tuple[float, ...]
    """From dense to sparse."""
    importance_decay: float
    activation: Activation
    correlated: tuple[tuple[int, ...], ...]
    anticorrelated: tuple[tuple[int, ...], ...]
    models: int
    steps: int
    batch: int
    learning_rate: float
    seed: int

    @property
    def importance(self) -> NDArray[np.float64]:
        """(feature,): the weight of each feature's error."""
        return self.importance_decay ** np.arange(self.n_features, dtype=np.float64)

    @property
    def gates(self) -> list[int]:
        """For each feature, the number of the gate that it shares with the others of its set."""
        gates = list(range(self.n_features))
        for members in (*self.correlated, *self.anticorrelated):
            for member in members:
                gates[member] = members[0]
        return gates

    @property
    def turns(self) -> list[int]:
        """For each feature, which stretch of its gate turns it on: one of its own in a set that excludes each other."""
        turns = [0] * self.n_features
        for members in self.anticorrelated:
            for turn, member in enumerate(members):
                turns[member] = turn
        return turns


def parse_task(
    n_features: int,
    n_hidden: int,
    probabilities: Sequence[float] | float | None,
    importance_decay: float,
    activation: Activation,
    correlated: Sequence[Sequence[int]],
    anticorrelated: Sequence[Sequence[int]],
    models: int,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
) -> ToyTask:
    """Check what is asked for. The errors are those of `run_superposition`."""
    counts = {"n_features": n_features, "n_hidden": n_hidden, "models": models, "steps": steps, "batch": batch}
    for name, count in counts.items():
        if not (is_whole(count) and count >= 1):
            raise ValueError(f"{name}={count!r} must be a whole number from 1 on.")
    for name, number in (("importance_decay", importance_decay), ("learning_rate", learning_rate)):
        if not (_is_number(number) and 0 < number < math.inf):
            raise ValueError(f"{name}={number!r} must be a number above 0.")
    if activation not in ("relu", "linear"):
        raise unknown_name("activation", activation, ("relu", "linear"))
    together = _sets(correlated, "correlated", n_features)
    apart = _sets(anticorrelated, "anticorrelated", n_features)
    named = [member for members in (*together, *apart) for member in members]
    if twice := sorted({member for member in named if named.count(member) > 1}):
        raise SelectionError(
            f"feature {twice[0]} is in two sets. Put each feature into one set of correlated or anticorrelated at most."
        )
    return ToyTask(
        n_features=int(n_features),
        n_hidden=int(n_hidden),
        probabilities=_probabilities(probabilities, max(map(len, apart), default=1)),
        importance_decay=float(importance_decay),
        activation=activation,
        correlated=together,
        anticorrelated=apart,
        models=int(models),
        steps=int(steps),
        batch=int(batch),
        learning_rate=float(learning_rate),
        seed=parse_seed(seed),
    )


class ToyModels:
    """The models of a task and their training.

    Every sparsity sees the same random numbers, cut at its own probability, and every sparsity's models start from the
    same weights. So sparsities differ by nothing but sparsity, and a model trained alone comes out the same.

    Examples are columns, so that the smallest models still work on long rows, and gradients are written out: both
    make a step several times as fast as it would be.
    """

    def __init__(self, task: ToyTask) -> None:
        self.task = task
        self.step = 0
        self._random = torch.Generator().manual_seed(task.seed)
        shape = (task.models, task.n_hidden, task.n_features)
        start = torch.randn(shape, generator=self._random) * task.n_features**-0.5
        levels = len(task.probabilities)
        self._weights = start.expand(levels, *shape).clone()
        self._biases = torch.zeros(levels, task.models, task.n_features, 1)
        self._optimizer = torch.optim.Adam([self._weights, self._biases], lr=task.learning_rate)
        self._importance = torch.tensor(task.importance, dtype=torch.float32)[:, None]
        self._probabilities = torch.tensor(task.probabilities)[:, None, None, None]
        self._gates = torch.tensor(task.gates)
        self._turns = torch.tensor(task.turns)[:, None]
        # Its own stream, so that how often models are compared has no part in what they are trained on.
        self._held_out = self._draw(HELD_OUT, torch.Generator().manual_seed((task.seed + 1) % 2**63))

    @property
    def weights(self) -> NDArray[np.float32]:
        """(sparsity, model, hidden, feature)."""
        copy: NDArray[np.float32] = self._weights.numpy().copy()
        return copy

    @property
    def biases(self) -> NDArray[np.float32]:
        """(sparsity, model, feature)."""
        copy: NDArray[np.float32] = self._biases[..., 0].numpy().copy()
        return copy

    @property
    def fingerprint(self) -> str:
        """Hash of all weights."""
        return hashlib.sha256(self.weights.tobytes() + self.biases.tobytes()).hexdigest()[:16]

    @torch.no_grad()
    def train(self, steps: int) -> None:
        """Train all models for so many steps."""
        task = self.task
        with _threads_for(len(task.probabilities) * task.models * task.n_features * task.batch):
            for _ in range(steps):
                # To 0 along a cosine, so that directions come to rest.
                rate = task.learning_rate * (1 + math.cos(math.pi * self.step / task.steps)) / 2
                self._optimizer.param_groups[0]["lr"] = rate
                x = self._examples(self._draw(task.batch, self._random), self._probabilities)
                self._weights.grad, self._biases.grad = self._gradients(x)
                self._optimizer.step()
                self.step += 1

    @torch.no_grad()
    def losses(self) -> NDArray[np.float64]:
        """(sparsity, model): the loss on examples that were not trained on.

        Raises:
            NonFiniteError: it is not finite.
        """
        found: list[torch.Tensor] = []
        with _threads_for(self.task.models * self.task.n_features * HELD_OUT):
            for probability, weights, biases in zip(self._probabilities, self._weights, self._biases, strict=True):
                x = self._examples(self._held_out, probability)
                _, out = self._read_out(x, weights, biases)
                found.append((self._importance * (out - x) ** 2).sum(-2).mean(-1))
        losses: NDArray[np.float64] = torch.stack(found).double().numpy()
        if not np.isfinite(losses).all():
            raise NonFiniteError(
                f"training came to infinity or NaN within {self.step} steps. Take a smaller learning_rate than "
                f"{self.task.learning_rate:g}."
            )
        return losses

    def constant_losses(self) -> NDArray[np.float64]:
        """(sparsity,): the loss, on the same examples, of each feature's mean."""
        examples = [self._examples(self._held_out, each)[0].double() for each in self._probabilities]
        spread = torch.stack([x.var(-1, correction=0) for x in examples]).numpy()
        constant: NDArray[np.float64] = (spread * self.task.importance).sum(-1)
        return constant

    def _draw(self, rows: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """What decides whether a feature is on, and its value if it is, (feature, example); both from 0 to 1."""
        shape = (rows, self.task.n_features)
        gate, value = (torch.rand(shape, generator=random) for _ in range(2))
        return gate[:, self._gates].T.contiguous(), value.T.contiguous()

    def _examples(self, drawn: tuple[torch.Tensor, torch.Tensor], probability: torch.Tensor) -> torch.Tensor:
        """Features, (…, 1, feature, example); one set for all models of a sparsity."""
        gate, value = drawn
        first = self._turns * probability
        return value * ((gate >= first) & (gate < first + probability))

    def _read_out(
        self, x: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The hidden dimensions and the features that are read out of them."""
        hidden = weights @ x
        out = (weights.mT @ hidden).add_(biases)
        return hidden, out.relu_() if self.task.activation == "relu" else out

    def _gradients(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the loss by weights, which both write and read features, and by biases."""
        hidden, out = self._read_out(x, self._weights, self._biases)
        slope = (out - x).mul_(2 / self.task.batch * self._importance)
        if self.task.activation == "relu":
            slope.mul_(out > 0)
        return hidden @ slope.mT + (self._weights @ slope) @ x.mT, slope.sum(-1, keepdim=True)


@contextmanager
def _threads_for(numbers: int) -> Iterator[None]:
    """One thread where a step is about few numbers: more would wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if numbers < _FEW else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _probabilities(given: Sequence[float] | float | None, largest_set: int) -> tuple[float, ...]:
    plain = as_plain(given)
    if plain is None:
        densest = 1 / largest_set
        return tuple(densest * share for share in (1, 0.5, 0.3, 0.15, 0.08, 0.04, 0.02, 0.01))
    listed = [plain] if _is_number(plain) else list(plain)
    if not listed:
        raise ValueError("probabilities is empty. Say how often a feature is on, for instance probabilities=(1, 0.1).")
    for probability in listed:
        if not (_is_number(probability) and 0 < probability <= 1):
            raise ValueError(
                f"probabilities={given!r}: {probability!r} is not above 0 and at most 1. Say how often a feature is "
                "on; a sparsity of 0.9 is a probability of 0.1."
            )
        if probability < _RAREST:
            raise ValueError(
                f"probabilities={given!r}: at {probability!r} a feature is on in fewer than one of {1 / _RAREST:,.0f} "
                f"examples, too few to learn from and to compare models on. Take {_RAREST} or more."
            )
        if probability * largest_set > 1 + 1e-9:
            raise ValueError(
                f"probabilities={given!r}: {largest_set} features of which no two are ever on together are each on at "
                f"most {1 / largest_set:.3g} of the time, and {probability!r} is more."
            )
    if len(set(listed)) < len(listed):
        raise ValueError(f"probabilities={given!r} has one twice. Name each once; `models` trains several of each.")
    return tuple(sorted(map(float, listed), reverse=True))


def _sets(given: Sequence[Sequence[int]], name: str, n_features: int) -> tuple[tuple[int, ...], ...]:
    sets = []
    for members in as_plain(given):
        listed = as_plain(members)
        if not isinstance(listed, (list, tuple)) or len(listed) < 2:
            raise SelectionError(f"{name}={given!r} lists sets of two or more features, such as {name}=[(0, 1)].")
        for member in listed:
            if not (is_whole(member) and 0 <= member < n_features):
                raise SelectionError(f"{name}={given!r}: there is no feature {member!r}, only 0 to {n_features - 1}.")
        sets.append(tuple(map(int, listed)))
    return tuple(sets)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
