"""Read the files that dictionaries come in, and say what is wrong with those that cannot be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from interp_widgets.results.errors import FeatureError

_PLAIN = re.compile(r"^(average_l0|width|layer|l0|canonical|seed)|^\d+$|^(final|checkpoints?)$", re.IGNORECASE)
"""Names of folders that say too little without those of the folders around them."""


def name_of(folder: Path) -> str:
    """Return what to call a dictionary by its folder, with as many folders around it as that takes."""
    parts = [folder.name]
    for parent in folder.parents:
        if not _PLAIN.search(parts[0]) or len(parts) == 4 or not parent.name:
            break
        # The hub's cache has the repository's name two folders above its files.
        if parent.parent.name == "snapshots":
            parent = parent.parent.parent
        parts.insert(0, parent.name.rpartition("--")[2])
    return "/".join(parts)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        FeatureError: it is missing or broken.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        raise FeatureError(f"{path} cannot be read: {error}. It should be JSON: download it again.") from error
    if not isinstance(content, dict):
        raise FeatureError(f"{path} should hold settings, and holds a {type(content).__name__}.")
    return content


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of weights.

    Raises:
        FeatureError: it is missing or broken.
    """
    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, SafetensorError) as error:
        raise FeatureError(f"{path} cannot be read: {error}. It may not be whole: download it again.") from error


def read_npz(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of weights as numpy saves them.

    Raises:
        FeatureError: it is missing or broken.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {key: torch.from_numpy(np.asarray(arrays[key], np.float32)) for key in arrays}
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # zip, zlib and numpy each raise their own
        raise FeatureError(f"{path} cannot be read: {error}. It may not be whole: download it again.") from error


def _missing(path: Path) -> FeatureError:
    there = sorted(file.name for file in path.parent.iterdir()) if path.parent.is_dir() else []
    return FeatureError(f"{path.parent} has no {path.name}. It has {', '.join(there[:8]) or 'nothing'}.")
