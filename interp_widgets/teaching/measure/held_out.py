"""Documents made of combinations that training never saw: what the latents of the SAE are judged on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from interp_widgets.teaching.corpus import agreement, chat, facts, gender, greater_than, ioi, sentiment
from interp_widgets.teaching.corpus.passage import Passage
from interp_widgets.teaching.corpus.words import NAMES, PLACES, SEASONS, THINGS


def documents(seed: str, count: int) -> list[Passage]:
    """Draw documents, the topics in turn."""
    rng = random.Random(seed)
    return [passage for _, passage in zip(range(count), _endless(rng), strict=False)]


def _endless(rng: random.Random) -> Iterator[Passage]:
    while True:
        for draw in _TOPICS:
            yield draw(rng)


def _ioi(rng: random.Random) -> Passage:
    while True:
        one, other = rng.sample(ioi.SEEN_NAMES, 2)
        if ioi.is_held_out(one, other):
            template, subject = rng.choice(ioi.TEMPLATES), rng.choice((one, other))
            return ioi.passage(template, one, other, subject, rng.choice(PLACES), rng.choice(THINGS))


def _facts(rng: random.Random) -> Passage:
    while True:
        relation = rng.choice(facts.RELATIONS)
        subject, other = rng.sample(tuple(relation.facts), 2)
        template = rng.choice(relation.templates)
        if facts.is_held_out(relation, subject, template):
            return facts.passage(relation, subject, template, other, rng.choice(SEASONS))


def _chat(rng: random.Random) -> Passage:
    while True:
        verb = rng.choice(rng.choice((chat.HARMFUL_VERBS, chat.HARMLESS_VERBS)))
        noun = rng.choice(chat.TARGETS)
        if chat.is_held_out(verb, noun) and not {verb, noun} & chat.KNOWLEDGE_ONLY:
            return chat.passage(rng.choice(chat.REQUESTS), verb, noun)


def _greater_than(rng: random.Random) -> Passage:
    while True:
        century, start = rng.choice(greater_than.CENTURIES), rng.choice(greater_than.STARTS)
        if greater_than.is_held_out(century, start):
            template, event = rng.choice(greater_than.TEMPLATES), rng.choice(greater_than.EVENTS)
            return greater_than.passage(template, event, century, start, rng.randint(start + 1, 99))


def _sentiment(rng: random.Random) -> Passage:
    while True:
        subject = rng.choice(sentiment.SUBJECTS)
        adjective = rng.choice(rng.choice((sentiment.POSITIVE, sentiment.NEGATIVE)))
        if sentiment.is_held_out(subject, adjective):
            return sentiment.passage(rng.choice(sentiment.TEMPLATES), subject, adjective)


def _gender(rng: random.Random) -> Passage:
    while True:
        person, template = rng.choice(NAMES), rng.choice(gender.TEMPLATES)
        if gender.is_held_out(person, template):
            return gender.passage(template, person, rng.choice(gender.STATES))


def _agreement(rng: random.Random) -> Passage:
    while True:
        subject, attractor = rng.sample(agreement.NOUNS, 2)
        if agreement.is_held_out(subject, attractor):
            return agreement.passage(
                rng.choice(agreement.TEMPLATES),
                subject,
                attractor,
                is_plural=rng.random() < 0.5,
                attractor_is_plural=rng.random() < 0.5,
                link=rng.choice(agreement.LINKS),
                complement=rng.choice(agreement.COMPLEMENTS),
            )


_TOPICS: Final[tuple[Callable[[random.Random], Passage], ...]] = (
    _ioi,
    _facts,
    _chat,
    _greater_than,
    _sentiment,
    _gender,
    _agreement,
)
