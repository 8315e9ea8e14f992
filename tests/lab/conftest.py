"""A real notebook server, started once for JupyterLab and Notebook 7, and a driver for the notebooks in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import launched

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


_OPEN = """
path => window.jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" }).then(() => null)
"""

_CONNECTED = """
path => {
  const widget = window.jupyterapp?.shell?.currentWidget;
  // The page says idle before the kernel exists.
  return widget?.context?.path === path && widget.sessionContext.session?.kernel?.connectionStatus === "connected";
}
"""

_CLOSE = """
async () => {
  for (const widget of [...window.jupyterapp.shell.widgets("main")]) {
    await widget.sessionContext?.shutdown();
    widget.dispose();  // without asking whether to save
  }
}
"""


@dataclass
class Server:
    """A running notebook server."""

    url: str
    folder: Path

    def write(self, name: str, *cells: str) -> None:
        """Put a notebook with these code cells in the server's folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)


@dataclass
class Notebook:
    """A notebook open in a browser, with its kernel connected."""

    page: Page

    def run_all(self) -> None:
        """Start all cells, as the menu does, and wait until their view is there."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
        expect(self.page.locator(".iw-view[data-ready=true]")).to_be_visible()

    def kernel(self, code: str) -> str:
        """Run code in the kernel beside the cells, and return what it printed."""
        return self.page.evaluate(_IN_KERNEL, code).strip()

    def value(self, expression: str) -> object:
        """What an expression is worth in the kernel, as JSON has it."""
        return json.loads(self.kernel(f"import json; print(json.dumps({expression}))"))

    def comes_to(self, expression: str, wanted: object) -> None:
        """Wait until an expression is worth this in the kernel: what a page changes arrives there a little later."""
        deadline = time.monotonic() + PATIENCE / 1000
        while (found := self.value(expression)) != wanted and time.monotonic() < deadline:
            pass
        assert found == wanted


@dataclass
class Lab:
    """JupyterLab in one page, which takes longer to load than most notebooks take to run. It has one notebook open."""

    server: Server
    page: Page

    def open(self, name: str, *cells: str) -> Notebook:
        """Open a notebook of these cells with a kernel of its own, in place of the last one."""
        self.server.write(name, *cells)
        self.page.evaluate(_CLOSE)
        self.page.evaluate(_OPEN, name)
        self.page.wait_for_function(_CONNECTED, arg=name)
        return Notebook(self.page)


def _serve(folder: Path) -> Iterator[Server]:
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
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"),
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
            pytest.fail(f"JupyterLab did not start:\n{log}")
        # The server must not block on a full pipe once nobody reads it.
        drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
        yield Server(found.group(), folder)
    finally:
        server.terminate()
        server.wait(30)
        server.stderr.close()
        drain.wait(30)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One for all that needs a notebook server: they come one after the other."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serve(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="package")
def jupyterlab(browser: Browser, server: Server) -> Lab:
    page = patient_page(browser)
    page.goto(f"{server.url}/lab?token={TOKEN}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")
    return Lab(server, page)


def patient_page(browser: Browser) -> Page:
    """A page for what may take long on a slow machine."""
    page = browser.new_context(viewport={"width": 1300, "height": 1000}).new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    return page


def open_notebook7(browser: Browser, server: Server, name: str, *cells: str) -> Notebook:
    """Open a notebook of these cells in Notebook 7."""
    server.write(name, *cells)
    page = patient_page(browser)
    page.goto(f"{server.url}/notebooks/{name}?token={TOKEN}")
    page.wait_for_function(_CONNECTED, arg=name)
    return Notebook(page)
