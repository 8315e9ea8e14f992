"""A superposition result as one safetensors file, with everything that is no array as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.superposition import SuperpositionResult

_KIND = "SuperpositionResult"
_ARRAYS = ("importance", "weights", "biases", "curve_steps", "curves", "constant_losses")
_PLAIN = ("probabilities", "steps", "activation", "correlated", "anticorrelated", "code")


def pack(result: SuperpositionResult) -> bytes:
    """Return a result as the bytes of a file."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(getattr(result, name)) for name in _ARRAYS}
    header = {name: getattr(result, name) for name in _PLAIN} | {"provenance": asdict(result.provenance)}
    packed: bytes = save(arrays, metadata={"interp_widgets": _KIND, "result": json.dumps(header)})
    return packed


def unpack(data: bytes, path: str) -> SuperpositionResult:
    """Read what `pack` returned; `path` says in messages where it was.

    Raises:
        ResultError: it is something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    except (SafetensorError, UnicodeDecodeError) as error:
        raise ResultError(f"{path} is not a safetensors file: {error}. Pass a file that `save` wrote.") from error
    if metadata.get("interp_widgets") != _KIND:
        raise ResultError(f"{path} holds no {_KIND}. Pass a file that `{_KIND}.save` wrote.")
    for array in arrays.values():
        array.setflags(write=False)
    try:
        return _read(json.loads(metadata["result"]), arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(
            f"{path} was cut short or written by another version of interp_widgets ({error!r}). Compute it again."
        ) from error


def _read(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> SuperpositionResult:
    return SuperpositionResult(
        **{name: arrays[name] for name in _ARRAYS},
        probabilities=tuple(header["probabilities"]),
        steps=header["steps"],
        activation=header["activation"],
        correlated=tuple(map(tuple, header["correlated"])),
        anticorrelated=tuple(map(tuple, header["anticorrelated"])),
        code=header["code"],
        provenance=Provenance(**header["provenance"]),
    )
