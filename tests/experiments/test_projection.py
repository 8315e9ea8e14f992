"""Projections against plain hooks, scikit-learn and known answers, and bad input."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from interp_widgets import difference_of_means, run_projection, teaching
from interp_widgets.experiments import projection as module
from interp_widgets.results.errors import (
    FeatureError,
    MissingPackageError,
    PromptError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from tests.experiments import zoo
from tests.experiments.plain import Plain

RNG = np.random.default_rng(1)
PROMPTS = [RNG.integers(1, 50, size=length).tolist() for length in (9, 4, 12, 12, 7, 3)]


def by_hand(name: str, site: str, prompts: list[list[int]] = PROMPTS) -> list[np.ndarray[Any, Any]]:
    """For each layer, (token, d)."""
    if site == "resid_mid":
        return [sum(parts) for parts in zip(by_hand(name, "resid_pre"), by_hand(name, "attn_out"), strict=True)]
    plain = Plain(name)
    read = [plain.read(ids, site) for ids in prompts]
    return [np.concatenate([each[layer].double().numpy() for each in read]) for layer in range(len(read[0]))]


@pytest.mark.parametrize("site", ["resid_pre", "resid_mid", "resid_post", "mlp_out"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_components_are_those_of_scikit_learn(name, site):
    result = run_projection(zoo.model(name), PROMPTS, site=site, n_components=3, first=True)
    for layer, there in enumerate(by_hand(name, site)):
        pca = PCA(3, svd_solver="full").fit(there)
        scale = np.abs(there).max()
        assert result.coordinates(layer) == pytest.approx(pca.transform(there), abs=1e-5 * scale)
        assert result.basis[layer] == pytest.approx(pca.components_, abs=1e-5)
        assert result.shares(layer) == pytest.approx(pca.explained_variance_ratio_, abs=1e-6)
        every = PCA(svd_solver="full").fit(there).explained_variance_ratio_[:20]
        assert result.scree[layer, : len(every)] == pytest.approx(every, abs=1e-5)


def test_reading_twice_gives_the_same_as_keeping_everything(monkeypatch):
    kept = run_projection(zoo.model("gpt2"), PROMPTS)
    # Of 64 numbers a token, and more tokens than that: covariances are smaller, and one fits at a time.
    many = PROMPTS * 4
    whole = run_projection(zoo.model("gpt2"), many)
    width = kept.basis.shape[-1]
    monkeypatch.setattr(module, "BUDGET", width * width * 8)
    assert len(many) * 8 * 4 * width > width * width * 8
    twice = run_projection(zoo.model("gpt2"), many)
    assert twice.coords == pytest.approx(whole.coords, abs=1e-4)
    assert twice.provenance.forward_passes > whole.provenance.forward_passes
    assert twice.done == twice.todo
    assert whole.done == whole.todo


def test_positions_are_chosen_and_points_are_counted_through_the_prompts():
    result = run_projection(zoo.model("gpt2"), PROMPTS, positions=(-1, 0), layers=1)
    there = by_hand("gpt2", "resid_post")[1]
    ends = np.cumsum(list(map(len, PROMPTS)))
    tokens = np.sort(np.concatenate([ends - 1, ends - list(map(len, PROMPTS))]))
    assert result.points.tolist() == tokens.tolist()
    assert result.coords[0] == pytest.approx(PCA(2).fit_transform(there[tokens]), abs=1e-4)
    assert result.layers == (1,)


def test_documents_longer_than_the_context_are_read_in_windows():
    model = zoo.model("gpt2")
    long = RNG.integers(1, 50, size=3 * model.config.n_positions).tolist()
    result = run_projection(model, [long, PROMPTS[0]], first=True)
    assert len(result) == len(long) + len(PROMPTS[0])
    assert np.isfinite(result.coords).all()
    assert result.code == ""
    # Tokens of the first window see all that is before them, and what comes later changes nothing.
    there = by_hand("gpt2", "resid_post", [long[: model.config.n_positions]])
    for layer, activations in enumerate(there):
        placed = activations @ result.basis[layer].T - result.offsets[layer]
        assert result.coordinates(layer)[: len(placed)] == pytest.approx(placed, abs=1e-4)


def test_attention_sinks_are_left_out_unless_they_are_asked_for():
    model = zoo.build("gpt2")
    with torch.no_grad():
        model.transformer.wpe.weight[0] *= 200
    quiet = run_projection(model, PROMPTS)
    assert quiet.outlier is not None
    assert quiet.outlier > 3
    assert quiet.find(position=0) == []
    assert len(quiet) == sum(map(len, PROMPTS)) - len(PROMPTS)
    assert "[1:]" in quiet.code
    loud = run_projection(model, PROMPTS, first=True)
    assert loud.outlier is None
    assert loud.shares(0)[0] > 0.9 > quiet.shares(0)[0]
    assert run_projection(zoo.model("gpt2"), PROMPTS).outlier is None
    assert run_projection(zoo.model("gpt2"), PROMPTS, first=False).find(position=0) == []


def test_directions_come_first_and_components_are_at_right_angles_to_them():
    model = zoo.model("gpt2")
    found = difference_of_means(model, PROMPTS[:3], PROMPTS[3:])
    result = run_projection(model, PROMPTS, directions={"up": found}, n_components=3, first=True)
    assert (result.axes, result.n_given) == (("up", "PC 1", "PC 2"), 1)
    for layer, there in enumerate(by_hand("gpt2", "resid_post")):
        unit = found.vector(layer).astype(np.float64)
        unit /= np.linalg.norm(unit)
        assert result.coordinates(layer)[:, 0] == pytest.approx(there @ unit, abs=1e-4)
        rest = there - np.outer(there @ unit, unit)
        assert result.coordinates(layer)[:, 1:] == pytest.approx(PCA(2).fit_transform(rest), abs=1e-4)
        assert result.variance[layer, 0] == pytest.approx((there @ unit).var(ddof=1), rel=1e-5)
        assert result.cosines(layer) == pytest.approx(np.eye(3), abs=1e-5)


def test_two_tokens_are_the_direction_that_tells_their_logits_apart():
    model = teaching.load()
    prompts = [pair.clean for pair in teaching.prompts("ioi", n=4)]
    result = run_projection(model, prompts, directions={"names": (" Mary", " John")}, positions=-1)
    hf = model._module
    weight, gain = hf.lm_head.weight.detach().double(), hf.transformer.ln_f.weight.detach().double()
    ids = [model.tokenizer(text, add_special_tokens=False).input_ids[0] for text in (" Mary", " John")]
    expected = (weight[ids[0]] - weight[ids[1]]) * gain
    if type(hf.transformer.ln_f).__name__ == "LayerNorm":
        expected = expected - expected.mean()
    expected = expected / expected.norm()
    for layer in range(4):
        assert result.basis[layer, 0] == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_latent_is_the_direction_that_it_writes():
    sae = teaching.sae()
    result = run_projection(teaching.load(), "Mary and John went to the store.", directions={"it": (sae, 12)}, layers=1)
    row = sae.decoder[12].numpy()
    assert result.basis[0, 0] == pytest.approx(row / np.linalg.norm(row), abs=1e-5)


def test_tsne_keeps_neighbours_and_is_the_same_every_time():
    pairs = teaching.prompts("refusal", n=20)
    prompts = [text for pair in pairs for text in (pair.clean, pair.corrupt)]
    first, again = (
        run_projection(teaching.load(), prompts, method="tsne", positions=-1, layers=2, seed=5) for _ in range(2)
    )
    assert (first.coords == again.coords).all()
    assert first.axes == ("t-SNE 1", "t-SNE 2")
    assert np.isnan(first.shares(2)).all()
    assert "seed" in first.provenance.settings
    plain = run_projection(teaching.load(), prompts, positions=-1, layers=2, n_components=10)
    assert trustworthiness(plain.coords[0], first.coords[0], n_neighbors=4) > 0.9


def test_harmful_and_harmless_requests_are_apart_in_the_bundled_model():
    pairs = teaching.prompts("refusal", n=16)
    prompts = [*(pair.clean for pair in pairs), *(pair.corrupt for pair in pairs)]
    result = run_projection(teaching.load(), prompts, labels=["harmful"] * 16 + ["harmless"] * 16, positions=-1)
    along = result.coordinates(2)[:, 0]
    sides = [np.sign(along[result.find(label=label)]) for label in ("harmful", "harmless")]
    assert abs(sides[0].sum()) == abs(sides[1].sum()) == 16
    assert sides[0][0] != sides[1][0]


def test_the_printed_lines_compute_the_same(capsys):
    model = teaching.load()
    prompts = [pair.clean for pair in teaching.prompts("ioi", n=3)]
    for positions in (None, -1, (2, -1)):
        result = run_projection(model, prompts, site="resid_mid", positions=positions)
        code = compile(result.script(2), "<printed>", "exec")
        import linecache

        linecache.cache["<printed>"] = (len(result.script(2)), None, result.script(2).splitlines(True), "<printed>")
        exec(code, {"model": model})
        printed = np.array(eval(capsys.readouterr().out))
        assert printed == pytest.approx(result.coordinates(2), abs=1e-4)


def test_layers_come_one_by_one():
    seen = [partial.computed.tolist() for partial in module.projection(zoo.model("gpt2"), PROMPTS)]
    assert seen[0] == [False] * len(seen[0])
    assert [True] + [False] * (len(seen[0]) - 1) in seen
    assert seen[-1] == [True] * len(seen[0])


def test_a_column_of_a_table_names_the_prompts():
    labels = pd.Series(["a", "b", "nan", "c", "a", "b"], index=[9, 8, 7, 6, 5, 4])
    assert list(module.projection(zoo.model("gpt2"), PROMPTS, labels=labels))[-1].labels == tuple(labels)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"prompts": []}, PromptError, "prompt"),
        ({"prompts": [[5]]}, PromptError, "1 point would be too few for 2 axes"),
        ({"labels": ["a"]}, PromptError, "1 label for 6 prompts"),
        ({"labels": ["a", "b", float("nan"), *"abc"]}, PromptError, "Label 2 is NaN, which names no class. Name one"),
        ({"labels": np.array([0.0, 1.0, 2.0, 3.0, np.nan, 5.0])}, PromptError, "Label 4 is NaN"),
        ({"labels": pd.Series(["a", "b", "c", "a", "b", pd.NA])}, PromptError, "Label 5 is NaN"),
        ({"labels": [*"abcab", None]}, PromptError, "Label 5 is None, which names no class"),
        ({"first": "x"}, ValueError, "first='x' must be True, False or None"),
        ({"n_components": 1}, ValueError, "n_components=1 must be a whole number from 2 to 10"),
        ({"method": "mds"}, UnknownNameError, "mds"),
        ({"site": "pattern"}, SiteError, "pattern has no numbers of single tokens"),
        ({"site": "nowhere"}, UnknownNameError, "nowhere"),
        ({"seed": -1}, ValueError, "seed=-1 must be a whole number from 0 on"),
        ({"layers": 99}, SelectionError, "layers holds 99"),
        ({"positions": 5}, SelectionError, "positions holds 5, but the shortest prompt has 3 tokens"),
        ({"positions": -1, "first": True}, SelectionError, "first= is about all positions"),
        ({"method": "tsne", "directions": {"a": [1.0]}}, SelectionError, "t-SNE has no axes"),
        ({"directions": {}}, SelectionError, "an empty mapping was given"),
        ({"directions": {"a": [1.0, 2.0]}}, FeatureError, r"directions\['a'\]: direction has the shape \(2,\)"),
        ({"directions": {"a": (7, 7)}}, FeatureError, "both tokens are"),
    ],
)
def test_what_cannot_work_is_refused(given, error, words):
    asked = {"prompts": PROMPTS, **given}
    with pytest.raises(error, match=words):
        module.projection(zoo.model("gpt2"), **asked)


def test_what_is_missing_is_named(monkeypatch):
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.split(".")[0] in ("umap", "sklearn"):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingPackageError, match=r"umap-learn, which is not installed: pip install umap-learn"):
        module.projection(zoo.model("gpt2"), PROMPTS, method="umap")
    with pytest.raises(MissingPackageError, match="scikit-learn"):
        module.projection(zoo.model("gpt2"), PROMPTS, method="tsne")
