"""Latents carried from one run into another: against plain hooks, against the site itself, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets import PatchingResult, run_feature_patching, run_patching, show_feature_patching, teaching
from interp_widgets.experiments.latent_difference import LatentDifference
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.activations import ReLU
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.models.dictionaries.normalisation import Standardised
from interp_widgets.models.dictionaries.opening import open_dictionary
from interp_widgets.models.harvest import harvest
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, MetricError, SelectionError, UnknownNameError
from tests.experiments import zoo
from tests.experiments.plain import Plain, Put
from tests.latents import Sparse, hooked

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
ANSWER, WRONG = 11, 27
GIVEN: dict[str, Any] = {"answer": ANSWER, "wrong_answer": WRONG}
D = 32


def sparse(site: Any = "resid_post", layer: int = 1, **more: Any) -> Sparse:
    return Sparse(D, 40, k=6, place=Place(site, layer), **more)


def normalised(kind: Any = "sae") -> Coder:
    generator = torch.Generator().manual_seed(0)
    weights = Weights(*(torch.randn(40, D, generator=generator) / D**0.5 for _ in range(2)))
    place = Place("resid_mid" if kind == "sae" else "mlp_in", 0)
    writes = place if kind == "sae" else Place("mlp_out", 0)
    return Coder(weights, ReLU(), name="it", kind=kind, reads=place, writes=writes, normalisation=Standardised())


def said(logits: torch.Tensor) -> float:
    return float(logits[ANSWER] - logits[WRONG])


@pytest.mark.parametrize("site", ["resid_pre", "resid_post", "attn_out", "mlp_out"])
@pytest.mark.parametrize("name", ["gpt2", "gemma2", "gpt_neox", "falcon"])
def test_a_cell_equals_a_plain_hook(name, site):
    plain, dictionary = Plain(name), sparse(site, 1)
    result = run_feature_patching(zoo.model(name), CLEAN, CORRUPT, dictionary, latents=range(40), **GIVEN)
    donor, host = (plain.read(ids, site)[1] for ids in (CLEAN, CORRUPT))
    by = dictionary.encode(donor) - dictionary.encode(host)
    changing = by.any(0).nonzero()[:, 0].tolist()
    assert len(changing) > 6
    for latent in [*changing[:6], "all", "error"]:
        for pos in (2, 5):
            if isinstance(latent, int):
                moved = by[:, latent, None] * dictionary.rows[latent]
            else:
                moved = dictionary.decode(dictionary.encode(donor), donor) - dictionary.decode(
                    dictionary.encode(host), host
                )
                moved = moved if latent == "all" else donor - host - moved
            expected = said(plain.run(CORRUPT, [Put(site, 1, pos, (host + moved)[pos])]))
            cell = result.find({"site": site, "layer": 1, "latent": latent, "pos": pos})
            assert result.values["logit_diff"][0][cell] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize(
    "features",
    [
        pytest.param((sparse(), {}), id="sae"),
        pytest.param((normalised(), {}), id="normalised"),
        pytest.param((normalised("transcoder"), {}), id="transcoder"),
        pytest.param((sparse("z", 1), {}), id="heads"),
        pytest.param(("neurons", {"layer": 1}), id="neurons"),
        pytest.param((np.random.default_rng(0).normal(size=(5, D)), {"layer": 0}), id="directions"),
    ],
)
@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_all_latents_and_the_error_are_the_site(name, features, direction):
    access = resolve(open_model(zoo.model(name)))
    features, where = features
    dictionary = open_dictionary(features, access, **where)
    writes = dictionary.info.writes
    sides = (CLEAN, CORRUPT) if direction == "noising" else (CORRUPT, CLEAN)
    runs = access.read(torch.tensor(sides), [writes.site])
    there = runs.site(writes.site, writes.layer)
    read = harvest(access, torch.tensor(sides), dictionary.info.reads, lambda there: there)
    by = dictionary.encode(read[1]) - dictionary.encode(read[0])
    difference = LatentDifference(dictionary, read[0], by, there[1] - there[0])
    together = sum(difference.moved(latent) for latent in range(dictionary.info.n_latents))
    if (
        name != "gemma2" or dictionary.info.kind != "neurons"
    ):  # there a norm follows, so that neurons do not simply add up
        assert torch.allclose(together, difference.moved("all"), atol=1e-5)
    whole = difference.moved("all") + difference.moved("error")
    logits = access.run(
        torch.tensor(sides)[:1],
        lambda place: (lambda old: old + whole) if place == (writes.site, writes.layer) else None,
    )[0]
    given = {"direction": direction, **GIVEN}
    patched = run_patching(zoo.model(name), CLEAN, CORRUPT, sites=writes.site, layers=writes.layer, by="layer", **given)
    assert said(logits) == pytest.approx(float(patched.values["logit_diff"][0, 0, 0, 0]), abs=1e-5)


def test_the_error_of_neurons_is_nothing_and_all_of_them_are_the_mlp():
    result = run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, "neurons", layer=0, n_latents=3, by=None, **GIVEN)
    mlp = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites="mlp_out", layers=0, by="layer", **GIVEN)
    rows = {line.latent: row for row, line in enumerate(result.panels[0].lines)}
    assert [*rows][:: len(rows) - 1] == ["error", "all"]
    effect = result.effect()[0, 0, :, 0]
    assert effect[rows["error"]] == pytest.approx(0, abs=1e-4)
    assert effect[rows["all"]] == pytest.approx(mlp.effect()[0, 0, 0, 0], abs=1e-4)


def test_the_latents_that_are_shown_are_those_that_matter_most():
    dictionary = sparse("resid_post", 0)
    every = run_feature_patching(
        zoo.model("gpt2"), CLEAN, CORRUPT, dictionary, latents=range(40), preview=True, **GIVEN
    )
    estimated = np.abs(every.estimated_effect()[0, 0])
    by_latent = {line.latent: row for row, line in enumerate(every.panels[0].lines)}
    strongest = sorted(range(40), key=lambda latent: -np.nanmax(np.nan_to_num(estimated[by_latent[latent]])))
    few = run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, dictionary, n_latents=5, **GIVEN)
    assert [line.latent for line in few.panels[0].lines] == ["error", *strongest[:5][::-1], "all"]
    for latent in strongest[:5]:
        at = [result.find({"site": "resid_post", "layer": 0, "latent": latent, "pos": 4}) for result in (few, every)]
        assert few.effect()[0][at[0]] == pytest.approx(every.effect()[0][at[1]], abs=1e-5)


def test_an_estimate_is_the_slope_of_small_changes():
    dictionary = sparse("resid_post", 0)
    close = run_feature_patching(
        zoo.model("gpt2"), CLEAN, CORRUPT, dictionary, latents=range(40), preview=True, **GIVEN
    )
    access = resolve(open_model(zoo.model("gpt2")))
    host, donor = (hooked(zoo.model("gpt2"), "transformer.h.0", torch.tensor([ids]))[0] for ids in (CORRUPT, CLEAN))
    by = dictionary.encode(donor) - dictionary.encode(host)
    latent = int(by[2].abs().argmax())
    small = 1e-2 * by[2, latent] * dictionary.rows[latent]

    def add(sign: float) -> float:
        def change(old: torch.Tensor) -> torch.Tensor:
            old = old.clone()
            old[0, 2] += sign * small
            return old

        return said(access.run(torch.tensor([CORRUPT]), lambda p: change if p == ("resid_post", 0) else None)[0])

    slope = (add(1) - add(-1)) / 2e-2
    cell = close.find({"site": "resid_post", "layer": 0, "latent": latent, "pos": 2})
    assert close.estimates is not None
    found = close.estimates.values[0][cell] - close.baselines["logit_diff"][0, 1]
    assert found == pytest.approx(slope, rel=0.02, abs=2e-4)


def test_it_is_saved_shown_and_named(tmp_path):
    view = show_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sparse(), n_latents=3, **GIVEN)
    result = view.result
    assert PatchingResult.load(result.save(tmp_path / "it.safetensors")) == result
    lines = view.spec["panels"][0]["lines"]
    assert [lines[0]["latent"], lines[-1]["latent"]] == ["error", "all"]
    cell = result.panels[0].name(1, 2)
    view.selected = cell
    assert view.selected == cell
    assert "latent" in result.to_frame().columns
    assert set(result.to_frame().latent) == {line["latent"] for line in lines}
    assert list(result.to_xarray().coords["latent"].values) == [line["latent"] for line in lines]
    assert result.panels[0].place(0, 2, "x") == "layer 1, error of the dictionary, x (position 2)"
    assert "5 latents x 6 tokens" in repr(result)
    assert view.figure().axes
    with pytest.raises(SelectionError, match="no latent 999 of layer 1 in this grid"):
        result.find({"site": "resid_post", "layer": 1, "latent": 999, "pos": 2})


def test_latents_have_their_names_in_rows_and_tables(tmp_path):
    dictionary = sparse()
    names = {3: "a city", 7: "the end of a sentence"}
    view = show_feature_patching(
        zoo.model("gpt2"), CLEAN, CORRUPT, dictionary, latents=[3, 5, 7], names=names, by=None, **GIVEN
    )
    result = view.result
    assert [line.name for line in result.panels[0].lines] == ["", *("the end of a sentence", "", "a city"), ""]
    assert result.panels[0].place(3, 0, None) == "layer 1, latent 3 (a city)"
    assert result.find({"site": "resid_post", "layer": 1, "latent": 7})
    assert PatchingResult.load(result.save(tmp_path / "it.safetensors")) == result
    frame = result.to_frame()
    assert frame[frame.latent == 3].name.unique().tolist() == ["a city"]
    assert list(result.to_xarray().coords["name"].values) == [line.name for line in result.panels[0].lines]
    labels = [text.get_text() for text in view.figure().axes[0].get_yticklabels()]
    assert labels == ["error", "7 the end of a se…", "5", "3 a city", "all"]
    assert [line["name"] for line in view.spec["panels"][0]["lines"]] == [line.name for line in result.panels[0].lines]
    unnamed = run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, dictionary, latents=[3], **GIVEN)
    assert "name" not in unnamed.to_frame().columns
    with pytest.raises(SelectionError, match="There is no latent 999"):
        run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, dictionary, names={999: "x"}, **GIVEN)


def test_the_names_of_a_dictionary_are_shown():
    model, sae = teaching.load(), teaching.sae()
    named = next(iter(sae.concepts.names))
    pair = teaching.prompts("ioi", n=1)[0]
    result = run_feature_patching(model, pair.clean, pair.corrupt, sae, latents=named, by=None)
    assert result.panels[0].lines[1].name == sae.concepts.names[named]


def test_a_latent_that_is_the_same_in_both_runs_is_not_run():
    dictionary = sparse()
    quiet = Sparse(D, 40, k=None)
    quiet.info = dictionary.info
    quiet.bias_in = torch.full((40,), -1e9)  # nothing ever fires
    result = run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, quiet, latents=[3], by=None, **GIVEN)
    rows = {line.latent: row for row, line in enumerate(result.panels[0].lines)}
    assert result.status[0, 0, rows[3], 0] == 2  # known without a run
    assert result.effect()[0, 0, rows["error"], 0] == pytest.approx(1, abs=1e-5)
    with pytest.raises(SelectionError, match="No latent of random latents differs between the two runs"):
        run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, quiet, **GIVEN)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"latents": [40]}, SelectionError, "latents holds 40, but they run from 0 to 39"),
        ({"latents": []}, SelectionError, "latents is empty"),
        ({"n_latents": 0}, ValueError, "n_latents=0 must be a whole number from 1 on"),
        ({"layer": 0}, FeatureError, "is resid_post of layer 1"),
        ({"metric": "rank"}, MetricError, "rank has no derivative"),
        ({"positions": 9}, SelectionError, "positions holds 9"),
        ({"by": "head"}, UnknownNameError, "by"),
        ({"direction": "up"}, UnknownNameError, "direction"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(given, error, words):
    def never(_activations: Any) -> None:
        raise AssertionError("it was run")

    with pytest.raises(error, match=words):
        run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sparse(watch=never), **{**GIVEN, **given})


def test_a_dictionary_of_another_width_is_refused():
    with pytest.raises(FeatureError, match="48"):
        run_feature_patching(zoo.model("gpt2"), CLEAN, CORRUPT, torch.eye(48), layer=0, **GIVEN)
