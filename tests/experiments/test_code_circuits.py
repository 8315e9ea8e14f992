"""The printed lines compute the circuits that they stand for, run as a script."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nnsight import NNsight

from interp_widgets import HeadCircuits, run_head_circuits, teaching
from interp_widgets.results.errors import ResultError, SelectionError
from tests import made_circuits
from tests.experiments import zoo

IDS = [5, 9, 13, 22, 40, 9]


def run(code: str, folder: Path, **names: Any) -> list[list[list[float]]]:
    script = folder / f"circuits{len(list(folder.iterdir()))}.py"
    script.write_text(code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script), init_globals=names)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def check(printed: list[list[list[float]]], result: HeadCircuits, layer: int, head: int) -> None:
    wanted = [result.circuit(circuit, layer, head) for circuit in ("qk", "ov")]
    wanted = [values for values in wanted if np.isfinite(values).all()]
    assert len(printed) == len(wanted)
    for found, known in zip(printed, wanted, strict=True):
        np.testing.assert_allclose(found, known, rtol=2e-3, atol=2e-3 * float(np.abs(known).max()))


@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "gpt_neox", "gptj", "falcon", "gemma2", "phi", "gpt_bigcode", "mistral_sliding", "bloom"]
)
def test_lines_print_both_circuits(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    result = run_head_circuits(model, IDS, layers=[0, 2], offset=2, copying=False)
    for layer, head in ((0, 3), (2, 1)):
        check(run(result.script(layer, head), tmp_path, model=model), result, layer, head)


def test_a_multiplier_behind_the_embedding_is_in_the_lines(tmp_path: Path) -> None:
    scaled = zoo.build("granite")
    scaled.model.embedding_multiplier = 12.0
    result = run_head_circuits(scaled, IDS, layers=0, copying=False)
    assert result.positions == "rotary"
    assert "x = 12 * embed(ids)" in result.script(0, 2)
    check(run(result.script(0, 2), tmp_path, model=scaled), result, 0, 2)


def test_text_needs_nothing_but_the_model(tmp_path: Path) -> None:
    model = teaching.load()
    result = run_head_circuits(model, " Mary John Tom", layers=3, copying=False)
    check(run(result.script(3, 1), tmp_path, model=model), result, 3, 1)
    assert HeadCircuits.load(result.save(tmp_path / "circuits.safetensors")).script(3, 1) == result.script(3, 1)


def test_where_scores_are_no_product_the_other_circuit_is_printed_alone(tmp_path: Path) -> None:
    model = NNsight(zoo.model("qwen3"))
    result = run_head_circuits(model, IDS, layers=1, copying=False)
    printed = run(result.script(1, 2), tmp_path, model=model)
    assert len(printed) == 1
    check(printed, result, 1, 2)


def test_there_are_no_lines_for_what_is_not_there() -> None:
    result = run_head_circuits(teaching.load(), " Mary", layers=1, copying=False)
    with pytest.raises(SelectionError, match="There is no layer 3 here"):
        result.script(3, 0)
    with pytest.raises(ResultError, match="came without code for layer 2"):
        made_circuits.result().script(2, 0)
