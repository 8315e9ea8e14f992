"""How the training of a tuned lens went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved

if TYPE_CHECKING:
    import pandas as pd

_ARRAYS = ("steps", "tokens", "trained", "held_out")


@dataclass(frozen=True, eq=False)
class LensCurves(Saved):
    """What was measured while a tuned lens was trained.

    Divergence is KL(own || lens) in nats: that of what the lens says at a layer from what the model itself says at the
    end, as mean over tokens. At step 0 translators change nothing, so that the first point is the logit lens.
    """

    steps: NDArray[np.int64]
    """(point,): how many steps were made until then."""
    tokens: NDArray[np.int64]
    """(point,): how many tokens were trained on until then."""
    trained: NDArray[np.float64]
    """(point, layer): divergence on the batches since the point before; NaN at step 0."""
    held_out: NDArray[np.float64]
    """(point, layer): divergence on texts that are not trained on. Translator n reads what enters layer n."""
    total_steps: int
    """How many steps the whole training has."""
    provenance: Provenance

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, LensCurves) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def complete(self) -> bool:
        """Whether all steps were made."""
        return len(self.steps) > 0 and int(self.steps[-1]) == self.total_steps

    @property
    def before(self) -> NDArray[np.float64]:
        """Divergence of the logit lens on held-out texts, (layer,)."""
        before: NDArray[np.float64] = self.held_out[0]
        return before

    @property
    def after(self) -> NDArray[np.float64]:
        """Divergence of the tuned lens on held-out texts, (layer,)."""
        after: NDArray[np.float64] = self.held_out[-1]
        return after

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each point and layer (needs pandas)."""
        import pandas as pd

        point, layer = (index.ravel() for index in np.indices(self.held_out.shape))
        columns = {
            "step": self.steps[point],
            "tokens": self.tokens[point],
            "layer": layer,
            "trained": self.trained.ravel(),
            "held_out": self.held_out.ravel(),
        }
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame

    def summary(self) -> str:
        """Say in a line how far the training is, and what it has come to."""
        means = f"mean KL on held-out texts {self.before.mean():.3f} -> {self.after.mean():.3f} nats"
        return f"step {self.steps[-1]:,} of {self.total_steps:,}: {means}"

    def _contents(self) -> Contents:
        header = {"total_steps": self.total_steps, "provenance": asdict(self.provenance)}
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LensCurves:
        provenance = Provenance(**header["provenance"])
        return cls(**{name: arrays[name] for name in _ARRAYS}, total_steps=header["total_steps"], provenance=provenance)
