"""The exported view of probes: pixels, pointer, keyboard, chart, table, downloads, widths, access."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.views.probe_grid import ProbeView
from tests.browser.conftest import save, violations
from tests.made_probes import N, partial, probes, right


@pytest.fixture
def open_probes(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_probes(result=None, *, width=1200, scheme="light", **state):
        view = ProbeView(result or probes())
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "probes.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_probes


class Grid:
    """The grid on a page: where its cells are, and what colour they have. Row 0 is at the bottom."""

    def __init__(self, page):
        self.canvas = page.locator("canvas.iw-cells")
        self.data = {name: float(value) for name, value in self.canvas.evaluate("c => ({...c.dataset})").items()}
        self.cells = page.locator(".iw-grid")

    def spot(self, row, column):
        x = self.data["x0"] + (column + 0.5) * self.data["cellW"]
        return {"x": x, "y": self.data["y0"] - (row + 0.5) * self.data["cellH"]}

    def color(self, row, column):
        spot, aside = self.spot(row, column), self.data["cellW"] / 2 - 4
        scale = "c.width / c.getBoundingClientRect().width"
        pixel = self.canvas.evaluate(
            f"(c, s) => [...c.getContext('2d').getImageData((s.x - {aside}) * {scale}, s.y * {scale}, 1, 1).data]", spot
        )
        return tuple(pixel)


def test_cells_are_stronger_the_better_they_are_read_and_blue_below_chance(open_probes):
    grid = Grid(open_probes(kind="means"))
    strength = {}
    for row in range(3):
        assert grid.color(row, 0)[3] == 0, "not tested"
        for column in (1, 2):
            red, _, blue, _ = grid.color(row, column)
            strength[right(1, row, column)] = red - blue
    assert list(dict(sorted(strength.items())).values()) == sorted(strength.values())
    assert min(strength) - 0.5 * N < 2
    assert max(strength.values()) > 100
    page = open_probes(partial(2), kind="means", measure="balanced")
    expect(page.locator(".iw-legend")).to_contain_text("chance")
    expect(page.locator(".iw-legend")).to_contain_text("not tested")


def test_pointing_tells_the_figures_and_a_click_opens_the_cell(open_probes):
    page = open_probes(width=1400)
    grid, tip, detail = Grid(page), page.locator(".iw-tooltip"), page.locator(".iw-detail")
    expect(detail).to_contain_text("where it reads best")
    expect(detail).to_contain_text("resid_post · layer 3 · mean over tokens")
    grid.cells.hover(position=grid.spot(1, 1))
    low, high = (bound[0, 1, 1] for bound in probes().interval())
    for words in ("layer 2 · position 3", "accuracy 0.75", f"{low:.2f} to {high:.2f}", "control 0.50", "+0.25", "40 t"):
        expect(tip).to_contain_text(words)
    grid.cells.hover(position=grid.spot(1, 0))
    expect(tip).to_contain_text("not tested: all texts are the same up to here")
    grid.cells.click(position=grid.spot(1, 1))
    page.mouse.move(2, 2)
    for words in (
        "resid_post · layer 2 · position 3",
        "accuracy0.75",
        "selectivity+0.25",
        "10 of 40 texts",
        "songs0.90",
    ):
        expect(detail).to_contain_text(words)
    counts = page.locator(".iw-confusion tbody td").all_inner_texts()
    assert list(map(int, counts)) == probes().confusion(2, 3).ravel().tolist()
    first = probes().mistakes(2, 3)[0]
    expect(page.locator(".iw-mistakes li").first).to_contain_text(f"word{first.example}")
    expect(page.locator(".iw-mistakes li").first).to_contain_text(f"text {first.example}: good read as bad")
    expect(page.locator(".iw-promoted").first).to_have_text("good␣nice ␣great ")
    page.locator(".iw-clear").click()
    expect(detail).to_contain_text("where it reads best")


def test_kinds_and_measures_are_switched(open_probes):
    page = open_probes(selected={"layer": 2, "pos": 3})
    before = Grid(page).color(1, 1)
    page.get_by_role("radio", name="difference of means").click()
    expect(page.locator(".iw-detail")).to_contain_text(f"accuracy{right(1, 1, 1) / N:.2f}")
    assert Grid(page).color(1, 1) != before
    page.get_by_role("radio", name="AUROC").click()
    expect(page.locator(".iw-detail")).to_contain_text(f"AUROC{probes().value('auroc')[1, 1, 1]:.2f}")
    expect(page.locator(".iw-chart canvas")).to_have_attribute("aria-label", "AUROC by layer, position 3: "
        "layer 0 0.70, control 0.51; layer 2 0.73, control 0.51; layer 3 0.76, control 0.52")  # fmt: skip


def test_the_chart_chooses_the_layer_that_is_clicked(open_probes):
    page = open_probes(selected={"layer": 0, "pos": 3})
    chart = page.locator(".iw-chart canvas")
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] - 134, "y": 60})
    expect(page.locator(".iw-detail")).to_contain_text("layer 3 · position 3")
    chart.click(position={"x": 34, "y": 60})
    expect(page.locator(".iw-detail")).to_contain_text("layer 0 · position 3")


def test_the_keyboard_walks_and_chooses(open_probes):
    page = open_probes(selected={"layer": 0, "pos": 3})
    grid = page.get_by_role("grid")
    grid.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    cell = page.get_by_role("gridcell")
    expect(cell).to_contain_text("resid_post, layer 2, mean over tokens: logistic regression: accuracy 0.80, 95% inter")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-detail")).to_contain_text("layer 2 · mean over tokens")
    page.keyboard.press("Escape")
    expect(page.locator(".iw-detail")).to_contain_text("where it reads best")


def test_the_table_the_csv_and_the_code_have_the_same(open_probes):
    import pandas as pd

    page = open_probes(selected={"layer": 2, "pos": 3})
    frame = probes().to_frame()
    shown = pd.read_csv(io.BytesIO(save(page, "save-csv")))
    assert list(shown.columns) == list(frame.columns)
    for name in ("layer", "pos", "value", "low", "high", "control", "selectivity", "transfer: songs"):
        np.testing.assert_allclose(shown[name].astype(float), frame[name].astype(float), rtol=1e-5, atol=1e-6)
    page.locator("[data-action=table]").click()
    rows = page.locator("table.iw-table").first.locator("tbody tr")
    assert rows.nth(1).locator("td").all_inner_texts()[0] == "not tested"
    expect(rows.nth(1).locator("[aria-current]")).to_contain_text("0.75")
    page.locator("[data-action=code]").click()
    view = ProbeView(probes())
    view.selected = {"layer": 2, "pos": 3}
    assert page.locator(".iw-code pre").inner_text().strip() == view.code().strip()


def test_the_png_is_a_picture_of_the_view(open_probes):
    import matplotlib.image

    picture = matplotlib.image.imread(io.BytesIO(save(open_probes(), "save-png")))
    assert picture.shape[1] > 1200
    assert ((picture[..., 0] - picture[..., 2]) > 0.4).sum() > 2000, "its cells"
    assert ((picture[..., 2] - picture[..., 0]) > 0.3).sum() > 50, "the control's line"


@pytest.mark.parametrize(
    ("width", "scheme"), [(400, "light"), (400, "dark"), (760, "light"), (1200, "dark"), (2000, "light")]
)
def test_every_width_fits_and_is_accessible(open_probes, width, scheme):
    page = open_probes(width=width, scheme=scheme, selected={"layer": 2, "pos": 3})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    for action in ("table", "code"):
        page.locator(f"[data-action={action}]").click()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_what_is_not_there_yet_is_said(open_probes):
    page = open_probes(partial(0))
    expect(page.locator(".iw-legend")).to_contain_text("not computed")
    expect(page.locator(".iw-detail")).to_be_hidden()
    assert violations(page) == []


def test_long_names_of_classes_leave_room_for_what_they_name(open_probes):
    long = tuple(f"{name}, as somebody called it who had a lot of time to think of a name" for name in ("bad", "good"))
    page = open_probes(replace(probes(), classes=long), width=400)
    page.locator(".iw-confusion").wait_for()
    assert page.locator(".iw-scroll").evaluate("e => e.scrollWidth <= e.clientWidth")
    widths = page.locator(".iw-promoted > :last-child").evaluate_all("all => all.map(e => e.offsetWidth)")
    assert min(widths) > 150
