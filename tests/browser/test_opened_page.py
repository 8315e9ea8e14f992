"""A saved page with views that were opened from cells: each is drawn, leads back, and shares hovering and selection."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from interp_widgets import show_patching, teaching
from interp_widgets.views._way import Way
from interp_widgets.views.attribution import AttributionView
from interp_widgets.views.lens_table import LensView
from tests import made, made_attribution, made_lens
from tests.browser.conftest import Grid, violations
from tests.made_ways import CELL, HEAD, grid

PARTS, ROWS = "[data-way=parts].iw-nested", "[data-way=rows].iw-nested"


@pytest.fixture
def open_chain(open_page, tmp_path):
    def open_chain(**options):
        _, view = grid()
        view.selected = CELL
        parts = view.drill("parts")
        parts.selected = HEAD
        parts.drill("rows")
        page = open_page(view.to_html(tmp_path / "view.html"), **options)
        page.wait_for_selector(f"{ROWS} .iw-view[data-ready=true]")
        return page

    return open_chain


def focused(page):
    """The label of what has the focus, in whichever view it is."""
    return page.evaluate(
        "() => { let e = document.activeElement; while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"
        " return e?.getAttribute('aria-label') ?? e?.textContent; }"
    )


def marks(page, root):
    """How much is drawn over the cells of a view: outlines and the names of rows and columns."""
    overlay = page.locator(f"{root} canvas.iw-overlay").first
    return overlay.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"
    )


def test_the_chain_is_drawn_with_the_way_to_each_view(open_chain):
    page = open_chain()
    for root, site, effect in ((PARTS, "z", made.heads(3, 4)), (ROWS, "z", made.heads_by_position())):
        drawn = Grid(page, site, root)
        values = effect.effect()[0, 0]
        for row, column in ((1, 2), (2, 1)):
            red, _, blue = drawn.color(row, column)
            assert (red > blue) is bool(values[row, column] > 0), (root, row, column)
    ways = page.locator(".iw-crumbs ol")
    expect(ways.nth(0)).to_have_text("patchingresid_pre, layer 2, ␣John / ␣Mary (5)parts")
    expect(ways.nth(1)).to_contain_text("partsz, layer 1, head 2rows")
    expect(page.locator(PARTS)).to_have_attribute("aria-label", "parts of resid_pre, layer 2, ␣John / ␣Mary (5)")


def test_keys_lead_into_a_view_and_back(open_chain):
    page = open_chain()
    page.locator(".iw-plot").first.focus()
    page.keyboard.press("o")
    assert focused(page).startswith("z, ")
    page.keyboard.press("t")
    assert focused(page).startswith("z, ")
    assert page.evaluate("() => !!document.querySelector('.iw-nested').contains(document.activeElement)")
    inner = page.locator(f"{ROWS} .iw-plot").first
    expect(inner).to_be_focused()
    page.keyboard.press("Escape")  # lets go of the cell at the cursor
    page.keyboard.press("Escape")
    expect(page.locator(f"{PARTS} .iw-plot").first).to_be_focused()
    page.locator(f"{ROWS} .iw-crumbs button", has_text="patching").click()
    expect(page.locator(".iw-plot").first).to_be_focused()


def test_a_button_says_whether_its_view_is_open_and_opens_it_again(open_chain):
    page = open_chain()
    button = page.locator(".iw-ways button[data-way=parts]").first
    expect(button).to_have_attribute("aria-expanded", "true")
    page.locator(f"{PARTS} .iw-close").first.click()
    expect(page.locator(PARTS)).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(page.locator(PARTS)).to_be_visible()
    expect(page.locator(f"{PARTS} .iw-plot").first).to_be_focused()


def test_what_was_not_computed_is_said_and_not_asked_for(open_chain):
    page = open_chain()
    Grid(page).click(3, 5)
    button = page.locator(".iw-ways button[data-way=parts]").first
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_attribute("title", "what wrote it: not computed in this page")
    button.press("Enter")
    expect(page.locator(".iw-view > [aria-live=polite]").first).to_have_text("parts: not computed in this page.")


def test_views_share_hovering_and_selection_without_a_kernel(open_chain):
    page = open_chain()
    before = marks(page, PARTS)
    Grid(page, "z", ROWS).hover(8, 3)  # layer 2, head 0
    assert marks(page, PARTS) > before + 20
    page.mouse.move(5, 5)
    assert marks(page, PARTS) == before
    Grid(page, "z", ROWS).click(8, 3)
    expect(page.locator(f"{PARTS} .iw-readout").first).to_contain_text("layer 2 · head 0")
    expect(page.locator(".iw-readout").first).to_contain_text("layer 2")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (2000, "light")])
def test_every_width_and_theme_is_in_order(open_chain, width, scheme):
    page = open_chain(width=width, scheme=scheme)
    assert violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_loaded_result_says_why_nothing_opens(open_grid):
    page = open_grid(selected=CELL)
    page.locator(".iw-ways button").press("Enter")
    expect(page.locator(".iw-ways [role=alert]")).to_contain_text(
        "Nothing opens from here: views open from what a show function returned"
    )


def test_a_lens_and_an_attribution_lead_on_in_the_page(open_page, tmp_path):
    lens, attribution = LensView(made_lens.result()), AttributionView(made_attribution.result())
    last = LensView(made_lens.result())
    attribution._offer(Way("lens", "a lens", "l", lambda _: last, needs=("layer",), by=("layer",)))
    lens._offer(Way("attribution", "what adds up", "a", lambda _: attribution, needs=("layer",), by=("layer",)))
    layer = lens.result.rows[-1].layer
    lens.selected = {"site": lens.result.rows[-1].site, "layer": layer, "pos": 1}
    lens.drill("attribution")
    attribution.selected = attribution.result.strongest(1)[0][0].cell
    attribution.drill("lens")
    page = open_page(lens.to_html(tmp_path / "view.html"))
    inner = "[data-way=attribution].iw-nested [data-way=lens].iw-nested"
    page.wait_for_selector(f"{inner} .iw-view[data-ready=true]")
    page.locator(".iw-grid").first.focus()
    page.keyboard.press("a")
    assert page.evaluate("() => document.querySelector('.iw-nested').contains(document.activeElement)")
    expect(page.locator(".iw-ways button[data-way=attribution]")).to_have_attribute("aria-expanded", "true")
    page.locator(".iw-ways button[data-way=lens]").click()
    expect(page.locator(f"{inner} .iw-strip").first).to_be_focused()
    page.locator(".iw-crumbs ol").last.locator("button", has_text="lens").click()
    expect(page.locator(".iw-grid").first).to_be_focused()


def test_what_opens_from_a_mean_says_of_which_prompt_it_is(open_page, tmp_path):
    pairs = teaching.prompts("ioi", n=2)
    sides = [pair.clean for pair in pairs], [pair.corrupt for pair in pairs]
    view = show_patching(teaching.load(), *sides, sites="z", layers=1)
    view.selected = {"site": "z", "layer": 1, "head": 2}
    view.drill("attribution")
    view.pair = 1
    view.drill("attribution")
    page = open_page(view.to_html(tmp_path / "view.html"))
    page.wait_for_selector(".iw-nested .iw-view[data-ready=true]")
    ways = page.locator(".iw-crumbs ol")
    expect(ways.nth(0)).to_have_text("patchingz, layer 1, head 2, pair 1 of 2attribution")
    expect(ways.nth(1)).to_have_text("patchingz, layer 1, head 2, pair 2 of 2attribution")
