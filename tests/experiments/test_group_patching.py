"""Groups patched together: against single cells, plain hooks and the circuit that is known, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets.experiments.group_patching import group_patching, run_group_patching
from interp_widgets.experiments.patching import run_patching
from interp_widgets.models.access import Access
from interp_widgets.results.errors import NoGapError, SelectionError, SiteError, UnknownNameError
from tests.experiments import induction_by_hand as hand
from tests.experiments import zoo
from tests.experiments.path_reference import Model

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}
GROUPS: dict[str, list[dict[str, Any]]] = {
    "heads": [{"site": "z", "layer": 0, "head": 1}, {"site": "z", "layer": 2, "head": 0}],
    "an MLP and a head": [{"site": "mlp_out", "layer": 1}, {"site": "z", "layer": 1, "head": 2}],
    "one place": [{"site": "z", "layer": 1, "head": 0, "pos": 4}, {"site": "mlp_out", "layer": 0, "pos": -2}],
    "none": [],
}


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "bloom"])
def test_every_group_equals_one_plain_forward(name: str, direction: Any) -> None:
    model = Model(name)
    host, donor = (CORRUPT, CLEAN) if direction == "denoising" else (CLEAN, CORRUPT)
    found = run_group_patching(zoo.model(name), CLEAN, CORRUPT, GROUPS, direction=direction, **GIVEN)
    model.run(donor, {})
    source = dict(model.kept)
    for number, cells in enumerate(GROUPS.values()):
        put: dict[Any, torch.Tensor] = {}
        for cell in sorted(cells, key=lambda cell: (cell["layer"], cell["site"] != "z")):
            place = (cell["site"], cell["layer"])
            model.run(host, put)
            value = put.get(place, model.kept[place]).clone()
            at = (cell.get("pos", slice(None)), cell.get("head", slice(None)))
            value[at] = source[place][at]
            put[place] = value
        logits = model.run(host, put)
        wanted = float(logits[11] - logits[27])
        assert float(found.value()[0, number]) == pytest.approx(wanted, abs=2e-5 * max(1, abs(wanted)))
    assert found.effect()[0, 3] == 0
    assert found.groups["one place"][1] == {"site": "mlp_out", "layer": 0, "pos": 4}


def test_groups_of_one_are_cells_of_the_grid() -> None:
    pairs = [CLEAN, [8, 9, 13, 1, 4, 7]], [CORRUPT, [8, 9, 3, 1, 4, 7]]
    grid = run_patching(zoo.model("llama"), *pairs, sites="v", **GIVEN)
    groups = {f"{at}": [grid.panels[0].name(at // 2, at % 2)] for at in range(6)}
    found = run_group_patching(zoo.model("llama"), *pairs, groups, **GIVEN)
    np.testing.assert_allclose(found.effect(), grid.effect().reshape(2, 6), atol=1e-5)
    np.testing.assert_allclose(found.mean_effect(), grid.mean_effect().reshape(6), atol=1e-5)
    for mine, its in zip(found.interval(), grid.interval(), strict=True):
        np.testing.assert_allclose(mine, its.reshape(6), atol=1e-4)


def test_either_head_of_the_circuit_does_it_alone_and_both_do_no_more() -> None:
    cells = {
        name: {"site": "z", "layer": place[0], "head": place[1]}
        for name, place in (("previous", hand.PREVIOUS), ("induction", hand.INDUCTION))
    }
    groups = {name: [cell] for name, cell in cells.items()} | {"both": list(cells.values())}
    others = [{"site": "z", "layer": layer, "head": head} for layer in range(2) for head in range(4)]
    groups["the rest"] = [cell for cell in others if cell not in cells.values()]
    found = run_group_patching(
        hand.build(), hand.CLEAN, hand.CORRUPT, groups, answer=hand.ANSWER, wrong_answer=hand.WRONG
    )
    assert found.effect()[0].tolist() == pytest.approx([1, 1, 1, 0], abs=1e-5)


def drain(steps: Any) -> tuple[list[Any], Any]:
    partial: list[Any] = []
    try:
        while True:
            partial.append(next(steps))
    except StopIteration as stop:
        return partial, stop.value


def test_partial_results_fill_up_and_end_as_the_whole() -> None:
    pairs = [CLEAN, [8, 9, 13, 1, 4, 7]], [CORRUPT, [8, 9, 3, 1, 4, 7]]
    partial, whole = drain(group_patching(zoo.model("gpt2"), *pairs, GROUPS, max_rows=1, **GIVEN))
    assert [step.remaining for step in partial] == [6, 5, 4, 3, 2, 1, 0]
    assert (partial[0].effect()[:, 3] == 0).all()  # nothing is replaced, so nothing is to be run
    for step in partial:
        known = np.isfinite(step.value())
        np.testing.assert_array_equal(step.value()[known], whole.value()[known])
        assert step.baselines["prob"].tolist() == whole.baselines["prob"].tolist()
    together = run_group_patching(zoo.model("gpt2"), *pairs, GROUPS, **GIVEN)
    np.testing.assert_allclose(whole.value(), together.value(), atol=2e-5)


def test_an_interrupt_keeps_the_groups_that_were_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model, resume = zoo.model("gpt2"), Access.resume
    whole = run_group_patching(model, CLEAN, CORRUPT, GROUPS, max_rows=1, **GIVEN)
    batches: list[int] = []

    def interrupted(*args: Any, **kwargs: Any) -> torch.Tensor:
        batches.append(1)
        if len(batches) == 3:
            raise KeyboardInterrupt
        return resume(*args, **kwargs)

    monkeypatch.setattr(Access, "resume", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_group_patching(model, CLEAN, CORRUPT, GROUPS, max_rows=1, **GIVEN)
    kept = stopped.value.partial  # type: ignore[attr-defined]
    assert kept.remaining == 1
    known = np.isfinite(kept.value())
    np.testing.assert_array_equal(kept.value()[known], whole.value()[known])


def test_table_words_and_equality() -> None:
    found = run_group_patching(zoo.model("gpt2"), CLEAN, CORRUPT, GROUPS, **GIVEN)
    table = found.to_frame()
    assert len(table) == 4 * 6
    row = table[(table.metric == "prob") & (table.group == "heads")].iloc[0]
    assert row.effect == found.effect("prob")[0, 0]
    assert row.value == found.values["prob"][0, 0]
    lines = found.summary().splitlines()
    assert lines[0].startswith("Groups patched in the corrupt run of GPT2LMHeadModel. logit difference +")
    strongest = int(np.abs(found.effect()[0]).argmax())
    assert lines[1].startswith(f"{found.names[strongest]}, ")
    assert lines[-1] == "none, 0 cells: effect +0.00."
    assert found == run_group_patching(zoo.model("gpt2"), CLEAN, CORRUPT, GROUPS, **GIVEN)
    assert found != run_group_patching(zoo.model("gpt2"), CLEAN, CORRUPT, {"heads": GROUPS["heads"]}, **GIVEN)
    with pytest.raises(UnknownNameError, match="unknown metric 'probs': did you mean 'prob'"):
        found.effect("probs")


@pytest.mark.parametrize(
    ("groups", "error", "text"),
    [
        ({}, SelectionError, "groups is empty. Map names to lists of cells"),
        ([{"site": "z", "layer": 0}], SelectionError, "groups is a list. Map names"),
        ({"a": {"site": "z", "layer": 0}}, SelectionError, "group 'a' is a dict. Pass a list of cells"),
        ({"a": [{"site": "z"}]}, SelectionError, "group 'a' holds {'site': 'z'}. A cell is a dictionary with its site"),
        ({"a": [{"site": "z", "layer": 0, "position": 1}]}, SelectionError, "and pos if not all positions are meant"),
        ({"a": [{"site": "zz", "layer": 0}]}, UnknownNameError, "unknown site 'zz'"),
        ({"a": [{"site": "z", "layer": 3}]}, SelectionError, "but layer of z runs from 0 to 2"),
        ({"a": [{"site": "k", "layer": 0, "head": 2}]}, SelectionError, "but head of k runs from 0 to 1"),
        ({"a": [{"site": "mlp_out", "layer": 0, "head": 0}]}, SelectionError, "but mlp_out has no heads. Leave it out"),
        (
            {"a": [{"site": "mlp_post", "layer": 0, "neuron": 48}]},
            SelectionError,
            "neuron of mlp_post runs from 0 to 47",
        ),
        ({"a": [{"site": "resid_pre", "layer": 0, "pos": 6}]}, SelectionError, "pos of resid_pre runs from 0 to 5"),
    ],
)
def test_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, groups: Any, error: type[Exception], text: str
) -> None:
    model = zoo.model("llama")
    run_group_patching(model, CLEAN, CORRUPT, {"a": [{"site": "z", "layer": 0}]}, **GIVEN)  # its probe runs are made

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Access, "read", fail)
    with pytest.raises(error, match=text):
        run_group_patching(model, CLEAN, CORRUPT, groups, **GIVEN)


def test_what_the_model_lacks_is_refused_by_name() -> None:
    with pytest.raises(SiteError, match="resid_mid does not exist in GPTNeoXForCausalLM"):
        run_group_patching(zoo.model("gpt_neox"), CLEAN, CORRUPT, {"a": [{"site": "resid_mid", "layer": 0}]}, **GIVEN)
    with pytest.raises(NoGapError, match="both runs score the same"):
        run_group_patching(zoo.model("gpt2"), CLEAN, CORRUPT, GROUPS, metric=lambda logits: logits[:, 0] * 0, **GIVEN)
