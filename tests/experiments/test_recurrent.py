"""Models without attention: their streams are patched, and what they lack is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from interp_widgets.experiments.patching import run_patching
from interp_widgets.models.inspect import inspect
from interp_widgets.results.errors import SiteError
from tests.experiments.zoo import enlarge

CLEAN, CORRUPT = [1, 2, 3, 4, 5, 6], [1, 2, 9, 4, 8, 6]
ANSWER, WRONG = 3, 7
BUILDS = {
    "Mamba": {"state_size": 4},
    "Mamba2": {"state_size": 4, "head_dim": 8, "num_heads": 8, "n_groups": 2, "chunk_size": 4},
    "FalconMamba": {"state_size": 4},
}


@pytest.fixture(scope="module", params=BUILDS)
def model(request: pytest.FixtureRequest) -> Any:
    size = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 3}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(**size, **ends, **BUILDS[request.param])
    built = getattr(transformers, f"{request.param}ForCausalLM")(config).eval()
    enlarge(built)
    return built


def hooked(model: Any, layer: int, position: int, *, leaving: bool) -> float:
    """One cell, by a plain forward pass for each side."""
    block = model.backbone.layers[layer]
    donor: list[torch.Tensor] = []

    def read(_module: Any, args: Any, output: torch.Tensor) -> None:
        donor.append((output if leaving else args[0]).clone())

    def put(there: torch.Tensor) -> torch.Tensor:
        there = there.clone()
        there[:, position] = donor[0][:, position]
        return there

    with torch.no_grad():
        handle = block.register_forward_hook(read)
        model(torch.tensor([CLEAN]))
        handle.remove()
        if leaving:
            handle = block.register_forward_hook(lambda _module, _args, output: put(output))
        else:
            handle = block.register_forward_pre_hook(lambda _module, args: (put(args[0]), *args[1:]))
        logits = model(torch.tensor([CORRUPT])).logits[0, -1]
        handle.remove()
    return float(logits[ANSWER] - logits[WRONG])


def test_streams_equal_plain_hooks(model: Any) -> None:
    sites = ("resid_pre", "resid_post")
    values = run_patching(model, CLEAN, CORRUPT, answer=ANSWER, wrong_answer=WRONG, sites=sites).value()[0]
    expected = [
        [[hooked(model, layer, pos, leaving=leaving) for pos in range(6)] for layer in range(3)]
        for leaving in (False, True)
    ]
    torch.testing.assert_close(torch.tensor(values), torch.tensor(expected), rtol=1e-5, atol=1e-4)
    assert values.std() > 0.1  # patches do something in this model


def test_what_is_not_there_is_refused_by_name(model: Any) -> None:
    for site in ("attn_out", "mlp_out", "resid_mid", "z", "q", "k", "v", "pattern", "mlp_post"):
        with pytest.raises(
            SiteError, match=rf"{site} does not exist in \w*Mamba2?ForCausalLM: its blocks mix .*resid_post"
        ):
            run_patching(model, CLEAN, CORRUPT, answer=ANSWER, wrong_answer=WRONG, sites=site)
    assert inspect(model).sites == ("resid_pre", "resid_post")
