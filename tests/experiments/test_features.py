"""Latents on text, against plain hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets import Description, describe, run_features, run_latent_cards, teaching
from interp_widgets.experiments.features import features
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.errors import FeatureError, NonFiniteError, PromptError, ResultError, SelectionError
from interp_widgets.results.features import FeatureResult
from tests.latents import Sparse, hooked
from tests.models.own_modules import Judge, weighty

MODEL = teaching.load()
NET = MODEL._module
TEXT = "When Mary and John went to the store, John gave a drink to"
OTHER = "Then Tom and Anna had a long day"


def ids_of(text: str) -> list[int]:
    ids: list[int] = MODEL.tokenizer(text, verbose=False)["input_ids"]
    return ids


def latents_of(sae: Sparse, ids: list[int]) -> np.ndarray[Any, Any]:
    found = sae.encode(hooked(NET, "transformer.h.1", torch.tensor([ids])))[0]
    assert isinstance(found, torch.Tensor)
    return found.numpy()


def dense(result: FeatureResult) -> np.ndarray[Any, Any]:
    whole = np.zeros((result.n_tokens, result.dictionary.n_latents), np.float32)
    for token in range(result.n_tokens):
        here = slice(result.starts[token], result.starts[token + 1])
        assert (np.diff(result.latents[here]) > 0).all()
        whole[token, result.latents[here]] = result.activations[here]
    return whole


def test_what_fires_is_what_encoding_by_hand_gives() -> None:
    sae = Sparse()
    result = run_features(MODEL, TEXT, sae, against=OTHER, fit=False)
    by_hand = [latents_of(sae, ids_of(text)) for text in (TEXT, OTHER)]
    np.testing.assert_allclose(dense(result), np.concatenate(by_hand), rtol=1e-5, atol=1e-5)
    assert result.complete
    assert result.sides == ("text", "against")
    assert [text.ids for text in result.texts] == [tuple(ids_of(TEXT)), tuple(ids_of(OTHER))]
    np.testing.assert_allclose(result.maximum, [part.max(0) for part in by_hand], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result.total, [part.sum(0) for part in by_hand], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(result.fires, [(part > 0).sum(0) for part in by_hand])


def test_a_long_document_is_read_in_windows_that_overlap() -> None:
    sae = Sparse()
    text = " ".join(f"{TEXT} Mary. {OTHER}." for _ in range(8))
    ids = ids_of(text)
    assert len(ids) > 150
    expected = [latents_of(sae, ids[:64])]
    starts = [*range(32, len(ids) - 64, 32), len(ids) - 64]
    done = 64
    for start in starts:
        expected.append(latents_of(sae, ids[start : start + 64])[done - start :])
        done = start + 64
    for tokens in (64, 200, 4096):
        result = run_features(MODEL, text, sae, fit=False, max_tokens=tokens)
        np.testing.assert_allclose(dense(result), np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_texts_of_many_lengths_come_back_in_their_order() -> None:
    sae = Sparse()
    listed = [TEXT, OTHER, " Mary", f"{OTHER} and {TEXT}"]
    result = run_features(MODEL, listed, sae, against=[OTHER, TEXT], fit=False, max_tokens=20)
    expected = np.concatenate([latents_of(sae, ids_of(text)) for text in (*listed, OTHER, TEXT)])
    np.testing.assert_allclose(dense(result), expected, rtol=1e-4, atol=1e-5)
    assert result.sides == ("text",) * 4 + ("against",) * 2
    ours = expected[: sum(map(len, result.texts[:4]))]
    difference = ours.mean(0) - expected[len(ours) :].mean(0)
    np.testing.assert_allclose(result.statistic("difference"), difference, atol=1e-5)


def test_a_threshold_leaves_out_what_is_below_it_but_columns_keep_it() -> None:
    sae = Sparse(k=None)
    plain = latents_of(sae, ids_of(TEXT))
    threshold = float(np.median(plain[plain > 0]))
    chosen = [int(np.argmax((plain > 0).sum(0))), 5]
    result = run_features(MODEL, TEXT, sae, threshold=threshold, latents=chosen, fit=False)
    np.testing.assert_allclose(dense(result), np.where(plain > threshold, plain, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result.fires[0], (plain > threshold).sum(0))
    np.testing.assert_allclose(result.maximum[0], plain.max(0), rtol=1e-4, atol=1e-5)
    assert sorted(result.columns) == sorted(chosen)
    for latent in chosen:
        np.testing.assert_allclose(result.column(latent), plain[:, latent], rtol=1e-4, atol=1e-5)


def test_numbers_of_numpy_are_thresholds_and_truth_values_are_not() -> None:
    assert run_features(MODEL, TEXT, Sparse(), threshold=np.float32(0.5), fit=False).threshold == 0.5
    with pytest.raises(ValueError, match="threshold=True must be a number from 0 on"):
        run_features(MODEL, TEXT, Sparse(), threshold=True, fit=False)


def test_of_neurons_all_are_kept_while_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_features(MODEL, TEXT, "neurons", layer=2)
    assert (whole.kept, len(whole.latents)) == (None, 512 * whole.n_tokens)
    monkeypatch.setattr("interp_widgets.experiments.features._KEPT_IN_ALL", 50 * whole.n_tokens)
    assert run_features(MODEL, TEXT, "neurons", layer=2).kept == 50
    monkeypatch.setattr("interp_widgets.experiments.features._KEPT_IN_ALL", 1)
    assert run_features(MODEL, TEXT, "neurons", layer=2).kept == 32


def test_of_neurons_the_strongest_are_kept_and_all_are_counted() -> None:
    neurons = hooked(NET, "transformer.h.2.mlp.c_proj", torch.tensor([ids_of(TEXT)]), entering=True)[0].numpy()
    result = run_features(MODEL, TEXT, "neurons", layer=2, latents=[7], keep=32)
    assert result.kept == 32
    assert (np.diff(result.starts) == 32).all()
    for token, row in enumerate(neurons):
        strongest = np.sort(np.argsort(-np.abs(row))[:32])
        here = slice(result.starts[token], result.starts[token + 1])
        np.testing.assert_array_equal(result.latents[here], strongest)
        np.testing.assert_allclose(result.activations[here], row[strongest], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.column(7), neurons[:, 7], rtol=1e-4, atol=1e-5)
    largest = neurons[np.abs(neurons).argmax(0), np.arange(neurons.shape[1])]
    np.testing.assert_allclose(result.maximum[0], largest, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.total[0], neurons.sum(0), rtol=1e-4, atol=1e-4)
    assert result.fires.min() == len(neurons)
    few = run_features(MODEL, TEXT, "neurons", layer=2, keep=3)
    assert (np.diff(few.starts) == 3).all()


def test_directions_are_read_with_their_sign() -> None:
    direction = torch.randn(2, 128, generator=torch.Generator().manual_seed(1))
    result = run_features(MODEL, TEXT, direction, site="resid_post", layer=1)
    stream = hooked(NET, "transformer.h.1", torch.tensor([ids_of(TEXT)]))[0]
    np.testing.assert_allclose(dense(result), (stream @ direction.T).numpy(), rtol=1e-4, atol=1e-4)
    assert (dense(result) < 0).any()


def test_names_are_those_of_the_dictionary_and_the_readers() -> None:
    sae = Sparse()
    assert run_features(MODEL, TEXT, sae, fit=False, names={3: "stores"}).names == {3: "stores"}
    sae.concepts = Concepts.of(sae.info, {3: "shops", 4: "drinks"}).noted(4, "also food")
    result = run_features(MODEL, TEXT, sae, fit=False, names={3: "stores"})
    assert (result.names, result.notes) == ({3: "stores", 4: "drinks"}, {4: "also food"})


def test_steps_begin_with_the_tokens_and_grow() -> None:
    steps = list(features(MODEL, [TEXT, OTHER], Sparse(), fit=False, max_tokens=8))
    assert [int(step.computed.sum()) for step in steps] == [0, len(ids_of(OTHER)), len(ids_of(TEXT) + ids_of(OTHER))]
    assert steps[0].at(0) == []
    assert np.isnan(steps[1].column(0)[: len(ids_of(TEXT))]).all()
    assert "tokens not read" in steps[1].summary()
    assert steps[0].provenance.forward_passes == 0
    assert steps[-1].provenance.forward_passes == 1  # two texts through two of four layers


def test_an_interrupt_keeps_what_was_read() -> None:
    calls: list[int] = []

    def interrupt(_activations: torch.Tensor) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_features(MODEL, [TEXT, OTHER], Sparse(watch=interrupt), fit=False, max_tokens=8)
    partial: FeatureResult = caught.value.partial  # type: ignore[attr-defined]
    assert partial.tokens_read.tolist() == [0, len(ids_of(OTHER))]
    assert run_features(MODEL, TEXT, Sparse(), fit=False).complete  # the model is as it was


def test_batches_are_halved_when_memory_runs_out() -> None:
    sizes: list[int] = []

    def full(activations: torch.Tensor) -> None:
        sizes.append(len(activations))
        if len(activations) > 30:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    texts = [TEXT, OTHER] * 3
    result = run_features(MODEL, texts, Sparse(watch=full), fit=False)
    assert sizes[0] > 30
    assert dense(result).tolist() == pytest.approx(dense(run_features(MODEL, texts, Sparse(), fit=False)), abs=1e-4)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_features(MODEL, f"{TEXT} {TEXT} {TEXT}", Sparse(watch=full), fit=False)


def test_no_latent_above_the_threshold_is_no_error() -> None:
    result = run_features(MODEL, TEXT, Sparse(), threshold=1000, fit=False)
    assert result.ranked() == []
    largest = latents_of(Sparse(), ids_of(TEXT)).max()
    latent = int(latents_of(Sparse(), ids_of(TEXT)).max(0).argmax())
    assert f"No latent fires above 1000: the largest activation is {largest:.3g}, of latent {latent}." in (
        result.summary()
    )


def test_what_is_no_number_is_refused_with_its_place() -> None:
    broken = teaching.load()
    with torch.no_grad():
        broken._module.transformer.h[1].mlp.c_proj.bias[3] = float("nan")
    with pytest.raises(NonFiniteError, match="NaN or infinity, first in the output of layer 1"):
        run_features(broken, TEXT, Sparse())
    sae = Sparse()
    sae.weight[17, 3] = float("inf")
    with pytest.raises(
        NonFiniteError, match="Encoding with random latents makes NaN or infinity of finite activations, first in"
    ):
        run_features(MODEL, TEXT, sae)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"text": ""}, PromptError, "The text is empty"),
        ({"text": [3, 9999]}, PromptError, "The text holds token id 9999"),
        ({"against": ""}, PromptError, "The against text is empty"),
        ({"features": Sparse(64)}, FeatureError, "64 wide, and resid_post of layer 1 of .* is 128 wide"),
        ({"latents": [96]}, SelectionError, "latents holds 96, but they run from 0 to 95"),
        ({"names": {96: "years"}}, SelectionError, "There is no latent 96: those of random latents are 0 to 95"),
        (
            {"names": Concepts("another", "4567", 96)},
            ResultError,
            "These concepts are about random latents .* not about",
        ),
        ({"threshold": -1}, ValueError, "threshold=-1 must be a number from 0 on"),
        ({"threshold": float("nan")}, ValueError, "threshold=nan must be"),
        ({"keep": 0}, ValueError, "keep=0 must be a whole number from 1 on"),
        ({"stride": 100}, PromptError, "stride=100 must be a whole number from 1 to 64"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"text": TEXT, "features": Sparse()} | changed
    with pytest.raises(error, match=message):
        features(MODEL, given.pop("text"), given.pop("features"), **given)


def test_the_fit_is_measured_on_the_texts() -> None:
    exact = Sparse(n=256, k=None)  # both signs of 128 directions at right angles: nothing is lost
    exact.weight = torch.cat([torch.eye(128), -torch.eye(128)])
    exact.rows, exact.bias, exact.bias_in = exact.weight, torch.zeros(128), torch.zeros(256)
    result = run_features(MODEL, [TEXT, " Mary", f"{TEXT} {OTHER}" * 8], exact)
    assert result.fit is not None
    assert result.fit.variance_explained == pytest.approx(1)
    assert result.fit.loss_with == pytest.approx(result.fit.loss, rel=1e-4)
    assert "explains 100.0% of the variance and recovers 100.0% of the loss" in result.summary()
    with pytest.warns(UserWarning, match="random latents does not fit interp_widgets.teaching at resid_post of layer"):
        assert run_features(MODEL, TEXT, Sparse()).fit is not None
    assert run_features(MODEL, " Mary", exact).fit is None
    steps = list(features(MODEL, TEXT, exact))
    assert [step.fit for step in steps] == [None, None]  # the last step is returned


def test_where_positions_see_what_follows_texts_are_not_padded_and_windows_meet_in_the_middle() -> None:
    net = weighty(Judge())
    model = describe(
        net, Description(blocks="layers", attention="look", mlp="think", logits=1, causal=False, context=12)
    )
    sae = Sparse(16, 32)
    texts = [[3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 14], list(range(1, 20))]

    def by_hand(ids: list[int]) -> torch.Tensor:
        return sae.encode(hooked(net, "layers.1", torch.tensor([ids])))[0]

    *short, long = texts
    windows = torch.cat([by_hand(long[:12])[:9], by_hand(long[6:18])[3:7], by_hand(long[7:])[6:]])
    result = run_features(model, texts, sae, site="resid_post", layer=1, fit=False)
    expected = torch.cat([*map(by_hand, short), windows])
    np.testing.assert_allclose(dense(result), expected.numpy(), rtol=1e-4, atol=1e-5)
    (card,) = run_latent_cards(model, sae, result.ranked()[0][0], text=texts)
    assert card.promotes is None  # a mean over positions stands between the stream and the classes
    assert card.written_by is not None
    assert sum(link.weight for link in card.written_by) == pytest.approx(result.ranked()[0][1], abs=1e-4)
    with pytest.warns(UserWarning, match="does not fit"):
        fitted = run_features(model, texts, sae)
    assert fitted.fit is not None
    assert "of the loss" not in fitted.summary()
