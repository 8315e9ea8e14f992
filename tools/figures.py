"""Draw the pictures of the README: the real view on the bundled model, photographed in Chromium, light and dark.

python tools/figures.py
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from interp_widgets import show_patching, teaching

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "examples" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
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
    TARGET.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = view.to_html(Path(folder) / "view.html")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": 1180, "height": 700}, device_scale_factor=2, color_scheme=scheme, offline=True
            )
            page = context.new_page()
            page.goto(page_file.as_uri())
            page.wait_for_selector(".iw-view[data-ready=true]")
            page.locator("body").screenshot(path=TARGET / f"patching-{scheme}.png")
            context.close()
        browser.close()
    for picture in sorted(TARGET.glob("*.png")):
        print(picture.relative_to(ROOT))


if __name__ == "__main__":
    main()
