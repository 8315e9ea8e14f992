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

from interp_widgets import run_attention, teaching
from interp_widgets.results.errors import ResultError, SelectionError
from tests.experiments import zoo

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


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon", "bloom", "gemma2", "olmo", "gpt_neo"])
def test_lines_print_where_a_token_looks(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    result = run_attention(model, IDS)
    layer, head = result.layers[-1], result.heads[-1]
    printed = run(result.script(layer, head, 6), tmp_path, model=model)
    np.testing.assert_allclose(printed, result.pattern(layer, head)[6], atol=1e-5)
    assert len(printed) == len(IDS)


def test_text_needs_nothing_but_the_model_and_prints_the_last_token(tmp_path: Path) -> None:
    model = teaching.load()
    result = run_attention(model, TEXT, corrupt=TEXT.replace("John gave", "Mary gave"))
    for side in (0, 1):
        printed = run(result.script(3, 1, side=side), tmp_path, model=model)
        np.testing.assert_allclose(printed, result.pattern(3, 1, side=side)[-1], atol=1e-5)


def test_more_keys_than_a_head_is_wide_and_a_mean_over_prompts(tmp_path: Path) -> None:
    model = NNsight(zoo.model("llama"))
    prompts = [[(7 * at + start) % 60 for at in range(41)] for start in (1, 2, 5)]
    result = run_attention(model, prompts)
    printed = run(result.script(1, 2, 40), tmp_path, model=model)
    np.testing.assert_allclose(printed, result.pattern(1, 2)[40], atol=1e-5)


def test_there_are_no_lines_for_what_was_not_read() -> None:
    from dataclasses import replace

    result = run_attention(teaching.load(), TEXT, layers=[1], heads=[0, 2])
    with pytest.raises(SelectionError, match="Layer 3 is not part of this: 1 are"):
        result.script(3, 0)
    with pytest.raises(SelectionError, match="Head 1 was not read"):
        result.script(1, 1)
    with pytest.raises(ResultError, match="came without code"):
        replace(result, code="").script(1, 0)
