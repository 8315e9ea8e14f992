"""Our own TopK dictionary, against numpy, and its folder, against SAELens' description of the format."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from interp_widgets import teaching
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.opening import open_dictionary
from interp_widgets.models.dictionaries.strongest import strongest
from interp_widgets.models.dictionaries.topk import TopKSAE
from interp_widgets.models.dictionaries.topk_parts import TopKWeights
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, ResultError
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.training import CURVES, TrainingCurves

N, D, K = 20, 7, 3


def curves(upto=100, total=100):
    arrays = {name: np.array([0.25, 0.5]) for name in CURVES}
    arrays |= {"steps": np.array([50, upto]), "tokens": np.array([500, 1000])}
    return TrainingCurves(**arrays, total_steps=total, provenance=Provenance("a model", "abcd", "float32", {}))


def made(seed=0, k=K, **more):
    generator = torch.Generator().manual_seed(seed)
    weights = TopKWeights(
        encoder=torch.randn(N, D, generator=generator),
        encoder_bias=torch.randn(N, generator=generator) - 0.5,
        decoder=functional.normalize(torch.randn(N, D, generator=generator), dim=1),
        centre=torch.randn(D, generator=generator),
    )
    return TopKSAE(weights, k, Place("resid_post", 2), curves(), **more)


def inputs(*shape, seed=1):
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


def by_hand(sae, x):
    """Latents and reconstructions in numpy, one token at a time."""
    w = {name: tensor.numpy().astype(np.float64) for name, tensor in vars(sae.weights).items()}
    latents = np.zeros((len(x), N))
    for row, token in enumerate(x.numpy().astype(np.float64)):
        pre = w["encoder"] @ (token - w["centre"]) + w["encoder_bias"]
        for latent in np.argsort(pre)[-sae.k :]:
            latents[row, latent] = max(0.0, pre[latent])
    return latents, latents @ w["decoder"] + w["centre"]


def test_latents_and_reconstructions_are_those_of_the_definition():
    sae, x = made(), inputs(50)
    latents, reconstructed = by_hand(sae, x)
    np.testing.assert_allclose(sae.encode(x), latents, atol=1e-5)
    np.testing.assert_allclose(sae.decode(sae.encode(x), x), reconstructed, atol=1e-5)
    some = torch.tensor([5, 0, 5])
    np.testing.assert_allclose(sae.encode_some(x, some), latents[:, [5, 0, 5]], atol=1e-5)


def test_exactly_k_fire_where_as_many_are_above_zero():
    sae = made()
    weights = vars(sae.weights) | {"encoder_bias": torch.full((N,), 100.0)}
    high = TopKSAE(TopKWeights(**weights), K, Place("resid_post", 2), curves())
    assert ((high.encode(inputs(200)) > 0).sum(1) == K).all()
    low = TopKSAE(TopKWeights(**weights | {"encoder_bias": -weights["encoder_bias"]}), K, sae.info.reads, curves())
    assert (low.encode(inputs(200)) == 0).all()


def test_any_number_of_axes_and_any_dtype_goes_in():
    sae, x = made(), inputs(4, 5, 6)
    assert torch.equal(sae.encode(x)[2, 3], sae.encode(x[2, 3]))
    assert torch.equal(sae.decode(sae.encode(x), x)[2, 3], sae.decode(sae.encode(x[2, 3]), x[2, 3]))
    assert sae.encode(x.bfloat16()).dtype == torch.float32
    strengths, latents = sae.strongest(x)
    assert torch.equal(sae.encode(x).gather(-1, latents), strengths)


def test_a_latent_that_moves_moves_the_reconstruction_by_its_row():
    sae, x = made(), inputs(6)
    latents = sae.encode(x)
    changed = latents.clone()
    changed[:, 4] += torch.arange(6.0)
    difference = sae.decode(changed, x) - sae.decode(latents, x)
    torch.testing.assert_close(sae.moved(4, torch.arange(6.0), x), difference, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_operations_one_by_one():
    generator = torch.Generator().manual_seed(3)
    given = [torch.randn(30, D, generator=generator), torch.randn(N, D, generator=generator), torch.randn(N)]
    towards = torch.randn(30, K, generator=generator)

    def gradients(function):
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        strengths, latents = function(*leaves)
        order = latents.argsort(1)
        (strengths.gather(1, order) * towards).sum().backward()
        return [leaf.grad for leaf in leaves]

    def plainly(x, encoder, bias):
        largest, latents = functional.linear(x, encoder, bias).topk(K)
        return largest.relu(), latents

    for ours, plain in zip(gradients(lambda *a: strongest(*a, K)), gradients(plainly), strict=True):
        torch.testing.assert_close(ours, plain)
        assert (plain != 0).any()


def test_a_folder_brings_back_the_same_dictionary(tmp_path):
    sae = made(state={"step": torch.tensor(100), "encoder": torch.randn(3, 2)})
    sae.concepts = sae.concepts.named(3, "a city").noted(3, "mostly")
    sae.save(tmp_path / "new" / "folder")
    again = TopKSAE.load(tmp_path / "new" / "folder")
    assert again.info == sae.info
    assert (again.k, again.curves, again.concepts) == (sae.k, sae.curves, sae.concepts)
    assert all(torch.equal(one, other) for one, other in zip(again.buffers(), sae.buffers(), strict=True))
    assert again.state.keys() == sae.state.keys()
    assert torch.equal(again.state["encoder"], sae.state["encoder"])
    x = inputs(9)
    assert torch.equal(again.encode(x), sae.encode(x))


def test_the_state_of_an_earlier_save_does_not_stay_behind(tmp_path):
    made(state={"step": torch.tensor(100)}).save(tmp_path)
    made().save(tmp_path)
    assert TopKSAE.load(tmp_path).state == {}


def test_the_files_are_as_saelens_describes_them(tmp_path):
    sae = made()
    sae.save(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert {name: config[name] for name in ("architecture", "d_in", "d_sae", "k", "apply_b_dec_to_input")} == {
        "architecture": "topk",
        "d_in": D,
        "d_sae": N,
        "k": K,
        "apply_b_dec_to_input": True,
    }
    assert config["metadata"]["hook_name"] == "blocks.2.hook_resid_post"
    # encode of SAELens' TopKSAE: relu of the k largest of (x - b_dec) @ W_enc + b_enc
    weights, x = load_file(tmp_path / "sae_weights.safetensors"), inputs(5).numpy()
    assert {name: weight.shape for name, weight in weights.items()} == {
        "W_enc": (D, N),
        "b_enc": (N,),
        "W_dec": (N, D),
        "b_dec": (D,),
    }
    pre = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    latents = np.where(pre >= np.sort(pre)[:, -K:][:, :1], np.maximum(pre, 0), 0)
    np.testing.assert_allclose(sae.encode(torch.from_numpy(x)), latents, atol=1e-5)


def test_half_the_precision_is_stored_and_stays_what_was_named(tmp_path):
    sae = made()
    sae.concepts = sae.concepts.named(3, "a city")
    sae.save(tmp_path, dtype=torch.float16)
    assert {weight.dtype for weight in load_file(tmp_path / "sae_weights.safetensors").values()} == {np.dtype("<f2")}
    again = TopKSAE.load(tmp_path)
    assert again.info == sae.rounded(torch.float16).info != sae.info
    assert again.concepts.names == {3: "a city"}
    assert torch.equal(again.decoder, sae.decoder.half().float())


def test_the_fingerprint_tells_weights_apart():
    assert made().info.fingerprint == made().info.fingerprint != made(seed=1).info.fingerprint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cfg.json", b"{"),
        ("cfg.json", b"[]"),
        ("cfg.json", b'{"architecture": "topk", "k": 3}'),
        ("cfg.json", b'{"k": "many", "metadata": {"site": "z", "layer": 0}}'),
        ("sae_weights.safetensors", b"nothing"),
        ("curves.safetensors", b"nothing"),
        ("concepts.json", b"{}"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, name, content):
    made().save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ResultError, match="or a damaged one: ") as caught:
        TopKSAE.load(tmp_path)
    assert name in str(caught.value).partition("damaged one: ")[2]
    assert "Error(" not in str(caught.value)  # said in words, not as Python shows exceptions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "says k=0 for 20 latents"),
        ({"k": 21}, "k=21 for 20 latents"),
        ({"metadata": {"site": "resid", "layer": 1}}, "names a site 'resid', and there is none"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_the_folder_is_read(tmp_path, change, message):
    made().save(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text(encoding="utf-8"))
    (tmp_path / "cfg.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(ResultError, match=message):
        TopKSAE.load(tmp_path)


def test_weights_that_are_not_finite_are_refused_when_the_folder_is_read(tmp_path):
    made().save(tmp_path)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    weights["W_dec"][3, 1] = np.nan
    save_file(weights, tmp_path / "sae_weights.safetensors")
    with pytest.raises(ResultError, match=r"sae_weights\.safetensors has NaN or infinity in W_dec"):
        TopKSAE.load(tmp_path)


def test_a_folder_with_the_names_of_another_dictionary_is_refused(tmp_path):
    made().save(tmp_path / "one")
    made(seed=1).save(tmp_path / "other")
    (tmp_path / "one" / "concepts.json").write_bytes((tmp_path / "other" / "concepts.json").read_bytes())
    with pytest.raises(
        ResultError, match=r"sae_weights\.safetensors and concepts\.json in .*one do not belong together"
    ):
        TopKSAE.load(tmp_path / "one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W_dec": np.s_[:5]}, r"W_enc has the shape \(7, 20\), and W_dec \(5, 7\)"),
        ({"b_enc": np.s_[:7]}, r"and b_enc \(7,\)"),
        ({"W_enc": np.s_[:, 0]}, r"W_enc has the shape \(7,\)"),
        ({"W_enc": np.s_[:, :9], "b_enc": np.s_[:9], "W_dec": np.s_[:9]}, "do not belong together"),
    ],
)
def test_weights_that_were_cut_are_called_so(tmp_path, change, message):
    made().save(tmp_path)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    cut = {name: np.ascontiguousarray(weight[change.get(name, ...)]) for name, weight in weights.items()}
    save_file(cut, tmp_path / "sae_weights.safetensors")
    with pytest.raises(ResultError, match=message):
        TopKSAE.load(tmp_path)


def test_a_file_that_is_gone_is_named(tmp_path):
    for name in ("cfg.json", "sae_weights.safetensors", "concepts.json", "curves.safetensors"):
        made().save(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ResultError, match=f"damaged one: .* no (file .*)?{name}"):
            TopKSAE.load(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ResultError, match=r"nowhere holds no dictionary that `TopKSAE.save` wrote"):
        TopKSAE.load(tmp_path / "nowhere")


def test_a_folder_opens_as_any_dictionary_and_by_the_reader_of_saelens_folders(tmp_path):
    access = resolve(open_model(teaching.load()))
    sae = teaching.sae()
    sae.save(tmp_path)
    opened = open_dictionary(str(tmp_path), access)
    assert isinstance(opened, TopKSAE)
    assert (opened.info, opened.concepts) == (sae.info, sae.concepts)
    with pytest.raises(FeatureError, match="is resid_post of layer 1"):
        open_dictionary(tmp_path, access, layer=2)
    for name in ("curves.safetensors", "concepts.json"):
        (tmp_path / name).unlink()
    theirs = open_dictionary(tmp_path, access)
    assert not isinstance(theirs, TopKSAE)
    assert theirs.info.reads == sae.info.reads
    x = torch.randn(40, 128, generator=torch.Generator().manual_seed(0)) * 3
    torch.testing.assert_close(theirs.encode(x), sae.encode(x))
    torch.testing.assert_close(theirs.decode(theirs.encode(x), x), sae.decode(sae.encode(x), x))


def test_curves_as_a_table_and_in_words():
    frame = curves().to_frame()
    assert list(frame.columns) == list(CURVES)
    assert frame["steps"].tolist() == [50, 100]
    assert curves().summary() == "step 100 of 100: variance explained 0.500, L0 0.50, dead 50.0%"
    assert curves().complete
    assert not curves(90).complete
    assert curves().upto(60).to_frame()["steps"].tolist() == [50]


def test_curves_have_a_figure():
    sae = teaching.sae()
    figure = sae.curves.figure()
    drawn = {axis.get_title(loc="left"): axis.lines[0].get_ydata() for axis in figure.axes}
    assert list(drawn) == ["loss", "variance explained", "latents on a token (L0)", "share of dead latents"]
    assert drawn["variance explained"].tolist() == sae.curves.variance_explained.tolist()
    assert sae.curves.summary() in figure.get_suptitle()
