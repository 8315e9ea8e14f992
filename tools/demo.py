"""Open an example in JupyterLab; where there is no display, execute it and write it as one page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(notebook: Path) -> None:
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        as_root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        subprocess.run([sys.executable, "-m", "jupyter", "lab", *as_root, str(notebook)], cwd=ROOT, check=False)
        return
    target = ROOT / "dist" / notebook.with_suffix(".html").name
    target.parent.mkdir(exist_ok=True)
    print(f"No display here: executing {notebook.relative_to(ROOT)} ...", flush=True)
    publish = [sys.executable, "-m", "interp_widgets.publish", "--execute", str(notebook), "--output", str(target)]
    if status := subprocess.run(publish, cwd=ROOT, check=False).returncode:
        sys.exit(status)  # it has said why
    print(f"The notebook with its live views, as one page that needs no kernel and no network:\n  {target.as_uri()}")


if __name__ == "__main__":
    main((ROOT / sys.argv[1]).resolve())
