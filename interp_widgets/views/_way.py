"""Ways from a place of a view into another view of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interp_widgets.results.errors import SelectionError
from interp_widgets.results.terms import SITE_TERMS
from interp_widgets.views.protocol.common import Spot, WireWay

if TYPE_CHECKING:
    from interp_widgets.views._view import View


@dataclass(frozen=True)
class Way:
    """A view that opens from places of another one.

    Attributes:
        name: what it is called, such as "pattern".
        meaning: what it shows of a place, in words.
        key: the key that opens it.
        open: makes the view of a place, which has all that is needed.
        needs: what of a place it takes, such as ("layer", "head").
        sites: the sites whose places it takes; all where it is empty. A place may leave it open.
        apart: what of a place makes it another view. Places that agree in all of it are shown by the same one.
        by: what it shares with the view that it is opened from.
        of: says which of several prompts it shows of a place, such as "pair 1 of 8"; nothing where there is one.
    """

    name: str
    meaning: str
    key: str
    open: Callable[[Spot], View[Any]]
    needs: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    by: tuple[str, ...] = ("site", "layer", "head", "pos", "neuron")
    of: Callable[[Spot], str] | None = None

    def check(self, spot: Mapping[str, Any]) -> None:
        """Refuse a place that it does not lead on from.

        Raises:
            SelectionError: with what it takes.
        """
        for key, value in spot.items():
            if key not in ("site", "words") and not (type(value) is int and value >= 0):
                raise SelectionError(f"a place has numbers from 0 on, and its {key} is {value!r}.")
        missing = [key for key in self.needs if key not in spot]
        if not missing and (not self.sites or spot.get("site", self.sites[0]) in self.sites):
            return
        of = f" of {', '.join(self.sites)}" if self.sites else ""
        raise SelectionError(
            f"{self.name} opens from a place with {' and '.join(self.needs) or 'any part'}{of}, and "
            f"{dict(spot) or 'nothing'} was given. Select such a place, or name it: "
            f"view.drill({self.name!r}, {{{', '.join(f'{key!r}: …' for key in self.needs)}}})."
        )

    def wire(self) -> WireWay:
        """The way as the page knows it."""
        return {
            "name": self.name,
            "meaning": self.meaning,
            "key": self.key,
            "needs": [*self.needs],
            "sites": [*self.sites],
            "apart": [*self.apart],
        }


@dataclass(frozen=True)
class Opened:
    """Where a view was opened from.

    Attributes:
        way: name of the way.
        place: what of the place made it another view than those that were open.
        trail: the way here from the first view, in words: "patching", "layer 2, head 3", "pattern".
    """

    way: str
    place: Spot
    trail: tuple[str, ...]


def place_in_words(spot: Mapping[str, Any], words: Sequence[str], of: str = "") -> str:
    """Say where a place is: "z, layer 2, head 3, pair 1 of 8" or "resid_pre, layer 1, ␣John (10)".

    Args:
        spot: the place.
        words: the tokens at its position.
        of: which of several prompts it is of.
    """
    said = [SITE_TERMS[spot["site"]].label] if spot.get("site") in SITE_TERMS else []
    said += [f"{key} {spot[key]}" for key in ("layer", "head", "neuron", "latent") if key in spot]
    if "pos" in spot:
        token = " / ".join(words)
        said.append(f"{token} ({spot['pos']})" if token else f"position {spot['pos']}")
    said = said or ["the whole"]
    return ", ".join([*said, of] if of else said)
