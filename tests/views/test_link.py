"""Linked views: what is selected in one is selected in the others, as far as they have it."""

import asyncio

import pytest

from interp_widgets import FeatureView, PatchingGrid, Superposition, link
from interp_widgets.results.errors import SelectionError, UnknownNameError
from tests import made, made_features, made_toys
from tests.views.test_waiting import VIEWS, Queued

LATENT = {"latent": made_features.NAMES, "token": 1}
STREAM = {"site": "resid_pre", "layer": 2, "pos": 4}


def streams(**changes):
    return PatchingGrid(made.result(sites=("resid_pre", "mlp_out"), **changes))


def heads():
    return PatchingGrid(made.heads())


def features():
    return FeatureView(made_features.result())


def test_a_selection_goes_to_every_other_view_and_comes_back():
    one, two, three = streams(), streams(), streams()
    link(one, two, three)
    one.selected = STREAM
    assert one.selected == two.selected == three.selected == STREAM
    three.selected = {"site": "mlp_out", "layer": 1, "pos": 5}
    assert one.selected == two.selected == three.selected == {"site": "mlp_out", "layer": 1, "pos": 5}
    two.selected = None
    assert one.selected is three.selected is None


def test_a_view_takes_what_it_has_of_a_place_and_leaves_the_rest_as_it_is():
    one, two = streams(), heads()
    link(one, two)
    one.selected = STREAM
    assert two.selected is None  # no head is meant, and none was selected
    two.selected = {"site": "q", "layer": 1, "head": 6}
    assert one.selected == {"site": "resid_pre", "layer": 1, "pos": 4}
    one.selected = {"site": "mlp_out", "layer": 3, "pos": 7}
    assert two.selected == {"site": "q", "layer": 3, "head": 6}


def test_the_panel_that_has_most_of_a_place_is_taken_and_a_site_that_is_named_before_it():
    grid = PatchingGrid(made.heads_by_position())
    assert grid._go({"layer": 2, "head": 3, "pos": 8})
    assert grid.selected == {"site": "z", "layer": 2, "head": 3, "pos": 8}
    two = PatchingGrid(made.path())
    assert two._go({"layer": 3, "head": 5})
    assert two.selected == {"site": "z", "layer": 3, "head": 5}
    assert two._go({"site": "mlp_out", "layer": 4, "head": 5})
    assert two.selected == {"site": "mlp_out", "layer": 4}
    assert not two._go({"layer": 99})
    assert not two._go({"pos": 3})
    assert two.selected == {"site": "mlp_out", "layer": 4}


def test_what_a_view_has_not_leaves_it_where_it_is():
    one, two = streams(), PatchingGrid(made.result(layers=2))
    link(one, two)
    two.selected = {"site": "resid_pre", "layer": 1, "pos": 4}
    one.selected = {"site": "resid_pre", "layer": 3, "pos": 4}
    assert two.selected == {"site": "resid_pre", "layer": 1, "pos": 4}


def test_positions_are_shared_where_one_token_is_in_both():
    other = made.pair(labels=("␣Then", *made.CLEAN[1:5], "␣Anne", *made.CLEAN[6:]), corrupt_label="␣Mary")
    one, two = streams(), streams(pairs=(other,))
    link(one, two)
    two.selected = {"site": "resid_pre", "layer": 0, "pos": 8}
    one.selected = {"site": "resid_pre", "layer": 1, "pos": 0}
    assert two.selected == {"site": "resid_pre", "layer": 1, "pos": 8}
    # The clean prompts differ at the fifth token, but both corrupt ones have Mary there.
    one.selected = {"site": "resid_pre", "layer": 2, "pos": 5}
    assert two.selected == {"site": "resid_pre", "layer": 2, "pos": 5}


def test_positions_that_are_asked_for_are_shared_whatever_the_tokens_are():
    one, two = streams(), streams(pairs=(made.pair(labels=[f"t{n}" for n in range(9)]),))
    link(one, two, by=("layer", "pos"))
    two.selected = {"site": "mlp_out", "layer": 0, "pos": 0}
    one.selected = STREAM
    assert two.selected == {"site": "mlp_out", "layer": 2, "pos": 4}


def test_only_what_is_named_is_shared():
    one, two = streams(), streams()
    link(one, two, by=("pos",))
    two.selected = {"site": "mlp_out", "layer": 0, "pos": 0}
    one.selected = STREAM
    assert two.selected == {"site": "mlp_out", "layer": 0, "pos": 4}


def test_the_page_learns_of_a_link_and_of_its_end():
    one, two = streams(), streams()
    together = link(one, two, by=("layer",))
    (said,) = one.links
    assert two.links == [said]
    assert said == {"group": said["group"], "by": ["layer"], "same_tokens": False, "empties": True}
    again = link(one, two)
    assert again.views == (one, two)
    assert one.links[0]["group"] != one.links[1]["group"]
    together.close()
    together.close()
    assert [shared["by"] for shared in two.links] == [list(again.by)]
    again.close()
    one.selected = STREAM
    assert two.selected is None
    assert one.links == two.links == []


def test_a_click_in_the_page_selects_in_the_other_view():
    one, two = streams(), streams()
    link(one, two)
    one.set_state({"selected": STREAM, "links": []})
    assert two.selected == STREAM
    assert len(one.links) == 1  # which the page may not write


def test_features_share_their_latent_and_of_one_text_the_token_as_a_position():
    one, two = FeatureView(made_features.result()), FeatureView(made_features.result())
    link(one, two)
    one.selected = {"latent": made_features.STORE, "token": 3}
    assert two.selected == {"latent": made_features.STORE, "token": 3}
    two.selected = {"latent": made_features.NAMES, "token": None}
    assert one.selected == {"latent": made_features.NAMES, "token": 3}
    grid, features = streams(), FeatureView(made_features.result())
    link(grid, features, by=("pos",))
    grid.selected = STREAM
    assert features.selected == {"latent": features._shown_or_none(), "token": 4}
    features.selected = {"latent": made_features.STORE, "token": 6}
    assert grid.selected == {**STREAM, "pos": 6}
    features.selected = {"latent": made_features.COMMA, "token": 7}
    grid.selected = None
    assert features.selected is None
    assert not features._go({"layer": 1})
    assert not features._go({"latent": 10**6})


def test_a_text_with_another_token_there_does_not_take_the_position():
    grid, features = streams(), FeatureView(made_features.result())
    link(grid, features)
    same = [pos for pos in range(9) if set(grid._words(pos)) & set(features._words(pos))]
    assert 0 < len(same) < 9
    for pos in range(9):
        grid.selected = {**STREAM, "pos": pos}
        held = None if features.selected is None else features.selected["token"]
        assert (held == pos) is (pos in same)


def test_two_texts_have_no_positions_to_share():
    one, two = FeatureView(made_features.result(two=True)), FeatureView(made_features.result(two=True))
    link(one, two)
    two.selected = {"latent": made_features.STORE, "token": 1}
    one.selected = {"latent": made_features.NAMES, "token": 12}
    assert two.selected == {"latent": made_features.NAMES, "token": 1}


def test_what_cannot_be_linked_is_refused_in_words():
    one, two = streams(), heads()
    with pytest.raises(SelectionError, match="link takes two or more different views; 1 were given"):
        link(one)
    with pytest.raises(SelectionError, match="two or more different views"):
        link(one, one)
    with pytest.raises(SelectionError, match=r"such as that of show_patching, not str\. Widgets of other packages"):
        link(one, "two")
    with pytest.raises(UnknownNameError, match="unknown key 'position'"):
        link(one, two, by=("position",))
    with pytest.raises(SelectionError, match=r"nothing to share by token: PatchingGrid has site, layer, .*neuron\."):
        link(one, two, by=("token",))
    with pytest.raises(SelectionError, match="Superposition has none of it"):
        link(one, Superposition(made_toys.toys()))
    assert one.links == two.links == []


@pytest.mark.parametrize("kind", [view for view in VIEWS if {*view._shares} & {*PatchingGrid._shares}])
def test_a_view_that_waits_for_its_first_result_is_left_alone(kind, monkeypatch):
    async def notebook():
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        waiting = kind(Queued())
        for view, cell in ((streams(), STREAM), (heads(), {"site": "z", "layer": 1, "head": 1}), (features(), LATENT)):
            if {*kind._shares} & {*view._shares}:
                link(view, waiting)
                view.selected = cell
                assert view.selected == cell
            view.close()
        assert not waiting.selected
        waiting.close()
        await asyncio.sleep(0.01)

    asyncio.run(notebook())
