"""QK and OV circuits of heads: small maps of all, and both of one head side by side, linked by the token between."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import traitlets

from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.head_circuits import Extremes, HeadCircuits
from interp_widgets.results.provenance import Provenance
from interp_widgets.views._job import Job
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.head_circuits import (
    CircuitArrays,
    CircuitChoice,
    CircuitSpec,
    WireExtremes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Steps: TypeAlias = "Generator[HeadCircuits, None, HeadCircuits]"
"""Work under way: yields partial results and returns the whole."""
Look: TypeAlias = "Callable[[int, int], Steps]"
"""Starts to look through the whole vocabulary for the strongest entries of a layer's head."""

_TOLD = 0.2
"""Seconds between two states of a look through the vocabulary."""


class HeadCircuitView(View[HeadCircuits]):
    """Which token each head attends to from which (QK), and what attending to it promotes (OV), by weights alone.

    Rows of both large maps are the token that is attended to; columns are the tokens that attend, on the left, and the
    tokens that are promoted, on the right. Both Python and the page write the traits below, and
    `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the head that is large and the token that is held, by its place in `result.tokens`, as
            `{"layer": 3, "head": 1, "token": None}`. None shows the head that copies most.
        small: what the small maps show, "ov" or "qk".
        color_scale: where colours end: "own", at each head's largest number, or "shared" by all heads.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.
    """

    _esm = STATIC / "head_circuits.js"
    _page_writes = frozenset({"selected", "small", "color_scale", "theme"})
    _page_state = ("spec", "arrays", "extremes", "job", *sorted(_page_writes))
    _shares = ("layer", "head")

    spec = traitlets.Dict(help="All that is shown apart from numbers.").tag(sync=True)
    arrays = traitlets.Instance(HeadCircuits, allow_none=True, help="The result whose numbers the page holds.").tag(
        sync=True, to_json=lambda result, _view: None if result is None else wire_arrays(result)
    )
    extremes: list[Any] = traitlets.List(help="Strongest entries over the whole vocabulary, as they were found.").tag(  # type: ignore[assignment]
        sync=True
    )
    looking = traitlets.Dict(
        allow_none=True, default_value=None, help="How far looking through the whole vocabulary is."
    ).tag(sync=True)
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    small = traitlets.Enum(["ov", "qk"], "ov").tag(sync=True, echo_update=False)
    color_scale = traitlets.Enum(["own", "shared"], "own").tag(sync=True, echo_update=False)

    def __init__(self, source: HeadCircuits | Steps, *, look: Look | None = None) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the steps of one.
            look: looks through the whole vocabulary, when somebody asks.
        """
        self._look = look
        self._found: dict[tuple[int, int], tuple[Extremes, ...]] = {}
        self._search: tuple[tuple[int, int], Job[HeadCircuits]] | None = None
        self._told = 0.0
        super().__init__(steps_of(source, HeadCircuits, "HeadCircuitView"))

    def vocabulary(self, layer: int | None = None, head: int | None = None) -> tuple[Extremes, ...]:
        """Look through the whole vocabulary for a head's strongest entries, and show them.

        Args:
            layer: by default the one that is shown.
            head: likewise.

        Raises:
            SelectionError: a layer or head that is not here.
            ResultError: the view came without a model, or another head is being looked for.
        """
        shown = self._shown()
        layer = shown[0] if layer is None else layer
        head = shown[1] if head is None else head
        self.partial.place(layer, head)
        if (job := self._start_search(layer, head)) is not None:
            job.finish()
        return self._known(layer, head)

    def code(self, layer: int | None = None, head: int | None = None) -> str:
        """The lines of torch that compute both maps of a head and print them, QK first; they run as printed.

        Args:
            layer: by default the one that is shown.
            head: likewise.

        Raises:
            SelectionError: a layer or head that is not here.
            ResultError: the layer is not read yet, or a few lines do not do.
        """
        shown = self._shown()
        return self.partial.script(shown[0] if layer is None else layer, shown[1] if head is None else head)

    def figure(self) -> Figure:
        """Both circuits of the head that is shown and its eigenvalues as a matplotlib figure, for print."""
        from interp_widgets.views._head_circuits_figure import draw

        layer, head = self._shown()
        figure: Figure = draw(self.partial, layer, head)
        return figure

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"HeadCircuitView({self.job.note or self.job.state})"
        return f"HeadCircuitView({self.partial!r}, {self.job.state})"

    def close(self) -> None:
        """Stop the work and free the view, here and in the page."""
        if self._search is not None:
            self._search[1].cancel()
        super().close()

    def _known(self, layer: int, head: int) -> tuple[Extremes, ...]:
        return tuple(found for found in self.partial.extremes if (found.layer, found.head) == (layer, head))

    def _start_search(self, layer: int, head: int) -> Job[HeadCircuits] | None:
        """What looks through the vocabulary for a head; None if that is done."""
        if self._search is not None and self._search[1].state == "running":
            if self._search[0] == (layer, head):
                return self._search[1]
            raise ResultError(
                "the whole vocabulary is being looked through for head {}.{}. Wait for that, or cancel it.".format(
                    *self._search[0]
                )
            )
        if self._known(layer, head):
            return None
        if self._look is None:
            raise ResultError(
                "this view came without a model to look through. Call vocabulary() on the view that show_head_circuits "
                "returns, or pass vocabulary=(layer, head) to run_head_circuits."
            )
        job: Job[HeadCircuits] = Job(
            self._look(layer, head), _searched, on_step=self._on_search, on_end=self._on_search_end
        )
        self._search = (layer, head), job
        self._tell_search()
        return job

    def _on_search(self, result: HeadCircuits | None) -> None:
        if self._search is None or time.monotonic() - self._told < _TOLD:
            return
        if result is not None and result.extremes:
            self._found[self._search[0]] = result.extremes
        self._tell_search()

    def _on_search_end(self) -> None:
        if self._search is None:
            return
        head, job = self._search
        if job.state == "done" and job.partial is not None:
            self._found[head] = job.partial.extremes
        else:  # so that it can be asked for again
            self._found.pop(head, None)
        self._tell_search()

    def _tell_search(self) -> None:
        if self._search is None:
            return
        (layer, head), job = self._search
        self._told = time.monotonic()
        with self.hold_sync():
            self.set_trait("extremes", wire_extremes(self.partial))
            self.set_trait("looking", {"layer": layer, "head": head, "job": job.status()})

    def _drain(self) -> None:
        super()._drain()
        if self._search is not None:
            self._search[1].drain()

    def _enriched(self, result: HeadCircuits) -> HeadCircuits:
        more = tuple(found for extremes in self._found.values() for found in extremes)
        return replace(result, extremes=(*result.extremes, *more)) if more else result

    def _shown(self) -> tuple[int, int]:
        if self.selected:
            return int(self.selected["layer"]), int(self.selected["head"])
        return leading(self.partial)

    def _measure(self, result: HeadCircuits) -> tuple[int, int]:
        n_layers = len(result.layers)
        parts = [np.isfinite(result.ov[:, 0, 0, 0])]
        if "eigenvalues" not in result.missing:
            parts.append(np.isfinite(result.eigenvalues[:, 0, 0, 0]))
        return int(sum(int(part.sum()) for part in parts)), n_layers * len(parts)

    def _open(self, result: HeadCircuits) -> dict[str, object]:
        if self.selected:  # before there was a result
            try:
                checked(result, self.selected)
            except SelectionError as error:
                warnings.warn(f"{error} The head that copies most is shown.", UserWarning, stacklevel=2)
                self.set_trait("selected", None)
        return {
            "spec": circuit_spec(result, answers=self._look is not None),
            "arrays": result,
            "extremes": wire_extremes(result),
        }

    def _stream(self, result: HeadCircuits) -> None:
        self._commit(result)

    def _commit(self, result: HeadCircuits) -> None:
        with self.hold_sync():
            if result.positions != self.spec["positions"]:
                self.set_trait("spec", circuit_spec(result, answers=self._look is not None))
            self.set_trait("extremes", wire_extremes(self._enriched(result)))
            if result is self.arrays:
                self.send_state("arrays")
            else:
                self.set_trait("arrays", result)

    def _title(self) -> str:
        return QUESTION

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        match content:
            case {
                "kind": "request",
                "id": str(request),
                "name": "vocabulary",
                "layer": int(layer),
                "head": int(head),
            }:
                self._on_loop(lambda: self._reply(request, lambda: self._request_vocabulary(layer, head)))
            case {"kind": "cancel_vocabulary"}:
                if self._search is not None:
                    self._search[1].cancel()
            case _:
                super()._on_message(widget, content, buffers)

    def _request_vocabulary(self, layer: int, head: int) -> str:
        """Start to look, in steps between which other cells run; it runs where the work is done."""
        self.partial.place(layer, head)
        job = self._start_search(layer, head)
        if job is None:
            return "known"
        if self._loop is None:
            job.finish()
        else:
            job.start(self._loop)
        return job.state

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> CircuitChoice | None:
        given = proposal["value"]
        if given is None:
            return None
        try:
            # Before a server has sent anything, whether there is such a head is not known: `_open` sees to it.
            return plain(given) if self.job.partial is None else checked(self._raw, given)
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error


QUESTION = "What does each head look for, and what does it do with what it finds?"


def _searched(result: HeadCircuits) -> tuple[int, int]:
    """How much of the vocabulary was looked through, in hundredths."""
    parts = 1 if "qk" in result.missing else 2
    return round(100 * sum(found.share for found in result.extremes) / parts), 100


def leading(result: HeadCircuits) -> tuple[int, int]:
    """The head that copies most; where that is not known, the first."""
    scores = np.nan_to_num(result.copying, nan=-np.inf)
    row, column = (int(place) for place in np.unravel_index(int(scores.argmax()), scores.shape))
    return result.layers[row], result.heads[column]


def checked(result: HeadCircuits, given: Mapping[str, Any]) -> CircuitChoice:
    """A choice of what a result has, as plain numbers.

    Raises:
        SelectionError: a layer, head or token that is not here, or something that is no choice.
    """
    choice = plain(given)
    result.place(choice["layer"], choice["head"])
    token, n_tokens = choice["token"], len(result.tokens)
    if token is not None and not 0 <= token < n_tokens:
        raise SelectionError(f"There is no token {token!r}: they run from 0 to {n_tokens - 1}, or None.")
    return choice


def plain(given: Mapping[str, Any]) -> CircuitChoice:
    """A choice as plain numbers, whatever the result has.

    Raises:
        SelectionError: something that is no choice.
    """
    if not {"layer", "head"} <= set(given) <= {"layer", "head", "token"}:
        raise SelectionError(f'selected is {{"layer": 3, "head": 1, "token": None}}, or None, not {dict(given)!r}.')
    token = given.get("token")
    for name, number in given.items():
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not (whole or (name == "token" and number is None)):
            raise SelectionError(f"{name}={number!r} is no number.")
    return {
        "layer": int(given["layer"]),
        "head": int(given["head"]),
        "token": None if token is None else int(token),
    }


def circuit_spec(result: HeadCircuits, *, answers: bool) -> CircuitSpec:
    """All that a view of circuits shows apart from numbers."""
    return {
        "title": QUESTION,
        "labels": list(result.tokens.labels),
        "layers": list(result.layers),
        "heads": list(result.heads),
        "offset": result.offset,
        "positions": result.positions,
        "ids": str(list(result.tokens.ids)),
        "answers": answers,
    }


def wire_arrays(result: HeadCircuits) -> CircuitArrays:
    """The numbers of all heads."""
    return {
        "qk": wire_array(result.qk, "float32"),
        "ov": wire_array(result.ov, "float32"),
        "copying": wire_array(result.copying, "float32"),
        "eigenvalues": wire_array(result.eigenvalues, "float32"),
        "by_offset": wire_array(result.by_offset, "float32"),
        "missing": dict(result.missing),
        "code": list(result.code),
        "provenance": _provenance(result.provenance),
    }


def wire_extremes(result: HeadCircuits) -> list[WireExtremes]:
    """What was found in the whole vocabulary."""
    return [
        {
            "layer": found.layer,
            "head": found.head,
            "circuit": found.circuit,
            "highest": [
                {"first": pair.first.label, "second": pair.second.label, "value": pair.value} for pair in found.highest
            ],
            "lowest": [
                {"first": pair.first.label, "second": pair.second.label, "value": pair.value} for pair in found.lowest
            ],
        }
        for found in result.extremes
    ]


def _provenance(source: Provenance) -> list[str]:
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    settings = [f"{name}: {said}" for name, said in source.settings.items()]
    return [*settings, source.model, f"{source.dtype}, weights {source.fingerprint}", versions]
