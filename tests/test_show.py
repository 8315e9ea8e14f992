"""What the views of `show_*` do beyond showing what `run_*` returns."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from interp_widgets import (
    Receiver,
    run_ablation,
    run_causal_trace,
    run_patching,
    run_path_patching,
    show_ablation,
    show_causal_trace,
    show_patching,
    show_path_patching,
    teaching,
)
from interp_widgets.results.errors import PromptError


@pytest.fixture(scope="module")
def model():
    return teaching.load()


def prompts():
    pairs = teaching.prompts("ioi", n=2)
    sides = {"clean": [pair.clean for pair in pairs], "corrupt": [pair.corrupt for pair in pairs]}
    answers = {"answer": [pair.answer for pair in pairs], "wrong_answer": [pair.wrong_answer for pair in pairs]}
    return sides | answers


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_a_head_by_position_is_the_same_experiment_on_that_head(model, direction):
    asked = {**prompts(), "direction": direction, "metric": "prob", "top_k": 3}
    view = show_patching(model, **asked, sites=("z", "k"), layers=(1, 3))
    view.selected = {"site": "k", "layer": 1, "head": 2}
    shown = view.by_position()
    assert shown == run_patching(model, **asked, sites="k", layers=1, heads=2, by="pos")
    strongest = view.by_position(view.result.strongest(sites=["z"]))
    assert strongest.sites == ("z",)
    assert np.isfinite(strongest.mean_effect()).any()


def test_roles_do_not_stand_in_the_way_of_positions(model):
    roles = [pair.roles for pair in teaching.prompts("ioi", n=2)]
    view = show_patching(model, **prompts(), sites="z", roles=roles, by="head")
    cell = view.result.strongest()
    shown = view.by_position()
    assert shown.panels[0].columns == "pos"
    assert [shown.panels[0].lines[0].layer, shown.panels[0].lines[0].head] == [cell["layer"], cell["head"]]


def test_every_experiment_with_a_grid_of_heads_opens_them_by_position(model):
    pair = teaching.prompts("ioi", n=1)[0]
    names = {"answer": pair.answer, "wrong_answer": pair.wrong_answer}
    roles = {"END": -1}
    head = {"site": "z", "layer": 1, "head": 2}

    view = show_ablation(model, pair.clean, **names, roles=roles)
    alone = run_ablation(model, pair.clean, **names, sites="z", layers=1, heads=2, by="pos")
    assert view.by_position(head) == alone

    noise = {**names, "subject": (1, 2), "samples": 2, "seed": 5, "window": 2}
    view = show_causal_trace(model, pair.clean, **noise, sites="z", roles=roles)
    alone = run_causal_trace(model, pair.clean, **noise, sites="z", layers=1, heads=2, by="pos")
    assert view.by_position(head) == alone

    to = {**names, "receivers": Receiver("q", 3, 3), "direction": "noising"}
    view = show_path_patching(model, pair.clean, pair.corrupt, **to)
    alone = run_path_patching(model, pair.clean, pair.corrupt, **to, senders="z", layers=1, heads=2, by="pos")
    assert view.by_position(head) == alone


def test_a_head_is_opened_by_the_page_while_the_grid_is_under_way(model, monkeypatch):
    asked = {**prompts(), "sites": ("z", "q"), "max_rows": 2}
    head = {"site": "z", "layer": 3, "head": 3}
    message = {"kind": "request", "id": "1", "name": "by_position", "cell": head}

    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_patching(model, **asked)
        view._on_message(view, message, [])
        while not (view.strips and view.strips[0].job.state == "done"):
            await asyncio.sleep(0)
        assert view.job.state == "running"
        while view.job.state == "running":
            await asyncio.sleep(0)
        return view

    view = asyncio.run(notebook())
    alone = {**asked, "sites": "z", "layers": 3, "heads": 3, "by": "pos"}
    assert view.strips[0].result == run_patching(model, **alone)
    assert view.result == run_patching(model, **asked)


def test_a_head_of_prompts_of_unequal_length_is_refused_by_position_and_the_grid_stays(model):
    prompts = ["When Mary and John went to the store, John gave a drink to", "Mary and John met. John gave it to"]
    view = show_ablation(model, prompts, sites="z")
    whole = view.result
    with pytest.raises(PromptError, match="tokens"):
        view.by_position()
    assert view.strips[0].job.state == "failed"
    assert (view.result, view.job.state) == (whole, "done")
