"""Gradients by activations against plain PyTorch: hooks that keep the model's own tensors, and one `autograd.grad`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets.models.access import resolve
from interp_widgets.models.gradients import gradients
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import ModelError
from tests.experiments import zoo

IDS = [[5, 9, 13, 22, 40, 7], [5, 9, 31, 22, 2, 7]]
STREAMS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def logit_diff(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 11] - logits[:, 27]


def plain(name: str, model: Any) -> dict[tuple[str, int], torch.Tensor]:
    """The gradient at every place of every layer, by the tensors that the model itself makes."""
    family = zoo.FAMILIES[name]
    blocks = list(model.get_submodule(family.blocks))
    kept: dict[tuple[str, int], torch.Tensor] = {}
    with ExitStack() as hooks, torch.enable_grad():
        for layer, block in enumerate(blocks):

            def enter(_m: Any, args: Any, kwargs: Any, layer: int = layer) -> None:
                kept["resid_pre", layer] = args[0] if args else kwargs["hidden_states"]

            hooks.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
            for site, path in (("attn_out", family.attn), ("mlp_out", family.mlp), ("resid_post", "")):

                def leave(_m: Any, _a: Any, output: Any, site: str = site, layer: int = layer) -> None:
                    kept[site, layer] = first(output)

                hooks.callback(block.get_submodule(path).register_forward_hook(leave).remove)
        logits = model(input_ids=torch.tensor(IDS), use_cache=False).logits[:, -1]
    found = torch.autograd.grad(logit_diff(logits).sum(), list(kept.values()))
    slopes = dict(zip(kept, found, strict=True))
    for (site, layer), slope in list(slopes.items()):
        if site in ("attn_out", "mlp_out"):  # of what is added to the stream, after the multiplier
            slopes[site, layer] = slope.reshape(len(IDS), len(IDS[0]), -1) / family.multiplier
        if site == "attn_out" and not family.parallel:  # nothing else reads what attention adds
            slopes["resid_mid", layer] = slopes["attn_out", layer]
    return slopes


def plain_inside(name: str, model: Any) -> dict[tuple[str, int], torch.Tensor]:
    """The gradient at heads and neurons, of GPT-2 (one projection for all three) and Llama (shared keys and values)."""
    attention, out, down = {"gpt2": ("attn", "c_proj", "mlp.c_proj")}.get(
        name, ("self_attn", "o_proj", "mlp.down_proj")
    )
    kept: dict[tuple[str, int], torch.Tensor] = {}
    with ExitStack() as hooks, torch.enable_grad():

        def keep_output(module: nn.Module, place: Any, item: int | None = None) -> None:
            def hook(_m: Any, _a: Any, output: Any) -> None:
                kept[place] = output if item is None else output[item]

            hooks.callback(module.register_forward_hook(hook).remove)

        def keep_input(module: nn.Module, place: Any) -> None:
            hooks.callback(module.register_forward_pre_hook(lambda _m, args: kept.__setitem__(place, args[0])).remove)

        for layer, block in enumerate(model.get_submodule(zoo.FAMILIES[name].blocks)):
            part = block.get_submodule(attention)
            keep_output(part, ("pattern", layer), 1)
            keep_input(part.get_submodule(out), ("z", layer))
            keep_input(block.get_submodule(down), ("mlp_post", layer))
            for site in ("qkv",) if name == "gpt2" else ("q", "k", "v"):
                keep_output(part.get_submodule("c_attn" if site == "qkv" else f"{site}_proj"), (site, layer))
        logits = model(input_ids=torch.tensor(IDS), use_cache=False).logits[:, -1]
    found = torch.autograd.grad(logit_diff(logits).sum(), list(kept.values()))
    slopes: dict[tuple[str, int], torch.Tensor] = {}
    for (site, layer), slope in zip(kept, found, strict=True):
        if site == "qkv":
            slopes |= {
                (one, layer): part.unflatten(-1, (-1, 8)) for one, part in zip("qkv", slope.split(32, -1), strict=True)
            }
        else:
            slopes[site, layer] = slope if site in ("pattern", "mlp_post") else slope.unflatten(-1, (-1, 8))
    return slopes


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_gradients_at_heads_and_neurons_equal_those_of_plain_autograd(name: str) -> None:
    model = zoo.build(name)
    model.set_attn_implementation("eager")  # which tells its pattern
    expected = plain_inside(name, model)
    for places in (list(expected), [place for place in expected if place[0] == "pattern"]):
        found = ours(model, places)
        assert set(found) == set(places)
        for place in places:
            size = float(expected[place].abs().max())
            assert size > 1e-4, place
            torch.testing.assert_close(found[place], expected[place], atol=2e-5 * max(1, size), rtol=1e-4)


def ours(model: Any, places: Any = None) -> dict[Any, torch.Tensor]:
    access = resolve(open_model(model))
    ids = torch.tensor(IDS)
    if places is None:
        places = [(site, layer) for site in STREAMS if site in access.sites for layer in range(access.n_layers)]
    return gradients(access, ids, access.read(ids, ()).stream[0], places, logit_diff)


@pytest.mark.parametrize(
    "name",
    [
        *("gpt2", "llama", "gemma2", "gpt_neox", "gpt_neox_sequential", "gptj", "opt", "bloom", "mpt", "granite"),
        *("mixtral", "olmo2", "cohere", "gpt_oss", "mistral_sliding", "gpt_bigcode"),
    ],
)
def test_gradients_equal_those_of_plain_autograd(name: str) -> None:
    model = zoo.model(name)
    expected, found = plain(name, model), ours(model)
    assert set(found) == set(expected)
    for place, slope in expected.items():
        size = float(slope.abs().max())
        assert size > 1e-4, place  # a gradient of next to nothing would prove nothing
        torch.testing.assert_close(found[place], slope, atol=2e-5 * max(1, size), rtol=1e-4)


def test_the_model_is_left_as_it_was() -> None:
    model = zoo.build("gpt2")
    model.train()
    frozen = model.transformer.wte.weight.requires_grad_(False)
    flags = {name: weight.requires_grad for name, weight in model.named_parameters()}
    found = ours(model)
    assert all(weight.grad is None for weight in model.parameters())
    assert flags == {name: weight.requires_grad for name, weight in model.named_parameters()}
    assert not frozen.requires_grad
    assert all(part.training for part in model.modules())
    assert all(slope.grad_fn is None and not slope.requires_grad for slope in found.values())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_there_where_others_are_off(mode: Any) -> None:
    model = zoo.model("gpt2")
    expected = ours(model)
    with mode():
        found = ours(model)
        assert not torch.is_grad_enabled()
    for place, slope in expected.items():
        torch.testing.assert_close(found[place], slope, atol=0, rtol=0)


def test_edits_that_a_user_stored_are_part_of_the_run() -> None:
    wrapped = NNsight(zoo.build("gpt2"))
    with wrapped.edit(inplace=True):
        wrapped.transformer.h[1].mlp.output[:] = 0
    edited = ours(wrapped)
    silenced = zoo.build("gpt2")
    silenced.transformer.h[1].mlp.c_proj.weight.data.zero_()
    silenced.transformer.h[1].mlp.c_proj.bias.data.zero_()
    expected = ours(silenced)
    for layer in range(3):
        torch.testing.assert_close(edited["resid_pre", layer], expected["resid_pre", layer], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("edited", [False, True])
def test_a_run_starts_from_what_enters_rather_than_from_its_tokens(edited: bool) -> None:
    """Noised hosts have the tokens of the clean prompt."""
    wrapped = NNsight(zoo.build("gpt2"))
    if edited:
        with wrapped.edit(inplace=True):
            wrapped.transformer.h[1].mlp.output[:] = 0
    access = resolve(open_model(wrapped))
    assert access.edited == edited
    places: Any = [("resid_pre", 0), ("attn_out", 2)]
    first, second = torch.tensor(IDS[:1]), torch.tensor(IDS[1:])
    entering = access.read(second, ()).stream[0]
    found, expected = (gradients(access, ids, entering, places, logit_diff) for ids in (first, second))
    for place in places:
        torch.testing.assert_close(found[place], expected[place], atol=1e-6, rtol=1e-5)


class Rounds(nn.Module):
    """A step without a derivative, as in some quantised layers."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return _Rounding.apply(values)


class _Rounding(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.round()

    @staticmethod
    def backward(_ctx: Any, *_slopes: Any) -> Any:
        raise RuntimeError("rounding has no backward")


def test_a_part_without_a_derivative_is_named() -> None:
    model = zoo.build("gpt2")
    model.transformer.h[2].mlp.act = Rounds()
    with pytest.raises(
        ModelError, match=r"cannot be run back for gradients: .*rounding has no backward.*preview=False"
    ):
        ours(model)
