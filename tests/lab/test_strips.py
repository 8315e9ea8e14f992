"""Heads by position in a real JupyterLab: a click runs the model, and what it shows are the model's numbers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

HEADS = """
import numpy as np
from interp_widgets import run_patching, show_patching, teaching

model = teaching.load()
pair = teaching.prompts("ioi", n=1)[0]
asked = dict(
    clean=pair.clean, corrupt=pair.corrupt, answer=pair.answer, wrong_answer=pair.wrong_answer
)
view = show_patching(model, **asked, sites=("z", "q"))
view
"""

GATED = """
from interp_widgets import PatchingGrid
from tests import made
from tests.lab.gate import Gate

gate = Gate()

def by_position(cell):
    if cell["head"] == 2:
        raise RuntimeError("this head broke")
    whole = made.strip(cell)
    yield made.blank(whole)
    while not gate.open:
        yield made.blank(whole)
    return whole

view = PatchingGrid(made.heads(), by_position=by_position)
view
"""


@pytest.fixture(scope="module")
def heads(jupyterlab):
    notebook = jupyterlab.open("heads.ipynb", HEADS)
    notebook.run_all()
    return notebook


def numbers(page):
    """The cells of the first row of the strips' first table, from what the reader sees."""
    page.locator("[data-action=table]").click()
    cells = page.locator("table.iw-table").nth(2).locator("tbody tr").first.locator("td")
    shown = [float(text.replace("−", "-").replace("·", "0").split()[0]) for text in cells.all_inner_texts()]
    page.locator("[data-action=table]").click()
    return shown


def test_the_button_of_a_pinned_head_runs_it_by_position(heads):
    heads.kernel("view.result; view.selected = view.result.strongest(sites=['z'])")
    heads.page.locator("[data-action=by-position]").click()
    strip = heads.page.locator(".iw-strips canvas.iw-cells")
    expect(strip).to_be_visible()
    expect(heads.page.locator(".iw-strip-list li button")).to_have_text("×")
    expect(heads.page.locator("[data-action=by-position]")).to_have_count(0)
    heads.kernel(
        "head = view.strips[0].cell\n"
        "alone = run_patching(model, **asked, sites='z', layers=head['layer'], heads=head['head'], by='pos')"
    )
    assert heads.value("alone == view.strips[0].result") is True
    assert numbers(heads.page) == pytest.approx(heads.value("alone.effect()[0, 0, 0].tolist()"), abs=0.00501)


def test_a_key_opens_the_head_at_the_cursor_and_its_positions_are_pinned_in_python(heads):
    heads.kernel("view.selected = {'site': 'q', 'layer': 2, 'head': 1}")
    heads.page.locator("[role=grid][data-site=q]").first.focus()
    heads.page.keyboard.press("p")
    expect(heads.page.locator(".iw-strips [role=grid][data-site=q]")).to_be_visible()
    plot = heads.page.locator(".iw-strips [role=grid][data-site=z]")
    plot.focus()
    heads.page.keyboard.press("End")
    heads.page.keyboard.press("Enter")
    expect(heads.page.locator(".iw-readout")).to_contain_text(re.compile(r"z · layer \d, head \d .*position"))
    heads.comes_to("sorted(view.selected)", ["head", "layer", "pos", "site"])
    heads.page.keyboard.press("Escape")
    expect(heads.page.locator(".iw-readout")).not_to_contain_text("position")
    heads.comes_to("sorted(view.selected)", ["head", "layer", "site"])


def test_strips_are_taken_away_and_come_from_python_too(heads):
    before = heads.value("len(view.strips)")
    heads.page.locator(".iw-strip-list li button").first.click()
    expect(heads.page.locator(".iw-strip-list li")).to_have_count(before - 1)
    heads.comes_to("len(view.strips)", before - 1)
    heads.kernel("view.by_position({'site': 'q', 'layer': 3, 'head': 0})")
    expect(heads.page.locator(".iw-strip-list")).to_contain_text("q 3.0")


def test_a_saved_notebook_shows_its_strips_again(heads):
    heads.kernel("view.by_position({'site': 'z', 'layer': 1, 'head': 1})")
    expect(heads.page.locator(".iw-strip-list")).to_contain_text("z 1.1")
    heads.page.evaluate("window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
    heads.page.reload()
    expect(heads.page.locator(".iw-view[data-ready=true]").first).to_be_visible()
    expect(heads.page.locator(".iw-strip-list")).to_contain_text("z 1.1")
    expect(heads.page.locator(".iw-strips canvas.iw-cells").first).to_be_visible()


@pytest.fixture
def gated(jupyterlab):
    notebook = jupyterlab.open("gated.ipynb", GATED)
    notebook.run_all()
    return notebook


def test_a_strip_is_cancelled_and_one_that_fails_leaves_the_grid_as_it_was(gated):
    page = gated.page
    gated.kernel("view.selected = {'site': 'z', 'layer': 1, 'head': 1}")
    page.locator("[data-action=by-position]").click()
    cancel = page.locator(".iw-strip-list li button")
    expect(cancel).to_have_text("Cancel")
    assert gated.kernel("print(view.strips[0].job.state)") == "running", "other cells run meanwhile"
    cancel.click()
    expect(page.locator(".iw-strip-list")).to_contain_text("cancelled")
    gated.kernel("view.selected = {'site': 'z', 'layer': 1, 'head': 2}")
    page.locator("[data-action=by-position]").click()
    expect(page.locator(".iw-strips [role=alert]")).to_contain_text("this head broke")
    assert gated.kernel("print(view.result.complete, view.job.state)") == "True done"
    gated.kernel("gate.open = 1; view.selected = {'site': 'z', 'layer': 1, 'head': 1}")
    page.locator("[data-action=by-position]").click()
    expect(page.locator(".iw-strip-list li button").first).to_have_text("×")
    gated.comes_to("[view.strips[0].job.state, len(view.strips)]", ["done", 2])
