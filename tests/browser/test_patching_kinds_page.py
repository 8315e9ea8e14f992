"""Grids of every kind as exported pages: heads, neurons, roles, paths, noise, ablations, estimates."""

from __future__ import annotations

import io

import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.views.patching_grid import PatchingGrid
from tests import made
from tests.browser.conftest import Grid, save, violations

MINUS = "−"

KINDS = {
    **made.KINDS,
    "estimates": (lambda: made.estimated(made.heads(), slice(0, 4)), {"site": "z", "layer": 3, "head": 2}),
}
every_kind = pytest.mark.parametrize(("maker", "cell"), KINDS.values(), ids=KINDS)


@every_kind
def test_every_kind_shows_each_cell_in_its_colour_and_its_place(open_grid, maker, cell):
    """Cells of each panel, read from the screen: whatever is shifted, transposed or drawn beyond its panel shows."""
    whole = maker()
    page = open_grid(whole, width=1400)
    warm = 1 if whole.story.host else -1
    mean = whole.mean_effect()
    for number, panel in enumerate(whole.panels):
        grid = Grid(page, panel.site)
        rows, columns = len(panel.lines), panel.width(whole.length)
        effect = mean[number, :rows, :columns]
        sizes = grid.data["cellW"], grid.data["cellH"]
        for row, column in np.ndindex(rows, columns) if min(sizes) > 8 else []:
            red, _, blue = grid.color(row, column)
            strength = warm * effect[row, column]
            if abs(strength) > 0.35:
                assert (red - blue) * np.sign(strength) > 25, (panel.site, row, column)
            elif abs(strength) < 0.02:
                assert abs(red - blue) < 20, (panel.site, row, column)
        beyond = grid.canvas.evaluate(
            """(c, from) => { const scale = c.width / c.getBoundingClientRect().width;
            const x = Math.ceil(from.x * scale) + 1, height = from.y * scale;
            const {data} = c.getContext("2d").getImageData(x, 0, c.width, height);
            let n = 0; for (let i = 3; i < data.length; i += 4) if (data[i]) n += 1; return n; }""",
            {"x": grid.data["x0"] + columns * sizes[0], "y": grid.data["y0"]},
        )
        assert beyond == 0, f"nothing is drawn to the right of {panel.site}"


@every_kind
@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1300, "dark")])
def test_every_kind_fits_and_is_accessible(open_grid, maker, cell, width, scheme):
    page = open_grid(maker(), width=width, scheme=scheme, selected=cell)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    page.locator("[data-action=code]").click()
    page.locator("[data-action=table]").click()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    page.locator("[data-action=table]").click()
    assert violations(page) == []


@every_kind
def test_every_kind_is_reached_by_keyboard_and_said_in_words(open_grid, maker, cell):
    page = open_grid(maker(), selected=cell)
    plot = page.locator(f"[role=grid][data-site={cell['site']}]")
    plot.focus()
    active = page.locator(f"[id='{plot.get_attribute('aria-activedescendant')}']")
    for name in ("layer", "head", "neuron"):
        if name in cell:
            expect(active).to_contain_text(f"{name} {cell[name]}")
    for _ in range(3):
        page.keyboard.press("End")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    panel = next(panel for panel in maker().panels if panel.site == cell["site"])
    corner = panel.name(len(panel.lines) - 1, 0)
    expect(page.locator(".iw-readout")).to_contain_text(f"layer {corner['layer']}")
    page.locator("[data-action=code]").click()
    view = PatchingGrid(maker())
    assert page.locator(".iw-code pre").inner_text().strip() == view.code(corner).strip()


@pytest.mark.parametrize("maker", [maker for name, (maker, _) in KINDS.items() if name != "neurons"])
def test_the_csv_of_every_kind_is_the_tidy_frame(open_grid, maker):
    import pandas as pd

    frame = maker().to_frame()
    shown = pd.read_csv(io.BytesIO(save(open_grid(maker()), "save-csv")), keep_default_na=False, na_values=[""])
    assert list(shown.columns) == list(frame.columns)
    for name in shown.columns:
        if name in ("value", "estimate", "effect"):
            np.testing.assert_allclose(shown[name], frame[name], atol=1e-5)
        else:
            empty = [column[name].isna() for column in (shown, frame)]
            assert empty[0].tolist() == empty[1].tolist(), name
            assert shown[name][~empty[0]].tolist() == frame[name][~empty[1]].tolist(), name


@every_kind
def test_the_png_of_every_kind_has_its_strongest_cell(open_grid, maker, cell):
    import matplotlib.image

    picture = matplotlib.image.imread(io.BytesIO(save(open_grid(maker()), "save-png")))
    assert (np.abs(picture[..., 0] - picture[..., 2]) > 0.25).sum() > 100


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1200, "light")])
def test_an_estimate_is_striped_until_it_is_exact(open_grid, scheme, width):
    whole = made.estimated(made.heads_by_position(12, 12), slice(0, 70))
    page = open_grid(whole, width=width, scheme=scheme)
    grid = Grid(page, "z")
    colors = "(c, b) => new Set(new Uint32Array(c.getContext('2d').getImageData(b.x, b.y, b.w, b.h).data.buffer)).size"

    def count(row, column):
        box = {
            "x": grid.data["x0"] + column * grid.data["cellW"] + 2,
            "y": grid.data["y0"] - (row + 1) * grid.data["cellH"] + 1,
            "w": grid.data["cellW"] - 4,
            "h": grid.data["cellH"] - 2,
        }
        return grid.canvas.evaluate(colors, box)

    assert grid.data["cellH"] == pytest.approx(5, abs=0.1)
    assert [count(row, 3) for row in (1, 40, 68)] == [2, 2, 2]
    assert [count(row, 3) for row in (75, 130)] == [1, 1]
    expect(page.locator(".iw-keys")).to_contain_text("estimate")
    grid.hover(40, 3)
    expect(page.locator(".iw-tooltip")).to_contain_text("estimate")


def test_one_prompt_is_shown_where_there_is_one_and_both_baselines_are_told(open_grid):
    page = open_grid(made.ablation())
    prompts = page.locator(".iw-prompts")
    expect(prompts.locator(".iw-text")).to_have_count(1)
    expect(prompts).to_contain_text("uniform prediction")
    expect(prompts).to_contain_text(f"{MINUS}3.50")
    assert "corrupt" not in page.locator(".iw-view").inner_text()


def test_noised_positions_are_marked_on_both_sides(open_grid):
    page = open_grid(made.noise())
    for side in ("clean", "corrupt"):
        chips = page.locator(f".iw-chip.iw-{side}").all_inner_texts()
        assert [text.strip() for text in chips] == ["John", ",", "John"]
