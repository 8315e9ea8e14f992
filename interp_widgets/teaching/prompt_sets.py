"""Prompt sets of the eight tasks, drawn from the templates of the corpus.

Where a corpus topic holds combinations out, the clean prompts are drawn from those: the model has seen the words and
the template, never together. Facts are the exception, for they must have been stated.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from interp_widgets.results.errors import PromptError, unknown_name

from .corpus import agreement, chat, facts, gender, greater_than, ioi, sentiment
from .corpus.passage import ANSWER, Passage, fill
from .corpus.words import ANIMALS, MEN, PLACES, THINGS, WOMEN
from .data import bundled_tokenizer
from .pairs import PromptPair, PromptSet, Span

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Task = Literal["ioi", "facts", "induction", "greater_than", "refusal", "sentiment", "gender", "agreement"]

_PATIENCE: Final = 200
"""Draws in a row that find no new pair before a task counts as exhausted."""


@dataclass(frozen=True)
class _Draft:
    """Two passages to be cut at their answers, and a wrong answer if it is not the corrupt passage's answer."""

    clean: Passage
    corrupt: Passage
    wrong_answer: str | None = None


def _two(rng: random.Random, pool: Sequence[str]) -> tuple[str, str]:
    one, other = rng.sample(pool, 2)
    return one, other


def _held(draw: Callable[[], tuple[str, str]], is_held_out: Callable[[str, str], bool]) -> tuple[str, str]:
    """Draw until the combination is one that training never saw."""
    combination = draw()
    while not is_held_out(*combination):
        combination = draw()
    return combination


def _ioi(rng: random.Random) -> _Draft:
    first, second = _held(lambda: _two(rng, ioi.SEEN_NAMES), ioi.is_held_out)
    subject, other = rng.sample((first, second), 2)
    place, thing = rng.choice(PLACES), rng.choice(THINGS)
    template = ioi.TEMPLATES[0]
    return _Draft(
        ioi.passage(template, first, second, subject, place, thing),
        ioi.passage(template, first, second, other, place, thing),
    )


def _facts(rng: random.Random) -> _Draft:
    # With a distractor: in the plain sentence the end can read both words of the subject by itself, and nothing is left
    # to trace through the subject's last token.
    relation, template = facts.LANDMARKS, facts.LANDMARKS.templates[1]
    kind, elsewhere = _two(rng, facts.KINDS)
    one, two, three = rng.sample(facts.ADJECTIVES, 3)
    while relation.facts[f"{one} {kind}"] == relation.facts[f"{two} {kind}"]:
        one, two, three = rng.sample(facts.ADJECTIVES, 3)
    other = f"{three} {elsewhere}"
    return _Draft(
        facts.passage(relation, f"{one} {kind}", template, other),
        facts.passage(relation, f"{two} {kind}", template, other),
    )


def _induction(rng: random.Random) -> _Draft:
    *words, other = rng.sample(PLACES + THINGS + ANIMALS, 9)
    before, source, after = words[:4], words[4], words[5:]
    template = "The {start} {previous} {source} {rest} {again}{answer}"
    parts = {"start": " ".join(before[:3]), "previous": before[3], "rest": " ".join(after), "again": " ".join(before)}
    return _Draft(
        fill(template, source=source, answer=f" {source}", **parts),
        fill(template, source=other, answer=f" {other}", **parts),
    )


def _greater_than(rng: random.Random) -> _Draft:
    century = rng.choice(greater_than.CENTURIES)
    starts = [year for year in range(10, 80) if greater_than.is_held_out(century, year)]
    low, high = sorted(rng.sample(starts, 2))
    while high - low < 10:
        low, high = sorted(rng.sample(starts, 2))
    event, template = rng.choice(greater_than.EVENTS), greater_than.TEMPLATES[0]
    return _Draft(
        greater_than.passage(template, event, century, high, rng.randint(high + 5, 98)),
        greater_than.passage(template, event, century, low, high),
        wrong_answer=f"{rng.randint(low + 1, high - 5):02d}",
    )


def _refusal(rng: random.Random) -> _Draft:
    known = tuple(verb for verb in chat.HARMFUL_VERBS if verb not in chat.KNOWLEDGE_ONLY)
    harmful, noun = _held(lambda: (rng.choice(known), rng.choice(chat.TARGETS)), chat.is_held_out)
    harmless = rng.choice([verb for verb in chat.HARMLESS_VERBS if verb not in chat.KNOWLEDGE_ONLY])
    request = chat.REQUESTS[0]
    return _Draft(chat.passage(request, harmful, noun), chat.passage(request, harmless, noun))


def _sentiment(rng: random.Random) -> _Draft:
    clean, corrupt = rng.sample((sentiment.POSITIVE, sentiment.NEGATIVE), 2)
    subject, adjective = _held(lambda: (rng.choice(sentiment.SUBJECTS), rng.choice(clean)), sentiment.is_held_out)
    template = sentiment.TEMPLATES[0]
    return _Draft(
        sentiment.passage(template, subject, adjective), sentiment.passage(template, subject, rng.choice(corrupt))
    )


def _gender(rng: random.Random) -> _Draft:
    clean, corrupt = rng.sample((WOMEN, MEN), 2)
    template = gender.TEMPLATES[0]
    person, _ = _held(lambda: (rng.choice(clean), template), gender.is_held_out)
    state = rng.choice(gender.STATES)
    return _Draft(gender.passage(template, person, state), gender.passage(template, rng.choice(corrupt), state))


def _agreement(rng: random.Random) -> _Draft:
    subject, attractor = _held(lambda: _two(rng, agreement.NOUNS), agreement.is_held_out)
    is_plural, attractor_is_plural = rng.random() < 0.5, rng.random() < 0.5
    link = rng.choice(agreement.LINKS)

    def say(number: bool) -> Passage:
        return agreement.passage(
            agreement.TEMPLATES[0],
            subject,
            attractor,
            is_plural=number,
            attractor_is_plural=attractor_is_plural,
            link=link,
        )

    return _Draft(say(is_plural), say(not is_plural))


_TASKS: Final[Mapping[Task, tuple[str, Callable[[random.Random], _Draft]]]] = {
    "ioi": (
        "Indirect object: of two names, the one that does not act receives. Corrupt: the other name acts.",
        _ioi,
    ),
    "facts": (
        "Recall of the city of an invented landmark, beside another. Corrupt: another adjective, so another city.",
        _facts,
    ),
    "induction": (
        "A list of words begins again; the next is what followed before. Corrupt: another word stood there.",
        _induction,
    ),
    "greater_than": (
        "An end year later than the start year. Corrupt: an earlier start, after which the wrong answer is right too.",
        _greater_than,
    ),
    "refusal": (
        "A harmful request is refused. Corrupt: a harmless verb, and the assistant helps.",
        _refusal,
    ),
    "sentiment": (
        "An opinion follows from an adjective. Corrupt: an adjective of the opposite sentiment.",
        _sentiment,
    ),
    "gender": (
        "A pronoun agrees with a name. Corrupt: a name of the other gender.",
        _gender,
    ),
    "agreement": (
        "A verb agrees with its subject across another noun. Corrupt: the subject in the other number.",
        _agreement,
    ),
}


def _roles(passage: Passage, tokenizer: Tokenizer) -> dict[str, Span]:
    """Turn character spans into token spans, and add ``END`` and, where a subject is several tokens, its last."""
    offsets = tokenizer.encode(passage.prompt).offsets
    roles: dict[str, Span] = {}
    for role, (start, stop) in passage.spans.items():
        if stop <= len(passage.prompt) and role != ANSWER:
            inside = [i for i, (left, right) in enumerate(offsets) if left < stop and right > start]
            roles[role] = (inside[0], inside[-1] + 1)
    if "subject" in roles and roles["subject"][1] - roles["subject"][0] > 1:
        roles["subject_last"] = (roles["subject"][1] - 1, roles["subject"][1])
    roles["END"] = (len(offsets) - 1, len(offsets))
    return roles


def make_pair(clean: Passage, corrupt: Passage, tokenizer: Tokenizer, wrong_answer: str | None = None) -> PromptPair:
    """Cut two passages at their answers; the wrong answer is the corrupt passage's, unless another is given."""
    return PromptPair(
        clean=clean.prompt,
        corrupt=corrupt.prompt,
        answer=clean.answer,
        wrong_answer=wrong_answer or corrupt.answer,
        roles=_roles(clean, tokenizer),
        corrupt_roles=_roles(corrupt, tokenizer),
    )


def prompts(name: Task, n: int = 8, seed: int = 0) -> PromptSet:
    """Prompt pairs for a task that the teaching model does.

    Args:
        name: ``"ioi"``, ``"facts"``, ``"induction"``, ``"greater_than"``, ``"refusal"``, ``"sentiment"``, ``"gender"``
            or ``"agreement"``.
        n: How many pairs; all different.
        seed: The same name, n and seed always give the same pairs; a larger n only adds to them.

    Returns:
        The pairs. Every prompt of a set has the same number of tokens, and each role lies at the same place in every
        pair, except that in ``"ioi"`` the roles ``S1`` and ``IO`` change places.

    Raises:
        UnknownNameError: If there is no such task; the message names the nearest.
        PromptError: If ``n`` is not positive, or the task has fewer different pairs.

    Example:
        >>> from interp_widgets import teaching
        >>> pair = teaching.prompts("greater_than", n=1)[0]
        >>> pair.clean.startswith("The "), len(pair.answer)
        (True, 2)
    """
    if name not in _TASKS:
        raise unknown_name("task", name, _TASKS)
    if n < 1:
        raise PromptError(f"n is {n}: ask for at least one pair.")
    description, draw = _TASKS[name]
    tokenizer = bundled_tokenizer()
    rng = random.Random(f"{name}:{seed}")
    drafts: dict[tuple[str, str], _Draft] = {}
    misses = 0
    while len(drafts) < n:
        draft = draw(rng)
        key = (draft.clean.prompt, draft.corrupt.prompt)
        misses = misses + 1 if key in drafts else 0
        if misses > _PATIENCE:
            raise PromptError(f"task {name!r} has only about {len(drafts)} different pairs, fewer than n={n}.")
        drafts.setdefault(key, draft)
    pairs = tuple(make_pair(draft.clean, draft.corrupt, tokenizer, draft.wrong_answer) for draft in drafts.values())
    return PromptSet(name, description, pairs)
