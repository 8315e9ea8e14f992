"""Make the project's own environment on a bare machine. Standard library only; run it with the system's Python.

    python3 tools/setup.py demo     what the notebooks need
    python3 tools/setup.py test     ... and what the tests need: Chromium, Node, linters

Everything lands in `.venv` (or in $VENV), Chromium apart, which is taken from the system or from its package manager.
A torch that is already in the environment is left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("VENV", ROOT / ".venv")).absolute()
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
TORCH = "torch>=2.4"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main(purpose: str) -> None:
    if sys.version_info < (3, 10):  # noqa: UP036 - this file runs before anything has checked the version
        raise SystemExit(f"Python 3.10 or later is needed; this is {sys.version.split()[0]}")
    make_environment()
    install_torch()
    say("installing the package and what it needs")
    wanted = ["-e", f"{ROOT}[notebook]"]
    if purpose == "test":
        wanted += ["--group", f"{ROOT / 'pyproject.toml'}:test", "--group", f"{ROOT / 'pyproject.toml'}:check"]
    install(*wanted)
    if purpose == "test":
        install_chromium()


def make_environment() -> None:
    if not PYTHON.exists():
        say(f"making the environment {VENV}")
        if run([sys.executable, "-m", "venv", VENV], quiet=True):
            # Debian ships venv without pip until python3-venv is there.
            shutil.rmtree(VENV, ignore_errors=True)
            apt("python3-venv")
            must([sys.executable, "-m", "venv", VENV])
    if not (BIN / "uv").exists():
        must([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv>=0.7"])


def install_torch() -> None:
    """Prefer what is there, then a wheel that this machine's pip keeps locally, then a build for this machine."""
    if not run([PYTHON, "-c", "import torch"], quiet=True):
        return
    say("installing torch")
    local = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", TORCH]
    if not run(local, quiet=True):
        return
    # `auto` means the CPU build where there is no GPU: megabytes instead of gigabytes.
    if not run(uv_command("install", "--quiet", "--torch-backend=auto", TORCH)):
        return
    say("no build for this machine could be had; taking the default one, which may be large")
    install(TORCH)


def install_chromium() -> None:
    if os.environ.get("CHROMIUM") or any(shutil.which(name) for name in BROWSERS):
        return
    say("installing Chromium for the browser tests")
    if shutil.which("apt-get") and not apt("chromium", optional=True):
        return
    must([PYTHON, "-m", "playwright", "install", "--with-deps", "chromium"])


def apt(package: str, *, optional: bool = False) -> int:
    """Install a Debian package as root or through sudo; returns an exit code."""
    admin = [] if getattr(os, "geteuid", lambda: 1)() == 0 else ["sudo", "-n"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    code = 1
    if shutil.which("apt-get") and (not admin or shutil.which("sudo")):
        run([*admin, "apt-get", "update", "-qq"], quiet=True, env=environment)
        code = run([*admin, "apt-get", "install", "-y", "-qq", package], quiet=True, env=environment)
    if code and not optional:
        raise SystemExit(f"please install {package} with your system's package manager, then run this again")
    return code


def uv_command(verb: str, *arguments: str) -> list[str | Path]:
    return [BIN / "uv", "pip", verb, "--python", PYTHON, *arguments]


def install(*arguments: str) -> None:
    """With uv, which takes seconds; where it cannot reach what pip reaches, with pip."""
    if run(uv_command("install", "--quiet", *arguments)):
        say("uv failed; installing with pip, which takes minutes")
        must([PYTHON, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1"])
        must([PYTHON, "-m", "pip", "install", "--quiet", *arguments])


def must(command: list[str | Path]) -> None:
    if code := run(command):
        raise SystemExit(f"{' '.join(map(str, command))} failed with exit code {code}")


def run(command: list[str | Path], *, quiet: bool = False, env: dict[str, str] | None = None) -> int:
    sink = subprocess.DEVNULL if quiet else None
    # uv brings certificates of its own; the machine's are the ones that pip and apt trust.
    env = {"UV_SYSTEM_CERTS": "1", **(env or os.environ)}
    return subprocess.run([str(part) for part in command], cwd=ROOT, stdout=sink, stderr=sink, env=env).returncode


def say(text: str) -> None:
    print(f"- {text}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("demo", "test"):
        raise SystemExit(__doc__)
    main(sys.argv[1])
