"""Dictionaries of SAELens, against formulas in numpy, the library itself, and what the library once computed."""

from __future__ import annotations

import json
from dataclasses import replace
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
from tests.models.dictionaries import reference
from tests.models.dictionaries.libraries import imported
from tests.models.dictionaries.made import (
    CASES,
    D_HEAD,
    D_IN,
    D_OUT,
    N_HEADS,
    N_LATENTS,
    Array,
    Case,
    activations,
    saelens_folder,
    weights,
    write,
)

REFERENCE = Path(__file__).parent / "saelens_reference.npz"
BY_NAME = {case.name: case for case in CASES}
named = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@pytest.fixture(scope="module")
def access() -> Access:
    return resolve(open_model(zoo.model("gpt2")))


def close(found: torch.Tensor, wanted: Any) -> None:
    wanted = torch.as_tensor(wanted)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted.float(), rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@named
def test_latents_and_reconstruction_are_those_of_the_formulas(case: Case, access: Access, tmp_path: Path) -> None:
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    x, w = activations(), weights(case)
    latents = reference.encode(case, w, x)
    assert 0 < (latents != 0).sum() < latents.size
    found = opened.encode(torch.from_numpy(x))
    close(found, latents)
    close(opened.decode(found, torch.from_numpy(x)), reference.decode(case, w, latents, x))
    assert opened.info.signed == (case.architecture == "abstopk")


@named
def test_latents_and_reconstruction_are_those_that_the_library_computed(
    case: Case, access: Access, tmp_path: Path
) -> None:
    """Its results are kept in a file, made by make_reference.py, for where it is not installed."""
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    x = torch.from_numpy(activations())
    with np.load(REFERENCE) as kept:
        close(opened.encode(x), kept[f"{case.name}: latents"])
        close(opened.decode(opened.encode(x), x), kept[f"{case.name}: reconstruction"])


@named
def test_latents_and_reconstruction_are_those_of_the_library(case: Case, access: Access, tmp_path: Path) -> None:
    from tests.models.dictionaries.make_reference import computed, loaded

    sae = loaded(imported("sae_lens"), case, tmp_path / "saved")
    x = torch.from_numpy(activations())
    latents, reconstruction = computed(sae, case, x)
    for opened in (open_dictionary(saelens_folder(tmp_path / "here", case), access), open_dictionary(sae, access)):
        close(opened.encode(x), latents)
        close(opened.decode(opened.encode(x), x), reconstruction)


@named
def test_single_latents_are_those_of_all(case: Case, access: Access, tmp_path: Path) -> None:
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    x, some = torch.from_numpy(activations()), torch.tensor([40, 3, 17])
    close(opened.encode_some(x, some), opened.encode(x)[..., some])


@named
def test_moving_a_latent_moves_the_reconstruction_as_decoding_it_does(
    case: Case, access: Access, tmp_path: Path
) -> None:
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    x = torch.from_numpy(activations())
    latents, by = opened.encode(x), torch.linspace(-1, 2, 10).reshape(2, 5)
    changed = latents.clone()
    changed[..., 7] += by
    close(opened.moved(7, by, x), opened.decode(changed, x) - opened.decode(latents, x))


@pytest.mark.parametrize(
    ("hook", "place", "width"),
    [
        ("blocks.2.hook_resid_pre", Place("resid_pre", 2), D_IN),
        ("blocks.2.hook_resid_mid", Place("resid_mid", 2), D_IN),
        ("blocks.0.hook_resid_post", Place("resid_post", 0), D_IN),
        ("blocks.1.hook_attn_out", Place("attn_out", 1), D_IN),
        ("blocks.1.hook_mlp_out", Place("mlp_out", 1), D_IN),
        ("blocks.1.attn.hook_z", Place("z", 1), N_HEADS * D_HEAD),
        ("blocks.1.attn.hook_k", Place("k", 1), N_HEADS * D_HEAD),
        ("blocks.1.mlp.hook_post", Place("mlp_post", 1), 128),
        ("blocks.1.ln2.hook_normalized", Place("mlp_in", 1), D_IN),
        ("transformer.h.2", Place("resid_post", 2), D_IN),
        ("transformer.h.2.mlp", Place("mlp_out", 2), D_IN),
        ("transformer.h.2.attn", Place("attn_out", 2), D_IN),
        ("transformer.h.2.mlp.c_proj.input", Place("mlp_post", 2), 128),
        ("transformer.h.2.attn.c_proj.input", Place("z", 2), D_IN),
        ("transformer.h.2.ln_2.output", Place("mlp_in", 2), D_IN),
        ("transformer.h.2.ln_2", Place("mlp_in", 2), D_IN),
    ],
)
def test_names_of_places(hook: str, place: Place, width: int, access: Access, tmp_path: Path) -> None:
    case = Case("places", "standard", {"d_in": width, "hook_name": hook})
    random = np.random.default_rng(0).normal(size=(width, N_LATENTS)).astype(np.float32)
    found = weights(case) | {"W_enc": random, "W_dec": random.T, "b_dec": random[:, 0]}
    folder = saelens_folder(tmp_path, case)
    write(folder, json.loads((folder / "cfg.json").read_text()), found)
    info = open_dictionary(folder, access).info
    assert (info.reads, info.d_in) == (place, width)
    assert info.writes == place


def test_a_config_of_version_3_has_everything_at_the_top(access: Access, tmp_path: Path) -> None:
    case = Case("topk", "topk", {"k": 6})
    config = {
        "d_in": D_IN,
        "d_sae": N_LATENTS,
        "hook_point": "blocks.1.hook_resid_pre",
        "hook_point_head_index": None,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 6},
        "normalize_activations": False,
        "dtype": "torch.float32",
    }
    scaled = weights(case) | {"scaling_factor": np.ones(N_LATENTS, np.float32)}
    opened = open_dictionary(write(tmp_path, config, scaled), access)
    assert opened.info.reads == Place("resid_pre", 1)
    close(opened.encode(torch.from_numpy(activations())), reference.encode(case, weights(case), activations()))


def test_a_checkpoints_scale_is_folded_into_its_weights(access: Access, tmp_path: Path) -> None:
    case = Case("standard", "standard", {"normalize_activations": "expected_average_only_in"})
    folder = saelens_folder(tmp_path, case)
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.5, "has_whitening": False}))
    opened, x, w = open_dictionary(folder, access), activations(), weights(case)
    latents = reference.encode(case, w, x * np.float32(0.5))
    close(opened.encode(torch.from_numpy(x)), latents)
    found = opened.decode(torch.from_numpy(latents), torch.from_numpy(x))
    close(found, reference.decode(case, w, latents, x) * 2)
    assert not opened.info.normalised


def test_a_scale_that_was_not_folded_in_is_told(access: Access, tmp_path: Path) -> None:
    opened = open_dictionary(saelens_folder(tmp_path, BY_NAME["standard, expected_average_only_in"]), access)
    assert "training scaled them" in repr(opened)


def test_what_is_before_the_gain_of_a_norm_is_read_after_it(tmp_path: Path) -> None:
    """TransformerLens' hook_normalized of an RMS norm, which Gemma Scope's transcoders read, is before the gain."""
    access = resolve(open_model(zoo.model("gemma2")))
    case = BY_NAME["skip_transcoder"]
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    assert (opened.info.reads, opened.info.writes) == (Place("mlp_in", 1), Place("mlp_out", 1))
    gain = 1 + access.anatomy.blocks[1].pre_feedforward_layernorm.weight.detach().numpy()
    x, w = activations(), weights(case)
    latents = reference.encode(case, w, x)
    after = torch.from_numpy(x * gain)
    close(opened.encode(after), latents)
    close(opened.decode(torch.from_numpy(latents), after), reference.decode(case, w, latents, x))


def test_an_sae_before_the_gain_writes_after_it(tmp_path: Path) -> None:
    access = resolve(open_model(zoo.model("gemma2")))
    case = replace(BY_NAME["standard"], config={"hook_name": "blocks.1.ln2.hook_normalized"})
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    gain = 1 + access.anatomy.blocks[1].pre_feedforward_layernorm.weight.detach().numpy()
    x, w = activations(), weights(case)
    latents = reference.encode(case, w, x)
    after = torch.from_numpy(x * gain)
    close(opened.encode(after), latents)
    close(opened.decode(torch.from_numpy(latents), after), reference.decode(case, w, latents, x) * gain)


def test_an_sae_that_normalises_before_the_gain_is_refused(tmp_path: Path) -> None:
    access = resolve(open_model(zoo.model("gemma2")))
    settings = {"hook_name": "blocks.1.ln2.hook_normalized", "normalize_activations": "layer_norm"}
    with pytest.raises(FeatureError, match="normalises what is before the gain of the norm in layer 1"):
        open_dictionary(saelens_folder(tmp_path, replace(BY_NAME["standard"], config=settings)), access)


def test_a_layer_norms_output_has_its_gain_already(access: Access, tmp_path: Path) -> None:
    case = BY_NAME["transcoder"]
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    close(opened.encode(torch.from_numpy(activations())), reference.encode(case, weights(case), activations()))


def test_a_user_may_say_otherwise(access: Access, tmp_path: Path) -> None:
    folder = saelens_folder(tmp_path, BY_NAME["standard"])
    assert open_dictionary(folder, access, site="resid_post", layer=0).info.reads == Place("resid_post", 0)
    assert open_dictionary(folder, access, layer=2).info.reads == Place("resid_pre", 2)
    assert open_dictionary(folder, access, site="attn_out").info.writes == Place("attn_out", 1)


def test_a_dictionary_says_what_it_is(access: Access, tmp_path: Path) -> None:
    opened = open_dictionary(saelens_folder(tmp_path / "gpt2-res-jb", BY_NAME["standard, layer_norm"]), access)
    assert repr(opened) == (
        "gpt2-res-jb: a sparse autoencoder with 48 latents\n"
        "  reads and writes resid_pre of layer 1, 32 numbers wide\n"
        "  activations are set to mean 0 and standard deviation 1 at each token"
    )


def test_a_fingerprint_tells_weights_apart_and_not_their_dtype(access: Access, tmp_path: Path) -> None:
    case = BY_NAME["standard"]
    first = open_dictionary(saelens_folder(tmp_path / "a", case), access).info.fingerprint
    assert first == open_dictionary(saelens_folder(tmp_path / "b", case), access).info.fingerprint
    other = Case("another standard", "standard")
    assert first != open_dictionary(saelens_folder(tmp_path / "c", other), access).info.fingerprint


def test_half_precision_weights_are_computed_with_in_single_precision(access: Access, tmp_path: Path) -> None:
    case = BY_NAME["standard"]
    folder = saelens_folder(tmp_path, case)
    half = {key: torch.from_numpy(value).bfloat16() for key, value in weights(case).items()}
    save_file({key: value.contiguous() for key, value in half.items()}, folder / "sae_weights.safetensors")
    opened, x = open_dictionary(folder, access), activations()
    rounded = {key: value.float().numpy() for key, value in half.items()}
    close(opened.encode(torch.from_numpy(x)), reference.encode(case, rounded, x))
    close(opened.encode(torch.from_numpy(x).bfloat16()), opened.encode(torch.from_numpy(x).bfloat16().float()))


def changed(folder: Path, **config: Any) -> Path:
    file = folder / "cfg.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in (said | config).items() if value != "left out"}))
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "temporal"}, r"architecture 'temporal', of which single latents .* pass the object"),
        ({"architecture": "gated"}, r"lacks weights .* 'gated' has: b_gate, r_mag, b_mag\. Its file has W_dec"),
        ({"architecture": "topk"}, r"k=None for 48 latents"),
        ({"architecture": "topk", "k": 49}, r"k=49 for 48 latents"),
        ({"activation_fn": "tanh-relu"}, r"activation function 'tanh-relu'; known are 'relu' and 'topk'"),
        ({"normalize_activations": "covariance_whitening"}, r"normalises activations by 'covariance_whitening'; known"),
        ({"d_in": "left out"}, r"does not say d_in"),
        ({"d_in": 31}, r"W_enc of .* should have the shape \(31, 48\), by its config, and has \(32, 48\)"),
        ({"metadata": {"hook_name": "blocks.1.hook_resid_pre", "hook_head_index": 2}}, r"reads a single head"),
        ({"metadata": {"hook_name": "hook_embed"}}, r"reads hook_embed, which is no place inside a layer"),
        ({"metadata": {"hook_name": "blocks.1.attn.hook_pattern"}}, r"none of the sites of .* Say site= and layer="),
    ],
)
def test_configs_that_are_not_understood(config: Any, message: str, access: Access, tmp_path: Path) -> None:
    folder = changed(saelens_folder(tmp_path, BY_NAME["standard"]), **config)
    with pytest.raises(FeatureError, match=message):
        open_dictionary(folder, access)


def test_a_layer_that_the_model_does_not_have(access: Access, tmp_path: Path) -> None:
    folder = changed(saelens_folder(tmp_path, BY_NAME["standard"]), metadata={"hook_name": "blocks.9.hook_resid_pre"})
    with pytest.raises(SelectionError, match=r"no layer 9: .* has layers 0 to 2"):
        open_dictionary(folder, access)


def test_a_config_that_names_no_place_needs_one_from_the_user(access: Access, tmp_path: Path) -> None:
    folder = changed(saelens_folder(tmp_path, BY_NAME["standard"]), metadata={})
    with pytest.raises(SelectionError, match=r"not known where .* are read\. Say it with site= and layer="):
        open_dictionary(folder, access)
    assert open_dictionary(folder, access, site="resid_mid", layer=2).info.reads == Place("resid_mid", 2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("b_enc", np.full(N_LATENTS, np.nan, np.float32), "encoder bias of .* has NaN or infinity"),
        (
            "W_dec",
            np.zeros((N_LATENTS - 1, D_OUT), np.float32),
            r"its decoder should have the shape \(48, 32\) and has",
        ),
        ("b_dec", np.zeros(7, np.float32), r"should have the shape \(32,\) and has \(7,\)"),
        ("W_other", np.zeros(3, np.float32), "weights that an architecture 'standard' does not have: W_other"),
        ("scaling_factor", np.full(N_LATENTS, 2, np.float32), "does not have: scaling_factor"),
    ],
)
def test_weights_that_cannot_be_right(key: str, value: Array, message: str, access: Access, tmp_path: Path) -> None:
    case = BY_NAME["standard"]
    folder = saelens_folder(tmp_path, case)
    write(folder, json.loads((folder / "cfg.json").read_text()), weights(case) | {key: value})
    with pytest.raises(FeatureError, match=message):
        open_dictionary(folder, access)


def test_an_sae_of_another_model_says_both_widths(tmp_path: Path) -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    case = replace(BY_NAME["standard"], config={"hook_name": "blocks.1.mlp.hook_post"})
    as_wide = "resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v; say which with site="
    message = r"is 32 wide, and mlp_post of layer 1 .* is 128 wide\. As wide in this model: " + as_wide
    with pytest.raises(FeatureError, match=message):
        open_dictionary(saelens_folder(tmp_path, case), access)


def test_no_norm_before_an_mlp_has_no_place_after_it(tmp_path: Path) -> None:
    access = resolve(open_model(zoo.model("olmo2")))  # whose norms all come after
    with pytest.raises(FeatureError, match=r"reads what a norm hands to the MLP of layer 1, and .* has no such norm"):
        open_dictionary(saelens_folder(tmp_path, BY_NAME["transcoder"]), access)


def test_gemma_scope_2_as_the_library_names_its_places(tmp_path: Path) -> None:
    """The library says hook_mlp_in, which TransformerLens has before the norm, and beside it the module's own name."""
    access = resolve(open_model(zoo.model("gemma2")))
    metadata = {
        "hook_name": "blocks.1.hook_mlp_in",
        "hook_name_out": "blocks.1.hook_mlp_out",
        "hf_hook_name": "model.layers.1.pre_feedforward_layernorm.output",
    }
    case = BY_NAME["jumprelu_skip_transcoder"]
    opened = open_dictionary(changed(saelens_folder(tmp_path, case), metadata=metadata), access)
    assert (opened.info.reads, opened.info.writes) == (Place("mlp_in", 1), Place("mlp_out", 1))
    x, w = activations(), weights(case)
    close(opened.encode(torch.from_numpy(x)), reference.encode(case, w, x))


def test_an_architecture_that_is_not_known_is_called_as_it_is(access: Access) -> None:
    sae_lens = imported("sae_lens")
    metadata = sae_lens.saes.sae.SAEMetadata(hook_name="blocks.1.hook_resid_pre")
    config = sae_lens.MatchingPursuitSAEConfig(
        d_in=D_IN, d_sae=N_LATENTS, apply_b_dec_to_input=False, metadata=metadata
    )
    torch.manual_seed(0)
    sae = sae_lens.MatchingPursuitSAE(config)
    opened, x = open_dictionary(sae, access), torch.from_numpy(activations())
    assert opened.info.reads == Place("resid_pre", 1)
    with torch.no_grad():
        close(opened.encode(x), sae.encode(x))
        close(opened.decode(opened.encode(x), x), sae.decode(sae.encode(x)))
