"""The exported view of attention heads: pixels, pointer, keyboard, table, downloads, widths, access."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from interp_widgets.views import _attention_heads_wire as wire
from interp_widgets.views.attention_heads import AttentionView
from tests.browser.conftest import save, violations
from tests.made_attention import attention, scores

CLEAR = 60
"""By how much red has to be above blue, or below, for a cell to count as coloured."""


@pytest.fixture
def open_heads(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_heads(result=None, *, width=1200, scheme="light", **state):
        view = AttentionView(result or attention(), scores=scores())
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "heads.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_heads


class Large:
    """The large pattern on a page: where its cells are, and what colour they have."""

    def __init__(self, page):
        self.plot = page.locator(".iw-pattern")
        data = page.locator("canvas.iw-pattern-numbers").evaluate("c => ({...c.dataset})")
        self.x, self.y, self.cell = (float(data[name]) for name in ("x0", "y0", "cell"))
        self.page = page

    def spot(self, query, key):
        return {"x": self.x + (key + 0.5) * self.cell, "y": self.y + (query + 0.5) * self.cell}

    def colors(self, count):
        """The colour of every cell, (query, key, rgb)."""
        script = """(c, [x, y, cell, count]) => {
          const scale = c.width / c.getBoundingClientRect().width, context = c.getContext("2d"), found = [];
          for (let row = 0; row < count; row++) for (let column = 0; column < count; column++) {
            const place = [x + (column + 0.5) * cell, y + (row + 0.5) * cell].map((at) => at * scale);
            found.push(...context.getImageData(...place, 1, 1).data.slice(0, 3));
          }
          return found;
        }"""
        canvas = self.page.locator("canvas.iw-pattern-numbers")
        return np.array(canvas.evaluate(script, [self.x, self.y, self.cell, count])).reshape(count, count, 3)


def head_spot(page, name):
    """The middle of a head's small picture."""
    data = page.locator("canvas.iw-heads").evaluate("c => ({...c.dataset})")
    places = dict(place.split(":") for place in data["places"].split())
    x, y = map(float, places[name].split(","))
    return {"x": x + float(data["size"]) / 2, "y": y + float(data["size"]) / 2}


def choose(page, name):
    page.locator(".iw-pictures .iw-plot").click(position=head_spot(page, name))


def warm(colors):
    return colors[..., 0].astype(int) - colors[..., 2]


def test_cells_have_the_colours_of_their_numbers(open_heads):
    result = attention(8, second=8)
    page = open_heads(result, selected={"layer": 1, "head": 2, "pos": None})
    np.testing.assert_array_equal(warm(Large(page).colors(8)) > CLEAR, result.pattern(1, 2) > 0.5)
    choose(page, "0.1")
    expect(page.locator(".iw-head-name")).to_have_text("head 0.1")
    np.testing.assert_array_equal(warm(Large(page).colors(8)) > CLEAR, result.pattern(0, 1) > 0.5)
    page.get_by_role("radio", name="difference").click()
    expect(page.locator(".iw-legend")).to_contain_text("corrupt less clean")
    difference = result.difference(0, 1)
    shown = warm(Large(page).colors(8))
    np.testing.assert_array_equal(np.sign(shown) * (abs(shown) > CLEAR), np.sign(difference) * (abs(difference) > 0.5))
    page.get_by_role("radio", name="corrupt", exact=True).click()
    page.get_by_role("radio", name="own maximum").click()
    page.get_by_role("radio", name="|v W_O|").click()
    weighted = result.pattern(0, 1, side=1, weighted=True)
    np.testing.assert_array_equal(warm(Large(page).colors(8)) > 2 * CLEAR, weighted > 0.7 * weighted.max())


def test_pointing_at_a_token_tells_where_it_looks_and_who_looks_at_it(open_heads):
    page = open_heads(selected={"layer": 0, "head": 1, "pos": None})
    lists = page.locator(".iw-lists")
    expect(lists).to_contain_text("␣sat 7 looks at")
    page.locator(".iw-tok").nth(3).hover()
    expect(lists).to_contain_text("␣John 3 looks at␣Mary 10.75When 00.25")
    expect(lists).to_contain_text("␣John 3 is looked at by, 50.75")
    shaded = page.locator(".iw-tok").evaluate_all(
        "all => all.map(one => one.firstElementChild.style.background ? one.textContent : null).filter(Boolean)"
    )
    assert [word.strip() for word in shaded] == ["When", "Mary"]
    large = Large(page)
    large.plot.hover(position=large.spot(6, 4))
    expect(lists).to_contain_text("␣he 6 looks at ␣went 4 with 0.75")
    expect(page.locator(".iw-pattern [role=gridcell]")).to_have_text(
        "␣he, position 6, looks at ␣went, position 4: 0.75"
    )
    marked = page.locator(".iw-tok-marked").evaluate_all("all => all.map(one => one.dataset.token)")
    assert marked == ["4", "6"]
    large.plot.click(position=large.spot(5, 0))
    page.mouse.move(5, 5)
    expect(lists).to_contain_text(", 5 looks at")
    expect(page.locator(".iw-tok[aria-selected=true]")).to_have_attribute("data-token", "5")
    page.locator("[data-action=code]").click()
    expect(page.locator(".iw-code pre")).to_contain_text("print(0, 1, 5)")
    expect(page.locator(".iw-code pre")).to_contain_text("[[0, 1, 2, 3, 4, 5, 6, 7]]")


@pytest.mark.parametrize("side", ["clean", "corrupt", "difference"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_code_is_what_python_prints_and_of_what_is_shown(open_heads, side, weighted):
    shown = {"selected": {"layer": 1, "head": 2, "pos": 3}, "side": side, "weighted": weighted}
    page = open_heads(attention(8, second=8), **shown)
    view = AttentionView(attention(8, second=8))
    for name, value in shown.items():
        setattr(view, name, value)
    page.locator("[data-action=code]").click()
    expect(page.locator(".iw-code pre")).to_have_text(view.code())
    what = "weighted pattern" if weighted else "pattern"
    which = "corrupt less clean" if side == "difference" else f"{side} prompt"
    expect(page.locator(".iw-code-head span")).to_have_text(f"{what} of head 1.2, {which}, position 3")


def test_all_is_reached_by_keyboard(open_heads):
    page = open_heads()
    heads = page.get_by_role("grid", name="heads by layer: arrows move, Enter shows one large")
    heads.focus()
    for key in ("ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    expect(heads.get_by_role("gridcell")).to_have_text("layer 1 head 1, induction")
    expect(page.locator(".iw-tooltip")).to_contain_text("an induction head")
    expect(page.locator(".iw-tooltip")).to_contain_text("induction0.900.87 to 0.930.050")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-head-name")).to_contain_text("head 1.1")
    large = page.get_by_role("grid", name="pattern of head 1.1")
    large.focus()
    page.keyboard.press("ArrowUp")  # shows where one is
    cell = large.get_by_role("gridcell")
    expect(cell).to_contain_text("␣sat, position 7, looks at ␣sat, position 7: 0.00")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    expect(cell).to_contain_text("␣he, position 6, looks at ␣Mary, position 1: 0.75")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-tok[aria-selected=true]")).to_have_attribute("data-token", "6")
    page.keyboard.press("Escape")
    expect(page.locator(".iw-tok[aria-selected=true]")).to_have_count(0)
    strip = page.get_by_role("listbox")
    strip.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".iw-lists")).to_contain_text("␣Mary 1 looks at")


def test_a_pattern_zooms_about_the_cursor_and_back(open_heads):
    page = open_heads(attention(40))
    before = Large(page)
    before.plot.focus()
    for key in ("ArrowUp", "+", "+"):
        page.keyboard.press(key)
    after = Large(page)
    assert after.cell == pytest.approx(before.cell * 1.6**2)
    spot = after.spot(39, 39)
    assert spot["x"] < before.x + 40 * before.cell, "the last token, where the keyboard is, stays in sight"
    np.testing.assert_array_less(0, [spot["x"], spot["y"]])
    page.keyboard.press("0")
    assert Large(page).cell == before.cell


def test_heads_are_ordered_and_named_by_a_score(open_heads):
    page = open_heads()
    page.get_by_label("score", exact=True).select_option("induction")
    about = page.locator(".iw-about")
    expect(about).to_contain_text("mean attention from the second copy of random tokens")
    expect(about).to_contain_text("Baseline 0.050: a head that looks evenly")
    expect(about).to_contain_text("arXiv:2209.11895")
    page.get_by_role("radio", name="highest first").click()
    data = page.locator("canvas.iw-heads").evaluate("c => ({...c.dataset})")
    assert [place.split(":")[0] for place in data["places"].split()][:3] == ["1.1", "1.2", "1.0"]
    expect(page.get_by_label("score", exact=True).locator("option")).to_have_count(5)
    page.locator("[data-action=table]").click()
    rows = page.locator(".iw-tables table").first.locator("tbody tr")
    expect(rows.first).to_contain_text("head 1.1induction0.16 (0.16 to 0.16)")
    terms = page.locator(".iw-tables table").nth(1)
    expect(terms).to_contain_text("Not computed: it takes prompts=, answer= and wrong_answer=.")
    expect(terms).to_contain_text("A Mathematical Framework for Transformer Circuits")
    expect(page.locator(".iw-tables table").nth(2).locator("tbody tr").nth(4)).to_contain_text(
        "␣went␣John 3: 0.75When 0: 0.25"
    )


def test_what_is_shown_can_be_taken_away(open_heads):
    result = attention(8, second=6)
    page = open_heads(result, selected={"layer": 1, "head": 1, "pos": 3})
    rows = list(csv.DictReader(io.StringIO(save(page, "save-csv").decode())))
    frame = result.to_frame()
    assert len(rows) == len(frame)
    assert list(rows[0]) == list(frame.columns)
    for name in ("side", "layer", "head", "query", "key", "pattern", "weighted"):
        np.testing.assert_allclose(sorted(float(row[name]) for row in rows), sorted(frame[name]), rtol=1e-6)
    picture = Image.open(io.BytesIO(save(page, "save-png")))
    pixels = np.array(picture.convert("RGB")).astype(int)
    assert picture.width > 1800
    assert ((pixels[..., 0] - pixels[..., 2]) > CLEAR).sum() > 10_000, "patterns and the text are drawn"


def test_a_long_prompt_shows_what_the_page_keeps(open_heads, monkeypatch):
    monkeypatch.setattr(wire, "WHOLE", 0)
    monkeypatch.setattr(wire, "_LARGEST", 10)
    result = attention(40, layers=1, heads=2)
    page = open_heads(result, selected={"layer": 0, "head": 1, "pos": 20})
    expect(page.locator(".iw-lists")).to_contain_text("␣went 20 looks at␣and 180.75When 00.25")
    expect(page.locator(".iw-rough")).to_have_count(0)
    assert (warm(Large(page).colors(40)) > CLEAR).sum() == (result.pattern(0, 1) > 0.5).sum()
    expect(page.locator(".iw-legend")).to_contain_text("a pixel is the largest of 4 by 4 tokens")
    expect(page.locator(".iw-legend")).to_contain_text("This page keeps what was looked at, 4 MiB at most.")
    page.locator(".iw-tok").nth(9).hover()
    expect(page.locator(".iw-rough")).to_contain_text("Here it has the small picture: the largest of 4 tokens.")
    expect(page.locator(".iw-lists")).to_contain_text("␣Mary 9 looks at␣went 4 to 70.75When 8 to 110.75")
    choose(page, "0.0")
    expect(page.locator(".iw-head-name")).to_contain_text("head 0.0")
    assert (warm(Large(page).colors(40)) > CLEAR).sum() > 0, "the small picture stands in"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_accessible(open_heads, scheme):
    page = open_heads(attention(8, second=8), scheme=scheme, score="induction")
    for name in ("table", "code"):
        page.locator(f"[data-action={name}]").click()
    assert violations(page) == []
    page.locator("[data-action=table]").click()
    assert violations(page) == []
    for width in (400, 760, 2000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "size => document.querySelector('.iw-view').dataset.size === size",
            arg={400: "narrow", 760: "middle", 2000: "wide"}[width],
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert Large(page).cell > 20


def test_layers_that_were_not_read_and_numbers_that_are_none_have_their_own_marks(open_heads):
    from dataclasses import replace

    from interp_widgets.results.attention import LayerPatterns

    result = attention(8, read=1)
    broken = result.parts[0].pattern.copy()
    broken[0, 5, 2] = np.nan
    page = open_heads(replace(result, parts=(LayerPatterns(0, 0, broken, result.parts[0].value_norms),)))
    expect(page.locator(".iw-legend")).to_contain_text("not read")
    expect(page.locator(".iw-legend")).to_contain_text("no number")
    colors = Large(page).colors(8)
    red, _, blue = colors[5, 2]
    assert abs(int(red) - int(blue)) < 12
    assert red < 215, "darker than 0 is"
    choose(page, "1.1")
    expect(page.locator(".iw-head-name")).to_contain_text("head 0.0")
