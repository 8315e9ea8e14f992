"""Training a TopK dictionary: planted directions are found, and a break changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from interp_widgets import teaching
from interp_widgets.experiments import train_sae as module
from interp_widgets.experiments.activation_stream import ActivationStream
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.sae_trainer import Recipe, Trainer
from interp_widgets.experiments.train_sae import activation_training, sae_training, train_sae, train_sae_on
from interp_widgets.models.dictionaries.topk import TopKSAE
from interp_widgets.results.errors import (
    NonFiniteError,
    PromptError,
    ResultError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from interp_widgets.results.training import CURVES

WIDTH, ATOMS, FIRING = 24, 40, 3


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def planted():
    """Sums of 3 of 40 directions, far from zero, and the directions."""
    generator = torch.Generator().manual_seed(0)
    atoms = functional.normalize(torch.randn(ATOMS, WIDTH, generator=generator), dim=1)
    firing = torch.rand(20_000, ATOMS, generator=generator).topk(FIRING, dim=1).indices
    latents = torch.zeros(20_000, ATOMS).scatter_(1, firing, 0.5 + torch.rand(20_000, FIRING, generator=generator))
    return latents @ atoms + 2 * torch.randn(WIDTH, generator=generator), atoms


@pytest.fixture(scope="module")
def model():
    return teaching.load()


TEXTS = teaching.prompts("ioi", n=40).clean
SMALL = {"layer": 1, "n_latents": 64, "k": 4, "batch": 64, "progress": None}


def same_weights(one, other):
    return all(torch.equal(left, right) for left, right in zip(one.buffers(), other.buffers(), strict=True))


def test_planted_directions_are_found(planted):
    activations, atoms = planted
    sae = train_sae_on(activations, layer=0, n_latents=80, k=FIRING, steps=400, batch=512, seed=1, progress=None)
    cosines = (atoms @ sae.decoder.T).max(1).values
    assert (cosines > 0.95).sum() >= 38
    torch.testing.assert_close(sae.decoder.norm(dim=1), torch.ones(80))
    error = sae.decode(sae.encode(activations), activations) - activations
    explained = 1 - float(error.square().sum() / (activations - activations.mean(0)).square().sum())
    assert explained > 0.9
    assert sae.curves.variance_explained[-1] == pytest.approx(explained, abs=0.02)
    assert sae.curves.complete


def test_activations_of_any_scale_train_alike(planted):
    small, large = (
        train_sae_on(planted[0] * scale, layer=0, n_latents=60, k=3, steps=50, batch=256, progress=None)
        for scale in (1.0, 1024.0)
    )
    np.testing.assert_allclose(large.curves.loss, small.curves.loss, rtol=1e-3)
    x = planted[0][:100]
    torch.testing.assert_close(large.encode(x * 1024) / 1024, small.encode(x), rtol=1e-2, atol=1e-2)


def test_curves_are_what_each_step_measures(planted):
    sae = train_sae_on(planted[0], layer=0, n_latents=60, k=3, steps=120, batch=256, progress=None)
    assert sae.curves.steps.tolist() == [50, 100, 120]
    assert sae.curves.tokens.tolist() == [50 * 256, 100 * 256, 120 * 256]
    assert (np.diff(sae.curves.loss) < 0).all()
    assert (sae.curves.l0 <= 3).all()
    np.testing.assert_allclose(
        sae.curves.loss, 1 - sae.curves.variance_explained + sae.curves.auxiliary_loss / 32, atol=1e-6
    )


def recipe(**changes):
    numbers = {"n_latents": 30, "k": 3, "steps": 100, "batch": 200, "rate": 1e-3, "dead_after": 10**6, "seed": 0}
    return Recipe(**numbers | changes)


def test_the_decoder_does_not_move_along_its_rows(planted):
    trainer = Trainer(recipe(), planted[0][:500])
    for number in range(5):
        before = trainer.weights().decoder
        trainer.step(planted[0][number * 200 : (number + 1) * 200])
        after = trainer.weights().decoder
        torch.testing.assert_close(after.norm(dim=1), torch.ones(30))
        # Adam scales coordinates apart, so that only its first moment is orthogonal to the rows it was made of.
        assert float((after - before).norm()) > 0
    moments = Trainer(recipe(), planted[0][:500])
    rows = moments.weights().decoder
    moments.step(planted[0][:200])
    torch.testing.assert_close(
        (moments.state()["decoder.mean"] * rows).sum(1) / moments.state()["decoder.mean"].norm(dim=1).clamp(min=1e-9),
        torch.zeros(30),
        atol=1e-4,
        rtol=0,
    )


def test_the_weights_it_returns_do_what_was_measured(planted):
    trainer = Trainer(recipe(), planted[0][:500])
    x = planted[0][:200]
    for _ in range(3):
        trainer.step(x)
    weights = trainer.weights()
    measured = trainer.step(x)
    pre = (x - weights.centre) @ weights.encoder.T + weights.encoder_bias
    top = pre.topk(3)
    latents = torch.zeros_like(pre).scatter_(1, top.indices, top.values.relu())
    error = x - latents @ weights.decoder - weights.centre
    unexplained = error.square().sum() / (x - x.mean(0)).square().sum()
    assert measured.unexplained == pytest.approx(float(unexplained), rel=1e-4)
    assert measured.l0 == float((latents > 0).sum(1).float().mean())


def test_dead_latents_come_back_to_life(planted):
    activations = planted[0]

    def firing(dead_after):
        """How many latents fire after a training that began with all but three of them far below zero."""
        trainer = Trainer(recipe(dead_after=dead_after, rate=2e-2, steps=1000), activations[:500])
        trainer.step(activations[:200])
        state = trainer.state()
        state["encoder_bias"][3:] = -10.0
        for name in state:
            if name.endswith((".mean", ".square")):
                state[name].zero_()
        trainer.restore(state)
        for number in range(300):
            at = number * 60 % 19_000
            trainer.step(activations[at : at + 200])
        weights = trainer.weights()
        latents = ((activations - weights.centre) @ weights.encoder.T + weights.encoder_bias).topk(3)
        return len(set(latents.indices[latents.values > 0].tolist()))

    assert firing(dead_after=10**9) <= 3
    assert firing(dead_after=1000) == 30


def test_a_latent_is_dead_after_so_many_tokens_without_firing(planted):
    trainer = Trainer(recipe(dead_after=600), planted[0][:500])
    trainer.step(planted[0][:200])
    state = trainer.state()
    state["encoder_bias"][:] = 0
    state["encoder_bias"][7] = -1e6
    trainer.restore(state)
    dead = []
    for _ in range(4):
        trainer.step(planted[0][:200])
        dead.append(bool(trainer.dead[7]))
    assert dead[:2] == [False, False]
    assert dead[-1]


@pytest.mark.parametrize("steps", [100, 130])
def test_a_break_changes_nothing(planted, tmp_path, steps):
    asked = {"layer": 0, "n_latents": 50, "k": 3, "steps": steps, "batch": 300, "dead_after": 2000, "progress": None}
    whole = train_sae_on(planted[0], **asked)
    training = activation_training(planted[0], **asked)
    next(training).save(tmp_path)
    training.close()
    torch.manual_seed(99)
    resumed = train_sae_on(planted[0], **asked, resume=tmp_path)
    assert same_weights(resumed, whole)
    assert resumed.curves == whole.curves
    assert resumed.info == whole.info


@pytest.mark.parametrize("buffer", [100, 2**16])
def test_a_break_changes_nothing_on_a_model(model, buffer):
    asked = SMALL | {"steps": 110, "buffer": buffer}
    whole = train_sae(model, TEXTS, **asked)
    training = sae_training(model, TEXTS, **asked)
    partial = next(training)
    training.close()
    assert partial.curves.steps.tolist() == [50]
    assert not partial.curves.complete
    resumed = train_sae(model, TEXTS, **asked, resume=partial)
    assert same_weights(resumed, whole)
    assert resumed.curves == whole.curves
    assert resumed.curves.provenance.forward_passes >= whole.curves.provenance.forward_passes


def test_an_interrupt_keeps_what_was_trained(planted, tmp_path):
    asked = {"layer": 0, "n_latents": 50, "k": 3, "steps": 150, "batch": 300, "progress": None}
    training = activation_training(planted[0], **asked)

    def interrupted():
        yield next(training)
        yield next(training)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as ended:
        finish(interrupted())
    sae = ended.value.partial
    assert sae.curves.steps.tolist() == [50, 100]
    sae.save(tmp_path)
    assert same_weights(train_sae_on(planted[0], **asked, resume=tmp_path), train_sae_on(planted[0], **asked))


def test_checkpoints_can_be_resumed_also_when_the_last_one_was_cut_short(planted, tmp_path):
    asked = {"layer": 0, "n_latents": 50, "k": 3, "steps": 150, "batch": 300, "progress": None}
    training = activation_training(planted[0], **asked, checkpoint=tmp_path)
    next(training)
    state = (tmp_path / "training.safetensors").read_bytes()
    next(training)
    training.close()
    (tmp_path / "training.safetensors").write_bytes(state)  # what a process leaves that is killed before its last file
    resumed = train_sae_on(planted[0], **asked, resume=tmp_path, checkpoint=tmp_path)
    assert resumed.curves.steps.tolist() == [50, 100, 150]
    assert same_weights(resumed, train_sae_on(planted[0], **asked))
    assert same_weights(TopKSAE.load(tmp_path), resumed)
    assert not (tmp_path / "training.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "begun with seed: 0, and now it is 1"),
        ({"n_latents": 51}, "begun with n_latents: 50, and now it is 51"),
        ({"rate": 0.5}, "begun with rate"),
        ({"layer": 1}, "begun with latents: resid_post of layer 0, and now it is resid_post of layer 1"),
    ],
)
def test_another_training_is_not_gone_on_with(planted, changes, message):
    asked = {"layer": 0, "n_latents": 50, "k": 3, "steps": 100, "batch": 300, "progress": None}
    partial = next(activation_training(planted[0], **asked))
    with pytest.raises(ResultError, match=message):
        activation_training(planted[0], **asked | changes, resume=partial)
    with pytest.raises(ResultError, match="begun on activations with the fingerprint"):
        activation_training(planted[0] + 1, **asked, resume=partial)


def test_a_complete_training_is_not_gone_on_with(planted):
    asked = {"layer": 0, "n_latents": 50, "k": 3, "steps": 10, "batch": 300, "progress": None}
    with pytest.raises(ResultError, match="This training is complete: step 10 of 10"):
        activation_training(planted[0], **asked, resume=train_sae_on(planted[0], **asked))


def test_other_texts_are_not_gone_on_with(model):
    partial = next(sae_training(model, TEXTS, **SMALL, steps=60))
    with pytest.raises(ResultError, match="begun with trained on: 40 texts"):
        sae_training(model, [*TEXTS[:-1], "Another text."], **SMALL, steps=60, resume=partial)


def test_seeds_decide(model):
    one, same, other = (train_sae(model, TEXTS, **SMALL, steps=20, seed=seed) for seed in (3, 3, 4))
    assert same_weights(one, same)
    assert not same_weights(one, other)


def hooked(model, texts, layer, first):
    """Activations of a plain hook, token by token from position `first` on."""
    found = []
    block = model._module.transformer.h[layer]
    handle = block.register_forward_hook(lambda _m, _i, out: found.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        for text in texts:
            model._module(model.tokenizer(text, return_tensors="pt").input_ids)
    handle.remove()
    return torch.cat([there[0, first:] for there in found])


@pytest.mark.parametrize("skip_first", [True, False])
def test_the_activations_are_those_of_a_hook_each_once_in_a_pass(model, monkeypatch, skip_first):
    texts = [TEXTS[0], "The picnic was terrible, so I hated it.", "User: How do I paint a car?\nAssistant: Sure"]
    expected = hooked(model, texts, 2, first=int(skip_first))
    seen = []

    class Watching(Trainer):
        def step(self, activations):
            seen.append(activations.clone())
            return super().step(activations)

    monkeypatch.setattr(module, "Trainer", Watching)
    asked = {"layer": 2, "n_latents": 32, "k": 2, "batch": len(expected), "steps": 2, "progress": None}
    train_sae(model, texts, **asked, skip_first=skip_first)
    for batch in seen:
        distances = torch.cdist(batch, expected, compute_mode="donot_use_mm_for_euclid_dist")
        assert sorted(distances.argmin(1).tolist()) == list(range(len(expected)))
        assert float(distances.min(1).values.max()) < 1e-3
    assert not torch.equal(seen[0], seen[1])


def test_long_texts_are_cut_and_every_token_counts(model):
    ids = list(range(5, 205))
    sae = train_sae(model, [ids], **SMALL, steps=2)
    assert "1 text, 199 tokens" in sae.curves.provenance.settings["trained on"]
    assert sae.curves.provenance.settings["first token of each text"] == "left out"


def test_little_is_in_memory_at_a_time():
    held = []

    def gather(pieces):
        held.append(sum(sizes[piece] for piece in pieces))
        return torch.tensor([[float(piece)] for piece in pieces for _ in range(sizes[piece])])

    sizes = [1 + piece % 7 for piece in range(400)]
    stream = ActivationStream(sizes, gather, batch=32, buffer=200, seed=0)
    batches = stream.batches()
    seen = torch.cat([next(batches) for _ in range(2 * sum(sizes) // 32)])[:, 0].int().bincount()
    assert max(held) <= 200 + 7
    # As much as two passes, in which each piece comes about equally often: some of it fills no batch.
    assert (seen > 0).all()
    assert (seen <= 3 * torch.tensor(sizes)).all()


@pytest.mark.parametrize("buffer", [50, 200, 10**6])
@pytest.mark.parametrize("first", [0, 1, 7, 40])
def test_a_batch_does_not_depend_on_where_one_begins(buffer, first):
    gathered = []

    def gather(pieces):
        gathered.append(list(pieces))
        return torch.tensor([[float(piece)] for piece in pieces for _ in range(3)])

    stream = ActivationStream([3] * 90, gather, batch=20, buffer=buffer, seed=5)
    batches = stream.batches()
    expected = [next(batches) for _ in range(first + 10)][first:]
    before = len(gathered)
    again = stream.batches(first)
    assert all(torch.equal(batch, next(again)) for batch in expected)
    assert len(gathered) - before <= before


def test_progress_is_said_in_lines(planted):
    lines = []
    train_sae_on(planted[0], layer=0, n_latents=50, k=3, steps=60, batch=100, progress=lines.append)
    assert lines[-1].startswith("step 60 of 60: variance explained 0.")
    assert "left" not in lines[-1]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"k": 65}, ValueError, r"^k=65 latents cannot fire at a token where there are n_latents=64\. Lower k\.$"),
        ({"n_latents": 0}, ValueError, "n_latents=0 must be a whole number from 1 on"),
        ({"k": 2.5}, ValueError, r"k=2\.5 must be a whole number"),
        ({"steps": True}, ValueError, "steps=True must be"),
        ({"batch": -1}, ValueError, "batch=-1 must be"),
        ({"buffer": 0}, ValueError, "buffer=0 must be"),
        ({"rate": 0}, ValueError, "rate=0 must be a number above 0"),
        ({"rate": float("nan")}, ValueError, "rate=nan must be a number above 0"),
        ({"dead_after": 0}, ValueError, "dead_after=0 must be"),
        ({"seed": -1}, ValueError, "seed=-1 must be"),
        ({"site": "resid_pst"}, UnknownNameError, "did you mean 'resid_post'"),
        ({"site": "pattern"}, SiteError, "pattern has numbers for two tokens at a time"),
        ({"layer": 4}, SelectionError, "no layer 4: .* layers 0 to 3"),
        ({"layer": "1"}, SelectionError, "layer='1' is no layer"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_runs(model, monkeypatch, changes, error, message):
    monkeypatch.setattr(module, "Trainer", None)
    with pytest.raises(error, match=message):
        sae_training(model, TEXTS, **SMALL | changes)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "The text is empty"),
        ("", "The text is empty"),
        (["The", "A"], "All texts have one token, and the first of each is left out"),
        ([[5, 999_999]], "token id 999999"),
    ],
)
def test_texts_that_give_nothing_are_refused(model, texts, message):
    with pytest.raises(PromptError, match=message):
        sae_training(model, texts, **SMALL)


def test_a_model_that_gives_nan_is_refused(planted):
    broken = teaching.load()
    with torch.no_grad():
        broken._module.transformer.h[1].mlp.c_proj.bias[3] = float("nan")
    with pytest.raises(NonFiniteError, match="first in the output of layer 1"):
        train_sae(broken, TEXTS, **SMALL, steps=5)
    spoilt = planted[0].clone()
    spoilt[17, 3] = float("inf")
    with pytest.raises(NonFiniteError, match="hold NaN or infinity"):
        activation_training(spoilt, layer=0, n_latents=50, k=3)


def test_activations_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\), but must be \(token, d\)"):
        activation_training(torch.zeros(2, 3, 4), layer=0, n_latents=5, k=1)


def test_activations_that_are_all_the_same_are_refused():
    with pytest.raises(NonFiniteError, match="all the same"):
        train_sae_on(torch.ones(100, 4), layer=0, n_latents=5, k=1, progress=None)


def test_a_rate_that_is_too_high_is_said(planted):
    with pytest.raises(NonFiniteError, match="Lower the learning rate"):
        train_sae_on(planted[0], layer=0, n_latents=50, k=3, steps=100, batch=100, rate=1e30, progress=None)


def test_fewer_tokens_than_a_batch_are_gone_over_several_times(model):
    sae = train_sae(model, TEXTS[:1], **SMALL | {"batch": 500}, steps=3)
    assert sae.curves.tokens.tolist() == [1500]


@pytest.mark.parametrize("site", ["resid_pre", "attn_out", "mlp_out", "z", "mlp_post", "q"])
def test_every_site_can_be_trained_on(model, site, tmp_path):
    sae = train_sae(model, TEXTS, **SMALL | {"site": site}, steps=2)
    sae.save(tmp_path)
    again = TopKSAE.load(tmp_path)
    assert (again.info.reads.site, again.info.d_in) == (site, 512 if site == "mlp_post" else 128)


def test_curves_have_every_array_for_every_point(model):
    sae = train_sae(model, TEXTS, **SMALL, steps=20)
    assert {len(getattr(sae.curves, name)) for name in CURVES} == {1}
