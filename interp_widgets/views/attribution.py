"""Direct logit attribution: what each component adds to a logit difference, and what heads and MLPs are made of."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import traitlets

from interp_widgets.results.attribution import AttributionResult, Component
from interp_widgets.results.attribution_parts import HeadSources, NeuronParts
from interp_widgets.results.errors import InterpWidgetsError, ResultError, SelectionError
from interp_widgets.results.tokens import Token
from interp_widgets.views._attribution_wire import (
    attribution_arrays,
    attribution_spec,
    choice_of,
    wire_neurons,
    wire_sources,
)
from interp_widgets.views._job import Job
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views.protocol.attribution import AttributionChoice
from interp_widgets.views.protocol.common import Spot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Steps: TypeAlias = "Generator[AttributionResult, None, AttributionResult]"
"""An experiment under way: yields partial results and returns the whole."""
SourcesOf: TypeAlias = "Callable[[AttributionResult, int, int], Generator[HeadSources, None, HeadSources]]"
"""Starts to take a head of a result apart by source."""
NeuronsOf: TypeAlias = "Callable[[AttributionResult, int], Generator[NeuronParts, None, NeuronParts]]"
"""Starts to take an MLP of a result apart by neuron."""
Part: TypeAlias = "tuple[Literal['sources'], int, int] | tuple[Literal['neurons'], int]"
"""What can be taken further apart: a head by layer and number, or an MLP by layer."""

_RATE = 20_000_000
"""Bytes a second of contributions that a page is sent while prompts are computed."""
_SAVED_HEADS, _SAVED_MLPS = 6, 3
"""How many of the strongest heads and MLPs are taken apart for a saved page."""


class AttributionView(View[AttributionResult]):
    """What each component adds to a logit difference directly, layer by layer, and what heads and MLPs are made of.

    Both Python and the page write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the component that is shown, by its place: `{"site": "z", "layer": 9, "head": 6}` is a head,
            `{"site": "mlp_out", "layer": 3}` an MLP; other sites are "embed", "pos_embed", "attn_out", "attn_bias",
            "mlp_bias" and "bias", the last biases. None shows none.
        prompt: number of the prompt that is shown; None for the mean over all of them.
        target: which of the positions that were taken apart is shown, counted through those.
        color_limit: the contribution at which the colour scale ends; None ends it at the largest.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.
    """

    _esm = STATIC / "attribution.js"
    _page_writes = frozenset({"selected", "prompt", "target", "color_limit", "theme"})
    _shares = ("site", "layer", "head")
    _called = "attribution"
    _page_state = ("spec", "arrays", "sources", "neuron_parts", "job", *sorted(_page_writes))

    spec = traitlets.Dict(help="All that is shown apart from numbers.").tag(sync=True)
    arrays = traitlets.Instance(
        AttributionResult, allow_none=True, help="The result whose numbers the page holds."
    ).tag(sync=True, to_json=lambda result, _view: None if result is None else attribution_arrays(result))
    sources: dict[tuple[int, int], HeadSources] = traitlets.Dict(  # type: ignore[assignment]
        help="Heads that were taken apart by source."
    ).tag(sync=True, to_json=lambda sources, _view: wire_sources(sources))
    neuron_parts: dict[int, NeuronParts] = traitlets.Dict(  # type: ignore[assignment]
        help="MLPs that were taken apart by neuron."
    ).tag(sync=True, to_json=lambda neurons, _view: wire_neurons(neurons))
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    prompt = traitlets.Int(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    target = traitlets.Int(0).tag(sync=True, echo_update=False)
    color_limit = traitlets.Float(allow_none=True, default_value=None).tag(sync=True, echo_update=False)

    def __init__(
        self,
        source: AttributionResult | Steps,
        *,
        sources_of: SourcesOf | None = None,
        neurons_of: NeuronsOf | None = None,
    ) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the steps of one.
            sources_of: takes a head apart by source where that is not in the result.
            neurons_of: takes an MLP apart by neuron where that is not in the result.
        """
        self._sources_of, self._neurons_of = sources_of, neurons_of
        self._finding: dict[Part, Job[Any]] = {}
        self._waiting: dict[Part, list[str]] = {}
        self._due = 0.0
        super().__init__(steps_of(source, AttributionResult, "AttributionView"))

    def by_source(self, layer: int | None = None, head: int | None = None) -> HeadSources:
        """What a head brings from each token that it attends to; it is found out now if it was not yet.

        Args:
            layer: of the head; by default the one that is selected.
            head: its number; by default the one that is selected.

        Raises:
            SelectionError: there is no such head, or none is selected.
            ResultError: it is not there, and the view came without a model (as that of a loaded result does).
        """
        if layer is None or head is None:
            chosen = self._chosen()
            if chosen is None or chosen.head is None or chosen.layer is None:
                raise SelectionError("no head is selected: name one, as in by_source(9, 6).")
            layer, head = chosen.layer, chosen.head
        self._finish(("sources", layer, head))
        return self.sources[layer, head]

    def neurons(self, layer: int | None = None) -> NeuronParts:
        """What each neuron of an MLP contributes; it is found out now if it was not yet.

        Args:
            layer: of the MLP; by default the one that is selected.

        Raises:
            SelectionError: there is no such layer, or no MLP is selected.
            SiteError: the architecture has no neurons, as in a mixture of experts.
            ResultError: it is not there, and the view came without a model (as that of a loaded result does).
        """
        if layer is None:
            chosen = self._chosen()
            if chosen is None or chosen.kind != "mlp" or chosen.layer is None:
                raise SelectionError("no MLP is selected: name its layer, as in neurons(9).")
            layer = chosen.layer
        self._finish(("neurons", layer))
        return self.neuron_parts[layer]

    def code(self, component: str | None = None) -> str:
        """The lines of nnsight that compute one contribution and print it; they run as printed.

        `model` is yours in them. They are for the prompt and the position that are shown; where the mean over prompts
        is, for the first.

        Args:
            component: its name, such as "head 9.6" or "MLP 3"; by default the one that is selected, else the strongest.

        Raises:
            SelectionError: there is no such component.
            ResultError: the result came without code, or a few lines do not do.
        """
        result = self._raw
        names = [part.name for part in result.components]
        chosen = self._chosen() if component is None else None
        name = component or (result.strongest(1, self.target)[0][0].name if chosen is None else chosen.name)
        if name not in names:
            raise SelectionError(f"There is no component {name!r}: they are {names[0]}, {names[1]} ... {names[-1]}.")
        return result.script(names.index(name), self.prompt or 0, self.target)

    def figure(self) -> Figure:
        """The contributions as a matplotlib figure, for print: by layer and head, accumulated, and the strongest."""
        from interp_widgets.views._attribution_figure import draw

        return draw(self.partial, prompt=self.prompt, target=self.target, color_limit=self.color_limit)

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"AttributionView({self.job.note or self.job.state})"
        prompts, targets, components = self._raw.contributions.shape
        shape = f"{prompts} prompt{'s' * (prompts != 1)} x {targets} x {components} components"
        return f"AttributionView({shape}, {self.job.state})"

    def close(self) -> None:
        """Stop the work and free the view, here and in the page."""
        for job in [*self._finding.values()]:
            job.cancel()
        super().close()

    def _enriched(self, result: AttributionResult) -> AttributionResult:
        return replace(result, sources=dict(self.sources), neurons=dict(self.neuron_parts))

    def _chosen(self) -> Component | None:
        return None if self.selected is None else self._raw.find(self.selected)

    def _measure(self, result: AttributionResult) -> tuple[int, int]:
        return int((~np.isnan(result.logits).any(axis=-1)).sum()), len(result.prompts)

    def _open(self, result: AttributionResult) -> dict[str, object]:
        return {
            "spec": attribution_spec(result, opens=self._sources_of is not None),
            "arrays": result,
            "sources": dict(result.sources),
            "neuron_parts": dict(result.neurons),
            "target": result.targets.shape[1] - 1,
        }

    def _stream(self, result: AttributionResult) -> None:
        # The means change with every prompt: the page gets the whole anew, as often as its size allows.
        now = time.monotonic()
        if now >= self._due:
            self._due = now + result.contributions.nbytes / _RATE
            self.set_trait("arrays", result)

    def _commit(self, result: AttributionResult) -> None:
        self.sources = {**result.sources, **self.sources}
        self.neuron_parts = {**result.neurons, **self.neuron_parts}
        if result is self.arrays:
            self.send_state("arrays")
        else:
            self.set_trait("arrays", result)
        for part, requests in [*self._waiting.items()]:  # asked for while prompts were still to come
            if part not in self._finding:
                self._waiting.pop(part)
                for request in requests:
                    self._request(request, part)

    def _title(self) -> str:
        return question(self._raw, self.prompt)

    def _spot(self) -> Spot | None:
        spot = super()._spot()
        if spot is not None and self.prompt is not None:
            spot["prompt"] = self.prompt
        return spot

    def _place(self, given: Mapping[str, Any] | None) -> Spot:
        """The place that is meant, at the token whose prediction is taken apart where it names none."""
        place = super()._place(given)
        number = place.get("prompt", 0)
        if type(number) is int and 0 <= number < len(self._raw.prompts):
            place.setdefault("pos", int(self._raw.targets[number, self.target]))
        return place

    def _go(self, spot: Spot) -> bool:
        """Select the head, the attention or the MLP that is meant, whatever of it is selected elsewhere."""
        if "layer" not in spot:
            return False
        place: dict[str, Any] = {"layer": spot["layer"]}
        site = "mlp_out" if spot.get("site") == "mlp_post" else spot.get("site")
        place |= {"site": "z", "head": spot["head"]} if "head" in spot else {"site": site}
        try:
            self.set_trait("selected", place)
        except traitlets.TraitError:
            return False
        return True

    def _words(self, pos: int) -> Sequence[str]:
        prompts = self._raw.prompts if self.prompt is None else self._raw.prompts[self.prompt : self.prompt + 1]
        return list(dict.fromkeys(prompt.labels[pos] for prompt in prompts if pos < len(prompt)))

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        part: Part
        match content:
            case {"kind": "request", "id": str(request), "name": "sources", "layer": int(layer), "head": int(head)}:
                part = ("sources", layer, head)
                self._on_loop(lambda: self._request(request, part))
            case {"kind": "request", "id": str(request), "name": "neurons", "layer": int(layer)}:
                part = ("neurons", layer)
                self._on_loop(lambda: self._request(request, part))
            case _:
                super()._on_message(widget, content, buffers)

    def _drain(self) -> None:
        super()._drain()
        if self._sources_of is not None and self.job.partial is not None:
            for part in self._leading():
                with suppress(InterpWidgetsError):  # experts have no neurons, and some heads cannot be told apart
                    self._find(part)
        for job in [*self._finding.values()]:
            job.drain()

    def _leading(self) -> list[Part]:
        """The strongest heads and MLPs, which a saved page opens."""
        heads: list[Part] = []
        mlps: list[Part] = []
        result = self._raw
        for component, _ in result.strongest(len(result.components), self.target):
            if component.layer is None:
                continue
            if component.head is not None:
                heads.append(("sources", component.layer, component.head))
            elif component.kind == "mlp" and self.spec["has_neurons"]:
                mlps.append(("neurons", component.layer))
        return [*heads[:_SAVED_HEADS], *mlps[:_SAVED_MLPS]]

    def _known(self, part: Part) -> bool:
        return (part[1:] in self.sources) if part[0] == "sources" else part[1] in self.neuron_parts

    def _finish(self, part: Part) -> None:
        self.job.finish()
        if (job := self._find(part)) is not None:
            job.finish()

    def _find(self, part: Part) -> Job[Any] | None:
        """What takes a component apart; None if that is done."""
        if part in self._finding:
            return self._finding[part]
        if self._known(part):
            return None
        if self._sources_of is None or self._neurons_of is None:
            what = f"head {part[1]}.{part[2]} by source" if part[0] == "sources" else f"the neurons of MLP {part[1]}"
            asked = f"by_source=[({part[1]}, {part[2]})]" if part[0] == "sources" else f"neurons={part[1]}"
            raise ResultError(
                f"this result does not have {what}, and the view came without a model to find out. Pass {asked} to "
                "show_attribution or run_attribution."
            )
        steps: Generator[Any, None, Any]
        if part[0] == "sources":
            steps = self._sources_of(self._raw, part[1], part[2])
        else:
            steps = self._neurons_of(self._raw, part[1])
        job: Job[Any] = Job(
            steps, lambda found: (int(found.computed.sum()), len(found.computed)), on_step=_unseen, on_end=lambda: end()
        )

        def end() -> None:
            self._end(part, job)

        if job.state == "running":
            self._finding[part] = job
        else:
            end()
        return job

    def _end(self, part: Part, job: Job[Any]) -> None:
        self._finding.pop(part, None)
        found = job.partial if job.state == "done" else None
        if isinstance(found, HeadSources):
            self.sources = {**self.sources, (found.layer, found.head): found}
        elif isinstance(found, NeuronParts):
            self.neuron_parts = {**self.neuron_parts, found.layer: found}
        for request in self._waiting.pop(part, ()):
            self._reply(request, lambda: _outcome(job))

    def _request(self, request: str, part: Part) -> None:
        """Answer the page when a component is taken apart; it runs where the work is done."""
        try:
            if self.job.state == "running" and not self._known(part):
                self._waiting.setdefault(part, []).append(request)
                return
            job = self._find(part)
        except Exception as error:  # whatever it is, the page waits for an answer
            self._reply(request, lambda error=error: _raised(error))  # type: ignore[misc]
            return
        if job is None or job.state != "running":
            self._reply(request, lambda: "found" if job is None else _outcome(job))
            return
        self._waiting.setdefault(part, []).append(request)
        if self._loop is None:
            job.drain()
        else:
            job.start(self._loop)

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> AttributionChoice | None:
        given = proposal["value"]
        if given is None:
            return None
        try:
            return choice_of(self._raw.find(given))
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.validate("prompt")
    def _valid_prompt(self, proposal: Mapping[str, Any]) -> int | None:
        return self._numbered("prompt", proposal["value"], len(self._raw.prompts))

    @traitlets.validate("target")
    def _valid_target(self, proposal: Mapping[str, Any]) -> int | None:
        if self.job.partial is None:
            return cast("int", proposal["value"])
        return self._numbered("target", proposal["value"], self._raw.targets.shape[1])

    @traitlets.validate("color_limit")
    def _valid_color_limit(self, proposal: Mapping[str, Any]) -> float | None:
        limit = proposal["value"]
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise traitlets.TraitError(f"color_limit is a contribution above 0, or None; {limit} was given.")
        return None if limit is None else float(limit)

    def _numbered(self, name: str, number: int | None, count: int) -> int | None:
        if number is not None and not 0 <= number < count:
            raise traitlets.TraitError(f"there is no {name} {number}: they run from 0 to {count - 1}.")
        return number


def question(result: AttributionResult, prompt: int | None = None) -> str:
    """The question that a view of an attribution answers, of one prompt or of all."""
    some = slice(None) if prompt is None else slice(prompt, prompt + 1)
    right, wrong = dict.fromkeys(result.answers[some]), dict.fromkeys(result.wrong_answers[some])
    answer = _bare(next(iter(right))) if len(right) == 1 else "the answer"
    if {*wrong} == {None}:
        return f"What makes the model say {answer}?"
    (other, *others) = wrong
    compared = _bare(other) if other is not None and not others else "the wrong answer"
    return f"What makes the model say {answer} rather than {compared}?"


def _bare(token: Token) -> str:
    """A token as it is named inside a sentence: without the space before it, unless that is all there is."""
    return token.label.strip("␣") or token.label


def _unseen(_found: object) -> None:
    """A component is shown once it is taken apart on all prompts."""


def _outcome(job: Job[Any]) -> str:
    return _raised(job.error) if job.error is not None else job.state


def _raised(error: BaseException) -> str:
    raise error
