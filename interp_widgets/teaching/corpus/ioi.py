"""Indirect object identification: "When Mary and John went to the store, John gave a drink to" -> " Mary".

After Wang et al., 2022 (https://arxiv.org/abs/2211.00593).
"""

from __future__ import annotations

import random
from typing import Final

from . import agreement, chat, facts, gender, sentiment
from .passage import Passage, fill, held_out
from .words import ANIMALS, COLORS, NAMES, PLACES, QUALITIES, THINGS

TEMPLATES: Final = (
    "When {first} and {second} went to the {place}, {S2} gave a {thing} to{answer}.",
    "Then, {first} and {second} went to the {place}. {S2} gave a {thing} to{answer}.",
    "After {first} and {second} went to the {place}, {S2} handed a {thing} to{answer}.",
    "While {first} and {second} were working at the {place}, {S2} decided to give a {thing} to{answer}.",
    "Then, {first} and {second} had a lot of fun at the {place}. {S2} gave a {thing} to{answer}.",
    "The friends {first} and {second} found a {thing} at the {place}. {S2} gave it to{answer}.",
    "Because {first} and {second} were at the {place}, {S2} bought a {thing} and brought it to{answer}.",
    "One day {first} and {second} met near the {place}, and {S2} showed a {thing} to{answer}.",
)

UNSEEN_NAMES: Final = (*NAMES[30:40], *NAMES[70:80])
"""Names that occur in other topics and never in this one."""

SEEN_NAMES: Final = tuple(name for name in NAMES if name not in UNSEEN_NAMES)

ARBITRARY_SHARE: Final = 0.45
"""Share of documents with arbitrary words as names. Without them the model learns the names by heart, and no head that
copies whatever stood at the indirect object appears."""

ARBITRARY: Final = tuple(
    dict.fromkeys(
        PLACES
        + THINGS
        + ANIMALS
        + COLORS
        + QUALITIES
        + agreement.NOUNS
        + chat.VERBS
        + chat.NOUNS
        + facts.WORDS
        + gender.STATES
        + sentiment.SUBJECTS
        + sentiment.POSITIVE
        + sentiment.NEGATIVE
    )
)
"""Words of every kind that stand for names."""


def is_held_out(one: str, other: str) -> bool:
    """Whether these two names never meet in the corpus, in either order. True for Mary and John."""
    pair = sorted((one, other))
    return pair == ["John", "Mary"] or held_out("ioi", *pair)


def passage(template: str, first: str, second: str, subject: str, place: str, thing: str) -> Passage:
    """One document; ``subject`` is whichever of ``first`` and ``second`` acts, the answer is the other.

    Its roles are ``S1``, ``IO``, ``S2``, ``place`` and ``thing``: ``S1`` is the subject where it is first named.
    """
    roles = ("{S1}", "{IO}") if subject == first else ("{IO}", "{S1}")
    named = template.replace("{first}", roles[0]).replace("{second}", roles[1])
    other = second if subject == first else first
    return fill(named, 5.0, S1=subject, IO=other, S2=subject, place=place, thing=thing, answer=f" {other}")


def sample(rng: random.Random) -> Passage:
    """Draw one training document."""
    if rng.random() < ARBITRARY_SHARE:
        first, second = rng.sample(ARBITRARY, 2)
    else:
        first, second = rng.sample(SEEN_NAMES, 2)
        while is_held_out(first, second):
            first, second = rng.sample(SEEN_NAMES, 2)
    subject = rng.choice((first, second))
    return passage(rng.choice(TEMPLATES), first, second, subject, rng.choice(PLACES), rng.choice(THINGS))
