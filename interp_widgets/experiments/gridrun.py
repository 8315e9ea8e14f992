"""Fill a grid: read both sides of each pair, fill in what is certain, and run the rest through the sweep."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version

import numpy as np
import torch

from interp_widgets.experiments.baselines import check_gap, choose_answers
from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.code import cell_code
from interp_widgets.experiments.contrast import Contrast, Scene
from interp_widgets.experiments.grid import Cell, Grid, Scores, predictions, score
from interp_widgets.experiments.known import UNKNOWN, Known
from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.request import Request
from interp_widgets.experiments.sweep import Done, Row, sweep
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.finite import check_finite
from interp_widgets.results.errors import NonFiniteError
from interp_widgets.results.patching import Pair, PatchingResult, Status
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.terms import Site

_CACHE_BYTES = 2**30
"""Activations of both sides that are kept at a time; pairs beyond that wait for their turn."""


class GridRun:
    """One grid on its way: what was read of the model, and the clock."""

    def __init__(self, request: Request, contrast: Contrast) -> None:
        self.request = request
        self.contrast = contrast
        self.labels = request.access.opened.answer_labels
        self.passes = 0.0
        self.seconds = 0.0
        self._known: dict[int, Known] = {}

    def steps(self) -> Generator[PatchingResult, None, PatchingResult]:
        """Yield the result so far after every chunk, and return the complete one."""
        work = self._work()
        while True:
            started = time.perf_counter()
            try:
                grid = next(work)
            except StopIteration as stop:
                self.seconds += time.perf_counter() - started
                complete: Grid = stop.value
                return complete.result(self._provenance())
            self.seconds += time.perf_counter() - started
            yield grid.result(self._provenance())

    def _work(self) -> Generator[Grid, None, Grid]:
        self._fingerprint = fingerprint(self.request.access.opened.module)
        blocks = list(self._blocks())
        logits: dict[int, torch.Tensor] = {}
        known: dict[int, list[tuple[Cell, int]]] = {}
        scenes: dict[int, Scene] = {}
        for block in blocks:
            scenes = self._read(block)
            for pair, scene in scenes.items():
                logits[pair] = scene.logits
                known[pair] = list(self._certain(pair, scene))
        grid, contexts = self._grid([logits[pair] for pair in range(len(self.request.pairs))])
        for cells in known.values():
            grid.fill_known(cells)
        yield grid
        for block in blocks:
            if len(blocks) > 1:
                scenes = {}  # before the next block is read, so that only one is ever kept
                scenes = self._read(block)
            rows, cells_of = self._rows(grid, scenes)
            hosts = next(iter(scenes.values())).hosts
            for done in sweep(self.request.access, hosts, rows, max_rows=self.request.options.max_rows):
                self._record(grid, contexts, done, [cells_of[row] for row in done.rows])
                yield grid
        return grid

    def _blocks(self) -> Iterator[list[int]]:
        """Group the pairs of one size, and cut the groups so that their cached activations fit in memory."""
        access = self.request.access
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for pair, size in enumerate(self.contrast.sizes()):
            by_size[size].append(pair)
        kept = 1 + len({"attn_out" if site == "resid_mid" else site for site in self._sites()})
        width = access.opened.config.hidden_size * access.opened.module.dtype.itemsize
        for size, pairs in by_size.items():
            most = max(1, _CACHE_BYTES // (sum(size) * access.n_layers * width * kept))
            for first in range(0, len(pairs), most):
                yield pairs[first : first + most]

    def _sites(self) -> tuple[Site, ...]:
        """The sites to read beside the stream, of which resid_pre and resid_post are part."""
        return tuple(panel.site for panel in self.request.cells.panels if panel.site not in ("resid_pre", "resid_post"))

    def _read(self, block: Sequence[int]) -> dict[int, Scene]:
        opened = self.request.access.opened
        scenes = self.contrast.read(block, self._sites())
        for scene in scenes:
            check_finite(scene.hosts.stream, scene.logits, opened.name, opened.dtype)
        self.passes += sum(scene.passes for scene in scenes)
        return dict(zip(block, scenes, strict=True))

    def _certain(self, pair: int, scene: Scene) -> Iterator[tuple[Cell, int]]:
        """Yield the cells of a pair whose run is known, with that run."""
        request = self.request
        known = Known(scene, request.access)
        for panel, row, column in np.argwhere(request.cells.asked(len(request.pairs[0].clean))).tolist():
            run = known(request.cells.target(pair, panel, row, column))
            if run != UNKNOWN:
                yield (pair, panel, row, column), run

    def _grid(self, logits: Sequence[torch.Tensor]) -> tuple[Grid, list[MetricContext]]:
        """Measure the baselines from the logits (2, d_vocab) of each pair."""
        request = self.request
        pairs: list[Pair] = []
        contexts: list[MetricContext] = []
        baselines: list[Scores] = []
        for number, (prompts, both) in enumerate(zip(request.pairs, logits, strict=True)):
            answers = choose_answers(request, number, self.contrast.own_answers(both), self.labels)
            context = MetricContext(number, *answers, clean_logits=both[0], corrupt_logits=both[1])
            scores = score(both, request.options.metrics, context, request.options.top_k)
            check_gap(request, number, scores.values[request.options.metrics.front], both, self.labels, context)
            given = request.answers[number] is not None and request.wrong_answers[number] is not None
            pairs.append(
                Pair(
                    clean=prompts.clean,
                    corrupt=prompts.corrupt,
                    answer=self.labels.token(context.answer),
                    wrong_answer=self.labels.token(context.wrong_answer),
                    answer_source="given" if given else "model",
                    clean_top=predictions(scores, 0, self.labels),
                    corrupt_top=predictions(scores, 1, self.labels),
                    noised=prompts.noised,
                )
            )
            contexts.append(context)
            baselines.append(scores)
        grid = Grid(
            pairs=tuple(pairs),
            baselines=baselines,
            cells=request.cells,
            story=self.contrast.story,
            metrics=request.options.metrics,
            labels=self.labels,
            code=cell_code(
                request.access,
                request.cells,
                "denoising" if self.contrast.story.host else "noising",
                request.options.metrics,
            ),
        )
        return grid, contexts

    def _rows(self, grid: Grid, scenes: Mapping[int, Scene]) -> tuple[list[Row], list[list[Cell]]]:
        """Write the rows of some pairs, each with the cells that it fills."""
        cells_of: dict[tuple[int, Target], list[Cell]] = defaultdict(list)
        for cell in grid.pending():
            if cell[0] in scenes:
                cells_of[cell[0], self._cheapest(self.request.cells.target(*cell))].append(cell)
        rows = [Row(scenes[pair].row, self.contrast.edits(scenes[pair], target)) for pair, target in cells_of]
        return rows, list(cells_of.values())

    def _cheapest(self, target: Target) -> Target:
        """Name the stream between two layers by the later one, which is the same place with one layer less to run."""
        (layer, *others) = target.layers
        if target.site != "resid_post" or others or layer == self.request.access.n_layers - 1:
            return target
        return Target("resid_pre", (layer + 1,), target.positions, target.sources)

    def _record(self, grid: Grid, contexts: Sequence[MetricContext], done: Done, cells: Sequence[list[Cell]]) -> None:
        request = self.request
        self.passes += done.layer_passes / request.access.n_layers
        finite = torch.isfinite(done.logits).all(-1).tolist()
        if not all(finite):
            _, panel, row, column = cells[finite.index(False)][0]
            place = request.cells.panels[panel].place(row, column, None)
            raise NonFiniteError(
                f"Patching {request.cells.panels[panel].site} at {place} gives NaN or "
                f"infinity, though both runs are finite. Try a wider dtype than {request.access.opened.dtype}."
            )
        by_pair: dict[int, list[int]] = defaultdict(list)
        for number, filled in enumerate(cells):
            by_pair[filled[0][0]].append(number)
        for pair, numbers in by_pair.items():
            scores = score(done.logits[numbers], request.options.metrics, contexts[pair], request.options.top_k)
            for row, number in enumerate(numbers):
                for cell in cells[number]:
                    grid.put(cell, scores, row, Status.COMPUTED)

    def _provenance(self) -> Provenance:
        opened = self.request.access.opened
        return Provenance(
            model=opened.name,
            fingerprint=self._fingerprint,
            dtype=opened.dtype,
            versions=_versions(),
            forward_passes=self.passes,
            seconds=self.seconds,
            settings={**self.contrast.settings, **self.request.cells.settings},
        )


@cache
def _versions() -> dict[str, str]:
    # Read where it is loaded already: importing the root from here would turn the direction of imports around.
    own = str(sys.modules[__name__.partition(".")[0]].__version__)
    return {"interp_widgets": own} | {name: version(name) for name in ("nnsight", "torch", "transformers")}
