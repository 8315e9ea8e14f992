"""What readers copy runs: the notebooks, the README's lines, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in (ROOT / "interp_widgets").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_views_are_complete(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "notebooks are kept without outputs"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    views = [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    assert views
    for view in views:
        assert "image/png" in view["data"], "a view whose work was done has a picture"
        assert "done" in view["data"]["text/plain"]
    noise = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert not noise


def test_the_first_example_begins_with_the_main_job():
    first = next(cell for cell in nbformat.read(NOTEBOOKS[0], as_version=4).cells if cell.cell_type == "code")
    assert "show_patching(model, clean, corrupt)" in first.source
    assert "teaching.load()" in first.source


def test_the_lines_of_the_readme_run(tmp_path):
    """The first block as it is; of the others, those that need nothing but the bundled model."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    own = [block for block in blocks if "path/to/model" not in block]
    assert len(own) >= 2
    script = tmp_path / "readme.py"
    script.write_text("\n".join(own) + "\nassert view.result.complete\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_lines_of_the_readme_about_your_own_model_run(tmp_path):
    from transformers import PreTrainedTokenizerFast

    from interp_widgets import show_patching, teaching

    model = teaching.load()
    hf_model, tokenizer = model._module, model.tokenizer
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    hf_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [part for part in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "path/to/model" in part]
    names = {
        "model": model,
        "hf_model": hf_model,
        "tokenizer": tokenizer,
        "show_patching": show_patching,
        "clean": "When Mary and John went to the store, John gave a drink to",
        "corrupt": "When Mary and John went to the store, Mary gave a drink to",
    }
    exec(block.replace("path/to/model", str(tmp_path)), names)


def test_papermill_and_nbconvert_leave_complete_outputs(tmp_path):
    code = "from interp_widgets import PatchingGrid\nfrom tests import made\nPatchingGrid(made.steps(made.result()))"
    source, executed = tmp_path / "source.ipynb", tmp_path / "executed.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, source)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # the notebook uses the tests' hand-made results
    run = partial(subprocess.run, check=True, capture_output=True, env=environment)
    run([sys.executable, "-m", "papermill", source, executed])
    run([sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(source)])
    for path in (source, executed):
        (cell,) = [cell for cell in nbformat.read(path, as_version=4).cells if cell.source == code]
        (output,) = cell.outputs
        assert "done" in output["data"]["text/plain"]
        assert "image/png" in output["data"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert outcome.attempted
    assert not outcome.failed
