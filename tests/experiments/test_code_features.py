"""The printed lines read the latent that they stand for, run as a script."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight

from interp_widgets import FeatureResult, TopKSAE, run_features, teaching
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.views.features import FeatureView
from tests.experiments import zoo
from tests.latents import Sparse

IDS = [5, 9, 13, 22, 31]
TEXT = "When Mary and John went to the store, John gave a drink to"
ALL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "v", "mlp_post", "mlp_in")


def run(code: str, folder: Path, names: Mapping[str, Any]) -> list[float]:
    script = folder / f"latent{len(list(folder.iterdir()))}.py"  # nnsight reads the source of a file once
    script.write_text(code)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script), init_globals=dict(names))
    printed: list[float] = json.loads(out.getvalue())
    return printed


def check(result: FeatureResult, folder: Path, **names: Any) -> None:
    """Each of the columns that were asked for, on the first text."""
    assert result.columns
    for latent, column in result.columns.items():
        printed = run(result.script(latent), folder, names)
        np.testing.assert_allclose(printed, column[: len(printed)], rtol=1e-4, atol=1e-5)
        assert np.abs(printed).max() > 0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_neurons_need_nothing_but_the_model(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    result = run_features(model, IDS, "neurons", layer=1, latents=[0, 5])
    check(result, tmp_path, model=model)
    assert len(run(result.script(5), tmp_path, {"model": model})) == len(IDS)


def test_lines_of_a_plain_model_wrap_it(tmp_path: Path) -> None:
    model = zoo.model("llama")
    check(run_features(model, IDS, "neurons", layer=0, latents=[3]), tmp_path, model=model)


@pytest.mark.parametrize("site", ALL)
@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "opt", "bloom", "gemma2"])
def test_directions_are_read_at_every_site(name: str, site: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    width = run_features(model, IDS, "neurons", layer=1).dictionary.d_in if site == "mlp_post" else None
    if width is None:
        config = zoo.model(name).config
        heads = getattr(config, "num_key_value_heads", None) if site == "v" else None
        heads = heads or config.num_attention_heads
        d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        width = heads * d_head if site in ("z", "q", "v") else config.hidden_size
    directions = torch.randn(3, width, generator=torch.Generator().manual_seed(1))
    result = run_features(model, IDS, directions, site=site, layer=1, latents=[0, 2])
    check(result, tmp_path, model=model, directions=directions)


def test_directions_come_as_arrays_and_alone(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    one = np.random.default_rng(0).normal(size=zoo.model("gpt2").config.hidden_size)
    one.setflags(write=False)
    check(run_features(model, IDS, one, layer=0, latents=0), tmp_path, model=model, directions=one)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_dictionary_is_called_by_its_own_name(name: str, tmp_path: Path) -> None:
    model = NNsight(zoo.model(name))
    sae = Sparse(d=zoo.model(name).config.hidden_size, k=None, place=Place("resid_mid", 1))
    result = run_features(model, IDS, sae, latents=[4, 7, 50], fit=False)
    check(replace(result, columns={n: c for n, c in result.columns.items() if c.any()}), tmp_path, model=model, sae=sae)


class Half(torch.nn.Module):
    """A sparse autoencoder of somebody's own, in half precision."""

    def __init__(self, d: int) -> None:
        super().__init__()
        weight = torch.randn(2 * d, d, generator=torch.Generator().manual_seed(0)) / d**0.5
        self.weight = torch.nn.Parameter(weight.bfloat16())

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.weight.T).relu()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents @ self.weight


def test_an_object_gets_activations_of_its_own_type(tmp_path: Path) -> None:
    model = NNsight(zoo.model("gpt2"))
    sae = Half(zoo.model("gpt2").config.hidden_size)
    result = run_features(model, IDS, sae, site="resid_post", layer=0, latents=[3, 4, 5], fit=False)
    check(replace(result, columns={n: c for n, c in result.columns.items() if c.any()}), tmp_path, model=model, sae=sae)


def test_the_bundled_dictionary_on_text(tmp_path: Path) -> None:
    model, sae = teaching.load(), teaching.sae()
    result = run_features(model, [TEXT, "Then Tom had a day"], sae, fit=False)
    with FeatureView(result) as view:
        leading = view._shown()
        printed = run(view.code(), tmp_path, {"model": model, "sae": sae})
        np.testing.assert_allclose(printed, result.column(leading)[: len(result.texts[0])], rtol=1e-4, atol=1e-5)
        other = next(latent for latent, _ in result.ranked("mean") if latent != leading)
        view.selected = {"latent": other, "token": None}
        assert view.code() == result.script(other) != result.script(leading)
        with pytest.raises(SelectionError, match="There is no latent 1024"):
            view.code(1024)
    assert "# The first of the 2 texts.\n" in result.code


def test_a_folder_is_loaded_by_the_user(tmp_path: Path) -> None:
    model, sae = teaching.load(), teaching.sae()
    folder = tmp_path / "saved"
    sae.save(folder)
    result = run_features(model, TEXT, folder, fit=False)
    leading = result.ranked("max", 1)[0][0]
    printed = run(result.script(leading), tmp_path, {"model": model, "sae": TopKSAE.load(folder)})
    np.testing.assert_allclose(printed, result.column(leading), rtol=1e-4, atol=1e-5)
    assert str(tmp_path) not in result.code


def test_of_a_long_text_the_first_window_is_read(tmp_path: Path) -> None:
    model = teaching.load()
    result = run_features(model, " ".join([TEXT] * 8), "neurons", layer=1, latents=[7])
    assert result.n_tokens > 64
    printed = run(result.script(7), tmp_path, {"model": model})
    assert len(printed) == 64
    np.testing.assert_allclose(printed, result.column(7)[:64], rtol=1e-4, atol=1e-5)
    assert "# The first 64 tokens of the text.\n" in result.code


def test_a_result_keeps_its_lines_and_does_without(tmp_path: Path) -> None:
    result = run_features(teaching.load(), TEXT, "neurons", layer=1)
    result.save(tmp_path / "new.safetensors")
    assert FeatureResult.load(tmp_path / "new.safetensors").code == result.code
    header, arrays = result._contents()
    old = FeatureResult._of_contents({name: value for name, value in header.items() if name != "code"}, arrays)
    assert old == replace(result, code="")
    with pytest.raises(ResultError, match="There are no lines for neurons of layer 1"):
        old.script(0)
