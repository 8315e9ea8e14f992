"""Exported pages in Chromium with the network off: a request or a script error anywhere fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request

from interp_widgets.results.patching import PatchingResult
from interp_widgets.views.patching_grid import PatchingGrid
from tests import made

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"

Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a file as a reader would who has no network."""
    contexts = []
    faults: list[str] = []

    def watch(request: Request) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            faults.append(f"request to {request.url}")

    def open_page(path: Path, *, width: int = 1200, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, accept_downloads=True
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("request", watch)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def open_grid(open_page: Opener, tmp_path: Path) -> Opener:
    """Export a result as a page and open it."""

    def open_grid(
        result: PatchingResult | None = None, *, width: int = 1200, scheme: str = "light", **state: object
    ) -> Page:
        view = PatchingGrid(result or made.result())
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "view.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_grid


def save(page: Page, action: str) -> bytes:
    """Press a button that saves, and return the file."""
    with page.expect_download() as download:
        page.locator(f"[data-action={action}]").click()
    return download.value.path().read_bytes()


class Grid:
    """A panel on a page: where its cells are, and what colour they have."""

    def __init__(self, page: Page, site: str = "resid_pre", root: str = ".iw-view") -> None:
        self.canvas = page.locator(f"{root} canvas.iw-cells[data-site={site}]").first
        self.data = {
            name: float(value)
            for name, value in self.canvas.evaluate("c => ({...c.dataset})").items()
            if name != "site"
        }

    def spot(self, layer: int, pos: int) -> dict[str, float]:
        """The middle of a cell, in CSS pixels from the canvas's corner."""
        return {
            "x": self.data["x0"] + (pos + 0.5) * self.data["cellW"],
            "y": self.data["y0"] - (layer + 0.5) * self.data["cellH"],
        }

    def color(self, layer: int, pos: int) -> tuple[int, int, int]:
        """The drawn colour of a cell, a little off its middle, where a mark may sit."""
        spot = self.spot(layer, pos)
        scale = "c.width / c.getBoundingClientRect().width"
        pixel = self.canvas.evaluate(
            f"(c, s) => [...c.getContext('2d').getImageData((s.x - 3) * {scale}, (s.y + 3) * {scale}, 1, 1).data]", spot
        )
        return tuple(pixel[:3])

    def hover(self, layer: int, pos: int) -> None:
        self.canvas.hover(position=self.spot(layer, pos))

    def click(self, layer: int, pos: int) -> None:
        self.canvas.click(position=self.spot(layer, pos))


def violations(page: Page) -> list[str]:
    """What axe finds wrong, one line each."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    return [f"{item['id']}: {item['help']} ({item['nodes'][0]['html'][:160]})" for item in found]
