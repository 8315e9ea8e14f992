"""Features on text: tokens coloured by a latent, the latents that lead, and the card of the one that is chosen."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import traitlets
from numpy.typing import NDArray

from interp_widgets.results.concepts import LONGEST
from interp_widgets.results.dial import DialReading
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.features import RANKINGS, FeatureResult, Ranking
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.steering import Mode
from interp_widgets.views._features_cards import CardFinder, CardsOf, raised
from interp_widgets.views._features_wire import (
    WHOLE,
    entries,
    feature_arrays,
    feature_spec,
    most_per_token,
    statistics,
    wire_cards,
    wire_column,
    wire_reading,
)
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.common import Spot
from interp_widgets.views.protocol.features import LatentChoice, TokensMessage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Steps: TypeAlias = "Generator[FeatureResult, None, FeatureResult]"
"""An experiment under way: yields partial results and returns the whole."""
Turned: TypeAlias = "Callable[[Sequence[int], int, Mode, float], DialReading]"
"""Runs tokens with a latent turned: which, how, and how far."""

MOST_PINNED = 12
_MOST_WRITTEN = 2000
_SAVED = 8
"""Of how many leading latents cards are found out for a saved page."""


def _from_page(texts: Any, _view: object) -> Any:
    """What the page wrote, with numbers as keys, which JSON has not; what has no such form is refused later."""
    if not isinstance(texts, Mapping):
        return texts
    return {int(key) if str(key).isascii() and str(key).isdigit() else key: text for key, text in texts.items()}


def _to_page(texts: Mapping[int, str], _view: object) -> dict[str, str]:
    return {str(latent): text for latent, text in texts.items()}


class FeatureView(View[FeatureResult]):
    """Which latents of a dictionary fire on a text, where, and what they are.

    Tokens are coloured by one latent; pinned latents are drawn as rows under the text. Both Python and the page write
    the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the latent that is shown and the token that is held, as `{"latent": 12, "token": None}`. Tokens of
            two texts are counted through. None shows the latent that leads.
        pinned: numbers of latents that are drawn as rows under the text, 12 at most.
        sort: what latents are ranked by: "max", "mean", "density" or, with two texts, "difference".
        color_limit: the activation at which all colour scales end; None ends that of each latent at its own maximum.
        names: what you call latents, by number. Saved with the result.
        notes: what you wrote about latents, by number. Saved with the result.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.
    """

    _esm = STATIC / "features.js"
    _shares = ("latent", "pos")
    _page_writes = frozenset({"selected", "pinned", "sort", "color_limit", "names", "notes", "theme"})
    _page_state = ("spec", "arrays", "cards", "dial", "job", *sorted(_page_writes))

    spec = traitlets.Dict(help="All that is shown apart from numbers.").tag(sync=True)
    arrays = traitlets.Instance(
        FeatureResult, allow_none=True, help="The result whose activations the page holds."
    ).tag(sync=True, to_json=lambda result, view: None if result is None else feature_arrays(result, view._watched()))
    cards: dict[int, LatentCard] = traitlets.Dict(help="Cards of latents that were found.").tag(  # type: ignore[assignment]
        sync=True, to_json=lambda cards, view: wire_cards(cards, view._carded()) if cards else {}
    )
    dial = traitlets.Dict(allow_none=True, default_value=None, help="The last reading of a turned latent.").tag(
        sync=True
    )
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    pinned: list[int] = traitlets.List().tag(sync=True, echo_update=False)  # type: ignore[assignment]
    sort = traitlets.Unicode("max").tag(sync=True, echo_update=False)
    color_limit = traitlets.Float(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    names: dict[int, str] = traitlets.Dict().tag(  # type: ignore[assignment]
        sync=True, echo_update=False, from_json=_from_page, to_json=_to_page
    )
    notes: dict[int, str] = traitlets.Dict().tag(  # type: ignore[assignment]
        sync=True, echo_update=False, from_json=_from_page, to_json=_to_page
    )

    def __init__(
        self, source: FeatureResult | Steps, *, cards_of: CardsOf | None = None, turned: Turned | None = None
    ) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the steps of one.
            cards_of: finds out about latents whose card is asked for and not in the result, in steps between which
                other work goes on.
            turned: runs tokens with a latent turned.
        """
        self._turned = turned
        self._finder = CardFinder(self, cards_of)
        self._sent: NDArray[np.bool_] = np.zeros(0, bool)
        self._sent_fires: NDArray[np.int64] = np.zeros((0, 0), np.int64)
        self._seq = 0
        super().__init__(steps_of(source, FeatureResult, "FeatureView"))

    def turn(self, latent: int, mode: Mode = "ablate", strength: float = 1.0, token: int | None = None) -> DialReading:
        """Turn a latent, and show in its card what that does to what the model says next.

        Args:
            latent: which one. All others, and the dictionary's error, stay as they are.
            mode: "ablate" takes its activation out (all of it with a strength of 1), "scale" multiplies it, "clamp"
                puts the strength in its place, and "add" adds it.
            strength: how far, in units of the activation for "clamp" and "add".
            token: the token after which the model goes on, counted through as in `selected`; None for the last of the
                first document. The latent is turned at all tokens up to there, and at those that the model adds.

        Raises:
            ResultError: the view came without a model.
            SelectionError: no such token or latent.
        """
        if self._turned is None:
            raise ResultError(
                "this view came without a model to turn latents in. Call turn() on the view that show_features returns."
            )
        reading = self._turned(_upto(self._raw, token), latent, mode, strength)
        self.set_trait("dial", wire_reading(reading, token))
        return reading

    def _request_dial(self, request: str, latent: int, mode: Mode, strength: float, token: int | None) -> None:
        try:
            self.turn(latent, mode, strength, token)
            said = json.dumps(self.dial)
        except Exception as error:  # whatever it is, the page waits for an answer
            self._reply(request, lambda error=error: raised(error))  # type: ignore[misc]
            return
        self._reply(request, lambda: said)

    def card(self, latent: int | None = None) -> LatentCard:
        """What is known of a latent beyond the text: it is found out now if it was not yet.

        Args:
            latent: its number; by default the one that is shown.

        Raises:
            SelectionError: there is no such latent, or none fires so far.
            ResultError: the card is not there, and the view came without a model (as that of a loaded result does).
        """
        chosen = self._shown() if latent is None else _checked(self._raw, latent)
        if (job := self._finder.find(chosen)) is not None:
            job.finish()
        return self.cards[chosen]

    def code(self, latent: int | None = None) -> str:
        """The lines of nnsight that read a latent on the first text and print its activations; they run as printed.

        `model` is yours in them, as are `directions`, or `sae` where the latents come from an object or a folder.

        Args:
            latent: its number; by default the one that is shown.

        Raises:
            SelectionError: there is no such latent, or none fires so far.
            ResultError: the result came without code.
        """
        return self._raw.script(self._shown() if latent is None else _checked(self._raw, latent))

    def figure(self) -> Figure:
        """The text as a matplotlib figure, for print: coloured by the latent that is shown, with the pinned as rows.

        Of many texts the 12 are drawn on which that latent is strongest, and of a long one 240 tokens around its
        strongest; the figure says so.
        """
        from interp_widgets.views._features_figure import draw

        return draw(self.partial, self._shown_or_none(), self.pinned, color_limit=self.color_limit)

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"FeatureView({self.job.note or self.job.state})"
        result = self._raw
        return f"FeatureView({result.shape_in_words()}, {result.dictionary.name}, {self.job.state})"

    def close(self) -> None:
        """Stop the work and free the view, here and in the page."""
        self._finder.cancel()
        super().close()

    def _enriched(self, result: FeatureResult) -> FeatureResult:
        return replace(result, names=dict(self.names), notes=dict(self.notes), cards=dict(self.cards))

    def _watched(self) -> set[int]:
        """Latents of which the page needs every token."""
        selected = [self.selected["latent"]] if self.selected else []
        return {*selected, *self.pinned}

    def _carded(self) -> Collection[int]:
        """Latents whose cards travel: all that were asked for here, or that lead, or are looked at."""
        leading = [latent for ranking in ("max", "mean") for latent, _ in self._raw.ranked(ranking, WHOLE)]
        return dict.fromkeys([*self._watched(), *(set(self.cards) - set(self._raw.cards)), *leading])

    def _shown(self) -> int:
        shown = self._shown_or_none()
        if shown is None:
            raise SelectionError("no latent fires on this text so far: name one.")
        return shown

    def _shown_or_none(self) -> int | None:
        """The chosen latent, else the one that leads, of those that fire more than once a text; a start's does not."""
        if self.selected:
            return int(self.selected["latent"])
        result = self._raw
        leading = [latent for latent, _ in result.ranked(cast("Ranking", self.sort), WHOLE)]
        return next(
            (latent for latent in leading if result.fires[:, latent].sum() > len(result.texts)),
            next(iter(leading), None),
        )

    def _measure(self, result: FeatureResult) -> tuple[int, int]:
        return int(result.computed.sum()), result.n_tokens

    def _open(self, result: FeatureResult) -> dict[str, object]:
        self._note(result)
        return {
            "spec": feature_spec(result, answers=self._finder.can_find, turns=self._turned is not None),
            "names": dict(result.names),
            "notes": dict(result.notes),
            "cards": dict(result.cards),
            "arrays": result,
        }

    def _note(self, result: FeatureResult) -> None:
        """Remember what the page has been sent."""
        self._sent, self._sent_fires = result.computed, result.fires

    def _stream(self, result: FeatureResult) -> None:
        tokens = np.flatnonzero(result.computed & ~self._sent)
        if not len(tokens):
            return
        changed = np.flatnonzero((result.fires != self._sent_fires).any(axis=0))
        self._note(result)
        counts, latents, activations = entries(result, tokens, most_per_token(result))
        arrays = [
            wire_array(tokens, "int32"),
            wire_array(counts, "int32"),
            wire_array(latents, "int32"),
            wire_array(activations, "float32"),
            wire_array(changed, "int32"),
            *statistics(result, changed),
        ]
        self._seq += 1
        message: TokensMessage = {"kind": "tokens", "seq": self._seq}
        self.send(message, buffers=[array["data"] for array in arrays])

    def _commit(self, result: FeatureResult) -> None:
        self._note(result)
        if not result.cards.keys() <= self.cards.keys():
            self.cards = {**result.cards, **self.cards}
        if result is self.arrays:
            self.send_state("arrays")
        else:
            self.set_trait("arrays", result)

    def _title(self) -> str:
        return question(self._raw)

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        match content:
            case {"kind": "request", "id": str(request), "name": "card", "latent": int(latent)}:
                self._on_loop(lambda: self._request_card(request, latent))
            case {
                "kind": "request",
                "id": str(request),
                "name": "dial",
                "latent": int(latent),
                "mode": str(mode),
                "strength": float() | int() as strength,
                "token": None | int() as token,
            }:
                self._on_loop(lambda: self._request_dial(request, latent, cast("Mode", mode), strength, token))
            case {"kind": "request", "id": str(request), "name": "column", "latent": int(latent)}:
                self._reply(request, lambda: json.dumps(wire_column(self._raw, latent)))
            case _:
                super()._on_message(widget, content, buffers)

    def _drain(self) -> None:
        super()._drain()
        if self._finder.can_find:
            leading = [latent for latent, _ in self._raw.ranked(cast("Ranking", self.sort), _SAVED)]
            self._finder.start([n for n in {*self._watched(), *leading} if n not in self.cards])
        self._finder.drain()

    def _request_card(self, request: str, latent: int) -> None:
        """Answer the page when a card is there; it runs where the work is done."""
        try:
            chosen = _checked(self._raw, latent)
        except Exception as error:  # whatever it is, the page waits for an answer
            self._reply(request, lambda error=error: raised(error))  # type: ignore[misc]
            return
        self._finder.answer(chosen, lambda said: self._reply(request, said), self._loop)

    def _spot(self) -> Spot | None:
        if not self.selected:
            return None
        spot: Spot = {"latent": self.selected["latent"]}
        if self._counts_positions() and self.selected["token"] is not None:
            spot["pos"] = self.selected["token"]
        return spot

    def _go(self, spot: Spot) -> bool:
        """Show a latent and hold the token at a position; of a position alone, the latent that is shown stays."""
        held = spot.get("pos") if self._counts_positions() else None
        latent = spot.get("latent", self._shown_or_none())
        if latent is None or ("latent" not in spot and held is None):
            return False
        if held is None and self.selected:
            held = self.selected["token"]
        try:
            self.set_trait("selected", {"latent": latent, "token": held})
        except traitlets.TraitError:
            return False
        return True

    def _words(self, pos: int) -> Sequence[str]:
        if not self._counts_positions():
            return ()
        return self._raw.texts[0].labels[pos : pos + 1]

    def _counts_positions(self) -> bool:
        """Whether a token is at the position of its number, as it is where there is one text."""
        return len(self._raw.texts) == 1

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> LatentChoice | None:
        given = proposal["value"]
        if given is None:
            return None
        if not {"latent"} <= set(given) <= {"latent", "token"}:
            raise traitlets.TraitError(
                f'selected is {{"latent": 12, "token": None}}, with the token that is held, or None, not {given!r}.'
            )
        token = given.get("token")
        n_tokens = self._raw.n_tokens
        if token is not None and not (_is_whole(token) and 0 <= token < n_tokens):
            raise traitlets.TraitError(f"no token {token!r}: the texts have tokens 0 to {n_tokens - 1}, or None.")
        return {"latent": self._latent(given["latent"]), "token": None if token is None else int(token)}

    @traitlets.validate("pinned")
    def _valid_pinned(self, proposal: Mapping[str, Any]) -> list[int]:
        pinned = list(dict.fromkeys(self._latent(latent) for latent in proposal["value"]))
        if len(pinned) > MOST_PINNED:
            raise traitlets.TraitError(f"at most {MOST_PINNED} latents can be pinned at once, not {len(pinned)}.")
        return pinned

    @traitlets.validate("sort")
    def _valid_sort(self, proposal: Mapping[str, Any]) -> str:
        name = str(proposal["value"])
        if name not in RANKINGS:
            raise traitlets.TraitError(str(unknown_name("ranking", name, RANKINGS)))
        if name == "difference" and len(set(self._raw.sides)) < 2:
            raise traitlets.TraitError("there is one text, so latents cannot be ranked by difference.")
        return name

    @traitlets.validate("color_limit")
    def _valid_color_limit(self, proposal: Mapping[str, Any]) -> float | None:
        limit = proposal["value"]
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise traitlets.TraitError(f"color_limit is an activation above 0, or None; {limit} was given.")
        return None if limit is None else float(limit)

    @traitlets.validate("names")
    def _valid_names(self, proposal: Mapping[str, Any]) -> dict[int, str]:
        # One line: a name stands in lists and titles.
        return self._written("names", {latent: _one_line(text) for latent, text in proposal["value"].items()})

    @traitlets.validate("notes")
    def _valid_notes(self, proposal: Mapping[str, Any]) -> dict[int, str]:
        return self._written("notes", proposal["value"])

    def _written(self, what: str, texts: Mapping[Any, Any]) -> dict[int, str]:
        """Check what a person, or a page that is not to be trusted, wrote about latents; what is empty is left out."""
        if len(texts) > _MOST_WRITTEN:
            raise traitlets.TraitError(f"{what} holds {_MOST_WRITTEN} texts at most; {len(texts)} were given.")
        longest = LONGEST[what]
        for latent, text in texts.items():
            self._latent(latent)
            if not isinstance(text, str) or len(text) > longest:
                given = f"has {len(text)}" if isinstance(text, str) else f"is {text!r}"
                raise traitlets.TraitError(
                    f"{what} are texts of at most {longest} characters each; that of latent {latent} {given}."
                )
        return {int(latent): text for latent, text in texts.items() if text.strip()}

    def _latent(self, given: Any) -> int:
        try:
            return _checked(self._raw, given)
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error


def question(result: FeatureResult) -> str:
    """The question that a view of features answers."""
    what = {"neurons": "neurons", "directions": "directions"}.get(result.dictionary.kind, "features")
    if len(set(result.sides)) > 1:
        return f"Which {what} tell the two texts apart?"
    return f"Which {what} fire on {'this text' if len(result.texts) == 1 else 'these texts'}?"


def _upto(result: FeatureResult, token: int | None) -> tuple[int, ...]:
    """The tokens of a document up to one of all documents' tokens, or of the first document."""
    if token is None:
        return result.texts[0].ids
    first = 0
    for text in result.texts:
        if first <= token < first + len(text):
            return text.ids[: token - first + 1]
        first += len(text)
    raise SelectionError(f"there is no token {token}: they run from 0 to {first - 1}.")


def _checked(result: FeatureResult, latent: Any) -> int:
    """A latent's number as a plain one.

    Raises:
        SelectionError: there is no such latent.
    """
    info = result.dictionary
    if not (_is_whole(latent) and 0 <= latent < info.n_latents):
        raise SelectionError(f"There is no latent {latent!r}: those of {info.name} are 0 to {info.n_latents - 1}.")
    return int(latent)


def _is_whole(number: object) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def _one_line(text: Any) -> Any:
    return " ".join(text.split()) if isinstance(text, str) else text
