"""The printed lines compute the cell that they stand for, run as a script."""

from __future__ import annotations

import contextlib
import functools
import io
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight, TransformersModel

from interp_widgets.experiments.ablation import run_ablation
from interp_widgets.experiments.causal_trace import run_causal_trace
from interp_widgets.experiments.patching import run_patching
from interp_widgets.experiments.path_patching import run_path_patching
from interp_widgets.experiments.receivers import Receiver
from interp_widgets.results.errors import ResultError
from interp_widgets.results.patching import PatchingResult, Status
from interp_widgets.views.patching_grid import PatchingGrid
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22]
CORRUPT = [5, 9, 31, 22]
ALL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
RESID = {"site": "resid_pre", "layer": 1, "pos": 2}
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}


def printed(
    result: PatchingResult, cell: Mapping[str, Any], metric: str = "logit_diff", pair: int | None = None
) -> str:
    """The lines of a cell, as a view prints them."""
    with PatchingGrid(result) as view:
        view.metric, view.pair = metric, pair
        return view.code(dict(cell))


def run(code: str, folder: Path, **names: Any) -> float:
    script = folder / f"cell{len(list(folder.iterdir()))}.py"  # nnsight reads the source of a file once
    script.write_text(code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script), init_globals=names)
    return float(out.getvalue())


def check(
    result: PatchingResult, folder: Path, model: Any, metric: str = "logit_diff", pair: int | None = None
) -> None:
    """One cell of every panel, not the first of anything."""
    for number, panel in enumerate(result.panels):
        row, column = len(panel.lines) // 2 + 1, min(2, panel.width(result.length) - 1)
        check_cell(result, folder, model, (number, min(row, len(panel.lines) - 1), column), metric, pair)


def check_all(result: PatchingResult, folder: Path, model: Any, metric: str = "logit_diff") -> None:
    """Every cell that there is."""
    for number, panel in enumerate(result.panels):
        for row in range(len(panel.lines)):
            for column in np.flatnonzero(result.status[0, number, row] != Status.LEFT_OUT).tolist():
                check_cell(result, folder, model, (number, row, column), metric)


def check_cell(
    result: PatchingResult,
    folder: Path,
    model: Any,
    cell: tuple[int, int, int],
    metric: str = "logit_diff",
    pair: int | None = None,
) -> None:
    """The printed value is the cell's: of a pair, or of the mean where the lines are about the mean."""
    number, row, column = cell
    name = result.panels[number].name(row, column)
    value = run(printed(result, name, metric, pair), folder, model=model)
    values = result.value(metric)[:, number, row, column]
    expected = float(values.mean() if pair is None and result.code.mean else values[pair or 0])
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-4), (name, metric)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("name", ["gpt2", "gptj", "gemma2", "opt", "bloom", "granite", "falcon", "gpt_oss"])
def test_every_site_of_a_cell(name: str, direction: str, tmp_path: Path) -> None:
    sites = tuple(site for site in ALL if site != "resid_mid" or not zoo.FAMILIES[name].parallel)
    model = NNsight(zoo.model(name))
    result = run_patching(model, CLEAN, CORRUPT, sites=sites, direction=direction, **GIVEN)
    check(result, tmp_path, model)


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "opt", "bloom", "granite", "falcon"])
def test_a_causal_trace_repeats_its_noise(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sites = ("resid_post", "attn_out", "mlp_out", "z", "q", "pattern", "mlp_post")
    arguments: dict[str, Any] = {"subject": (1, 3), "samples": 3, "seed": 5, "sites": sites, "neurons": [1, 3]}
    result = run_causal_trace(model, CLEAN, **arguments, **GIVEN)
    for metric in ("prob", "kl", "rank"):
        check(result, tmp_path, model, metric)  # the mean of all samples
    check(result, tmp_path, model, "kl", pair=1)
    assert "corrupt" not in printed(result, {"site": "resid_post", "layer": 1, "pos": 2})


def test_the_samples_of_a_causal_trace_are_measured_by_an_own_metric(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    result = run_causal_trace(model, CLEAN, subject=2, samples=3, metric=my_metric, **GIVEN)
    lines = printed(result, RESID | {"site": "resid_post"}, "my_metric")
    value = run(lines, tmp_path, model=model, my_metric=my_metric)
    assert value == pytest.approx(float(result.value()[:, 0, 1, 2].mean()), abs=1e-4)


REFERENCES = [[5, 9, 31, 22], [7, 2, 13, 22], [40, 9, 1, 3]]
ABLATIONS: dict[str, dict[str, Any]] = {
    "zero": {"how": "zero"},
    "mean": {"how": "mean", "reference": REFERENCES},
    "mean over all positions": {"how": "mean", "reference": [*REFERENCES, [8, 9, 30]]},
    "resample": {"how": "resample", "reference": REFERENCES, "seed": 3},
}


@pytest.mark.parametrize("how", ABLATIONS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "bloom", "granite", "falcon"])
def test_ablations(name: str, how: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sites = tuple(site for site in (*ALL, "z", "k") if site != "resid_mid" or not zoo.FAMILIES[name].parallel)
    given = ABLATIONS[how] | GIVEN
    check(run_ablation(model, CLEAN, sites=sites, **given), tmp_path, model)
    check(run_ablation(model, CLEAN, sites="mlp_post", neurons=[3, 7], **given), tmp_path, model)
    check(run_ablation(model, CLEAN, sites=("z", "mlp_out"), by="pos", **given), tmp_path, model)
    if "over all" not in how:
        check(run_ablation(model, CLEAN, sites="pattern", **given), tmp_path, model)


def test_each_prompt_has_its_own_draw(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    result = run_ablation(model, REFERENCES, how="resample", sites="mlp_out", **GIVEN)
    assert len(set(result.code.fills["other_ids"])) > 1, "else this shows nothing"
    for pair in range(len(REFERENCES)):
        check(result, tmp_path, model, pair=pair)


def test_why_there_are_no_lines() -> None:
    def own(logits: torch.Tensor, context: Any) -> torch.Tensor:
        return logits[:, context.answer]

    model = zoo.model("gpt2")
    traced = run_causal_trace(model, CLEAN, subject=2, samples=1, metric=own, **GIVEN)
    many = [[5, 9, 13, token] for token in range(1, 18)]
    averaged = run_ablation(model, CLEAN, how="mean", reference=many, sites="z", **GIVEN)
    short, long = CLEAN[:3], [*CLEAN, 8]
    mixed = run_ablation(model, [CLEAN, short], how="mean", reference=[CLEAN, CORRUPT], sites="z", **GIVEN)
    weighed = run_patching(model, CLEAN + long, CORRUPT + long, sites="pattern", **GIVEN)
    for result, reason in (
        (traced, "the metric may look at both sides, and the other one is no run of a prompt"),
        (averaged, "its mean is over 17 reference prompts, and the lines would list them all"),
        (mixed, "prompts as long as the references get the mean position by position, the others that over all"),
        (weighed, "reading a pattern of more than 8 positions, the width of a head, takes several runs"),
    ):
        site = result.sites[0]
        with pytest.raises(ResultError, match=f"no printed lines for {site} in this grid: {reason}"):
            printed(result, result.panels[0].name(1, 0), result.metric)


@pytest.mark.parametrize("by", [None, "pos", "layer"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_bigcode", "gpt_neox", "falcon", "olmo_clipped", "gpt_oss"])
def test_patterns(name: str, by: Any, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    check(run_patching(model, CLEAN, CORRUPT, sites="pattern", by=by, **GIVEN), tmp_path, model)


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "granite", "falcon"])
def test_windows_of_layers(name: str, window: int, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sites = ("resid_pre", "attn_out", "mlp_out", "z", "v", "pattern")
    check_all(run_patching(model, CLEAN, CORRUPT, sites=sites, window=window, positions=2, **GIVEN), tmp_path, model)


def test_windows_of_ablations_and_traces(tmp_path: Path) -> None:
    model = NNsight(zoo.model("llama"))
    for given in ABLATIONS.values():
        check(run_ablation(model, CLEAN, sites=("z", "mlp_out"), window=2, **given, **GIVEN), tmp_path, model)
    result = run_causal_trace(model, CLEAN, subject=2, samples=2, sites=("mlp_out", "pattern"), window=2, **GIVEN)
    check(result, tmp_path, model, "prob")


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "opt"])
def test_roles_may_be_elsewhere_in_the_other_prompt(name: str, direction: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    roles = [{"it's": (1, 3), "end": -1}, {"it's": (0, 2), "end": -1}]
    corrupt_roles = [{"it's": (2, 4), "end": -1}, {"it's": (1, 3), "end": -1}]
    result = run_patching(
        model,
        [CLEAN, [4, 5, 6, 7]],
        [[1, *CORRUPT], [3, 8, 5, 7, 9]],
        roles=roles,
        corrupt_roles=corrupt_roles,
        by="role",
        sites=("resid_pre", "z", "v"),
        direction=direction,
        **GIVEN,
    )
    for pair in (0, 1):
        check(result, tmp_path, model, pair=pair)
    assert "other_at" in printed(result, result.panels[0].name(1, 0))
    same = run_patching(model, CLEAN, CORRUPT, roles={"last two": (2, 4)}, by="role", sites=("attn_out", "k"), **GIVEN)
    assert "other_at" not in printed(same, same.panels[0].name(1, 0))
    check(same, tmp_path, model)


RECEIVERS: dict[str, list[Receiver]] = {
    "queries": [Receiver("q", 2, 1), Receiver("q", 2, 3), Receiver("q", 1, 0)],
    "keys and values": [Receiver("v", 1, 0), Receiver("k", 1, 1), Receiver("v", 2, 0)],
    "an MLP and values": [Receiver("v", 1, 1), Receiver("mlp_in", 1)],
    "the final stream": [Receiver("final")],
}


@pytest.mark.parametrize("receivers", RECEIVERS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "gptj", "gemma2", "opt", "bloom", "granite", "falcon"])
def test_paths(name: str, receivers: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    senders = ("z", "attn_out", "mlp_out")
    result = run_path_patching(model, CLEAN, CORRUPT, receivers=RECEIVERS[receivers], senders=senders, heads=1, **GIVEN)
    unchanged = result.baselines["logit_diff"][0, result.story.host]
    assert np.nanmax(abs(result.value() - unchanged)) > 2e-3, "else this shows nothing"
    check_all(result, tmp_path, model)


def test_paths_of_a_position_into_others(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    for direction in ("denoising", "noising"):
        receivers = [Receiver("q", 1, 2), Receiver("mlp_in", 2)]
        given: dict[str, Any] = {"receivers": receivers, "receiver_positions": [2, 3], "direction": direction}
        check_all(run_path_patching(model, CLEAN, CORRUPT, by="pos", heads=0, **given, **GIVEN), tmp_path, model)
        check_all(run_path_patching(model, CLEAN, CORRUPT, positions=[2], heads=0, **given, **GIVEN), tmp_path, model)


@pytest.mark.parametrize("by", [None, "pos", "layer"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_bigcode", "gpt_neox", "falcon", "phi3", "mpt", "opt", "olmo2"])
def test_heads_and_neurons(name: str, by: Any, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sites = {
        "pos": ("z", "q", "k", "v"),
        "layer": ("z", "q", "k", "v", "mlp_post"),
        None: ("z", "q", "k", "v", "mlp_post"),
    }[by]
    result = run_patching(model, CLEAN, CORRUPT, sites=sites, by=by, **GIVEN)
    check(result, tmp_path, model)


def test_chosen_positions_are_put_in_together(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    result = run_patching(model, CLEAN, CORRUPT, sites=("z", "mlp_post"), positions=[2, 3], **GIVEN)
    assert "[2, 3]" in result.code.sites["z"]
    check(result, tmp_path, model)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("metric", ["logit_diff", "prob", "logprob", "kl", "rank", "loss"])
def test_every_metric(metric: str, direction: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    check(run_patching(model, CLEAN, CORRUPT, direction=direction, **GIVEN), tmp_path, model, metric)


def test_a_hugging_face_model_is_wrapped_first(tmp_path: Path) -> None:
    model = zoo.model("llama")
    result = run_patching(model, CLEAN, CORRUPT, sites=ALL, **GIVEN)
    assert "lm = NNsight(model)" in result.code.sites["attn_out"]
    check(result, tmp_path, model)


def test_a_folder_is_loaded_first(story_model: Path, tmp_path: Path) -> None:
    result = run_patching(
        story_model, "Once upon a time Tim", "Once upon a time Lily", answer=" was", wrong_answer=" He"
    )
    line = f'model = TransformersModel({str(story_model)!r}, task="text-generation", dispatch=True)'
    assert line in result.code.sites["resid_pre"]
    code = printed(result, {"site": "resid_pre", "layer": 1, "pos": result.length - 1})
    assert run(code, tmp_path) == pytest.approx(float(result.value()[0, 0, 1, -1]), abs=1e-4)


def my_metric(logits: Any) -> Any:
    return logits[:, 3]


def logits(logits: Any) -> Any:  # a name that the printed lines use themselves
    return logits[:, 3]


def with_context(logits: Any, context: Any) -> Any:
    return logits[:, context.answer] + context.clean_logits[context.answer] - context.corrupt_logits[3]


def by_name(logits: Any, *, context: Any = None) -> Any:
    return logits[:, context.answer]


class Instance:
    def __call__(self, logits: Any) -> Any:
        return logits[:, 3]


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize(
    ("own", "name"),
    [
        (my_metric, "my_metric"),
        (logits, "metric"),
        (with_context, "with_context"),
        (by_name, "by_name"),
        (lambda logits: logits[:, 3], "metric"),
        (functools.partial(torch.sum, dim=-1), "metric"),
        (Instance(), "metric"),
    ],
)
def test_an_own_metric_is_called(own: Any, name: str, direction: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    result = run_patching(model, CLEAN, CORRUPT, metric=own, direction=direction, **GIVEN)
    code = printed(result, RESID, result.metric)
    assert ("# metric: your own function" in code) == (name == "metric")
    value = run(code, tmp_path, model=model, **{name: own})
    assert value == pytest.approx(float(result.value()[0, 0, 1, 2]), abs=1e-4)


def test_only_what_a_metric_needs_is_run() -> None:
    result = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, **GIVEN)
    assert "clean_logits" not in printed(result, RESID)
    assert "clean_logits" in printed(result, RESID, "kl")


@pytest.mark.parametrize("wrap", [NNsight, lambda model: model])
def test_a_model_in_training_is_taken_out_of_it(wrap: Any, tmp_path: Path) -> None:
    model = wrap(zoo.build("gpt2").train())
    check(run_patching(model, CLEAN, CORRUPT, **GIVEN), tmp_path, model)
    assert "eval()" not in run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, **GIVEN).code.sites["resid_pre"]


def test_a_transformers_model_is_used_as_it_is(story_model: Path, tmp_path: Path) -> None:
    model = TransformersModel(str(story_model), task="text-generation", dispatch=True)
    result = run_patching(model, "One day Tim", "One day Lily", answer=" was", wrong_answer=" He", sites=ALL)
    assert "NNsight" not in result.code.sites["resid_pre"]
    check(result, tmp_path, model)
