"""Real notebook servers, started once, and a driver for the notebooks in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

TOKEN = "test"
PATIENCE = 60_000
"""Milliseconds to wait for something that normally takes one or two seconds; a slow machine must not fail a test."""

_IN_KERNEL = """
async code => {
  const panel = window.jupyterapp.shell.currentWidget;
  const future = panel.sessionContext.session.kernel.requestExecute({ code, store_history: false });
  let text = "";
  future.onIOPub = message => {
    if (message.header.msg_type === "stream") text += message.content.text;
    if (message.header.msg_type === "error") text += message.content.traceback.join("\\n");
  };
  await future.done;
  return text;
}
"""


@dataclass
class Server:
    """A running notebook server."""

    url: str
    folder: Path


@dataclass
class Notebook:
    """A notebook open in a browser, with its kernel connected."""

    page: Page

    def run_all(self) -> None:
        """Start all cells, as the menu does."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")

    def kernel(self, code: str) -> str:
        """Run code in the kernel beside the cells, and return what it printed."""
        return self.page.evaluate(_IN_KERNEL, code).strip()


def _serve(application: str, folder: Path) -> Iterator[Server]:
    settings = folder.parent / f"{folder.name}-settings"
    (settings / "runtime").mkdir(parents=True)
    notification = settings / "lab" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    notification.parent.mkdir(parents=True)
    notification.write_text('{"fetchNews": "false"}')  # else a question about it lies over the page
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(settings),
        "JUPYTER_RUNTIME_DIR": str(settings / "runtime"),
        "IPYTHONDIR": str(settings / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings / "lab"),
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),  # notebooks use the tests' hand-made results
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        *(sys.executable, "-m", "jupyter", application, "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"),
        *(f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"),
        *("--JupyterNotebookApp.expose_app_in_browser=True",),
        *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",),
    ]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    log = ""
    try:
        assert server.stderr is not None
        for line in server.stderr:
            log += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail(f"{application} did not start:\n{log}")
        # The server must not block on a full pipe once nobody reads it.
        drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
        yield Server(found.group(), folder)
    finally:
        server.terminate()
        server.wait(30)
        server.stderr.close()
        drain.wait(30)


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serve("lab", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serve("notebook", tmp_path_factory.mktemp("notebook"))


def write_notebook(server: Server, name: str, *cells: str) -> None:
    """Put a notebook with these code cells in the server's folder."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, server.folder / name)


def open_notebook(browser: Browser, server: Server, name: str, where: str, **context: object) -> Notebook:
    """Open a notebook and wait until its kernel answers: the page says idle before the kernel exists."""
    page = browser.new_context(viewport={"width": 1300, "height": 1000}, **context).new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.goto(f"{server.url}/{where}/{name}?token={TOKEN}&reset")
    page.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
        "?.connectionStatus === 'connected'"
    )
    return Notebook(page)


def state(printed: str) -> object:
    """What the kernel printed, as a value."""
    return json.loads(printed)
