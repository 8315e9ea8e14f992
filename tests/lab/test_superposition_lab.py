"""Toy models in a real JupyterLab: they are drawn while they are trained, and a click arrives in Python."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

GATED = """
from interp_widgets import Superposition
from tests.made_toys import toys, untrained

gate = {"open": False}

def gated():
    # The training waits for another cell: if none can run meanwhile, it never ends.
    at = 0
    while not gate["open"]:
        yield untrained(toys(), at % 50)
        at += 1
    return toys()

view = Superposition(gated())
view
"""


@pytest.fixture
def notebook(jupyterlab):
    notebook = jupyterlab.open("toys.ipynb", GATED)
    notebook.run_all()
    return notebook


def test_training_is_watched_and_selection_goes_both_ways(notebook):
    page = notebook.page
    expect(page.locator(".iw-job")).to_contain_text("of 100 steps")
    first = page.locator("canvas.iw-large").get_attribute("data-tips")
    page.wait_for_function("before => document.querySelector('canvas.iw-large').dataset.tips !== before", arg=first)
    notebook.kernel("gate['open'] = True")
    expect(page.locator(".iw-job")).to_contain_text("Done")
    expect(page.locator(".iw-readout")).to_contain_text("5 of 5 features in 2 dimensions (pentagon)")
    page.get_by_role("radio").nth(1).click()
    expect(page.locator(".iw-large-head")).to_contain_text("2 antipodal pairs")
    notebook.comes_to("view.selected", {"sparsity": 1, "feature": None})
    notebook.kernel("view.selected = {'sparsity': 2, 'feature': 3}")
    expect(page.locator(".iw-where")).to_have_text("feature 3 on 4% of the time")
    page.get_by_role("listbox").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")  # would delete the cell
    expect(page.locator(".iw-view")).to_be_visible()
