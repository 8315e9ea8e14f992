"""In marimo: the view renders and a click arrives in Python."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.lab.conftest import patient_page
from tests.lab.test_jupyterlab import click_cell

APP = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    from interp_widgets import PatchingGrid
    from tests import made

    view = mo.ui.anywidget(PatchingGrid(made.result()))
    view
    return mo, view


@app.cell
def _(mo, view):
    mo.md(f"selected: {view.value.get('selected')}")
    return
"""


@pytest.fixture
def marimo_url(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "marimo", "-y", "run", str(tmp_path / "app.py"), "--headless"),
        *("--host", "127.0.0.1", "--port", str(port), "--no-token"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),  # the app uses the tests' hand-made results
        "PYTHONUNBUFFERED": "1",
        "XDG_CONFIG_HOME": str(tmp_path),
        "NO_COLOR": "1",
    }
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert server.stdout is not None
    log = ""
    for line in server.stdout:
        log += line
        if re.search(rf"http://\S+:{port}", line):
            break
    else:
        pytest.fail(f"marimo did not start:\n{log}")
    drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(30)
    server.stdout.close()
    drain.wait(30)


def test_it_renders_and_a_click_arrives(browser, marimo_url):
    page = patient_page(browser)
    page.goto(marimo_url)
    expect(page.locator(".iw-view[data-ready=true]")).to_be_visible()
    click_cell(page, "resid_pre", layer=2, pos=4)
    expect(page.get_by_text(re.compile("selected: .*'layer': 2"))).to_be_visible()
    page.context.close()
