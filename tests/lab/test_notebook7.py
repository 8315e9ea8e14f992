"""In Notebook 7: the view renders and a click arrives in Python."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.lab.conftest import open_notebook7
from tests.lab.test_jupyterlab import click_cell

MADE = """
from interp_widgets import PatchingGrid
from tests import made
view = PatchingGrid(made.result())
view
"""


def test_it_renders_and_a_click_arrives(browser, server):
    notebook = open_notebook7(browser, server, "notebook7.ipynb", MADE)
    notebook.run_all()
    click_cell(notebook.page, "resid_pre", layer=2, pos=4)
    expect(notebook.page.locator(".iw-readout").first).to_contain_text("layer 2")
    notebook.comes_to("view.selected", {"site": "resid_pre", "layer": 2, "pos": 4})
    notebook.page.context.close()
