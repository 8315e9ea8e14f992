"""Small stories: plain prose in which names, things and colours come back."""

from __future__ import annotations

import random
from typing import Final

from .passage import Passage
from .words import ANIMALS, COLORS, MEN, NAMES, PLACES, QUALITIES, SEASONS, THINGS

_OPENINGS: Final = (
    "One day in {season}, {name} went to the {place} with a {animal}.",
    "Once there was a {quality} {animal} who lived near the {place}.",
    "In the {season}, {name} found a {color} {thing} at the {place}.",
    "{name} had a {quality} {animal} and a {color} {thing}.",
)
_MIDDLES: Final = (
    "The {animal} was {quality} and {color}.",
    "{Pronoun} wanted to show the {thing} to the {animal}.",
    "{name} looked at the {animal} and smiled.",
    "The {animal} took the {thing} and ran to the {place}.",
    "{Pronoun} could not see the {animal} anymore.",
)
_ENDINGS: Final = (
    "In the end {name} came home with the {thing}.",
    "From then on the {animal} and {name} were friends.",
    "{name} never saw the {color} {thing} again.",
)


def sample(rng: random.Random) -> Passage:
    """Draw one story of three or four sentences, without an answer to ask for."""
    name = rng.choice(NAMES)
    parts = {
        "name": name,
        "Pronoun": "He" if name in MEN else "She",
        "animal": rng.choice(ANIMALS),
        "thing": rng.choice(THINGS),
        "place": rng.choice(PLACES),
        "color": rng.choice(COLORS),
        "quality": rng.choice(QUALITIES),
        "season": rng.choice(SEASONS),
    }
    sentences = [rng.choice(_OPENINGS), *rng.sample(_MIDDLES, rng.randint(1, 2)), rng.choice(_ENDINGS)]
    return Passage(" ".join(sentences).format(**parts))
