"""Dictionaries of EleutherAI's sparsify, against a formula in numpy and the library itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.opening import open_dictionary
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, SelectionError
from tests.experiments import zoo
from tests.models.dictionaries.libraries import imported
from tests.models.dictionaries.made import D_IN, N_LATENTS, Array, K, activations, write

CONFIGS: dict[str, dict[str, Any]] = {
    "topk": {"activation": "topk"},
    "groupmax": {"activation": "groupmax"},
    "transcoder": {"activation": "topk", "transcode": True},
    "transcoder that skips": {"activation": "topk", "transcode": True, "skip_connection": True},
}
named = pytest.mark.parametrize("kind", CONFIGS)


@pytest.fixture(scope="module")
def access() -> Access:
    return resolve(open_model(zoo.model("gpt2")))


def weights(kind: str) -> dict[str, Array]:
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> Array:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    found = {
        "encoder.weight": normal(N_LATENTS, D_IN),
        "encoder.bias": normal(N_LATENTS),
        "W_dec": normal(N_LATENTS, D_IN),
        "b_dec": normal(D_IN),
    }
    return found | ({"W_skip": normal(D_IN, D_IN)} if CONFIGS[kind].get("skip_connection") else {})


def folder(root: Path, kind: str, hook: str = "h.1.mlp", **config: Any) -> Path:
    said = {"d_in": D_IN, "k": K, "num_latents": N_LATENTS, "expansion_factor": 32, **CONFIGS[kind], **config}
    return write(root / hook, said, weights(kind), "sae.safetensors")


def by_formula(kind: str, x: Array) -> tuple[Array, Array]:
    w, config = weights(kind), CONFIGS[kind]
    entering = x if config.get("transcode") else x - w["b_dec"]
    pre = np.maximum(entering @ w["encoder.weight"].T + w["encoder.bias"], 0)
    if config["activation"] == "topk":
        latents = np.where(pre >= np.sort(pre, axis=-1)[..., -K, None], pre, 0)
    else:
        groups = pre.reshape(*pre.shape[:-1], K, -1)
        latents = np.where(groups == groups.max(-1, keepdims=True), groups, 0).reshape(pre.shape)
    return latents, latents @ w["W_dec"] + w["b_dec"] + (x @ w["W_skip"].T if "W_skip" in w else 0)


def close(found: torch.Tensor, wanted: Any) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted), rtol=1e-5, atol=1e-5)


@named
def test_latents_and_reconstruction_are_those_of_the_formula(kind: str, access: Access, tmp_path: Path) -> None:
    opened, x = open_dictionary(folder(tmp_path, kind), access), activations()
    latents, reconstruction = by_formula(kind, x)
    close(opened.encode(torch.from_numpy(x)), latents)
    close(opened.decode(torch.from_numpy(latents), torch.from_numpy(x)), reconstruction)
    some = torch.tensor([5, 0])
    close(opened.encode_some(torch.from_numpy(x), some), latents[..., [5, 0]])


@named
def test_latents_and_reconstruction_are_those_of_the_library(
    kind: str, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSIFY_DISABLE_TRITON", "1")
    sparsify = imported("sparsify")
    where = folder(tmp_path, kind)
    coder = sparsify.SparseCoder.load_from_disk(where)
    x = torch.from_numpy(activations())
    with torch.no_grad():
        top = coder.encode(x.flatten(0, 1))
        latents = torch.zeros(10, N_LATENTS).scatter_(1, top.top_indices, top.top_acts).reshape(2, 5, -1)
        reconstruction = coder(x.flatten(0, 1)).sae_out.reshape(x.shape)
    site = "mlp_in" if CONFIGS[kind].get("transcode") else "mlp_out"
    for opened in (open_dictionary(where, access), open_dictionary(coder, access, site=site, layer=1)):
        assert opened.info.reads == Place(site, 1)  # type: ignore[arg-type]
        close(opened.encode(x), latents)
        close(opened.decode(latents, x), reconstruction)


@pytest.mark.parametrize(
    ("kind", "hook", "reads", "writes"),
    [
        ("topk", "h.2", Place("resid_post", 2), Place("resid_post", 2)),
        ("topk", "h.2.mlp", Place("mlp_out", 2), Place("mlp_out", 2)),
        ("topk", "h.0.attn", Place("attn_out", 0), Place("attn_out", 0)),
        ("topk", "layers_1", Place("resid_post", 1), Place("resid_post", 1)),
        ("topk", "h.2/seed1", Place("resid_post", 2), Place("resid_post", 2)),
        ("transcoder", "h.2.mlp", Place("mlp_in", 2), Place("mlp_out", 2)),
        ("transcoder", "h.2", Place("resid_pre", 2), Place("resid_post", 2)),
    ],
)
def test_the_folder_is_named_by_the_module(
    kind: str, hook: str, reads: Place, writes: Place, access: Access, tmp_path: Path
) -> None:
    info = open_dictionary(folder(tmp_path, kind, hook), access).info
    assert (info.reads, info.writes) == (reads, writes)
    assert info.kind == ("transcoder" if kind == "transcoder" else "sae")


def test_a_folder_of_many_layers_is_opened_by_the_layer(access: Access, tmp_path: Path) -> None:
    for layer in range(3):
        folder(tmp_path, "topk", f"h.{layer}")
    assert open_dictionary(tmp_path, access, layer=2).info.reads == Place("resid_post", 2)
    with pytest.raises(FeatureError, match=r"holds 3 dictionaries\. Pass the folder of one: h\.0, h\.1, h\.2\."):
        open_dictionary(tmp_path, access)
    with pytest.raises(FeatureError, match=r"holds 0 dictionaries of layer 7\. Pass the folder of one: h\.0, h\.1"):
        open_dictionary(tmp_path, access, layer=7)
    folder(tmp_path, "topk", "h.2.mlp")
    with pytest.raises(FeatureError, match=r"holds 2 dictionaries of layer 2\. .*: h\.2, h\.2\.mlp"):
        open_dictionary(tmp_path, access, layer=2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"k": 0}, r"k=0 for 48 latents"),
        ({"activation": "softmax"}, r"activation 'softmax'; known are 'topk'"),
        ({"signed": True}, "signed latents"),
    ],
)
def test_configs_that_are_not_understood(config: Any, message: str, access: Access, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=message):
        open_dictionary(folder(tmp_path, "topk", **config), access)


def test_weights_of_another_format(access: Access, tmp_path: Path) -> None:
    where = write(tmp_path / "h.1", {"d_in": D_IN, "k": K}, {"W_enc": weights("topk")["W_dec"]}, "sae.safetensors")
    with pytest.raises(FeatureError, match=r"not in sparsify's format, which has encoder\.weight, .* It has W_enc\."):
        open_dictionary(where, access)


def test_a_module_inside_the_mlp_is_no_site(access: Access, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"h\.1\.mlp\.act, and what is there is none of the sites"):
        open_dictionary(folder(tmp_path, "topk", "h.1.mlp.act"), access)


def test_a_folder_of_no_layer_needs_a_place(access: Access, tmp_path: Path) -> None:
    where = folder(tmp_path, "transcoder", "mine")
    with pytest.raises(SelectionError, match=r"where mine are read\. Say it with site= and layer="):
        open_dictionary(where, access)
    info = open_dictionary(where, access, site="mlp_in", layer=0).info
    assert (info.reads, info.writes) == (Place("mlp_in", 0), Place("mlp_out", 0))
