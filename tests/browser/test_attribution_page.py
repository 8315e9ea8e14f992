"""The exported view of an attribution: colours, the line of the sum, pointer, keyboard, sources, neurons, downloads."""

from __future__ import annotations

import csv
import io

import matplotlib.image
import pytest
from playwright.sync_api import expect

from interp_widgets.views.attribution import AttributionView
from tests import made_attribution as made
from tests.browser.conftest import save, violations

MOVER, ERASER = made.MOVER, made.ERASER
HEAD = {"site": "z", "layer": 2, "head": 1}


@pytest.fixture
def open_view(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_view(result=None, *, width=1200, scheme="light", **state):
        view = AttributionView(result or made.result(parts=True))
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "view.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_view


def spot(page, layer, head):
    """The middle of a head's cell, in CSS pixels from the map's corner: cells start at the gutter."""
    box = page.locator("canvas.iw-cells").evaluate(
        "c => ({x: Number(c.dataset.x0), row: Number(c.dataset.rowHeight), cell: Number(c.dataset.cellWidth),"
        " y: Number(c.dataset.y0)})"
    )
    return {"x": box["x"] + (head + 0.5) * box["cell"], "y": box["y"] - (layer + 1.5) * box["row"]}


def color(page, layer, head):
    place = spot(page, layer, head)
    scale = "c.width / c.getBoundingClientRect().width"
    pixel = page.locator("canvas.iw-cells").evaluate(
        f"(c, s) => [...c.getContext('2d').getImageData((s.x - 3) * {scale}, (s.y + 2) * {scale}, 1, 1).data]", place
    )
    return pixel[:3]


def test_the_map_is_warm_for_the_answer_and_cool_against_it(open_view):
    page = open_view()
    (red, _, blue), (cool_red, _, cool_blue) = color(page, *MOVER), color(page, *ERASER)
    assert red > blue + 100
    assert cool_blue > cool_red + 40
    plain = color(page, 0, 0)
    assert max(plain) - min(plain) < 30
    assert page.locator(".iw-title").inner_text() == "What makes the model say Mary rather than John?"
    expect(page.locator(".iw-sum")).to_contain_text("is that to within 2.0e−6")


def test_pointing_explains_and_a_click_opens_a_head_by_source(open_view):
    page = open_view()
    page.locator(".iw-map").hover(position=spot(page, *MOVER))
    expect(page.locator(".iw-tooltip")).to_contain_text("head 2.1 +2.00 logits")
    expect(page.locator(".iw-row-pointed")).to_have_count(1)
    page.locator(".iw-map").click(position=spot(page, *MOVER))
    expect(page.locator(".iw-strip-caption")).to_contain_text("What head 2.1 brings from each token")
    shades = page.locator(".iw-tok").evaluate_all("ts => ts.map(t => t.firstElementChild.style.background)")
    assert [bool(shade) for shade in shades] == [False, True] + [False] * 5 + [True]
    page.locator("[data-token='1']").hover()
    expect(page.locator(".iw-strip-read")).to_contain_text("+1.50, weight 0.75")
    expect(page.locator(".iw-card li").first).to_contain_text("Mary")
    page.locator(".iw-card").get_by_label("let go").click()
    expect(page.locator(".iw-card")).to_be_hidden()
    page.locator(".iw-map").click(position=spot(page, 0, 2))  # not opened before the page was saved
    expect(page.locator(".iw-strip-caption")).to_contain_text("was not opened before this page was saved")


def test_an_mlp_shows_its_neurons(open_view):
    page = open_view()
    page.locator(".iw-rank", has_text="MLP 1").first.click()
    expect(page.locator(".iw-card li").first).to_contain_text("1.5")
    expect(page.locator(".iw-card li").first).to_contain_text("+0.68")
    expect(page.locator(".iw-card")).to_contain_text("28 others together")
    page.locator(".iw-rank", has_text="MLP 2").first.click()
    expect(page.locator(".iw-card")).to_contain_text("were not opened before this page was saved")


def test_the_keyboard_reaches_and_chooses_every_component(open_view):
    page = open_view()
    page.locator(".iw-map").focus()
    said = page.locator(".iw-map [role=gridcell]")
    expect(said).to_contain_text("head 2.1, +2.00 logits")
    page.keyboard.press("ArrowDown")
    expect(said).to_contain_text("head 1.1")
    page.keyboard.press("End")
    expect(said).to_contain_text("MLP 1 bias")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-card-number")).to_have_text("MLP 1 bias")
    page.keyboard.press("Escape")
    expect(page.locator(".iw-card")).to_be_hidden()
    page.get_by_role("listbox", name="components with").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-card-number")).to_have_text("Head 1.3")


def test_many_prompts_have_a_mean_and_are_shown_one_by_one(open_view):
    page = open_view(made.result(made.PROMPTS, parts=True), selected=HEAD)
    expect(page.locator(".iw-card-head")).to_contain_text("+2.25 logits")
    expect(page.locator(".iw-card-head")).to_contain_text("95% interval")
    expect(page.locator(".iw-tok")).to_have_count(23)
    page.locator(".iw-card [data-prompt='1']").click()
    expect(page.locator(".iw-title")).to_have_text("What makes the model say Anna rather than Tom?")
    expect(page.locator(".iw-tok")).to_have_count(9)
    expect(page.locator(".iw-card-head")).to_contain_text("+2.25 logits")
    page.locator("select[aria-label=prompt]").select_option("2")
    expect(page.locator(".iw-card-head")).to_contain_text("+2.50 logits")


def test_a_token_is_chosen_for_its_prediction(open_view):
    page = open_view(made.result(targets=3, parts=True))
    select = page.get_by_label("position whose prediction")
    expect(select).to_have_value("2")
    page.locator("[data-token='5']").click()
    expect(select).to_have_value("0")
    expect(page.locator("[aria-selected=true] .iw-strip-text")).to_have_text(" John")


def test_one_scale_tells_heads_apart(open_view):
    big = made.result()
    contributions = big.contributions.copy()
    contributions[:, :, [part.name for part in big.components].index("MLP 1")] = 40
    page = open_view(type(big)(**{**vars(big), "contributions": contributions}))
    pale = color(page, *MOVER)
    page.get_by_role("radio", name="to the largest head").click()
    assert color(page, *MOVER)[2] < pale[2] - 100
    expect(page.locator(".iw-legend")).to_contain_text("1 component beyond, up to 40.0")


def test_tables_and_downloads_hold_everything(open_view, tmp_path):
    result = made.result(parts=True)
    page = open_view(result, selected=HEAD)
    page.get_by_role("button", name="table").click()
    tables = page.locator(".iw-table")
    assert tables.nth(0).locator("tbody tr").count() == len(result.components)
    expect(tables.nth(1)).to_contain_text("+1.50")
    rows = list(csv.DictReader(io.StringIO(save(page, "save-csv").decode())))
    frame = result.to_frame()
    assert [row["component"] for row in rows] == list(frame["component"])
    assert [float(row["contribution"]) for row in rows] == pytest.approx(list(frame["contribution"]))
    picture = matplotlib.image.imread(io.BytesIO(save(page, "save-png")))
    assert picture.shape[1] > 2000
    warm = (picture[..., 0] > 0.6) & (picture[..., 2] < 0.2)
    assert warm.sum() > 2000
    page.get_by_role("button", name="code").click()
    expect(page.locator(".iw-code pre")).to_have_text("print(2, 1, [0, 1, 2, 3, 4, 5, 6, 7], 7, 'W[11] - W[21]')")


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (760, "dark"), (2000, "light")])
def test_it_fits_and_is_accessible_at_every_width(open_view, width, scheme):
    page = open_view(made.result(made.PROMPTS, parts=True), width=width, scheme=scheme, selected=HEAD)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    page.get_by_role("button", name="table").click()
    assert violations(page) == []
