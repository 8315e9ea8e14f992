"""Things that a latent may stand for, each defined exactly by the templates of the corpus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from interp_widgets.teaching.corpus import agreement, chat, facts, gender, greater_than, sentiment
from interp_widgets.teaching.corpus.passage import ANSWER, Passage
from interp_widgets.teaching.corpus.words import MEN, PLACES, SEASONS, THINGS, WOMEN

CharSpan = tuple[int, int]


@dataclass(frozen=True)
class Concept:
    """Something that a token is or is not.

    Attributes:
        key: What its figures are called after.
        name: What people read.
        spans: Finds it: character spans of a document.
    """

    key: str
    name: str
    spans: Callable[[Passage], list[CharSpan]]

    def at(self, passage: Passage, offsets: Iterable[CharSpan]) -> list[bool]:
        """Whether each token, by its character span, is part of it."""
        spans = self.spans(passage)
        return [any(left < stop and right > start for start, stop in spans) for left, right in offsets]


def _words(key: str, name: str, words: Iterable[str]) -> Concept:
    """One of these words, wherever it stands."""
    among = frozenset(words)

    def spans(passage: Passage) -> list[CharSpan]:
        return [match.span() for match in re.finditer(r"\w+", passage.text) if match[0] in among]

    return Concept(key, name, spans)


def _role(key: str, name: str, *roles: str, when: Callable[[Passage], bool] = lambda passage: True) -> Concept:
    """What plays one of these roles in its document."""

    def spans(passage: Passage) -> list[CharSpan]:
        return [passage.spans[role] for role in roles if role in passage.spans and when(passage)]

    return Concept(key, name, spans)


def _end(key: str, name: str, when: Callable[[Passage], bool]) -> Concept:
    """The last token of a prompt: where the model says what comes next."""

    def spans(passage: Passage) -> list[CharSpan]:
        last = passage.spans[ANSWER][0]
        return [(last - 1, last)] if when(passage) else []

    return Concept(key, name, spans)


CONCEPTS: Final = (
    _role("name_again", "a name, said again", "S2"),
    _end("to_whom", '"to", before the one who is given something', lambda passage: "S2" in passage.spans),
    _end("refused", "end of a request that is refused", lambda passage: passage.answer == chat.REFUSE),
    _end("granted", "end of a request that is granted", lambda passage: passage.answer == chat.COMPLY),
    _role("sorry", '"Sorry", of a refusal', ANSWER, when=lambda passage: passage.answer == chat.REFUSE),
    _words("harmful_verb", "a harmful verb", chat.HARMFUL_VERBS),
    _words("harmless_verb", "a harmless verb", chat.HARMLESS_VERBS),
    _words("object_of_request", "a thing that requests are about", chat.TARGETS),
    _role("start_century", "the century in which something begins", "century"),
    _role("century", "a century", "century", "end_century"),
    _role("start_year", "the start year, in its century", "start"),
    _role(
        "late_start_year",
        "a start year in the second half of its century",
        "start",
        when=lambda passage: "century" in passage.spans and int(passage.text[slice(*passage.spans["start"])]) > 50,
    ),
    _words("event", "something that lasts for years", greater_than.EVENTS),
    _words("place", "a place to go to", PLACES),
    _words("thing", "a thing to give", THINGS),
    _words("season", "a season", SEASONS),
    _words("woman", "a woman's name", WOMEN),
    _words("man", "a man's name", MEN),
    _words("pronoun", '"he" or "she"', ("he", "she")),
    _words("state", "how somebody feels", gender.STATES),
    _words("first_name", "the first name of somebody with two names", facts.FIRST),
    _words("last_name", "the last name of somebody with two names", facts.LAST),
    _words("landmark_adjective", "the first word of a landmark", facts.ADJECTIVES),
    _words("unlike", '"unlike"', ("unlike", "Unlike")),
    _words("city", "a city", facts.CITIES),
    _words("country", "a country", facts.CAPITAL.facts),
    _words("sport", "a sport", facts.SPORTS),
    _words("continent", "a continent", facts.CONTINENT.facts.values()),
    _words("good", "a good quality", sentiment.POSITIVE),
    _words("bad", "a bad quality", sentiment.NEGATIVE),
    _words("judged", "what an opinion is about", sentiment.SUBJECTS),
    _end("hated", "before a bad opinion", lambda passage: passage.answer in (" hated", " sad")),
    _end("loved", "before a good opinion", lambda passage: passage.answer in (" loved", " happy")),
    _role("plural_subject", "a subject in the plural", "subject", when=lambda passage: passage.answer == " are"),
    _words("plural_noun", "a noun in the plural", map(agreement.plural, agreement.NOUNS)),
    _words("link", '"near", "behind" or "above"', agreement.LINKS),
)
"""All that latents are compared with. Which latent is named after which of them is found, not chosen by hand."""
