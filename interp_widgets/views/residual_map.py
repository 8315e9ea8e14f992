"""Residual streams as a live scatter: a point for each token, layer by layer, along a few axes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast, get_args

import numpy as np
import traitlets

from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.projection import ProjectionResult
from interp_widgets.views._residual_map_wire import (
    quantised,
    question,
    residual_map_arrays,
    residual_map_spec,
    travelling,
    wire_layer,
)
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views.protocol.common import Spot
from interp_widgets.views.protocol.residual_map import ColorBy, LayerMessage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Steps: TypeAlias = "Generator[ProjectionResult, None, ProjectionResult]"
"""An experiment under way: yields partial results and returns the whole."""

COLORS: tuple[ColorBy, ...] = get_args(ColorBy)


class ProjectionView(View[ProjectionResult]):
    """Where tokens lie in the residual stream: a scatter with a slider through layers.

    Points are counted through all prompts, and are the same in every layer. Both Python and the page write the traits
    below, and `view.observe(handler, "selected")` tells of what was lassoed.

    Attributes:
        selected: numbers of the selected points, in rising order; `result.find(token="Mary")` gives some.
        layer: the layer that is shown.
        color_by: what colour says: "label" (where prompts have labels), "token", "position" or "prompt".
        align: whether each layer is turned onto the one before (orthogonal Procrustes), so that points move and axes
            stay. Axes are then mixtures of the principal components that are drawn.
        one_scale: whether all layers are drawn to one scale; else each fills the plot.
        axes: which axis is drawn across, and which up, as numbers in `result.axes`.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.
    """

    _esm = STATIC / "residual_map.js"
    _page_writes = frozenset({"selected", "layer", "color_by", "align", "one_scale", "axes", "theme"})
    _page_state = ("spec", "arrays", "job", *sorted(_page_writes))

    _called = "residual streams"
    _shares = ("layer", "pos")

    spec = traitlets.Dict(help="All that is shown apart from where points are.").tag(sync=True)
    arrays = traitlets.Instance(ProjectionResult, allow_none=True, help="The result whose points the page holds.").tag(
        sync=True, to_json=lambda result, view: None if result is None else residual_map_arrays(result, view._row())
    )
    selected: list[int] = traitlets.List().tag(sync=True, echo_update=False)  # type: ignore[assignment]
    layer = traitlets.Int(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    color_by = traitlets.Unicode("token").tag(sync=True, echo_update=False)
    align = traitlets.Bool(True).tag(sync=True, echo_update=False)
    one_scale = traitlets.Bool(False).tag(sync=True, echo_update=False)
    axes: list[int] = traitlets.List(default_value=[0, 1]).tag(sync=True, echo_update=False)  # type: ignore[assignment]

    def __init__(self, source: ProjectionResult | Steps) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the generator that `interp_widgets.experiments.projection.projection` returns.
        """
        self._sent: set[int] = set()
        self._seq = 0
        super().__init__(steps_of(source, ProjectionResult, "ProjectionView"))

    def code(self, layer: int | None = None) -> str:
        """The lines of nnsight that compute a layer's coordinates and print them; they run as printed.

        `model` is yours in them, and `view` where the prompts are too long to print.

        Args:
            layer: by default the one that is shown.

        Raises:
            SelectionError: the layer is not among those that were asked for.
            ResultError: a few lines do not do.
        """
        result = self.partial
        return result.script(result.layers[self._row()] if layer is None else layer)

    def figure(self) -> Figure:
        """The layer that is shown as a matplotlib figure, for print."""
        from interp_widgets.views._residual_map_figure import draw

        return draw(
            self.partial,
            self._row(),
            color_by=cast("ColorBy", self.color_by),
            align=self.align,
            axes=(self.axes[0], self.axes[1]),
            selected=self.selected,
        )

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"ProjectionView({self.job.note or self.job.state})"
        return f"ProjectionView({self.partial.shape_in_words()}, {self.job.state})"

    def _row(self) -> int:
        """The place of the shown layer among those that were asked for."""
        layers = self._raw.layers
        return layers.index(self.layer) if self.layer in layers else len(layers) // 2

    def _measure(self, result: ProjectionResult) -> tuple[int, int]:
        return result.done, result.todo

    def _open(self, result: ProjectionResult) -> dict[str, object]:
        opened: dict[str, object] = {
            "spec": residual_map_spec(result),
            "arrays": result,
            "layer": result.layers[len(result.layers) // 2],
        }
        if result.labels:
            opened["color_by"] = "label"
        return opened

    def _stream(self, result: ProjectionResult) -> None:
        placed = [int(row) for row in np.flatnonzero(result.computed) if row not in self._sent]
        held = travelling(result, placed, self._row())
        for row in placed:
            self._sent.add(row)
            self._send_layer(result, row, with_coords=row in held)

    def _send_layer(self, result: ProjectionResult, row: int, *, with_coords: bool = True) -> None:
        self._seq += 1
        message: LayerMessage = {
            "kind": "layer",
            "seq": self._seq,
            "layer": wire_layer(result, row, with_coords=False),
        }
        self.send(message, buffers=[quantised(result, row)] if with_coords else [])

    def _commit(self, result: ProjectionResult) -> None:
        self._sent = {int(row) for row in np.flatnonzero(result.computed)}
        self.set_trait("spec", residual_map_spec(result))  # with the work that it took
        if result is self.arrays:
            self.send_state("arrays")
        else:
            self.set_trait("arrays", result)

    def _title(self) -> str:
        return question(self.partial)

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        match content:
            case {"kind": "request", "id": str(request), "name": "layer", "row": int(row)}:
                self._reply(request, lambda: self._hand_over(row))
            case _:
                super()._on_message(widget, content, buffers)

    def _hand_over(self, row: int) -> str:
        result = self._raw
        if not (0 <= row < len(result.layers) and result.computed[row]):
            raise ResultError(f"layer number {row} is not placed.")
        self._send_layer(result, row)
        return "sent"

    def _spot(self) -> Spot | None:
        if not self.selected:
            return None
        spot: Spot = {"layer": self._raw.layers[self._row()]}
        positions = {int(position) for position in self._raw.position_of[self.selected]}
        if len(positions) == 1:
            spot["pos"] = positions.pop()
        return spot

    def _go(self, spot: Spot) -> bool:
        """Show a layer, and select the points at a position of all prompts, or of the one that is named."""
        result = self._raw
        went = spot.get("layer") in result.layers
        if went:
            self.layer = spot["layer"]
        if "pos" in spot and (points := result.find(position=spot["pos"], prompt=spot.get("prompt"))):
            self.selected = points
            went = True
        return went

    def _let_go(self) -> None:
        self.selected = []

    def _words(self, pos: int) -> Sequence[str]:
        result = self._raw
        ends = np.append(result.starts[1:], len(result.ids))
        at = result.starts + pos
        return [result.vocab[int(token)] for token in np.unique(result.ids[at[at < ends]])]

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> list[int]:
        given = proposal["value"]
        size = len(self._raw)
        for point in given:
            if isinstance(point, bool) or not isinstance(point, (int, np.integer)) or not 0 <= point < size:
                raise traitlets.TraitError(
                    f"selected holds {point!r}: it is a list of numbers of points, from 0 to {size - 1}."
                )
        return sorted({int(point) for point in given})

    @traitlets.validate("layer")
    def _valid_layer(self, proposal: Mapping[str, Any]) -> int | None:
        layer = proposal["value"]
        try:
            return None if layer is None else self._raw.layers[self._raw.row(layer)]
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.validate("color_by")
    def _valid_color_by(self, proposal: Mapping[str, Any]) -> str:
        name = str(proposal["value"])
        if name not in COLORS:
            raise traitlets.TraitError(str(unknown_name("color_by", name, COLORS)))
        if name == "label" and not self._raw.labels:
            raise traitlets.TraitError("prompts have no labels to colour by: pass labels=, one for each prompt.")
        return name

    @traitlets.validate("axes")
    def _valid_axes(self, proposal: Mapping[str, Any]) -> list[int]:
        axes: Sequence[Any] = proposal["value"]
        size = len(self._raw.axes)
        if len(axes) != 2 or not all(isinstance(axis, int) and 0 <= axis < size for axis in axes) or axes[0] == axes[1]:
            raise traitlets.TraitError(
                f"axes are two different numbers from 0 to {size - 1}, of {', '.join(self._raw.axes)}; {axes!r} was "
                "given."
            )
        return [int(axis) for axis in axes]
