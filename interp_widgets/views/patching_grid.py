"""The grid of a patching result: one panel for each site, of layers or heads by tokens, heads, neurons or roles."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict
from string import Template
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import traitlets
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError, SelectionError, UnknownNameError, unknown_name
from interp_widgets.results.panel import Panel
from interp_widgets.results.patching import Pair, PatchingResult, Prediction, Status, remaining
from interp_widgets.results.story import Story
from interp_widgets.results.terms import Term, metric_term, site_term
from interp_widgets.results.tokens import Tokens
from interp_widgets.views._view import STATIC, View
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol import (
    Cell,
    GridArrays,
    GridSpec,
    RowsMessage,
    WireLine,
    WireMetric,
    WirePair,
    WirePanel,
    WirePrediction,
    WirePrompt,
    WireStory,
    WireTerm,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Steps: TypeAlias = "Generator[PatchingResult, None, PatchingResult]"
"""An experiment under way: yields partial results and returns the whole."""

_PASSING = 5
"""On the wire, the status of an estimate that will be replaced."""


class PatchingGrid(View):
    """What each patch does to the model's answer, as a grid with one panel a site: layers by tokens, heads or neurons.

    Colour is the effect: 0 is the host run unchanged, 1 the other run in full (see `PatchingResult.effect`). Both
    Python and the page write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the pinned cell, as `{"site": "resid_pre", "layer": 3, "pos": 10}` or `{"site": "z", "layer": 9,
            "head": 6}`, or None.
        metric: name of the metric that is shown; any of `view.partial.metrics`.
        pair: number of the pair that is shown; None for the mean of all.
        color_limit: effect at which the colour scale ends, on both sides of 0. What lies beyond is marked.
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
    _page_state = ("spec", "arrays", "job", "selected", "metric", "pair", "color_limit", "theme")

    spec = traitlets.Dict(
        allow_none=True, default_value=None, help="All that is shown apart from the cells; None before a first result."
    ).tag(sync=True)
    arrays = traitlets.Instance(PatchingResult, allow_none=True, help="The result whose cells the page holds.").tag(
        sync=True, to_json=lambda result, _view: result and grid_arrays(result)
    )
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    metric = traitlets.Unicode().tag(sync=True, echo_update=False)
    pair = traitlets.Int(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    color_limit = traitlets.Float(1.0).tag(sync=True, echo_update=False)

    def __init__(self, source: PatchingResult | Steps, *, by_position: Callable[[Cell], Steps] | None = None) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the generator that `interp_widgets.experiments.patching.patching` returns.
            by_position: starts the same experiment on one head of a grid of heads, with a column for each position.
        """
        self._positions_of = by_position
        self._sent: np.ndarray[Any, Any] | None = None
        self._seq = 0
        if isinstance(source, PatchingResult):
            source = _finished(source)
        elif not isinstance(source, Generator):
            raise ResultError(
                f"a PatchingGrid shows a PatchingResult, or what `patching` returns; {type(source).__name__} was given."
            )
        super().__init__(source)

    @property
    def result(self) -> PatchingResult:
        """The complete result: finishes the work if there is some left.

        After `job.cancel()` or an interrupt it is what was computed until then. If the experiment failed, its error is
        raised; `partial` still has what was computed.
        """
        return cast("PatchingResult", super().result)

    @property
    def partial(self) -> PatchingResult:
        """What is computed so far, without computing more."""
        return cast("PatchingResult", super().partial)

    def code(self, cell: Cell | None = None) -> str:
        """The lines of nnsight that compute one cell and print its value; they run as they are printed.

        They use your model by the name `model`. With several pairs they compute the one that is shown, else the first.

        Args:
            cell: which cell; by default the selected one, else the one with the strongest effect.

        Raises:
            ResultError: what a cell does takes more than a few lines, or no cell has an effect yet.
            TraitError: the grid has no such cell.
        """
        result = self.partial
        chosen = self._cell(cell) if cell is not None else cast("Cell | None", self.selected)
        chosen = chosen or cast("Cell", result.strongest(self.metric))
        pair = result.pairs[self.pair or 0]
        if chosen["site"] not in result.code.sites:
            raise ResultError(
                f"there are no printed lines for {chosen['site']} in this grid: what its cells do takes more than a "
                "few."
            )
        metric = Template(result.code.metrics[self.metric]).safe_substitute(
            answer=pair.answer.id, wrong_answer=pair.wrong_answer.id
        )
        return Template(result.code.sites[chosen["site"]]).safe_substitute(
            {name: value for name, value in chosen.items() if name != "role"},
            role=json.dumps(chosen.get("role"), ensure_ascii=False),
            clean_ids=list(pair.clean.ids),
            corrupt_ids=list(pair.corrupt.ids),
            metric=metric,
        )

    def by_position(self, cell: Cell | None = None) -> PatchingGrid:
        """One head of a grid of heads, position by position: the same experiment again, as a view of its own.

        A cell of a grid of heads is all positions of a head together; this tells which of them matter.

        Args:
            cell: which head; by default the one that is selected, else the one with the strongest effect.

        Raises:
            ResultError: the view has no grid of heads, came without its experiment (as that of a loaded result does),
                or no head has an effect yet.
            TraitError: the grid has no such cell.
        """
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
        chosen = self._cell(cell) if cell is not None else cast("Cell | None", self.selected)
        chosen = chosen or cast("Cell", result.strongest(self.metric, sites))
        if chosen["site"] not in sites:
            raise ResultError(f"{chosen['site']} has no heads in this grid. Choose a cell of {' or '.join(sites)}.")
        view = PatchingGrid(self._positions_of(chosen))
        # What the new grid can be of is only known when it is there, which on a server takes a while.
        of_result = () if view.job.partial is None else ("metric", "pair")
        for trait in (*of_result, "color_limit", "theme"):
            view.set_trait(trait, getattr(self, trait))
        return view

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

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"PatchingGrid({self.job.note or self.job.state})"
        result = self.partial
        return f"PatchingGrid({result.shape_in_words()}, {result.direction}, {self.metric}, {self.job.state})"

    def _measure(self, result: PatchingResult) -> tuple[int, int]:
        computed = int((result.status == Status.COMPUTED).sum())
        return computed, computed + result.remaining

    def _open(self, result: PatchingResult) -> dict[str, object]:
        self._sent = result.status
        return {"spec": grid_spec(result), "arrays": result, "metric": result.metric}

    def _stream(self, result: PatchingResult) -> None:
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
            wire_array(_status(result)[:, panel, row].swapaxes(0, 1), "uint8"),
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

    def _title(self) -> str:
        return question(self.partial)

    def _cell(self, given: Mapping[str, Any]) -> Cell:
        """The cell as the result names it, in plain numbers."""
        try:
            number, row, column = self.partial.find(given)
        except (SelectionError, UnknownNameError) as error:
            raise traitlets.TraitError(str(error)) from error
        return cast("Cell", self.partial.panels[number].name(row, column))

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> Cell | None:
        return None if proposal["value"] is None else self._cell(proposal["value"])

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
        return limit


def question(result: PatchingResult) -> str:
    """The question that a patching grid answers."""
    title = result.story.title({(pair.answer.label, pair.wrong_answer.label) for pair in result.pairs})
    if title != result.story.question_of_several or len(result.pairs) == 1:
        return title
    return f"{title} Mean of {len(result.pairs)} {result.story.noun}s"


def grid_spec(result: PatchingResult) -> GridSpec:
    """All that a patching grid shows apart from its cells."""
    return {
        "story": _story(result.story),
        "direction": result.direction,
        "panels": [_panel(panel) for panel in result.panels],
        "pairs": [_pair(pair) for pair in result.pairs],
        "metrics": [_metric(result, name) for name in result.metrics],
        "top_k": int(result.top_ids.shape[-1]),
        "code_sites": dict(result.code.sites),
        "code_metrics": dict(result.code.metrics),
        "provenance": _provenance(result),
    }


def grid_arrays(result: PatchingResult) -> GridArrays:
    """Every cell of a result, for the page."""
    return {
        "values": wire_array(np.stack([result.values[metric] for metric in result.metrics]), "float32"),
        "status": wire_array(_status(result), "uint8"),
        "top_ids": wire_array(result.top_ids, "int32"),
        "top_probs": wire_array(result.top_probs, "float32"),
        "vocab": {str(token): label for token, label in result.vocab.items()},
    }


def _status(result: PatchingResult) -> NDArray[np.uint8]:
    """The status of each cell as the page knows it: estimates that an exact value will replace are told apart."""
    passing = (result.status == Status.ESTIMATED) & remaining(result.status, result.estimates)
    return np.where(passing, _PASSING, result.status).astype(np.uint8)


def _finished(result: PatchingResult) -> Generator[PatchingResult, None, PatchingResult]:
    """The steps of work that is already done."""
    yield from ()
    return result


def _term(term: Term) -> WireTerm:
    return {"name": term.name, "label": term.label, "meaning": term.meaning, "unit": term.unit}


def _panel(panel: Panel) -> WirePanel:
    lines: list[WireLine] = [{"layer": line.layer, "head": line.head, "latent": line.latent} for line in panel.lines]
    return {
        "term": _term(site_term(panel.site)),
        "lines": lines,
        "columns": panel.columns,
        "labels": list(panel.labels),
        "notes": list(panel.notes),
    }


def _story(story: Story) -> WireStory:
    return cast("WireStory", asdict(story) | {"sides": list(story.sides)})


def _metric(result: PatchingResult, name: str) -> WireMetric:
    return {"term": _term(metric_term(name)), "baselines": result.baselines[name].tolist()}


def _prompt(tokens: Tokens, top: tuple[Prediction, ...]) -> WirePrompt:
    predictions: list[WirePrediction] = [{"label": item.token.label, "prob": item.prob} for item in top]
    return {"labels": list(tokens.labels), "top": predictions}


def _pair(pair: Pair) -> WirePair:
    return {
        "clean": _prompt(pair.clean, pair.clean_top),
        "corrupt": _prompt(pair.corrupt, pair.corrupt_top),
        "clean_ids": list(pair.clean.ids),
        "corrupt_ids": list(pair.corrupt.ids),
        "answer": pair.answer.label,
        "wrong_answer": pair.wrong_answer.label,
        "answer_id": pair.answer.id,
        "wrong_answer_id": pair.wrong_answer.id,
        "answer_source": pair.answer_source,
        "differs": list(pair.differs),
    }


def _provenance(result: PatchingResult) -> list[str]:
    source = result.provenance
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    settings = [f"{name}: {said}" for name, said in source.settings.items()]
    return [*settings, source.model, f"{source.dtype}, weights {source.fingerprint}", versions]
