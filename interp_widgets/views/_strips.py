"""Strips: heads of a grid that were opened position by position."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.estimates import Estimates
from interp_widgets.results.panel import Line, Panel
from interp_widgets.results.patching import CellCode, PatchingResult, Status
from interp_widgets.views._grid_wire import grid_arrays, grid_panels, measured
from interp_widgets.views._job import Distant, Job
from interp_widgets.views.protocol.patching_grid import Cell, WireStrips

Steps: TypeAlias = "Generator[PatchingResult, None, PatchingResult]"
"""An experiment under way: yields partial results and returns the whole."""

MOST_STRIPS = 8
"""How many strips a view keeps; opening one more closes the one that was opened first."""

_FLUSH = 0.2
"""Seconds between two messages to the page, each of which has all strips."""


class Strip:
    """A head of a grid of heads, position by position: the same experiment again, on that head alone.

    Attributes:
        cell: the head, such as `{"site": "z", "layer": 9, "head": 6}`.
        job: the work behind it: progress, state, `cancel()` and the error if there was one.
    """

    def __init__(
        self, grid: PatchingResult, cell: Cell, start: Callable[[Cell], Steps], tell: Callable[[], None]
    ) -> None:
        """Plan the work without doing any of it.

        Args:
            grid: the result that has the head.
            cell: the head.
            start: starts the experiment on the head.
            tell: called when there is something new to show.
        """
        self.cell = cell
        self._tell = tell
        self._told = 0.0
        self.job: Job[PatchingResult] = Job(
            _after(_pending(grid, cell), start, cell), measured, on_step=lambda _: self._on_step(), on_end=tell
        )

    @property
    def result(self) -> PatchingResult:
        """The complete result: finishes the work if there is some left.

        Raises:
            Exception: whatever the experiment raised; `partial` keeps what was computed.
        """
        return self.job.finish()

    @property
    def partial(self) -> PatchingResult:
        """What is computed so far."""
        assert self.job.partial is not None  # the first step only says what there will be
        return self.job.partial

    def __repr__(self) -> str:
        return f"Strip({self.cell}, {self.job.state})"

    def _on_step(self) -> None:
        if time.monotonic() - self._told >= _FLUSH:
            self._told = time.monotonic()
            self._tell()


def wire_strips(grid: PatchingResult, strips: Sequence[Strip]) -> WireStrips | None:
    """All strips of a grid, for the page."""
    if not strips:
        return None
    joined = _joined(grid, [strip.partial for strip in strips])
    return {
        "heads": [{"cell": strip.cell, "job": strip.job.status()} for strip in strips],
        "panels": grid_panels(joined),
        "code_sites": dict(joined.code.sites),
        "code_fills": {name: list(texts) for name, texts in joined.code.fills.items()},
        "code_mean": dict(joined.code.mean),
        "code_refused": dict(joined.code.refused),
        "arrays": grid_arrays(joined),
    }


def _after(pending: PatchingResult, start: Callable[[Cell], Steps], cell: Cell) -> Steps:
    """The steps of an experiment after one that does nothing, so that even its refusals come in the job's own time."""
    yield pending
    steps = start(cell)
    while isinstance(steps, Distant) and not steps.wait():
        yield pending
    return (yield from steps)


def _pending(grid: PatchingResult, cell: Cell) -> PatchingResult:
    """A head by position before anything is known of it."""
    shape = (len(grid.pairs), 1, 1, grid.length)
    top = (*shape, grid.top_ids.shape[-1])
    return replace(
        grid,
        panels=(Panel(cell["site"], (Line(cell["layer"], cell["head"]),), "pos"),),  # type: ignore[arg-type]
        values={metric: np.full(shape, np.nan, dtype=np.float32) for metric in grid.metrics},
        status=np.full(shape, Status.PENDING, dtype=np.uint8),
        top_ids=np.full(top, -1, dtype=np.int32),
        top_probs=np.full(top, np.nan, dtype=np.float32),
        vocab={},
        code=CellCode({}, grid.code.metrics),
        estimates=None,
    )


def _joined(grid: PatchingResult, strips: Sequence[PatchingResult]) -> PatchingResult:
    """Strips as one result: a panel for each site and a row for each head, the first strip in the uppermost row.

    Panels come in the order of the grid.
    """
    opened = {strip.sites[0] for strip in strips}
    rows = {
        site: [strip for strip in reversed(strips) if strip.sites == (site,)] for site in grid.sites if site in opened
    }
    tallest = max(map(len, rows.values()))

    def stack(arrays: Callable[[PatchingResult], NDArray[Any]], blank: float) -> NDArray[Any]:
        first = arrays(strips[0])
        whole = np.full((first.shape[0], len(rows), tallest, *first.shape[3:]), blank, dtype=first.dtype)
        for panel, listed in enumerate(rows.values()):
            for row, strip in enumerate(listed):
                whole[:, panel, row] = arrays(strip)[:, 0, 0]
        return whole

    def estimates(strip: PatchingResult) -> NDArray[np.float32]:
        blank = np.full(strip.status.shape, np.nan, dtype=np.float32)
        return blank if strip.estimates is None else strip.estimates.values

    def exact(strip: PatchingResult) -> NDArray[np.bool_]:
        return np.zeros_like(strip.status[:1], bool) if strip.estimates is None else strip.estimates.exact[None]

    estimated = any(strip.estimates is not None for strip in strips)
    return replace(
        grid,
        panels=tuple(
            replace(listed[0].panels[0], lines=tuple(strip.panels[0].lines[0] for strip in listed))
            for listed in rows.values()
        ),
        values={metric: stack(lambda strip, of=metric: strip.values[of], np.nan) for metric in grid.metrics},  # type: ignore[misc]
        status=stack(lambda strip: strip.status, Status.LEFT_OUT),
        top_ids=stack(lambda strip: strip.top_ids, -1),
        top_probs=stack(lambda strip: strip.top_probs, np.nan),
        vocab={token: label for strip in strips for token, label in strip.vocab.items()},
        code=CellCode(
            {site: code for strip in strips for site, code in strip.code.sites.items()},
            grid.code.metrics,
            {name: texts for strip in strips for name, texts in strip.code.fills.items()},
            {name: text for strip in strips for name, text in strip.code.mean.items()},
            {site: reason for strip in strips for site, reason in strip.code.refused.items()},
        ),
        estimates=Estimates(grid.metric, stack(estimates, np.nan), stack(exact, False)[0]) if estimated else None,
    )
