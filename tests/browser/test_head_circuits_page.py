"""The exported view of circuits: pixels of known cells, pointer, keyboard, table, downloads, widths, access."""

from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import expect

from interp_widgets.views.head_circuits import HeadCircuitView
from tests import made_circuits as made
from tests.browser.conftest import save, violations

CHOICE = {"layer": 2, "head": 1, "token": None}


@pytest.fixture
def open_circuits(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_circuits(result=None, *, width=1200, scheme="light", selected=CHOICE):
        view = HeadCircuitView(result or made.result())
        view.selected = selected
        page = open_page(view.to_html(tmp_path / "circuits.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_circuits


def pattern(page, circuit):
    return page.locator(f".iw-pattern:has([id$='-{circuit}-cell'])")


def place(page, circuit, row, column):
    data = pattern(page, circuit).locator("canvas").first.evaluate("c => ({...c.dataset})")
    x, y, cell = (float(data[name]) for name in ("x0", "y0", "cell"))
    return {"x": x + (column + 0.5) * cell, "y": y + (row + 0.5) * cell}


def color(page, circuit, row, column):
    script = """(c, at) => { const s = c.width / c.getBoundingClientRect().width;
        return [...c.getContext('2d').getImageData(at.x * s, at.y * s, 1, 1).data]; }"""
    return pattern(page, circuit).locator("canvas").first.evaluate(script, place(page, circuit, row, column))


def test_pointing_at_one_map_shows_the_token_between_in_both(open_circuits):
    page = open_circuits()
    expect(page.locator(".iw-head-name")).to_contain_text("head 2.1")
    # ␣John attends to ␣Mary: the row of what is attended to, the column of what attends.
    red, _, blue, _ = color(page, "qk", 0, 1)
    assert red > blue + 60
    red, _, blue, _ = color(page, "qk", 1, 0)
    assert abs(red - blue) < 40
    assert all(color(page, "ov", at, at)[0] > color(page, "ov", at, at)[2] + 60 for at in range(5))
    pattern(page, "qk").hover(position=place(page, "qk", 0, 1))
    expect(page.locator("[id$='-qk-cell']")).to_have_text("␣John attends to ␣Mary: +6.00 score before softmax")
    lists = page.locator(".iw-lists")
    expect(lists).to_contain_text("␣Mary is attended to by")
    expect(lists).to_contain_text("attending to ␣Mary promotes")
    expect(lists.locator("li").first).to_contain_text("␣John")
    pattern(page, "ov").click(position=place(page, "ov", 4, 4))
    expect(lists).to_contain_text("attending to ␣שלום promotes")
    page.mouse.move(2, 2)
    expect(lists).to_contain_text("attending to ␣שלום promotes")  # it is held
    whole = page.locator(".iw-whole")
    expect(whole).to_contain_text("Whole vocabulary: who attends to whom")
    expect(whole.locator("li").first).to_contain_text("+7.50")


def test_heads_are_chosen_with_the_pointer_and_with_keys(open_circuits):
    page = open_circuits()
    maps = page.locator(".iw-maps")
    data = maps.locator("canvas").evaluate("c => ({...c.dataset})")
    x, y, step, bar = (float(data[name]) for name in ("x0", "y0", "step", "bar"))
    maps.hover(position={"x": x + 2.5 * step, "y": y + 0.4 * step})
    expect(page.locator(".iw-tooltip")).to_contain_text("head 0.2")
    maps.click(position={"x": x + 0.4 * step, "y": y + 1.4 * step + bar})
    expect(page.locator(".iw-head-name")).to_contain_text("head 2.0")
    maps.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".iw-head-name")).to_contain_text("head 2.1")
    page.keyboard.press("ArrowUp")
    expect(page.locator("[id$='-head'][role=gridcell]")).to_contain_text("head 0.1, copying")
    expect(page.locator(".iw-whole li")).to_have_count(0)  # of another head
    ov = pattern(page, "ov")
    ov.focus()
    for key in ("ArrowUp", "Home", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("[id$='-ov-cell']")).to_contain_text("promotes ␣John: −0.32 logits")
    expect(page.locator(".iw-lists")).to_contain_text("attending to ␣שלום promotes")
    page.get_by_role("radio", name="QK").click()
    expect(maps).to_have_attribute("aria-label", "QK circuits of all heads: arrows choose one")


def test_what_is_taken_away_is_whole(open_circuits):
    page = open_circuits()
    table = pd.read_csv(io.BytesIO(save(page, "save-csv")), keep_default_na=False)
    expected = made.result().to_frame()
    assert table.columns.tolist() == expected.columns.tolist()
    assert table["first"].tolist() == expected["first"].tolist()
    assert table["second"].tolist() == expected["second"].tolist()
    assert table["value"].astype("float32").tolist() == expected["value"].tolist()
    picture = Image.open(io.BytesIO(save(page, "save-png")))
    assert picture.width > 1500
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
    page.locator("[data-action=table]").click()
    tables = page.locator(".iw-tables table")
    expect(tables).to_have_count(3)
    expect(tables.nth(1).locator("tbody tr").first).to_have_text("␣John␣Mary+6.00")


def test_the_lines_of_the_head_are_shown(open_circuits):
    page = open_circuits(replace(made.result(), code=("a = $ids", "b = $ids[$head]")))
    page.locator("[data-action=code]").click()
    expect(page.locator(".iw-code pre")).to_have_text("b = [0, 1, 2, 3, 4][1]")
    expect(page.locator(".iw-code")).to_contain_text("both circuits of head 2.1")
    page.locator(".iw-maps").focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator(".iw-code pre")).to_have_text("a = [0, 1, 2, 3, 4]")
    assert violations(page) == []


def test_a_circuit_that_is_not_known_says_why(open_circuits):
    page = open_circuits(made.result(missing=True))
    expect(page.locator(".iw-note").first).to_have_text("No QK circuit: its queries and keys are normalised.")
    expect(pattern(page, "qk")).to_be_hidden()
    expect(page.locator(".iw-lists")).to_contain_text("Not known: its queries and keys are normalised.")


def test_heads_that_are_not_read_are_hatched(open_circuits):
    page = open_circuits(made.result(done=1))
    colors = page.locator(".iw-maps canvas").evaluate(
        """c => { const s = c.width / c.getBoundingClientRect().width, at = (name) => Number(c.dataset[name]);
        const y = at("y0") + at("step") + at("bar") + 4;
        const seen = c.getContext('2d').getImageData((at("x0") + 4) * s, y * s, 40 * s, 40 * s).data;
        return seen.filter((value, n) => n % 4 === 3 && !value).length; }"""
    )
    assert 800 < colors < 1600, "lines with the page between them"


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (760, "dark"), (1200, "light"), (2000, "dark")])
def test_it_fits_and_everybody_can_use_it(open_circuits, width, scheme):
    page = open_circuits(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    sizes = [pattern(page, circuit).bounding_box()["width"] for circuit in ("qk", "ov")]
    assert sizes[0] == sizes[1] >= 250
