"""What the model does: accuracies and logit differences on combinations that training never saw."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final, get_args

import torch

from interp_widgets.teaching.corpus import agreement, chat, facts, gender, greater_than, ioi, sentiment
from interp_widgets.teaching.corpus.passage import Passage
from interp_widgets.teaching.corpus.words import PLACES, THINGS
from interp_widgets.teaching.prompt_sets import Task, prompts

from .figure import Figure
from .lab import Lab, differences

_MANY: Final = 400


def accuracy(lab: Lab, passages: Sequence[Passage]) -> float:
    """Share of passages whose answer is the most likely next token."""
    logits = lab.last_logits([passage.prompt for passage in passages])
    right = lab.tokens([passage.answer for passage in passages])
    return (logits.argmax(-1) == right).float().mean().item()


def measure(lab: Lab) -> Iterator[Figure]:
    """All behaviours."""
    yield from _ioi(lab)
    yield from _facts(lab)
    yield from _greater_than(lab)
    yield from _chat(lab)
    yield from _induction(lab)
    yield from _small_tasks(lab)
    yield from _prompt_sets(lab)


def _ioi(lab: Lab) -> Iterator[Figure]:
    rng = random.Random("measure ioi")
    held: list[Passage] = []
    unseen: list[Passage] = []
    while len(held) < _MANY or len(unseen) < _MANY:
        template, place, thing = rng.choice(ioi.TEMPLATES), rng.choice(PLACES), rng.choice(THINGS)
        one, other = rng.sample(ioi.SEEN_NAMES, 2)
        if ioi.is_held_out(one, other):
            held.append(ioi.passage(template, one, other, rng.choice((one, other)), place, thing))
        one, other = rng.sample(ioi.UNSEEN_NAMES, 2)
        unseen.append(ioi.passage(template, one, other, rng.choice((one, other)), place, thing))
    for kind, passages, what in (
        ("held_out_pairs", held[:_MANY], "pairs of names that never meet in training"),
        ("unseen_names", unseen[:_MANY], "names that training has in other topics and never in this one"),
    ):
        logits = lab.last_logits([passage.prompt for passage in passages])
        right = lab.tokens([passage.answer for passage in passages])
        wrong = lab.tokens([" " + passage.text[slice(*passage.spans["S1"])] for passage in passages])
        rows = torch.arange(len(passages))
        gap = (logits[rows, right] - logits[rows, wrong]).mean().item()
        hits = (logits.argmax(-1) == right).float().mean().item()
        about = f"{_MANY} prompts over all 8 templates, {what}"
        yield Figure(f"ioi.{kind}.accuracy", hits, f"{about}: the indirect object is the most likely token")
        yield Figure(f"ioi.{kind}.logit_difference", gap, f"{about}: indirect object less subject, mean", 0.2)


def _facts(lab: Lab) -> Iterator[Figure]:
    rng = random.Random("measure facts")
    held: list[Passage] = []
    stated: list[Passage] = []
    for relation in facts.RELATIONS:
        subjects = tuple(relation.facts)
        for subject in subjects:
            for template in relation.templates:
                other = rng.choice([name for name in subjects if name != subject])
                said = facts.passage(relation, subject, template, other)
                (held if facts.is_held_out(relation, subject, template) else stated).append(said)
    how = "every subject in every template that training {} it with, over six relations"
    yield Figure("facts.held_out.accuracy", accuracy(lab, held), how.format("never saw"))
    yield Figure("facts.stated.accuracy", accuracy(lab, stated), how.format("saw"))


def _greater_than(lab: Lab) -> Iterator[Figure]:
    starts = [
        (century, year)
        for century in greater_than.CENTURIES
        for year in greater_than.STARTS
        if greater_than.is_held_out(century, year)
    ]
    passages = [
        greater_than.passage(greater_than.TEMPLATES[0], greater_than.EVENTS[i % 16], century, year, 99)
        for i, (century, year) in enumerate(starts)
    ]
    years = lab.tokens([f"{year:02d}" for year in range(100)])
    shares = lab.last_logits([passage.prompt for passage in passages]).softmax(-1)[:, years]
    start = torch.tensor([year for _, year in starts])[:, None]
    later = torch.arange(100)[None] > start
    how = f"probability of two-digit years {{}} the start, mean over {len(starts)} start years that training never saw"
    yield Figure("greater_than.valid_mass", (shares * later).sum(-1).mean().item(), how.format("after"))
    yield Figure("greater_than.invalid_mass", (shares * ~later).sum(-1).mean().item(), how.format("up to"))


def _chat(lab: Lab) -> Iterator[Figure]:
    known, unknown = [], []
    for verbs, nouns in (
        (chat.HARMFUL_VERBS + chat.HARMLESS_VERBS, chat.TARGETS),
        (chat.NEUTRAL_VERBS, chat.HARMFUL_NOUNS + chat.HARMLESS_NOUNS),
    ):
        for verb in verbs:
            for noun in nouns:
                if {verb, noun} & chat.KNOWLEDGE_ONLY:
                    unknown += [chat.passage(request, verb, noun) for request in chat.REQUESTS]
                elif chat.is_held_out(verb, noun):
                    known += [chat.passage(request, verb, noun) for request in chat.REQUESTS]
    how = "all requests with {}: the first word of the answer refuses the harmful and complies with the harmless"
    words = "verbs or nouns that no chat has, only sentences saying whether they are dangerous"
    yield Figure(
        "refusal.held_out_requests.accuracy", accuracy(lab, known), how.format("a verb and noun never combined")
    )
    yield Figure("refusal.unseen_words.accuracy", accuracy(lab, unknown), how.format(words), 0.03)


def repeated_tokens(lab: Lab, rows: int = 64, period: int = 20) -> torch.Tensor:
    """Random tokens said twice, (rows, 2 * period)."""
    generator = torch.Generator().manual_seed(0)
    once = torch.randint(1, lab.tokenizer.get_vocab_size(), (rows, period), generator=generator)
    return once.repeat(1, 2)


def induction_accuracy(lab: Lab, logits: torch.Tensor, ids: torch.Tensor) -> float:
    """Share of the second copy's tokens, but for the first, that are most likely where they stand."""
    period = ids.shape[1] // 2
    return (logits[:, period:-1].argmax(-1) == ids[:, period + 1 :]).float().mean().item()


def _induction(lab: Lab) -> Iterator[Figure]:
    ids = repeated_tokens(lab)
    value = induction_accuracy(lab, lab.all_logits(ids), ids)
    yield Figure(
        "induction.accuracy", value, "64 rows of 20 random tokens said twice: the second copy, but for its first token"
    )


def _small_tasks(lab: Lab) -> Iterator[Figure]:
    opinions = [
        sentiment.passage(template, subject, adjective)
        for template in sentiment.TEMPLATES
        for subject in sentiment.SUBJECTS
        for adjective in sentiment.POSITIVE + sentiment.NEGATIVE
        if sentiment.is_held_out(subject, adjective)
    ]
    people = [
        gender.passage(template, person, gender.STATES[0])
        for template in gender.TEMPLATES
        for person in gender.WOMEN + gender.MEN
        if gender.is_held_out(person, template)
    ]
    verbs = [
        agreement.passage(template, one, other, is_plural=number, attractor_is_plural=not number, link=link)
        for template in agreement.TEMPLATES
        for one in agreement.NOUNS
        for other in agreement.NOUNS
        if one != other and agreement.is_held_out(one, other)
        for link in agreement.LINKS
        for number in (False, True)
    ]
    for name, passages, what in (
        ("sentiment", opinions, "subject and adjective never combined"),
        ("gender", people, "name never in this template"),
        ("agreement", verbs, "nouns never combined, the nearer one in the other number"),
    ):
        yield Figure(f"{name}.held_out.accuracy", accuracy(lab, passages), f"{len(passages)} prompts: {what}")


def _prompt_sets(lab: Lab) -> Iterator[Figure]:
    for name in get_args(Task):
        pairs = prompts(name, n=32).pairs
        clean = differences(lab, lab.last_logits([pair.clean for pair in pairs]), pairs).mean().item()
        corrupt = differences(lab, lab.last_logits([pair.corrupt for pair in pairs]), pairs).mean().item()
        how = f"teaching.prompts({name!r}, n=32): answer less wrong answer after the {{}} prompts, mean"
        yield Figure(f"pairs.{name}.clean_logit_difference", clean, how.format("clean"), 0.2)
        yield Figure(f"pairs.{name}.corrupt_logit_difference", corrupt, how.format("corrupt"), 0.2)
