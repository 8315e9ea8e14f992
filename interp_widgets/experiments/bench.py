"""What experiments on pairs share: they read both sides in blocks that fit in memory, measure them, count the work."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import torch

from interp_widgets.experiments.baselines import check_gap, choose_answers, given_answers
from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.contrast import Contrast, Scene
from interp_widgets.experiments.grid import Scores, predictions, score
from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.request import Request
from interp_widgets.experiments.sweep import Edit
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.finite import check_finite
from interp_widgets.results.patching import Pair
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.terms import Site

W = TypeVar("W")
R = TypeVar("R")

_CACHE_BYTES = 2**30
"""Activations of both sides that are kept at a time; pairs beyond that wait for their turn."""


@dataclass(frozen=True)
class Sides:
    """What the two sides of each pair come to."""

    pairs: tuple[Pair, ...]
    contexts: tuple[MetricContext, ...]
    baselines: tuple[Scores, ...]
    """Of each pair, the scores of both sides."""


class Bench:
    """Reads the pairs of a request, and counts what that takes.

    Args:
        request: what is asked.
        contrast: how sides are made.
        sites: what to keep of them besides the stream.
    """

    def __init__(self, request: Request, contrast: Contrast, sites: Sequence[Site]) -> None:
        self.request = request
        self.contrast = contrast
        self.labels = request.access.opened.answer_labels
        self.passes = 0.0
        self.seconds = 0.0
        # The streams before and after each layer are kept in any case.
        self._sites = tuple(site for site in sites if site not in ("resid_pre", "resid_post"))
        self._fingerprint: str | None = None

    def steps(self, work: Generator[W, None, W], result: Callable[[W, Provenance], R]) -> Generator[R, None, R]:
        """Yield what work has come to after each of its steps, and count the time that they take.

        Args:
            work: yields what it has so far, and returns the whole.
            result: makes a partial result of that, and of where it comes from.
        """
        while True:
            started = time.perf_counter()
            try:
                reached, whole = next(work), False
            except StopIteration as stop:
                reached, whole = stop.value, True
            self.seconds += time.perf_counter() - started
            if whole:
                return result(reached, self.provenance())
            yield result(reached, self.provenance())

    def blocks(self) -> Iterator[list[int]]:
        """Group the pairs of one size, and cut the groups so that their cached activations fit in memory."""
        access = self.request.access
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for pair, size in enumerate(self.contrast.sizes()):
            by_size[size].append(pair)
        kept = 1 + len({"attn_out" if site == "resid_mid" else site for site in self._sites})
        width = (access.opened.config.hidden_size * kept + access.cached) * access.opened.module.dtype.itemsize
        for size, pairs in by_size.items():
            most = max(1, _CACHE_BYTES // (sum(size) * access.n_layers * width))
            for first in range(0, len(pairs), most):
                yield pairs[first : first + most]

    def read(self, block: Sequence[int]) -> dict[int, Scene]:
        """Run both sides of some pairs.

        Raises:
            NonFiniteError: NaN or infinity in a run.
        """
        opened = self.request.access.opened
        scenes = self.contrast.read(block, self._sites)
        for scene in scenes:
            check_finite(scene.hosts.stream, scene.logits, opened.name, opened.dtype)
        self.passes += sum(scene.passes for scene in scenes)
        return dict(zip(block, scenes, strict=True))

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Sequence[tuple[Edit, ...]]:
        """Return for each target what its cell changes in the host's run."""
        edited = self.contrast.edits(scene, targets)
        self.passes += edited.passes
        return edited.edits

    @staticmethod
    def cells_at_a_time(scenes: Iterable[Scene]) -> int:
        """Return for how many cells edits may be made at a time."""
        return max(1, _CACHE_BYTES // max(1, *(scene.cell_bytes for scene in scenes)))

    def sides(self, logits: Sequence[torch.Tensor]) -> Sides:
        """Choose answers and measure both sides, from the logits (2, d_vocab) of each pair."""
        request = self.request
        pairs: list[Pair] = []
        contexts: list[MetricContext] = []
        baselines: list[Scores] = []
        for number, (prompts, both) in enumerate(zip(request.pairs, logits, strict=True)):
            own = self.contrast.own_answers(both, given_answers(request, number))
            answers = choose_answers(request, number, own, self.labels)
            context = MetricContext(number, *answers, clean_logits=both[0], corrupt_logits=both[1])
            scores = score(both, request.options.metrics, context, request.options.top_k)
            pairs.append(
                Pair(
                    clean=prompts.clean,
                    corrupt=prompts.corrupt,
                    answer=self.labels.token(context.answer),
                    wrong_answer=self.labels.token(context.wrong_answer),
                    answer_source="model" if None in given_answers(request, number) else "given",
                    clean_top=predictions(scores, 0, self.labels),
                    corrupt_top=predictions(scores, 1, self.labels) if len(prompts.corrupt) else (),
                    noised=prompts.noised,
                )
            )
            contexts.append(context)
            baselines.append(scores)
        return Sides(tuple(pairs), tuple(contexts), tuple(baselines))

    def check_gaps(self, sides: Sides) -> None:
        """Refuse baselines that leave nothing to take a share of: of each pair, or of the mean over all.

        Raises:
            NoGapError: both sides score the same.
            MetricError: a user's metric gave NaN or infinity.
        """
        story = self.contrast.story
        ends = [scores.values[self.request.options.metrics.front] for scores in sides.baselines]
        if story.averaging == "values":
            ends = [np.mean(ends, axis=0)]
        for values, context in zip(ends, sides.contexts, strict=False):
            both = torch.stack([context.clean_logits, context.corrupt_logits])
            check_gap(self.request, story, values, both, self.labels, context)

    def provenance(self) -> Provenance:
        """Say what computed a result, and the work that it took so far."""
        opened = self.request.access.opened
        if self._fingerprint is None:
            self._fingerprint = fingerprint(opened.module)
        return Provenance(
            model=opened.name,
            fingerprint=self._fingerprint,
            dtype=opened.dtype,
            versions=versions(),
            forward_passes=self.passes,
            seconds=self.seconds,
            settings={**self.contrast.settings, **self.request.cells.settings},
        )


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that take part."""
    # Read where it is loaded already: importing the root from here would turn the direction of imports around.
    own = str(sys.modules[__name__.partition(".")[0]].__version__)
    return {"interp_widgets": own} | {name: version(name) for name in ("nnsight", "torch", "transformers")}
