"""Residual streams in a real JupyterLab: layers appear as they are placed, and a selection goes both ways."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

CODE = """
import torch
torch.set_num_threads(1)
from interp_widgets import show_projection, teaching

pairs = teaching.prompts("refusal", n=30)
prompts = [*(pair.clean for pair in pairs), *(pair.corrupt for pair in pairs)]
view = show_projection(teaching.load(), prompts, labels=["harmful"] * 30 + ["harmless"] * 30, positions=-1)
view
"""


@pytest.fixture
def notebook(jupyterlab):
    notebook = jupyterlab.open("map.ipynb", CODE)
    notebook.run_all()
    return notebook


def test_a_lasso_arrives_in_python_and_a_selection_in_the_page(notebook):
    page = notebook.page
    page.emulate_media(reduced_motion="reduce")  # points are at their places at once
    expect(page.locator(".iw-job")).to_contain_text("Done", timeout=60_000)
    expect(page.locator(".iw-title")).to_have_text("Does the residual stream tell harmful from harmless?")
    expect(page.locator(".iw-layer[data-here=true]")).to_have_count(4)
    page.get_by_role("slider", name="layer").press("End")
    page.get_by_role("radio", name="box").click()
    page.locator(".iw-area").evaluate("area => area.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = page.locator(".iw-area").bounding_box()
    # The two kinds are on either side of the middle.
    page.mouse.move(box["x"] + 50, box["y"] + 4)
    page.mouse.down()
    page.mouse.move(box["x"] + 46 + (box["width"] - 46) / 2, box["y"] + box["height"] - 42, steps=5)
    page.mouse.up()
    expect(page.locator(".iw-selection-head")).to_contain_text("30 points selected")
    notebook.comes_to("[view.layer, len({view.result.label(n) for n in view.selected})]", [3, 1])
    notebook.kernel("view.layer = 1; view.selected = view.result.find(prompt=3)")
    expect(page.locator(".iw-selection-head")).to_contain_text("1 point selected")
    expect(page.get_by_role("slider", name="layer")).to_have_attribute("aria-valuenow", "1")
    page.locator(".iw-area").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")  # would delete the cell
    expect(page.locator(".iw-view")).to_be_visible()
    page.emulate_media(reduced_motion="no-preference")
