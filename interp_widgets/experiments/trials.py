"""Runs of every pair with sets of activations replaced together, all scored alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.bench import Bench
from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.contrast import Scene
from interp_widgets.experiments.sweep import Row, sweep
from interp_widgets.results.errors import NonFiniteError

Values = dict[str, NDArray[np.float32]]
"""For every metric, (pair, set)."""


class Trials:
    """Reads the pairs when it is made, and again for each round of trials where not all fit in memory.

    `contrast.edits` says what is put in the place of each target of a set.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._blocks = list(bench.blocks())
        self._scenes: dict[int, Scene] = {}
        logits: dict[int, torch.Tensor] = {}
        for block in self._blocks:
            self._scenes = bench.read(block)
            logits |= {pair: scene.logits for pair, scene in self._scenes.items()}
        self.sides = bench.sides([logits[pair] for pair in range(len(logits))])

    def run(self, sets: Sequence[Sequence[Target]]) -> Iterator[Values]:
        """Measure every pair with each set replaced; with an empty one it is as its host run.

        Yields:
            The values so far, NaN where a set is still to be run, at once and after every batch: the same arrays each
            time, which fill up.

        Raises:
            NonFiniteError: NaN or infinity in a run.
        """
        request = self._bench.request
        replaced = [number for number, targets in enumerate(sets) if targets]
        values = self._as_hosts(len(sets))
        for array in values.values():
            array[:, replaced] = np.nan
        yield values
        for block in self._blocks:
            if not replaced:
                break
            if len(self._blocks) > 1:
                self._scenes = {}  # before the next block is read, so that only one is ever kept
                self._scenes = self._bench.read(block)
            places = [(pair, number) for pair in block for number in replaced]
            rows = [self._row(self._scenes[pair], sets[number]) for pair, number in places]
            hosts = self._scenes[block[0]].hosts
            for done in sweep(request.access, hosts, rows, max_rows=request.options.max_rows):
                self._bench.passes += done.layer_passes / request.access.n_layers
                for at, logits in zip(done.rows, done.logits, strict=True):
                    self._record(values, places[at], logits)
                yield values

    def _as_hosts(self, count: int) -> Values:
        host = self._bench.contrast.story.host
        return {
            name: np.repeat([[scores.values[name][host]] for scores in self.sides.baselines], count, axis=1)
            for name in self._bench.request.options.metrics.names
        }

    def _row(self, scene: Scene, targets: Sequence[Target]) -> Row:
        return Row(scene.row, tuple(chain.from_iterable(self._bench.edits(scene, targets))))

    def _record(self, values: Values, place: tuple[int, int], logits: torch.Tensor) -> None:
        if not torch.isfinite(logits).all():
            raise NonFiniteError(
                f"Replacing several activations in prompt {place[0]} gives NaN or infinity, though its own run is "
                f"finite. Try a wider dtype than {self._bench.request.access.opened.dtype}."
            )
        scores = self._bench.request.options.metrics.measure(logits[None], self.sides.contexts[place[0]])
        for name, value in scores.items():
            values[name][place] = value[0]
