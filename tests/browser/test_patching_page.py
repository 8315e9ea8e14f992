"""The exported patching grid: pixels, pointer, keyboard, switches, table, downloads, tokens that mean harm."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.results.patching import Status
from interp_widgets.results.tokens import Token
from interp_widgets.views.patching_grid import PatchingGrid
from tests import made
from tests.browser.conftest import Grid, save, violations

MINUS = "−"


def test_hot_cells_are_warm_cold_ones_cool_and_the_rest_pale(open_grid):
    whole = made.result()
    whole.values["logit_diff"][0, 0, 1, 7] = -3.5 - 0.8 * 7  # one strongly negative cell: effect -0.8
    grid = Grid(open_grid(whole))
    effect = whole.effect()[0, 0]
    for layer, pos in np.ndindex(effect.shape):
        red, _, blue = grid.color(layer, pos)
        strength = effect[layer, pos]
        if strength > 0.5:
            assert red > blue + 60, (layer, pos)
        elif strength < -0.5:
            assert blue > red + 60, (layer, pos)
        elif abs(strength) < 0.02:
            assert abs(red - blue) < 20, (layer, pos)


def test_pointing_at_a_cell_tells_all_about_it(open_grid):
    whole = made.result()
    page = open_grid(whole)
    Grid(page).hover(1, 5)
    tip = page.locator(".iw-tooltip")
    expect(tip).to_be_visible()
    for words in ("resid_pre", "1", "␣John", "␣Mary", "+0.9", "0.60"):
        expect(tip).to_contain_text(words)


def test_a_known_cell_says_why_it_was_not_run(open_grid):
    page = open_grid()
    Grid(page).hover(2, 1)
    expect(page.locator(".iw-tooltip")).to_contain_text("not run")


def test_a_click_pins_and_explains(open_grid):
    page = open_grid()
    Grid(page).click(0, 5)
    readout = page.locator(".iw-readout")
    expect(readout).to_contain_text("layer 0")
    expect(readout).to_contain_text("all the way to the clean run")
    expect(readout).to_contain_text(f"{MINUS}3.5")
    page.keyboard.press("Escape")
    expect(readout).not_to_contain_text("all the way")


def test_a_hot_cell_that_needed_no_run_is_explained_like_any_other(open_grid):
    whole = made.result()
    whole.status[0, 0, 0, 5] = Status.KNOWN
    page = open_grid(whole, selected={"site": "resid_pre", "layer": 0, "pos": 5})
    readout = page.locator(".iw-readout")
    for words in ("effect +1.00", "all the way to the clean run", "not run"):
        expect(readout).to_contain_text(words)


def test_the_keyboard_reaches_every_cell_and_pins(open_grid):
    page = open_grid(selected={"site": "resid_pre", "layer": 1, "pos": 5})
    plot = page.locator("[role=grid][data-site=resid_pre]")
    plot.focus()
    for key in ("ArrowUp", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".iw-readout")).to_contain_text("layer 2")
    expect(page.locator(".iw-readout")).to_contain_text("position 6")
    page.keyboard.press("End")
    active = plot.get_attribute("aria-activedescendant")
    cell = page.locator(f"[id='{active}']")
    expect(cell).to_have_attribute("role", "gridcell")
    assert "layer 2" in (cell.get_attribute("aria-label") or cell.text_content())
    assert "position 8" in (cell.get_attribute("aria-label") or cell.text_content())


def test_the_metric_switch_shows_values_of_the_same_run(open_grid):
    page = open_grid(selected={"site": "resid_pre", "layer": 0, "pos": 5})
    expect(page.locator(".iw-readout")).to_contain_text("logit difference")
    page.locator("[data-metric=rank]").click()
    expect(page.locator(".iw-readout")).to_contain_text("rank")


def test_a_metric_without_a_gap_says_so_instead_of_drawing_noise(open_grid):
    whole = made.result()
    whole.baselines["rank"][:] = 0
    page = open_grid(whole, metric="rank")
    expect(page.locator(".iw-view")).to_contain_text("no gap")


def test_pairs_are_shown_one_by_one_or_as_their_mean(open_grid):
    first = made.pair()
    second = replace(made.pair(labels=("␣When", "␣Ann", *made.CLEAN[2:])), answer=Token(2, "␣Ann"))
    whole = made.result(pairs=(first, second))
    page = open_grid(whole, selected={"site": "resid_pre", "layer": 2, "pos": 8})
    mean, each = whole.mean_effect()[0, 2, 8], whole.effect()[:, 0, 2, 8]
    readout = page.locator(".iw-readout")
    expect(readout).to_contain_text(f"{mean:+.2f}".replace("-", MINUS))
    pairs = page.locator(".iw-pairs")
    expect(pairs).to_be_visible()
    select = pairs.locator("select")
    if select.count():
        select.select_option(index=2)
    else:
        pairs.get_by_text("2", exact=True).click()
    expect(readout).to_contain_text(f"{each[1]:+.2f}".replace("-", MINUS))


def test_the_table_holds_the_numbers_of_the_grid(open_grid):
    whole = made.result()
    page = open_grid(whole)
    page.locator("[data-action=table]").click()
    table = page.locator("table.iw-table").first
    expect(table).to_be_visible()
    rows = table.locator("tbody tr").all()
    assert len(rows) == 4
    shown = {row.locator("th").first.inner_text(): row.locator("td").all_inner_texts() for row in rows}
    for layer, effects in enumerate(whole.mean_effect()[0]):
        cells = [float(text.replace(MINUS, "-")) for text in shown[str(layer)]]
        assert cells == pytest.approx(effects.tolist(), abs=0.00501)


def test_the_table_marks_the_pinned_cell_and_follows_it(open_grid):
    whole = made.result(sites=("resid_pre", "mlp_out"))
    page = open_grid(whole, selected={"site": "mlp_out", "layer": 2, "pos": 8})
    page.locator("[data-action=table]").click()
    marked = page.locator(".iw-tables [aria-current]")
    expect(marked).to_have_count(1)
    expect(marked).to_have_text(f"{whole.effect()[0, 1, 2, 8]:+.2f}".replace("-", MINUS))
    page.locator(".iw-clear").click()
    expect(marked).to_have_count(0)


def test_a_long_table_marks_the_row_of_the_pinned_cell(open_grid):
    page = open_grid(made.neurons(), selected={"site": "mlp_post", "layer": 2, "neuron": 1024})
    page.locator("[data-action=table]").click()
    expect(page.locator(".iw-tables [aria-current]")).to_contain_text("1024")


@pytest.mark.parametrize("width", [400, 470, 530, 610])
def test_no_token_of_a_prompt_is_split_over_two_lines(open_grid, width):
    labels = (*made.CLEAN[:5], "␣Peter", ",", "␣the", "␣teacher", "␣handed", "␣over", *made.CLEAN[5:])
    page = open_grid(made.result(pairs=(made.pair(labels, changed=10),)), width=width)
    lines = page.locator(".iw-text .iw-token").evaluate_all("all => all.map(token => token.getClientRects().length)")
    assert set(lines) == {1}
    tall = page.locator(".iw-text .iw-token").evaluate_all("all => all.map(token => token.offsetHeight)")
    assert max(tall) < 1.5 * min(tall)


def test_a_token_that_is_wider_than_the_page_wraps(open_grid):
    page = open_grid(made.result(pairs=(made.pair((*made.CLEAN[:5], "␣" + "=" * 300, *made.CLEAN[6:])),)), width=400)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_the_code_is_that_of_the_selected_cell(open_grid):
    selected = {"site": "resid_pre", "layer": 2, "pos": 8}
    page = open_grid(selected=selected)
    page.locator("[data-action=code]").click()
    view = PatchingGrid(made.result())
    view.selected = selected
    assert page.locator(".iw-code pre").inner_text().strip() == view.code().strip()


def test_the_csv_is_the_tidy_frame(open_grid):
    whole = made.result(sites=("resid_pre", "mlp_out"), pairs=(made.pair(), made.pair(corrupt_label='␣"Ann, B"')))
    rows = list(csv.DictReader(io.StringIO(save(open_grid(whole), "save-csv").decode("utf-8-sig"))))
    frame = whole.to_frame()
    assert list(rows[0]) == list(frame.columns)
    assert len(rows) == len(frame)
    keys = ["metric", "prompt", "site", "layer", "pos"]
    shown = {tuple(row[key] for key in keys): row for row in rows}
    for _, row in frame.iterrows():
        given = shown[tuple(str(row[key]) for key in keys)]
        assert given["token_corrupt"] == row["token_corrupt"]
        assert given["status"] == row["status"]
        assert float(given["value"]) == pytest.approx(row["value"], abs=1e-5)
        assert float(given["effect"]) == pytest.approx(row["effect"], abs=1e-5)


def test_the_png_is_a_picture_of_the_grid(open_grid):
    import matplotlib.image

    picture = matplotlib.image.imread(io.BytesIO(save(open_grid(), "save-png")))
    assert picture.shape[1] > 600
    red, blue = picture[..., 0], picture[..., 2]
    assert ((red - blue) > 0.4).sum() > 200, "hot cells are in it"


HOSTILE = (
    "<script>window.pwned=1</script>",
    "\"'><img src=x onerror=window.pwned=1>",
    "␣שלום",
    "👩‍👩‍👧",
    "↵",
    "⟨E2 80⟩",
    "</script>",
    "&amp;",
    "`${1}`",
)


def test_hostile_tokens_show_as_text(open_grid):
    whole = made.result(pairs=(made.pair(HOSTILE, corrupt_label="<b>bold</b>"),))
    whole = replace(whole, vocab={made.MARY.id: "<i>x</i>", made.JOHN.id: "</textarea><script>window.pwned=1</script>"})
    page = open_grid(whole)
    for pos in range(len(HOSTILE)):
        Grid(page).hover(1, pos)
    Grid(page).click(1, 6)
    page.locator("[data-action=table]").click()
    text = page.locator(".iw-view").inner_text()
    for token in (HOSTILE[0], HOSTILE[1], "שלום", "👩‍👩‍👧", "⟨E2 80⟩", "<b>bold</b>"):
        assert token in text or token in page.locator(".iw-view").text_content()
    assert page.evaluate("window.pwned") is None
    assert page.locator(".iw-view img, .iw-view script, .iw-view b:text('bold')").count() == 0


def test_one_hot_cell_among_160_000_is_seen(open_grid):
    labels = tuple(f"t{n}" for n in range(2000))
    whole = made.result(layers=80, pairs=(made.pair(labels, changed=3),))
    for values in whole.values.values():
        values[:] = values[0, 0, 0, 0]  # nothing happens anywhere ...
    whole.values["logit_diff"][0, 0, 41, 1234] = 3.5  # ... but here
    page = open_grid(whole, width=760)
    canvas = page.locator("canvas.iw-cells")
    warm = canvas.evaluate(
        """c => { const {data} = c.getContext("2d").getImageData(0, 0, c.width, c.height); let n = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i] > data[i + 2] + 80) n += 1; return n; }"""
    )
    assert warm > 0


def test_what_is_not_computed_looks_like_paper_and_is_no_number(open_grid):
    page = open_grid(made.blank(made.result()))
    grid = Grid(page)
    red, _, blue = grid.color(1, 6)
    assert abs(red - blue) < 20
    grid.hover(1, 6)
    expect(page.locator(".iw-tooltip")).to_contain_text("not computed")
    assert "NaN" not in page.locator(".iw-view").inner_text()


def test_positions_that_were_not_asked_for_are_left_blank_and_say_so(open_grid):
    whole = made.result()
    whole.status[..., 6] = Status.LEFT_OUT
    for values in whole.values.values():
        values[..., 6] = np.nan
    page = open_grid(whole)
    grid = Grid(page)
    assert grid.color(1, 6) == (0, 0, 0), "nothing is drawn on the transparent canvas"
    grid.hover(1, 6)
    expect(page.locator(".iw-tooltip")).to_contain_text("not asked for")


def test_values_beyond_the_scale_are_counted_in_the_legend(open_grid):
    whole = made.result()
    whole.values["logit_diff"][0, 0, 2, 7] = -3.5 + 1.5 * 7
    page = open_grid(whole)
    expect(page.locator(".iw-view")).to_contain_text("1.50")


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (760, "dark"), (1300, "light"), (2000, "dark")])
def test_every_width_fits_and_is_accessible(open_grid, width, scheme):
    whole = made.result(sites=("resid_pre", "attn_out", "mlp_out"), layers=12, pairs=(made.pair(), made.pair()))
    page = open_grid(whole, width=width, scheme=scheme, selected={"site": "mlp_out", "layer": 3, "pos": 8})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_no_width_lets_the_layout_swing_and_a_click_pins_the_cell_that_was_clicked(open_grid):
    """A size that changes the padding must not be chosen by what the padding leaves."""
    page = open_grid(made.result(sites=("resid_pre", "attn_out", "mlp_out"), layers=6), width=560)
    for width in range(560, 641, 4):
        page.set_viewport_size({"width": width, "height": 900})
        seen = page.evaluate(
            """async () => { const view = document.querySelector(".iw-view"), seen = new Set();
            const frame = () => new Promise(requestAnimationFrame);
            for (let i = 0; i < 3; i++) await frame();
            for (let i = 0; i < 6; i++) {
                await frame();
                const canvas = view.querySelector("canvas.iw-cells");
                seen.add([view.dataset.size, view.offsetHeight, canvas.dataset.cellW, canvas.width].join(" "));
            }
            return [...seen]; }"""
        )
        assert len(seen) == 1, (width, seen)
        layer, pos = width // 4 % 6, width // 4 % 9
        Grid(page, "mlp_out").click(layer, pos)
        where = page.locator(".iw-where")
        expect(where).to_contain_text(f"mlp_out · layer {layer}")
        expect(where).to_contain_text(f"position {pos})")


def test_open_panels_are_accessible_too(open_grid):
    page = open_grid(selected={"site": "resid_pre", "layer": 1, "pos": 5})
    page.locator("[data-action=table]").click()
    page.locator("[data-action=code]").click()
    assert violations(page) == []


def test_at_400_pixels_the_tooltip_leaves_the_neighbours_in_sight(open_grid):
    page = open_grid(made.result(sites=("resid_pre", "mlp_out"), layers=8), width=400)
    for site in ("resid_pre", "mlp_out"):
        grid = Grid(page, site)
        grid.canvas.scroll_into_view_if_needed()
        for row, column in ((7, 0), (4, 4), (0, 8)):
            grid.hover(row, column)
            tip, plot = page.locator(".iw-tooltip").bounding_box(), grid.canvas.bounding_box()
            upper = plot["y"] + grid.data["y0"] - 8 * grid.data["cellH"]
            lower = plot["y"] + grid.data["y0"]
            assert tip["y"] + tip["height"] <= upper or tip["y"] >= lower, (site, row, column)


def test_each_pair_is_a_small_grid_that_opens_it(open_grid):
    whole = made.by_role()
    page = open_grid(whole, selected={"site": "resid_pre", "layer": 2, "role": "S2"})
    readout = page.locator(".iw-readout")
    expect(readout).to_contain_text("95% confidence interval")
    page.get_by_role("radio", name="each pair").click()
    small = page.locator(".iw-small")
    expect(small).to_have_count(3)
    expect(page.locator(".iw-plot").first).to_be_hidden()
    assert violations(page) == []
    drawn = [canvas.evaluate("c => c.toDataURL()") for canvas in page.locator(".iw-small canvas").all()]
    assert drawn[2] not in drawn[:2], "the last pair differs and looks different"
    small.nth(2).click()
    expect(page.locator(".iw-which")).to_contain_text("pair 3 of 3")
    expect(page.locator(".iw-plot").first).to_be_visible()


def test_the_pair_that_differs_most_is_one_click_away(open_grid):
    page = open_grid(made.by_role(), selected={"site": "resid_pre", "layer": 2, "role": "S2"})
    page.locator(".iw-readout").get_by_role("button", name="pair 3").click()
    expect(page.locator(".iw-which")).to_contain_text("pair 3 of 3")


def test_zooming_a_tall_grid_makes_its_rows_readable(open_grid):
    page = open_grid(made.heads_by_position(12, 12), selected={"site": "z", "layer": 0, "head": 1, "pos": 3})
    before = Grid(page, "z").data
    for _ in range(5):
        page.locator("[data-action=zoom-in]").click()
    after = Grid(page, "z").data
    assert after["cellH"] > 4 * before["cellH"]
    assert after["cellW"] <= 64
    page.locator("[data-action=zoom-reset]").click()
    assert Grid(page, "z").data == before


def test_a_cell_that_was_pending_when_saved_stays_pending():
    partial = made.blank(made.result())
    assert (PatchingGrid(partial).result.status != Status.COMPUTED).all()
