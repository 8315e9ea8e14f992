"""A bundled model to learn, test and demonstrate with: small, offline, and with circuits that were measured.

    >>> from interp_widgets import teaching
    >>> model = teaching.load()
    >>> pairs = teaching.prompts("ioi", n=8)

Importing this module imports neither torch nor nnsight. The name ``load`` does, on first use, with transformers' model
classes: these imports take seconds, the call itself a tenth of one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .pairs import PromptPair, PromptSet, Span
from .prompt_sets import Task, prompts

if TYPE_CHECKING:
    from .loading import load

__all__ = ["PromptPair", "PromptSet", "Span", "Task", "load", "prompts"]


def __getattr__(name: str) -> object:
    if name == "load":
        globals()[name] = importlib.import_module("interp_widgets.teaching.loading").load
        return globals()[name]
    raise AttributeError(f"module 'interp_widgets.teaching' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
