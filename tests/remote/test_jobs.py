"""A job on a server: what it says while it waits and runs, its errors, and what is left of one that is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight, TransformersModel
from nnsight.modeling import huggingface
from nnsight.schema.config import CONFIG
from nnsight.schema.response import Status

from interp_widgets import (
    run_patching,
    show_patching,
)
from interp_widgets.experiments.patching import patching
from interp_widgets.experiments.remote import RemoteSteps
from interp_widgets.models import shipping
from interp_widgets.results.errors import (
    ModelError,
    NoGapError,
    PromptError,
    RemoteRunError,
    SiteError,
    UnknownNameError,
)
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.patching import Status as CellStatus
from tests.remote.conftest import GIVEN, PROMPTS, Watching


def of_this_module(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 7]


def test_the_steps_say_how_the_job_stands_while_they_wait(far: TransformersModel, host: str) -> None:
    steps = patching(far, *PROMPTS, remote=Watching(host), **GIVEN)
    assert isinstance(steps, RemoteSteps)
    notes = [steps.note]
    while not steps.wait():
        notes.append(steps.note)
    told = list(dict.fromkeys(filter(None, [*notes, steps.note])))
    assert f"in the queue at {host}: You are number 1." in told
    assert told[-1] == f"running at {host}"
    assert steps.wait()  # nothing is skipped, however often one asks
    assert next(steps) == next(patching(far, *PROMPTS, remote=Watching(host), **GIVEN))
    steps.close()


def test_one_job_whose_states_are_told_in_order(far: TransformersModel, host: str) -> None:
    backend = Watching(host)
    run_patching(far, *PROMPTS, remote=backend, **GIVEN)
    states = [Status.RECEIVED, Status.QUEUED, Status.QUEUED, Status.RUNNING, Status.COMPLETED]
    assert [status for status, _ in backend.seen] == states
    assert backend.seen[2] == (Status.QUEUED, "You are number 1.")


def test_what_a_metric_prints_is_passed_on(far: TransformersModel, host: str) -> None:
    def talkative(logits: torch.Tensor) -> torch.Tensor:
        print("measured", logits.shape[1], "logits")
        return logits[:, 7]

    backend = Watching(host)
    run_patching(far, *PROMPTS, remote=backend, metric=talkative, layers=[3], positions=[-1])
    assert (Status.LOG, "measured 1349 logits") in backend.seen


def test_an_address_and_a_name_from_the_hub(
    far: TransformersModel, host: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(huggingface._ID_CACHE, str(folder), "somebody/model")
    view = show_patching(far, *PROMPTS, remote=host, **GIVEN)
    assert view.result.complete
    monkeypatch.setattr(CONFIG.API, "HOST", host)
    assert run_patching(far, *PROMPTS, remote=True, **GIVEN) == view.result


@pytest.mark.parametrize(
    ("prompts", "asked", "error", "message"),
    [
        (("one two", "one two three"), {}, PromptError, "so their positions cannot be matched"),
        (PROMPTS, {"sites": "resid_pst"}, UnknownNameError, "did you mean 'resid_post'"),
        (PROMPTS, {"sites": "z", "by": "neuron"}, SiteError, "z has none"),
        (PROMPTS, {"metric": lambda logits: 0 * logits[:, 0]}, NoGapError, "both runs score the same"),
        (PROMPTS, {"top_k": 0}, RemoteRunError, "top_k=0 must be a whole number from 1 on"),
    ],
)
def test_errors_are_those_of_a_run_here(
    far: TransformersModel, host: str, prompts: tuple[str, str], asked: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        run_patching(far, *prompts, remote=Watching(host), **asked)


def test_warnings_are_those_of_a_run_here(far: TransformersModel, host: str) -> None:
    with pytest.warns(UserWarning, match="effects are ratios to next to nothing"):
        run_patching(far, *PROMPTS, remote=Watching(host), metric=lambda logits: 1e6 + logits[:, 7], **GIVEN)


@pytest.mark.parametrize("how", ["drop", "close"])
def test_a_lost_connection_keeps_what_arrived(far: TransformersModel, host: str, how: str) -> None:
    with pytest.raises(RemoteRunError, match=f"The connection to {host} was lost") as caught:
        run_patching(far, *PROMPTS, remote=Watching(host, how), max_rows=4, **GIVEN)
    partial: PatchingResult = caught.value.partial  # type: ignore[attr-defined]
    assert (partial.status == CellStatus.COMPUTED).sum() == 4
    whole = run_patching(far, *PROMPTS, remote=Watching(host), **GIVEN)
    done = partial.status == CellStatus.COMPUTED
    np.testing.assert_allclose(partial.value()[done], whole.value()[done], atol=1e-5)


def test_an_error_on_the_server_names_versions_that_differ(far: TransformersModel, host: str) -> None:
    with pytest.raises(RemoteRunError, match="CUDA out of memory on the server") as caught:
        run_patching(far, *PROMPTS, remote=Watching(host, "break"), **GIVEN)
    assert "nnsight 0.8.0 there and 0.8.1 here" in str(caught.value)
    assert "Python 3.10.1 there" in str(caught.value)
    assert "torch" not in str(caught.value)


def test_a_key_that_is_refused(far: TransformersModel, host: str) -> None:
    with pytest.raises(RemoteRunError, match="This API key is not known"):
        run_patching(far, *PROMPTS, remote=Watching(host, "unknown"), **GIVEN)


def test_a_server_that_keeps_the_model_apart(far: TransformersModel, host: str) -> None:
    with pytest.raises(ModelError, match="a key that is trusted"):
        run_patching(far, *PROMPTS, remote=Watching(host, "model apart"), **GIVEN)


def test_no_server(far: TransformersModel) -> None:
    with pytest.raises(RemoteRunError, match=r"9 could not be made: .*refused"):
        run_patching(far, *PROMPTS, remote=Watching("http://127.0.0.1:9"), **GIVEN)


def test_what_names_no_server_or_no_model(far: TransformersModel, near: TransformersModel) -> None:
    with pytest.raises(RemoteRunError, match=r"remote='local' names no server. Pass True for NDIF"):
        run_patching(far, *PROMPTS, remote="local", **GIVEN)
    with pytest.raises(ModelError, match="Pass nnsight's TransformersModel of a repository id"):
        run_patching(NNsight(near._module), *PROMPTS, remote=True, **GIVEN)


def test_a_metric_from_a_module_that_the_server_does_not_have(far: TransformersModel, host: str) -> None:
    with pytest.raises(RemoteRunError, match=r"No module named 'tests'. A module of your own goes along after nnsight"):
        run_patching(far, *PROMPTS, remote=Watching(host), metric=of_this_module)


def test_closing_a_run_leaves_the_model_usable(far: TransformersModel, host: str) -> None:
    steps = patching(far, *PROMPTS, remote=Watching(host), max_rows=4, **GIVEN)
    next(steps)
    steps.close()
    assert run_patching(far, *PROMPTS, remote=Watching(host), layers=[0], **GIVEN).complete


def test_a_parcel_holds_what_experiments_need_and_no_more() -> None:
    parcel = shipping.pack()
    assert {name.split("/")[1] for name in parcel.sources} == {"__init__.py", "results", "models", "experiments"}
    changed = shipping.Parcel(parcel.sources | {"interp_widgets/__init__.py": "# changed"})
    assert changed.digest != parcel.digest  # nnsight keeps what it read under a file's name
