"""From a patched activation to its parts, and from a head to its pattern: the same experiment, asked more closely."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets import (
    run_ablation,
    run_attention,
    run_attribution,
    run_lens,
    run_patching,
    show_ablation,
    show_attention,
    show_attribution,
    show_causal_trace,
    show_lens,
    show_patching,
    show_path_patching,
    teaching,
)
from interp_widgets.experiments.receivers import Receiver
from interp_widgets.results.errors import ResultError, SelectionError


@pytest.fixture(scope="module")
def model():
    return teaching.load()


@pytest.fixture(scope="module")
def asked():
    pair = teaching.prompts("ioi", n=1)[0]
    names = {"answer": pair.answer, "wrong_answer": pair.wrong_answer}
    return {"clean": pair.clean, "corrupt": pair.corrupt, **names, "metric": "prob", "top_k": 3}


@pytest.fixture(scope="module")
def view(model, asked):
    return show_patching(model, **asked, sites="resid_post", layers=(1, 2), window=2)


def test_the_parts_of_a_stream_are_what_wrote_to_it_patched_at_its_position(model, asked, view):
    last = view.partial.length - 1
    parts = view.drill("parts", {"site": "resid_post", "layer": 1, "pos": last})
    heads = run_patching(model, **asked, sites="z", layers=[0, 1], positions=last)
    assert parts.result.sites == ("z", "attn_out", "mlp_out")
    np.testing.assert_allclose(parts.result.value()[:, :1], heads.value(), atol=1e-6)
    for number, site in enumerate(("attn_out", "mlp_out"), start=1):
        whole = run_patching(model, **asked, sites=site, layers=[0, 1], positions=last)
        np.testing.assert_allclose(parts.result.value()[0, number, :2, 0], whole.value()[0, 0, :, last], atol=1e-6)
        assert parts.result.panels[number].labels == (f"position {last}",)


def test_the_parts_of_a_part_are_at_the_same_position(model, asked, view):
    last = view.partial.length - 1
    parts = view.drill("parts", {"site": "resid_post", "layer": 1, "pos": last})
    neurons = parts.drill("parts", {"site": "mlp_out", "layer": 0})
    assert neurons.result.sites == ("mlp_post",)
    assert neurons.result.provenance.settings["positions"] == str(last)
    chosen = [int(label) for label in neurons.result.panels[0].labels[:3]]
    alone = run_patching(model, **asked, sites="mlp_post", layers=0, positions=last, neurons=chosen, preview=False)
    exact = neurons.result.status[0, 0, 0, :3] == 1
    np.testing.assert_allclose(neurons.result.value()[0, 0, 0, :3][exact], alone.value()[0, 0, 0][exact], atol=1e-6)
    heads = parts.drill("parts", {"site": "attn_out", "layer": 1})
    alone = run_patching(model, **asked, sites="z", layers=1, positions=last)
    np.testing.assert_allclose(heads.result.value(), alone.value(), atol=1e-6)


def test_resid_pre_has_the_layers_below_it_and_the_embedding_has_none(model, asked):
    view = show_patching(model, **asked)
    assert view.drill("parts", {"site": "resid_pre", "layer": 1, "pos": 9}).result.layers == (0,)
    with pytest.raises(SelectionError, match="resid_pre of layer 0 is the embedding: nothing has written to it yet"):
        view.drill("parts", {"site": "resid_pre", "layer": 0, "pos": 9})


def test_what_is_between_attention_and_mlp_was_not_written_by_the_mlp_after_it(model, asked):
    view = show_patching(model, **asked, sites="resid_mid", layers=(0, 1))
    last = view.partial.length - 1
    parts = view.drill("parts", {"site": "resid_mid", "layer": 1, "pos": last}).result
    assert [(panel.site, panel.layers) for panel in parts.panels] == [
        ("z", (0, 1)),
        ("attn_out", (0, 1)),
        ("mlp_out", (0,)),
    ]
    mlp = run_patching(model, **asked, sites="mlp_out", layers=0, positions=last)
    np.testing.assert_allclose(parts.value()[0, 2, 0, 0], mlp.value()[0, 0, 0, last], atol=1e-6)
    assert view.drill("parts", {"site": "resid_mid", "layer": 0, "pos": last}).result.sites == ("z", "attn_out")


def test_a_pattern_is_that_of_the_prompts_of_the_pair(model, asked, view):
    last = view.partial.length - 1
    parts = view.drill("parts", {"site": "resid_post", "layer": 1, "pos": last})
    pattern = parts.drill("pattern", {"site": "z", "layer": 0, "head": 1})
    assert pattern.selected == {"layer": 0, "head": 1, "pos": last}
    read = run_attention(model, asked["clean"], corrupt=asked["corrupt"])
    np.testing.assert_array_equal(pattern.result.pattern(0, 1), read.pattern(0, 1))
    parts.drill("pattern", {"site": "z", "layer": 1, "head": 3})
    assert [opened for opened in parts.opened if opened._origin.way == "pattern"] == [pattern]
    assert (pattern.selected["layer"], pattern.selected["head"]) == (1, 3)
    assert pattern._origin.trail == (
        "patching",
        f"resid_post, layer 1, ␣to ({last})",
        "parts",
        f"z, layer 1, head 3, ␣to ({last})",
        "pattern",
    )


def test_a_lens_and_an_attribution_are_of_the_same_prompts_and_answers(model, asked, view):
    last = view.partial.length - 1
    lens = view.drill("lens", {"site": "resid_post", "layer": 2, "pos": last - 1})
    names = [asked["answer"], asked["wrong_answer"]]
    alone = run_lens(model, asked["clean"], names, corrupt=asked["corrupt"])
    shared = [lens.result.rows.index(place) for place in alone.rows]
    assert (lens.result.prompts, lens.result.answers) == (alone.prompts, alone.answers)
    np.testing.assert_allclose(lens.result.logprobs[:, shared], alone.logprobs, atol=1e-5)
    assert (lens.selected["layer"], lens.selected["pos"]) == (2, last - 1)

    parts = view.drill("parts", {"site": "resid_post", "layer": 1, "pos": last})
    attribution = parts.drill("attribution", {"site": "z", "layer": 1, "head": 2})
    assert attribution.selected == {"site": "z", "layer": 1, "head": 2}
    alone = run_attribution(model, asked["clean"], *names)
    np.testing.assert_allclose(attribution.result.contributions, alone.contributions, atol=1e-5)
    # A cell of a grid that is patched at one position is of that position.
    assert parts.drill("lens", {"site": "mlp_out", "layer": 1}).selected["pos"] == last


def test_the_pattern_of_a_pair_is_of_its_own_prompts(model):
    pairs = teaching.prompts("ioi", n=2)
    sides = {"clean": [pair.clean for pair in pairs], "corrupt": [pair.corrupt for pair in pairs]}
    view = show_patching(model, **sides, sites="z", layers=1)
    view.selected = {"site": "z", "layer": 1, "head": 2}
    first = view.drill("pattern")
    view.pair = 1
    second = view.drill("pattern")
    assert first.result.prompts[0][0].ids == view.partial.pairs[0].clean.ids
    assert second.result.prompts[0][0].ids == view.partial.pairs[1].clean.ids
    with pytest.raises(SelectionError, match="no prompt 2: this grid has pairs 0 to 1"):
        view.drill("pattern", {"site": "z", "layer": 1, "head": 2, "prompt": 2})
    # And so is what opens from there.
    lens = second.drill("lens", {"layer": 1, "head": 2, "pos": 9})
    assert lens.result.prompts[0].ids == view.partial.pairs[1].clean.ids
    attribution = lens.drill("attribution")
    assert attribution.result.prompts[0].ids == view.partial.pairs[1].clean.ids
    assert attribution.result.answers[0].id == view.partial.pairs[1].answer.id
    assert second._origin.trail[:2] == ("patching", "z, layer 1, head 2, pair 2 of 2")
    assert "pair" not in " ".join(attribution._origin.trail[2:])  # once is enough


def test_what_opens_from_a_mean_says_of_which_prompt_it_is(model):
    pairs = teaching.prompts("ioi", n=3)
    sides = {"clean": [pair.clean for pair in pairs], "corrupt": [pair.corrupt for pair in pairs]}
    view = show_patching(model, **sides, sites="resid_post", layers=1)
    place = {"site": "resid_post", "layer": 1, "pos": 13}
    token = " / ".join(view._words(13))
    for way in ("lens", "attribution"):
        opened = view.drill(way, place)
        assert opened.partial.prompts[0].ids == view.partial.pairs[0].clean.ids
        assert opened._origin.trail == ("patching", f"resid_post, layer 1, {token} (13), pair 1 of 3", way)
    parts = view.drill("parts", place)
    assert (parts.pair, len(parts.partial.pairs)) == (None, 3)
    assert parts._origin.trail[1] == f"resid_post, layer 1, {token} (13), all 3 pairs"
    pattern = parts.drill("pattern", {"site": "z", "layer": 1, "head": 2})
    assert pattern._origin.trail[3].endswith("pair 1 of 3")
    assert view.get_state("opened")["opened"][0]["trail"][1].endswith("pair 1 of 3")
    parts.close()
    view.pair, view.selected = 2, place
    parts = view.drill("parts")
    assert parts.pair == 2, "it shows the pair that it is opened from, and the others can be chosen"
    assert parts.drill("pattern", {"site": "z", "layer": 1, "head": 2, "prompt": 2})._origin.trail[3].endswith("3 of 3")


def test_what_opens_from_draws_of_noise_is_of_their_one_prompt(model, asked):
    names = {name: asked[name] for name in ("answer", "wrong_answer")}
    view = show_causal_trace(model, asked["clean"], **names, subject=(9, 10), samples=3, sites="mlp_out", layers=0)
    opened = view.drill("attribution", {"site": "mlp_out", "layer": 0, "pos": 9})
    assert "of 3" not in opened._origin.trail[1]


def test_what_opens_from_a_mean_attribution_says_of_which_prompt_it_is(model):
    pairs = teaching.prompts("ioi", n=2)
    view = show_attribution(model, [pair.clean for pair in pairs], [pair.answer for pair in pairs])
    opened = view.drill("pattern", {"site": "z", "layer": 2, "head": 1})
    assert opened._origin.trail[1].endswith("(13), prompt 1 of 2")
    view.prompt, view.selected = 1, {"site": "z", "layer": 2, "head": 1}
    assert view.drill("pattern")._origin.trail[1].endswith(", prompt 2 of 2")


def test_other_experiments_open_their_own_kind(model, asked):
    names = {name: asked[name] for name in ("answer", "wrong_answer")}
    view = show_ablation(model, asked["clean"], **names, sites="attn_out", layers=1)
    heads = view.drill("parts", {"site": "attn_out", "layer": 1, "pos": 13})
    alone = run_ablation(model, asked["clean"], **names, sites="z", layers=1, positions=13)
    assert heads.result == alone
    assert len(heads.drill("pattern", {"site": "z", "layer": 1, "head": 0}).result.prompts) == 1

    trace = show_causal_trace(model, asked["clean"], **names, subject=(9, 10), samples=2, sites="mlp_out", layers=0)
    assert trace.drill("parts", {"site": "mlp_out", "layer": 0, "pos": 9}).result.sites == ("mlp_post",)
    assert len(trace.drill("pattern", {"layer": 0, "head": 0}).result.prompts) == 1

    path = show_path_patching(model, asked["clean"], asked["corrupt"], **names, receivers=Receiver("final"))
    assert [way.name for way in path.ways] == ["pattern", "lens", "attribution"]


def test_a_pattern_leads_on_where_no_grid_led_to_it(model, asked):
    names = asked["answer"], asked["wrong_answer"]
    view = show_attention(model, asked["clean"], corrupt=asked["corrupt"], answer=names[0], wrong_answer=names[1])
    lens = view.drill("lens", {"layer": 1, "head": 2, "pos": 9})
    alone = run_lens(model, asked["clean"], names, corrupt=asked["corrupt"])
    assert (lens.result.prompts, lens.result.answers) == (alone.prompts, alone.answers)
    assert (lens.selected["layer"], lens.selected["pos"]) == (1, 9)
    attribution = view.drill("attribution", {"layer": 1, "head": 2})
    alone = run_attribution(model, asked["clean"], *names)
    np.testing.assert_allclose(attribution.result.contributions, alone.contributions, atol=1e-5)
    many = show_attention(model, [asked["clean"], asked["corrupt"]], scores=False)
    with pytest.raises(ResultError, match="it is the mean of several prompts, and what opens from a view is of one"):
        many.drill("lens", {"layer": 1, "head": 2, "pos": 9})


def test_a_lens_leads_on_where_no_grid_led_to_it(model, asked):
    view = show_lens(model, asked["clean"], [asked["answer"], asked["wrong_answer"]], corrupt=asked["corrupt"])
    view.selected = {"site": "resid_post", "layer": 1, "pos": 9}
    pattern = view.drill("pattern")
    assert (pattern.selected["layer"], pattern.selected["pos"]) == (1, 9)
    read = run_attention(model, asked["clean"], corrupt=asked["corrupt"])
    np.testing.assert_array_equal(pattern.result.pattern(1, 0, side=1), read.pattern(1, 0, side=1))
    attribution = view.drill("attribution").result
    alone = run_attribution(model, asked["clean"], asked["answer"], asked["wrong_answer"])
    np.testing.assert_allclose(attribution.contributions, alone.contributions, atol=1e-5)
    token = " / ".join(view._words(9))
    assert pattern._origin.trail == ("lens", f"resid_post, layer 1, {token} (9)", "pattern")
    # Without answers of yours the model's own is taken apart.
    own = show_lens(model, asked["clean"]).drill("attribution", {"layer": 0}).result
    assert own.answers == run_attribution(model, asked["clean"]).answers


def test_an_attribution_leads_on_from_the_prompt_and_the_token_that_it_is_of(model):
    pairs = teaching.prompts("ioi", n=2)
    answers = [[pair.answer for pair in pairs], [pair.wrong_answer for pair in pairs]]
    view = show_attribution(model, [pair.clean for pair in pairs], *answers, positions=[5, -1])
    view.prompt, view.target, view.selected = 1, 0, {"site": "z", "layer": 2, "head": 1}
    pattern = view.drill("pattern")
    assert pattern.selected == {"layer": 2, "head": 1, "pos": 5}
    assert pattern.result.prompts[0][0].ids == view.result.prompts[1].ids
    view.target = 1
    lens = view.drill("lens")
    assert (lens.selected["layer"], lens.selected["pos"]) == (2, len(view.result.prompts[1]) - 1)
    assert [token.id for token in lens.result.answers] == [
        view.result.answers[1].id,
        view.result.wrong_answers[1].id,
    ]
    with pytest.raises(SelectionError, match="no prompt 2: this view has prompts 0 to 1"):
        view.drill("lens", {"site": "z", "layer": 2, "head": 1, "prompt": 2})


def test_an_attribution_that_opens_from_a_neuron_shows_its_mlp(model, asked):
    names = {name: asked[name] for name in ("answer", "wrong_answer")}
    view = show_ablation(model, asked["clean"], **names, sites="mlp_post", layers=1, neurons=[3])
    opened = view.drill("attribution", {"site": "mlp_post", "layer": 1, "neuron": 3})
    assert opened.selected == {"site": "mlp_out", "layer": 1, "head": None}


def test_what_the_example_says_is_so(model, asked):
    """`examples/07_drill_down.ipynb` states it in words."""
    pair = teaching.prompts("ioi", n=1)[0]
    second = pair.roles["S2"][0]
    view = show_patching(model, **{**asked, "metric": "logit_diff"}, sites="resid_post")
    last = view.result.length - 1
    effect = view.result.effect()[0, 0]
    assert abs(effect[:, second]).max() < 0.05
    assert effect[:, last].min() > 0.95
    parts = view.drill("parts", {"site": "resid_post", "layer": 0, "pos": last})
    head = parts.result.strongest(sites=["z"])
    carried = np.sort(parts.result.effect()[0, 0, 0])
    assert carried[-1] > 0.9
    assert carried[-2] < 0.2
    pattern = parts.drill("pattern", head).result.pattern(head["layer"], head["head"])
    assert pattern[last].argmax() == second
    lens = view.drill("lens", {"layer": 0, "pos": last}).result
    answer = lens.ranks[0, :, last, 0]
    assert answer[-1] == 0
    assert (answer[:-2] > 0).all()


def test_a_view_of_a_model_on_a_server_says_why_nothing_opens(model):
    from interp_widgets.show.drill_down import Asked, with_ways
    from interp_widgets.show.readers import ELSEWHERE
    from interp_widgets.views.patching_grid import PatchingGrid
    from tests import made

    def again(cells):
        raise AssertionError(cells)

    view = with_ways(PatchingGrid(made.result()), Asked(model, None, True, again, by_site=True))
    with pytest.raises(ResultError, match="its model runs on a server"):
        view.drill("parts")
    assert view.no_ways == ELSEWHERE
