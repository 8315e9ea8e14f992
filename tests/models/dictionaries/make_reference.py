"""Compute with SAELens what saelens_reference.npz holds: `python -m tests.models.dictionaries.make_reference`.

Made with sae-lens 6.54.12 on torch 2.13, from the weights and the activations of made.py.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.models.dictionaries.made import CASES, D_HEAD, N_HEADS, Case, activations, saelens_folder


def loaded(sae_lens: Any, case: Case, folder: Path) -> Any:
    """Let the library open a folder; of a training run it makes what is for use."""
    saelens_folder(folder, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not case.training:
            return sae_lens.SAE.load_from_disk(folder)
        trained = sae_lens.TrainingSAE.load_from_disk(folder)
        trained.save_inference_model(folder / "inference")
        return sae_lens.SAE.load_from_disk(folder / "inference")


@torch.no_grad()
def computed(sae: Any, case: Case, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents and reconstruction, heads side by side."""
    given = x.unflatten(-1, (N_HEADS, D_HEAD)) if case.config.get("reshape_activations") == "hook_z" else x
    latents = sae.encode(given)
    reconstruction = sae(given)  # with the skip connection, which `decode` leaves out
    return latents, reconstruction.reshape(x.shape)


def main() -> None:
    import sae_lens

    x = torch.from_numpy(activations())
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES):
            sae = loaded(sae_lens, case, Path(folder) / str(number))
            latents, reconstruction = computed(sae, case, x)
            kept |= {f"{case.name}: latents": latents.numpy(), f"{case.name}: reconstruction": reconstruction.numpy()}
    np.savez_compressed(Path(__file__).parent / "saelens_reference.npz", **kept)


if __name__ == "__main__":
    main()
