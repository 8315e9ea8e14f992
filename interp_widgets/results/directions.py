"""Directions that tell two sets of prompts apart, at layers and positions of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
    """A direction for each of some layers and positions, from a negative set to a positive one.

    The length of a direction is how far the mean moves along it from one set to the other.
    """

    site: Site
    layers: tuple[int, ...]
    positions: tuple[int | None, ...]
    """As they were asked for: negative ones count from the end of each prompt. None is no position of its own: the mean
    over tokens, or tokens wherever they are."""
    vectors: NDArray[np.float32]
    """(layer, position, d)."""
    separation: NDArray[np.float32]
    """(layer, position): d', the distance of the two means along the direction in standard deviations, pooled over both
    sets. On the prompts that the direction was made from, so it flatters, the more the fewer there are; NaN where a set
    has one prompt."""
    accuracy: NDArray[np.float32]
    """(layer, position): the share of prompts that are told apart by a direction and a midpoint between the means that
    were made without them, the mean over both sets (leave one out); NaN where a set has one prompt. Of a probe, its
    balanced accuracy on texts that it was not fitted to."""
    counts: tuple[int, int]
    """How many prompts are in the positive and in the negative set."""
    provenance: Provenance
    method: str = "Differences of means"
    """What the directions are, in words."""

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

    def at(self, layer: int, position: int | None = None) -> Directions:
        """Return one direction with all that is known of it; the position may be left out where there is one.

        Raises:
            SelectionError: there is none for that layer or position.
        """
        self.vector(layer, position)  # says what is wrong
        if position not in self.positions:
            (position,) = self.positions
        row, column = self.layers.index(layer), self.positions.index(position)
        arrays = {name: getattr(self, name)[row : row + 1, column : column + 1] for name in _ARRAYS}
        return replace(self, layers=(layer,), positions=(position,), **arrays)

    def best(self) -> dict[str, int | None]:
        """Return the layer and position that tell the sets apart best: the highest accuracy, of equals the largest d'.

        What tells two sets apart need not be what the model goes by: steering shows that.

        Raises:
            SelectionError: a set has one prompt, so that nothing is known of either.
        """
        if np.isnan(self.accuracy).all():
            raise SelectionError("a set of one prompt tells nothing of how well it is told apart. Choose a layer.")
        known = np.nan_to_num(self.accuracy.ravel(), nan=-1.0)  # NaN would come out as the largest
        order = np.lexsort((self.separation.ravel(), known))
        layer, position = np.unravel_index(int(order[-1]), self.accuracy.shape)
        return {"layer": self.layers[int(layer)], "position": self.positions[int(position)]}

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer and position (needs pandas): `layer`, `position`, `norm`, `separation`, `accuracy`."""
        import pandas as pd

        layer, position = (axis.ravel() for axis in np.indices(self.accuracy.shape))
        table: pd.DataFrame = pd.DataFrame(
            {
                "layer": np.array(self.layers)[layer],
                "position": pd.array(self.positions, dtype="Int64")[position],
                "norm": self.norms.ravel(),
                "separation": self.separation.ravel(),
                "accuracy": self.accuracy.ravel(),
            }
        )
        return table

    def summary(self) -> str:
        """Say in words what was compared and where the sets are told apart best."""
        lines = [
            f"{self.method} at {self.site} of {self.provenance.model}, over {self.counts[0]} positive and "
            f"{self.counts[1]} negative prompts."
        ]
        if not np.isnan(self.accuracy).all():
            best = self.best()
            at = self.layers.index(best["layer"]), self.positions.index(best["position"])
            lines.append(
                f"Told apart best at layer {best['layer']}, position {best['position']}: accuracy "
                f"{self.accuracy[at]:.2f} on prompts left out, d' {self.separation[at]:.1f}."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"Directions({self.site}, {len(self.layers)} layers x {len(self.positions)} positions, "
            f"{self.vectors.shape[-1]} wide)"
        )

    def _contents(self) -> Contents:
        plain = ("site", "layers", "positions", "counts", "method")
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
            method=header.get("method", cls.method),  # of directions that were saved before there were others
            **{name: arrays[name] for name in _ARRAYS},
        )
