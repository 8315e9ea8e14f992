"""How the training of a dictionary went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

CURVES: Final = ("steps", "tokens", "loss", "variance_explained", "l0", "dead_share", "auxiliary_loss")
"""The arrays of `TrainingCurves`."""


@dataclass(frozen=True, eq=False)
class TrainingCurves(Saved):
    """What was measured while a TopK dictionary was trained; all arrays are (point,).

    A point is the mean over the steps since the point before. Each step is measured on its batch before the weights
    change, so in the first pass over the texts on activations that were not trained on.
    """

    steps: NDArray[np.int64]
    """How many steps were made until then."""
    tokens: NDArray[np.int64]
    """How many tokens were trained on until then."""
    loss: NDArray[np.float64]
    """What is minimised: the share of the variance that is not explained, plus 1/32 of the auxiliary loss."""
    variance_explained: NDArray[np.float64]
    """1 - sum |x - reconstruction|^2 / sum |x - mean of x|^2, with the mean of the batch."""
    l0: NDArray[np.float64]
    """Mean number of latents that fire on a token: k, or less where fewer are above zero."""
    dead_share: NDArray[np.float64]
    """Share of latents that are dead at that point, having not fired on `dead_after` tokens in a row."""
    auxiliary_loss: NDArray[np.float64]
    """Share of the error's variance that dead latents do not explain; 0 where there are none."""
    total_steps: int
    """How many steps the whole training has."""
    provenance: Provenance
    """The model; the settings are all that the training follows from."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrainingCurves):
            return NotImplemented
        return same_content(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def complete(self) -> bool:
        """Whether all steps were made."""
        return len(self.steps) > 0 and int(self.steps[-1]) == self.total_steps

    def upto(self, step: int) -> TrainingCurves:
        """Return the curves up to a step."""
        made = self.steps <= step
        arrays = {name: getattr(self, name)[made] for name in CURVES}
        return TrainingCurves(**arrays, total_steps=self.total_steps, provenance=self.provenance)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each point, with the arrays as columns. Needs pandas."""
        import pandas as pd

        table: pd.DataFrame = pd.DataFrame({name: getattr(self, name) for name in CURVES})
        return table

    def figure(self) -> Figure:
        """Draw loss, variance explained, L0 and dead latents by tokens seen (needs matplotlib)."""
        from interp_widgets.results.training_figure import draw_training

        return draw_training(self)

    def summary(self) -> str:
        """Say in a line how far the training is, and what it has come to."""
        if not len(self.steps):
            return f"step 0 of {self.total_steps:,}"
        return (
            f"step {self.steps[-1]:,} of {self.total_steps:,}: variance explained {self.variance_explained[-1]:.3f}, "
            f"L0 {self.l0[-1]:.2f}, dead {self.dead_share[-1]:.1%}"
        )

    def _contents(self) -> Contents:
        header = {"total_steps": self.total_steps, "provenance": asdict(self.provenance)}
        return header, {name: getattr(self, name) for name in CURVES}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainingCurves:
        provenance = Provenance(**header["provenance"])
        return cls(**{name: arrays[name] for name in CURVES}, total_steps=header["total_steps"], provenance=provenance)
