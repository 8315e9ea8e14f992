"""A notebook as one page: its views answer inside it, offline."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import expect

from interp_widgets import PatchingGrid, link
from interp_widgets.publish import main, publish
from tests import made
from tests.browser.conftest import ROOT

CELLS = [
    "from interp_widgets import PatchingGrid\nfrom tests import made\nview = PatchingGrid(made.result())\nview",
    "view.snapshot()",
    "import ipywidgets\nipywidgets.IntSlider()",
    "print('<b>plain</b>')",
]


def executed():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# A title\n\nSome *words*."))
    NotebookClient(notebook, resources={"metadata": {"path": str(ROOT)}}).execute()
    return notebook


def test_views_answer_inside_the_page(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(publish(executed(), "A title"), encoding="utf-8")
    page = open_page(path)
    expect(page.locator("h1")).to_contain_text("A title")
    frames = page.locator("iframe")
    expect(frames).to_have_count(2)
    for number in range(2):
        frames.nth(number).scroll_into_view_if_needed()
        view = frames.nth(number).content_frame
        expect(view.locator(".iw-view[data-ready=true]")).to_be_visible()
        view.locator("[data-metric=prob]").click()
        # The frame is as high as the view: nothing is cut off and nothing scrolls inside.
        page.wait_for_function("n => document.querySelectorAll('iframe')[n].clientHeight >= 300", arg=number)
    expect(page.get_by_text("<b>plain</b>", exact=True)).to_be_visible()


def test_linked_views_hear_each_other_from_frame_to_frame(open_page, tmp_path):
    one, two, apart = PatchingGrid(made.result()), PatchingGrid(made.result()), PatchingGrid(made.result())
    link(one, two)
    path = tmp_path / "page.html"
    path.write_text("".join(view.snapshot()._repr_html_() for view in (one, two, apart)), encoding="utf-8")
    page = open_page(path)
    views = [page.locator("iframe").nth(number).content_frame.locator(".iw-view") for number in range(3)]
    for number, view in enumerate(views):
        page.locator("iframe").nth(number).scroll_into_view_if_needed()
        expect(view).to_have_attribute("data-ready", "true")
    plot = views[0].get_by_role("grid").first
    plot.focus()
    plot.press("Home")
    plot.press("Enter")
    chosen = views[0].locator(".iw-readout").inner_text()
    expect(views[1].locator(".iw-readout")).to_have_text(chosen, use_inner_text=True)
    expect(views[2].locator(".iw-readout")).not_to_have_text(chosen, use_inner_text=True)


@pytest.mark.parametrize("text", [None, "no json", "[]"])
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, capsys, text):
    source = tmp_path / "broken.ipynb"
    if text is not None:
        source.write_text(text)
    with pytest.raises(SystemExit):
        main([str(source)])
    assert "broken.ipynb could not be read as a notebook" in capsys.readouterr().err


def test_the_command_executes_a_notebook_and_names_the_page(tmp_path, capsys):
    source = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")]), source)
    main([str(source), "--execute"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "small.html")
    assert "42" in (tmp_path / "small.html").read_text()


def test_a_cell_that_fails_is_told_by_its_own_error_and_leaves_no_page(tmp_path, capsys):
    source = tmp_path / "failing.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), source)
    with pytest.raises(SystemExit) as stopped:
        main([str(source), "--execute"])
    assert stopped.value.code == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert told.endswith("failing.ipynb: a cell failed (above), so no page was written.\n")
    assert not (tmp_path / "failing.html").exists()


def test_the_text_of_other_widgets_is_not_passed_off_as_their_state():
    """A notebook's progress bar leaves the text with which it began."""
    cells = [
        "import ipywidgets\nbar = ipywidgets.IntProgress(0)\ndisplay(bar)\nbar.value = 100",
        "print('IntProgress')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook).execute()
    assert "IntProgress(value=0)" in str(notebook.cells[0].outputs)
    body = publish(notebook, "Bars").partition("<main>")[2]
    assert "IntProgress(value=0)" not in body
    assert "IntProgress\n" in body  # what was printed stays
