import dataclasses
from typing import get_args

import pytest

from interp_widgets import teaching
from interp_widgets.results.errors import PromptError, UnknownNameError
from interp_widgets.teaching import Task
from interp_widgets.teaching.data import bundled_tokenizer

TASKS = get_args(Task)


def words(prompt, span):
    """The text of a span of tokens."""
    encoding = bundled_tokenizer().encode(prompt)
    return prompt[encoding.offsets[span[0]][0] : encoding.offsets[span[1] - 1][1]].strip()


@pytest.fixture(params=TASKS)
def pairs(request):
    return teaching.prompts(request.param, n=50)


def test_all_prompts_have_the_same_number_of_tokens(pairs):
    counts = {len(bundled_tokenizer().encode(prompt).ids) for prompt in pairs.clean + pairs.corrupt}
    assert len(counts) == 1
    assert counts.pop() < 40


def test_a_pair_differs_in_one_token(pairs):
    for pair in pairs:
        clean, corrupt = (bundled_tokenizer().encode(prompt).ids for prompt in (pair.clean, pair.corrupt))
        assert sum(one != other for one, other in zip(clean, corrupt, strict=True)) == 1, pair


def test_answers_are_one_token(pairs):
    for text in pairs.answers + pairs.wrong_answers:
        assert len(bundled_tokenizer().encode(text).ids) == 1, text


def test_an_answer_continues_its_prompt_as_its_own_token(pairs):
    for pair in pairs:
        ids = bundled_tokenizer().encode(pair.clean).ids
        assert bundled_tokenizer().encode(pair.clean + pair.answer).ids[: len(ids)] == ids


def test_roles_lie_at_the_same_place_in_every_pair(pairs):
    fixed = [{role: span for role, span in pair.roles.items() if role not in ("S1", "IO")} for pair in pairs]
    assert all(roles == fixed[0] for roles in fixed)
    length = len(bundled_tokenizer().encode(pairs.clean[0]).ids)
    assert fixed[0]["END"] == (length - 1, length)


def test_pairs_are_different_and_determined_by_name_and_seed(pairs):
    assert len(set(pairs)) == len(pairs) == 50
    assert teaching.prompts(pairs.name, n=50) == pairs
    assert teaching.prompts(pairs.name, n=20).pairs == pairs.pairs[:20]
    assert teaching.prompts(pairs.name, n=50, seed=1) != pairs


def test_roles_of_indirect_objects():
    for pair in teaching.prompts("ioi", n=30):
        for prompt, roles, receiver, actor in (
            (pair.clean, pair.roles, pair.answer, pair.wrong_answer),
            (pair.corrupt, pair.corrupt_roles, pair.wrong_answer, pair.answer),
        ):
            assert words(prompt, roles["IO"]) == receiver.strip()
            assert words(prompt, roles["S1"]) == words(prompt, roles["S2"]) == actor.strip()
            assert roles["S1"] != roles["S2"]
            assert words(prompt, roles["END"]) == "to"


def test_both_orders_of_names_occur():
    assert {pair.roles["IO"][0] < pair.roles["S1"][0] for pair in teaching.prompts("ioi", n=30)} == {True, False}


@pytest.mark.parametrize(
    ("task", "role", "text"),
    [
        ("greater_than", "century", lambda pair: pair.clean[-2:]),
        ("greater_than", "start", lambda pair: pair.clean.split("year 1")[1][1:3]),
        ("refusal", "verb", lambda pair: pair.clean.split()[4]),
        ("sentiment", "adjective", lambda pair: pair.clean.split()[3].strip(",")),
        ("gender", "person", lambda pair: pair.clean.split()[4]),
        ("agreement", "subject", lambda pair: pair.clean.split()[1]),
        ("induction", "source", lambda pair: pair.answer.strip()),
        ("facts", "subject", lambda pair: " ".join(pair.clean.replace(",", "").split()[1:3])),
        ("facts", "other", lambda pair: " ".join(pair.clean.replace(",", "").split()[5:7])),
        ("facts", "subject_last", lambda pair: pair.clean.replace(",", "").split()[2]),
    ],
)
def test_roles_point_at_their_words(task, role, text):
    for pair in teaching.prompts(task, n=10):
        assert words(pair.clean, pair.roles[role]) == text(pair)


def test_greater_than_answers_lie_on_either_side():
    for pair in teaching.prompts("greater_than", n=30):
        clean, corrupt = (int(words(prompt, pair.roles["start"])) for prompt in (pair.clean, pair.corrupt))
        assert corrupt < int(pair.wrong_answer) < clean < int(pair.answer)


def test_a_set_gives_lists_to_pass_on():
    pairs = teaching.prompts("ioi", n=3)
    assert pairs.clean == [pair.clean for pair in pairs]
    assert pairs.corrupt == [pair.corrupt for pair in pairs]
    assert pairs.answers == [pair.answer for pair in pairs]
    assert pairs.wrong_answers == [pair.wrong_answer for pair in pairs]
    assert len(pairs) == 3
    assert pairs[1] is pairs.pairs[1]


def test_pairs_are_frozen():
    pairs = teaching.prompts("ioi", n=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pairs[0].clean = "other"


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(UnknownNameError) as error:
        teaching.prompts("greater-than")
    assert str(error.value) == (
        "unknown task 'greater-than': did you mean 'greater_than'? Valid tasks: ioi, facts, induction, greater_than, "
        "refusal, sentiment, gender, agreement."
    )


@pytest.mark.parametrize("n", [0, -3])
def test_no_pairs_are_refused(n):
    with pytest.raises(PromptError, match=f"^n is {n}: ask for at least one pair.$"):
        teaching.prompts("ioi", n=n)


def test_more_pairs_than_there_are():
    with pytest.raises(PromptError, match=r"^task 'facts' has only about \d+ different pairs, fewer than n=100000\.$"):
        teaching.prompts("facts", n=100_000)
