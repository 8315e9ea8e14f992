from collections import Counter
from itertools import islice
from random import Random

import pytest

from interp_widgets import teaching
from interp_widgets.teaching.corpus import (
    TOPICS,
    agreement,
    chat,
    facts,
    gender,
    greater_than,
    ioi,
    passages,
    sentiment,
)
from interp_widgets.teaching.corpus.passage import fill, held_out
from interp_widgets.teaching.data import bundled_tokenizer
from interp_widgets.teaching.network import CONTEXT
from interp_widgets.teaching.rows import RowMaker


def sampled(topic, count=4000):
    rng = Random("test corpus")
    return [topic(rng) for _ in range(count)]


def part(passage, role):
    return passage.text[slice(*passage.spans[role])]


def test_names_held_out_never_meet():
    for passage in sampled(ioi.sample):
        names = part(passage, "S1"), part(passage, "IO")
        assert not ioi.is_held_out(*names) or not set(names) <= set(ioi.SEEN_NAMES)
        assert not set(names) & set(ioi.UNSEEN_NAMES)


def test_mary_and_john_never_meet():
    assert ioi.is_held_out("Mary", "John")
    assert ioi.is_held_out("John", "Mary")
    assert not any({part(p, "S1"), part(p, "IO")} == {"Mary", "John"} for p in sampled(ioi.sample))


def test_facts_held_out_are_never_said():
    said = {p.text.replace(p.answer, "") for p in sampled(facts.sample, 20_000)}
    for relation in (facts.CAPITAL, facts.LANGUAGE, facts.CONTINENT):
        for subject in relation.facts:
            for template in relation.templates:
                if "{other}" not in template and facts.is_held_out(relation, subject, template):
                    passage = facts.passage(relation, subject, template)
                    assert passage.text.replace(passage.answer, "") not in said


def test_every_subject_keeps_a_plain_statement():
    for relation in facts.RELATIONS:
        assert not any(facts.is_held_out(relation, subject, relation.templates[0]) for subject in relation.facts)


@pytest.mark.parametrize("relation", [facts.LANDMARKS, facts.SPORT, facts.HOME], ids=lambda relation: relation.name)
def test_no_word_of_a_grid_tells_the_answer(relation):
    grid = {subject: answer for subject, answer in relation.facts.items() if subject not in facts.REAL_LANDMARKS}
    for place in (0, 1):
        for word in {subject.split()[place] for subject in grid}:
            answers = Counter(answer for subject, answer in grid.items() if subject.split()[place] == word)
            assert max(answers.values()) <= answers.total() / 2, word


def test_years_held_out_never_begin():
    for passage in sampled(greater_than.sample):
        century, start, end = part(passage, "century"), int(part(passage, "start")), int(passage.answer)
        assert not greater_than.is_held_out(century, start)
        assert start < end


def test_requests_held_out_are_never_made():
    for passage in sampled(chat.sample):
        verb, noun = part(passage, "verb"), part(passage, "noun")
        assert not chat.is_held_out(verb, noun)
        assert not {verb, noun} & chat.KNOWLEDGE_ONLY
        assert (passage.answer == chat.REFUSE) == chat.is_harmful(verb, noun)


def test_words_of_world_knowledge_are_all_told():
    told = {part(passage, "word") for passage in sampled(chat.sample_knowledge)}
    assert told >= chat.KNOWLEDGE_ONLY


def test_other_combinations_held_out():
    assert not any(sentiment.is_held_out(part(p, "subject"), part(p, "adjective")) for p in sampled(sentiment.sample))
    for passage in sampled(agreement.sample):
        one, other = (part(passage, role).removesuffix("s") for role in ("subject", "attractor"))
        assert not agreement.is_held_out(one, other)
    template = gender.TEMPLATES[0]
    absent = {person for person in gender.WOMEN + gender.MEN if gender.is_held_out(person, template)}
    said = {part(p, "person") for p in sampled(gender.sample) if p.text.startswith("The teacher")}
    assert absent
    assert not absent & said


@pytest.mark.parametrize("seed", range(3))
def test_prompt_sets_ask_for_what_was_held_out(seed):
    for pair in teaching.prompts("ioi", n=20, seed=seed):
        assert ioi.is_held_out(pair.answer.strip(), pair.wrong_answer.strip())
    for pair in teaching.prompts("refusal", n=20, seed=seed):
        verb, noun = pair.clean.split()[4], pair.clean.split()[6].split("?")[0]
        assert chat.is_held_out(verb, noun)


def test_about_one_in_eight_is_held_out():
    share = sum(held_out("any", str(i)) for i in range(8000)) / 8000
    assert 0.1 < share < 0.15


def test_topics_come_in_their_shares():
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    texts = [passage.text for passage in islice(passages(Random(0)), 5000)]
    chats = sum(text.startswith("User:") for text in texts) / len(texts)
    share = next(topic.share for topic in TOPICS if topic.name == "chat with refusals")
    assert chats == pytest.approx(share / sum(topic.share for topic in TOPICS), abs=0.02)


def test_filling_remembers_places():
    passage = fill("{S1} saw{answer}.", 2.0, S1="John", answer=" Mary", unused="x")
    assert (passage.text, passage.prompt, passage.answer) == ("John saw Mary.", "John saw", " Mary")
    assert passage.spans == {"S1": (0, 4), "answer": (8, 13)}


def test_rows_are_full_and_depend_on_seed_and_step_alone():
    maker = RowMaker(bundled_tokenizer())
    batch = maker.batch(seed=3, step=7)
    again = RowMaker(bundled_tokenizer()).batch(seed=3, step=7)
    assert batch.ids.shape == batch.weights.shape == (32, CONTEXT)
    assert batch.ids.equal(again.ids)
    assert batch.weights.equal(again.weights)
    assert not batch.ids.equal(maker.batch(seed=3, step=8).ids)
    assert not batch.ids.equal(maker.batch(seed=4, step=7).ids)


def test_answers_weigh_more():
    words = bundled_tokenizer()
    batch = RowMaker(words).batch(seed=0, step=0)
    row, column = (batch.weights == 5.0).nonzero()[0].tolist()
    assert words.decode([int(batch.ids[row, column])]).startswith(" ")


def test_every_entry_of_a_list_is_an_answer():
    for passage in (facts.sample_list(Random(i)) for i in range(50)):
        entries = passage.text[:-1].split(":")[1].split(",")
        said = [passage.text[start:stop] for start, stop in passage.answers]
        assert said == [" " + entry.split()[-1] for entry in entries]
        heading = passage.text.split(":")[0] + ":"
        relation = next(relation for relation, this in facts.LISTED if this == heading)
        assert all(relation.facts[" ".join(entry.split()[:2])] == entry.split()[2] for entry in entries)


def test_every_answer_of_a_row_weighs_more():
    words = bundled_tokenizer()
    maker = RowMaker(words)
    for step in range(5):
        batch = maker.batch(0, step)
        for ids, weights in zip(batch.ids.tolist(), batch.weights.tolist(), strict=True):
            if 0.03 in (round(weight, 2) for weight in weights):
                continue  # a row of random tokens, which has no answers
            said = [words.decode([i]) for i in ids]
            assert all(weight > 1 for word, weight in zip(said, weights, strict=True) if word in (" Sorry", " loved"))
