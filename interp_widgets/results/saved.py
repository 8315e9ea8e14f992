"""Results as files: one safetensors file each, with everything that is no array as JSON in its header."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError

S = TypeVar("S", bound="Saved")
Contents: TypeAlias = "tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]"
"""A result in parts: plain values for JSON, and arrays by name."""


class Saved(ABC):
    """A result that can be kept in a file or sent as bytes, and is the same when it is read again."""

    @abstractmethod
    def _contents(self) -> Contents:
        """The result in parts."""

    @classmethod
    @abstractmethod
    def _of_contents(cls: type[S], header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> S:
        """Put a result together from its parts; what is missing or odd raises KeyError, TypeError or ValueError."""

    def save(self, path: str | Path) -> Path:
        """Write the result to one safetensors file, with everything that is no array as JSON in its header.

        Raises:
            ResultError: the folder does not exist.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise ResultError(f"there is no folder {path.parent} to save into. Make it first.")
        path.write_bytes(self.to_bytes())
        return path

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        from safetensors.numpy import save

        header, arrays = self._contents()
        metadata = {"interp_widgets": type(self).__name__, "result": json.dumps(header)}
        packed: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=metadata)
        return packed

    @classmethod
    def load(cls: type[S], path: str | Path) -> S:
        """Read a result that `save` wrote. It equals the one that was saved.

        Raises:
            ResultError: the file holds something else.
        """
        if not Path(path).is_file():
            raise ResultError(f"there is no file {path}. Pass a file that `save` wrote.")
        return cls.from_bytes(Path(path).read_bytes(), str(path))

    @classmethod
    def from_bytes(cls: type[S], data: bytes, path: str = "this") -> S:
        """Read what `to_bytes` returned; `path` says in messages where it was.

        Raises:
            ResultError: it is something else.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays: dict[str, NDArray[Any]] = load(data)
            size = int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        except (SafetensorError, UnicodeDecodeError) as error:
            raise ResultError(f"{path} is not a safetensors file: {error}. Pass a file that `save` wrote.") from error
        kind = metadata.get("interp_widgets")
        if kind != cls.__name__:
            held = f", but a {kind}: `{kind}.load` reads it" if kind else ""
            raise ResultError(f"{path} holds no {cls.__name__}{held}. Pass a file that `{cls.__name__}.save` wrote.")
        for array in arrays.values():
            array.setflags(write=False)
        try:
            return cls._of_contents(json.loads(metadata["result"]), arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(
                f"{path} was cut short or written by another version of interp_widgets ({error!r}). Compute it again."
            ) from error
