"""What the views of `show_*` do beyond showing what `run_*` returns."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets import run_patching, run_superposition, show_patching, show_superposition, teaching


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
    shown = view.by_position().result
    assert shown == run_patching(model, **asked, sites="k", layers=1, heads=2, by="pos")
    strongest = view.by_position(view.result.strongest(sites=["z"])).result
    assert strongest.sites == ("z",)
    assert np.isfinite(strongest.mean_effect()).any()


def test_roles_do_not_stand_in_the_way_of_positions(model):
    roles = [pair.roles for pair in teaching.prompts("ioi", n=2)]
    view = show_patching(model, **prompts(), sites="z", roles=roles, by="head")
    cell = view.result.strongest()
    shown = view.by_position().result
    assert shown.panels[0].columns == "pos"
    assert [shown.panels[0].lines[0].layer, shown.panels[0].lines[0].head] == [cell["layer"], cell["head"]]


def test_toy_models_are_shown_as_they_are_trained():
    small = {
        "n_features": 3,
        "n_hidden": 2,
        "probabilities": (0.5, 0.1),
        "steps": 20,
        "batch": 16,
        "models": 2,
        "seed": 4,
    }
    view = show_superposition(**small)
    assert view.result == run_superposition(**small)
    with pytest.raises(ValueError, match="n_hidden=0 must be a whole number"):
        show_superposition(n_hidden=0)
