"""Draw the pictures of the README: the real view on the bundled model, photographed in Chromium, light and dark.

python tools/figures.py
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from interp_widgets import AttentionView, PatchingGrid, show_attention, show_patching, teaching

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "examples" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    views = {"patching": facts(), "heads": heads(), "pattern": pattern()}
    TARGET.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, view in views.items():
            page_file = view.to_html(Path(folder) / f"{name}.html")
            for scheme in ("light", "dark"):
                photograph(browser, page_file, scheme, TARGET / f"{name}-{scheme}.png")
        browser.close()
    for picture in sorted(TARGET.glob("*.png")):
        print(picture.relative_to(ROOT))


def facts() -> PatchingGrid:
    """Where a fact is looked up: the stream and what is added to it, by token."""
    pair = teaching.prompts("facts")[0]
    view = show_patching(
        teaching.load(),
        pair.clean,
        pair.corrupt,
        answer=pair.answer,
        wrong_answer=pair.wrong_answer,
        sites=("resid_pre", "attn_out", "mlp_out"),
    )
    # The last token of the subject, where the fact is looked up.
    view.selected = {"site": "resid_pre", "layer": 1, "pos": pair.roles["subject_last"][0]}
    return view


def heads() -> PatchingGrid:
    """Which heads find the indirect object, and by what they read and hand on."""
    pairs = teaching.prompts("ioi", n=8)
    view = show_patching(
        teaching.load(),
        [pair.clean for pair in pairs],
        [pair.corrupt for pair in pairs],
        answer=[pair.answer for pair in pairs],
        wrong_answer=[pair.wrong_answer for pair in pairs],
        sites=("z", "q", "k", "v"),
    )
    view.selected = view.result.strongest()
    return view


def pattern() -> AttentionView:
    """Where the head looks that finds the name which comes a second time."""
    pair = teaching.prompts("ioi")[0]
    view = show_attention(teaching.load(), pair.clean, answer=pair.answer, wrong_answer=pair.wrong_answer)
    assert view.result.complete
    view.selected = {"layer": 0, "head": 1, "pos": len(view.result.tokens()) - 1}
    return view


def photograph(browser: Browser, page_file: Path, scheme: Literal["light", "dark"], target: Path) -> None:
    context = browser.new_context(
        viewport={"width": 1180, "height": 300}, device_scale_factor=2, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_selector(".iw-view[data-ready=true]")
    page.locator("body").screenshot(path=target)
    context.close()


if __name__ == "__main__":
    main()
