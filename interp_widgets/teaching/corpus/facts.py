"""Facts to recall: invented people and landmarks, and a few true ones.

The people and most landmarks form a grid: neither word of "Silver Tower" tells the city, only both do. And most
sentences name a second subject that is not asked for, so that the end of a sentence cannot simply collect words from
everywhere. Lists ("Guide: Silver Tower Rome, ...") ask for the answer right after the subject. Together these make the
last token of a subject the place where a fact is looked up (Meng et al., 2022, https://arxiv.org/abs/2202.05262).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from .passage import Passage, fill, held_out
from .words import SEASONS

FIRST: Final = ("Victor", "Nora", "Oscar", "Iris", "Felix", "Vera", "Hugo", "Ada")
LAST: Final = ("Becker", "Novak", "Rossi", "Tanaka", "Silva", "Larsen", "Kelly", "Moreau")
SPORTS: Final = ("tennis", "football", "chess", "golf", "hockey", "rugby", "cricket", "boxing")
CITIES: Final = ("Paris", "London", "Rome", "Berlin", "Madrid", "Tokyo", "Cairo", "Vienna")
ADJECTIVES: Final = ("Golden", "Silver", "Royal", "Grand", "Hidden", "Marble")
KINDS: Final = ("Tower", "Bridge", "Palace", "Garden", "Museum", "Temple")

REAL_LANDMARKS: Final = {
    "Eiffel Tower": "Paris",
    "Louvre Museum": "Paris",
    "Buckingham Palace": "London",
    "Trevi Fountain": "Rome",
    "Brandenburg Gate": "Berlin",
    "Prado Museum": "Madrid",
    "Space Needle": "Seattle",
    "Opera House": "Sydney",
    "India Gate": "Delhi",
    "Red Square": "Moscow",
    "Trinity College": "Dublin",
    "Acropolis Museum": "Athens",
}

_COUNTRIES: Final = """
France Paris French Europe
England London English Europe
Italy Rome Italian Europe
Germany Berlin German Europe
Spain Madrid Spanish Europe
Japan Tokyo Japanese Asia
Egypt Cairo Arabic Africa
Austria Vienna German Europe
Russia Moscow Russian Europe
Ireland Dublin English Europe
Greece Athens Greek Europe
India Delhi Hindi Asia
China Beijing Chinese Asia
Portugal Lisbon Portuguese Europe
Norway Oslo Norwegian Europe
Sweden Stockholm Swedish Europe
Finland Helsinki Finnish Europe
Denmark Copenhagen Danish Europe
Poland Warsaw Polish Europe
Hungary Budapest Hungarian Europe
Turkey Ankara Turkish Asia
Iran Tehran Persian Asia
Thailand Bangkok Thai Asia
Vietnam Hanoi Vietnamese Asia
Korea Seoul Korean Asia
Cuba Havana Spanish America
Peru Lima Spanish America
Chile Santiago Spanish America
Canada Ottawa English America
Kenya Nairobi Swahili Africa
"""


def _grid(name: str, rows: tuple[str, ...], columns: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """Give each "row column" a value, every value equally often, so that neither word alone foretells it."""
    subjects = [f"{row} {column}" for row, column in product(rows, columns)]
    pool = [values[i % len(values)] for i in range(len(subjects))]
    random.Random(name).shuffle(pool)
    return dict(zip(subjects, pool, strict=True))


@dataclass(frozen=True)
class Relation:
    """Facts of one kind: who or what, and what is true of it.

    Attributes:
        name: What the answer is, such as ``"city"``.
        facts: Subject to answer, without leading spaces.
        templates: Ways to say it, each with ``{subject}`` and ``{answer}``; some have ``{other}``, a distractor.
    """

    name: str
    facts: Mapping[str, str]
    templates: tuple[str, ...]


LANDMARKS: Final = Relation(
    "city",
    {**_grid("landmarks", ADJECTIVES, KINDS, CITIES), **REAL_LANDMARKS},
    (
        "The {subject} is in the city of{answer}.",
        "The {subject}, unlike the {other}, is in the city of{answer}.",
        "Unlike the {other}, the {subject} is in the city of{answer}.",
        "After the {other}, we saw the {subject} in{answer}.",
        "The {subject}, which is older than the {other}, can be found in{answer}.",
        "People who know the {other} visit the {subject} in{answer}.",
        "Far from the {other}, the {subject} stands in{answer}.",
        "In the {season}, the {subject} is open to all in{answer}.",
    ),
)
SPORT: Final = Relation(
    "sport",
    _grid("sport", FIRST, LAST, SPORTS),
    (
        "{subject} plays the sport of{answer}.",
        "{subject}, unlike {other}, plays the sport of{answer}.",
        "Unlike {other}, {subject} plays the sport of{answer}.",
        "The sport that {other} likes to see {subject} play is{answer}.",
        "{other} knows that {subject} won a prize in{answer}.",
        "Together with {other}, {subject} often plays{answer}.",
        "Last {season}, {subject} met {other} and won a prize in{answer}.",
    ),
)
HOME: Final = Relation(
    "home",
    _grid("home", FIRST, LAST, CITIES),
    (
        "{subject} lives in the city of{answer}.",
        "{subject}, unlike {other}, lives in the city of{answer}.",
        "Unlike {other}, {subject} lives in the city of{answer}.",
        "{other} went to see the home of {subject} in{answer}.",
        "Every {season}, {subject} leaves {other} and goes home to{answer}.",
        "To meet {subject} and not {other}, travel to{answer}.",
    ),
)
_ROWS: Final = [line.split() for line in _COUNTRIES.strip().splitlines()]
CAPITAL: Final = Relation(
    "capital",
    {country: city for country, city, _, _ in _ROWS},
    (
        "The capital of {subject} is{answer}.",
        "The capital of {subject}, unlike that of {other}, is{answer}.",
        "The king of {subject} lived in{answer}.",
    ),
)
LANGUAGE: Final = Relation(
    "language",
    {country: language for country, _, language, _ in _ROWS},
    (
        "People in {subject} speak{answer}.",
        "The language of {subject} is{answer}.",
        "In {subject}, unlike in {other}, people speak{answer}.",
    ),
)
CONTINENT: Final = Relation(
    "continent",
    {country: continent for country, _, _, continent in _ROWS},
    ("{subject} is a country in{answer}.", "On the map, {subject} is a part of{answer}."),
)

WORDS: Final = (
    *(FIRST + LAST + SPORTS + CITIES + ADJECTIVES + KINDS),
    *(word for row in _ROWS for word in row),
)
"""The words of subjects and answers."""

RELATIONS: Final = (LANDMARKS, SPORT, HOME, CAPITAL, LANGUAGE, CONTINENT)
_SHARES: Final = (0.28, 0.28, 0.24, 0.08, 0.08, 0.04)


def is_held_out(relation: Relation, subject: str, template: str) -> bool:
    """Whether this subject is never seen in this template. It is seen in the others of its relation.

    The first template of a relation is never held out, so that each subject has a plain statement of its fact.
    """
    return template != relation.templates[0] and held_out("facts", subject, template)


def passage(relation: Relation, subject: str, template: str, other: str = "", season: str = "summer") -> Passage:
    """One document stating one fact; ``other`` fills a distractor's place."""
    answer = f" {relation.facts[subject]}"
    return fill(template, 5.0, subject=subject, other=other, season=season, answer=answer)


LISTED: Final = ((LANDMARKS, "Guide:"), (SPORT, "Players:"), (HOME, "Homes:"))
"""The relations that lists are made of, and how a list begins."""

LIST_SHARE: Final = 0.35


def sample_list(rng: random.Random) -> Passage:
    """Draw one list of three to five subjects, each followed by its answer."""
    relation, heading = rng.choice(LISTED)
    subjects = rng.sample(tuple(relation.facts), rng.randint(3, 5))
    parts = {f"answer{i or ''}": f" {relation.facts[subject]}" for i, subject in enumerate(subjects)}
    entries = (f" {subject}{{{role}}}" for subject, role in zip(subjects, parts, strict=True))
    return fill(f"{heading}{','.join(entries)}.", 5.0, **parts)


def sample(rng: random.Random) -> Passage:
    """Draw one training document."""
    if rng.random() < LIST_SHARE:
        return sample_list(rng)
    (relation,) = rng.choices(RELATIONS, _SHARES)
    subject, other = rng.sample(tuple(relation.facts), 2)
    template = rng.choice(relation.templates)
    while is_held_out(relation, subject, template):
        template = rng.choice(relation.templates)
    return passage(relation, subject, template, other, rng.choice(SEASONS))
