"""Models with TransformerLens' hook points, against hooks at those very points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight

from interp_widgets import Receiver, inspect, run_patching, run_path_patching
from interp_widgets.results.terms import HEAD_SITES, SITES, Site
from tests.experiments.test_code import check as check_code
from tests.models.hooked import HookedTransformer

CLEAN = [3, 17, 5, 9, 11, 2]
CORRUPT = [3, 17, 8, 9, 11, 30]
GIVEN: dict[str, Any] = {"answer": 4, "wrong_answer": 1}


def point(model: HookedTransformer, site: Site, layer: int) -> torch.nn.Module:
    inside = "mlp." if site == "mlp_post" else "attn." if site in HEAD_SITES else ""
    return model.blocks[layer].get_submodule(f"{inside}hook_{'post' if site == 'mlp_post' else site}")


def patched(model: HookedTransformer, site: Site, layer: int, index: Any) -> float:
    """Put part of a site of the clean run into the corrupt one, with plain hooks."""
    kept: list[torch.Tensor] = []
    hook = point(model, site, layer)

    def put(_module: Any, _args: Any, value: torch.Tensor) -> torch.Tensor:
        own = value.clone()
        own[index] = kept[0][index]
        return own

    with torch.no_grad():
        handle = hook.register_forward_hook(lambda _module, _args, value: kept.append(value.clone()))
        model(torch.tensor([CLEAN]))
        handle.remove()
        handle = hook.register_forward_hook(put)
        logits = model(torch.tensor([CORRUPT]))[0, -1]
        handle.remove()
    return float(logits[4] - logits[1])


@pytest.mark.parametrize("site", SITES)
def test_every_cell_is_that_of_a_hook_at_its_hook_point(site: Site) -> None:
    model = HookedTransformer()
    by: Any = {"by": "layer"} if site == "mlp_post" else {}
    values = run_patching(NNsight(model), CLEAN, CORRUPT, sites=site, **GIVEN, **by).value()[0, 0]
    expected = np.empty_like(values)
    for layer, column in np.ndindex(*values.shape):
        index: Any = (slice(None), column)
        if site == "mlp_post":
            index = slice(None)
        elif site in HEAD_SITES and site != "pattern":
            index = (slice(None), slice(None), column)
        expected[layer, column] = patched(model, site, layer, index)
    assert expected.std() > 0.01
    np.testing.assert_allclose(values, expected, atol=1e-5 * max(1.0, np.abs(expected).max()), rtol=0)


def test_what_is_found_and_where() -> None:
    report = inspect(NNsight(HookedTransformer()))
    assert report.name == "hooked-toy"
    assert report.model_class == "HookedTransformer"
    assert (report.n_heads, report.n_kv_heads, report.d_head, report.d_mlp) == (4, 2, 4, 24)
    assert (report.d_model, report.n_vocab, report.context) == (16, 31, 20)
    assert report.sites == SITES
    assert report.places["z"] == "input of attn.hook_z"
    assert report.places["resid_pre"] == "input of blocks[layer]"


def test_attention_alone() -> None:
    """Its blocks have a hook point for an MLP all the same, which nothing reaches."""
    report = inspect(HookedTransformer(attn_only=True))
    assert report.sites == ("resid_pre", "resid_post", "attn_out", "z", "q", "k", "v", "pattern")


def test_the_model_itself_is_taken_too_and_printed_lines_run(tmp_path: Path) -> None:
    model = HookedTransformer()
    sites = tuple(site for site in SITES if site != "pattern")
    check_code(run_patching(model, CLEAN, CORRUPT, sites=sites, **GIVEN), tmp_path, model)
    lm = NNsight(model)
    check_code(run_patching(lm, CLEAN, CORRUPT, sites=sites, **GIVEN), tmp_path, lm)
    check_code(run_patching(lm, CLEAN[:4], CORRUPT[:4], sites="pattern", **GIVEN), tmp_path, lm)
    receivers = [Receiver("k", 1, 1), Receiver("mlp_in", 1)]
    check_code(run_path_patching(lm, CLEAN, CORRUPT, receivers=receivers, **GIVEN), tmp_path, lm)


def test_a_wrapped_model_is_examined_once() -> None:
    model = HookedTransformer()
    lm = NNsight(model)
    run_patching(lm, CLEAN, CORRUPT, **GIVEN)
    calls: list[int] = []
    model.register_forward_hook(lambda _module, _args, _output: calls.append(1))
    run_patching(lm, CLEAN, CORRUPT, layers=0, positions=2, **GIVEN)
    assert len(calls) <= 2, "one run of both prompts, one of the patch"
