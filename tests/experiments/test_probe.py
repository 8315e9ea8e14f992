"""Probes on small models: a planted direction, plain hooks with scikit-learn beside them, leaks, lines, bad input."""

from __future__ import annotations

import copy
import linecache
import math
import sys
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from nnsight import NNsight
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp_widgets import ProbeResult, run_feature_patching, run_probe, run_steering
from interp_widgets.experiments.probe_fit import Fitting
from interp_widgets.results.errors import (
    LabelError,
    MissingPackageError,
    NonFiniteError,
    PromptError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from interp_widgets.views.probe_grid import ProbeView
from tests.experiments import zoo
from tests.experiments.plain import Plain

HOT, COLD = range(40, 48), range(50, 58)
"""Tokens whose embeddings have the planted direction added, and taken off."""


@cache
def planted() -> tuple[Any, np.ndarray[Any, Any]]:
    """A model that has one direction for a property of tokens, and the direction."""
    model = copy.deepcopy(zoo.model("gpt2"))
    direction = torch.randn(32, generator=torch.Generator().manual_seed(3))
    direction *= 4 / direction.norm()
    with torch.no_grad():
        model.transformer.wte.weight[list(HOT)] += direction
        model.transformer.wte.weight[list(COLD)] -= direction
    return model, direction.numpy()


def hot_and_cold(count: int = 64, seed: int = 0) -> tuple[list[list[int]], list[str]]:
    """Random tokens, and at the end a hot or a cold one."""
    rng = np.random.default_rng(seed)
    ends = [int(rng.choice(HOT if number % 2 else COLD)) for number in range(count)]
    texts = [[*rng.integers(1, 40, int(rng.integers(3, 7))).tolist(), end] for end in ends]
    return texts, ["hot" if number % 2 else "cold" for number in range(count)]


def test_a_planted_direction_is_found_and_its_control_is_not():
    model, direction = planted()
    texts, labels = hot_and_cold(96)
    found = run_probe(
        model, texts, labels, sites=("resid_pre", "resid_post"), positions="last", groups=[text[-1] for text in texts]
    )
    assert found.value()[:, 0].min() > 0.95, "though no token that is tested was seen in the fit"
    assert found.value().min() > 0.85, "behind three random layers"
    assert abs(found.control_value() - 0.5).max() < 0.12
    assert found.selectivity().min() > 0.3
    assert found.interval()[0].min() > 0.6
    vector = found.directions("means", site="resid_pre").vector(0)
    cosine = vector @ direction / np.linalg.norm(vector) / np.linalg.norm(direction)
    assert cosine > 0.9
    # 2 * direction lies between the means, beside what the drawn tokens happen to differ in.
    assert np.linalg.norm(vector) == pytest.approx(2 * np.linalg.norm(direction), rel=0.25)


def test_where_nothing_is_planted_nothing_is_found():
    model, _ = planted()
    texts, labels = hot_and_cold(80)
    found = run_probe(model, [text[:-1] for text in texts], labels, positions="last", control_draws=0)
    assert abs(found.value() - 0.5).max() < 0.2
    assert found.interval()[0].max() < 0.55, "no interval lies above chance"
    assert found.control is None
    assert np.isnan(found.selectivity()).all()


def test_random_labels_of_tokens_are_learnt_and_selectivity_says_so():
    """Hewitt and Liang's control: a probe that can learn what label each token has reads nothing."""
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, 25, 12).tolist() for _ in range(40)]
    labels = [[bool(token % 2) for token in text] for text in texts]
    found = run_probe(zoo.model("gpt2"), texts, labels, sites="resid_pre", layers=0, positions="tokens", C=10.0)
    assert found.value()[0, 0, 0] > 0.9
    assert found.control == "types"
    assert found.control_value()[0, 0, 0] > 0.9
    assert abs(found.selectivity()[0, 0, 0]) < 0.1
    assert found.examples.per_token


@pytest.mark.parametrize(
    ("name", "site"), [("gpt2", "attn_out"), ("llama", "z"), ("gpt_neox", "mlp_post"), ("gpt2", "resid_post")]
)
def test_every_cell_is_what_hooks_and_scikit_learn_make(name, site):
    texts, labels = hot_and_cold(30, seed=5)
    found = run_probe(
        zoo.model(name), texts, labels, sites=site, layers=(1, 2), positions=(0, -2, "mean"), folds=3, control_draws=0
    )
    plain = Plain(name)
    there = [plain.read(text, site) for text in texts]
    y = np.array(labels) == "hot"
    for column, position in enumerate(found.positions):
        fold = found.folds[column]
        for row, layer in enumerate((1, 2)):
            stacked = [each[layer].flatten(1) for each in there]
            x = np.array([(each.mean(0) if position is None else each[position]).numpy() for each in stacked], float)
            for kind, probe in enumerate(
                (make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, tol=1e-6)), NearestCentroid())
            ):
                read = np.zeros(len(y), int)
                for number in range(3):
                    probe.fit(x[fold != number], y[fold != number])
                    read[fold == number] = probe.predict(x[fold == number])
                np.testing.assert_array_equal(found.predicted[kind, row, column], read)
                assert found.value("balanced")[kind, row, column] == pytest.approx(balanced_accuracy_score(y, read))
    assert found.positions == (0, -2, None)


def test_auroc_is_scikit_learns_in_each_fold():
    texts, labels = hot_and_cold(40, seed=2)
    found = run_probe(zoo.model("gpt2"), texts, labels, layers=0, positions=0, folds=2, kinds="logistic")
    x = np.array([Plain("gpt2").read(text, "resid_post")[0][0].numpy() for text in texts], float)
    y, fold = np.array(labels) == "hot", found.folds[0]
    areas = []
    for number in range(2):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, tol=1e-6))
        probe.fit(x[fold != number], y[fold != number])
        areas.append(roc_auc_score(y[fold == number], probe.decision_function(x[fold == number])))
    assert found.value("auroc")[0, 0, 0] == pytest.approx(np.mean(areas), abs=0.01)


def test_wide_activations_are_fitted_as_they_are_in_their_own_coordinates():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 200)), rng.integers(0, 3, 30)
    probe = Fitting(x).fit("logistic", y, 3, 0.5)
    own = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=5000, tol=1e-8)).fit(x, y)
    fresh = rng.normal(size=(20, 200))
    scores = probe.scores(fresh)
    expected = own.decision_function(fresh)
    np.testing.assert_allclose(scores - scores.mean(1, keepdims=True), expected, atol=2e-3)


def test_the_penalty_is_chosen_without_the_fold_that_is_tested():
    texts, labels = hot_and_cold(36, seed=9)
    strengths = (0.0001, 0.01, 1.0)
    found = run_probe(
        zoo.model("gpt2"), texts, labels, layers=1, positions=0, folds=3, kinds="logistic", C=strengths, control_draws=0
    )
    x = np.array([Plain("gpt2").read(text, "resid_post")[1][0].numpy() for text in texts], float)
    y, fold = np.array(labels) == "hot", found.folds[0]
    read = np.zeros(len(y), int)
    for number in range(3):
        train = fold != number
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, tol=1e-6))
        search = GridSearchCV(pipeline, {"logisticregression__C": strengths}, cv=PredefinedSplit(fold[train]))
        read[~train] = search.fit(x[train], y[train]).predict(x[~train])
    np.testing.assert_array_equal(found.predicted[0, 0, 0], read)


def test_what_begins_alike_is_in_one_fold_and_single_texts_are_dealt_as_scikit_learn_does():
    rng = np.random.default_rng(1)
    texts = [[number % 12 + 1, 5, *rng.integers(1, 60, 2).tolist()] for number in range(60)]
    labels = [bool(number % 12 % 2) for number in range(60)]
    found = run_probe(zoo.model("gpt2"), texts, labels, positions="all", control_draws=0, seed=4)
    assert found.labels == ("pos 0", "#5", "pos 2", "pos 3", "mean")
    for column in (0, 1):
        for first in range(1, 13):
            same = [number for number, text in enumerate(texts) if text[0] == first]
            assert len(set(found.folds[column, same])) == 1
        groups = found.groups[column]
        y = found.examples.labels
        splits = StratifiedGroupKFold(5, shuffle=True, random_state=4).split(texts, y, groups)
        assert [sorted(np.flatnonzero(found.folds[column] == n)) for n in range(5)] == [sorted(t) for _, t in splits]
    assert len(set(map(tuple, texts))) == 60
    splits = StratifiedKFold(5, shuffle=True, random_state=4).split(texts, found.examples.labels)
    assert [np.flatnonzero(found.folds[3] == n).tolist() for n in range(5)] == [t.tolist() for _, t in splits]
    low = found.interval()[0]
    assert low[0, 0, 0] < low[0, 0, 3] or found.value()[0, 0, 3] < found.value()[0, 0, 0], "worth 12, not 60"


def test_the_same_text_twice_and_groups_stay_together():
    texts, labels = hot_and_cold(30)
    groups = [number // 3 for number in range(30)]
    found = run_probe(zoo.model("gpt2"), [*texts, texts[4]], [*labels, labels[4]], groups=[*groups, "own"],
                      layers=0, positions="last", control_draws=0)  # fmt: skip
    fold = found.folds[0]
    assert all(len(set(fold[first : first + 3])) == 1 for first in range(0, 30, 3))
    assert fold[30] == fold[4]


def test_columns_that_cannot_be_tested_say_why_and_the_rest_is_computed():
    rng = np.random.default_rng(0)
    texts = [[7, 8 + number % 2, *rng.integers(1, 60, 3).tolist()] for number in range(30)]
    found = run_probe(zoo.model("gpt2"), texts, [number % 2 for number in range(30)], positions=(0, 1, 4), layers=0)
    assert found.untested == {
        0: "all texts are the same up to here, so there is nothing to tell them apart by.",
        1: "some class has fewer different texts or groups up to here than there are folds (1 for 5), and what is the "
        "same must not be split between fit and test.",
    }
    assert found.computed.tolist() == [[False, False, True]]
    assert found.classes == ("0", "1")


def test_probes_are_tested_on_another_set_that_they_were_not_fitted_to():
    model, _ = planted()
    texts, labels = hot_and_cold(40)
    others, answers = hot_and_cold(30, seed=8)
    swapped = ["cold" if label == "hot" else "hot" for label in answers]
    found = run_probe(
        model, texts, labels, positions="last", layers=(0, 1), control_draws=0,
        transfer={"others": (others, answers), "turned round": (others[::-1], swapped[::-1])},
    )  # fmt: skip
    assert found.transferred("others").min() > 0.9
    np.testing.assert_allclose(found.transferred("turned round"), 1 - found.transferred("others"))
    np.testing.assert_allclose(
        found.transferred("turned round", "auroc"), 1 - found.transferred("others", "auroc"), atol=1e-6
    )


def test_more_classes_than_two_have_a_direction_each():
    model, direction = planted()
    rng = np.random.default_rng(0)
    ends = [(HOT, COLD, range(1, 30))[number % 3] for number in range(60)]
    texts = [[*rng.integers(1, 40, 4).tolist(), int(rng.choice(end))] for end in ends]
    found = run_probe(model, texts, [("hot", "cold", "mild")[number % 3] for number in range(60)], positions="last",
                      sites="resid_pre", layers=0, control_draws=0)  # fmt: skip
    assert found.value().min() > 0.85
    assert found.vectors[0].shape == (2, 1, 3, 32)
    for kind in ("logistic", "means"):
        assert found.directions(kind, label="hot").vector(0) @ direction > 0
        assert found.directions(kind, label="cold").vector(0) @ direction < 0
    assert found.confusion(0, 4).sum() == 60
    with pytest.raises(SelectionError, match="which of the classes\\? Pass label= one of cold, hot, mild"):
        found.directions()


def test_a_direction_steers_and_is_patched():
    model, _ = planted()
    texts, labels = hot_and_cold(40)
    found = run_probe(model, texts, labels, positions="last", layers=1, control_draws=0)
    vector = found.directions("means").vector(1)
    ends = np.array([Plain("gpt2", model).read(text, "resid_post")[1][-1].numpy() for text in texts])
    hot, cold = (ends[np.array(labels) == label].mean(0) for label in ("hot", "cold"))
    np.testing.assert_allclose(vector, hot - cold, atol=1e-5)
    steered = run_steering(model, texts[0], vector, layers=1, n_tokens=0)
    assert steered.values["kl"][0, 1] > 0
    size = next(len(text) for text in texts)
    pair = [next(t for t, own in zip(texts, labels, strict=True) if own == label and len(t) == size) for label in
            ("hot", "cold")]  # fmt: skip
    patched = run_feature_patching(
        model, pair[0], pair[1], found.directions("means").matrix, site="resid_post", layer=1, latents=[0]
    )
    assert np.isfinite(patched.values["logit_diff"]).any()


def test_what_a_direction_promotes_is_what_its_logits_say():
    model, _ = planted()
    texts, labels = hot_and_cold(30)
    found = run_probe(model, texts, labels, positions="last", layers=2, kinds="means", control_draws=0)
    vector = torch.tensor(found.vectors[0][0, 0, 0])
    norm = model.transformer.ln_f
    logits = ((vector - vector.mean()) * norm.weight) @ model.lm_head.weight.T
    order = logits.argsort(descending=True).tolist()
    assert found.top_ids[0, 0, 0, 0, 0].tolist() == order[:8]
    assert found.top_ids[0, 0, 0, 0, 1].tolist() == order[::-1][:8]


def test_the_same_seed_gives_the_same_and_another_other_folds():
    texts, labels = hot_and_cold(30)

    def run(seed: int) -> ProbeResult:
        return run_probe(zoo.model("gpt2"), texts, labels, positions="last", layers=0, seed=seed, control_draws=1)

    assert run(1) == run(1)
    assert (run(1).folds != run(2).folds).any()


def test_few_activations_are_held_at_a_time_and_the_result_is_the_same(monkeypatch):
    texts, labels = hot_and_cold(30)
    whole = run_probe(zoo.model("gpt2"), texts, labels, positions=(-1, -2), control_draws=0)
    monkeypatch.setattr("interp_widgets.experiments.probe._BYTES", 1)
    monkeypatch.setattr("interp_widgets.experiments.probe_activations._TOKENS", 16)
    again = run_probe(zoo.model("gpt2"), texts, labels, positions=(-1, -2), control_draws=0)
    np.testing.assert_array_equal(whole.predicted, again.predicted)
    np.testing.assert_allclose(whole.margin, again.margin, atol=1e-3)
    assert again.provenance.forward_passes == 3 * whole.provenance.forward_passes == 90


def test_partial_results_grow_and_an_error_keeps_them(monkeypatch):
    from interp_widgets.experiments import probe as experiment

    texts, labels = hot_and_cold(30)
    counts = [
        int(part.computed.sum()) for part in experiment.probe(zoo.model("gpt2"), texts, labels, positions=(-1, -2))
    ]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 6)
    fit, calls = experiment.auroc, []

    def breaks(*args: Any) -> float:
        calls.append(args)
        if len(calls) > 4:
            raise RuntimeError("out of luck")
        return fit(*args)

    monkeypatch.setattr(experiment, "auroc", breaks)
    with pytest.raises(RuntimeError, match="out of luck") as raised:
        run_probe(zoo.model("gpt2"), texts, labels, positions=(-1, -2), control_draws=0)
    assert raised.value.partial.computed.sum() == 2


@pytest.mark.parametrize("positions", [(-1, "mean"), "tokens"])
@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("strengths", [0.5, (0.01, 1.0)])
def test_printed_lines_fit_the_cell_again(positions, inline, strengths, capsys, monkeypatch):
    if not inline:
        monkeypatch.setattr("interp_widgets.experiments.code_probe._INLINE", 0)
    model = NNsight(zoo.model("gpt2"))
    texts, labels = hot_and_cold(24)
    given: Any = labels
    if positions == "tokens":
        given = [[None, *("low" if token < 30 else "high" for token in text[1:])] for text in texts]
    result = run_probe(model, texts, given, positions=positions, layers=(0, 2), folds=4, C=strengths, control_draws=0)
    view = ProbeView(result)
    for kind in range(2):
        for column, pos in enumerate(result.positions):
            view.kind, view.selected = result.kinds[kind], {"site": "resid_post", "layer": 2, "pos": pos}
            _run(view.code(), {"model": model, "view": view})
            printed = float(capsys.readouterr().out)
            assert printed == pytest.approx(result.value()[kind, 1, column]), view.code()


def _run(code: str, names: dict[str, Any]) -> None:
    """Run lines as a notebook does, so that nnsight finds their source."""
    name = f"<probe {hash(code)}>"
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name
    exec(compile(code, name, "exec"), names)


TEXTS, LABELS = hot_and_cold(20)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"labels": ["hot"] * 20}, LabelError, "two classes apart, but all labels are 'hot'"),
        ({"labels": LABELS[:-1]}, LabelError, "20 probe texts but 19 labels"),
        ({"labels": "hot"}, LabelError, "The probe labels are a str"),
        ({"labels": [*LABELS[:-1], float("nan")]}, LabelError, "probe label 19 is NaN"),
        ({"labels": pd.Series([*LABELS[:-1], None], dtype="string")}, LabelError, "probe label 19 is NaN"),
        (
            {"positions": "tokens", "labels": [[None] * (len(text) - 1) + [math.nan] for text in TEXTS]},
            LabelError,
            f"label {len(TEXTS[0]) - 1} of probe text 0 is NaN",
        ),
        ({"transfer": {"odd": ([[3, 4, 5, 6]], [math.nan])}}, LabelError, "transfer 'odd' label 0 is NaN"),
        ({"groups": [*range(19), math.nan]}, LabelError, "Group 19 is NaN, which does not say which texts belong"),
        ({"labels": np.linspace(0, 1, 20)}, LabelError, "names, truth values or whole numbers"),
        ({"labels": [*LABELS[:-1], None]}, LabelError, "probe label 19 is None"),
        ({"labels": [*LABELS[:-1], 3]}, LabelError, "mix names and numbers"),
        (
            {"labels": ["hot"] * 3 + ["cold"] * 17},
            LabelError,
            "Only 3 examples are labelled 'hot', but each of 5 folds",
        ),
        ({"labels": [[1, 2]] * 20}, LabelError, "Label 0 of the probe texts is a list. Labels of single tokens"),
        ({"positions": "tokens"}, LabelError, "Label 0 of the probe texts is 'cold'. With positions='tokens' pass a"),
        ({"positions": "tokens", "labels": [[1]] * 20}, LabelError, "Probe text 0 has [0-9]+ tokens but 1 label"),
        ({"texts": [*TEXTS[:-1], []]}, PromptError, "probe prompt is empty"),
        ({"texts": [*TEXTS[:-1], TEXTS[0]]}, LabelError, "Texts 0 and 19 are the same, but one is labelled 'cold'"),
        ({"positions": 4}, SelectionError, "positions holds 4, but the shortest text has 4 tokens"),
        ({"positions": "first"}, SelectionError, "positions holds 'first'"),
        ({"positions": ()}, SelectionError, "positions is empty"),
        ({"layers": 7}, SelectionError, "layers holds 7"),
        ({"sites": "pattern"}, SiteError, "no probe can read it"),
        ({"kinds": "svm"}, UnknownNameError, "unknown kind of probe 'svm'"),
        ({"kinds": 5}, UnknownNameError, "unknown kind of probe 5"),
        ({"kinds": ()}, ValueError, "kinds is empty"),
        ({"control": "types"}, SelectionError, "control='types' gives each kind of token a label"),
        ({"control": "random"}, UnknownNameError, "unknown control 'random'"),
        ({"folds": 1}, ValueError, "folds=1 must be"),
        ({"C": 0}, ValueError, "C=0 must be a number above 0"),
        ({"C": (0.1, 1), "folds": 2}, ValueError, "takes folds=3 or more"),
        ({"groups": [1, 2]}, LabelError, "20 texts but 2 groups"),
        ({"groups": 5}, LabelError, "groups= is an int. Pass a list with the group of each text"),
        ({"groups": [[1]] * 20}, LabelError, "Group 0 is a list. A group is named by a number or a text"),
        ({"transfer": [(TEXTS, LABELS)]}, LabelError, r"transfer= is a list. Pass {name: \(texts, labels\)}"),
        ({"transfer": "x"}, LabelError, "transfer= is a str"),
        ({"transfer": {"a": None}}, LabelError, "The transfer 'a' is a NoneType, not texts with their labels"),
        ({"transfer": {"a": TEXTS}}, LabelError, "The transfer 'a' is a list, not texts with their labels"),
        ({"transfer": {"a": ([], [])}}, PromptError, "transfer 'a'"),
        (
            {"groups": [number // 10 for number in range(20)]},
            LabelError,
            r"Nothing can be tested in 5 folds: some class has fewer .* \(2 for 5\)",
        ),
        ({"control_draws": -1}, ValueError, "control_draws=-1"),
        ({"transfer": {"same": (TEXTS[:2], LABELS[:2])}}, PromptError, "Text 0 of the transfer 'same' is text 0 of"),
        ({"transfer": {"odd": ([[3, 4, 5, 6]], ["warm"])}}, LabelError, "The transfer 'odd' has the label 'warm'"),
        ({"transfer": {"short": ([[3]], ["hot"])}, "positions": -2}, SelectionError, "has 1 tokens, so that it has no"),
    ],
)
def test_what_cannot_work_is_refused_before_the_model_runs(given, error, words, monkeypatch):
    monkeypatch.setattr("interp_widgets.experiments.probe.gather", None)
    asked = {"texts": TEXTS, "labels": LABELS, "positions": "last", **given}
    with pytest.raises(error, match=words):
        run_probe(zoo.model("gpt2"), **asked)


def test_activations_that_are_no_numbers_are_refused():
    model = copy.deepcopy(zoo.model("gpt2"))
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.weight[0] = torch.nan
    with pytest.raises(NonFiniteError, match="first in the output of layer 1"):
        run_probe(model, TEXTS, LABELS, positions="last")


def test_without_scikit_learn_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackageError, match=r'pip install "interp-widgets\[probes\]"'):
        run_probe(SimpleNamespace(), TEXTS, LABELS)
