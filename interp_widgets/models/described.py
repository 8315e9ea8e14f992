"""A module together with its description, to be passed wherever a model is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnsight import NNsight

from interp_widgets.models.adapted import Adapted
from interp_widgets.models.description import Description
from interp_widgets.models.labels import Names


@dataclass(frozen=True, eq=False, repr=False)
class Described:
    """A module that experiments can run, made by `describe`. Printing it says what was found."""

    adapted: Adapted
    labels: Names | None = None
    """Names of token ids."""
    answers: Names | None = None
    """Names of what it predicts, where that is not tokens."""
    tokenizer: Any | None = None
    setup: str = "from nnsight import NNsight\n\nlm = NNsight(model)  # `model` is the module that you described\n"
    """The lines of Python that make an nnsight model of what a user holds."""
    handle: str = "lm"
    """What those lines call it."""
    found: str = ""
    """What was found of it."""
    nnsight: Any = field(init=False)
    """The nnsight model that experiments trace, for edits of your own: your module is its `net`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nnsight", NNsight(self.adapted))

    def __repr__(self) -> str:
        return self.found or f"{self.adapted.config.name_or_path}, described"

    def eval(self) -> Described:
        """Turn dropout off, as for a module."""
        self.adapted.eval()
        return self

    @property
    def description(self) -> Description:
        """What was said of it."""
        return self.adapted.description
