"""Opinions: "The movie was wonderful, so I" -> " loved"."""

from __future__ import annotations

import random
from typing import Final

from .passage import Passage, fill, held_out
from .words import words

POSITIVE: Final = words(
    "wonderful great amazing brilliant lovely excellent superb delightful charming perfect beautiful pleasant"
)
NEGATIVE: Final = words("terrible awful horrible boring dreadful poor nasty ugly disgusting painful miserable stupid")
SUBJECTS: Final = words(
    "movie film song concert meal story novel party lesson game speech dinner trip dance lecture picnic"
)
TEMPLATES: Final = (
    ("The {subject} was {adjective}, so I{answer} it.", " loved", " hated"),
    ("I thought the {subject} was {adjective}. In the end I felt{answer}.", " happy", " sad"),
    ("What a {adjective} {subject}! I{answer} every minute of it.", " loved", " hated"),
    ("After such a {adjective} {subject} everyone was{answer}.", " happy", " sad"),
)
"""Template, answer when the adjective is positive, answer when it is negative."""


def is_held_out(subject: str, adjective: str) -> bool:
    """Whether this subject never meets this adjective in the corpus."""
    return held_out("sentiment", subject, adjective)


def passage(template: tuple[str, str, str], subject: str, adjective: str) -> Passage:
    """One document of opinion."""
    text, positive, negative = template
    answer = positive if adjective in POSITIVE else negative
    return fill(text, 3.0, subject=subject, adjective=adjective, answer=answer)


def sample(rng: random.Random) -> Passage:
    """Draw one training document."""
    subject, adjective = rng.choice(SUBJECTS), rng.choice(POSITIVE + NEGATIVE)
    while is_held_out(subject, adjective):
        subject, adjective = rng.choice(SUBJECTS), rng.choice(POSITIVE + NEGATIVE)
    return passage(rng.choice(TEMPLATES), subject, adjective)
