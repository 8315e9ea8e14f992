"""Views side by side in a real JupyterLab: linked ones follow each other, and others open from their cells."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Grid
from tests.lab.conftest import PATIENCE

BOXED = """
from ipywidgets import HBox, Layout, VBox
from interp_widgets import PatchingGrid, link
from tests import made

one, two = PatchingGrid(made.result()), PatchingGrid(made.heads(layers=4, n_heads=4))
together = link(one, two)
for view in (one, two):
    view.layout = Layout(flex="1 1 0", min_width="0")
HBox([one, two])
"""

CHAIN = """
import json
from interp_widgets import show_patching, teaching

model, pair = teaching.load(), teaching.prompts("ioi", n=1)[0]
names = dict(answer=pair.answer, wrong_answer=pair.wrong_answer)
view = show_patching(model, pair.clean, pair.corrupt, **names, sites="resid_post", layers=(0, 1))
view
"""

PARTS, PATTERN = "[data-way=parts].iw-nested", "[data-way=pattern].iw-nested"


@pytest.fixture(scope="module")
def boxed(jupyterlab):
    notebook = jupyterlab.open("boxed.ipynb", BOXED)
    notebook.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
    expect(notebook.page.locator(".iw-view[data-ready=true]")).to_have_count(2)
    return notebook


def inked(page, view):
    """How much is drawn over the cells of a view."""
    overlay = page.locator(".iw-view").nth(view).locator("canvas.iw-overlay").first
    return overlay.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"
    )


def test_boxed_views_share_the_width_and_the_pointer(boxed):
    page = boxed.page
    left, right = (page.locator(".iw-view").nth(n).bounding_box() for n in range(2))
    assert left["x"] + left["width"] <= right["x"] + 1
    assert abs(left["y"] - right["y"]) < 2
    assert min(left["width"], right["width"]) > 300
    before = inked(page, 1)
    Grid(page).hover(2, 3)
    assert inked(page, 1) > before, "the row of the layer is named in the other view"
    page.mouse.move(2, 2)
    assert inked(page, 1) == before


def test_a_click_in_one_view_selects_in_the_other_on_both_sides(boxed):
    page = boxed.page
    Grid(page, "z").click(1, 3)
    expect(page.locator(".iw-readout").nth(1)).to_contain_text("layer 1 · head 3")
    Grid(page).click(3, 6)
    expect(page.locator(".iw-readout").nth(1)).to_contain_text("layer 3 · head 3")
    chosen = [{"site": "resid_pre", "layer": 3, "pos": 6}, {"site": "z", "layer": 3, "head": 3}]
    boxed.comes_to("[one.selected, two.selected]", chosen)
    boxed.kernel("one.selected = {'site': 'resid_pre', 'layer': 0, 'pos': 2}")
    expect(page.locator(".iw-readout").nth(1)).to_contain_text("layer 0 · head 3")


def test_keys_and_clicks_lead_from_a_patched_stream_to_a_pattern(jupyterlab):
    notebook = jupyterlab.open("chain.ipynb", CHAIN)
    notebook.run_all()
    page = notebook.page
    notebook.kernel("view.result")  # at its end the view is shown anew, with its picture
    Grid(page, "resid_post").click(1, 13)
    page.keyboard.press("o")
    expect(page.locator(f"{PARTS} .iw-plot").first).to_be_focused()
    expect(page.locator(f"{PARTS} .iw-job[data-state=running]")).to_have_count(0)
    Grid(page, "z", PARTS).click(0, 1)
    page.locator(f"{PARTS} .iw-ways button[data-way=pattern]").first.click()
    expect(page.locator(f"{PATTERN} .iw-view[data-ready=true]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(f"{PATTERN} .iw-crumbs ol")).to_contain_text("z, layer 0, head 1")
    notebook.comes_to("view.opened[0].opened[0].selected", {"layer": 0, "head": 1, "pos": 13})
    cells = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length")
    page.locator(f"{PATTERN} [tabindex='0']").first.focus()
    page.keyboard.type("dd")  # which deletes the cell where the notebook takes the keys
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == cells
    page.locator(f"{PARTS} > .iw-crumbs .iw-close").click()
    expect(page.locator(PARTS)).to_have_count(0)
    notebook.comes_to("len(view.opened)", 0)
