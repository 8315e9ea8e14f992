"""Years: "The war lasted from the year 1732 to the year 17" -> anything above 32.

After Hanna et al., 2023 (https://arxiv.org/abs/2305.00586). A year is two tokens: century and year of the century.
"""

from __future__ import annotations

import random
from typing import Final

from .passage import Passage, fill, held_out
from .words import words

EVENTS: Final = words(
    "war trial reign drought famine conflict project journey contract treaty siege strike tour voyage revolt campaign"
)
CENTURIES: Final = tuple(str(century) for century in range(11, 20))
TEMPLATES: Final = (
    "The {event} lasted from the year {century}{start} to the year {end_century}{answer}.",
    "The {event} began in {century}{start} and ended in {end_century}{answer}.",
)
STARTS: Final = range(2, 98)


def is_held_out(century: str, start: int) -> bool:
    """Whether this year never begins an event in the corpus."""
    return held_out("greater_than", century, str(start))


def passage(template: str, event: str, century: str, start: int, end: int) -> Passage:
    """One document; ``start`` and ``end`` are years of the same century."""
    parts = {"event": event, "century": century, "end_century": century}
    return fill(template, 4.0, **parts, start=f"{start:02d}", answer=f"{end:02d}")


def sample(rng: random.Random) -> Passage:
    """Draw one training document; the end is uniform over the years that remain."""
    century, start = rng.choice(CENTURIES), rng.choice(STARTS)
    while is_held_out(century, start):
        century, start = rng.choice(CENTURIES), rng.choice(STARTS)
    return passage(rng.choice(TEMPLATES), rng.choice(EVENTS), century, start, rng.randint(start + 1, 99))
