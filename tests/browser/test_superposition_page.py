"""The exported view of toy models: pixels, pointer, keyboard, table, downloads, widths, access."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.views.superposition import Superposition
from tests.browser.conftest import save, violations
from tests.made_toys import cube, made, polygon, toys

MINUS = "−"


@pytest.fixture
def open_toys(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_toys(result=None, *, width=1200, scheme="light", selected=None):
        view = Superposition(result or toys())
        view.selected = selected
        page = open_page(view.to_html(tmp_path / "toys.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_toys


class Picture:
    """The large picture on a page: where arrows end, and what colour a place has."""

    def __init__(self, page):
        self.canvas = page.locator("canvas.iw-large")
        data = self.canvas.evaluate("c => ({...c.dataset})")
        self.tips = [tuple(map(float, tip.split(","))) for tip in data["tips"].split()]
        self.x, self.y, self.side = (float(data[name]) for name in ("x", "y", "side"))

    def color(self, x, y):
        scale = "c.width / c.getBoundingClientRect().width"
        pixel = self.canvas.evaluate(
            f"(c, s) => [...c.getContext('2d').getImageData(s.x * {scale}, s.y * {scale}, 1, 1).data]", {"x": x, "y": y}
        )
        return tuple(pixel)

    def hover(self, feature):
        x, y = self.tips[feature]
        self.canvas.hover(position={"x": x, "y": y})

    def click(self, feature):
        x, y = self.tips[feature]
        self.canvas.click(position={"x": x, "y": y})


def test_arrows_end_where_the_directions_do(open_toys):
    page = open_toys(selected={"sparsity": 2})
    picture = Picture(page)
    middle = np.array([picture.x, picture.y]) + picture.side / 2
    ends = (np.array(picture.tips) - middle) * (1, -1)
    unit = np.linalg.norm(ends, axis=1).mean() / 1.1
    np.testing.assert_allclose(ends / unit, toys().directions(2).T, atol=0.01)
    for x, y in picture.tips:
        assert picture.color(x, y)[3] == 255, "there is a dot at every end"


def test_the_others_are_coloured_by_how_they_lie_to_the_pinned_feature(open_toys):
    page = open_toys(selected={"sparsity": 2, "feature": 0})
    picture = Picture(page)
    for feature in (1, 4):
        red, _, blue, _ = picture.color(*picture.tips[feature])
        assert red > blue + 40, "72 degrees away: along it"
    for feature in (2, 3):
        red, _, blue, _ = picture.color(*picture.tips[feature])
        assert blue > red + 40, "144 degrees away: against it"
    red, _, blue, _ = picture.color(*picture.tips[0])
    assert max(red, blue) < 60
    expect(page.locator(".iw-legend")).to_contain_text("opposite to the marked feature")


def test_more_than_two_dimensions_show_what_features_put_on_each_other(open_toys):
    page = open_toys(cube(), selected={"sparsity": 1})
    picture = Picture(page)
    cell = picture.side / 12
    gram = cube().gram(1)
    for row, column in np.ndindex(12, 12):
        red, _, blue, _ = picture.color(picture.x + (column + 0.5) * cell, picture.y + (row + 0.5) * cell)
        expected = gram[row, column]
        assert np.sign(red - blue) * (abs(red - blue) > 60) == np.round(expected), (row, column)


def test_small_pictures_are_radio_buttons_that_choose_the_large_one(open_toys):
    page = open_toys()
    tiles = page.get_by_role("radio")
    expect(tiles).to_have_count(3)
    assert [tile.get_attribute("aria-checked") for tile in tiles.all()] == ["false", "false", "true"]
    expect(tiles.nth(0)).to_contain_text("always on")
    expect(tiles.nth(0)).to_contain_text("loses 50%")
    expect(tiles.nth(1)).to_contain_text("2 antipodal pairs, 1 not kept")
    tiles.nth(1).click()
    expect(page.locator(".iw-large-head")).to_have_text("Features on 30% of the time · 2 antipodal pairs, 1 not kept")
    page.keyboard.press("ArrowLeft")
    expect(tiles.nth(0)).to_be_focused()
    expect(page.locator(".iw-readout")).to_contain_text("No superposition: the model keeps 2 features")
    drawn = [canvas.evaluate("c => c.toDataURL()") for canvas in page.locator(".iw-toy canvas").all()]
    assert len(set(drawn)) == 3


def test_pointing_at_an_arrow_tells_all_about_its_feature(open_toys):
    page = open_toys(selected={"sparsity": 1})
    Picture(page).hover(2)
    tip = page.locator(".iw-tooltip")
    expect(tip).to_be_visible()
    for words in ("feature 2", "on 30% of the time", "antipodal pair", "1/2", "0.81", "feature 3", f"{MINUS}1.00"):
        expect(tip).to_contain_text(words)
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_pointing_at_a_bar_and_at_a_row_reaches_the_same_feature(open_toys):
    page = open_toys(cube(), selected={"sparsity": 0})
    picture = Picture(page)
    step = picture.side / 12
    for x in (picture.x + 5, picture.x + picture.side + 30):
        picture.canvas.hover(position={"x": x, "y": picture.y + 3.5 * step})
        expect(page.locator(".iw-tip-head")).to_have_text("feature 3")


def test_a_click_pins_and_explains_and_escape_lets_go(open_toys):
    page = open_toys()
    Picture(page).click(1)
    readout = page.locator(".iw-readout")
    for words in ("feature 1", "2/5 (0.40)", "part of a pentagon with features 0, 2, 3 and 4", "ReLU cuts off"):
        expect(readout).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(readout).to_contain_text("Superposition: 5 of 5 features in 2 dimensions (pentagon)")


def test_a_feature_that_is_not_kept_says_so(open_toys):
    page = open_toys(selected={"sparsity": 0, "feature": 4})
    expect(page.locator(".iw-readout")).to_contain_text("does not keep it")


def test_sets_of_features_are_told(open_toys):
    result = replace(toys(), correlated=((0, 3),), anticorrelated=((1, 2),))
    page = open_toys(result, selected={"sparsity": 2, "feature": 3})
    expect(page.locator(".iw-readout")).to_contain_text("on exactly when feature 0 is")
    Picture(page).click(1)
    expect(page.locator(".iw-readout")).to_contain_text("never on together with feature 2")


def test_the_chart_pins_what_is_clicked_in_it(open_toys):
    page = open_toys(selected={"sparsity": 1})
    chart = page.locator("canvas.iw-chart")
    box = chart.bounding_box()
    expect(page.locator(".iw-large-head")).to_contain_text("30%")
    # The pentagon's features stand side by side at 2/5, over the last column.
    spot = chart.evaluate(
        """c => { const scale = c.width / c.getBoundingClientRect().width;
        const {data, width, height} = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        let best = null;
        for (let y = 30 * scale; y < height - 50 * scale; y++) for (let x = width * 0.55; x < width * 0.86; x++) {
            const at = 4 * (Math.floor(y) * width + Math.floor(x));
            if (data[at + 3] === 255 && data[at] < 90) best = {x: x / scale, y: y / scale};
        } return best; }"""
    )
    chart.click(position=spot)
    expect(page.locator(".iw-large-head")).to_contain_text("4%")
    expect(page.locator(".iw-where")).to_contain_text("feature")
    assert 0.3 < 1 - (spot["y"] - 22) / (box["height"] - 62) < 0.5


def test_the_keyboard_walks_features_and_sparsities_and_pins(open_toys):
    page = open_toys(selected={"sparsity": 1})
    plot = page.get_by_role("listbox")
    plot.focus()
    for key in ("Home", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    active = page.locator(f"[id='{plot.get_attribute('aria-activedescendant')}']")
    expect(active).to_have_attribute("role", "option")
    expect(active).to_contain_text("feature 2, on 30% of the time: length 1.00, dimensionality 1/2 (0.50)")
    page.keyboard.press("Enter")
    expect(active).to_have_attribute("aria-selected", "true")
    expect(page.locator(".iw-readout")).to_contain_text("antipodal pair with feature 3")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".iw-readout")).to_contain_text("pentagon")
    expect(page.locator(".iw-where")).to_contain_text("feature 2")
    page.keyboard.press("Escape")
    expect(page.locator(".iw-clear")).to_have_count(0)


def test_the_table_holds_the_numbers_and_marks_the_pinned_feature(open_toys):
    page = open_toys(selected={"sparsity": 2, "feature": 3})
    page.locator("[data-action=table]").click()
    rows = page.locator("table.iw-table tbody tr")
    expect(rows).to_have_count(15)
    shown = rows.nth(13).locator("td").all_inner_texts()
    assert shown[0] == "3"
    assert shown[2:4] == ["1.10", "2/5 (0.40)"]
    assert shown[6] == "pentagon"
    expect(page.locator("tr[aria-current]")).to_have_count(1)
    expect(page.locator("tr[aria-current]")).to_have_text(rows.nth(13).inner_text().replace("\t", ""))
    expect(page.locator(".iw-toys")).to_be_hidden()


def test_the_code_is_that_of_the_large_model(open_toys):
    page = open_toys(selected={"sparsity": 0})
    page.locator("[data-action=code]").click()
    view = Superposition(toys())
    assert page.locator(".iw-code pre").inner_text().strip() == view.code(0).strip()
    page.get_by_role("radio").nth(1).click()
    assert page.locator(".iw-code pre").inner_text().strip() == view.code(1).strip()


def test_the_csv_is_the_tidy_frame(open_toys):
    import pandas as pd

    frame = toys().to_frame()
    shown = pd.read_csv(io.BytesIO(save(open_toys(), "save-csv")))
    assert list(shown.columns) == list(frame.columns)
    for name in shown.columns:
        np.testing.assert_allclose(shown[name].astype(float), frame[name].astype(float), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("maker", [toys, cube])
def test_the_png_is_a_picture_of_the_view(open_toys, maker):
    import matplotlib.image

    page = open_toys(maker(), selected={"sparsity": 1, "feature": 0})
    picture = matplotlib.image.imread(io.BytesIO(save(page, "save-png")))
    assert picture.shape[1] > 1500
    blue = picture[..., 2] - picture[..., 0]
    assert (blue > 0.25).sum() > 100, "what lies against the pinned feature is in it"


@pytest.mark.parametrize(
    ("width", "scheme", "maker"),
    [(400, "light", toys), (760, "dark", cube), (1300, "light", cube), (2000, "dark", toys), (400, "dark", cube)],
)
def test_every_width_fits_and_is_accessible(open_toys, width, scheme, maker):
    page = open_toys(maker(), width=width, scheme=scheme, selected={"sparsity": 1, "feature": 0})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    for action in ("table", "code"):
        page.locator(f"[data-action={action}]").click()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert violations(page) == []


@pytest.mark.parametrize("width", [400, 1000, 1400])
def test_long_words_about_a_model_push_nothing_aside(open_toys, width):
    """Shapes of many kinds at once: in a line they are longer than the picture that they are about."""
    weights = np.zeros((1, 1, 9, 28))
    weights[0, 0, :2, :5], weights[0, 0, 2:4, 5:8] = polygon(5), polygon(3, 3)
    weights[0, 0, 4, 8:10], weights[0, 0, 5, 10] = (1, -1), 1
    weights[0, 0, 6:, 11:15] = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T / np.sqrt(3)
    page = open_toys(made(weights, np.array([[0.1]]), (0.1,)), width=width)
    assert len(page.locator(".iw-large-head").inner_text()) > 90
    view, chart = (page.locator(name).bounding_box() for name in (".iw-view", "canvas.iw-chart"))
    assert chart["x"] + chart["width"] <= view["x"] + view["width"]
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    large = page.locator("canvas.iw-large").bounding_box()
    if width > 940:
        assert 0 < chart["x"] - large["x"] - large["width"] < 60


def test_400_features_are_drawn_and_the_strongest_of_each_pixel_is_seen(open_toys):
    weights = np.zeros((2, 1, 30, 400))
    weights[:, 0, np.arange(30), np.arange(30)] = 1
    weights[1, 0, 5, 333] = -1  # one pair among 160,000 cells
    page = open_toys(made(weights, np.array([[0.9], [0.5]]), (1.0, 0.1)), width=760)
    blue = page.locator("canvas.iw-large").evaluate(
        """c => { const {data} = c.getContext("2d").getImageData(0, 0, c.width, c.height); let n = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 2] > data[i] + 60) n += 1; return n; }"""
    )
    assert 1 <= blue <= 40
    assert page.locator(".iw-large-head").inner_text().endswith("antipodal pair, 29 on their own, 369 not kept")


def test_one_dimension_is_drawn_as_a_line(open_toys):
    line = np.array([1.0, -1.0, 0.0])[None, None, None]
    page = open_toys(made(line, np.array([[0.1]]), (0.1,)), selected={"sparsity": 0, "feature": 0})
    (left, right, _), heights = zip(*Picture(page).tips, strict=True)
    assert left > right
    assert len(set(heights)) == 1
    expect(page.locator(".iw-readout")).to_contain_text("antipodal pair with feature 1")


def test_equal_angles_look_equal(open_toys):
    """A plane that is stretched one way would make other polygons of them."""
    page = open_toys(made(polygon(5)[None, None], np.array([[0.1]]), (0.1,)), width=400)
    picture = Picture(page)
    middle = np.array([picture.x, picture.y]) + picture.side / 2
    lengths = np.linalg.norm(np.array(picture.tips) - middle, axis=1)
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.01)
