"""Directions, neurons, any object that encodes and decodes, and what cannot be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets import teaching
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.coder import Coder
from interp_widgets.models.dictionaries.opening import open_dictionary
from interp_widgets.models.harvest import harvest
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, SelectionError, SiteError, UnknownNameError
from tests.experiments import zoo
from tests.models.dictionaries.made import CASES, D_IN, activations, saelens_folder

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
DENSE = [name for name, family in zoo.FAMILIES.items() if family.down]
EXPERTS = [name for name, family in zoo.FAMILIES.items() if not family.down]


@pytest.fixture(scope="module")
def access() -> Access:
    return resolve(open_model(zoo.model("gpt2")))


class TestDirections:
    def test_latents_are_dot_products(self, access: Access) -> None:
        matrix = np.random.default_rng(0).normal(size=(3, D_IN))
        opened = open_dictionary(matrix, access, layer=1)
        x = activations()
        np.testing.assert_allclose(
            opened.encode(torch.from_numpy(x)).numpy(), x @ matrix.T.astype(np.float32), atol=1e-5
        )
        assert (opened.info.reads, opened.info.signed) == (Place("resid_post", 1), True)

    def test_moving_one_moves_its_dot_product_by_exactly_that(self, access: Access) -> None:
        opened = open_dictionary(torch.randn(3, D_IN) * 5, access, site="resid_mid", layer=1)
        x, by = torch.from_numpy(activations()), torch.linspace(-3, 3, 10).reshape(2, 5)
        after = opened.encode(x + opened.moved(2, by, x))
        torch.testing.assert_close(after[..., 2] - opened.encode(x)[..., 2], by, rtol=1e-4, atol=1e-4)

    def test_directions_at_right_angles_reconstruct_what_lies_in_their_plane(self, access: Access) -> None:
        plane = torch.linalg.qr(torch.randn(D_IN, 4)).Q.T * torch.tensor([[1.0], [3.0], [0.2], [7.0]])
        opened = open_dictionary(plane, access, layer=0)
        x = torch.randn(6, 4) @ plane
        torch.testing.assert_close(opened.decode(opened.encode(x), x), x, rtol=1e-4, atol=1e-4)

    def test_one_direction_may_come_alone(self, access: Access) -> None:
        opened = open_dictionary(torch.ones(D_IN), access, layer=0)
        assert repr(opened).startswith("1 direction: directions with 1 latent")

    @pytest.mark.parametrize(
        ("matrix", "message"),
        [
            (torch.zeros(2, D_IN), "Direction 0 is zero"),
            (torch.cat([torch.ones(1, D_IN), torch.full((1, D_IN), torch.nan)]), "Direction 1 is zero, or NaN"),
            (torch.ones(2, 2, D_IN), r"rows of a matrix, .* shape \(2, 2, 32\)"),
            (torch.ones(0, D_IN), r"shape \(0, 32\)"),
            (torch.ones(2, D_IN, dtype=torch.complex64), "rows of real numbers, and these are of type torch.complex64"),
            (np.array([["a", "b"]]), "rows of real numbers"),
            (torch.full((1, D_IN), torch.inf), "NaN or infinity"),
        ],
    )
    def test_what_is_no_direction(self, matrix: Any, message: str, access: Access) -> None:
        with pytest.raises(FeatureError, match=message):
            open_dictionary(matrix, access, layer=0)

    def test_a_width_that_fits_nowhere(self, access: Access) -> None:
        message = r"^The input of 2 directions is 5 wide, and resid_post of layer 0 of .* is 32 wide\. No site"
        with pytest.raises(FeatureError, match=message):
            open_dictionary(torch.ones(2, 5), access, layer=0)

    def test_a_width_that_fits_elsewhere(self, access: Access) -> None:
        with pytest.raises(FeatureError, match=r"128 wide, .* is 32 wide\. As wide in this model: mlp_post; say which"):
            open_dictionary(torch.ones(2, 128), access, layer=0)
        assert open_dictionary(torch.ones(2, 128), access, site="mlp_post", layer=0).info.d_in == 128

    def test_a_layer_is_needed(self, access: Access) -> None:
        with pytest.raises(SelectionError, match=r"where directions are read\. Say it with layer=\."):
            open_dictionary(torch.ones(2, D_IN), access)


class TestNeurons:
    @pytest.mark.parametrize("name", DENSE)
    def test_they_make_up_what_the_mlp_adds(self, name: str) -> None:
        access = resolve(open_model(zoo.model(name)))
        opened = open_dictionary("neurons", access, layer=1)
        assert (opened.info.reads, opened.info.writes) == (Place("mlp_post", 1), Place("mlp_out", 1))
        x, y = (harvest(access, IDS, place, torch.clone) for place in (opened.info.reads, opened.info.writes))
        torch.testing.assert_close(opened.encode(x), x)
        torch.testing.assert_close(opened.decode(opened.encode(x), x), y, rtol=1e-4, atol=1e-5 * float(y.abs().max()))

    @pytest.mark.parametrize("name", DENSE)
    def test_moving_one_moves_what_a_hook_on_the_projection_moves(self, name: str) -> None:
        access = resolve(open_model(zoo.model(name)))
        opened = open_dictionary("neurons", access, layer=1)
        x, before = (harvest(access, IDS, place, torch.clone) for place in (opened.info.reads, opened.info.writes))
        by = torch.linspace(-1, 2, 8).reshape(2, 4)

        def hook(_module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            changed = args[0].clone()
            changed.reshape(2, 4, -1)[..., 3] += by
            return (changed,)

        handle = access.anatomy.blocks[1].get_submodule(zoo.FAMILIES[name].down).register_forward_pre_hook(hook)
        try:
            after = harvest(access, IDS, opened.info.writes, torch.clone)
        finally:
            handle.remove()
        moved = opened.moved(3, by, x)
        torch.testing.assert_close(moved, after - before, rtol=1e-4, atol=1e-5 * float(after.abs().max()))

    def test_a_row_of_the_decoder_is_a_row_of_the_projection(self, access: Access) -> None:
        opened = open_dictionary("neurons", access, layer=2)
        assert torch.equal(opened.decoder, access.anatomy.blocks[2].mlp.c_proj.weight)  # GPT-2 has inputs first
        llama = resolve(open_model(zoo.model("llama")))
        down = llama.anatomy.blocks[0].mlp.down_proj.weight  # and a Linear outputs
        assert torch.equal(open_dictionary("neurons", llama, layer=0).decoder, down.T)

    def test_a_norm_that_follows_scales_the_rows_token_by_token(self) -> None:
        access = resolve(open_model(zoo.model("gemma2")))
        opened = open_dictionary("neurons", access, layer=1)
        x, y = (harvest(access, IDS, place, torch.clone) for place in (opened.info.reads, opened.info.writes))
        torch.testing.assert_close(opened.scale(x) * (x @ opened.decoder), y, rtol=1e-4, atol=1e-4)

    def test_a_projection_that_is_no_matrix_is_probed(self) -> None:
        model = zoo.build("gpt2")
        for block in model.transformer.h:
            block.mlp.c_proj = Factored(128, 32)
        found = open_dictionary("neurons", resolve(open_model(model)), layer=1).decoder
        projection = model.transformer.h[1].mlp.c_proj
        torch.testing.assert_close(found, (projection.a @ projection.b).detach(), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("name", EXPERTS)
    def test_a_mixture_of_experts_has_none(self, name: str) -> None:
        with pytest.raises(SiteError, match="mixture of experts"):
            open_dictionary("neurons", resolve(open_model(zoo.model(name))), layer=0)

    def test_half_precision(self) -> None:
        access = resolve(open_model(zoo.build("llama").to(torch.bfloat16)))
        opened = open_dictionary("neurons", access, layer=1)
        assert opened.decoder.dtype == torch.float32
        assert torch.equal(opened.decoder, access.anatomy.blocks[1].mlp.down_proj.weight.T.float())

    def test_their_place_is_known(self, access: Access) -> None:
        with pytest.raises(FeatureError, match=r"Neurons are at mlp_post, not at mlp_out\. Leave out site="):
            open_dictionary("neurons", access, site="mlp_out", layer=0)
        with pytest.raises(SelectionError, match=r"where neurons are read\. Say it with layer="):
            open_dictionary("neurons", access)
        with pytest.raises(SelectionError, match=r"no layer 3: .* has layers 0 to 2"):
            open_dictionary("neurons", access, layer=3)


class Factored(nn.Module):
    """A projection with no weight to read, as quantised layers have none."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(d_in, 8)), nn.Parameter(torch.randn(8, d_out))
        self.bias = nn.Parameter(torch.randn(d_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.a @ self.b + self.bias


class Mine(nn.Module):
    """An SAE as people write them."""

    def __init__(self, d_in: int = D_IN, d_out: int = D_IN, n_latents: int = 300) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(d_in, n_latents), nn.Linear(n_latents, d_out)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x).relu()  # type: ignore[no-any-return]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.down(latents)  # type: ignore[no-any-return]


class Empty(Mine):
    """One that finds nothing whatever it gets."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :0]


class Crooked(Mine):
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.down(latents).tanh()  # type: ignore[no-any-return]


class Loose(Mine):
    def encode(self, x: torch.Tensor) -> Any:
        return self.up(x), None


class TestOwn:
    def test_it_is_called_as_it_is(self, access: Access) -> None:
        mine, x = Mine(), torch.from_numpy(activations())
        opened = open_dictionary(mine, access, site="resid_mid", layer=1)
        assert (opened.info.n_latents, opened.info.reads) == (300, Place("resid_mid", 1))
        torch.testing.assert_close(opened.encode(x), mine.encode(x))
        torch.testing.assert_close(opened.decode(mine.encode(x), x), mine.decode(mine.encode(x)))
        torch.testing.assert_close(opened.encode_some(x, torch.tensor([7])), mine.encode(x)[..., [7]])

    def test_its_decoders_rows_are_found_by_decoding(self, access: Access) -> None:
        mine = Mine()
        opened = open_dictionary(mine, access, site="resid_mid", layer=1)
        torch.testing.assert_close(opened.decoder, mine.down.weight.T.detach(), rtol=1e-4, atol=1e-6)
        assert opened.encoder is None

    def test_its_own_precision_is_used(self, access: Access) -> None:
        mine = Mine().double()
        opened, x = open_dictionary(mine, access, site="resid_mid", layer=1), torch.from_numpy(activations())
        assert opened.encode(x).dtype == torch.float32
        torch.testing.assert_close(opened.encode(x), mine.encode(x.double()).float())

    def test_a_crooked_decoder_is_read_and_not_acted_on(self, access: Access) -> None:
        opened = open_dictionary(Crooked(), access, site="resid_mid", layer=1)
        assert opened.encode(torch.from_numpy(activations())).shape == (2, 5, 300)
        with pytest.raises(FeatureError, match=r"decode of Crooked is not linear: .* Reading its latents works"):
            opened.moved(0, torch.ones(2, 5), torch.from_numpy(activations()))

    def test_what_reads_the_mlps_input_writes_its_output(self, access: Access) -> None:
        info = open_dictionary(Mine(), access, site="mlp_in", layer=1).info
        assert (info.kind, info.writes) == ("transcoder", Place("mlp_out", 1))

    def test_a_place_is_needed(self, access: Access) -> None:
        with pytest.raises(SelectionError, match=r"where Mine are read\. Say it with site= and layer="):
            open_dictionary(Mine(), access)
        with pytest.raises(UnknownNameError, match=r"unknown site 'resid_pst': did you mean 'resid_post'"):
            open_dictionary(Mine(), access, site="resid_pst", layer=1)
        with pytest.raises(UnknownNameError, match="unknown site 'pattern'"):
            open_dictionary(Mine(), access, site="pattern", layer=1)
        with pytest.raises(SelectionError, match=r"layer='1' is no layer"):
            open_dictionary(Mine(), access, site="resid_mid", layer="1")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("mine", "message"),
        [
            (Mine(7), r"encode of Mine failed on a tensor of shape \(160, 32\): RuntimeError: mat1"),
            (Mine(D_IN, 7), "decode of Mine returns rows 7 wide where 32 are expected"),
            (Empty(), "encode of Empty returns rows without any latent"),
            (Loose(), r"encode of Loose should return a tensor of shape \(160, number of latents\) and gave tuple"),
        ],
    )
    def test_what_does_not_fit(self, mine: Mine, message: str, access: Access) -> None:
        with pytest.raises(FeatureError, match=message):
            open_dictionary(mine, access, site="resid_mid", layer=1)


class Biased(Mine):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x) + 30  # type: ignore[no-any-return]


class Thresholded(Mine):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = self.up(x)
        return latents * (latents.abs() > 20)


class Odd(Mine):
    """Negative for one kind of activations alone, which no probe can know."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x).relu() - (x == 0.25).all(-1, keepdim=True).float()  # type: ignore[no-any-return]


class TestSign:
    @pytest.mark.parametrize(("mine", "signed"), [(Mine(), False), (Biased(), True), (Thresholded(), True)])
    def test_it_is_seen_at_some_size_of_activations(self, mine: Mine, signed: bool, access: Access) -> None:
        assert open_dictionary(mine, access, site="resid_mid", layer=1).info.signed is signed

    def test_one_that_turns_out_negative_on_a_text_is_signed_from_then_on(self, access: Access) -> None:
        opened = open_dictionary(Odd(), access, site="resid_mid", layer=1)
        assert not opened.info.signed
        opened.encode(torch.full((1, D_IN), 0.25))
        assert opened.info.signed


class TestOpened:
    def test_a_dictionary_stays_what_it_is(self, access: Access, tmp_path: Path) -> None:
        opened = open_dictionary(saelens_folder(tmp_path, CASES[0]), access)
        assert open_dictionary(opened, access) is opened
        assert open_dictionary(opened, access, site="resid_pre", layer=1) is opened
        with pytest.raises(FeatureError, match=r"The input of .* is resid_pre of layer 1\. Leave out site= and layer="):
            open_dictionary(opened, access, layer=2)

    def test_a_dictionary_of_another_model(self, access: Access, tmp_path: Path) -> None:
        opened = open_dictionary(saelens_folder(tmp_path, CASES[0]), access)
        with pytest.raises(FeatureError, match=r"is 32 wide, and resid_pre of layer 1 .* is 128 wide"):
            open_dictionary(opened, resolve(open_model(teaching.load())))

    def test_gradients_pass_through(self, access: Access, tmp_path: Path) -> None:
        opened = open_dictionary(saelens_folder(tmp_path, CASES[0]), access)
        x = torch.from_numpy(activations()).requires_grad_()
        (slope,) = torch.autograd.grad(opened.encode(x)[..., 3].sum(), x)
        fires = opened.encode(x)[..., 3] > 0
        assert opened.encoder is not None
        torch.testing.assert_close(slope, fires[..., None] * opened.encoder[3])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (3, "an int is no dictionary of latents. Pass a folder that holds one, a SAELens SAE"),
        (Mine, "is no dictionary of latents"),
        ("gpt2-small-res-jb", "There is no folder gpt2-small-res-jb. Latents of the hub must be downloaded first"),
    ],
)
def test_what_is_no_dictionary(features: Any, message: str, access: Access) -> None:
    with pytest.raises(FeatureError, match=message):
        open_dictionary(features, access)


class TestFiles:
    def test_a_folder_of_something_else(self, access: Access, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(FeatureError, match=r"holds no dictionary of latents: .* It has model\.safetensors\."):
            open_dictionary(tmp_path, access)

    def test_a_missing_config(self, access: Access, tmp_path: Path) -> None:
        (saelens_folder(tmp_path, CASES[0]) / "cfg.json").unlink()
        with pytest.raises(FeatureError, match=r"has no cfg\.json\. It has sae_weights\.safetensors\."):
            open_dictionary(tmp_path, access)

    @pytest.mark.parametrize("text", ['{"d_in": 3', "[1, 2]"])
    def test_a_broken_config(self, text: str, access: Access, tmp_path: Path) -> None:
        (saelens_folder(tmp_path, CASES[0]) / "cfg.json").write_text(text)
        with pytest.raises(FeatureError, match=r"cfg\.json (cannot be read: .* should be JSON|should hold settings)"):
            open_dictionary(tmp_path, access)

    def test_weights_that_were_cut_short(self, access: Access, tmp_path: Path) -> None:
        file = saelens_folder(tmp_path, CASES[0]) / "sae_weights.safetensors"
        file.write_bytes(file.read_bytes()[:1000])
        with pytest.raises(FeatureError, match=r"sae_weights\.safetensors cannot be read: .* download it again"):
            open_dictionary(tmp_path, access)

    def test_an_archive_that_was_cut_short(self, access: Access, tmp_path: Path) -> None:
        (tmp_path / "params.npz").write_bytes(b"PK\x03\x04 and no more")
        with pytest.raises(FeatureError, match=r"params\.npz cannot be read: .* download it again"):
            open_dictionary(tmp_path, access, site="resid_post", layer=0)


def test_few_tokens_are_encoded_at_a_time_where_one_latent_needs_all(access: Access, tmp_path: Path) -> None:
    """TopK compares all latents; asking for one of many must not hold them for all tokens."""
    case = next(case for case in CASES if case.name == "topk")
    opened = open_dictionary(saelens_folder(tmp_path, case), access)
    assert isinstance(opened, Coder)
    most = 0
    forward = opened.activation.forward

    def watched(pre: torch.Tensor) -> torch.Tensor:
        nonlocal most
        most = max(most, pre.numel())
        return forward(pre)

    opened.activation.forward = watched  # type: ignore[method-assign]
    tokens = torch.randn(2, 200_000, D_IN)
    found = opened.encode_some(tokens, torch.tensor([1]))
    assert most <= 1 << 24 < 2 * 200_000 * 48
    torch.testing.assert_close(found[:, -3:], opened.encode(tokens[:, -3:])[..., [1]])
