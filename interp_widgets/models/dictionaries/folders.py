"""Local folders that hold dictionaries."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries import gemma_scope, saelens, sparsify
from interp_widgets.models.dictionaries.coder import Coder
from interp_widgets.models.dictionaries.places import Asked, names_layer
from interp_widgets.results.errors import FeatureError

_READERS: dict[str, Callable[[Path, Access, Asked], Coder]] = {
    saelens.WEIGHTS: saelens.from_saelens_folder,
    sparsify.WEIGHTS: sparsify.from_sparsify_folder,
    gemma_scope.PARAMS: gemma_scope.from_gemma_scope,
    gemma_scope.PARAMS_2: gemma_scope.from_gemma_scope_2,
}
"""By the file that each format has its weights in."""

_LISTED = 8


def open_folder(path: Path, access: Access, asked: Asked) -> Coder:
    """Open the dictionary that a folder holds, or the one of the asked layer where it holds one for each layer.

    Raises:
        FeatureError: no dictionary, several, or one that cannot be read or does not belong to the model.
        SelectionError: it is not known where it reads.
    """
    folder = path.expanduser()
    if folder.name in _READERS:
        folder = folder.parent
    if not folder.is_dir():
        raise FeatureError(
            f"There is no folder {path}. Latents of the hub must be downloaded first, or opened with their own library "
            "and passed as an object."
        )
    for weights, read in _READERS.items():
        if (folder / weights).exists():
            return read(folder, access, asked)
    inner = sorted(file.parent for weights in _READERS for file in folder.rglob(weights))
    if not inner:
        files = sorted(file.name for file in folder.iterdir())
        raise FeatureError(
            f"{path} holds no dictionary of latents: none of {', '.join(_READERS)} is in it. It has "
            f"{', '.join(files[:_LISTED]) or 'nothing'}."
        )
    chosen = [one for one in inner if asked.layer is None or _layer(one.relative_to(folder)) == asked.layer]
    if len(chosen) != 1:
        few = chosen or inner
        names = [one.relative_to(folder).as_posix() for one in few]
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        of_layer = "" if asked.layer is None else f" of layer {asked.layer}"
        raise FeatureError(
            f"{path} holds {len(chosen)} dictionaries{of_layer}. Pass the folder of one: {', '.join(names[:_LISTED])}"
            f"{more}."
        )
    return open_folder(chosen[0], access, asked)


def _layer(inside: Path) -> int | None:
    """Return the layer that the names of folders are about, None if they do not say."""
    for part in inside.parts:
        found = re.search(r"(?:^|_)layer_?(\d+)(?:_|$)", part)
        layer = int(found[1]) if found else names_layer(part)
        if layer is not None:
            return layer
    return None
