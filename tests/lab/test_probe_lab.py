"""Probes in a real JupyterLab: cells come in while they are fitted, and a click arrives in Python."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

CODE = """
from interp_widgets import show_probe, teaching

pairs = teaching.prompts("sentiment", n=24)
texts = [pair.clean for pair in pairs] + [pair.corrupt for pair in pairs]
labels = [pair.answer.strip() for pair in pairs] + [pair.wrong_answer.strip() for pair in pairs]
view = show_probe(teaching.load(), texts, labels, positions=(-3, -1, "mean"), layers=(1, 3), control_draws=1)
view
"""


@pytest.fixture
def notebook(jupyterlab):
    notebook = jupyterlab.open("probes.ipynb", CODE)
    notebook.run_all()
    return notebook


def test_probes_come_in_and_selection_goes_both_ways(notebook):
    page = notebook.page
    expect(page.locator(".iw-title")).to_have_text("Where can a linear probe tell hated from loved?")
    expect(page.locator(".iw-job")).to_contain_text("Done")
    expect(page.locator(".iw-detail")).to_contain_text("where it reads best")
    chart = page.locator(".iw-chart canvas")
    chart.click(position={"x": chart.bounding_box()["width"] - 134, "y": 60})
    expect(page.locator(".iw-detail")).to_contain_text("layer 3")
    notebook.comes_to("view.selected['layer']", 3)
    notebook.kernel("view.selected, view.kind = {'layer': 1, 'pos': 6}, 'means'")
    expect(page.locator(".iw-detail")).to_contain_text("layer 1 · [␣I] (position 6)difference of means")
    assert notebook.value("view.direction().vectors.shape") == [1, 1, 128]
    page.get_by_role("grid").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")  # would delete the cell
    expect(page.locator(".iw-view")).to_be_visible()
