"""What all tests share: how they are spread over workers, Chromium, a trained English model, one thread for torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


# Kernels and servers that tests start take it over from here: as many workers as cores, each with as many threads as
# cores, would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
# No test looks for a model on the network, nor waits until that has failed a few times.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Parallel workers take a file at a time, so that its fixtures are made once; one takes all that needs JupyterLab.

    Examples share nothing and are long: each goes where there is room. What takes longest is begun first.
    """
    items.sort(key=lambda item: (item.path.parent.name != "lab", item.path.name != "test_examples.py"))
    for item in items:
        if item.path.name != "test_examples.py":
            group = "lab" if item.path.parent.name == "lab" else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, headless: the system's own, else the one that Playwright installed."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each module: while it is open Playwright runs an event loop, and tests elsewhere start their own."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: tiny models lose more to waiting for each other than they gain, and figures must not depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def story_model() -> Path:
    """A model that writes English stories, where this checkout has one beside it."""
    folder = Path(__file__).parents[2] / "shared" / "models" / "stories260K"
    if not folder.exists():
        pytest.skip("no English model beside this checkout")
    return folder
