"""A lens: what the model would say after each layer at each token."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import traitlets

from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import InterpWidgetsError, ResultError, SelectionError
from interp_widgets.results.lens import LensResult
from interp_widgets.results.terms import HEAD_SITES
from interp_widgets.views._job import Job
from interp_widgets.views._lens_wire import Vocabulary, lens_arrays, lens_cells, lens_spec
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views.protocol.common import Spot
from interp_widgets.views.protocol.lens_table import LensCell, LensCellsMessage, LensPin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Steps: TypeAlias = "Generator[LensResult, None, LensResult]"
"""An experiment under way: yields partial results and returns the whole."""
Follows: TypeAlias = "Callable[[str | int], Steps]"
"""Reads the same lens for one more token."""

MOST_PINNED = 12
_MANY_ROWS = 26
"""Of more places than these only those between layers are shown at first."""


class LensView(View[LensResult]):
    """What the model would say if it had to after each layer: a table of layers by tokens.

    Both Python and the page write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the cell that is read out, such as `{"site": "resid_post", "layer": 2, "pos": 14, "prompt": 0}`; what
            is left out is that of the end. None shows what is said at the end.
        answer: number of the followed token that colour is about; None for the likeliest token, whichever it is.
        metric: what colour shows: "prob", "logprob", "logit" or "rank" of the followed token; "prob" of the likeliest
            one, "entropy" or "kl" (from the model's own prediction) of what is said as a whole.
        rows: "all" places that were read, or "layers" without those inside of layers.
        pinned: lines through the layers that stay, such as `[{"pos": 14, "answer": 0, "prompt": 0}]`, 12 at most.
        trajectory: what those lines show: "prob", "logprob" or "rank".
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.
    """

    _esm = STATIC / "lens_table.js"
    _page_writes = frozenset({"selected", "answer", "metric", "rows", "pinned", "trajectory", "theme"})
    _page_state = ("spec", "arrays", "job", *sorted(_page_writes))
    _shares = ("site", "layer", "pos")
    _called = "lens"

    spec = traitlets.Dict(help="All that is shown apart from numbers.").tag(sync=True)
    arrays = traitlets.Instance(LensResult, allow_none=True, help="The result whose numbers the page holds.").tag(
        sync=True, to_json=lambda result, view: None if result is None else lens_arrays(result)
    )
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    answer = traitlets.Int(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    metric = traitlets.Enum(["prob", "logprob", "logit", "rank", "entropy", "kl"], "prob").tag(
        sync=True, echo_update=False
    )
    rows = traitlets.Enum(["all", "layers"], "all").tag(sync=True, echo_update=False)
    pinned: list[LensPin] = traitlets.List().tag(sync=True, echo_update=False)  # type: ignore[assignment]
    trajectory = traitlets.Enum(["prob", "logprob", "rank"], "prob").tag(sync=True, echo_update=False)

    def __init__(self, source: LensResult | Steps, *, follows: Follows | None = None) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the steps of one.
            follows: reads the same lens for one more token that somebody asks for.
        """
        self._follows = follows
        self._more: list[LensResult] = []
        self._seq = 0
        super().__init__(steps_of(source, LensResult, "LensView"))

    def follow(self, answer: str | int) -> int:
        """Follow one more token through the layers, and show it.

        Args:
            answer: the token, as text or id.

        Returns:
            Its number among the result's `answers`, which is what `answer` is set to.

        Raises:
            AnswerError: it is not one token.
            ResultError: the view came without a model, or its work ended early.
        """
        if self._follows is None:
            raise ResultError("this view came without a model. Call follow() on the view that show_lens returns.")
        self.job.finish()
        return self._add(self._read(answer).finish())

    def code(self) -> str:
        """The lines of nnsight that compute the selected cell, or the end; they run as printed.

        `model` is yours in them, as is `tuned` where the lens is an object.

        Raises:
            ResultError: the result came without code.
        """
        result = self.partial
        cell = self._shown()
        return result.script(cell["prompt"], result.row(cell["site"], cell["layer"]), cell["pos"])

    def figure(self) -> Figure:
        """The table as a matplotlib figure, for print: its likeliest tokens, coloured as the view is."""
        from interp_widgets.views._lens_figure import draw

        return draw(self.partial, metric=self.metric, answer=self.answer, rows=self.rows, selected=self._shown())

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"LensView({self.job.note or self.job.state})"
        result = self.partial
        return f"LensView({result.lens}, {len(result.prompts[0])} tokens, {len(result.rows)} places, {self.job.state})"

    def _enriched(self, result: LensResult) -> LensResult:
        for more in self._more:
            result = result.following(more)
        return result

    def _shown(self) -> LensCell:
        return self._cell(self.selected or {})

    def _read(self, answer: str | int, on_end: Callable[[], None] = lambda: None) -> Job[LensResult]:
        assert self._follows is not None
        return Job(self._follows(answer), self._measure, on_step=lambda _: None, on_end=on_end)

    def _add(self, more: LensResult) -> int:
        self._more.append(more)
        result = self.partial
        number = [token.id for token in result.answers].index(more.answers[0].id)
        self.set_trait("arrays", result)
        self.answer = number
        return number

    def _request_follow(self, request: str, asked: str | int) -> None:
        """Answer the page when one more token is followed; it runs where the work is done."""
        try:
            if self._follows is None:
                raise ResultError("this view came without a model.")
            if self.job.state == "running":
                raise ResultError("the lens is still being read. Ask again when it is done.")
            job = self._read_typed(asked, lambda: self._reply(request, lambda: json.dumps(self._add(job.finish()))))
        except Exception as error:  # whatever it is, the page waits for an answer
            self._reply(request, lambda error=error: _raised(error))  # type: ignore[misc]
            return
        if self._loop is None:
            job.drain()
        else:
            job.start(self._loop)

    def _read_typed(self, asked: str | int, on_end: Callable[[], None]) -> Job[LensResult]:
        """Follow a token, or what somebody typed: in most texts a word comes with the space before it."""
        if isinstance(asked, str) and not asked[:1].isspace():
            try:
                return self._read(f" {asked}", on_end)
            except InterpWidgetsError:
                pass  # then it is the token without a space, or the error is about that one
        return self._read(asked, on_end)

    def _measure(self, result: LensResult) -> tuple[int, int]:
        total = result.entropy.size
        return total - result.remaining, total

    def _open(self, result: LensResult) -> dict[str, object]:
        self._note(result)
        inside = any(place.site == "resid_mid" for place in result.rows)
        return {
            "spec": lens_spec(result, follows=self._follows is not None),
            "rows": "layers" if inside and len(result.rows) > _MANY_ROWS else "all",
            "arrays": result,
        }

    def _note(self, result: LensResult) -> None:
        """Remember what the page has been sent."""
        self._sent = ~np.isnan(result.entropy).any(axis=0).ravel()
        self._vocabulary = Vocabulary(result)

    def _stream(self, result: LensResult) -> None:
        read = ~np.isnan(result.entropy).any(axis=0).ravel()
        cells = np.flatnonzero(read & ~self._sent)
        if not len(cells):
            return
        self._sent = read
        top = result.top_ids.reshape(len(result.prompts), -1, result.top_ids.shape[-1])[:, cells]
        new = self._vocabulary.add(top, result.vocab)
        self._seq += 1
        labels = [result.vocab[token] for token in new]
        message: LensCellsMessage = {"kind": "cells", "seq": self._seq, "vocab": labels, "vocab_ids": new}
        self.send(message, buffers=[*lens_cells(result, cells, self._vocabulary)])

    def _commit(self, result: LensResult) -> None:
        self._note(result)
        whole = self._enriched(result)
        if whole == self.arrays:
            self.send_state("arrays")
        else:
            self.set_trait("arrays", whole)

    def _title(self) -> str:
        return question(self.partial)

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        match content:
            case {
                "kind": "request",
                "id": str(request),
                "name": "follow",
                "text": str(text),
                "token": None | int() as token,
            }:
                self._on_loop(lambda: self._request_follow(request, text if token is None else token))
            case _:
                super()._on_message(widget, content, buffers)

    def _go(self, spot: Spot) -> bool:
        """Select a place that was selected elsewhere: that of a head or of attention is the stream after attention."""
        known: dict[str, Any] = {key: value for key, value in spot.items() if key in self._shares}
        if "site" in known:
            known["site"] = self._stream_at(known["site"], known.get("layer"))
        return super()._go(cast("Spot", known))

    def _stream_at(self, site: str, layer: int | None) -> str:
        """The place of the stream that shows what a site adds."""
        if site.startswith("resid_"):
            return site
        after_attention = site in HEAD_SITES or site == "attn_out"
        has_middle = any(place == Place("resid_mid", layer or 0) for place in self.partial.rows)
        return "resid_mid" if after_attention and has_middle else "resid_post"

    def _words(self, pos: int) -> Sequence[str]:
        prompts = self.partial.prompts
        return list(dict.fromkeys(tokens.labels[pos] for tokens in prompts if 0 <= pos < len(tokens)))

    def _cell(self, given: Mapping[str, Any]) -> LensCell:
        """A cell with what is left out of it filled in.

        Raises:
            SelectionError: there is no such cell.
        """
        result = self.partial
        if not set(given) <= {"site", "layer", "pos", "prompt"}:
            raise SelectionError(
                'selected is {"site": "resid_post", "layer": 2, "pos": 14, "prompt": 0}, or None, '
                f"not {dict(given)!r}."
            )
        last = result.rows[-1]
        site, layer = given.get("site", last.site), given.get("layer", last.layer)
        place = result.rows[result.row(str(site), _number("layer", layer))]
        length = len(result.prompts[0])
        pos, prompt = _number("pos", given.get("pos", length - 1)), _number("prompt", given.get("prompt", 0))
        if not -length <= pos < length:
            raise SelectionError(f"There is no position {pos}: the prompt has tokens 0 to {length - 1}.")
        if not 0 <= prompt < len(result.prompts):
            raise SelectionError(f"There is no prompt {prompt}: there are {len(result.prompts)}, counted from 0.")
        return {"site": place.site, "layer": place.layer, "pos": pos % length, "prompt": prompt}

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> LensCell | None:
        try:
            return None if proposal["value"] is None else self._cell(proposal["value"])
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.validate("answer")
    def _valid_answer(self, proposal: Mapping[str, Any]) -> int | None:
        answer: int | None = proposal["value"]
        labels = [token.label for token in self.partial.answers]
        if answer is not None and not 0 <= answer < len(labels):
            known = ", ".join(f"{number} [{label}]" for number, label in enumerate(labels))
            raise traitlets.TraitError(f"answer={answer} is not followed. The tokens that are: {known}; or None.")
        return answer

    @traitlets.validate("pinned")
    def _valid_pinned(self, proposal: Mapping[str, Any]) -> list[LensPin]:
        pins: list[LensPin] = []
        for given in proposal["value"]:
            if not isinstance(given, Mapping) or not {"pos"} <= set(given) <= {"pos", "answer", "prompt"}:
                raise traitlets.TraitError(f'a pin is {{"pos": 14, "answer": 0, "prompt": 0}}, not {given!r}.')
            try:
                cell = self._cell({"pos": given["pos"], "prompt": given.get("prompt", 0)})
                answer = _number("answer", given.get("answer", 0))
            except SelectionError as error:
                raise traitlets.TraitError(str(error)) from error
            if not 0 <= answer < len(self.partial.answers):
                raise traitlets.TraitError(f"answer={answer} is not followed: there are {len(self.partial.answers)}.")
            pin: LensPin = {"pos": cell["pos"], "answer": answer, "prompt": cell["prompt"]}
            if pin not in pins:
                pins.append(pin)
        if len(pins) > MOST_PINNED:
            raise traitlets.TraitError(f"at most {MOST_PINNED} lines can be pinned at once, not {len(pins)}.")
        return pins


def question(result: LensResult) -> str:
    """The question that a view of a lens answers."""
    if len(result.prompts) > 1:
        return "After which layer does the model say different things of the two prompts?"
    return "What would the model say after each layer?"


def _number(name: str, number: object) -> int:
    if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
        raise SelectionError(f"{name}={number!r} is no whole number.")
    return int(number)


def _raised(error: BaseException) -> str:
    raise error
