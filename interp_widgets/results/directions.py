"""Directions that tell two sets of prompts apart, at layers and positions of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.terms import Site

if TYPE_CHECKING:
    import pandas as pd

_ARRAYS = ("vectors", "separation", "accuracy")


@dataclass(frozen=True, eq=False, repr=False)
class Directions(Saved):
    """The difference of two means, for each of some layers and positions: from the negative set to the positive one."""

    site: Site
    layers: tuple[int, ...]
    positions: tuple[int, ...]
    """As they were asked for: negative ones count from the end of each prompt."""
    vectors: NDArray[np.float32]
    """(layer, position, d)."""
    separation: NDArray[np.float32]
    """(layer, position): d', the distance of the two means along the direction in standard deviations, pooled over both
    sets. On the prompts that the direction was made from, so it flatters, the more the fewer there are; NaN where a set
    has one prompt."""
    accuracy: NDArray[np.float32]
    """(layer, position): the share of prompts that are told apart by a direction and a midpoint between the means that
    were made without them, the mean over both sets (leave one out); NaN where a set has one prompt."""
    counts: tuple[int, int]
    """How many prompts are in the positive and in the negative set."""
    provenance: Provenance

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, Directions) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def norms(self) -> NDArray[np.float32]:
        """(layer, position): lengths of the vectors."""
        norms: NDArray[np.float32] = np.linalg.norm(self.vectors, axis=-1)
        return norms

    @property
    def matrix(self) -> NDArray[np.float32]:
        """(layer * position, d): all of them as rows, in the order of `to_frame`."""
        return self.vectors.reshape(-1, self.vectors.shape[-1])

    def vector(self, layer: int, position: int | None = None) -> NDArray[np.float32]:
        """Return one direction, (d,); the position may be left out where there is one.

        Raises:
            SelectionError: there is none for that layer or position.
        """
        if position is None and len(self.positions) == 1:
            (position,) = self.positions
        if layer not in self.layers or position not in self.positions:
            raise SelectionError(
                f"no direction for layer {layer!r} and position {position!r}: there are layers "
                f"{', '.join(map(str, self.layers))} and positions {', '.join(map(str, self.positions))}."
            )
        vector: NDArray[np.float32] = self.vectors[self.layers.index(layer), self.positions.index(position)]
        return vector

    def best(self) -> dict[str, int]:
        """Return the layer and position that tell the sets apart best: the highest accuracy, of equals the largest d'.

        What tells two sets apart need not be what the model goes by: steering shows that.

        Raises:
            SelectionError: a set has one prompt, so that nothing is known of either.
        """
        if np.isnan(self.accuracy).all():
            raise SelectionError("a set of one prompt tells nothing of how well it is told apart. Choose a layer.")
        order = np.lexsort((self.separation.ravel(), self.accuracy.ravel()))
        layer, position = np.unravel_index(int(order[-1]), self.accuracy.shape)
        return {"layer": self.layers[int(layer)], "position": self.positions[int(position)]}

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer and position (needs pandas): `layer`, `position`, `norm`, `separation`, `accuracy`."""
        import pandas as pd

        layer, position = (axis.ravel() for axis in np.indices(self.accuracy.shape))
        table: pd.DataFrame = pd.DataFrame(
            {
                "layer": np.array(self.layers)[layer],
                "position": np.array(self.positions)[position],
                "norm": self.norms.ravel(),
                "separation": self.separation.ravel(),
                "accuracy": self.accuracy.ravel(),
            }
        )
        return table

    def summary(self) -> str:
        """Say in words what was compared and where the sets are told apart best."""
        lines = [
            f"Differences of means at {self.site} of {self.provenance.model}, over {self.counts[0]} positive and "
            f"{self.counts[1]} negative prompts."
        ]
        if not np.isnan(self.accuracy).all():
            best = self.best()
            at = self.layers.index(best["layer"]), self.positions.index(best["position"])
            lines.append(
                f"Told apart best at layer {best['layer']}, position {best['position']}: accuracy "
                f"{self.accuracy[at]:.2f} (leave one out), d' {self.separation[at]:.1f}."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"Directions({self.site}, {len(self.layers)} layers x {len(self.positions)} positions, "
            f"{self.vectors.shape[-1]} wide)"
        )

    def _contents(self) -> Contents:
        plain = ("site", "layers", "positions", "counts")
        header = {name: getattr(self, name) for name in plain} | {"provenance": asdict(self.provenance)}
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Directions:
        first, second = header["counts"]
        return cls(
            site=header["site"],
            layers=tuple(header["layers"]),
            positions=tuple(header["positions"]),
            counts=(first, second),
            provenance=Provenance(**header["provenance"]),
            **{name: arrays[name] for name in _ARRAYS},
        )
