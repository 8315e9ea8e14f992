"""The printed lines compute the pattern that they stand for, run as a script."""

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

from interp_widgets import describe, run_attention, teaching
from interp_widgets.results.errors import ResultError, SelectionError
from tests.experiments import zoo
from tests.models.test_describe import CLEAN, CORRUPT, STACK, stack

IDS = [3, 17, 9, 41, 3, 17, 22, 60, 8, 1, 12]
TEXT = "When Mary and John went to the store, John gave a drink to"


def run(code: str, folder: Path, **names: Any) -> list[float]:
    script = folder / f"pattern{len(list(folder.iterdir()))}.py"  # nnsight reads the source of a file once
    script.write_text(code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script), init_globals=names)
    printed: list[float] = json.loads(out.getvalue())
    return printed


OTHER = [3, 17, 9, 25, 3, 17, 22, 8, 60, 1, 12]
FAMILIES = ["gpt2", "llama", "falcon", "bloom", "gemma2", "olmo_clipped", "gpt_neo", "gpt_bigcode", "granite", "phi3"]
"""Values apart, stacked and by groups, shared by heads and clipped; sliding windows, soft caps, a scaled stream."""


@pytest.mark.parametrize("name", FAMILIES)
def test_lines_print_where_a_token_looks_in_every_view_of_it(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    result = run_attention(model, IDS, corrupt=OTHER)
    layer, head = result.layers[-1], result.heads[-1]
    for weighted in (False, True):
        for side in (0, 1):
            printed = run(result.script(layer, head, 6, side=side, weighted=weighted), tmp_path, model=model)
            shown = result.tile(layer, head, side=side, weighted=weighted)[6]
            np.testing.assert_allclose(printed, shown, rtol=1e-4, atol=1e-5)
        printed = run(result.script(layer, head, 6, weighted=weighted, difference=True), tmp_path, model=model)
        difference = result.difference(layer, head, weighted=weighted)[6]
        np.testing.assert_allclose(printed, difference, rtol=1e-4, atol=1e-5)
        assert np.abs(difference).max() > 1e-3, "else both would agree with anything"
    assert len(printed) == len(IDS)


def test_a_shared_head_is_weighted_by_its_own_part_of_the_projection(tmp_path: Path) -> None:
    model = NNsight(zoo.model("llama"))
    result = run_attention(model, IDS)
    for head in range(4):
        printed = run(result.script(1, head, 6, weighted=True), tmp_path, model=model)
        np.testing.assert_allclose(printed, result.pattern(1, head, weighted=True)[6], rtol=1e-4, atol=1e-5)


def test_text_needs_nothing_but_the_model_and_prints_the_last_token(tmp_path: Path) -> None:
    model = teaching.load()
    result = run_attention(model, TEXT, corrupt=TEXT.replace("John gave", "Mary gave"))
    for side in (0, 1):
        printed = run(result.script(3, 1, side=side), tmp_path, model=model)
        np.testing.assert_allclose(printed, result.pattern(3, 1, side=side)[-1], atol=1e-5)
    printed = run(result.script(3, 1, weighted=True, difference=True), tmp_path, model=model)
    np.testing.assert_allclose(printed, result.difference(3, 1, weighted=True)[-1], rtol=1e-4, atol=1e-5)


def test_lines_of_a_described_module_compute_the_same(tmp_path: Path) -> None:
    net = stack()
    result = run_attention(describe(net, STACK), CLEAN, corrupt=CORRUPT)
    for weighted in (False, True):
        printed = run(result.script(1, 3, 4, weighted=weighted, difference=True), tmp_path, model=net)
        shown = result.difference(1, 3, weighted=weighted)[4]
        np.testing.assert_allclose(printed, shown, rtol=1e-4, atol=1e-5)


def test_more_keys_than_a_head_is_wide_and_a_mean_over_prompts(tmp_path: Path) -> None:
    model = NNsight(zoo.model("llama"))
    prompts = [[(7 * at + start) % 60 for at in range(41)] for start in (1, 2, 5)]
    others = [[(5 * at + start) % 60 for at in range(41)] for start in (4, 3)]
    result = run_attention(model, prompts, corrupt=others)
    for weighted in (False, True):
        printed = run(result.script(1, 2, 40, weighted=weighted), tmp_path, model=model)
        np.testing.assert_allclose(printed, result.pattern(1, 2, weighted=weighted)[40], rtol=1e-4, atol=1e-5)
        printed = run(result.script(1, 2, 40, weighted=weighted, difference=True), tmp_path, model=model)
        np.testing.assert_allclose(printed, result.difference(1, 2, weighted=weighted)[40], rtol=1e-4, atol=1e-5)


def test_lines_print_each_token_where_a_view_shows_blocks_and_say_so(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    whole, coarse = run_attention(model, IDS), run_attention(model, IDS, max_bytes=2000)
    assert coarse.block == 2
    code = coarse.script(1, 2, 6, weighted=True)
    assert "# Each token by itself. The view shows the largest of 2 by 2 tokens." in code
    printed = run(code, tmp_path, model=model)
    np.testing.assert_allclose(printed, whole.pattern(1, 2, weighted=True)[6], rtol=1e-4, atol=1e-5)


def test_there_are_no_lines_for_what_was_not_read() -> None:
    from dataclasses import replace

    result = run_attention(teaching.load(), TEXT, layers=[1], heads=[0, 2])
    with pytest.raises(SelectionError, match="Layer 3 is not part of this: 1 are"):
        result.script(3, 0)
    with pytest.raises(SelectionError, match="Head 1 was not read"):
        result.script(1, 1)
    with pytest.raises(ResultError, match="There is no second prompt to compare with"):
        result.script(1, 0, difference=True)
    with pytest.raises(ResultError, match="The weighted pattern was not computed\\. Pass value_weighted=True"):
        run_attention(teaching.load(), TEXT, layers=[1], value_weighted=False).script(1, 0, weighted=True)
    with pytest.raises(ResultError, match="came without code"):
        replace(result, code="").script(1, 0)
