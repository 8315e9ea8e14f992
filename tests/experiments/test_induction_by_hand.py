"""The circuit that was written into a model's weights is found in it, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interp_widgets.experiments.path_patching import run_path_patching
from interp_widgets.experiments.receivers import Receiver
from tests.experiments import induction_by_hand as hand

GIVEN: dict[str, Any] = {"answer": hand.ANSWER, "wrong_answer": hand.WRONG}


@pytest.fixture(scope="module")
def model() -> Any:
    return hand.build()


def paths(model: Any, receiver: Receiver, **options: Any) -> dict[tuple[int, int], float]:
    """The effect of every head that sends something."""
    result = run_path_patching(model, hand.CLEAN, hand.CORRUPT, receivers=receiver, **GIVEN, **options)
    effect = result.effect()[0]
    assert not np.nan_to_num(effect[1]).any()  # MLPs
    return {(layer, head): effect[0, layer, head] for layer, head in np.argwhere(abs(effect[0]) > 1e-5).tolist()}


def test_the_model_repeats_what_came_after_the_same_token(model: Any) -> None:
    assert hand.says(model, hand.CLEAN) == hand.ANSWER
    assert hand.says(model, hand.CORRUPT) == hand.WRONG
    assert hand.says(model, [0, 8, 1, 2, 10, 6, 8]) == 1


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_previous_token_head_alone_reaches_the_keys_of_the_induction_head(model: Any, direction: str) -> None:
    found = paths(model, Receiver("k", *hand.INDUCTION), direction=direction)
    assert found == {hand.PREVIOUS: pytest.approx(1, abs=1e-5)}


@pytest.mark.parametrize("receiver", ["q", "v"])
def test_nothing_reaches_its_queries_and_values(model: Any, receiver: Any) -> None:
    assert paths(model, Receiver(receiver, *hand.INDUCTION)) == {}


@pytest.mark.parametrize("head", [0, 2, 3])
def test_nothing_reaches_the_answer_by_way_of_another_head(model: Any, head: int) -> None:
    assert paths(model, Receiver("k", 1, head)) == {}


def test_the_induction_head_alone_reaches_the_answer_directly(model: Any) -> None:
    assert paths(model, Receiver("final")) == {hand.INDUCTION: pytest.approx(1, abs=1e-5)}


def test_each_of_the_two_tokens_that_moved_carries_half(model: Any) -> None:
    result = run_path_patching(
        model, hand.CLEAN, hand.CORRUPT, receivers=Receiver("k", *hand.INDUCTION), senders="z", by="pos", **GIVEN
    )
    number, row, _ = result.find({"site": "z", "layer": 0, "head": hand.PREVIOUS[1], "pos": 2})
    effect = result.effect()[0, number]
    # With one key put right neither place, or both, match the query, and the attention is shared evenly.
    assert effect[row].tolist() == pytest.approx([0, 0, 0.5, 0, 0.5, 0], abs=1e-5)
    assert abs(np.delete(effect, row, axis=0)).max() < 1e-5
