"""Grids, groups and circuits that a server computes, where this package is not installed, against the same here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import nnsight
import numpy as np
import pytest
import torch
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import RemoteBackend

from interp_widgets import (
    CircuitResult,
    Receiver,
    run_ablation,
    run_causal_trace,
    run_circuit_check,
    run_group_patching,
    run_patching,
    run_path_patching,
)
from interp_widgets.experiments.circuit_check import circuit_check
from interp_widgets.experiments.group_patching import group_patching
from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.patching import patching
from interp_widgets.results.errors import (
    RemoteRunError,
    SelectionError,
)
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.patching import Status as CellStatus
from tests.remote.conftest import GIVEN, PAIR, PROMPTS, Watching, unique


def from_a_cell() -> Any:
    """A metric as a notebook defines it: in no module that could be imported."""

    def capped(logits: torch.Tensor, context: MetricContext) -> torch.Tensor:
        return logits[:, context.answer].clamp(max=3)

    return capped


@pytest.mark.parametrize(
    "asked",
    [
        {"sites": ("resid_pre", "resid_mid", "attn_out"), "metric": "kl"},
        {"sites": ("z", "k", "pattern", "mlp_post"), "direction": "noising", "neurons": range(9)},
        {"sites": "z", "by": "pos", "layers": [1, 2], "heads": [0, 3], "positions": [-1, -2]},
        {"metric": from_a_cell(), "max_rows": 3, "top_k": 2},
        {"metric": lambda logits: logits[:, 7]},
    ],
    ids=["streams", "heads", "heads by position", "own metric", "lambda"],
)
def test_a_grid_from_a_server_is_the_one_computed_here(
    far: TransformersModel, near: TransformersModel, host: str, asked: dict[str, Any]
) -> None:
    asked = GIVEN | asked
    there = run_patching(far, *PROMPTS, remote=Watching(host), **asked)
    here = run_patching(near, *PROMPTS, **asked)
    assert there == here
    assert there.provenance.forward_passes == here.provenance.forward_passes
    assert not far.dispatched


def test_other_experiments_run_there_too(far: TransformersModel, near: TransformersModel, host: str) -> None:
    def traced(model: TransformersModel, **where: Any) -> PatchingResult:
        return run_causal_trace(
            model, PAIR.clean, subject=PAIR.roles["IO"], samples=2, layers=[1, 3], metric="logit_diff", **GIVEN, **where
        )

    def ablated(model: TransformersModel, **where: Any) -> PatchingResult:
        asked = {"how": "mean", "reference": [PAIR.clean, PAIR.corrupt], "sites": "z"}
        return run_ablation(model, PAIR.clean, answer=PAIR.answer, **asked, **where)

    def sent(model: TransformersModel, **where: Any) -> PatchingResult:
        return run_path_patching(model, *PROMPTS, receivers=Receiver("final"), layers=[1], **GIVEN, **where)

    for run in (traced, ablated, sent):
        assert run(far, remote=Watching(host)) == run(near)


def test_estimates_arrive_before_exact_values(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked = GIVEN | {"preview": True, "sites": ("resid_pre", "z"), "max_rows": 8}
    here = list(patching(near, *PROMPTS, **asked))
    there = unique(patching(far, *PROMPTS, remote=Watching(host), **asked))
    assert there == here
    assert any(partial.estimates is not None and partial.remaining for partial in there)


GROUPS = {
    "two heads": [{"site": "z", "layer": 1, "head": 0}, {"site": "z", "layer": 2, "head": 3}],
    "an MLP": [{"site": "mlp_out", "layer": 0, "pos": -1}],
}
CIRCUIT = [{"site": "z", "layer": 1}, {"site": "mlp_out", "layer": 0}]
CHECKED: dict[str, Any] = GIVEN | {"how": "resample", "subsets": 3, "greedy": 1}


def test_groups_and_circuits_are_those_of_a_run_here(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    there = run_group_patching(far, *PROMPTS, GROUPS, remote=Watching(host), **GIVEN)
    here = run_group_patching(near, *PROMPTS, GROUPS, **GIVEN)
    assert there == here
    assert there.provenance.forward_passes == here.provenance.forward_passes
    checked = run_circuit_check(far, CIRCUIT, *PROMPTS, remote=Watching(host), **CHECKED)
    assert checked == run_circuit_check(near, CIRCUIT, *PROMPTS, **CHECKED)


def test_their_partial_results_arrive_one_by_one(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked = GIVEN | {"max_rows": 1}
    here = list(group_patching(near, *PROMPTS, GROUPS, **asked))
    assert unique(group_patching(far, *PROMPTS, GROUPS, remote=Watching(host), **asked)) == here
    assert [partial.remaining for partial in here] == [2, 1, 0]
    checks = list(circuit_check(near, CIRCUIT, *PROMPTS, max_rows=2, **CHECKED))
    there = unique(circuit_check(far, CIRCUIT, *PROMPTS, max_rows=2, remote=Watching(host), **CHECKED))
    assert there == checks
    assert len(checks) > 5


def test_errors_of_groups_and_circuits_are_those_of_a_run_here(far: TransformersModel, host: str) -> None:
    with pytest.raises(SelectionError, match="layer of z runs from 0 to 3"):
        run_group_patching(far, *PROMPTS, {"none": [{"site": "z", "layer": 4}]}, remote=Watching(host), **GIVEN)
    with pytest.raises(RemoteRunError, match=f"The connection to {host} was lost") as caught:
        run_circuit_check(far, CIRCUIT, *PROMPTS, remote=Watching(host, "drop"), max_rows=1, **CHECKED)
    partial: CircuitResult = caught.value.partial  # type: ignore[attr-defined]
    assert not partial.complete
    assert np.isfinite(partial.ends["logit_diff"][:, 0]).all()


def test_partial_results_arrive_one_by_one(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked = GIVEN | {"max_rows": 2, "sites": ("resid_pre", "attn_out")}
    here = list(patching(near, *PROMPTS, **asked))
    there = unique(patching(far, *PROMPTS, remote=Watching(host), **asked))
    assert len(there) > 10
    assert there == here


def test_neither_logits_nor_activations_travel(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that comes back for a cell is smaller than a tenth of its logits alone."""
    said: list[int] = []
    parse = RemoteBackend.parse
    monkeypatch.setattr(
        RemoteBackend, "parse", staticmethod(lambda message: said.append(len(message)) or parse(message))
    )
    result = run_patching(far, *PROMPTS, remote=Watching(host), sites="mlp_post", neurons=range(200), **GIVEN)
    cells = int((result.status == CellStatus.COMPUTED).sum())
    assert cells == 800
    assert sum(said) / cells < 0.1 * 4 * 1349


def test_a_server_that_computes_in_half_precision_by_default(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    asked = {"metric": lambda logits: logits @ torch.linspace(-1, 1, logits.shape[1]), "sites": ("resid_pre", "z")}
    there = run_patching(far, *PROMPTS, remote=Watching(host, "half precision"), **asked)
    assert there == run_patching(near, *PROMPTS, **asked)


def test_an_installed_package_travels_too(
    far: TransformersModel, near: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nnsight sends along what lies in the working directory, as this package does in its tests, but not what pip put
    elsewhere."""
    monkeypatch.setattr(nnsight.ndif, "_PULLED_ENV", True)
    monkeypatch.setattr(cloudpickle.cloudpickle, "_PICKLE_BY_VALUE_MODULES", set())
    metric = from_a_cell()
    metric.__annotations__["context"] = MetricContext
    there = run_patching(far, *PROMPTS, remote=Watching(host), metric=metric, **GIVEN)
    assert there == run_patching(near, *PROMPTS, metric=metric, **GIVEN)


def test_edits_on_the_model_go_along(far: TransformersModel, near: TransformersModel, host: str, folder: Path) -> None:
    def silence(model: TransformersModel) -> TransformersModel:
        with model.edit() as (_, edited):
            edited.transformer.h[1].mlp.output = torch.zeros_like(edited.transformer.h[1].mlp.output)
        return edited

    asked = GIVEN | {"sites": "attn_out"}
    there = run_patching(silence(far), *PROMPTS, remote=Watching(host), **asked)
    here = run_patching(silence(near), *PROMPTS, **asked)
    assert there == here
    assert not np.array_equal(here.values["prob"], run_patching(near, *PROMPTS, **asked).values["prob"])
