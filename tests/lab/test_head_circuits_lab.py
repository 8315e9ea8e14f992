"""Circuits of heads in a real JupyterLab: choices go both ways, and the vocabulary is looked through on request."""

from __future__ import annotations

from playwright.sync_api import expect

CODE = """
from interp_widgets import show_head_circuits, teaching

view = show_head_circuits(teaching.load(), " Mary and John went to the store", 3, 1, layers=[2, 3], copying=False)
view
"""


def test_heads_are_chosen_on_either_side_and_the_vocabulary_comes_when_asked_for(jupyterlab):
    notebook = jupyterlab.open("circuits.ipynb", CODE)
    notebook.run_all()
    page = notebook.page
    expect(page.locator(".iw-head-name")).to_contain_text("head 3.1", timeout=120_000)
    expect(page.locator(".iw-job").first).to_contain_text("Done", timeout=120_000)
    page.locator(".iw-maps").focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator(".iw-head-name")).to_contain_text("head 2.1")
    notebook.comes_to("view.selected", {"layer": 2, "head": 1, "token": None})
    notebook.kernel("view.selected = {'layer': 3, 'head': 2, 'token': 1}")
    expect(page.locator(".iw-head-name")).to_contain_text("head 3.2")
    page.locator("[data-action=look]").click()
    expect(page.locator(".iw-whole")).to_contain_text("Whole vocabulary: what is promoted", timeout=120_000)
    expect(page.locator(".iw-looking")).to_contain_text("Done in")
    assert notebook.value("len(view.result.extremes)") == 2
