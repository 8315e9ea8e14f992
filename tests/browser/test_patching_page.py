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
from tests.browser.conftest import Grid, violations

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


def test_the_code_is_that_of_the_selected_cell(open_grid):
    selected = {"site": "resid_pre", "layer": 2, "pos": 8}
    page = open_grid(selected=selected)
    page.locator("[data-action=code]").click()
    view = PatchingGrid(made.result())
    view.selected = selected
    assert page.locator(".iw-code pre").inner_text().strip() == view.code().strip()


def save(page, action):
    """Save through the menu, if there is one, and return the file's bytes."""
    button = page.locator(f"[data-action={action}]")
    if not button.is_visible():
        page.locator("[data-action=save]").click()
    with page.expect_download() as download:
        button.click()
    return download.value.path().read_bytes()


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


@pytest.mark.parametrize("width", [400, 760, 1300, 2000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_width_fits_and_is_accessible(open_grid, width, scheme):
    whole = made.result(sites=("resid_pre", "attn_out", "mlp_out"), layers=12, pairs=(made.pair(), made.pair()))
    page = open_grid(whole, width=width, scheme=scheme, selected={"site": "mlp_out", "layer": 3, "pos": 8})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_open_panels_are_accessible_too(open_grid):
    page = open_grid(selected={"site": "resid_pre", "layer": 1, "pos": 5})
    page.locator("[data-action=table]").click()
    page.locator("[data-action=code]").click()
    assert violations(page) == []


def test_a_cell_that_was_pending_when_saved_stays_pending():
    partial = made.blank(made.result())
    assert (PatchingGrid(partial).result.status != Status.COMPUTED).all()
