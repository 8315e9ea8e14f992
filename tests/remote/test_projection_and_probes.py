"""Projections and probes of a model on a server against the same here, and what cannot travel there."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import TransformersModel

from interp_widgets import (
    difference_of_means,
    run_probe,
    run_projection,
    show_probe,
    show_projection,
    teaching,
)
from interp_widgets.experiments.probe import probe
from interp_widgets.experiments.projection import projection
from interp_widgets.results.errors import (
    LabelError,
    ModelError,
    PromptError,
    RemoteRunError,
)
from tests.remote.conftest import Watching, unique, watch

PAIRS = teaching.prompts("sentiment", n=12)
TEXTS = [pair.clean for pair in PAIRS] + [pair.corrupt for pair in PAIRS]
LABELS = [pair.answer.strip() for pair in PAIRS] + [pair.wrong_answer.strip() for pair in PAIRS]
PROBED: dict[str, Any] = {"layers": [1, 3], "positions": "last", "folds": 3, "control_draws": 1, "seed": 5}


def test_a_projection_is_that_of_a_run_here_layer_by_layer(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    here = list(projection(near, TEXTS, labels=LABELS, positions=-1))
    there = unique(projection(far, TEXTS, labels=LABELS, positions=-1, remote=Watching(host)))
    assert there == here
    assert here[-1].labels == tuple(LABELS)
    assert not far.dispatched


def test_directions_of_every_kind_travel(far: TransformersModel, near: TransformersModel, host: str) -> None:
    directions: Any = {
        "means": difference_of_means(near, TEXTS[:12], TEXTS[12:], layers=2),
        "array": np.arange(128.0),
        "tensor": torch.linspace(-1, 1, 128),
        "tokens": (" Mary", " John"),
        "latent": (teaching.sae(), 12),
    }
    asked: dict[str, Any] = {"directions": directions, "layers": 2, "positions": -1}
    found = run_projection(far, TEXTS, **asked, remote=Watching(host))
    assert found == run_projection(near, TEXTS, **asked)
    assert found.axes == tuple(directions)


def test_probes_are_those_of_a_run_here_cell_by_cell(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    here = list(probe(near, TEXTS[1:], LABELS[1:], transfer={"one": (TEXTS[:1], LABELS[:1])}, **PROBED))
    there = unique(
        probe(far, TEXTS[1:], LABELS[1:], transfer={"one": (TEXTS[:1], LABELS[:1])}, remote=Watching(host), **PROBED)
    )
    assert there == here
    assert here[-1].provenance.forward_passes == there[-1].provenance.forward_passes
    assert there[-1].directions("means").vectors.shape == (2, 1, 128)


def test_their_views_open_while_the_job_waits(
    far: TransformersModel, near: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"labels": LABELS, "positions": -1, "layers": [1, 2]}
    view: Any = watch(monkeypatch, lambda: show_projection(far, TEXTS, remote=Watching(host), **asked))
    assert view.result == run_projection(near, TEXTS, **asked)
    view.layer, view.selected = 2, view.result.find(label=LABELS[0])
    assert len(view.selected) == 12
    assert len(view._page()) > 1000
    view = watch(monkeypatch, lambda: show_probe(far, TEXTS, LABELS, remote=Watching(host), **PROBED))
    own = run_probe(near, TEXTS, LABELS, **PROBED)
    assert view.result == own
    view.selected = own.best()
    np.testing.assert_array_equal(view.direction().vectors[0, 0], own.directions().vector(own.best()["layer"]))
    assert len(view._page()) > 1000


BAD: Any = [float("nan")] * 24


def test_errors_are_those_of_a_run_here(far: TransformersModel, host: str) -> None:
    with pytest.raises(PromptError, match="Label 0 is NaN, which names no class"):
        run_projection(far, TEXTS, labels=BAD, remote=Watching(host))
    with pytest.raises(LabelError, match="probe label 0 is NaN"):
        run_probe(far, TEXTS, BAD, remote=Watching(host))


def one_by_one(values: Any) -> Any:
    yield from values


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda m, r: run_projection(m, one_by_one(TEXTS), remote=r), "argument 1 after the model is a generator"),
        (lambda m, r: run_projection(m, TEXTS, labels=one_by_one(LABELS), remote=r), "labels is a generator"),
        (lambda m, r: run_projection(m, [TEXTS[0], one_by_one([5])], remote=r), r"after the model\[1\] is a generator"),
        (
            lambda m, r: run_projection(m, TEXTS, directions={"own": one_by_one([1.0])}, remote=r),
            r"directions\['own'\] is a generator, which cannot travel to a server\. Pass a list",
        ),
        (
            lambda m, r: run_probe(m, TEXTS, LABELS, transfer={"rest": (one_by_one(TEXTS), LABELS)}, remote=r),
            r"transfer\['rest'\]\[0\] is a generator",
        ),
        (
            lambda m, r: run_probe(m, TEXTS, LABELS, tokenizer=object(), remote=r),
            "tokenizer= cannot travel to a server",
        ),
    ],
)
def test_what_cannot_travel_is_refused_by_name_before_anything_is_sent(
    far: TransformersModel, host: str, run: Any, words: str
) -> None:
    backend = Watching(host)
    with pytest.raises(PromptError, match=words):
        run(far, backend)
    assert backend.seen == []


def test_what_cannot_be_pickled_is_refused_by_name_before_anything_is_sent(far: TransformersModel, host: str) -> None:
    backend, locks = Watching(host), [threading.Lock()] * 24
    with pytest.raises(
        RemoteRunError, match=r"^labels= cannot travel to a server: .*lock.*\. Pass plain values, lists"
    ):
        run_projection(far, TEXTS, labels=locks, remote=backend)
    with pytest.raises(RemoteRunError, match=r"^Argument 2 after the model cannot travel to a server: .*lock"):
        run_probe(far, TEXTS, locks, remote=backend)  # type: ignore[arg-type]
    assert backend.seen == []
    with pytest.raises(ModelError, match="remote= needs a model that a server can know by its name"):
        run_projection(teaching.load()._module, TEXTS, remote=backend)


def test_the_model_s_own_tokenizer_is_there_already(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked: dict[str, Any] = {"layers": 1, "positions": -1}
    there = run_projection(far, TEXTS[:4], tokenizer=far.tokenizer, remote=Watching(host), **asked)
    assert there == run_projection(near, TEXTS[:4], **asked)
