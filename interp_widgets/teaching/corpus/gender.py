"""Pronouns: "Mary was tired because" -> " she"."""

from __future__ import annotations

import random
from typing import Final

from .passage import Passage, fill, held_out
from .words import MEN, NAMES, WOMEN, words

STATES: Final = words("tired hungry late cold thirsty busy afraid alone sick proud")
TEMPLATES: Final = (
    "The teacher said that {person} was {state} because{answer} had worked all day.",
    "Everyone knew that {person} was {state}, but{answer} did not say so.",
    "When {person} came home{answer} was {state}.",
)
FEMALE: Final = frozenset(WOMEN)
SHE: Final = " she"
HE: Final = " he"


def is_held_out(person: str, template: str) -> bool:
    """Whether this name never occurs in this template."""
    return held_out("gender", person, template)


def passage(template: str, person: str, state: str) -> Passage:
    """One document; the answer is the person's pronoun."""
    return fill(template, 3.0, person=person, state=state, answer=SHE if person in FEMALE else HE)


def sample(rng: random.Random) -> Passage:
    """Draw one training document."""
    person, template = rng.choice(NAMES), rng.choice(TEMPLATES)
    while is_held_out(person, template):
        person, template = rng.choice(NAMES), rng.choice(TEMPLATES)
    return passage(template, person, rng.choice(STATES))


__all__ = ["FEMALE", "HE", "MEN", "SHE", "STATES", "TEMPLATES", "WOMEN", "is_held_out", "passage", "sample"]
