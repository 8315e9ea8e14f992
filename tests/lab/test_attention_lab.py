"""Attention heads in a real JupyterLab: read while one watches, linked to the text, and asked for piece by piece."""

from __future__ import annotations

from playwright.sync_api import expect

IOI = """
import torch

torch.set_num_threads(1)
from interp_widgets import show_attention, teaching

text = "When Mary and John went to the store, John gave a drink to"
view = show_attention(
    teaching.load(), text, corrupt=text.replace("John gave", "Mary gave"), answer=" Mary", wrong_answer=" John"
)
view
"""

LONG = """
from interp_widgets import AttentionView
from tests.made_attention import attention

view = AttentionView(attention(600, layers=1, heads=2))  # too much to be sent as a whole
view
"""


def test_heads_are_read_scored_and_chosen(jupyterlab):
    notebook = jupyterlab.open("attention.ipynb", IOI)
    notebook.run_all()
    page = notebook.page
    expect(page.locator(".iw-job")).to_contain_text("Done")
    expect(page.locator(".iw-head-name")).to_contain_text("head 3.3")
    expect(page.locator(".iw-head-name")).to_contain_text("name mover")
    page.get_by_label("score", exact=True).select_option("induction")
    page.get_by_role("radio", name="highest first").click()
    heads = page.get_by_role("grid", name="heads by layer: arrows move, Enter shows one large")
    heads.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".iw-head-name")).to_contain_text("head 2.0")
    notebook.comes_to("view.selected", {"layer": 2, "head": 0, "pos": None})
    notebook.comes_to("[view.score, view.order]", ["induction", "score"])
    page.locator("[data-token='9']").first.click()
    notebook.comes_to("view.selected", {"layer": 2, "head": 0, "pos": 9})
    page.mouse.move(5, 5)  # what is pointed at comes before what is held
    notebook.kernel("view.selected = {'layer': 0, 'head': 2, 'pos': 4}")
    expect(page.locator(".iw-head-name")).to_contain_text("previous token")
    expect(page.locator(".iw-lists")).to_contain_text("␣went 4 looks at")
    heads.focus()
    page.keyboard.press("d")
    page.keyboard.press("d")  # would delete the cell
    expect(page.locator(".iw-view")).to_be_visible()


def test_a_long_prompt_is_asked_for_piece_by_piece(jupyterlab):
    notebook = jupyterlab.open("long_attention.ipynb", LONG)
    notebook.run_all()
    page = notebook.page
    expect(page.locator(".iw-lists li")).to_have_count(2)
    expect(page.locator(".iw-lists")).to_contain_text("␣he 5980.75")
    expect(page.locator(".iw-rough")).to_have_count(0)
    page.locator("[data-token='9']").first.click()
    expect(page.locator(".iw-lists")).to_contain_text("When 80.75")
    expect(page.locator(".iw-lists")).to_contain_text("is looked at by␣and 100.75")
    notebook.comes_to("sorted({key.split('/')[0] for key in view._seen})", ["lines", "tile"])
