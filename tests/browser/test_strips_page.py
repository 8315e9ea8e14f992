"""The exported patching grid with heads opened by position: what was computed is live, and nothing else is offered."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from interp_widgets.views.patching_grid import PatchingGrid
from tests import made
from tests.browser.conftest import Grid, save, violations

HEADS = (
    {"site": "z", "layer": 4, "head": 6},
    {"site": "z", "layer": 0, "head": 3},
    {"site": "q", "layer": 1, "head": 2},
)


def by_position(cell):
    if cell["head"] == 7:
        raise RuntimeError("<b>this head broke</b>")
    return (yield from made.steps(made.strip(cell)))


@pytest.fixture
def open_strips(open_page, tmp_path):
    def open_strips(heads=HEADS, *, width=1200, scheme="light", **state):
        view = PatchingGrid(made.heads(), by_position=by_position)
        for head in heads:
            view.by_position(head)
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "view.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_strips


def strips(page, site="z"):
    return Grid(page, site, ".iw-strips")


def test_every_position_has_its_colour_in_the_row_of_its_head(open_strips):
    page = open_strips()
    expect(page.locator(".iw-strips")).to_be_visible()
    for site, heads in (("z", HEADS[:2]), ("q", HEADS[2:])):
        grid = strips(page, site)
        for row, head in enumerate(heads):  # the last one that was opened is in the uppermost row
            for pos, effect in enumerate(made.strip(head).effect()[0, 0, 0]):
                red, _, blue = grid.color(row, pos)
                if effect > 0.35:
                    assert red > blue + 25, (head, pos)
                elif abs(effect) < 0.02:
                    assert abs(red - blue) < 20, (head, pos)


def test_strips_have_the_colour_scale_of_the_grid(open_strips):
    colors = [strips(open_strips(color_limit=limit)).color(0, 8) for limit in (1.0, 2.0)]
    assert colors[0][2] < colors[1][2] - 20, "the same effect is paler on a wider scale"


def test_pointing_and_pinning_tell_of_the_position(open_strips):
    page = open_strips()
    strips(page).hover(1, 5)
    tip = page.locator(".iw-tooltip")
    for words in ("z", "layer 0, head 3", "␣John", "position 5"):
        expect(tip).to_contain_text(words)
    expect(page.locator(".iw-text .iw-pointed").first).to_contain_text("John")
    strips(page).click(0, 8)
    readout = page.locator(".iw-readout")
    effect = made.strip(HEADS[0]).effect()[0, 0, 0, 8]
    for words in ("z · layer 4, head 6", "position 8", f"{effect:+.2f}".replace("-", "−")):
        expect(readout).to_contain_text(words)
    page.locator("[data-action=code]").click()
    assert "# z 4 6 8" in page.locator(".iw-code pre").inner_text()


def test_the_keyboard_walks_from_strip_to_strip(open_strips):
    page = open_strips(selected={**HEADS[0], "pos": 3})
    plot = page.locator(".iw-strips [role=grid][data-site=z]")
    plot.focus()
    for key in ("ArrowUp", "End", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".iw-readout")).to_contain_text("layer 0, head 3")
    expect(page.locator(".iw-readout")).to_contain_text("position 8")
    page.keyboard.press("Escape")
    expect(page.locator(".iw-readout")).to_contain_text("z · layer 0 · head 3")
    expect(page.locator(".iw-readout")).not_to_contain_text("position")


def test_a_head_that_was_not_computed_says_so_and_one_that_was_offers_nothing(open_strips):
    page = open_strips(selected={"site": "z", "layer": 2, "head": 1})
    expect(page.locator(".iw-readout")).to_contain_text("By position: not computed in this page.")
    page.locator(".iw-panels [role=grid][data-site=z]").first.focus()
    page.keyboard.press("p")
    expect(page.locator(".iw-view > [aria-live]")).to_contain_text("not computed in this page")
    for head in HEADS[:1]:
        page = open_strips(selected=head)
        expect(page.locator(".iw-readout")).not_to_contain_text("By position")
    assert page.locator("[data-action=by-position], .iw-strip-list button").count() == 0


def test_the_table_and_the_csv_have_the_positions_too(open_strips):
    page = open_strips()
    page.locator("[data-action=table]").click()
    tables = page.locator("table.iw-table")
    expect(tables).to_have_count(6)
    rows = tables.nth(4).locator("tbody tr")
    assert [row.locator("th").inner_text() for row in rows.all()] == ["0.3", "4.6"]
    cells = [float(text.replace("−", "-")) for text in rows.nth(1).locator("td").all_inner_texts()]
    assert cells == pytest.approx(made.strip(HEADS[0]).effect()[0, 0, 0].tolist(), abs=0.00501)
    expect(page.locator(".iw-strips")).to_be_hidden()
    shown = pd.read_csv(io.BytesIO(save(page, "save-csv")))
    alone = made.strip(HEADS[1]).to_frame()
    own = shown[(shown["site"] == "z") & (shown["layer"] == 0) & (shown["head"] == 3) & shown["pos"].notna()]
    assert own["pos"].tolist() == alone["pos"].tolist()
    assert own["token"].tolist() == alone["token"].tolist()
    np.testing.assert_allclose(own["value"], alone["value"], atol=1e-5)
    assert shown["pos"].isna().sum() == len(made.heads().to_frame())


def test_the_png_has_the_strips(open_strips):
    import matplotlib.image

    def picture(heads):
        return matplotlib.image.imread(io.BytesIO(save(open_strips(heads), "save-png")))

    without, within = picture(()), picture(HEADS[:1])
    assert within.shape[0] > without.shape[0] + 40

    def warm(image):
        return ((image[..., 0] - image[..., 2]) > 0.25).sum()

    assert warm(within) > warm(without) + 500


def test_a_strip_that_failed_is_an_alert_and_the_grid_stays(open_page, tmp_path):
    view = PatchingGrid(made.heads(), by_position=by_position)
    with pytest.raises(RuntimeError):
        view.by_position({"site": "z", "layer": 4, "head": 7})
    page = open_page(view.to_html(tmp_path / "view.html"))
    expect(page.locator(".iw-strips [role=alert]")).to_contain_text("z 4.7: RuntimeError: <b>this head broke</b>")
    expect(page.locator(".iw-strip-list")).to_contain_text("z 4.7 failed")
    expect(page.locator(".iw-panels canvas.iw-cells").first).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (760, "dark"), (1400, "light")])
def test_strips_fit_and_are_accessible(open_strips, width, scheme):
    page = open_strips(width=width, scheme=scheme, selected={**HEADS[0], "pos": 5})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    page.locator("[data-action=table]").click()
    assert violations(page) == []


def test_a_prompt_of_2000_tokens_keeps_its_strip_in_the_page_and_its_hot_position_in_sight(open_page, tmp_path):
    pairs = (made.pair(tuple(f"t{n}" for n in range(2000)), changed=3),)
    view = PatchingGrid(made.heads(pairs=pairs), by_position=lambda cell: made.steps(made.strip(cell, pairs)))
    view.by_position(HEADS[0])
    page = open_page(view.to_html(tmp_path / "view.html"), width=760)
    page.wait_for_selector(".iw-view[data-ready=true]")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    warm = strips(page).canvas.evaluate(
        """c => { const {data} = c.getContext("2d").getImageData(0, 0, c.width, c.height); let n = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i] > data[i + 2] + 60) n += 1; return n; }"""
    )
    assert warm > 0
