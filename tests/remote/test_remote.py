"""Grids that are computed on a server, where this package is not installed, against the same grids here."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import nnsight
import numpy as np
import pytest
import torch
from nnsight import NNsight, TransformersModel
from nnsight.intervention.backends.remote import RemoteBackend
from nnsight.modeling import huggingface
from nnsight.schema.config import CONFIG
from nnsight.schema.response import ResponseModel, Status
from transformers import PreTrainedTokenizerFast

from interp_widgets import (
    CircuitResult,
    Receiver,
    run_ablation,
    run_attention,
    run_attribution,
    run_causal_trace,
    run_circuit_check,
    run_features,
    run_group_patching,
    run_head_circuits,
    run_head_scores,
    run_latent_cards,
    run_lens,
    run_memories,
    run_patching,
    run_path_patching,
    run_top_examples,
    show_head_circuits,
    show_patching,
    teaching,
)
from interp_widgets.experiments.circuit_check import circuit_check
from interp_widgets.experiments.group_patching import group_patching
from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.patching import patching
from interp_widgets.experiments.remote import RemoteSteps
from interp_widgets.models import shipping
from interp_widgets.results.errors import (
    ModelError,
    NoGapError,
    PromptError,
    RemoteRunError,
    ResultError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.patching import Status as CellStatus
from interp_widgets.views.head_circuits import HeadCircuitView
from interp_widgets.views.patching_grid import PatchingGrid

PAIR = teaching.prompts("ioi", n=1)[0]
PROMPTS = (PAIR.clean, PAIR.corrupt)
GIVEN: dict[str, Any] = {"answer": PAIR.answer, "wrong_answer": PAIR.wrong_answer}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """nnsight draws its status line whether somebody looks or not."""
    before, CONFIG.APP.REMOTE_LOGGING = CONFIG.APP.REMOTE_LOGGING, False
    yield
    CONFIG.APP.REMOTE_LOGGING = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = teaching.load()
    model._module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[str]:
    site_packages = Path(torch.__file__).parents[1]
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("server.py")), str(site_packages), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture(scope="module")
def far(folder: Path) -> TransformersModel:
    """The model as one has it who has no room for its weights."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TransformersModel(str(folder), task="text-generation", tokenizer=tokenizer)


@pytest.fixture(scope="module")
def near(folder: Path) -> TransformersModel:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TransformersModel(str(folder), task="text-generation", tokenizer=tokenizer, dispatch=True)


class Watching(RemoteBackend):
    """A backend of one's own, which remembers what it was told."""

    def __init__(self, host: str, key: str = "") -> None:
        super().__init__("the server has one model:only", host=host, api_key=key)
        self.seen: list[tuple[Status, str]] = []

    def note(self, response: ResponseModel) -> bool:
        self.seen.append((response.status, response.description))
        return bool(super().note(response))


def from_a_cell() -> Any:
    """A metric as a notebook defines it: in no module that could be imported."""

    def capped(logits: torch.Tensor, context: MetricContext) -> torch.Tensor:
        return logits[:, context.answer].clamp(max=3)

    return capped


def of_this_module(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 7]


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


def test_latents_on_text_are_those_of_a_run_here(far: TransformersModel, near: TransformersModel, host: str) -> None:
    directions = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    asked: dict[str, Any] = {"site": "resid_post", "layer": 1}
    there = run_features(far, PAIR.clean, directions, against=PAIR.corrupt, latents=[3], remote=Watching(host), **asked)
    here = run_features(near, PAIR.clean, directions, against=PAIR.corrupt, latents=[3], **asked)
    assert there.texts == here.texts
    assert there.latents.tolist() == here.latents.tolist()
    np.testing.assert_allclose(there.activations, here.activations, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(there.column(3), here.column(3), rtol=1e-4, atol=1e-4)
    found, own = (
        run_top_examples(model, directions, list(PROMPTS), k=1, **asked, **options)
        for model, options in ((far, {"remote": Watching(host)}), (near, {}))
    )
    assert found.documents.tolist() == own.documents.tolist()
    assert found.ids.tolist() == own.ids.tolist()
    cards, own_cards = (
        run_latent_cards(model, directions, [1, 3], text=PAIR.clean, corpus=corpus, **asked, **options)
        for model, corpus, options in ((far, found, {"remote": Watching(host)}), (near, own, {}))
    )
    for card, own_card in zip(cards, own_cards, strict=True):
        assert (card.latent, card.written_at) == (own_card.latent, own_card.written_at)
        assert [word.token for word in card.promotes or ()] == [word.token for word in own_card.promotes or ()]
        assert [link.component for link in card.feeds or ()] == [link.component for link in own_card.feeds or ()]
        assert [len(example.tokens) for example in card.examples or ()] == [
            len(example.tokens) for example in own_card.examples or ()
        ]
    with pytest.raises(PromptError, match=r"corpus is a generator, which cannot travel to a server\. Pass a list"):
        run_latent_cards(far, directions, 1, corpus=(text for text in PROMPTS), remote=Watching(host), **asked)
    with pytest.raises(PromptError, match="The text is empty"):
        run_features(far, "", directions, remote=Watching(host), **asked)


def test_memories_are_those_of_a_run_here(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked: dict[str, Any] = GIVEN | {"corpus": list(PROMPTS), "k": 1, "top": 3}
    there = run_memories(far, PAIR.clean, remote=Watching(host), **asked)
    here = run_memories(near, PAIR.clean, **asked)
    assert [memory.name for memory in there.memories] == [memory.name for memory in here.memories]
    assert [memory.triggers for memory in there.memories] == [memory.triggers for memory in here.memories]
    np.testing.assert_allclose(there.contributions, here.contributions, rtol=1e-4, atol=1e-5)
    assert there.total == pytest.approx(here.total, abs=1e-4)


def test_lens_and_attribution_are_those_of_a_run_here(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    names = [PAIR.answer, PAIR.wrong_answer]
    there = run_lens(far, PAIR.clean, names, corrupt=PAIR.corrupt, remote=Watching(host))
    here = run_lens(near, PAIR.clean, names, corrupt=PAIR.corrupt)
    np.testing.assert_allclose(there.logprobs, here.logprobs, rtol=1e-3, atol=1e-3)
    assert there.top(0, -1, -1)[0][0] == here.top(0, -1, -1)[0][0]
    opened: dict[str, Any] = {"by_source": [(3, 3)], "neurons": 3}
    found = run_attribution(far, PAIR.clean, *names, **opened, remote=Watching(host))
    own = run_attribution(near, PAIR.clean, *names, **opened)
    for name in ("contributions", "weights"):
        there_, here_ = (getattr(result.sources[3, 3], name) for result in (found, own))
        np.testing.assert_allclose(there_, here_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.neurons[3].contributions, own.neurons[3].contributions, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.contributions, own.contributions, rtol=1e-3, atol=1e-3)
    assert found.components == own.components


def test_patterns_and_scores_of_heads_are_those_of_a_run_here(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    there = run_attention(far, PAIR.clean, corrupt=PAIR.corrupt, layers=[1, 3], remote=Watching(host))
    here = run_attention(near, PAIR.clean, corrupt=PAIR.corrupt, layers=[1, 3])
    assert (there.prompts, there.layers, there.complete) == (here.prompts, (1, 3), True)
    np.testing.assert_allclose(there.difference(3, 3), here.difference(3, 3), atol=1e-5)
    asked: dict[str, Any] = {"answer": PAIR.answer, "wrong_answer": PAIR.wrong_answer, "n_sequences": 4}
    found = run_head_scores(far, PAIR.clean, remote=Watching(host), **asked)
    own = run_head_scores(near, PAIR.clean, **asked)
    assert found.names == own.names
    for name in own.names:
        np.testing.assert_allclose(found.score(name), own.score(name), atol=1e-3)


def test_circuits_of_heads_are_those_of_a_run_here(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked: dict[str, Any] = {"layers": [1, 3], "vocabulary": [(3, 1)]}
    there = run_head_circuits(far, PAIR.clean, remote=Watching(host), **asked)
    here = run_head_circuits(near, PAIR.clean, **asked)
    assert (there.tokens, there.layers, there.complete) == (here.tokens, (1, 3), True)
    for name in ("qk", "ov", "eigenvalues", "by_offset"):
        mine, own = getattr(there, name), getattr(here, name)
        np.testing.assert_allclose(mine, own, rtol=1e-3, atol=1e-4 * float(np.abs(own).max()))
    for one, other in zip(there.extremes, here.extremes, strict=True):
        assert one.highest[0].first == other.highest[0].first
        assert one.highest[0].value == pytest.approx(other.highest[0].value, rel=1e-3)


@pytest.mark.parametrize(("layer", "shown"), [(3, {"layer": 3, "head": 1, "token": None}), (9, None)])
def test_a_head_is_chosen_before_the_server_has_sent_anything(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch, layer: int, shown: Any
) -> None:
    async def notebook() -> HeadCircuitView:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_head_circuits(far, PAIR.clean, layer, 1, layers=[1, 3], remote=Watching(host))
        assert view.get_state(["spec", "selected"]) == {
            "spec": {},
            "selected": {"layer": layer, "head": 1, "token": None},
        }
        assert view.job._task is not None
        await view.job._task
        return view

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        view = asyncio.run(notebook())
    assert view.selected == shown
    assert view.result.complete
    if shown:  # the vocabulary is looked through there too
        assert [found.circuit for found in view.vocabulary()] == ["qk", "ov"]
        assert all(found.share == 1 and len(found.highest) == 20 for found in view.result.extremes)
    said = [str(warning.message) for warning in caught if "head that copies most" in str(warning.message)]
    assert said == (
        [] if shown else ["There is no layer 9 here: 1, 3 were asked for. The head that copies most is shown."]
    )


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


def unique(steps: Any) -> list[Any]:
    """The steps of a run without those in between that only give the caller a turn."""
    found: list[Any] = []
    for partial in steps:
        if not found or partial is not found[-1]:
            found.append(partial)
    return found


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


def test_partial_results_arrive_one_by_one(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked = GIVEN | {"max_rows": 2, "sites": ("resid_pre", "attn_out")}
    here = list(patching(near, *PROMPTS, **asked))
    there = unique(patching(far, *PROMPTS, remote=Watching(host), **asked))
    assert len(there) > 10
    assert there == here


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


def test_an_address_and_a_name_from_the_hub(
    far: TransformersModel, host: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(huggingface._ID_CACHE, str(folder), "somebody/model")
    view = show_patching(far, *PROMPTS, remote=host, **GIVEN)
    assert view.result.complete
    monkeypatch.setattr(CONFIG.API, "HOST", host)
    assert run_patching(far, *PROMPTS, remote=True, **GIVEN) == view.result


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


def watched(monkeypatch: pytest.MonkeyPatch, far: TransformersModel, *prompts: str, **asked: Any) -> PatchingGrid:
    """Show a grid where somebody watches, look at it while it waits, and let it go on to its end."""

    async def notebook() -> PatchingGrid:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_patching(far, *prompts, **asked, **GIVEN)
        assert view.get_state(["spec", "arrays"]) == {"spec": None, "arrays": None}
        with pytest.raises(ResultError, match=r"no result yet \(.* at http.*\). `view.result` waits for it"):
            _ = view.partial
        assert " at http" in repr(view)
        assert view.job._task is not None
        await view.job._task
        return view

    return asyncio.run(notebook())


def test_a_view_opens_while_the_job_is_in_the_queue_and_tells_of_it(
    far: TransformersModel, near: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str | None] = []
    send = PatchingGrid.send_state

    def told(view: PatchingGrid, key: Any = None) -> None:
        if key == "job":
            notes.append(view.job.status()["note"])
        send(view, key)

    monkeypatch.setattr(PatchingGrid, "send_state", told)
    view = watched(monkeypatch, far, *PROMPTS, remote=Watching(host), max_rows=4)
    assert f"in the queue at {host}: You are number 1." in notes
    assert notes[-2:] == [f"running at {host}", None]
    waiting = notes[: notes.index(f"running at {host}")]
    assert len(waiting) == len(set(waiting))  # each is told once, however long it lasts
    assert view.result == run_patching(near, *PROMPTS, max_rows=4, **GIVEN)
    state = view.get_state(["spec", "arrays", "metric"])
    assert len(state["spec"]["panels"]) == 1
    assert state["arrays"]["status"]["shape"] == list(view.result.status.shape)
    assert state["metric"] == "logit_diff"


def test_what_the_server_refuses_is_said_in_the_view_and_by_its_result(
    far: TransformersModel, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = watched(monkeypatch, far, "one two", "one two three", remote=Watching(host))
    assert view.job.state == "failed"
    assert str(view.job.status()["error"]).startswith("PromptError: ")
    with pytest.raises(PromptError, match="so their positions cannot be matched"):
        _ = view.result
    for use in (view.figure, view.code, view.snapshot, lambda: view.to_html(tmp_path / "page.html")):
        with pytest.raises(ResultError, match=r"there is no result yet .*positions cannot be matched"):
            use()
    view.close()


def test_a_head_by_position_waits_for_the_server_without_holding_the_notebook(
    far: TransformersModel, near: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head: Any = {"site": "z", "layer": 2, "head": 1}

    async def notebook() -> tuple[PatchingGrid, int]:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_patching(far, *PROMPTS, remote=Watching(host), sites="z", layers=2, **GIVEN)
        assert view.job._task is not None
        await view.job._task
        view._on_message(None, {"kind": "request", "id": "1", "name": "by_position", "cell": head}, [])
        await asyncio.sleep(0)
        (strip,) = view.strips
        assert strip.job._task is not None
        turns = 0
        while not strip.job._task.done():
            turns += strip.job.state == "running" and not np.isfinite(strip.partial.value()).any()
            await asyncio.sleep(0.001)
        return view, turns

    view, turns = asyncio.run(notebook())
    assert turns > 1
    assert view.strips[0].result == run_patching(near, *PROMPTS, sites="z", layers=2, heads=1, by="pos", **GIVEN)


def test_what_can_be_known_before_the_queue_is_raised_at_once(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RemoteRunError, match="This API key is not known"):
        watched(monkeypatch, far, *PROMPTS, remote=Watching(host, "unknown"))
    with pytest.raises(RemoteRunError, match="names no server"):
        watched(monkeypatch, far, *PROMPTS, remote="local")


def test_a_view_that_loses_its_server_keeps_what_arrived(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def notebook() -> PatchingGrid:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_patching(far, *PROMPTS, remote=Watching(host, "drop"), max_rows=4, **GIVEN)
        assert view.job._task is not None
        await view.job._task
        return view

    view = asyncio.run(notebook())
    assert view.job.state == "failed"
    assert isinstance(view.job.error, RemoteRunError)
    assert (view.partial.status == CellStatus.COMPUTED).sum() == 4


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
