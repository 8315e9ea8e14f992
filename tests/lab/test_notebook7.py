"""In Notebook 7: the view renders and a click arrives in Python."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.lab.conftest import open_notebook, state, write_notebook
from tests.lab.test_jupyterlab import TEACHING, click_cell


def test_it_renders_and_a_click_arrives(browser, notebook7):
    write_notebook(notebook7, "patching.ipynb", TEACHING)
    notebook = open_notebook(browser, notebook7, "patching.ipynb", "notebooks")
    notebook.run_all()
    expect(notebook.page.locator(".iw-view[data-ready=true]")).to_be_visible()
    click_cell(notebook.page, "resid_pre", layer=2, pos=4)
    expect(notebook.page.locator(".iw-readout").first).to_contain_text("layer 2")
    assert state(notebook.kernel("import json; print(json.dumps(view.selected))")) == {
        "site": "resid_pre",
        "layer": 2,
        "pos": 4,
    }
    notebook.page.context.close()
