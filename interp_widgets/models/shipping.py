"""Take this package to a machine where it is not installed.

What is in this file travels by value: it must import nothing else of the package, and decorate no function, since
nnsight would undress it. Everything else travels as text and is imported there as always, so that no other code needs
to know of it and the server may have another version of Python.
"""

from __future__ import annotations

import hashlib
import importlib
import linecache
import sys
from collections.abc import Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from nnsight.intervention.serialization import loads

PACKAGE = "interp_widgets"
MARK = "interp-widgets "
"""Starts the printed lines that are meant for us."""
_PARTS = ("results", "models", "experiments")


class Parcel(MetaPathFinder, Loader):
    """Modules as text, path in the package to source, which Python can import from."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = dict(sources)
        # Part of file names: nnsight remembers for each name what it once read there, in a server that runs for weeks.
        self.digest = hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()[:16]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module of the package."""
        file = self._file(name)
        if file is None:
            return None
        origin = f"{PACKAGE}-{self.digest}/{file}"
        spec = spec_from_loader(name, self, origin=origin, is_package=file.endswith("__init__.py"))
        if spec is not None:
            spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's source, and let nnsight read in it what traces are made of."""
        source, origin = self.sources[str(self._file(module.__name__))], str(module.__file__)
        linecache.cache[origin] = (len(source), None, source.splitlines(keepends=True), origin)
        exec(compile(source, origin, "exec", dont_inherit=True), module.__dict__)

    def _file(self, name: str) -> str | None:
        stem = name.replace(".", "/")
        return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if file in self.sources), None)


def pack() -> Parcel:
    """Pack what experiments are made of: no views, and no teaching model."""
    root = Path(__file__).parents[1]
    files = [root / "__init__.py", *(file for part in _PARTS for file in sorted((root / part).rglob("*.py")))]
    return Parcel({file.relative_to(root.parent).as_posix(): file.read_text(encoding="utf-8") for file in files})


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


def run(parcel: Parcel, place: str, model: Any, arguments: bytes) -> Any:
    """Call a function of a parcel, in place of a version that may be installed, and leave no module behind.

    Args:
        parcel: where to import from.
        place: the function's module and name, as in `package.module:function`.
        model: its first argument.
        arguments: its others, which may hold what only the parcel can unpack.
    """
    module, _, name = place.partition(":")
    hidden = _take_out()
    sys.meta_path.insert(0, parcel)
    try:
        return getattr(importlib.import_module(module), name)(model, *loads(arguments))
    finally:
        sys.meta_path.remove(parcel)
        _take_out()
        sys.modules.update(hidden)


def say(line: str) -> None:
    """Send a line to whoever waits for this run: what a job prints, a server passes on at once."""
    print(f"{MARK}{line}", flush=True)
