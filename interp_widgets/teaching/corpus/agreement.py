"""Subject and verb: "The keys near the cabinet" -> " are", whatever stands between them."""

from __future__ import annotations

import random
from typing import Final

from .passage import Passage, fill, held_out
from .words import words

NOUNS: Final = words(
    "key cabinet table chair picture author pilot farmer doctor painting plant engine wheel ship road wall tree lake"
)
LINKS: Final = ("near", "behind", "above")
COMPLEMENTS: Final = words("old new here small famous green lost gone")
TEMPLATES: Final = (
    "The {subject} {link} the {attractor}{answer} {complement}.",
    "We know that the {subject} {link} the {attractor}{answer} {complement}.",
)
SINGULAR: Final = " is"
PLURAL: Final = " are"


def plural(noun: str) -> str:
    """The plural of one of ``NOUNS``."""
    return f"{noun}s"


def is_held_out(subject: str, attractor: str) -> bool:
    """Whether these two nouns, in this order and whatever their number, never meet in the corpus."""
    return held_out("agreement", subject, attractor)


def passage(
    template: str,
    subject: str,
    attractor: str,
    *,
    is_plural: bool,
    attractor_is_plural: bool,
    link: str = "near",
    complement: str = "old",
) -> Passage:
    """One document; ``subject`` and ``attractor`` are given in the singular."""
    return fill(
        template,
        3.0,
        subject=plural(subject) if is_plural else subject,
        attractor=plural(attractor) if attractor_is_plural else attractor,
        link=link,
        complement=complement,
        answer=PLURAL if is_plural else SINGULAR,
    )


def sample(rng: random.Random) -> Passage:
    """Draw one training document; the attractor's number is independent of the subject's."""
    subject, attractor = rng.sample(NOUNS, 2)
    while is_held_out(subject, attractor):
        subject, attractor = rng.sample(NOUNS, 2)
    return passage(
        rng.choice(TEMPLATES),
        subject,
        attractor,
        is_plural=rng.random() < 0.5,
        attractor_is_plural=rng.random() < 0.5,
        link=rng.choice(LINKS),
        complement=rng.choice(COMPLEMENTS),
    )
