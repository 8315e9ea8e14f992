"""Interpretability experiments in one line, as live instruments in your notebook.

Names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp_widgets import teaching
    from interp_widgets.experiments.patching import run_patching
    from interp_widgets.models.describe import describe
    from interp_widgets.models.description import Description
    from interp_widgets.models.inspect import inspect
    from interp_widgets.results.model_report import ModelReport
    from interp_widgets.results.patching import PatchingResult
    from interp_widgets.show import show_patching
    from interp_widgets.views.patching_grid import PatchingGrid

__version__ = "0.1.0"

__all__ = [
    "Description",
    "ModelReport",
    "PatchingGrid",
    "PatchingResult",
    "describe",
    "inspect",
    "run_patching",
    "show_patching",
    "teaching",
]

_HOME = {
    "Description": "interp_widgets.models.description",
    "ModelReport": "interp_widgets.results.model_report",
    "PatchingGrid": "interp_widgets.views.patching_grid",
    "PatchingResult": "interp_widgets.results.patching",
    "describe": "interp_widgets.models.describe",
    "inspect": "interp_widgets.models.inspect",
    "run_patching": "interp_widgets.experiments.patching",
    "show_patching": "interp_widgets.show",
}


def __getattr__(name: str) -> object:
    if name == "teaching":
        return importlib.import_module("interp_widgets.teaching")
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'interp_widgets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
