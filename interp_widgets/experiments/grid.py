"""A patching grid while it is being filled, and the frozen results it hands out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.cells import Cells
from interp_widgets.experiments.known import DONOR
from interp_widgets.experiments.metrics import MetricContext, Metrics
from interp_widgets.models.labels import Labels
from interp_widgets.results.estimates import Estimates, largest
from interp_widgets.results.patching import CellCode, Pair, PatchingResult, Prediction, Status, remaining
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.story import Story

T = TypeVar("T", bound=np.generic)

Cell = tuple[int, int, int, int]
"""Index of a cell: (prompt, panel, row, column)."""


@dataclass(frozen=True)
class Scores:
    """What is kept of the logits of some rows."""

    values: Mapping[str, NDArray[np.float32]]
    """For every metric, (row,)."""
    top_ids: NDArray[np.int32]
    """(row, k)"""
    top_probs: NDArray[np.float32]
    """(row, k)"""


def score(logits: torch.Tensor, metrics: Metrics, context: MetricContext, top_k: int) -> Scores:
    """Measure logits (row, d_vocab) of one pair and keep the `top_k` likeliest next tokens."""
    top, ids = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
    probs = (top - logits.logsumexp(-1, keepdim=True)).exp()
    return Scores(
        metrics.measure(logits, context), ids.cpu().numpy().astype(np.int32), probs.cpu().numpy().astype(np.float32)
    )


def predictions(scores: Scores, row: int, labels: Labels) -> tuple[Prediction, ...]:
    """Return the likeliest next tokens of a row, with their labels."""
    ids, probs = scores.top_ids[row].tolist(), scores.top_probs[row].tolist()
    return tuple(Prediction(labels.token(token), prob) for token, prob in zip(ids, probs, strict=True))


@dataclass
class Grid:
    """Arrays to fill, with everything that a result holds besides."""

    pairs: tuple[Pair, ...]
    baselines: Sequence[Scores]
    """For each pair, the scores of its clean and its corrupt run, in this order."""
    cells: Cells
    story: Story
    metrics: Metrics
    labels: Labels
    code: CellCode
    values: dict[str, NDArray[np.float32]] = field(init=False)
    status: NDArray[np.uint8] = field(init=False)
    top_ids: NDArray[np.int32] = field(init=False)
    top_probs: NDArray[np.float32] = field(init=False)
    vocab: dict[int, str] = field(init=False)
    estimates: Estimates | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        asked = self.cells.asked(len(self.pairs[0].clean))
        shape = (len(self.pairs), *asked.shape)
        top = (*shape, self.baselines[0].top_ids.shape[1])
        self.values = {name: np.full(shape, np.nan, dtype=np.float32) for name in self.metrics.names}
        self.status = np.where(np.broadcast_to(asked, shape), Status.PENDING, Status.LEFT_OUT).astype(np.uint8)
        self.top_ids = np.full(top, -1, dtype=np.int32)
        self.top_probs = np.full(top, np.nan, dtype=np.float32)
        self.vocab = {}

    def fill_known(self, equals: Iterable[tuple[Cell, int]]) -> None:
        """Fill cells that equal one of the two runs, HOST or DONOR, of their pair."""
        for cell, run in equals:
            side = self.story.donor if run == DONOR else self.story.host
            self.put(cell, self.baselines[cell[0]], side, Status.KNOWN)

    def put(self, cell: Cell, scores: Scores, row: int, status: Status) -> None:
        """Fill one cell with the scores of a row."""
        for name, values in scores.values.items():
            self.values[name][cell] = values[row]
        self.top_ids[cell], self.top_probs[cell] = scores.top_ids[row], scores.top_probs[row]
        self.status[cell] = status
        for token in scores.top_ids[row].tolist():
            if token not in self.vocab:
                self.vocab[token] = self.labels(token)

    def estimate(self, changes: Iterable[tuple[Cell, float]]) -> None:
        """Fill cells with the host's value and an estimated change, in the metric in front."""
        front = self.metrics.front
        values = np.full(self.status.shape, np.nan, dtype=np.float32)
        for cell, change in changes:
            values[cell] = self.baselines[cell[0]].values[front][self.story.host] + change
        found = np.isfinite(values)  # half precision may overflow on the way back
        before = self.estimates.values if self.estimates else np.full_like(values, np.nan)
        self.estimates = Estimates(front, np.where(found, values, before), np.ones(values.shape[1:], dtype=bool))
        self.values[front][found] = values[found]
        self.status[found] = Status.ESTIMATED

    def choose(self, most: Sequence[int | None]) -> None:
        """Leave all but the strongest of the estimated cells as they are.

        Args:
            most: for each panel how many cells of a layer are still to be run, None for all of them. The same are run
                for every pair: those whose estimated effect is the largest in either direction, as a mean over pairs.
        """
        if self.estimates is None:
            return
        ends = np.array([scores.values[self.metrics.front] for scores in self.baselines], dtype=np.float64)
        host, donor = (ends[:, side][:, None, None, None] for side in (self.story.host, self.story.donor))
        changes = np.abs(self.estimates.values - host)
        if self.story.averaging == "shares":
            changes /= np.abs(donor - host)
        known = np.isfinite(changes)
        strengths = np.where(known, changes, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        strengths[~known.any(axis=0)] = np.nan
        exact = np.ones(strengths.shape, dtype=bool)
        for number, (panel, limit) in enumerate(zip(self.cells.panels, most, strict=True)):
            for layer in panel.layers if limit is not None else ():
                rows = [row for row, line in enumerate(panel.lines) if line.layer == layer]
                exact[number, rows] = largest(strengths[number, rows], limit or 0)
        self.estimates = replace(self.estimates, exact=exact)

    def pending(self) -> list[Cell]:
        """Return the cells that are still to be computed."""
        return [(int(a), int(b), int(c), int(d)) for a, b, c, d in np.argwhere(remaining(self.status, self.estimates))]

    def result(self, provenance: Provenance) -> PatchingResult:
        """Freeze what there is by now: the arrays are copies that cannot be written."""
        return PatchingResult(
            pairs=self.pairs,
            panels=self.cells.panels,
            story=self.story,
            metric=self.metrics.front,
            values={name: frozen(values) for name, values in self.values.items()},
            baselines={
                name: frozen(np.array([scores.values[name] for scores in self.baselines], dtype=np.float64))
                for name in self.metrics.names
            },
            status=frozen(self.status),
            top_ids=frozen(self.top_ids),
            top_probs=frozen(self.top_probs),
            vocab=dict(self.vocab),
            provenance=provenance,
            code=self.code,
            estimates=self.estimates
            and replace(self.estimates, values=frozen(self.estimates.values), exact=frozen(self.estimates.exact)),
        )


def frozen(array: NDArray[T]) -> NDArray[T]:
    """Return a copy that cannot be written."""
    copy: NDArray[T] = array.copy()
    copy.setflags(write=False)
    return copy
