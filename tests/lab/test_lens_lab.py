"""The view of a lens in a real JupyterLab: clicks, tokens that are followed on request, streaming, a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

TEACHING = """
from interp_widgets import show_lens, teaching
model, pair = teaching.load(), teaching.prompts("ioi", n=1)[0]
view = show_lens(model, pair.clean, [pair.answer, pair.wrong_answer])
view
"""

GATED = """
from interp_widgets import LensView
from tests import made_lens as made
from tests.lab.gate import Gate

gate = Gate()
view = LensView(gate.let_through(made.steps(made.result(), batches=5)))
view
"""


@pytest.fixture(scope="module")
def lab(jupyterlab):
    notebook = jupyterlab.open("lens.ipynb", TEACHING)
    notebook.run_all()
    return notebook


def test_a_click_arrives_in_python_and_python_moves_the_page(lab):
    lab.page.locator(".iw-tok[data-token='3']").click()
    expect(lab.page.locator(".iw-tok[data-token='3']")).to_have_attribute("aria-selected", "true")
    lab.comes_to("view.selected", {"site": "resid_post", "layer": 3, "pos": 3, "prompt": 0})
    lab.kernel("view.selected = {'site': 'resid_mid', 'layer': 2}; view.metric = 'entropy'")
    expect(lab.page.locator(".iw-lens-cell")).to_contain_text("after attention of layer 2")
    expect(lab.page.locator("[data-metric=entropy]")).to_have_attribute("aria-checked", "true")


def test_a_typed_token_is_read_by_the_kernel_and_shown(lab):
    box = lab.page.get_by_label("follow one more token")
    box.fill("the")
    box.press("Enter")
    expect(lab.page.get_by_role("radio", name="␣the")).to_have_attribute("aria-checked", "true")
    lab.comes_to("[view.answer, view.result.answers[2].label]", [2, "␣the"])
    expect(lab.page.locator(".iw-lens-legend-list")).to_contain_text("␣the")
    box.fill("two words")
    box.press("Enter")
    expect(lab.page.locator(".iw-lens-controls [role=status]")).to_contain_text("AnswerError")
    lab.page.locator(".iw-lens-top button:not([data-answer])").first.click()
    expect(lab.page.get_by_role("radiogroup", name="token that colour is about").get_by_role("radio")).to_have_count(5)


def test_typing_in_the_view_edits_no_notebook(lab):
    for focused in (".iw-grid", ".iw-strip", "[data-action=table]"):
        lab.page.locator(focused).focus()
        lab.page.keyboard.press("d")
        lab.page.keyboard.press("d")
        expect(lab.page.locator(".iw-view")).to_be_visible()


def test_a_saved_notebook_shows_its_lens_again_after_a_reload(lab):
    lab.kernel("view.selected = {'layer': 1, 'pos': 2}; view.pinned = [{'pos': 4, 'answer': 1}]")
    expect(lab.page.locator(".iw-lens-legend-list [aria-pressed=true]")).to_have_count(1)
    lab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
    lab.page.reload()
    expect(lab.page.locator(".iw-view[data-ready=true]").first).to_be_visible()
    expect(lab.page.locator(".iw-lens-cell").first).to_contain_text("after layer 1")
    expect(lab.page.locator(".iw-lens-legend-list [aria-pressed=true]")).to_have_count(1)


def test_cells_stream_while_other_cells_run_and_the_result_finishes_the_rest(jupyterlab):
    notebook = jupyterlab.open("streaming_lens.ipynb", GATED)
    notebook.run_all()
    panel = notebook.page.locator(".iw-lens-cell")
    notebook.kernel("view.selected = {'site': 'resid_mid', 'layer': 0, 'pos': 0}")
    expect(panel).to_contain_text("Not read yet.")
    notebook.kernel("gate.open = 2")
    expect(panel).to_contain_text("KL from the end")
    assert notebook.kernel("print(view.job.state)") == "running"
    notebook.kernel("gate.open = 99")
    assert notebook.kernel("print(view.result.complete, view.job.state)") == "True done"
    notebook.kernel("view.close()")
