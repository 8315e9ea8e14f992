"""Training a tuned lens: it comes closer to the model at every layer, and what it saves is what the library reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets import LensCurves, run_lens, teaching, train_tuned_lens
from interp_widgets.experiments import train_tuned_lens as module
from interp_widgets.experiments.train_tuned_lens import tuned_lens_training
from interp_widgets.results.errors import ModelError, NonFiniteError, PromptError
from tests.experiments import zoo
from tests.models.test_describe import JUDGE, judge

IDS = [5, 9, 17, 3, 22, 40, 8]
QUICK: dict[str, Any] = {"steps": 12, "batch": 32, "rate": 1e-2, "progress": None}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_texts(count: int = 12) -> list[list[int]]:
    return np.random.default_rng(0).integers(0, zoo.VOCAB, (count, 9)).tolist()


def test_every_layer_comes_closer_to_the_teaching_model_on_held_out_prompts() -> None:
    model, prompts = teaching.load(), teaching.prompts("ioi", n=60).clean
    said: list[str] = []
    lens = train_tuned_lens(model, prompts, steps=25, batch=96, progress=said.append)
    curves = lens.curves
    assert (curves.after < 0.6 * curves.before).all()
    assert curves.complete
    assert curves.held_out.shape == (2, 4)
    assert said == [curves.summary()]
    read = run_lens(model, prompts[0], tuned=lens)
    assert read.value("kl")[0, :-1].mean() < 0.6 * run_lens(model, prompts[0]).value("kl")[0, :-1].mean()
    np.testing.assert_allclose(read.value("kl")[0, -1], 0, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "granite"])
def test_curves_are_the_divergences_that_run_lens_reads(name: str) -> None:
    model = zoo.model(name)
    lens = train_tuned_lens(
        model, [IDS, IDS], **QUICK | {"rate": 1e-3}
    )  # what is held out is known: it is the text itself
    for curve, tuned in ((lens.curves.before, None), (lens.curves.after, lens)):
        read = run_lens(model, IDS, tuned=tuned).value("kl")[0, :-1].mean(axis=-1)
        np.testing.assert_allclose(curve, read, rtol=1e-3, atol=1e-6)
    assert (lens.curves.after < lens.curves.before).all()
    assert np.isnan(lens.curves.trained[0]).all()
    np.testing.assert_allclose(lens.curves.trained[1], lens.curves.trained[1].clip(0, 2 * lens.curves.before.max()))


def test_what_is_saved_is_read_by_the_definitions_of_the_library(tmp_path: Path) -> None:
    model = zoo.model("gpt2")
    lens = train_tuned_lens(model, random_texts(), **QUICK)
    folder = lens.save(tmp_path / "new" / "lens")
    config = json.loads((folder / "config.json").read_text())
    fields = {"base_model_name_or_path", "d_model", "num_hidden_layers", "bias"}
    fields |= {"base_model_revision", "unembed_hash", "lens_type"}
    assert config.keys() == fields
    # As in tuned_lens 0.2: TunedLens.layer_translators and TunedLens.transform_hidden.
    maps = nn.ModuleList(nn.Linear(config["d_model"], config["d_model"]) for _ in range(config["num_hidden_layers"]))
    maps.load_state_dict(torch.load(folder / "params.pt", weights_only=True))
    read = run_lens(model, IDS, 4, tuned=folder)
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([IDS]), output_hidden_states=True).hidden_states
        for layer in range(config["num_hidden_layers"]):
            stream = hidden[layer][0]
            said = model.lm_head(model.transformer.ln_f(stream + maps[layer](stream))).log_softmax(-1)
            np.testing.assert_allclose(read.logprobs[0, layer, :, 0], said[:, 4], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(lens(stream, layer), stream + maps[layer](stream), rtol=1e-5, atol=1e-6)
    assert LensCurves.load(folder / "curves.safetensors") == lens.curves
    assert len(lens.curves.to_frame()) == 2 * 3


def test_the_model_stays_as_it_is_and_the_same_arguments_give_the_same_lens() -> None:
    model = zoo.build("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, two = (train_tuned_lens(model, random_texts(), **QUICK) for _ in range(2))
    other = train_tuned_lens(model, random_texts(), **QUICK, seed=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    pairs = list(zip(one.parameters(), two.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(left, right) for left, right, _ in pairs)
    assert not any(torch.equal(left, right) for left, _, right in pairs)
    assert one.curves.provenance.settings["trained on"] == "99 tokens, 9 held out"


def test_in_portions_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_tuned_lens(zoo.model("llama"), random_texts(), **QUICK)
    monkeypatch.setattr(module, "_LOGITS", 7 * zoo.VOCAB)
    apart = train_tuned_lens(zoo.model("llama"), random_texts(), **QUICK)
    np.testing.assert_allclose(apart.curves.after, whole.curves.after, rtol=1e-3)


def test_one_long_text_is_held_out_in_windows() -> None:
    ids = np.random.default_rng(1).integers(0, zoo.VOCAB, 400).tolist()
    lens = train_tuned_lens(zoo.model("gpt2"), ids, **QUICK)
    assert (lens.curves.after < lens.curves.before).all()


def test_an_interrupt_keeps_what_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVERY", 4)

    def stop(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_PAUSE", 0.0)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train_tuned_lens(zoo.model("gpt2"), random_texts(), **QUICK | {"progress": stop, "steps": 40})
    partial = stopped.value.partial  # type: ignore[attr-defined]
    assert not partial.curves.complete
    assert run_lens(zoo.model("gpt2"), IDS, tuned=partial).complete


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps=0 must be a whole number from 1"),
        ({"batch": 2.5}, ValueError, "batch=2.5 must be a whole number"),
        ({"rate": True}, ValueError, "rate=True must be a number above 0"),
        ({"rate": -1}, ValueError, "rate=-1 must be a number above 0"),
        ({"held_out": 1}, ValueError, "held_out=1 must be a share between 0 and 1"),
        ({"texts": [IDS]}, PromptError, "Pass two or more"),
        ({"texts": []}, PromptError, "The text is empty"),
        ({"texts": ["a", "b"]}, PromptError, "tokenizer"),
    ],
)
def test_what_cannot_be_trained_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tuned_lens_training(zoo.model("llama"), **{"texts": [IDS, IDS], **arguments})


def test_models_that_a_lens_cannot_read_are_refused() -> None:
    edited = NNsight(zoo.build("gpt2"))
    with edited.edit(inplace=True):
        edited.transformer.h[1].mlp.output[:, 4] = 0
    with pytest.raises(ModelError, match="edits that you stored"):
        train_tuned_lens(edited, [IDS, IDS], **QUICK)
    from interp_widgets import describe

    with pytest.raises(ModelError, match="does not predict something at each position"):
        train_tuned_lens(describe(judge(), JUDGE), [[3, 5, 9, 2], [3, 5, 9, 2]], **QUICK)


def test_a_rate_that_breaks_the_training_is_told() -> None:
    with pytest.raises(NonFiniteError, match=r"Training gives NaN or infinity at layer \d.*lower\s+rate"):
        train_tuned_lens(zoo.model("gpt2"), [IDS, IDS], **QUICK | {"rate": 1e30})
