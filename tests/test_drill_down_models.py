"""Drilling down in models that are described, that are small, or whose blocks are built otherwise than most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nnsight import NNsight

from interp_widgets import (
    Description,
    describe,
    run_attention,
    run_attribution,
    run_lens,
    run_patching,
    show_attention,
    show_lens,
    show_patching,
)
from interp_widgets.results.errors import InterpWidgetsError, ModelError, SiteError
from interp_widgets.results.patching import PatchingResult
from interp_widgets.views.patching_grid import PatchingGrid
from tests.experiments import zoo
from tests.models.hooked import HookedTransformer
from tests.models.own_modules import weighty
from tests.models.test_describe import CLEAN, CORRUPT, JUDGE, STACK, AttentionOnly, judge, stack

ANSWERS: dict[str, Any] = {"answer": 1, "wrong_answer": 2}
STREAM = {"site": "resid_post", "layer": 1, "pos": 5}
HEAD = {"site": "z", "layer": 1, "head": 3}
NO_HEADS = replace(STACK, n_heads=None, n_kv_heads=None, qkv=None, by_group=False, o_proj=None)
BLOCKS = Description(blocks="tower", logits="scores")


def grid(model: Any, sites: Any = "resid_post") -> PatchingGrid:
    return show_patching(model, CLEAN, CORRUPT, **ANSWERS, sites=sites)


def check_streams(model: Any, parts: PatchingResult, first: int = 0) -> None:
    """Compare what attention and MLPs of two layers do at position 5 with grids of each by itself."""
    for number, site in enumerate(parts.sites[first:], start=first):
        alone = run_patching(model, CLEAN, CORRUPT, **ANSWERS, sites=site, layers=[0, 1])
        np.testing.assert_allclose(parts.value()[0, number, :2, 0], alone.value()[0, 0, :, 5], atol=1e-5)


def check_every_way(model: Any, *, attributed: bool = True) -> None:
    """Open each way, and compare with the same experiment by itself."""
    streams, heads = grid(model), grid(model, "z")
    parts = streams.drill("parts", STREAM).result
    assert parts.sites == ("z", "attn_out", "mlp_out")
    z = run_patching(model, CLEAN, CORRUPT, **ANSWERS, sites="z", layers=[0, 1], positions=5)
    np.testing.assert_allclose(parts.value()[:, :1], z.value(), atol=1e-5)
    check_streams(model, parts, first=1)
    neurons = grid(model, "mlp_out").drill("parts", {"site": "mlp_out", "layer": 1, "pos": 5}).result
    assert neurons.sites == ("mlp_post",)
    pattern = heads.drill("pattern", HEAD)
    alone = run_attention(model, CLEAN, corrupt=CORRUPT)
    np.testing.assert_allclose(pattern.result.difference(1, 3), alone.difference(1, 3), atol=1e-6)
    assert pattern.scores is not None
    lens = streams.drill("lens", STREAM).result
    own = run_lens(model, CLEAN, [1, 2])
    shared = [lens.rows.index(place) for place in own.rows]
    np.testing.assert_allclose(lens.logprobs[:1, shared], own.logprobs, atol=1e-5)
    for view, place in ((heads, HEAD), (pattern, {"layer": 1, "head": 3})) if attributed else ():
        found = view.drill("attribution", place).result
        np.testing.assert_allclose(found.contributions, run_attribution(model, CLEAN, 1, 2).contributions, atol=1e-5)


def test_every_way_opens_where_the_description_has_what_it_needs() -> None:
    check_every_way(describe(stack(), STACK))


@pytest.mark.parametrize("name", ["gptj", "gpt_neox"])
def test_every_way_opens_where_attention_and_mlp_are_parallel(name: str) -> None:
    check_every_way(NNsight(zoo.model(name)))


def test_a_cap_on_logits_refuses_attribution_by_name_and_nothing_else() -> None:
    model = NNsight(zoo.model("gemma2"))
    check_every_way(model, attributed=False)
    opened = [grid(model, "z"), show_lens(model, CLEAN, [1, 2]), show_attention(model, CLEAN, scores=False)]
    for view in opened:
        with pytest.raises(ModelError, match=r"caps its logits at 30 \(final_logit_softcapping\), so that they are no"):
            view.drill("attribution", {"layer": 1, "head": 3})
        assert view.opened == ()


def test_without_heads_the_parts_are_attention_and_mlps() -> None:
    model = describe(stack(), NO_HEADS)
    view = grid(model)
    parts = view.drill("parts", STREAM).result
    assert parts.sites == ("attn_out", "mlp_out")
    check_streams(model, parts)
    before = grid(model, "resid_pre").drill("parts", {"site": "resid_pre", "layer": 1, "pos": 5}).result
    assert before.layers == (0,)


def test_without_mlps_the_parts_are_heads_and_attention() -> None:
    said = Description(
        blocks="layers", attention="mixer", n_heads=4, qkv="mixer.read_all", by_group=True, o_proj="mixer.send"
    )
    view = show_patching(describe(weighty(AttentionOnly()), said), CLEAN[:3], CORRUPT[:3], **ANSWERS)
    assert view.drill("parts", {"site": "resid_pre", "layer": 1, "pos": 2}).result.sites == ("z", "attn_out")


NAMED = r"In its Description these modules are"


@pytest.mark.parametrize(
    ("said", "sites", "way", "place", "error", "words"),
    [
        (BLOCKS, "resid_post", "parts", STREAM, SiteError, f"no modules of its blocks.* {NAMED} `attention` and `mlp`"),
        (BLOCKS, "resid_post", "attribution", STREAM, SiteError, f"attn_out does not .* {NAMED} `attention` and `mlp`"),
        (BLOCKS, "resid_post", "pattern", HEAD, SiteError, f"pattern does not exist.* {NAMED} `n_heads`, `qkv` and"),
        (NO_HEADS, "attn_out", "parts", {**STREAM, "site": "attn_out"}, SiteError, f"z does not.*{NAMED}.*of heads `n"),
        (NO_HEADS, "resid_post", "pattern", HEAD, SiteError, f"no projections of queries, .* {NAMED} `n_heads`, `qkv`"),
        (
            replace(STACK, unembedding=None, norm=None),
            "z",
            "attribution",
            HEAD,
            ModelError,
            r"The unembedding of Stack.* name it: Description\(\.\.\., unembedding='path'\)",
        ),
    ],
)
def test_what_a_description_lacks_is_said_by_name(
    said: Description, sites: str, way: str, place: Any, error: type[InterpWidgetsError], words: str
) -> None:
    view = grid(describe(stack(), said), sites)
    with pytest.raises(error, match=words):
        view.drill(way, place)
    assert view.opened == ()
    assert view.links == []


def test_a_classifier_has_patterns_and_parts_and_says_why_it_has_no_lens() -> None:
    model = describe(judge(), JUDGE)
    view = grid(model, ("resid_post", "z"))
    assert view.drill("parts", STREAM).result.sites == ("z", "attn_out", "mlp_out")
    pattern = view.drill("pattern", HEAD)
    np.testing.assert_allclose(pattern.result.pattern(1, 3), run_attention(model, CLEAN).pattern(1, 3), atol=1e-6)
    for way, place in (("lens", STREAM), ("attribution", HEAD)):
        with pytest.raises(ModelError, match="Judge does not predict something at each position"):
            view.drill(way, place)


def test_a_model_with_hook_points_has_patterns_though_nothing_joins_its_heads() -> None:
    model = HookedTransformer()
    lens = show_lens(model, [3, 9, 4])
    pattern = lens.drill("pattern", {"site": "resid_post", "layer": 0, "pos": 1})
    alone = run_attention(model, [3, 9, 4], value_weighted=False)
    np.testing.assert_array_equal(pattern.result.pattern(0, 2), alone.pattern(0, 2))
