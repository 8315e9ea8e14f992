"""A sum over neurons that was put together by hand: what it says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.latent import Example, LatentCard, Weighted
from interp_widgets.results.memories import MemoriesResult, Memory, Part
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Token, Tokens

ROME, OF, PARIS = Token(1, "␣Rome"), Token(2, "␣of"), Token(3, "␣Paris")


def part(name: str, contribution: float, top: Token, cell: Any = ()) -> Part:
    return Part(name, cell, contribution, top, 0.5, 0.25)


def example(*labels: str, peak: int) -> Example:
    ids = tuple(map(len, labels))
    return Example(0, Tokens(ids, labels), peak, (1.0,) * len(labels))


def memory(layer: int, neuron: int, activation: float, contribution: float, *examples: Example) -> Memory:
    card = LatentCard(neuron, (Weighted(ROME, 2.0), Weighted(PARIS, 1.0)), (Weighted(OF, -1.0),), examples=examples)
    return Memory(layer, neuron, activation, contribution, card)


def made() -> MemoriesResult:
    cells = [(("site", site), ("layer", layer)) for layer in range(2) for site in ("attn_out", "mlp_out")]
    return MemoriesResult(
        tokens=Tokens((5, 2), ("The", "␣of")),
        answer=ROME,
        wrong_answer=None,
        logit=6.5,
        parts=(
            part("embedding", 0.5, OF),
            part("attention 0", 1.0, ROME, cells[0]),
            part("MLP 0", -2.0, PARIS, cells[1]),
            part("attention 1", 3.0, ROME, cells[2]),
            part("MLP 1", 4.5, ROME, cells[3]),
            part("biases", -0.5, ROME),
        ),
        layers=(0, 1),
        activations=np.array([[0.5, 1.0, -0.1], [2.0, 0.0, 1.0]], np.float32),
        contributions=np.array([[-3.0, 1.0, 0.0], [4.0, 0.0, 2.0]], np.float32),
        biases=np.array([0.0, -1.5], np.float32),
        memories=(
            memory(1, 0, 2.0, 4.0, example("in", "␣of", peak=1), example("a", "in", peak=1), example("␣of", peak=0)),
            memory(0, 0, 0.5, -3.0),
        ),
        corpus="",
        complete=True,
        provenance=Provenance("small", "ab12", "torch.float32", {}),
    )


def test_sums_are_those_of_the_parts() -> None:
    result = made()
    assert result.total == 6.5
    assert result.contribution_of("mlp_out") == 2.5
    assert result.contribution_of("attn_out") == 4.0


@pytest.mark.parametrize(
    ("share", "layer", "count"),
    [(0.0, None, 0), (0.4, None, 1), (0.41, None, 2), (0.7, None, 2), (0.9, None, 3), (1.0, None, 4), (0.5, 1, 1)],
)
def test_how_many_neurons_make_up_a_share(share: float, layer: int | None, count: int) -> None:
    # The sizes are 4, 3, 2, 1: of 10 in all.
    assert made().making_up(share, layer) == count


def test_neurons_that_do_nothing_make_up_nothing() -> None:
    assert replace(made(), contributions=np.zeros((2, 3), np.float32)).making_up() == 0


def test_a_share_or_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="share=2 must be a number from 0 to 1"):
        made().making_up(2)
    with pytest.raises(SelectionError, match=r"Layer 7 was not looked at\. Use one of 0, 1"):
        made().making_up(0.5, 7)


def test_triggers_are_the_tokens_at_the_peaks_the_most_frequent_first() -> None:
    first, second = made().memories
    assert [(token.label, count) for token, count in first.triggers] == [("␣of", 2), ("in", 1)]
    assert second.triggers == ()


def test_words_say_what_adds_up() -> None:
    assert made().summary().splitlines() == [
        "small on 2 tokens: the logit of ␣Rome is 6.5 above the mean over the vocabulary.",
        "+0.5 come from the embedding, +4 directly from attention, +2.5 from MLPs and -0.5 from biases.",
        "It is the most probable token from attention 1 on.",
        "2 of 6 neurons of 2 layers make up half of what all of them add and take away.",
        "Neuron 1.0 fires at 2 and adds +4: its value promotes ␣Rome, ␣Paris; it fires most on ␣of, in.",
        "Neuron 0.0 fires at 0.5 and adds -3: its value promotes ␣Rome, ␣Paris.",
    ]
    other = replace(made(), answer=PARIS, wrong_answer=ROME, complete=False)
    assert "the logit of ␣Paris is 6.5 above that of ␣Rome" in other.summary()
    assert "The model says ␣Rome (50%) instead." in other.summary()
    assert other.summary().endswith("There is more of the corpus to read.")
    assert repr(other) == "MemoriesResult(2 layers of 3 neurons, ␣Paris 6.5, more to read)"


def test_tables_have_a_row_for_each_neuron_and_each_part() -> None:
    table = made().to_frame()
    assert len(table) == 6
    assert list(table.columns) == [
        *("layer", "neuron", "activation", "contribution", "promotes", "suppresses", "triggers")
    ]
    first = table.iloc[0]
    assert (first.layer, first.neuron, first.activation, first.contribution) == (1, 0, 2.0, 4.0)
    assert (first.promotes, first.suppresses, first.triggers) == ("␣Rome ␣Paris", "␣of", "␣of in")
    assert list(table.contribution) == [4, -3, 2, 1, 0, 0]
    assert list(table.promotes[2:]) == [""] * 4
    parts = made().parts_frame()
    assert list(parts.component) == ["embedding", "attention 0", "MLP 0", "attention 1", "MLP 1", "biases"]
    assert list(parts["sum"]) == [0.5, 1.5, -0.5, 2.5, 7.0, 6.5]
    assert list(parts.top) == ["␣of", "␣Rome", "␣Paris", "␣Rome", "␣Rome", "␣Rome"]


def test_bytes_are_read_back_and_others_refused() -> None:
    result = made()
    again = MemoriesResult.from_bytes(result.to_bytes())
    assert again == result
    assert again != replace(result, logit=1.0)
    with pytest.raises(ResultError):
        MemoriesResult.from_bytes(b"nothing of the kind")
