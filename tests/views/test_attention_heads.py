"""The view of attention heads, without a browser: what it sends, what it answers, what it refuses."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import traitlets
from numpy.typing import NDArray

from interp_widgets.results.attention import AttentionResult, LayerPatterns
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.views import _attention_heads_wire as wire
from interp_widgets.views import attention_heads as module
from interp_widgets.views.attention_heads import AttentionView
from tests.made_attention import attention, pattern, scores


class Page:
    """Stands for the page: asks the view, and keeps what it is sent."""

    def __init__(self, view: AttentionView, monkeypatch: pytest.MonkeyPatch) -> None:
        self.view = view
        self.sent: list[tuple[Any, Any]] = []
        monkeypatch.setattr(view, "send", lambda content, buffers=None: self.sent.append((content, buffers)))

    def ask(self, **question: Any) -> list[NDArray[np.float32]]:
        self.view._on_message(self.view, {"kind": "request", "id": "x", **question}, [])
        content, buffers = self.sent.pop()
        assert content["ok"], content["value"]
        shapes = [tuple(map(int, shape.split())) for shape in content["value"].split("/")]
        return [np.frombuffer(data, "<f4").reshape(shape) for data, shape in zip(buffers, shapes, strict=True)]

    def refused(self, **question: Any) -> str:
        self.view._on_message(self.view, {"kind": "request", "id": "x", **question}, [])
        content, _ = self.sent.pop()
        assert not content["ok"]
        return str(content["value"])


HEAD = {"side": "clean", "layer": 1, "head": 2, "weighted": False}


def floats(array: Any) -> NDArray[np.float32]:
    return np.frombuffer(array["data"], "<f4").reshape(array["shape"])


def long(monkeypatch: pytest.MonkeyPatch, result: AttentionResult) -> AttentionResult:
    """Treat a short prompt as a long one."""
    monkeypatch.setattr(wire, "WHOLE", 0)
    monkeypatch.setattr(wire, "_LARGEST", 4)
    monkeypatch.setattr(wire, "_SMALLEST", 2)
    monkeypatch.setattr(wire, "TILE", 3)
    return result


def test_a_short_prompt_travels_as_a_whole() -> None:
    view = AttentionView(attention(8, second=6))
    state = view.get_state(["spec", "arrays"])
    assert state["spec"]["whole"]
    assert [side["name"] for side in state["spec"]["sides"]] == ["clean", "corrupt"]
    for layer, wired in enumerate(state["arrays"]["layers"]):
        assert not wired["pictures"]
        for side, maps in enumerate(wired["sides"]):
            for head in range(3):
                np.testing.assert_array_equal(floats(maps["pattern"])[head], pattern(layer + side, head, (8, 6)[side]))
            assert maps["weighted"] is None
            assert floats(maps["norms"])[0, 3] == 4


def test_layers_appear_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def steps() -> Generator[AttentionResult, None, AttentionResult]:
        for read in range(4):
            yield attention(layers=4, read=read)
        return attention(layers=4)

    monkeypatch.setattr(module, "_RATE", 1e12)
    view = AttentionView.__new__(AttentionView)
    original = AttentionView._stream

    def watch(self: AttentionView, result: Any) -> None:
        self._due = 0
        original(self, result)
        layers = self.get_state(["arrays"])["arrays"]["layers"]
        seen.append([layer is not None for layer in layers].count(True))

    monkeypatch.setattr(AttentionView, "_stream", watch)
    monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0)
    view = AttentionView(steps())
    assert seen == [1, 2, 3]
    assert view.result == attention(layers=4)
    assert view.job.status()["done"] == 4


def test_small_pictures_of_a_long_prompt_keep_every_bright_point(monkeypatch: pytest.MonkeyPatch) -> None:
    result = long(monkeypatch, attention(10))
    view = AttentionView(result)
    state = view.get_state(["spec", "arrays"])
    assert not state["spec"]["whole"]
    assert state["spec"]["small"] == 4
    pictures = state["arrays"]["layers"][1]["pictures"]
    assert set(pictures) == {"clean", "clean/weighted"}
    codes = np.frombuffer(pictures["clean"]["codes"]["data"], np.uint8).reshape(pictures["clean"]["codes"]["shape"])
    assert codes.shape == (3, 4, 4), "10 tokens, 3 to a pixel"
    shown = (codes.astype(float) - 128) / 127 * floats(pictures["clean"]["peaks"])[:, None, None]
    for head in range(3):
        own = result.pattern(1, head)
        for row, column in np.ndindex(4, 4):
            most = own[3 * row : 3 * row + 3, 3 * column : 3 * column + 3].max()
            assert abs(shown[head, row, column] - most) < 0.005


def test_no_number_has_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    result = attention(8, layers=1)
    maps = result.parts[0].pattern.copy()
    maps[1, 4, 2] = np.nan
    broken = replace(result, parts=(LayerPatterns(0, 0, maps.astype(np.float16), result.parts[0].value_norms),))
    view = AttentionView(long(monkeypatch, broken))
    picture = view.get_state(["arrays"])["arrays"]["layers"][0]["pictures"]["clean"]["codes"]
    codes = np.frombuffer(picture["data"], np.uint8).reshape(picture["shape"])
    assert np.argwhere(codes == 0).tolist() == [[1, 2, 1]]


def test_tiles_and_lines_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    result = long(monkeypatch, attention(10, second=10))
    page = Page(AttentionView(result), monkeypatch)
    (tile,) = page.ask(name="tile", **HEAD, level=0, row=2, column=1)
    np.testing.assert_array_equal(tile, result.pattern(1, 2)[6:9, 3:6])
    (coarse,) = page.ask(name="tile", **HEAD, level=1, row=1, column=0)
    np.testing.assert_array_equal(coarse, result.tile(1, 2, 1, 1, 0, size=3))
    looks, seen = page.ask(name="lines", **HEAD, pos=7)
    np.testing.assert_array_equal(looks, result.pattern(1, 2)[7])
    np.testing.assert_array_equal(seen, result.pattern(1, 2)[:, 7])
    between = {**HEAD, "side": "difference", "weighted": True}
    (tile,) = page.ask(name="tile", **between, level=1, row=0, column=0)
    whole = result.difference(1, 2, weighted=True)
    assert tile.shape == (3, 3)
    assert tile[1, 0] == max(whole[2:4, 0:2].ravel(), key=abs)
    looks, _ = page.ask(name="lines", **between, pos=7)
    np.testing.assert_allclose(looks, whole[7])


def test_a_mean_tells_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    result = long(monkeypatch, attention(10, prompts=3))
    page = Page(AttentionView(result), monkeypatch)
    looks, _, looks_spread, seen_spread = page.ask(name="lines", **HEAD, pos=9)
    np.testing.assert_allclose(looks_spread, looks / 10)
    np.testing.assert_allclose(seen_spread, result.spread(1, 2)[:, 9])


def test_what_there_is_not_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(AttentionView(long(monkeypatch, attention(10, second=8))), monkeypatch)
    assert "There is no tile (9, 0)" in page.refused(name="tile", **HEAD, level=0, row=9, column=0)
    assert "There is no position 10" in page.refused(name="lines", **HEAD, pos=10)
    assert "Layer 5 was not read" in page.refused(name="lines", **{**HEAD, "layer": 5}, pos=0)
    assert "positions cannot be matched" in page.refused(name="lines", **{**HEAD, "side": "difference"}, pos=0)


def test_a_saved_page_keeps_what_was_looked_at_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 400)
    view = AttentionView(long(monkeypatch, attention(10)))
    view.selected = {"layer": 1, "head": 2, "pos": 4}
    page = Page(view, monkeypatch)
    for row in range(4):
        for column in range(4):
            page.ask(name="tile", **HEAD, level=0, row=row, column=column)
    kept = view._state_at_rest()["kept"]
    assert sum(len(array["data"]) for one in kept for array in one["arrays"]) <= 400
    keys = [one["key"] for one in kept]
    assert keys[-2:] == ["lines/clean/1/2/0/1/4", "tile/clean/1/2/0/1/2/0/0"], "what is shown, last"
    assert "tile/clean/1/2/0/1/0/3/3" in keys
    assert "tile/clean/1/2/0/1/0/0/0" not in keys, "the oldest went"


def test_blocks_are_read_anew_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse, exact = attention(10, block=3), attention(10)
    asked = []

    def read_anew(layer: int, head: int) -> AttentionResult:
        asked.append((layer, head))
        return replace(exact, layers=(layer,), parts=tuple(part for part in exact.parts if part.layer == layer))

    view = AttentionView(long(monkeypatch, coarse), read_anew=read_anew)
    page = Page(view, monkeypatch)
    assert view.get_state(["spec"])["spec"]["reads"]
    looks, _ = page.ask(name="lines", **HEAD, pos=7)
    np.testing.assert_array_equal(looks, coarse.pattern(1, 2)[2])
    view.selected = {"layer": 1, "head": 2, "pos": None}
    view.read()
    assert asked == [(1, 2)]
    assert view.get_state(["close_up"])["close_up"] == {"layer": 1, "heads": [0, 1, 2], "block": 1}
    looks, _ = page.ask(name="lines", **HEAD, pos=7)
    np.testing.assert_array_equal(looks, exact.pattern(1, 2)[7])
    looks, _ = page.ask(name="lines", **{**HEAD, "layer": 0}, pos=7)
    np.testing.assert_array_equal(looks, coarse.pattern(0, 2)[2])


def test_reading_anew_is_refused_where_it_cannot_be() -> None:
    with pytest.raises(ResultError, match="a number for each token already"):
        AttentionView(attention()).read()
    with pytest.raises(ResultError, match="came without a model to read a layer with"):
        AttentionView(attention(10, block=2)).read(1, 1)


def test_what_can_be_chosen_is_checked() -> None:
    view = AttentionView(attention(8, second=5), scores=scores())
    view.selected = {"layer": 1, "head": 2}
    assert view.selected == {"layer": 1, "head": 2, "pos": None}
    for given, message in (
        ({"layer": 2, "head": 0}, "There is no layer 2 here: 0, 1 were asked for"),
        ({"layer": 0, "head": True}, "There is no head True here"),
        ({"layer": 0, "head": 0, "pos": 8}, "There is no position 8: they run from 0 to 7"),
        ({"layer": 0}, 'selected is {"layer": 3, "head": 1, "pos": None}'),
    ):
        with pytest.raises(traitlets.TraitError, match=message):
            view.selected = given
    assert view.selected == {"layer": 1, "head": 2, "pos": None}
    with pytest.raises(traitlets.TraitError, match="the prompts have unequal lengths, or are in blocks"):
        view.side = "difference"
    with pytest.raises(traitlets.TraitError, match="there is one prompt"):
        AttentionView(attention()).side = "corrupt"
    with pytest.raises(traitlets.TraitError, match="name_mover was not computed: it takes prompts="):
        view.score = "name_mover"
    with pytest.raises(traitlets.TraitError, match="induction"):
        view.score = "inductoin"
    view.score = "induction"
    bare = attention()
    without = replace(bare, parts=tuple(LayerPatterns(p.side, p.layer, p.pattern) for p in bare.parts))
    with pytest.raises(traitlets.TraitError, match="weighted patterns were not computed"):
        AttentionView(without).weighted = True
    with pytest.raises(ResultError, match="AttentionView takes AttentionResult, or the steps"):
        AttentionView(3)  # type: ignore[arg-type]


def test_scores_travel_for_the_heads_that_are_shown() -> None:
    result = attention()
    some = replace(
        result,
        layers=(1,),
        heads=(0, 2),
        parts=tuple(
            LayerPatterns(part.side, part.layer, part.pattern[[0, 2]], None) for part in result.parts if part.layer == 1
        ),
    )
    told = AttentionView(some, scores=scores()).get_state(["scored"])["scored"]
    values = floats(told["scores"]["induction"]["values"])
    np.testing.assert_allclose(values, scores().score("induction")[1:, [0, 2]], rtol=1e-6)
    assert told["scores"]["copying"]["baseline"] is None
    assert np.isnan(floats(told["scores"]["copying"]["low"])).all()
    assert "name_mover" in told["missing"]


def test_the_code_is_that_of_what_is_shown() -> None:
    view = AttentionView(attention(8, second=6))
    view.selected = {"layer": 1, "head": 2, "pos": 3}
    assert view.code().endswith("print(1, 2, 3)\n")
    assert view.code() == "clean = [[0, 1, 2, 3, 4, 5, 6, 7]]\nshown = pattern_of(clean)\nprint(1, 2, 3)\n"
    view.side = "corrupt"
    assert view.code(0, 1, 2) == "corrupt = [[0, 1, 2, 3, 4, 5]]\nshown = pattern_of(corrupt)\nprint(0, 1, 2)\n"
    view.weighted = True
    assert view.code().endswith("print('weighted', 1, 2, 3)\n")
    both = AttentionView(attention(3, second=3))
    both.side = "difference"
    assert both.code(0, 1, 2).splitlines() == [
        "clean = [[0, 1, 2]]",
        "corrupt = [[0, 1, 2]]",
        "shown = pattern_of(corrupt) - pattern_of(clean)",
        "print(0, 1, 2)",
    ]
    assert AttentionView(attention(2, prompts=2)).code(0, 1).startswith("prompt = [[0, 1], [0, 1]]\n")
    with pytest.raises(SelectionError, match="Head 3 was not read"):
        view.code(head=3)


def test_places_of_other_views_are_taken_as_far_as_they_are_here() -> None:
    view = AttentionView(attention(8))
    assert view._go({"layer": 1})
    assert view.selected == {"layer": 1, "head": 0, "pos": None}
    assert view._go({"head": 2, "pos": 5})
    assert view.selected == {"layer": 1, "head": 2, "pos": 5}
    assert not view._go({"layer": 9})
    assert not view._go({"neuron": 9})
    assert view._words(3) == ["␣John"]
    assert view._words(30) == []


@pytest.mark.parametrize(
    "result",
    [
        attention(1, layers=1, heads=1),
        attention(8, second=5),
        attention(30, layers=1, heads=20),
        attention(8, read=1),
        attention(12, block=5),
        attention(8, prompts=2),
    ],
    ids=["one", "two", "wrapped", "partly", "blocks", "mean"],
)
def test_every_result_has_a_figure_and_a_page(result: AttentionResult) -> None:
    view = AttentionView(result)
    figure = view.figure()
    large = figure.axes[1].get_images()[0].get_array()
    np.testing.assert_array_equal(large, result.pattern(*result.leading()))  # type: ignore[misc]
    assert "AttentionView(Attention" in repr(view).replace("AttentionResult(", "")
    assert len(view._page()) > 1000


def test_a_figure_shows_what_the_view_does() -> None:
    view = AttentionView(attention(8, second=8), scores=scores())
    view.selected = {"layer": 1, "head": 1, "pos": None}
    view.side, view.weighted, view.score = "difference", True, "induction"
    figure = view.figure()
    np.testing.assert_allclose(
        figure.axes[1].get_images()[0].get_array(), view.result.difference(1, 1, weighted=True), rtol=1e-6
    )
    assert figure.axes[1].get_title(loc="left") == "head 1.1 · induction"
    assert figure.axes[0].get_title(loc="left") == "thicker frames: induction (up to 0.90)"


def test_a_view_without_a_layer_says_so() -> None:
    view = AttentionView(attention(read=0))
    assert view.get_state(["arrays"])["arrays"]["leading"] is None
    with pytest.raises(ResultError, match="no layer is read yet"):
        view.code()
