"""Gemma Scope's formats: JumpReLU in a file without a config, and in one with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.opening import open_dictionary
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, SelectionError
from tests.experiments import zoo
from tests.models.dictionaries.made import D_IN, N_LATENTS, Array, activations


@pytest.fixture(scope="module")
def access() -> Access:
    return resolve(open_model(zoo.model("gemma2")))


@pytest.fixture(scope="module")
def gain(access: Access) -> Array:
    """What the norm before the MLP of layer 1 multiplies by, by Gemma's definition."""
    found: Array = 1 + access.anatomy.blocks[1].pre_feedforward_layernorm.weight.detach().numpy()
    return found


def weights() -> dict[str, Array]:
    rng = np.random.default_rng(5)
    shapes = {"W_enc": (D_IN, N_LATENTS), "W_dec": (N_LATENTS, D_IN), "b_enc": (N_LATENTS,), "b_dec": (D_IN,)}
    found = {key: rng.normal(0, 0.3, shape).astype(np.float32) for key, shape in shapes.items()}
    return found | {"threshold": np.abs(rng.normal(0, 1, N_LATENTS)).astype(np.float32)}


def npz(folder: Path, **other: Any) -> Path:
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **(weights() | other))
    return folder


def second(folder: Path, config: dict[str, Any], **other: Array) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu"} | config))
    tensors = {key.lower(): value for key, value in (weights() | other).items()}
    save_file({key: torch.from_numpy(value) for key, value in tensors.items()}, folder / "params.safetensors")
    return folder


def by_formula(x: Array) -> tuple[Array, Array]:
    w = weights()
    pre = x @ w["W_enc"] + w["b_enc"]
    latents = np.where(pre > w["threshold"], np.maximum(pre, 0), 0)
    return latents, latents @ w["W_dec"] + w["b_dec"]


def close(found: torch.Tensor, wanted: Any) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("release", "site"), [("res", "resid_post"), ("mlp", "mlp_out"), ("att", "z"), ("res-canonical", "resid_post")]
)
def test_folders_name_the_place(release: str, site: Any, access: Access, tmp_path: Path) -> None:
    folder = npz(tmp_path / f"gemma-scope-2b-pt-{release}" / "layer_1" / "width_16k" / "average_l0_71")
    opened, x = open_dictionary(folder, access), activations()
    assert (opened.info.reads, opened.info.writes) == (Place(site, 1), Place(site, 1))
    assert opened.info.name == f"gemma-scope-2b-pt-{release}/layer_1/width_16k/average_l0_71"
    latents, reconstruction = by_formula(x)
    close(opened.encode(torch.from_numpy(x)), latents)
    close(opened.decode(torch.from_numpy(latents), torch.from_numpy(x)), reconstruction)


def test_the_hubs_cache_names_the_place(access: Access, tmp_path: Path) -> None:
    cache = tmp_path / "models--google--gemma-scope-2b-pt-mlp" / "snapshots" / "fd571b4"
    info = open_dictionary(npz(cache / "layer_1" / "width_16k" / "average_l0_71"), access).info
    assert info.reads == Place("mlp_out", 1)
    assert info.name == "gemma-scope-2b-pt-mlp/layer_1/width_16k/average_l0_71"


def test_transcoders_read_before_the_gain_and_write_after_the_norm(access: Access, gain: Array, tmp_path: Path) -> None:
    """As the Gemma Scope paper says: the gain was folded into the MLP's weights before training."""
    folder = npz(tmp_path / "gemma-scope-2b-pt-transcoders" / "layer_1" / "width_16k" / "average_l0_71")
    opened, x = open_dictionary(folder, access), activations()
    assert (opened.info.kind, opened.info.reads, opened.info.writes) == (
        "transcoder",
        Place("mlp_in", 1),
        Place("mlp_out", 1),
    )
    latents, reconstruction = by_formula(x)
    close(opened.encode(torch.from_numpy(x * gain)), latents)
    close(opened.decode(torch.from_numpy(latents), torch.from_numpy(x * gain)), reconstruction)


def test_a_release_is_opened_by_the_layer(access: Access, tmp_path: Path) -> None:
    root = tmp_path / "gemma-scope-2b-pt-res"
    for layer in (0, 1, 2):
        npz(root / f"layer_{layer}" / "width_16k" / "average_l0_71")
    assert open_dictionary(root, access, layer=2).info.reads == Place("resid_post", 2)
    npz(root / "layer_2" / "width_16k" / "average_l0_20")
    with pytest.raises(FeatureError, match=r"layer_2/width_16k/average_l0_20, layer_2/width_16k/average_l0_71"):
        open_dictionary(root, access, layer=2)


def test_a_renamed_folder_needs_a_place(access: Access, tmp_path: Path) -> None:
    folder = npz(tmp_path / "mine")
    with pytest.raises(SelectionError, match=r"where mine are read\. Say it with site= and layer="):
        open_dictionary(folder / "params.npz", access)
    assert open_dictionary(folder, access, site="resid_pre", layer=2).info.reads == Place("resid_pre", 2)


@pytest.mark.parametrize(
    ("point", "out", "reads", "writes"),
    [
        ("model.layers.1.output", None, Place("resid_post", 1), Place("resid_post", 1)),
        ("model.layers.1.self_attn.o_proj.input", None, Place("z", 1), Place("z", 1)),
        ("model.layers.1.post_feedforward_layernorm.output", None, Place("mlp_out", 1), Place("mlp_out", 1)),
        (
            "model.layers.1.pre_feedforward_layernorm.output",
            "model.layers.1.post_feedforward_layernorm.output",
            Place("mlp_in", 1),
            Place("mlp_out", 1),
        ),
    ],
)
def test_the_second_release_names_modules(
    point: str, out: str | None, reads: Place, writes: Place, access: Access, tmp_path: Path
) -> None:
    config = {"hf_hook_point_in": point} | ({"hf_hook_point_out": out} if out else {})
    opened = open_dictionary(second(tmp_path / "layer_1_width_16k_l0_medium", config), access)
    x = activations()
    assert (opened.info.reads, opened.info.writes) == (reads, writes)
    latents, reconstruction = by_formula(x)  # of what is after the gain, unlike the first release
    close(opened.encode(torch.from_numpy(x)), latents)
    close(opened.decode(torch.from_numpy(latents), torch.from_numpy(x)), reconstruction)


def test_affine_transcoders_add_a_product_with_their_input(access: Access, tmp_path: Path) -> None:
    affine = np.random.default_rng(6).normal(0, 0.3, (D_IN, D_IN)).astype(np.float32)
    config = {
        "hf_hook_point_in": "model.layers.1.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.1.post_feedforward_layernorm.output",
    }
    opened, x = open_dictionary(second(tmp_path / "a", config, affine_skip_connection=affine), access), activations()
    latents, reconstruction = by_formula(x)
    close(opened.decode(torch.from_numpy(latents), torch.from_numpy(x)), reconstruction + x @ affine)


def test_weights_of_another_format(access: Access, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"not in Gemma Scope's format, which has w_enc, .* It has .* scale\."):
        open_dictionary(npz(tmp_path / "a", scale=np.ones(3)), access, site="resid_post", layer=1)
    across = np.zeros((N_LATENTS, 3, D_IN), np.float32)
    folder = second(tmp_path / "b", {"hf_hook_point_in": "model.layers.1.output"}, W_dec=across)
    with pytest.raises(FeatureError, match=r"shape \(48, 3, 32\): a transcoder across layers is not supported"):
        open_dictionary(folder, access)
    folder = second(tmp_path / "c", {"architecture": "topk"})
    with pytest.raises(FeatureError, match="architecture 'topk'; Gemma Scope 2's is jump_relu"):
        open_dictionary(folder, access)
