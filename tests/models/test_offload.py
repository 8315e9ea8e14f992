"""Models whose weights lie partly on disk, as accelerate leaves them where memory is short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interp_widgets.experiments.patching import run_patching
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.results.errors import ModelError
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
SITES = ("resid_pre", "resid_mid", "attn_out", "mlp_out")

# Accelerate tells of what it does on stderr and through a warning of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*offload.*")


def offloaded(name: str, folder: Path, on_disk: tuple[str, ...]) -> Any:
    """A family's model with some modules on disk and the rest in memory."""
    whole = zoo.build(name)
    whole.save_pretrained(folder)
    path = zoo.FAMILIES[name].blocks
    stem = path.rpartition(".")[0]
    modules = [
        f"{stem}.{child}" for child, _ in whole.get_submodule(stem).named_children() if f"{stem}.{child}" != path
    ]
    modules += [f"{path}.{number}" for number in range(len(whole.get_submodule(path)))] + ["lm_head"]
    places = {module: "disk" if module.endswith(on_disk) else "cpu" for module in modules}
    made = type(whole).from_pretrained(folder, device_map=places, offload_folder=folder / "disk").eval()
    assert any(parameter.is_meta for parameter in made.parameters())
    return made


@pytest.mark.parametrize(
    ("name", "on_disk"),
    [("gpt2", ("h.1", "h.2")), ("llama", ("layers.0", "layers.2", "norm")), ("gpt_neox", ("layers.1",))],
)
@pytest.mark.parametrize("max_rows", [None, 3])
def test_a_model_partly_on_disk_gives_the_same_grid(
    name: str, on_disk: tuple[str, ...], max_rows: int | None, tmp_path: Path
) -> None:
    whole = zoo.model(name)
    sites = tuple(site for site in SITES if site != "resid_mid" or not zoo.FAMILIES[name].parallel)
    arguments: dict[str, Any] = {"sites": sites, "answer": 11, "wrong_answer": 27, "max_rows": max_rows}
    expected = run_patching(whole, CLEAN, CORRUPT, **arguments)
    model = offloaded(name, tmp_path, on_disk)

    found = run_patching(model, CLEAN, CORRUPT, **arguments)

    np.testing.assert_allclose(found.value(), expected.value(), atol=1e-5)
    assert found.provenance.fingerprint == fingerprint(whole)
    assert any(parameter.is_meta for parameter in model.parameters())  # what was loaded is let go again


def test_a_token_embedding_on_disk_is_refused(tmp_path: Path) -> None:
    model = offloaded("gpt_neox", tmp_path, ("embed_in",))
    with pytest.raises(ModelError, match="keeps its token embedding on disk"):
        run_patching(model, CLEAN, CORRUPT)
