import json

import pytest
import torch

from interp_widgets.teaching import network
from interp_widgets.teaching.data import bundled_tokenizer
from interp_widgets.teaching.muon import Muon, orthogonalise
from interp_widgets.teaching.optimiser import Optimiser
from interp_widgets.teaching.train import Run, train


def tiny():
    return network.config(bundled_tokenizer().get_vocab_size(), n_layer=1, n_head=2, n_embd=32)


def run(folder, **changes):
    return Run(**{"seed": 0, "steps": 12, "out": folder, "rows": 4, "checkpoint_every": 6, **changes})


def silent(_):
    pass


def test_the_loss_goes_down(tmp_path):
    train(run(tmp_path, steps=100, rows=8), bundled_tokenizer(), tiny(), silent)
    curve = json.loads((tmp_path / "curves.json").read_text())["curve"]
    assert [point["step"] for point in curve] == [50, 100]
    assert curve[1]["loss"] < curve[0]["loss"] - 0.2


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    whole = train(run(tmp_path / "whole"), bundled_tokenizer(), tiny(), silent)

    class StoppedError(Exception):
        pass

    def stop(_):
        raise StoppedError

    # The report at the last step comes before its checkpoint, so the run stops with the checkpoint of step 6.
    with pytest.raises(StoppedError):
        train(run(tmp_path / "parts"), bundled_tokenizer(), tiny(), stop)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["done"] == 6
    resumed = train(run(tmp_path / "parts"), bundled_tokenizer(), tiny(), silent)
    for (name, one), (_, other) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_seeds_differ(tmp_path):
    one = network.build(tiny(), seed=0)
    other = network.build(tiny(), seed=1)
    assert not torch.equal(one.transformer.wte.weight, other.transformer.wte.weight)
    assert torch.equal(one.transformer.wte.weight, network.build(tiny(), seed=0).transformer.wte.weight)


def test_progress_is_told_with_rate_and_time_left(tmp_path):
    lines = []
    train(run(tmp_path, steps=2), bundled_tokenizer(), tiny(), lines.append)
    assert lines[-1].startswith("seed 0  step 2/2  loss ")
    assert "tokens/s" in lines[-1]
    assert lines[-1].endswith("0.0 min left")


def test_muon_orthogonalises():
    matrix = torch.randn(24, 40, generator=torch.Generator().manual_seed(0))
    for candidate in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalise(candidate))
        assert values.min() > 0.5
        assert values.max() < 1.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_muon_steps_as_torchs_does(shape):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    pairs = (ours, Muon([ours], lr=0.02)), (theirs, torch.optim.Muon([theirs], lr=0.02))
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        for parameter, optimiser in pairs:
            parameter.grad = gradient.clone()
            optimiser.step()
    # Theirs rounds to bfloat16 on the way.
    assert torch.allclose(ours, theirs, atol=2e-3)
    assert not torch.allclose(ours, start, atol=2e-2)


def test_the_rate_warms_up_and_falls():
    optimiser = Optimiser(network.build(tiny(), seed=0), steps=1000)
    rates = [optimiser.rate(step) for step in (0, 149, 500, 999)]
    assert rates[0] < 0.01
    assert rates[1] == 1.0
    assert 0.02 <= rates[3] < rates[2] < 1.0
