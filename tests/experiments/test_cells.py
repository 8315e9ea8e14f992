"""Cells that replace more than one activation at one position: windows, whole layers, roles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets.experiments.patching import run_patching
from interp_widgets.results.errors import PromptError, SelectionError, SiteError, UnknownNameError
from interp_widgets.results.patching import Status
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}

Place = tuple[str, int, int, torch.Tensor]
"""Part of a GPT-2 block, layer, position and what to put there."""


def part(block: Any, name: str) -> Any:
    return {"attn_out": block.attn, "mlp_out": block.mlp, "resid_post": block}[name]


def first(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def outputs(model: Any, ids: Sequence[int], name: str) -> list[torch.Tensor]:
    """What a part hands over in every layer, (position, d_model), by plain hooks."""
    kept: list[torch.Tensor] = []
    with ExitStack() as hooks, torch.no_grad():
        for block in model.transformer.h:
            hook = part(block, name).register_forward_hook(lambda _m, _a, out: kept.append(first(out)[0].clone()))
            hooks.callback(hook.remove)
        model(input_ids=torch.tensor([ids]))
    return kept


@contextmanager
def placed(model: Any, places: Sequence[Place]) -> Iterator[None]:
    def replace(layer: int, name: str) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            changed = first(output).clone()
            for at, where, position, value in places:
                if (at, where) == (name, layer):
                    changed[0, position] = value
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    with ExitStack() as hooks:
        for layer, name in {(layer, name) for name, layer, _, _ in places}:
            module = part(model.transformer.h[layer], name)
            hooks.callback(module.register_forward_hook(replace(layer, name)).remove)
        yield


def logit_diff(model: Any, ids: Sequence[int], places: Sequence[Place] = ()) -> float:
    with placed(model, places), torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
    return float(logits[11] - logits[27])


@pytest.mark.parametrize(("window", "reach"), [(2, lambda layer: (layer - 1, layer)), (3, lambda n: (n - 1, n, n + 1))])
def test_a_window_replaces_the_layers_around_its_own_and_is_clipped(window: int, reach: Any) -> None:
    model = zoo.model("gpt2")
    found = run_patching(model, CLEAN, CORRUPT, sites=["mlp_out", "attn_out"], window=window, **GIVEN)
    for number, site in enumerate(("mlp_out", "attn_out")):
        source = outputs(model, CLEAN, site)
        for layer in range(3):
            for position in range(2, 6):
                layers = [one for one in reach(layer) if 0 <= one < 3]
                places = [(site, one, position, source[one][position]) for one in layers]
                expected = logit_diff(model, CORRUPT, places)
                assert found.value()[0, number, layer, position] == pytest.approx(expected, abs=2e-5)
    assert found.provenance.settings["window"].startswith(f"{window} layers")


def test_a_whole_layer_is_one_column() -> None:
    model = zoo.model("gpt2")
    found = run_patching(model, CLEAN, CORRUPT, sites=["mlp_out", "resid_post"], by="layer", **GIVEN)
    assert found.status.shape == (1, 2, 3, 1)
    source = outputs(model, CLEAN, "mlp_out")
    for layer in range(3):
        places = [("mlp_out", layer, position, source[layer][position]) for position in range(6)]
        assert found.value()[0, 0, layer, 0] == pytest.approx(logit_diff(model, CORRUPT, places), abs=2e-5)
    assert found.effect()[0, 1].tolist() == [[1], [1], [1]]  # the whole stream is the whole run
    assert (found.status[0, 1] == Status.KNOWN).all()
    assert found.panels[0].name(2, 0) == {"site": "mlp_out", "layer": 2}


def test_a_whole_layer_at_chosen_positions_replaces_them_together() -> None:
    model = zoo.model("gpt2")
    found = run_patching(model, CLEAN, CORRUPT, sites="mlp_out", by="layer", positions=[2, 4], **GIVEN)
    source = outputs(model, CLEAN, "mlp_out")
    for layer in range(3):
        places = [("mlp_out", layer, position, source[layer][position]) for position in (2, 4)]
        assert found.value()[0, 0, layer, 0] == pytest.approx(logit_diff(model, CORRUPT, places), abs=2e-5)


def test_each_site_may_have_columns_of_its_own() -> None:
    model = zoo.model("gpt2")
    arguments: dict[str, Any] = {"positions": 4, **GIVEN}
    both = run_patching(model, CLEAN, CORRUPT, sites=("z", "mlp_out"), by={"mlp_out": "layer"}, **arguments)
    assert [panel.columns for panel in both.panels] == ["head", "layer"]
    assert both.panels[1].labels == ("position 4",)
    heads = run_patching(model, CLEAN, CORRUPT, sites="z", **arguments)
    layers = run_patching(model, CLEAN, CORRUPT, sites="mlp_out", **arguments)
    np.testing.assert_allclose(both.value()[:, 0], heads.value()[:, 0], atol=2e-5)
    np.testing.assert_allclose(both.value()[0, 1, :, 0], layers.value()[0, 0, :, 4], atol=2e-5)


def test_roles_line_up_prompts_of_different_lengths() -> None:
    model = zoo.model("gpt2")
    clean, corrupt = [CLEAN, [5, 9, 1, 13, 22, 40, 7]], [CORRUPT, [5, 9, 1, 31, 22, 2, 7]]
    roles = [{"changed": (2, 4), "last": -1}, {"changed": (3, 5), "last": -1}]
    found = run_patching(model, clean, corrupt, sites="attn_out", roles=roles, **GIVEN)
    assert found.panels[0].labels == ("changed", "last")
    assert found.status.shape == (2, 1, 3, 2)
    for pair, spans in enumerate((((2, 3), (5,)), ((3, 4), (6,)))):
        source = outputs(model, clean[pair], "attn_out")
        for layer in range(3):
            for column, span in enumerate(spans):
                places = [("attn_out", layer, position, source[layer][position]) for position in span]
                expected = logit_diff(model, corrupt[pair], places)
                assert found.value()[pair, 0, layer, column] == pytest.approx(expected, abs=2e-5)
    frame = found.to_frame()
    assert set(frame["role"]) == {"changed", "last"}
    assert "pos" not in frame.columns


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_roles_may_be_elsewhere_in_the_corrupt_prompt(direction: str) -> None:
    model = zoo.model("gpt2")
    clean, corrupt = [5, 9, 13, 22, 40, 7], [5, 31, 22, 2, 7]
    found = run_patching(
        model,
        clean,
        corrupt,
        sites="attn_out",
        roles={"name": 2, "end": (4, 6)},
        corrupt_roles={"name": 1, "end": (3, 5)},
        direction=direction,
        **GIVEN,
    )
    spans = {"name": ((2,), (1,)), "end": ((4, 5), (3, 4))}
    donor, host = (clean, corrupt) if direction == "denoising" else (corrupt, clean)
    source = outputs(model, donor, "attn_out")
    for layer in range(3):
        for column, both in enumerate(spans.values()):
            at, to = both if direction == "denoising" else both[::-1]
            places = [("attn_out", layer, into, source[layer][out_of]) for out_of, into in zip(at, to, strict=True)]
            expected = logit_diff(model, host, places)
            assert found.value()[0, 0, layer, column] == pytest.approx(expected, abs=2e-5)


def test_the_interval_of_a_mean_is_students() -> None:
    model = zoo.model("gpt2")
    found = run_patching(model, [CLEAN] * 3, [CORRUPT, [5, 9, 31, 22, 40, 7], [5, 9, 14, 22, 2, 7]], **GIVEN)
    low, high = found.interval()
    effects = found.effect()[:, 0, 1, 2]
    half = 4.303 * effects.std(ddof=1) / np.sqrt(3)
    assert (low[0, 1, 2], high[0, 1, 2]) == pytest.approx((effects.mean() - half, effects.mean() + half))


@pytest.mark.parametrize("site", ["resid_pre", "z"])
@pytest.mark.parametrize("exact", [None, 1])
def test_a_role_may_stay_where_it_is_while_others_move(site: Any, exact: int | None) -> None:
    """Position 4 is in both prompts, behind their first difference, and none of the others correspond."""
    model = zoo.model("gpt2")
    clean, corrupt = [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 9, 9, 6]
    arguments: dict[str, Any] = {"roles": {"S": 4, "end": 5}, "corrupt_roles": {"S": 4, "end": 6}, "by": "role"}
    found = run_patching(model, clean, corrupt, sites=[site, "attn_out"], exact=exact, **arguments, **GIVEN)
    assert found.complete
    source = outputs(model, clean, "attn_out")
    for layer in range(3):
        for column, (at, to) in enumerate(((4, 4), (5, 6))):
            if found.status[0, 1, layer, column] != Status.ESTIMATED:
                expected = logit_diff(model, corrupt, [("attn_out", layer, to, source[layer][at])])
                assert found.value()[0, 1, layer, column] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sites": "z"}, r"pair 0 has 6 tokens in the clean prompt and 8 in the corrupt one.*z.*Use by='role'"),
        ({"sites": "mlp_out", "by": "layer"}, "Use by='role'"),
        ({"sites": "mlp_out", "by": "pos"}, "Use by='role'"),
        ({"sites": "pattern", "by": "role"}, "Patch z instead"),
        ({"sites": "mlp_out", "positions": 2}, "exclude each other"),
    ],
)
def test_what_has_no_counterpart_in_a_prompt_of_another_length_is_refused(arguments: dict[str, Any], text: str) -> None:
    roles: dict[str, Any] = {"roles": {"a": 2}, "corrupt_roles": {"a": 4}}
    with pytest.raises(SelectionError, match=text):
        run_patching(zoo.model("llama"), CLEAN, [1, 2, 1, 2, 9, 4, 5, 6], **roles, **arguments, **GIVEN)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"by": "head"}, SiteError, "by='head' needs a site that has heads, and resid_pre has none"),
        ({"by": "tokens"}, UnknownNameError, "unknown by 'tokens'"),
        ({"by": {"resid_pre": "tokens"}}, UnknownNameError, "unknown by 'tokens'"),
        ({"by": {"z": "head"}}, UnknownNameError, "unknown site in by 'z'"),
        ({"layers": {"z": 1}}, UnknownNameError, "unknown site in layers 'z'"),
        ({"layers": {"resid_pre": []}}, SelectionError, "layers is empty. Leave it out for all 3"),
        ({"layers": {"resid_pre": True}}, SelectionError, "layers holds True, but they run from 0 to 2"),
        ({"by": "role"}, SelectionError, "by='role' needs `roles=`"),
        ({"window": 0}, SelectionError, "window=0 must be a number of layers from 1 to 3"),
        ({"window": 9}, SelectionError, "window=9 must be a number of layers from 1 to 3"),
        ({"roles": {"end": 9}}, SelectionError, r"roles\['end'\] of pair 0 is 9. Give a position, or \(start, stop\)"),
        ({"roles": {"end": (4, 4)}}, SelectionError, r"roles\['end'\] of pair 0 is \(4, 4\)"),
        ({"roles": {"end": [1, 3]}}, SelectionError, r"Give a position, or \(start, stop\)"),
        ({"sites": "z", "heads": []}, SelectionError, "heads is empty. Leave it out for all 4"),
        ({"roles": [{"end": 1}, {"end": 1}]}, SelectionError, "2 roles for 1 pairs of prompts"),
        ({"roles": {}}, SelectionError, "Map each role to its positions"),
        ({"corrupt_roles": {"end": 1}}, SelectionError, "corrupt_roles= needs roles="),
        (
            {"roles": {"end": 1}, "corrupt_roles": {"start": 1}},
            SelectionError,
            "corrupt_roles of pair 0 are start, but those of pair 0 are end",
        ),
        (
            {"roles": {"end": (1, 3)}, "corrupt_roles": {"end": 1}},
            SelectionError,
            "role end of pair 0 is 2 tokens long in the clean prompt and 1 in the corrupt one",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, **arguments, **GIVEN)


def test_pairs_of_different_lengths_need_roles() -> None:
    with pytest.raises(PromptError, match="give `roles=` to compare them by what their tokens are for"):
        run_patching(zoo.model("gpt2"), [CLEAN, [1, *CLEAN]], [CORRUPT, [1, *CORRUPT]], **GIVEN)
    with pytest.raises(SelectionError, match="Give `corrupt_roles=` too"):
        run_patching(zoo.model("gpt2"), CLEAN, [1, *CORRUPT], roles={"end": -1}, **GIVEN)
