"""Readers of a model on a server, such as lens, attribution, patterns and latents, against the same here."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import TransformersModel

from interp_widgets import (
    run_attention,
    run_attribution,
    run_features,
    run_head_circuits,
    run_head_scores,
    run_latent_cards,
    run_lens,
    run_memories,
    run_top_examples,
    show_head_circuits,
)
from interp_widgets.results.errors import PromptError
from interp_widgets.views.head_circuits import HeadCircuitView
from tests.remote.conftest import GIVEN, PAIR, PROMPTS, Watching


def test_latents_on_text_are_those_of_a_run_here(far: TransformersModel, near: TransformersModel, host: str) -> None:
    directions = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    asked: dict[str, Any] = {"site": "resid_post", "layer": 1}
    there = run_features(far, PAIR.clean, directions, against=PAIR.corrupt, latents=[3], remote=Watching(host), **asked)
    here = run_features(near, PAIR.clean, directions, against=PAIR.corrupt, latents=[3], **asked)
    assert there.texts == here.texts
    assert there.latents.tolist() == here.latents.tolist()
    np.testing.assert_allclose(there.activations, here.activations, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(there.column(3), here.column(3), rtol=1e-4, atol=1e-4)
    found, own = (
        run_top_examples(model, directions, list(PROMPTS), k=1, **asked, **options)
        for model, options in ((far, {"remote": Watching(host)}), (near, {}))
    )
    assert found.documents.tolist() == own.documents.tolist()
    assert found.ids.tolist() == own.ids.tolist()
    cards, own_cards = (
        run_latent_cards(model, directions, [1, 3], text=PAIR.clean, corpus=corpus, **asked, **options)
        for model, corpus, options in ((far, found, {"remote": Watching(host)}), (near, own, {}))
    )
    for card, own_card in zip(cards, own_cards, strict=True):
        assert (card.latent, card.written_at) == (own_card.latent, own_card.written_at)
        assert [word.token for word in card.promotes or ()] == [word.token for word in own_card.promotes or ()]
        assert [link.component for link in card.feeds or ()] == [link.component for link in own_card.feeds or ()]
        assert [len(example.tokens) for example in card.examples or ()] == [
            len(example.tokens) for example in own_card.examples or ()
        ]
    with pytest.raises(PromptError, match=r"corpus is a generator, which cannot travel to a server\. Pass a list"):
        run_latent_cards(far, directions, 1, corpus=(text for text in PROMPTS), remote=Watching(host), **asked)
    with pytest.raises(PromptError, match="The text is empty"):
        run_features(far, "", directions, remote=Watching(host), **asked)


def test_memories_are_those_of_a_run_here(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked: dict[str, Any] = GIVEN | {"corpus": list(PROMPTS), "k": 1, "top": 3}
    there = run_memories(far, PAIR.clean, remote=Watching(host), **asked)
    here = run_memories(near, PAIR.clean, **asked)
    assert [memory.name for memory in there.memories] == [memory.name for memory in here.memories]
    assert [memory.triggers for memory in there.memories] == [memory.triggers for memory in here.memories]
    np.testing.assert_allclose(there.contributions, here.contributions, rtol=1e-4, atol=1e-5)
    assert there.total == pytest.approx(here.total, abs=1e-4)


def test_lens_and_attribution_are_those_of_a_run_here(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    names = [PAIR.answer, PAIR.wrong_answer]
    there = run_lens(far, PAIR.clean, names, corrupt=PAIR.corrupt, remote=Watching(host))
    here = run_lens(near, PAIR.clean, names, corrupt=PAIR.corrupt)
    np.testing.assert_allclose(there.logprobs, here.logprobs, rtol=1e-3, atol=1e-3)
    assert there.top(0, -1, -1)[0][0] == here.top(0, -1, -1)[0][0]
    opened: dict[str, Any] = {"by_source": [(3, 3)], "neurons": 3}
    found = run_attribution(far, PAIR.clean, *names, **opened, remote=Watching(host))
    own = run_attribution(near, PAIR.clean, *names, **opened)
    for name in ("contributions", "weights"):
        there_, here_ = (getattr(result.sources[3, 3], name) for result in (found, own))
        np.testing.assert_allclose(there_, here_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.neurons[3].contributions, own.neurons[3].contributions, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.contributions, own.contributions, rtol=1e-3, atol=1e-3)
    assert found.components == own.components


def test_patterns_and_scores_of_heads_are_those_of_a_run_here(
    far: TransformersModel, near: TransformersModel, host: str
) -> None:
    there = run_attention(far, PAIR.clean, corrupt=PAIR.corrupt, layers=[1, 3], remote=Watching(host))
    here = run_attention(near, PAIR.clean, corrupt=PAIR.corrupt, layers=[1, 3])
    assert (there.prompts, there.layers, there.complete) == (here.prompts, (1, 3), True)
    np.testing.assert_allclose(there.difference(3, 3), here.difference(3, 3), atol=1e-5)
    asked: dict[str, Any] = {"answer": PAIR.answer, "wrong_answer": PAIR.wrong_answer, "n_sequences": 4}
    found = run_head_scores(far, PAIR.clean, remote=Watching(host), **asked)
    own = run_head_scores(near, PAIR.clean, **asked)
    assert found.names == own.names
    for name in own.names:
        np.testing.assert_allclose(found.score(name), own.score(name), atol=1e-3)


def test_circuits_of_heads_are_those_of_a_run_here(far: TransformersModel, near: TransformersModel, host: str) -> None:
    asked: dict[str, Any] = {"layers": [1, 3], "vocabulary": [(3, 1)]}
    there = run_head_circuits(far, PAIR.clean, remote=Watching(host), **asked)
    here = run_head_circuits(near, PAIR.clean, **asked)
    assert (there.tokens, there.layers, there.complete) == (here.tokens, (1, 3), True)
    for name in ("qk", "ov", "eigenvalues", "by_offset"):
        mine, own = getattr(there, name), getattr(here, name)
        np.testing.assert_allclose(mine, own, rtol=1e-3, atol=1e-4 * float(np.abs(own).max()))
    for one, other in zip(there.extremes, here.extremes, strict=True):
        assert one.highest[0].first == other.highest[0].first
        assert one.highest[0].value == pytest.approx(other.highest[0].value, rel=1e-3)


@pytest.mark.parametrize(("layer", "shown"), [(3, {"layer": 3, "head": 1, "token": None}), (9, None)])
def test_a_head_is_chosen_before_the_server_has_sent_anything(
    far: TransformersModel, host: str, monkeypatch: pytest.MonkeyPatch, layer: int, shown: Any
) -> None:
    async def notebook() -> HeadCircuitView:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show_head_circuits(far, PAIR.clean, layer, 1, layers=[1, 3], remote=Watching(host))
        assert view.get_state(["spec", "selected"]) == {
            "spec": {},
            "selected": {"layer": layer, "head": 1, "token": None},
        }
        assert view.job._task is not None
        await view.job._task
        return view

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        view = asyncio.run(notebook())
    assert view.selected == shown
    assert view.result.complete
    if shown:  # the vocabulary is looked through there too
        assert [found.circuit for found in view.vocabulary()] == ["qk", "ov"]
        assert all(found.share == 1 and len(found.highest) == 20 for found in view.result.extremes)
    said = [str(warning.message) for warning in caught if "head that copies most" in str(warning.message)]
    assert said == (
        [] if shown else ["There is no layer 9 here: 1, 3 were asked for. The head that copies most is shown."]
    )
