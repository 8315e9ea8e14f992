"""In a real JupyterLab, end to end: execute, stream, click, select from Python, cancel, reload, dark theme."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

TEACHING = """
from interp_widgets import show_patching, teaching
model = teaching.load()
view = show_patching(
    model,
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
)
view
"""

GATED = """
from interp_widgets import PatchingGrid
from tests import made
from tests.lab.gate import Gate

gate = Gate()
view = PatchingGrid(gate.let_through(made.steps(made.result(sites=("resid_pre", "mlp_out"), layers=6))))
view
"""


def click_cell(page, site, layer, pos, root=".iw-view"):
    """Click in the middle of a cell, by the geometry that the canvas states."""
    canvas = page.locator(f"{root} canvas.iw-cells[data-site={site}]").first
    canvas.scroll_into_view_if_needed()
    box = canvas.evaluate("c => ({...c.dataset})")
    width, height = float(box["cellW"]), float(box["cellH"])
    x = float(box["x0"]) + (pos + 0.5) * width
    y = float(box["y0"]) - (layer + 0.5) * height
    canvas.click(position={"x": x, "y": y})


@pytest.fixture(scope="module")
def lab(jupyterlab):
    notebook = jupyterlab.open("patching.ipynb", TEACHING)
    notebook.run_all()
    return notebook


def test_a_click_arrives_in_python_and_python_moves_the_pin(lab):
    click_cell(lab.page, "resid_pre", layer=1, pos=3)
    lab.page.wait_for_function("() => document.querySelector('.iw-readout')?.textContent.includes('layer 1')")
    lab.comes_to("view.selected", {"site": "resid_pre", "layer": 1, "pos": 3})
    lab.kernel("view.selected = {'site': 'resid_pre', 'layer': 2, 'pos': 5}")
    expect(lab.page.locator(".iw-readout").first).to_contain_text("layer 2")


def test_the_metric_switch_reaches_python(lab):
    lab.page.locator("[data-metric=prob]").first.click()
    lab.page.wait_for_function(
        "() => document.querySelector('[data-metric=prob]').matches('[aria-checked=true], :checked, :has(:checked)')"
    )
    lab.comes_to("view.metric", "prob")
    lab.kernel("view.metric = 'logit_diff'")


def test_keys_typed_on_the_view_do_not_edit_the_notebook(lab):
    """`d d` deletes a cell in command mode, unless the very element that has the focus keeps its keys to itself."""
    for focused in ("[role=grid]", "[data-action=table]"):
        lab.page.locator(focused).first.focus()
        lab.page.keyboard.press("d")
        lab.page.keyboard.press("d")
        expect(lab.page.locator(".iw-view")).to_be_visible()
        expect(lab.page.locator(focused).first).to_be_focused()
    lab.page.locator("[role=grid]").first.focus()
    lab.kernel("view.selected = None")
    lab.page.keyboard.press("ArrowLeft")
    lab.page.keyboard.press("Enter")
    expect(lab.page.locator(".iw-readout").first).to_contain_text("position")
    lab.comes_to("view.selected is not None", True)


def test_the_dark_theme_is_followed(lab):
    lightness = "() => getComputedStyle(document.querySelector('.iw-view')).color.match(/\\d+/g).map(Number)[0]"
    light = lab.page.evaluate(lightness)
    change = "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name}).then(() => null)"
    lab.page.evaluate(change, "JupyterLab Dark")
    lab.page.wait_for_function(f"before => ({lightness})() > before + 100", arg=light)
    lab.page.evaluate(change, "JupyterLab Light")
    lab.page.wait_for_function(f"before => ({lightness})() === before", arg=light)


def test_a_saved_notebook_shows_its_view_again_after_a_reload(lab):
    lab.kernel("view.selected = {'site': 'resid_pre', 'layer': 3, 'pos': 4}")
    expect(lab.page.locator(".iw-readout").first).to_contain_text("layer 3")
    lab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
    lab.page.reload()
    expect(lab.page.locator(".iw-view[data-ready=true]").first).to_be_visible()
    expect(lab.page.locator(".iw-readout").first).to_contain_text("layer 3")


@pytest.fixture(scope="module")
def gated(jupyterlab):
    return jupyterlab.open("streaming.ipynb", GATED)


@pytest.fixture
def streaming(gated):
    gated.run_all()
    yield gated
    gated.kernel("view.close(); gate.open = 99")
    expect(gated.page.locator(".iw-view")).to_have_count(0)


def computed(notebook):
    return notebook.kernel("print(int((view.partial.status > 0).all(axis=(0, 1, 3)).sum()))")


def test_rows_stream_while_other_cells_run_and_the_result_finishes_the_rest(streaming):
    expect(streaming.page.locator("button.iw-cancel")).to_be_visible()
    streaming.kernel("gate.open = 2")
    status = "() => document.querySelector('.iw-job').textContent"
    streaming.page.wait_for_function(f"() => /\\d/.test(({status})())")
    streaming.page.wait_for_function("() => document.querySelectorAll('canvas.iw-cells').length === 2")
    assert streaming.kernel("print(view.job.state)") == "running"
    streaming.kernel("gate.open = 99")
    assert streaming.kernel("print(view.result.complete, view.job.state)") == "True done"
    expect(streaming.page.locator("button.iw-cancel")).to_be_hidden()


def test_cancel_keeps_the_rows_that_came_and_leaves_the_kernel_usable(streaming):
    streaming.kernel("gate.open = 2")
    streaming.page.locator("button.iw-cancel").click()
    expect(streaming.page.locator(".iw-job")).to_contain_text(re.compile("cancel", re.IGNORECASE))
    assert streaming.kernel("print(view.job.state, view.result.complete)") == "cancelled False"
    assert computed(streaming) in {"0", "1", "2"}
    assert streaming.kernel("print(1 + 1)") == "2"
