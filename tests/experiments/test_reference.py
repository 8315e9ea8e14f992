"""Every cell against one plain forward pass with PyTorch hooks, which knows nothing of the package."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp_widgets.experiments.patching import run_patching
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
ANSWER, WRONG = 11, 27
SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def with_first(output: Any, value: torch.Tensor) -> Any:
    return (value, *output[1:]) if isinstance(output, tuple) else value


class Reference:
    """One family's model, read and patched with plain hooks."""

    def __init__(self, family: zoo.Family, model: Any, answer: int = ANSWER, wrong: int = WRONG) -> None:
        self.family = family
        self.model = model
        self.answer = answer
        self.wrong = wrong
        self.blocks = list(self.model.get_submodule(self.family.blocks))

    def logits(self, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]

    def activations(self, ids: list[int]) -> dict[str, list[torch.Tensor]]:
        """What enters each block, what its two parts add, and what leaves it, each (position, d_model)."""
        kept: dict[str, list[torch.Tensor]] = {name: [] for name in ("resid_pre", "attn_out", "mlp_out", "resid_post")}
        scale, width = self.family.multiplier, self.model.config.hidden_size
        with ExitStack() as hooks:
            for block in self.blocks:
                add = hooks.callback
                add(
                    block.register_forward_pre_hook(
                        lambda _m, args, kwargs: kept["resid_pre"].append(
                            (args[0] if args else kwargs["hidden_states"])[0].clone()
                        ),
                        with_kwargs=True,
                    ).remove
                )
                for site, path in (("attn_out", self.family.attn), ("mlp_out", self.family.mlp)):
                    part = block.get_submodule(path)
                    add(
                        part.register_forward_hook(
                            lambda _m, _a, output, site=site: kept[site].append(
                                scale * first(output).reshape(-1, width).clone()
                            )
                        ).remove
                    )
                add(
                    block.register_forward_hook(
                        lambda _m, _a, output: kept["resid_post"].append(first(output)[0].clone())
                    ).remove
                )
            self.logits(ids)
        kept["resid_mid"] = [pre + added for pre, added in zip(kept["resid_pre"], kept["attn_out"], strict=True)]
        return kept

    def patched(self, host: list[int], site: str, layer: int, pos: int, value: torch.Tensor) -> torch.Tensor:
        """Logits of the host prompt with one activation replaced."""
        block, width = self.blocks[layer], self.model.config.hidden_size
        entering: list[torch.Tensor] = []

        def keep(_module: Any, args: Any, kwargs: Any) -> None:
            entering.append((args[0] if args else kwargs["hidden_states"]).clone())

        def replace_input(_module: Any, args: Any, kwargs: Any) -> Any:
            stream = (args[0] if args else kwargs["hidden_states"]).clone()
            stream[0, pos] = value
            return ((stream, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": stream})

        def replace_output(_module: Any, _args: Any, output: Any) -> Any:
            changed = first(output).clone()
            wanted = value - entering[0][0, pos] if site == "resid_mid" else value
            scale = self.family.multiplier if site in ("attn_out", "mlp_out", "resid_mid") else 1
            changed.view(-1, width)[pos] = wanted / scale
            return with_first(output, changed)

        with ExitStack() as hooks:
            hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
            if site == "resid_pre":
                hooks.callback(block.register_forward_pre_hook(replace_input, with_kwargs=True).remove)
            else:
                path = {"resid_post": "", "mlp_out": self.family.mlp}.get(site, self.family.attn)
                hooks.callback(block.get_submodule(path).register_forward_hook(replace_output).remove)
            return self.logits(host)

    def grid(self, host: list[int], donor: list[int], sites: tuple[str, ...]) -> np.ndarray:
        """Difference of two logits for every cell, (site, layer, pos)."""
        source = self.activations(donor)
        values = np.empty((len(sites), len(self.blocks), len(host)))
        for index in np.ndindex(*values.shape):
            site, layer, pos = sites[index[0]], index[1], index[2]
            logits = self.patched(host, site, layer, pos, source[site][layer][pos])
            values[index] = logits[self.answer] - logits[self.wrong]
        return values


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_every_cell_equals_one_plain_forward(name: str, direction: str) -> None:
    reference = Reference(zoo.FAMILIES[name], zoo.model(name))
    sites = tuple(site for site in SITES if site != "resid_mid" or not reference.family.parallel)
    host, donor = (CORRUPT, CLEAN) if direction == "denoising" else (CLEAN, CORRUPT)
    expected = reference.grid(host, donor, sites)

    found = run_patching(
        reference.model, CLEAN, CORRUPT, answer=ANSWER, wrong_answer=WRONG, sites=sites, direction=direction
    )

    values = found.value()[0]
    assert found.complete
    assert expected.std() > 0.03  # patches that do next to nothing would prove nothing
    np.testing.assert_allclose(values, expected, atol=1e-5 * max(1, np.abs(expected).max()), rtol=0)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_every_cell_of_a_trained_english_model_equals_one_plain_forward(story_model: Path, direction: str) -> None:
    clean, corrupt = "Lily went to the park. She was", "Lily went to the park. He was"
    tokenizer = AutoTokenizer.from_pretrained(story_model)
    clean_ids, corrupt_ids = (tokenizer(text).input_ids for text in (clean, corrupt))
    her, his = (tokenizer.convert_tokens_to_ids(word) for word in ("▁her", "▁his"))
    model = AutoModelForCausalLM.from_pretrained(story_model).eval()
    reference = Reference(zoo.FAMILIES["llama"], model, her, his)
    host, donor = (corrupt_ids, clean_ids) if direction == "denoising" else (clean_ids, corrupt_ids)
    expected = reference.grid(host, donor, SITES)

    found = run_patching(
        story_model, clean, corrupt, answer=" her", wrong_answer=" his", sites=SITES, direction=direction
    )

    assert np.abs(found.effect()).max() > 0.9
    np.testing.assert_allclose(found.value()[0], expected, atol=1e-5 * max(1, np.abs(expected).max()), rtol=0)


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_the_two_parts_make_up_what_a_block_adds(name: str) -> None:
    """The reference's own table of sites, checked: it would prove nothing if it were wrong in the same way."""
    seen = Reference(zoo.FAMILIES[name], zoo.model(name)).activations(CLEAN)
    for pre, attn, mlp, post in zip(
        *(seen[site] for site in ("resid_pre", "attn_out", "mlp_out", "resid_post")), strict=True
    ):
        torch.testing.assert_close(pre + attn + mlp, post, atol=1e-4, rtol=1e-4)
