"""Linear probes by layer and position: how well labels are read, beside a control, and what was read wrong."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import traitlets

from interp_widgets.results.directions import Directions
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.probe import KINDS, MEASURES, Kind, ProbeResult
from interp_widgets.views._probe_wire import probe_arrays, probe_spec, question
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views.protocol.common import Spot
from interp_widgets.views.protocol.probe_grid import ProbeChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Steps: TypeAlias = "Generator[ProbeResult, None, ProbeResult]"
"""Probes that are being fitted: yields partial results and returns the whole."""

_REST = 5
"""How much longer than sending the last state took it is until the next is sent."""


class ProbeView(View[ProbeResult]):
    """Where in a model labels can be read by a linear probe: a grid of layers by positions, and the chosen cell.

    Beside the grid are the layers as a line with its interval, the control task and what a probe that knows nothing
    reaches. Both Python and the page write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the cell that is shown, as `{"site": "resid_post", "layer": 2, "pos": 5}`; the position as in
            `result.positions`, None for the mean over tokens or for each token. None shows the cell that is read best.
        kind: which probes are shown: "logistic" or "means".
        measure: what colour stands for: "accuracy", "balanced" or "auroc".
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.

    Example:
        >>> from interp_widgets import ProbeView, run_probe, teaching
        >>> pairs = teaching.prompts("refusal", n=15)
        >>> texts = [pair.clean for pair in pairs] + [pair.corrupt for pair in pairs]
        >>> labels = ["harmful"] * 15 + ["harmless"] * 15
        >>> view = ProbeView(run_probe(teaching.load(), texts, labels, positions="last", control_draws=1))
        >>> view.selected = {"site": "resid_post", "layer": 1, "pos": 11}
        >>> print(view.code().splitlines()[-1])
        print(right.mean())
    """

    _esm = STATIC / "probe_grid.js"
    _shares = ("site", "layer", "pos")
    _page_writes = frozenset({"selected", "kind", "measure", "theme"})
    _page_state = ("spec", "arrays", "job", *sorted(_page_writes))

    spec = traitlets.Dict(help="All that is shown apart from numbers.").tag(sync=True)
    arrays = traitlets.Instance(ProbeResult, allow_none=True, help="The result whose numbers the page holds.").tag(
        sync=True, to_json=lambda result, _view: None if result is None else probe_arrays(result)
    )
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    kind = traitlets.Unicode("logistic").tag(sync=True, echo_update=False)
    measure = traitlets.Enum(tuple(MEASURES), "accuracy").tag(sync=True, echo_update=False)

    def __init__(self, source: ProbeResult | Steps) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the steps of one.
        """
        self._due = 0.0
        super().__init__(steps_of(source, ProbeResult, "ProbeView"))

    def direction(self, label: str | None = None) -> Directions:
        """Return the direction of the selected cell's probe, fitted to all examples.

        `view.direction().vector(layer)` goes to `run_steering`; `features=view.direction().matrix` to
        `run_feature_patching`.

        Args:
            label: the class that it points to; of two the second by default.

        Raises:
            ResultError: nothing is computed yet.
            SelectionError: of more than two classes none was named.
            UnknownNameError: there is no such class.
        """
        place = self._shown()
        whole = self.partial.directions(self._kind, site=place["site"], label=label)
        return whole.at(place["layer"], place["pos"])

    def code(self) -> str:
        """The lines of nnsight and scikit-learn that fit and test the selected cell's probe; they run as printed.

        `model` is yours in them, and so is `view` where there are too many texts to print.

        Raises:
            ResultError: the result came without code, or nothing is computed yet.
            SelectionError: nothing is tested there.
        """
        place, result = self._shown(), self.partial
        return result.script(result.find(place["layer"], place["pos"], place["site"]), self._kind)

    def figure(self) -> Figure:
        """The grid, the layers as lines and the selected cell as a matplotlib figure, for print."""
        from interp_widgets.views._probe_figure import draw

        return draw(self.partial, self._kind, self.measure, self._shown_or_none())

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"ProbeView({self.job.note or self.job.state})"
        return f"ProbeView({self.partial.shape_in_words()}, {self.job.state})"

    @property
    def _kind(self) -> Kind:
        kinds = self.partial.kinds
        return next((kind for kind in kinds if kind == self.kind), kinds[0])

    def _shown(self) -> ProbeChoice:
        place = self._shown_or_none()
        if place is None:
            raise ResultError("no cell is computed yet. Select one, or wait.")
        return place

    def _shown_or_none(self) -> ProbeChoice | None:
        """The chosen cell, else the one that is read best."""
        if self.selected:
            return cast("ProbeChoice", self.selected)
        if not self.partial.computed.any():
            return None
        return cast("ProbeChoice", self.partial.best(self._kind, self.measure))

    def _measure(self, result: ProbeResult) -> tuple[int, int]:
        tested = len(result.positions) - len(result.untested)
        return int(result.computed.sum()), tested * len(result.rows)

    def _open(self, result: ProbeResult) -> dict[str, object]:
        opened: dict[str, object] = {"spec": probe_spec(result), "arrays": result}
        if self.kind not in result.kinds:
            opened["kind"] = result.kinds[0]
        return opened

    def _stream(self, result: ProbeResult) -> None:
        # The page gets the whole anew, so that the more there is the less often it is sent.
        started, sent = time.monotonic(), self.arrays
        if started < self._due or (sent is not None and np.array_equal(result.computed, sent.computed)):
            return
        self.set_trait("arrays", result)
        now = time.monotonic()
        self._due = now + _REST * (now - started)

    def _commit(self, result: ProbeResult) -> None:
        if result is self.arrays:
            self.send_state("arrays")
        else:
            self.set_trait("arrays", result)

    def _title(self) -> str:
        return question(self.partial)

    def _spot(self) -> Spot | None:
        """Positions that count from the end of texts of many lengths are this view's own."""
        spot = super()._spot()
        return None if spot is None else cast("Spot", {k: v for k, v in spot.items() if k != "pos" or v >= 0})  # type: ignore[operator]

    def _go(self, spot: Spot) -> bool:
        """Select the cell that is meant, in the site that is named or else any, and else where the reader is."""
        here = self._shown_or_none()
        if here is None or not {"layer", "pos"} & {*spot}:
            return False
        layer, pos = spot.get("layer", here["layer"]), spot.get("pos", here["pos"])
        sites = dict.fromkeys([spot.get("site"), here["site"], *(place.site for place in self.partial.rows)])
        for site in sites:
            try:
                self.set_trait("selected", self.partial.place(self.partial.find(layer, pos, site)))
            except SelectionError:
                continue
            return True
        return False

    def _words(self, pos: int) -> Sequence[str]:
        labels = dict(zip(self.partial.positions, self.partial.labels, strict=True))
        return [labels[pos]] if labels.get(pos, f"pos {pos}") != f"pos {pos}" else []

    @traitlets.validate("kind")
    def _valid_kind(self, proposal: Mapping[str, Any]) -> str:
        kinds = tuple(KINDS) if self.job.partial is None else self.partial.kinds
        if proposal["value"] not in kinds:
            raise traitlets.TraitError(f"kind={proposal['value']!r} is none of {', '.join(kinds)}.")
        return str(proposal["value"])

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> ProbeChoice | None:
        given = proposal["value"]
        if given is None:
            return None
        try:
            cell = self.partial.find(given.get("layer"), given.get("pos"), given.get("site"))
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error
        return cast("ProbeChoice", self.partial.place(cell))
