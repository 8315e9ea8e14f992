"""Numbers read from the logits at the last position."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.results.errors import MetricError
from interp_widgets.results.terms import METRICS, MetricName, parse_metric

Metric: TypeAlias = "MetricName | str | Callable[..., Any]"
"""The name of a metric, or a function of logits (row, d_vocab), and if it wants one a `MetricContext`, to (row,)."""


@dataclass(frozen=True)
class MetricContext:
    """What a metric may know of the pair that its rows belong to."""

    pair: int
    """Number of the pair."""
    answer: int
    """Token id of what the clean prompt calls for."""
    wrong_answer: int
    """Token id of what the corrupt prompt calls for."""
    clean_logits: torch.Tensor
    """(d_vocab,): logits at the last position of the clean run."""
    corrupt_logits: torch.Tensor
    """(d_vocab,): logits at the last position of the corrupt run."""


def named_metrics(logits: torch.Tensor, context: MetricContext) -> dict[MetricName, torch.Tensor]:
    """Return every named metric of logits (row, d_vocab), each as (row,).

    `kl` is KL(clean || patched) of the predictions and 0 at the clean run; `rank` counts the tokens whose logit is
    greater than the answer's, and half of those whose logit equals it: a uniform prediction ranks it in the middle.
    Meanings and units of all are in `results.terms`.
    """
    # One pass over the vocabulary for all of them: with fifty thousand tokens it costs as much as a layer.
    logprobs = logits.log_softmax(-1)
    clean = context.clean_logits.log_softmax(-1)
    answer = logprobs[:, context.answer]
    return {
        "logit_diff": logits[:, context.answer] - logits[:, context.wrong_answer],
        "prob": answer.exp(),
        "logprob": answer,
        "kl": (clean - logprobs) @ clean.exp(),
        "rank": (logits.shape[-1] - 1 + (logits - logits[:, context.answer, None]).sign_().sum(-1)) / 2,
        "loss": -answer,
    }


class Metrics:
    """All named metrics, and a user's own if there is one, which is then the one in front."""

    def __init__(self, front: Metric) -> None:
        self.own: Callable[..., Any] | None = None
        self.context_argument = ""
        if callable(front):
            self.own = front
            name = str(getattr(front, "__name__", type(front).__name__))
            self.front = name if name.isidentifier() else "custom"  # a lambda has no name to speak of
            if self.front in METRICS:
                self.front = f"my_{self.front}"  # both are kept, so they need two names
            self.context_argument = _context_argument(front)
        else:
            self.front = parse_metric(front)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics, in the order of `measure`."""
        return (*METRICS, *((self.front,) if self.own else ()))

    def measure(self, logits: torch.Tensor, context: MetricContext) -> dict[str, NDArray[np.float32]]:
        """Return the value of every metric for logits (row, d_vocab), as (row,).

        Raises:
            MetricError: the user's metric failed, or returned something other than one number a row.
        """
        values: dict[str, NDArray[np.float32]] = {
            name: value.float().cpu().numpy() for name, value in named_metrics(logits, context).items()
        }
        if self.own is not None:
            values[self.front] = self._measure_own(logits, context)
        return values

    @property
    def differentiable(self) -> bool:
        """Whether the metric in front has a derivative, as far as its name tells."""
        return self.front != "rank"

    def of_graph(self, logits: torch.Tensor, context: MetricContext) -> torch.Tensor:
        """Return the metric in front for logits (row, d_vocab) that keep a graph, as (row,) with its graph.

        Raises:
            MetricError: the user's metric failed on them, or left the graph.
        """
        if self.own is None:
            return named_metrics(logits, context)[parse_metric(self.front)]
        value = self._call_own(logits, context)
        if not (isinstance(value, torch.Tensor) and value.requires_grad and value.shape == logits.shape[:1]):
            raise MetricError(
                f"metric {self.front} has no derivative: what it returns is cut off from the logits. Compute it with "
                "torch from the logits that it gets."
            )
        return value.float()

    def _call_own(self, logits: torch.Tensor, context: MetricContext) -> Any:
        own = cast("Callable[..., Any]", self.own)
        try:
            own_logits = logits.clone()  # so that a metric that changes its argument changes nothing else
            if self.context_argument == "context=context":
                return own(own_logits, context=context)
            return own(own_logits, context) if self.context_argument else own(own_logits)
        except Exception as error:
            raise MetricError(
                f"metric {self.front} failed on logits of shape {tuple(logits.shape)}, (row, d_vocab): "
                f"{type(error).__name__}: {error}"
            ) from error

    def _measure_own(self, logits: torch.Tensor, context: MetricContext) -> NDArray[np.float32]:
        shape = tuple(logits.shape)
        value = self._call_own(logits, context)
        try:
            found = (
                value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, float)
            )
        except (TypeError, ValueError) as error:
            raise MetricError(
                f"metric {self.front} returned a {type(value).__name__}. Return one number a row: a tensor of shape "
                f"({shape[0]},) for logits of shape {shape}."
            ) from error
        if found.shape != (shape[0],):
            raise MetricError(
                f"metric {self.front} returned shape {found.shape} for logits of shape {shape}, (row, d_vocab). "
                f"Return one number a row, shape ({shape[0]},): reduce over the vocabulary, never over rows."
            )
        return cast("NDArray[np.float32]", found.astype(np.float32))


def _context_argument(function: Callable[..., Any]) -> str:
    """Return how a call of a function passes it a `MetricContext`; empty where it wants none."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # built-in functions tell nothing
        return ""
    named = parameters.get("context")
    if named and named.kind is not named.POSITIONAL_ONLY and named.default in (named.empty, None):
        return "context=context"
    needed = [
        parameter
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return "context" if len(needed) >= 2 else ""
