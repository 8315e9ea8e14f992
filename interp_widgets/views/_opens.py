"""Views that open from places of another view, below it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, cast

import traitlets

from interp_widgets.results.errors import ResultError, unknown_name
from interp_widgets.views._kernel import watched_by
from interp_widgets.views._link import Link, Linked
from interp_widgets.views._way import Opened, Way, place_in_words
from interp_widgets.views.protocol.common import Spot, WireOpened, WireWay

if TYPE_CHECKING:
    from interp_widgets.views._view import View

V = TypeVar("V", bound="Opens")

NO_MODEL = (
    "views open from what a show function returned, such as show_patching or show_attention, since that knows the "
    "model. A result that was loaded, or computed by a run function, has none; and not every view leads on to others."
)


def _ways(ways: Sequence[Way], _view: object) -> list[WireWay]:
    return [way.wire() for way in ways]


def _opened(views: Sequence[Opens], _view: object) -> list[WireOpened]:
    return [view._as_opened() for view in views if view.comm is not None]


class Opens(Linked):
    """A view from whose places others open."""

    ways: tuple[Way, ...] = traitlets.Tuple(help="What opens from places of the view.").tag(  # type: ignore[assignment]
        sync=True, to_json=_ways
    )
    no_ways = traitlets.Unicode(NO_MODEL, help="Why nothing opens, where nothing does.").tag(sync=True)
    opened: tuple[View[Any], ...] = traitlets.Tuple(help="Views that were opened from this one, in that order.").tag(  # type: ignore[assignment]
        sync=True, to_json=_opened
    )

    _called = "view"
    """What a way that starts here is said to start from."""
    _everywhere: Spot | None = None
    """What its places are of as far as they do not say it, such as the position at which all of a grid is patched."""
    _loop: asyncio.AbstractEventLoop | None
    """The loop on which work goes on in the background, where there is one."""
    _origin: Opened | None = None
    """Where this view was opened from."""
    _opener: Opens | None = None
    """The view that it was opened from."""
    _tie: Link | None = None
    """Its link with that view."""

    def drill(self, way: str, place: Mapping[str, Any] | None = None) -> View[Any]:
        """Open another view of a place, which is shown below this one and shares hovering and selection with it.

        In the page it is a button under the pinned cell, or its key. What is open already is shown again, not run
        again.

        Args:
            way: what to open; one of `[way.name for way in view.ways]`, such as "parts" or "pattern".
            place: of what, such as `{"layer": 2, "head": 3}`; by default of what is selected.

        Returns:
            The view, which is filled like any other. Its `close()` takes it away.

        Raises:
            ResultError: nothing opens from this view: it came without its model, or that is on a server.
            UnknownNameError: there is no such way.
            SelectionError: the way does not lead on from this place.
            InterpWidgetsError: whatever the view that is opened says to what it is asked.
        """
        found = self._way(way)
        spot = self._place(place)
        found.check(spot)
        origin = Opened(way, _only(spot, found.apart), self._trail(spot, found))
        for view in self.opened:
            if view._origin is not None and view._origin.way == way and _same(view._origin.place, origin.place):
                view._origin = origin
                self.send_state("opened")
                view._go(_only(spot, found.by))
                return view
        # A request of the page comes in a message, from which it cannot be told that somebody watches.
        with nullcontext() if self._loop is None else watched_by(self._loop):
            new = found.open(spot)
        new._origin = origin
        new._opener = self
        new._go(_only(spot, found.by))
        new._tie = Link((self, new), found.by, same_tokens=True, empties=False)
        self.opened = (*self.opened, new)
        return new

    def close(self) -> None:
        """Free the view and all that was opened from it."""
        for view in self.opened:
            view.close()
        if self._opener is not None:
            self._opener.opened = tuple(view for view in self._opener.opened if view is not self)
            self._opener = None
        if self._tie is not None:
            self._tie.close()
        super().close()

    def _offer(self: V, *ways: Way) -> V:
        """Let views open from this one."""
        self.ways = ways
        return self

    def _refuse_to_open(self: V, reason: str) -> V:
        """Say why no views open from this one."""
        self.no_ways = reason
        return self

    def _way(self, name: str) -> Way:
        if not self.ways:
            raise ResultError(f"nothing opens from here: {self.no_ways}")
        for way in self.ways:
            if way.name == name:
                return way
        raise unknown_name("way", name, [way.name for way in self.ways])

    def _place(self, given: Mapping[str, Any] | None) -> Spot:
        """The place that is meant: the one that is given, else the selected one."""
        spot = self._spot() or {} if given is None else _only(cast("Spot", given), Spot.__optional_keys__)
        return {**(self._everywhere or {}), **spot}

    def _trail(self, place: Spot, way: Way) -> tuple[str, ...]:
        here = (self._called,) if self._origin is None else self._origin.trail
        words = self._words(place["pos"]) if "pos" in place else ()
        return (*here, place_in_words(place, words, way.of(place) if way.of else ""), way.name)

    def _as_opened(self) -> WireOpened:
        assert self._origin is not None  # it was opened
        return {
            "model": self.model_id,
            "way": self._origin.way,
            "place": self._origin.place,
            "trail": [*self._origin.trail],
        }


def _same(one: Spot, other: Spot) -> bool:
    """Whether a way opens the same view of two places: where none of several prompts is meant it is the first."""
    return {"prompt": 0, **one} == {"prompt": 0, **other}


def _only(spot: Spot, keys: Collection[str]) -> Spot:
    return cast("Spot", {key: value for key, value in spot.items() if key in keys})
