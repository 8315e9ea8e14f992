"""The printed lines compute the cell that they stand for, run as a script."""

from __future__ import annotations

import contextlib
import functools
import io
import runpy
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import pytest
import torch
from nnsight import NNsight, TransformersModel

from interp_widgets.experiments.ablation import run_ablation
from interp_widgets.experiments.causal_trace import run_causal_trace
from interp_widgets.experiments.patching import run_patching
from interp_widgets.results.patching import PatchingResult
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22]
CORRUPT = [5, 9, 31, 22]
ALL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
RESID = {"site": "resid_pre", "layer": 1, "pos": 2}
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}


def printed(result: PatchingResult, cell: Mapping[str, Any], metric: str = "logit_diff") -> str:
    """The lines of a cell, filled as the view does."""
    pair = result.pairs[0]
    expression = Template(result.code.metrics[metric]).substitute(
        answer=pair.answer.id, wrong_answer=pair.wrong_answer.id
    )
    return Template(result.code.sites[cell["site"]]).substitute(
        **{name: value for name, value in cell.items() if name != "site"},
        clean_ids=list(pair.clean.ids),
        corrupt_ids=list(pair.corrupt.ids),
        metric=expression,
    )


def run(code: str, folder: Path, **names: Any) -> float:
    script = folder / f"cell{len(list(folder.iterdir()))}.py"  # nnsight reads the source of a file once
    script.write_text(code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script), init_globals=names)
    return float(out.getvalue())


def check(result: PatchingResult, folder: Path, model: Any, metric: str = "logit_diff") -> None:
    """One cell of every panel, not the first of anything."""
    for number, panel in enumerate(result.panels):
        row, column = len(panel.lines) // 2 + 1, min(2, panel.width(result.length) - 1)
        row = min(row, len(panel.lines) - 1)
        value = run(printed(result, panel.name(row, column), metric), folder, model=model)
        expected = float(result.value(metric)[0, number, row, column])
        assert value == pytest.approx(expected, abs=1e-4), (panel.name(row, column), metric)


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
    arguments: dict[str, Any] = {"subject": (1, 3), "samples": 2, "seed": 5, "sites": ("resid_post", "attn_out", "z")}
    result = run_causal_trace(model, CLEAN, **arguments, **GIVEN)
    check(result, tmp_path, model, "prob")
    lines = printed(result, {"site": "resid_post", "layer": 1, "pos": 2}, "kl")
    second = run(lines.replace("sample = 0", "sample = 1"), tmp_path, model=model)
    assert second == pytest.approx(float(result.value("kl")[1, 0, 1, 2]), abs=1e-4)
    assert "corrupt" not in lines


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "bloom", "granite", "falcon"])
def test_ablation_by_zeros(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sites = tuple(site for site in (*ALL, "z") if site != "resid_mid" or not zoo.FAMILIES[name].parallel)
    check(run_ablation(model, CLEAN, sites=sites, **GIVEN), tmp_path, model)
    check(run_ablation(model, CLEAN, sites="mlp_post", neurons=[3, 7], **GIVEN), tmp_path, model)


def test_there_are_no_lines_for_what_takes_more_than_a_few() -> None:
    def own(logits: torch.Tensor, context: Any) -> torch.Tensor:
        return logits[:, context.answer]

    model = NNsight(zoo.model("gpt2"))
    resampled = run_ablation(model, CLEAN, how="resample", reference=CORRUPT, sites="z", **GIVEN)
    assert not resampled.code.sites
    assert not run_causal_trace(model, CLEAN, subject=2, samples=1, metric=own, **GIVEN).code.sites


@pytest.mark.parametrize("by", [None, "pos", "layer"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_bigcode", "gpt_neox", "falcon", "phi3", "mpt", "opt"])
def test_heads_and_neurons(name: str, by: Any, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sites = {
        "pos": ("z", "q", "k", "v"),
        "layer": ("z", "mlp_post"),  # a fused projection's q, k and v lie apart
        None: ("z", "q", "k", "v", "mlp_post"),
    }[by]
    result = run_patching(model, CLEAN, CORRUPT, sites=sites, by=by, **GIVEN)
    check(result, tmp_path, model)


def test_chosen_positions_are_put_in_together(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    result = run_patching(model, CLEAN, CORRUPT, sites=("z", "mlp_post"), positions=[2, 3], **GIVEN)
    assert "[2, 3]" in result.code.sites["z"]
    check(result, tmp_path, model)


def test_what_a_few_lines_do_not_say_comes_without_code() -> None:
    model = zoo.model("gpt2")
    assert not run_patching(model, CLEAN, CORRUPT, sites="pattern", **GIVEN).code.sites
    assert not run_patching(model, CLEAN, CORRUPT, sites="mlp_out", window=2, **GIVEN).code.sites
    assert not run_patching(model, CLEAN, CORRUPT, roles={"end": -1}, **GIVEN).code.sites


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
