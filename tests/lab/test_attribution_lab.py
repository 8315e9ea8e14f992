"""An attribution in a real JupyterLab: a click opens a head in the kernel, an MLP its neurons, and both are kept."""

from __future__ import annotations

from playwright.sync_api import expect

SHOWN = """
from interp_widgets import show_attribution, teaching

pairs = teaching.prompts("ioi", n=6)
sides = {"answer": [pair.answer for pair in pairs], "wrong_answer": [pair.wrong_answer for pair in pairs]}
view = show_attribution(teaching.load(), [pair.clean for pair in pairs], **sides)
view
"""


def test_a_head_and_an_mlp_are_opened_by_a_click_and_kept(jupyterlab):
    notebook = jupyterlab.open("attribution.ipynb", SHOWN)
    notebook.run_all()
    page = notebook.page
    expect(page.locator(".iw-sum")).to_contain_text("logits")
    expect(page.locator("select[aria-label=prompt] option").first).to_have_text("mean over 6 prompts")
    page.locator(".iw-rank", has_text="head 3.3").click()
    expect(page.locator(".iw-strip-caption")).to_contain_text("What head 3.3 brings from each token")
    page.locator(".iw-rank", has_text="MLP 3").first.click()
    expect(page.locator(".iw-card")).to_contain_text("500 others together")
    mlp = {"site": "mlp_out", "layer": 3, "head": None}
    notebook.comes_to("[view.selected, len(view.sources), list(view.result.neurons)]", [mlp, 1, [3]])
    notebook.kernel("view.selected = {'layer': 2, 'head': 0}; view.prompt = 1")
    expect(page.locator(".iw-strip-caption")).to_contain_text("What head 2.0 brings")
    page.get_by_role("listbox", name="components with").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")  # would delete the cell
    expect(page.locator(".iw-view")).to_be_visible()
