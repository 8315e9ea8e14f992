"""Fill a grid: read both sides of each pair, fill in what is certain, and run the rest through the sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import torch

from interp_widgets.experiments.bench import Bench
from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.code import cell_code
from interp_widgets.experiments.contrast import Contrast, Scene
from interp_widgets.experiments.estimate import PASSES, check_derivative, estimates
from interp_widgets.experiments.grid import Cell, Grid, score
from interp_widgets.experiments.known import UNKNOWN, Known
from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.request import Request
from interp_widgets.experiments.sweep import Done, Row, sweep
from interp_widgets.results.errors import MetricError, ModelError, NonFiniteError
from interp_widgets.results.patching import CellCode, PatchingResult, Status

_WORTH = 100
"""Forward passes for each pair from which on a grid is estimated first, which then adds a tenth of the time at most."""


class GridRun:
    """One grid on its way: what was read of the model, and the clock."""

    def __init__(self, request: Request, contrast: Contrast) -> None:
        self.request = request
        self.contrast = contrast
        self.bench = Bench(request, contrast, [panel.site for panel in request.cells.panels])

    def steps(self) -> Generator[PatchingResult, None, PatchingResult]:
        """Yield the result so far after every chunk, and return the complete one."""
        return self.bench.steps(self._work(), Grid.result)

    def _work(self) -> Generator[Grid, None, Grid]:
        blocks = list(self.bench.blocks())
        logits: dict[int, torch.Tensor] = {}
        known: dict[int, list[tuple[Cell, int]]] = {}
        scenes: dict[int, Scene] = {}
        for block in blocks:
            scenes = self.bench.read(block)
            for pair, scene in scenes.items():
                logits[pair] = scene.logits
                known[pair] = list(self._certain(pair, scene))
        grid, contexts = self._grid([logits[pair] for pair in range(len(self.request.pairs))])
        for cells in known.values():
            grid.fill_known(cells)
        yield grid
        if self._previews(grid):
            for block in blocks:
                if len(blocks) > 1:
                    scenes = {}  # before the next block is read, so that only one is ever kept
                    scenes = self.bench.read(block)
                self._estimate(grid, scenes, contexts)
            grid.choose(self.request.exact)
            yield grid
        for block in blocks:
            if len(blocks) > 1:
                scenes = {}  # before the next block is read, so that only one is ever kept
                scenes = self.bench.read(block)
            hosts = next(iter(scenes.values())).hosts
            for rows, cells_of in self._rows(grid, scenes):
                for done in sweep(self.request.access, hosts, rows, max_rows=self.request.options.max_rows):
                    self._record(grid, contexts, done, [cells_of[row] for row in done.rows])
                    yield grid
        return grid

    def _certain(self, pair: int, scene: Scene) -> Iterator[tuple[Cell, int]]:
        """Yield the cells of a pair whose run is known, with that run."""
        request = self.request
        known = Known(scene, request.access)
        for panel, row, column in np.argwhere(request.cells.asked(len(request.pairs[0].clean))).tolist():
            run = known(request.cells.target(pair, panel, row, column))
            if run != UNKNOWN:
                yield (pair, panel, row, column), run

    def _grid(self, logits: Sequence[torch.Tensor]) -> tuple[Grid, Sequence[MetricContext]]:
        """Measure the baselines from the logits (2, d_vocab) of each pair."""
        sides = self.bench.sides(logits)
        self.bench.check_gaps(sides)
        grid = Grid(
            pairs=sides.pairs,
            baselines=sides.baselines,
            cells=self.request.cells,
            story=self.contrast.story,
            metrics=self.request.options.metrics,
            labels=self.bench.labels,
            code=self._code(),
        )
        return grid, sides.contexts

    def _code(self) -> CellCode:
        request = self.request
        longest = max(len(side) for pair in request.pairs for side in (pair.clean, pair.corrupt))
        return cell_code(request.access, request.cells, self.contrast.recipe, request.options.metrics, longest)

    def _previews(self, grid: Grid) -> bool:
        """Whether to estimate cells before they are run.

        Raises:
            MetricError: the estimates were asked for, and the metric in front has none.
        """
        request = self.request
        if not request.estimates_asked and (
            request.options.preview is False or self._ahead(grid) < _WORTH * len(grid.pairs)
        ):
            return False
        try:
            check_derivative(request.options.metrics, self.contrast.story.host)
        except MetricError:
            if request.estimates_asked:
                raise
            return False
        return True

    def _ahead(self, grid: Grid) -> float:
        """How many forward passes the pending cells take, about."""
        n_layers = self.request.access.n_layers
        pending = (grid.status == Status.PENDING).sum(axis=(0, 3))
        return sum(
            float(pending[number, row]) * (n_layers - line.layer) / n_layers
            for number, panel in enumerate(self.request.cells.panels)
            for row, line in enumerate(panel.lines)
        )

    def _estimate(self, grid: Grid, scenes: Mapping[int, Scene], contexts: Sequence[MetricContext]) -> None:
        request = self.request
        wanted: dict[int, list[Cell]] = defaultdict(list)
        for cell in grid.pending():
            if cell[0] in scenes:
                wanted[cell[0]].append(cell)
        found = estimates(
            request.access,
            request.cells,
            request.options.metrics,
            [scenes[pair] for pair in wanted],
            [contexts[pair] for pair in wanted],
            list(wanted.values()),
        )
        try:
            grid.estimate(found if wanted else ())
        except (MetricError, ModelError):
            if request.estimates_asked:
                raise
            return  # exact cells, which are what was asked for, need no gradients
        self.bench.passes += PASSES * len(wanted)

    def _rows(self, grid: Grid, scenes: Mapping[int, Scene]) -> Iterator[tuple[list[Row], list[list[Cell]]]]:
        """Write the rows of some pairs, each with the cells that it fills, as many at a time as memory holds."""
        cells_of: dict[tuple[int, Target], list[Cell]] = defaultdict(list)
        for cell in grid.pending():
            if cell[0] in scenes:
                cells_of[cell[0], self._cheapest(self.request.cells.target(*cell))].append(cell)
        keys = list(cells_of)
        most = self.bench.cells_at_a_time(scenes.values())
        for first in range(0, len(keys), most):
            some = keys[first : first + most]
            rows = [
                Row(scenes[pair].row, edits)
                for pair, targets in groupby(some, key=lambda key: key[0])
                for edits in self.bench.edits(scenes[pair], [target for _, target in targets])
            ]
            yield rows, [cells_of[key] for key in some]

    def _cheapest(self, target: Target) -> Target:
        """Name the stream between two layers by the later one, which is the same place with one layer less to run."""
        (layer, *others) = target.layers
        if target.site != "resid_post" or others or layer == self.request.access.n_layers - 1:
            return target
        return replace(target, site="resid_pre", layers=(layer + 1,))

    def _record(self, grid: Grid, contexts: Sequence[MetricContext], done: Done, cells: Sequence[list[Cell]]) -> None:
        request = self.request
        self.bench.passes += done.layer_passes / request.access.n_layers
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
