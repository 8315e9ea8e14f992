"""Circuit checks: known answers, an independent ablation with plain hooks, and refusals."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets.experiments.circuit_check import circuit_check, run_circuit_check
from interp_widgets.models.access import Access
from interp_widgets.results.errors import NoGapError, PromptError, SelectionError, UnknownNameError
from tests.experiments import induction_by_hand as hand
from tests.experiments import zoo
from tests.experiments.path_reference import Model

CLEAN = [[5, 9, 13, 22, 40, 7], [3, 9, 13, 1, 4, 8], [5, 19, 3, 22, 44, 7]]
OTHERS = [[5, 9, 31, 22, 2, 7], [3, 9, 1, 1, 41, 8], [6, 19, 3, 20, 44, 9]]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}
HEADS = [{"site": "z", "layer": layer, "head": head} for layer, head in ((0, 1), (1, 0), (2, 3))]
PARTS = [*HEADS, {"site": "mlp_out", "layer": 1}]


def head(place: tuple[int, int]) -> dict[str, Any]:
    return {"site": "z", "layer": place[0], "head": place[1]}


BY_HAND = [head(hand.PREVIOUS), head(hand.INDUCTION)]
ALL_HEADS = [{"site": "z", "layer": layer} for layer in range(2)]


def check_by_hand(circuit: Any, **options: Any) -> Any:
    """The induction model, with activations from the prompt in which something else is repeated."""
    given: dict[str, Any] = {"how": "resample", "answer": hand.ANSWER, "wrong_answer": hand.WRONG}
    return run_circuit_check(hand.build(), circuit, hand.CLEAN, hand.CORRUPT, **given | options)


def test_the_two_heads_of_the_circuit_are_faithful_complete_and_each_is_needed() -> None:
    found = check_by_hand(BY_HAND)
    assert found.faithfulness().tolist() == pytest.approx([1], abs=1e-5)
    assert found.gap().tolist() == pytest.approx([0], abs=1e-4)
    assert [subset.removed for subset in found.subsets] == [(0,), (1,), (0, 1)]
    assert np.abs(found.incompleteness()).max() < 1e-4
    assert found.contribution()[0].tolist() == pytest.approx([10, 10], abs=1e-4)  # logit difference, +5 to -5
    assert found.names() == "heads 0.2 and 1.1"
    assert found.n_components == 10


@pytest.mark.parametrize("left", BY_HAND)
def test_a_circuit_that_lacks_one_of_them_is_broken(left: dict[str, Any]) -> None:
    found = check_by_hand([left])
    assert found.faithfulness().tolist() == pytest.approx([0], abs=1e-5)
    assert found.mean_faithfulness() == pytest.approx(0, abs=1e-5)
    assert np.abs(found.contribution()).max() < 1e-4


def test_a_head_that_does_nothing_is_not_needed() -> None:
    found = check_by_hand([*BY_HAND, head((1, 3))])
    assert found.faithfulness().tolist() == pytest.approx([1], abs=1e-5)
    assert found.contribution()[0].tolist() == pytest.approx([10, 10, 0], abs=1e-4)
    assert "head 1.3." in found.summary().splitlines()[-1]


def test_the_circuit_holds_under_means_too() -> None:
    """Means of slots are smaller than slots, which the last norm makes up for, so that a circuit may say more."""
    swaps = [[0, a, 7, b, 9, 3] for a, b in product((3, 5, 6, 8), repeat=2) if a != b]
    given: dict[str, Any] = {"answer": hand.ANSWER, "wrong_answer": hand.WRONG}
    both, one = (
        run_circuit_check(hand.build(), circuit, hand.CLEAN, swaps, **given) for circuit in (BY_HAND, BY_HAND[1:])
    )
    assert both.mean_faithfulness() == pytest.approx(1, abs=0.25)
    assert one.mean_faithfulness() < 0.1


@pytest.mark.parametrize("how", ["mean", "resample"])
def test_the_whole_model_is_faithful_and_complete_and_nothing_is_the_ablated_baseline(how: Any) -> None:
    model = zoo.model("llama")
    every = [{"site": site, "layer": layer} for site in ("z", "mlp_out") for layer in range(3)]
    whole = run_circuit_check(model, every, CLEAN, OTHERS, how=how, subsets=3, greedy=1, **GIVEN)
    assert whole.n_components == len(whole.circuit) == 15
    assert whole.faithfulness().tolist() == [1, 1, 1]
    assert not whole.incompleteness().any()
    nothing = run_circuit_check(model, [], CLEAN, OTHERS, how=how, **GIVEN)
    assert nothing.faithfulness().tolist() == [0, 0, 0]
    assert nothing.subsets == nothing.knockouts == ()
    assert nothing.contribution().shape == (3, 0)
    np.testing.assert_array_equal(nothing.ends["logit_diff"], whole.ends["logit_diff"][:, [0, 2, 2]])
    assert "Circuit of 0 of 15 components" in nothing.summary()


def ablated(model: Model, prompt: int, kept: list[dict[str, Any]], how: str, heads_alone: bool = False) -> float:
    """The logit difference with everything outside some components replaced, by plain hooks."""
    runs = []
    for ids in OTHERS if how == "mean" else [OTHERS[prompt]]:
        model.run(ids, {})
        runs.append(dict(model.kept))
    model.run(CLEAN[prompt], {})
    own = dict(model.kept)
    put = {}
    for place in own:
        site = place[0]
        if site not in ("z", "mlp_out") or (heads_alone and site == "mlp_out"):
            continue
        put[place] = torch.stack([run[place] for run in runs]).mean(0)
    # A kept component is whatever the run makes of it, so the layers are filled in one after the other.
    for place in sorted(put, key=lambda place: (place[1], place[0] != "z")):
        site, layer = place
        later = {other: value for other, value in put.items() if (other[1], other[0] != "z") < (layer, site != "z")}
        model.run(CLEAN[prompt], later)
        for cell in kept:
            if (cell["site"], cell["layer"]) == place:
                at = (slice(None), cell["head"]) if site == "z" else slice(None)
                put[place][at] = model.kept[place][at]
    logits = model.run(CLEAN[prompt], put)
    return float(logits[11] - logits[27])


@pytest.mark.parametrize("how", ["mean", "resample"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_every_value_equals_plain_forwards(name: str, how: Any) -> None:
    reference = Model(name)
    found = run_circuit_check(zoo.model(name), PARTS, CLEAN, OTHERS, how=how, subsets=15, **GIVEN)
    removed = [subset.removed for subset in found.subsets]
    assert len(removed) == 15
    every = [{"site": "z", "layer": layer, "head": head} for layer, head in product(range(3), range(4))]
    every += [{"site": "mlp_out", "layer": layer} for layer in range(3)]

    def close(value: float, prompt: int, kept: list[dict[str, Any]]) -> bool:
        wanted = ablated(reference, prompt, kept, how)
        return float(value) == pytest.approx(wanted, abs=3e-5 * max(1, abs(wanted)))

    for prompt in range(3):
        full, kept, empty = found.ends["logit_diff"][prompt]
        assert close(full, prompt, every)
        assert close(kept, prompt, PARTS)
        assert close(empty, prompt, [])
    for number in (0, 5, 14):
        out = [found.circuit[at] for at in removed[number]]
        model, circuit = found.completeness["logit_diff"][1, number]
        assert close(model, 1, [cell for cell in every if cell not in out])
        assert close(circuit, 1, [cell for cell in PARTS if cell not in out])
    for number, cell in enumerate(found.circuit):
        before, after = found.minimality["logit_diff"][2, number]
        assert close(before, 2, PARTS)
        assert close(after, 2, [other for other in PARTS if other != cell])


def test_with_heads_alone_mlps_are_part_of_every_circuit() -> None:
    found = run_circuit_check(zoo.model("gpt2"), HEADS, CLEAN, OTHERS, components="z", subsets=0, greedy=0, **GIVEN)
    assert found.n_components == 12
    mlps = [{"site": "mlp_out", "layer": layer} for layer in range(3)]
    wanted = ablated(Model("gpt2"), 0, [*HEADS, *mlps], "mean", heads_alone=True)
    assert float(found.ends["logit_diff"][0, 1]) == pytest.approx(wanted, abs=3e-5)


def test_searches_find_no_less_than_drawing_and_draws_follow_the_seed() -> None:
    model = zoo.model("gpt2")
    options: dict[str, Any] = {"how": "resample", "greedy": 2, "subsets": 4} | GIVEN
    found = run_circuit_check(model, PARTS, CLEAN, OTHERS, **options)
    assert [subset.found for subset in found.subsets[:4]] == ["random"] * 4
    again = run_circuit_check(model, PARTS, CLEAN, OTHERS, **options)
    assert found == again
    assert found.subsets != run_circuit_check(model, PARTS, CLEAN, OTHERS, seed=1, **options).subsets
    one_out = run_circuit_check(model, PARTS, CLEAN, OTHERS, **options | {"subsets": 15})
    singles = [n for n, subset in enumerate(one_out.subsets) if len(subset.removed) == 1]
    sizes = np.abs(one_out.incompleteness().mean(axis=0))
    searched = np.abs(found.incompleteness().mean(axis=0))[-1]
    assert found.subsets[-1].found == "greedy"
    assert searched >= sizes[singles].max() - 1e-6

    alone = np.abs(found.contribution().mean(axis=0))
    greedy = run_circuit_check(model, PARTS, CLEAN, OTHERS, minimality="greedy", **options)
    assert (np.abs(greedy.contribution().mean(axis=0)) >= alone - 1e-6).all()
    assert all(number not in out for number, out in enumerate(greedy.knockouts))
    chosen = run_circuit_check(model, PARTS, CLEAN, OTHERS, minimality=HEADS[:2], **options)
    assert chosen.knockouts == ((1,), (0,), (0, 1), (0, 1))


def test_partial_results_lead_to_the_whole_and_an_end_on_the_way_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"how": "resample", "greedy": 1, "subsets": 2, "minimality": "greedy", "max_rows": 4}
    model = zoo.model("gpt2")
    whole = run_circuit_check(model, PARTS, CLEAN, OTHERS, **options, **GIVEN)
    partial = list(circuit_check(model, PARTS, CLEAN, OTHERS, **options, **GIVEN))
    assert whole.complete
    assert not any(step.complete for step in partial)
    first = partial[0].ends["logit_diff"]
    np.testing.assert_array_equal(first[:, 0], whole.ends["logit_diff"][:, 0])
    assert np.isnan(first[:, 1:]).all()
    filled = [
        int(np.isfinite(step.ends["prob"]).sum() + np.isfinite(step.completeness["prob"]).sum()) for step in partial
    ]
    assert filled == sorted(filled)
    for step in partial:
        known = np.isfinite(step.ends["logit_diff"])
        np.testing.assert_array_equal(step.ends["logit_diff"][known], whole.ends["logit_diff"][known])
        assert whole.subsets[: len(step.subsets)] == step.subsets
        assert step.contribution().shape == (3, 4)
        assert "The check is not finished." in step.summary()
        assert len(step.to_frame()) == 3 * 6 * (2 + len(step.subsets) + 4)
    last = partial[-1]
    assert last.knockouts == whole.knockouts
    np.testing.assert_array_equal(last.minimality["prob"], whole.minimality["prob"])

    resume, batches = Access.resume, list[int]()

    def interrupted(*args: Any, **kwargs: Any) -> torch.Tensor:
        batches.append(1)
        if len(batches) == 6:
            raise KeyboardInterrupt
        return resume(*args, **kwargs)

    monkeypatch.setattr(Access, "resume", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_circuit_check(model, PARTS, CLEAN, OTHERS, **options, **GIVEN)
    kept = stopped.value.partial  # type: ignore[attr-defined]
    assert np.isfinite(kept.faithfulness()).all()
    assert any(kept == step for step in partial)


def test_the_table_and_the_words_say_what_the_arrays_hold() -> None:
    found = run_circuit_check(zoo.model("gpt2"), PARTS, CLEAN, OTHERS, subsets=2, greedy=0, **GIVEN)
    table = found.to_frame()
    rows = table[(table.metric == "logit_diff") & (table.prompt == 1)]
    assert rows.check.tolist() == ["faithfulness", "nothing", *["completeness"] * 2, *["minimality"] * 4]
    assert rows.difference.iloc[0] == pytest.approx(found.gap()[1])
    assert rows.difference.iloc[2:4].tolist() == pytest.approx(found.incompleteness()[1].tolist())
    assert rows.difference.iloc[4:].tolist() == pytest.approx(found.contribution()[1].tolist())
    assert set(table.metric) == {"logit_diff", "prob", "logprob", "kl", "rank", "loss"}
    words = found.summary()
    assert words.startswith(
        "Circuit of 4 of 15 components of GPT2LMHeadModel: heads 0.1, 1.0 and 2.3, MLP 1; all others"
    )
    low, high = found.faithfulness_interval()
    share = found.mean_faithfulness()
    assert low < share < high
    assert f"It keeps {share:.2f} of the gap (95% interval {low:.2f} to {high:.2f})" in words
    assert found.provenance.settings["put in"] == "the mean over 3 reference prompts, position by position"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"how": "zero"}, UnknownNameError, "unknown how 'zero'.* Valid hows: mean, resample"),
        ({"components": "mlp"}, UnknownNameError, "unknown component 'mlp': did you mean 'mlp_out'"),
        ({"components": ()}, SelectionError, "components is empty. Name what can be ablated"),
        ({"circuit": [(9, 6)]}, SelectionError, r"circuit holds \(9, 6\). A cell is a dictionary with its site"),
        ({"circuit": HEADS[0]}, SelectionError, "circuit is a dict. Pass a list of cells"),
        ({"circuit": [{"site": "z", "layer": 3}]}, SelectionError, "but layer of z runs from 0 to 2"),
        ({"circuit": [{"site": "q", "layer": 1, "head": 0}]}, SelectionError, "is no component that can be ablated"),
        (
            {"circuit": [HEADS[0] | {"pos": 3}]},
            SelectionError,
            "'pos': 3}, but a head or MLP is in or out at all positions together, .* Leave it out; run_group_patching",
        ),
        ({"components": "z"}, SelectionError, "{'site': 'mlp_out', 'layer': 1}, which is no component"),
        ({"minimality": [{"site": "mlp_out", "layer": 0}]}, SelectionError, "is no component of the circuit"),
        ({"subsets": -1}, ValueError, "subsets=-1 must be a whole number from 0 on"),
        ({"seed": 0.5}, ValueError, "seed=0.5 must be"),
        ({"reference": OTHERS[0]}, PromptError, "needs at least two reference prompts .*, but there is 1"),
        (
            {"how": "resample", "reference": [*OTHERS[:2], CLEAN[2]]},
            PromptError,
            "Prompt 2 and its reference prompt are the same, so that ablation would change nothing",
        ),
        ({"how": "resample", "reference": OTHERS[:2]}, PromptError, "3 prompts but 2 reference prompts. For how='re"),
        (
            {"how": "resample", "reference": [*OTHERS[:2], [1, 2]]},
            PromptError,
            "Prompt 2 has 6 tokens, but its reference prompt has 2",
        ),
    ],
)
def test_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    model = zoo.model("gpt2")
    run_circuit_check(model, [], CLEAN, OTHERS, **GIVEN)  # its probe runs are made

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Access, "read", fail)
    arguments: dict[str, Any] = {"circuit": PARTS, "reference": OTHERS} | GIVEN | options
    circuit, reference = arguments.pop("circuit"), arguments.pop("reference")
    with pytest.raises(error, match=text):
        run_circuit_check(model, circuit, CLEAN, reference, **arguments)


def test_ablation_that_changes_nothing_is_refused() -> None:
    same = [CLEAN[0], CLEAN[0]]
    with pytest.raises(NoGapError, match=r"scores the same logit_diff, .* with every component ablated, so no circuit"):
        run_circuit_check(zoo.model("gpt2"), PARTS, CLEAN[0], same, **GIVEN)
