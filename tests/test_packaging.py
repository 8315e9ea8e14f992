"""The package as others get it: light to import, complete in the wheel, one stem for each view on both sides."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import interp_widgets

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "interp_widgets"


def stems(folder: Path, pattern: str) -> set[str]:
    return {path.stem for path in folder.glob(pattern) if not path.stem.startswith("_")}


VIEWS = stems(PACKAGE / "views", "*.py")


def test_each_view_has_a_page_a_bundle_and_a_test():
    assert VIEWS
    assert stems(ROOT / "js" / "src" / "views", "*.ts") == VIEWS
    assert stems(PACKAGE / "static", "*.js") - {"host"} == VIEWS
    assert {f"test_{stem}" for stem in VIEWS} <= stems(ROOT / "tests" / "views", "*.py")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, interp_widgets; dir(interp_widgets); "
        "print([name for name in ('torch', 'numpy', 'nnsight', 'transformers', 'ipywidgets', 'matplotlib', 'pandas') "
        "if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_showing_a_saved_result_needs_no_torch(tmp_path):
    from tests import made

    made.result().save(tmp_path / "result.safetensors")
    code = (
        "import sys; from interp_widgets import PatchingGrid, PatchingResult; "
        f"view = PatchingGrid(PatchingResult.load({str(tmp_path / 'result.safetensors')!r})); "
        f"view.to_html({str(tmp_path / 'view.html')!r}); print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.strip() == "False"
    assert (tmp_path / "view.html").stat().st_size > 10_000


def test_every_public_name_loads_and_an_unknown_one_is_named():
    for name in interp_widgets.__all__:
        assert getattr(interp_widgets, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'show_everything'"):
        interp_widgets.show_everything  # noqa: B018


def test_the_wheel_holds_the_bundles_the_model_and_the_types(tmp_path):
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        str(ROOT),
        "-w",
        str(tmp_path),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        data = [
            path for path in (PACKAGE / "teaching").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
        ]
        for source in [*PACKAGE.glob("static/*.js"), *data, PACKAGE / "py.typed"]:
            name = source.relative_to(ROOT).as_posix()
            assert name in names, f"{name} is missing from the wheel"
            assert archive.read(name) == source.read_bytes()
        teaching = sum(
            item.file_size for item in archive.infolist() if item.filename.startswith("interp_widgets/teaching/")
        )
    assert teaching <= 5_000_000
    assert not {name for name in names if name.startswith(("js/", "tests/"))}
