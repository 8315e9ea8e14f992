"""Cards of latents together, as they travel from a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from interp_widgets.results.features_packing import card_contents, card_of
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.saved import Contents, Saved


@dataclass(frozen=True)
class CardSet(Saved):
    """What was found out about some latents, in rising order."""

    cards: tuple[LatentCard, ...]

    def _contents(self) -> Contents:
        return {"cards": [card_contents(card) for card in self.cards]}, {}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> CardSet:
        return cls(tuple(map(card_of, header["cards"])))
