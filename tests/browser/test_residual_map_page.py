"""The exported map of residual streams: pixels, pointer, lasso, keyboard, layers, table, downloads, widths, access."""

from __future__ import annotations

import io

import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.views.residual_map import ProjectionView
from tests.browser.conftest import save, violations
from tests.made_projection import projection

LEFT = 60


@pytest.fixture
def open_map(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_map(result=None, *, width=1200, scheme="light", **state):
        view = ProjectionView(result or projection())
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "map.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        page.wait_for_selector("canvas.iw-points[data-frame]")
        return page

    return open_map


class Map:
    """The points on a page: where they are drawn, and what colour a place has."""

    def __init__(self, page, result=None):
        self.page = page
        self.result = result or projection()
        self.area = page.locator(".iw-area")
        page.emulate_media(reduced_motion="reduce")  # points are at their places at once

    def place(self, point, layer=1, align=True):
        """Where a point is, in CSS pixels from the corner of the plot's element."""
        canvas = self.page.locator("canvas.iw-points")
        x, y, half_width, half_height, zoom, left, top = map(float, canvas.get_attribute("data-frame").split())
        box = canvas.evaluate("c => [c.clientWidth, c.clientHeight]")
        across, up = self.result.coordinates(layer, align=align)[point].tolist()
        u, v = 0.5 + (across - x) / half_width / 2, 0.5 - (up - y) / half_height / 2
        return {"x": LEFT + (u - left) * zoom * box[0], "y": (v - top) * zoom * box[1]}

    def color(self, point, layer=1, align=True):
        place = self.place(point, layer, align)
        scale = "c.width / c.getBoundingClientRect().width"
        pixel = self.page.locator("canvas.iw-points").evaluate(
            f"(c, s) => [...c.getContext('2d').getImageData(s.x * {scale}, s.y * {scale}, 1, 1).data]",
            {"x": place["x"] - LEFT, "y": place["y"]},
        )
        return tuple(pixel[:3])

    def settle(self):
        """Wait until what was asked for is painted."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def drag(self, *places, shift=False):
        box = self.area.bounding_box()
        if shift:
            self.page.keyboard.down("Shift")
        for n, (x, y) in enumerate(places):
            self.page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
            if n == 0:
                self.page.mouse.down()
        self.page.mouse.up()
        if shift:
            self.page.keyboard.up("Shift")


WARM, COOL = (196, 65, 11), (11, 98, 168)


def test_points_are_where_they_lie_in_the_colour_of_their_label(open_map):
    chart = Map(open_map())
    result = chart.result
    # Of points that lie on each other the one in front is seen.
    seen = [chart.color(point) for point in range(len(result))]
    right = [seen[point] == (WARM if result.label(point) == "left" else COOL) for point in range(len(result))]
    assert np.mean(right) > 0.85
    expect(chart.page.locator(".iw-title")).to_have_text("Does the residual stream tell left from right?")
    expect(chart.page.locator(".iw-kind")).to_have_text(["left24", "right24"])


def test_hover_names_the_token_in_its_text(open_map):
    chart = Map(open_map())
    chart.area.hover(position=chart.place(5))
    tip = chart.page.locator(".iw-tooltip")
    expect(tip).to_be_visible()
    expect(tip.locator(".iw-map-tip .iw-token")).to_have_text("␣gave")
    expect(tip.locator(".iw-here")).to_have_text(" gave")
    expect(tip).to_contain_text("position 2 · prompt 1")
    expect(tip).to_contain_text("right")
    chart.area.hover(position={"x": 60, "y": 5})
    expect(tip).to_be_hidden()


def test_a_lasso_selects_what_is_inside_and_a_click_one_point(open_map):
    page = open_map()
    chart = Map(page)
    places = np.array([list(chart.place(point).values()) for point in range(48)])
    left = [point for point in range(48) if chart.result.label(point) == "left"]
    (x0, y0), (x1, y1) = places[left].min(0) - 8, places[left].max(0) + 8
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    inside = ((places >= [x0, y0]) & (places <= [x1, y1])).all(1)
    chart.drag(*corners, shift=True)
    expect(page.locator(".iw-selection-head")).to_contain_text(f"{inside.sum()} points selected")
    expect(page.locator(".iw-selection")).to_contain_text("24 left")
    page.locator(".iw-selection-head button").click()
    page.get_by_role("radio", name="box").click()
    chart.drag(corners[0], corners[2])
    expect(page.locator(".iw-selection-head")).to_contain_text(f"{inside.sum()} points selected")
    page.locator(".iw-area").press("Escape")
    expect(page.locator(".iw-selection-head")).to_have_count(0)
    chart.area.click(position=chart.place(5))
    expect(page.locator(".iw-item")).to_have_attribute("title", "token gave, position 2 of prompt 1, right")


def test_what_python_selected_is_shown_and_the_rest_fades(open_map):
    result = projection()
    chart = Map(open_map(selected=result.find(label="left")))
    assert np.mean([chart.color(point) == WARM for point in result.find(label="left")]) > 0.8
    assert not any(chart.color(point) == COOL for point in result.find(label="right"))
    expect(chart.page.locator(".iw-selection-head")).to_contain_text("24 points selected")


def test_the_slider_moves_points_and_steady_axes_can_be_switched_off(open_map):
    page = open_map()
    chart = Map(page)
    slider = page.get_by_role("slider", name="layer")
    expect(slider).to_have_attribute("aria-valuetext", "layer 1")
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuenow", "2")
    chart.settle()
    assert np.mean([chart.color(point, 2) in (WARM, COOL) for point in range(48)]) > 0.9
    expect(page.locator(".iw-subtitle")).to_contain_text("turned onto the one before")
    page.get_by_role("switch", name="steady axes").click()
    chart.settle()
    assert np.mean([chart.color(point, 2, align=False) in (WARM, COOL) for point in range(48)]) > 0.9
    expect(page.locator(".iw-subtitle")).not_to_contain_text("turned onto the one before")


def test_it_zooms_and_pans_and_comes_back(open_map):
    page = open_map()
    chart = Map(page)
    frame = page.locator("canvas.iw-points").get_attribute("data-frame")
    at = chart.place(5)
    chart.area.hover(position=at)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")
    chart.settle()
    after = chart.place(5)
    assert after == pytest.approx(at, abs=1.5), "the place under the pointer stays"
    assert chart.place(20) != pytest.approx(at)
    chart.drag((300, 200), (340, 230))
    chart.settle()
    assert chart.place(5) == pytest.approx({"x": at["x"] + 40, "y": at["y"] + 30}, abs=2)
    chart.area.press("0")
    expect(page.locator("canvas.iw-points")).to_have_attribute("data-frame", frame)


def test_a_kind_can_be_hidden(open_map):
    chart = Map(open_map())
    page = chart.page
    page.locator(".iw-kind", has_text="right").click()
    expect(page.locator(".iw-kind", has_text="right")).to_have_attribute("aria-pressed", "false")
    chart.settle()
    assert not any(chart.color(point) == COOL for point in range(48))
    chart.area.hover(position=chart.place(5))
    expect(page.locator(".iw-tooltip")).not_to_contain_text("prompt 1\n")


def test_the_keyboard_reaches_points_and_selects_them(open_map):
    page = open_map()
    page.keyboard.press("Tab")
    area = page.locator(".iw-area")
    area.focus()
    area.press("ArrowRight")
    live = page.locator("[aria-live=polite]")
    expect(live).to_contain_text("position")
    first = live.inner_text()
    area.press("ArrowRight")
    expect(live).not_to_have_text(first)
    area.press("Enter")
    expect(page.locator(".iw-item")).to_have_count(1)
    area.press("ArrowUp")
    area.press(" ")
    expect(page.locator(".iw-item")).to_have_count(2)
    area.press("]")
    expect(page.get_by_role("slider", name="layer")).to_have_attribute("aria-valuenow", "2")
    area.press("l")
    expect(page.get_by_role("radio", name="lasso")).to_have_attribute("aria-checked", "true")


def test_colour_by_token_and_position(open_map):
    page = open_map()
    page.get_by_role("radio", name="token").click()
    expect(page.locator(".iw-kind .iw-token")).to_have_text(["␣Mary", "␣John", "␣gave", "␣the", "↵"])
    page.get_by_role("radio", name="position").click()
    expect(page.locator(".iw-rampbox .iw-ticks")).to_have_text("0position4")


def test_a_layer_that_is_not_in_the_page_is_not_passed_off_as_another(open_map, monkeypatch):
    monkeypatch.setattr("interp_widgets.views._residual_map_wire.MOST_BYTES", 1)
    page = open_map()
    page.get_by_role("slider", name="layer").press("End")
    expect(page.locator(".iw-header [role=status]")).to_contain_text(
        "The plot shows layer 1: layer 2 is not in this page"
    )


def test_tables_and_files_say_all(open_map):
    pandas = pytest.importorskip("pandas")
    page = open_map()
    page.locator("[data-action=table]").click()
    expect(page.locator(".iw-tables tbody").nth(0).locator("tr")).to_have_count(3)
    expect(page.locator(".iw-tables tbody").nth(1).locator("tr")).to_have_count(48)
    frame = projection().to_frame(align=True)
    table = pandas.read_csv(io.BytesIO(save(page, "save-csv")), keep_default_na=False)
    assert table.columns.tolist() == frame.columns.tolist()
    assert table.token.tolist() == frame.token.tolist()
    assert table["PC 2"].to_numpy() == pytest.approx(frame["PC 2"].to_numpy(), abs=2e-3)
    assert save(page, "save-png").startswith(b"\x89PNG")
    page.locator("[data-action=code]").click()
    expect(page.locator(".iw-code pre")).to_contain_text("print(layer1)")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (2000, "light")])
def test_it_is_accessible_and_fits(open_map, width, scheme):
    page = open_map(width=width, scheme=scheme, selected=[1, 2, 3])
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_is_written_over_the_points(open_map):
    page = open_map(width=400)
    inked = page.locator("canvas.iw-over").evaluate(
        "(c, left) => { const s = c.width / c.getBoundingClientRect().width, points = c.previousElementSibling;"
        " const seen = c.getContext('2d').getImageData((left + 2) * s, 0, 60 * s, (points.clientHeight - 2) * s).data;"
        " return seen.filter((value, at) => at % 4 === 3 && value).length; }",
        LEFT,
    )
    assert inked == 0
