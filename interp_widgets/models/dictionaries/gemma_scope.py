"""Dictionaries in the formats of Gemma Scope and Gemma Scope 2.

Gemma Scope has weights alone, `params.npz`: what they are, and where they read, its folders' names tell. Gemma Scope 2
has a `config.json` beside `params.safetensors`.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.activations import JumpReLU
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.models.dictionaries.files import name_of, read_json, read_npz, read_safetensors
from interp_widgets.models.dictionaries.gain import past_gain
from interp_widgets.models.dictionaries.places import Asked, PlaceSite, Spot, spot_of_hook, spot_or_asked
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError

PARAMS = "params.npz"
PARAMS_2 = "params.safetensors"

_SITES: dict[str, PlaceSite] = {"res": "resid_post", "mlp": "mlp_out", "att": "z", "transcoders": "mlp_in"}
_RELEASE = re.compile(r"gemma-scope-[\w.-]*?-(res|mlp|att|transcoders)(?:-|/|$)")
_LAYER = re.compile(r"(?:^|[/_])layer_(\d+)(?:[/_]|$)")


def from_gemma_scope(folder: Path, access: Access, asked: Asked) -> Coder:
    """Make a dictionary of a folder of Gemma Scope, such as gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71.

    Transcoders read what the norm before the MLP hands over before its gain, and write what the norm after the MLP
    does (Lieberum et al. 2024, "Language model technical details").

    Raises:
        FeatureError: a file that is missing or broken, or weights that are not those of Gemma Scope.
        SelectionError: neither the names of the folders nor the user says where it reads.
    """
    name = name_of(folder)
    tensors = _named(read_npz(folder / PARAMS), name)
    path = folder.resolve().as_posix()
    release, layer = _RELEASE.search(path), _LAYER.search(path)
    spoken = Asked(
        asked.site or (_SITES[release[1]] if release else None),
        asked.layer if asked.layer is not None else int(layer[1]) if layer else None,
    )
    place = spoken.place(name)
    return _coder(tensors, access, Spot(place, before_gain=place.site == "mlp_in"), None, name)


def from_gemma_scope_2(folder: Path, access: Access, asked: Asked) -> Coder:
    """Make a dictionary of a folder of Gemma Scope 2, such as resid_post/layer_12_width_16k_l0_medium.

    Raises:
        FeatureError: a file that is missing or broken, or something that is not known.
    """
    name = name_of(folder)
    config = read_json(folder / "config.json")
    if config.get("architecture") != "jump_relu":
        raise FeatureError(f"{name} has the architecture {config.get('architecture')!r}; Gemma Scope 2's is jump_relu.")
    reads = spot_or_asked(config.get("hf_hook_point_in"), access, asked, name)
    out = config.get("hf_hook_point_out")
    writes = None if out is None else spot_of_hook(out, access, name).place
    return _coder(_named(read_safetensors(folder / PARAMS_2), name), access, reads, writes, name)


def _coder(tensors: dict[str, torch.Tensor], access: Access, reads: Spot, writes: Place | None, name: str) -> Coder:
    transcodes = reads.place.site == "mlp_in"
    affine = tensors.get("affine_skip_connection")
    weights = Weights(
        encoder=tensors["w_enc"].T,
        decoder=tensors["w_dec"],
        encoder_bias=tensors["b_enc"],
        decoder_bias=tensors["b_dec"],
        skip=None if affine is None else affine.T,
    )
    return Coder(
        past_gain(weights, access, reads, name, transcodes=transcodes),
        JumpReLU(tensors["threshold"]),
        name=name,
        kind="transcoder" if transcodes else "sae",
        reads=reads.place,
        writes=writes or (Place("mlp_out", reads.place.layer) if transcodes else reads.place),
    )


def _named(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """Return weights by their names in small letters, which differ between releases."""
    named = {key.lower(): tensor for key, tensor in tensors.items()}
    expected = ("w_enc", "w_dec", "b_enc", "b_dec", "threshold")
    missing = [key for key in expected if key not in named]
    unknown = [key for key in named if key not in (*expected, "affine_skip_connection")]
    if missing or unknown:
        raise FeatureError(
            f"{name} is not in Gemma Scope's format, which has {', '.join(expected)}. It has {', '.join(named)}."
        )
    if named["w_dec"].ndim != 2:
        raise FeatureError(
            f"w_dec of {name} has the shape {tuple(named['w_dec'].shape)}: a transcoder across layers is not supported."
        )
    return named
