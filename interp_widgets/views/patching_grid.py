"""The grid of a patching result: one panel for each site, of layers or heads by tokens, heads, neurons or roles."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from string import Template
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets

from interp_widgets.results.errors import ResultError, SelectionError, UnknownNameError, unknown_name
from interp_widgets.results.estimates import Estimates
from interp_widgets.results.panel import Panel
from interp_widgets.results.patching import PatchingResult
from interp_widgets.views._color_limit import WHOLE, default_limit
from interp_widgets.views._grid_wire import grid_arrays, grid_spec, grid_status, measured
from interp_widgets.views._source import steps_of
from interp_widgets.views._strips import MOST_STRIPS, Steps, Strip, wire_strips
from interp_widgets.views._view import STATIC, View, at_rest
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.common import Spot
from interp_widgets.views.protocol.patching_grid import Cell, RowsMessage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PatchingGrid(View[PatchingResult]):
    """What each patch does to the model's answer, as a grid with one panel a site: layers by tokens, heads or neurons.

    Colour is the effect: 0 is the host run unchanged, 1 the other run in full (see `PatchingResult.effect`). Both
    Python and the page write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the pinned cell, as `{"site": "resid_pre", "layer": 3, "pos": 10}` or `{"site": "z", "layer": 9,
            "head": 6}`, or one of a strip, `{"site": "z", "layer": 9, "head": 6, "pos": 10}`; or None.
        metric: name of the metric that is shown; any of `view.partial.metrics`.
        pair: number of the pair that is shown; None for the mean of all.
        color_limit: effect at which the colour scale ends, on both sides of 0. What lies beyond is marked. It is 1 by
            default, and less where all effects are small, as far as is known by estimates and then at the work's end;
            what you or the reader choose stays.
        strips: heads that were opened position by position, the last one first (see `by_position`). Assign the ones
            that are to stay.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.

    Example:
        >>> from interp_widgets import PatchingGrid, run_patching, teaching
        >>> pair = teaching.prompts("ioi")[0]
        >>> result = run_patching(teaching.load(), pair.clean, pair.corrupt)
        >>> view = PatchingGrid(result)
        >>> view.selected = {"site": "resid_pre", "layer": 0, "pos": result.pairs[0].differs[0]}
        >>> print(view.code().splitlines()[0])
        import torch
    """

    _esm = STATIC / "patching_grid.js"
    _page_writes = frozenset({"selected", "metric", "pair", "color_limit", "theme"})
    _page_state = ("spec", "arrays", "strips", "job", "selected", "metric", "pair", "color_limit", "theme")

    _called = "patching"
    _shares = ("site", "layer", "head", "pos", "latent", "neuron")

    spec = traitlets.Dict(
        allow_none=True, default_value=None, help="All that is shown apart from the cells; None before a first result."
    ).tag(sync=True)
    arrays = traitlets.Instance(PatchingResult, allow_none=True, help="The result whose cells the page holds.").tag(
        sync=True, to_json=lambda result, _view: result and grid_arrays(result)
    )
    strips: tuple[Strip, ...] = traitlets.Tuple(help="Heads by position.").tag(  # type: ignore[assignment]
        sync=True, to_json=lambda strips, view: wire_strips(view.partial, strips) if strips else None
    )
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    metric = traitlets.Unicode().tag(sync=True, echo_update=False)
    pair = traitlets.Int(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    color_limit = traitlets.Float(WHOLE).tag(sync=True, echo_update=False)

    def __init__(self, source: PatchingResult | Steps, *, by_position: Callable[[Cell], Steps] | None = None) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the generator that `interp_widgets.experiments.patching.patching` returns.
            by_position: starts the same experiment on one head of a grid of heads, with a column for each position.
        """
        self._positions_of = by_position
        self._limit_is_chosen = False
        self._estimates: Estimates | None = None
        self._sent: np.ndarray[Any, Any] | None = None
        self._seq = 0
        super().__init__(steps_of(source, PatchingResult, "PatchingGrid"))
        if self.job.state != "running":
            self._fit_limit(self.partial)

    def code(self, cell: Cell | None = None) -> str:
        """The lines of nnsight that compute one cell and print its value; they run as they are printed.

        They use your model by the name `model`. With several pairs they compute the one that is shown, else the first;
        with several samples of noise the one that is shown, else the mean of all.

        Args:
            cell: which cell; by default the selected one, else the one with the strongest effect.

        Raises:
            ResultError: what a cell does takes more than a few lines, or no cell has an effect yet.
            TraitError: the grid has no such cell.
        """
        given = cell if cell is not None else self.selected
        result, chosen = self._find(given if given is not None else self.partial.strongest(self.metric))
        pair = result.pairs[self.pair or 0]
        if chosen["site"] not in result.code.sites:
            reason = result.code.refused.get(chosen["site"], "what its cells do takes more than a few.")
            raise ResultError(f"there are no printed lines for {chosen['site']} in this grid: {reason}")
        metric = Template(result.code.metrics[self.metric]).safe_substitute(
            answer=pair.answer.id, wrong_answer=pair.wrong_answer.id
        )
        return Template(result.code.sites[chosen["site"]]).safe_substitute(
            {name: value for name, value in chosen.items() if name != "role"},
            role=json.dumps(chosen.get("role"), ensure_ascii=False),
            clean_ids=list(pair.clean.ids),
            corrupt_ids=list(pair.corrupt.ids),
            metric=metric,
            **result.code.filled(self.pair),
        )

    def by_position(self, cell: Cell | None = None) -> PatchingResult:
        """Run one head of a grid of heads position by position, and show it below the grid as a strip.

        A cell of a grid of heads is all positions of a head together; this tells which of them matter. It is the same
        experiment again, on that head with `by="pos"`. In the page it is the button of a pinned head, or the key p.

        Args:
            cell: which head; by default the one that is selected, else the one with the strongest effect.

        Returns:
            The complete strip. Asked for again, it is not run again.

        Raises:
            ResultError: the view has no grid of heads, came without its experiment (as that of a loaded result does),
                or no head has an effect yet.
            TraitError: the grid has no such cell.
            Exception: whatever the experiment raised.
        """
        return self._strip(self._head(cell)).result

    def figure(self) -> Figure:
        """The grid as a matplotlib figure, for print: the metric, pair and colour limit that are shown."""
        from interp_widgets.views._patching_figure import draw

        return draw(self.partial.with_metric(self.metric), pair=self.pair, color_limit=self.color_limit)

    def scatter(self) -> Figure:
        """Estimated against exact effects as a matplotlib figure, one point for each cell that has both so far.

        Raises:
            ResultError: no cell has both.
        """
        from interp_widgets.views._estimate_figure import draw_scatter

        return draw_scatter(self.partial)

    def close(self) -> None:
        """Stop the work and free the view, here and in the page."""
        for strip in self.strips:
            strip.job.cancel()
        super().close()

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"PatchingGrid({self.job.note or self.job.state})"
        result = self.partial
        return f"PatchingGrid({result.shape_in_words()}, {result.direction}, {self.metric}, {self.job.state})"

    def _measure(self, result: PatchingResult) -> tuple[int, int]:
        return measured(result)

    def _open(self, result: PatchingResult) -> dict[str, object]:
        self._sent = result.status
        by_position = self._positions_of is not None and any(panel.columns == "head" for panel in result.panels)
        return {"spec": grid_spec(result, by_position=by_position), "arrays": result, "metric": result.metric}

    def _stream(self, result: PatchingResult) -> None:
        if result.estimates is not self._estimates:
            self._estimates = result.estimates
            self._fit_limit(result)
        changed = (result.status != self._sent).any(axis=(0, 3))
        self._sent = result.status
        rows = np.argwhere(changed)
        if not len(rows):
            return
        panel, row = rows.T
        values = np.stack([result.values[metric][:, panel, row] for metric in result.metrics])
        ids = result.top_ids[:, panel, row]
        arrays = [
            wire_array(values.swapaxes(1, 2), "float32"),
            wire_array(grid_status(result)[:, panel, row].swapaxes(0, 1), "uint8"),
            wire_array(ids.swapaxes(0, 1), "int32"),
            wire_array(result.top_probs[:, panel, row].swapaxes(0, 1), "float32"),
        ]
        self._seq += 1
        message: RowsMessage = {
            "kind": "rows",
            "seq": self._seq,
            "rows": rows.tolist(),
            "vocab": {str(token): result.vocab[token] for token in np.unique(ids).tolist() if token >= 0},
        }
        self.send(message, buffers=[array["data"] for array in arrays])

    def _commit(self, result: PatchingResult) -> None:
        self._sent = result.status
        self.set_trait("arrays", result)
        self.send_state("arrays")

    def _on_end(self) -> None:
        if self.job.partial is not None:
            self._fit_limit(self.job.partial)
        super()._on_end()

    def _fit_limit(self, result: PatchingResult) -> None:
        """Let the colour scale end where effects do if they are small, unless somebody has said where."""
        if not self._limit_is_chosen:
            self.color_limit = default_limit(result)
            self._limit_is_chosen = False

    def _drain(self) -> None:
        super()._drain()
        for strip in self.strips:
            strip.job.drain()

    def _state_at_rest(self) -> dict[str, Any]:
        state = super()._state_at_rest()
        for head in (state["strips"] or {}).get("heads", ()):
            at_rest(head["job"])
        return state

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        match content:
            case {"kind": "request", "id": str(request), "name": "by_position", "cell": dict(cell)}:
                self._reply(request, lambda: self._enqueue_strip(cast("Cell", cell)))
            case {"kind": "cancel_strip", "cell": dict(cell)}:
                for strip in self.strips:
                    if strip.cell == cell:
                        strip.job.cancel()
            case {"kind": "remove_strip", "cell": dict(cell)}:
                self._on_loop(lambda: self._keep_strips(lambda strip: strip.cell != cell))
            case _:
                super()._on_message(widget, content, buffers)

    def _enqueue_strip(self, cell: Cell) -> str:
        """Run a head by position when the kernel's loop comes to it; what is wrong with the request is raised now."""
        head = self._head(cell)
        if self._loop is None:
            raise ResultError("nothing runs between cells here. Call by_position on the view.")
        self._on_loop(lambda: self._start_strip(head))
        return ""

    def _start_strip(self, head: Cell) -> None:
        if self._loop is not None and self.comm is not None:  # else the view was closed meanwhile
            self._strip(head).job.start(self._loop)

    def _strip(self, head: Cell) -> Strip:
        """The strip of a head: a new one, unless there is one that did not end early."""
        for strip in self.strips:
            if strip.cell == head and strip.job.state in ("running", "done"):
                return strip
        assert self._positions_of is not None
        new = Strip(self.partial, head, self._positions_of, lambda: self.send_state("strips"))
        others = [strip for strip in self.strips if strip.cell != head]
        self.strips = (new, *others[: MOST_STRIPS - 1])
        return new

    def _keep_strips(self, keep: Callable[[Strip], bool]) -> None:
        self.strips = tuple(filter(keep, self.strips))

    def _head(self, cell: Cell | None) -> Cell:
        """The head that is meant by a cell of the grid or of a strip; by none, the selected or the strongest one."""
        result = self.partial
        sites = [panel.site for panel in result.panels if panel.columns == "head"]
        if not sites:
            raise ResultError(
                f"by_position takes a head of a grid of heads, and this grid has none ({result.shape_in_words()}). "
                'Show one with show_patching(…, sites="z").'
            )
        if self._positions_of is None:
            raise ResultError(
                "this view came without its experiment, so there is nothing to run again. Call by_position on the view "
                'that show_patching returns, or run_patching(…, by="pos") for the head.'
            )
        given = cell if cell is not None else self.selected
        _, chosen = self._find(given if given is not None else result.strongest(self.metric, sites))
        if chosen["site"] not in sites:
            raise ResultError(f"{chosen['site']} has no heads in this grid. Choose a cell of {' or '.join(sites)}.")
        return {"site": chosen["site"], "layer": chosen["layer"], "head": chosen["head"]}

    def _title(self) -> str:
        return question(self.partial)

    def _spot(self) -> Spot | None:
        spot = super()._spot()
        if spot is not None and self.pair is not None:
            spot["prompt"] = self.pair
        return spot

    def _place(self, given: Mapping[str, Any] | None) -> Spot:
        """The place that is meant: the one that is given, else the selected cell, else the strongest one."""
        if given is None and not self.selected:
            given = self.partial.strongest(self.metric)
        return super()._place(given)

    def _go(self, spot: Spot) -> bool:
        """Select the cell that is meant: of the site that is named, else of the panel that has most of the place."""
        known: Mapping[str, Any] = spot
        here = self.selected or {}
        place = {**here, **known}

        def fit(panel: Panel) -> tuple[bool, int, bool]:
            return panel.site == known.get("site"), len({*panel.axes} & {*known}), panel.site == here.get("site")

        for panel in sorted(self.partial.panels, key=fit, reverse=True):
            if not {*panel.axes} & {*known}:
                continue
            cell = {axis: place[axis] for axis in panel.axes if axis in place}
            try:
                self.set_trait("selected", {"site": panel.site, **cell})
            except traitlets.TraitError:
                continue
            return True
        return False

    def _words(self, pos: int) -> Sequence[str]:
        pairs = self.partial.pairs if self.pair is None else self.partial.pairs[self.pair : self.pair + 1]
        sides = [side.labels for pair in pairs for side in (pair.clean, pair.corrupt)]
        return list(dict.fromkeys(labels[pos] for labels in sides if pos < len(labels)))

    def _find(self, given: Mapping[str, Any]) -> tuple[PatchingResult, Cell]:
        """The result that has a cell, the grid or a strip, and the cell as it names it, in plain numbers."""
        results = [self.partial]
        if isinstance(given, Mapping) and "pos" in given:
            results = [strip.partial for strip in self.strips if strip.cell.items() <= given.items()] or results
        try:
            number, row, column = results[0].find(given)
        except (SelectionError, UnknownNameError) as error:
            raise traitlets.TraitError(str(error)) from error
        return results[0], cast("Cell", results[0].panels[number].name(row, column))

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> Cell | None:
        return None if proposal["value"] is None else self._find(proposal["value"])[1]

    @traitlets.validate("strips")
    def _valid_strips(self, proposal: Mapping[str, Any]) -> tuple[Strip, ...]:
        strips: tuple[Strip, ...] = proposal["value"]
        if not all(isinstance(strip, Strip) for strip in strips):
            raise traitlets.TraitError("strips holds what by_position opened. Assign some of them, or () for none.")
        return strips

    @traitlets.observe("strips")
    def _strips_changed(self, change: Mapping[str, Any]) -> None:
        for gone in set(change["old"]) - set(change["new"]):
            gone.job.cancel()
        selected = cast("Cell | None", self.selected)
        if selected is None or "pos" not in selected:
            return
        try:
            self._find(selected)
        except traitlets.TraitError:  # its strip is gone, but the head is still there
            self.selected = {name: selected[name] for name in ("site", "layer", "head")}

    @traitlets.validate("metric")
    def _valid_metric(self, proposal: Mapping[str, Any]) -> str:
        name = str(proposal["value"])
        if name not in self.partial.metrics:
            raise traitlets.TraitError(str(unknown_name("metric", name, self.partial.metrics)))
        return name

    @traitlets.validate("pair")
    def _valid_pair(self, proposal: Mapping[str, Any]) -> int | None:
        number = proposal["value"]
        if number is not None and number not in range(len(self.partial.pairs)):
            raise traitlets.TraitError(
                f"no pair {number}: this result has pairs 0 to {len(self.partial.pairs) - 1}, or None for their mean."
            )
        return cast("int | None", number)

    @traitlets.validate("color_limit")
    def _valid_color_limit(self, proposal: Mapping[str, Any]) -> float:
        limit = float(proposal["value"])
        if not (math.isfinite(limit) and limit > 0):
            raise traitlets.TraitError(f"color_limit is an effect above 0, such as 1; {limit} was given.")
        self._limit_is_chosen = True
        return limit


def question(result: PatchingResult) -> str:
    """The question that a patching grid answers."""
    title = result.story.title({(pair.answer.label, pair.wrong_answer.label) for pair in result.pairs})
    if title != result.story.question_of_several or len(result.pairs) == 1:
        return title
    return f"{title} Mean of {len(result.pairs)} {result.story.noun}s"
