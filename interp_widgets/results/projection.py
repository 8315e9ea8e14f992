"""Where tokens lie in the space of one site, layer by layer, seen along a few axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from string import Template
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.procrustes import turned_onto
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["pca", "tsne", "umap"]
"""How many numbers become few: principal components, or a map of who is near whom."""
METHODS: tuple[Method, ...] = get_args(Method)
NAMES: dict[str, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
"""The methods as people write them."""

_ARRAYS = ("ids", "starts", "points", "coords", "variance", "total", "scree", "basis", "offsets")


@dataclass(frozen=True, eq=False, repr=False)
class ProjectionResult(Saved):
    """Points in a plane (or in a few dimensions more), one for each token that was asked for, in each layer.

    A point has the same number in every layer, counted through all prompts in their order. All that is left of an
    activation are its coordinates.
    """

    method: Method
    site: Site
    layers: tuple[int, ...]
    axes: tuple[str, ...]
    """What the coordinates are called: first the directions that were given, then "PC 1", "t-SNE 1" and so on."""
    n_given: int
    """How many of the axes are directions that were given."""
    ids: NDArray[np.int32]
    """(token): the tokens of all prompts, one after the other."""
    starts: NDArray[np.int64]
    """(prompt): where each begins in `ids`."""
    vocab: Mapping[int, str]
    """Label of every token id."""
    labels: tuple[str, ...]
    """(prompt): what each was called; empty where nothing was said."""
    points: NDArray[np.int64]
    """(point): its token, as an index into `ids`."""
    coords: NDArray[np.float32]
    """(layer, point, axis): NaN where not computed yet. Along a given direction an activation's component in its own
    units; along a principal component the same, counted from the mean."""
    variance: NDArray[np.float64]
    """(layer, axis): variance along each axis; NaN where axes are no directions (t-SNE and UMAP)."""
    total: NDArray[np.float64]
    """(layer,): variance in all dimensions."""
    scree: NDArray[np.float32]
    """(layer, component): the shares of the variance that the leading principal components have."""
    basis: NDArray[np.float32]
    """(layer, axis, d): unit vectors of the axes; without axes for t-SNE and UMAP. Of a principal component the number
    that is largest in size is positive, as in scikit-learn."""
    offsets: NDArray[np.float32]
    """(layer, axis): what is subtracted from an activation's product with the unit vector: 0 for directions that were
    given, the mean's own for principal components."""
    outlier: float | None
    """How many times larger than others the first tokens are, at the layer where most, if that is why they are left
    out; None where they are not."""
    done: int
    """How many points were read or placed, of `todo`."""
    todo: int
    provenance: Provenance
    code: str = field(default="", compare=False)
    """Template of the lines of nnsight that find the axes of one layer, `$there`; empty where a few lines do not do."""
    reads: tuple[str, ...] = field(default=(), compare=False)
    """(layer): what `$there` is in each."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, ProjectionResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def computed(self) -> NDArray[np.bool_]:
        """(layer,): whether its points are placed."""
        placed: NDArray[np.bool_] = np.isfinite(self.coords[:, 0, 0])
        return placed

    @property
    def remaining(self) -> int:
        """Number of layers that are not placed yet."""
        return int((~self.computed).sum())

    @property
    def complete(self) -> bool:
        """Whether all layers are placed."""
        return self.remaining == 0

    @cached_property
    def prompts(self) -> tuple[Tokens, ...]:
        """The prompts."""
        ends = [*self.starts[1:].tolist(), len(self.ids)]
        each = [tuple(self.ids[start:end].tolist()) for start, end in zip(self.starts.tolist(), ends, strict=True)]
        return tuple(Tokens(ids, tuple(self.vocab[token] for token in ids)) for ids in each)

    @cached_property
    def prompt_of(self) -> NDArray[np.int64]:
        """(point): the number of its prompt."""
        prompt: NDArray[np.int64] = np.searchsorted(self.starts, self.points, side="right") - 1
        return prompt

    @cached_property
    def position_of(self) -> NDArray[np.int64]:
        """(point): its position in its prompt."""
        position: NDArray[np.int64] = self.points - self.starts[self.prompt_of]
        return position

    def token(self, point: int) -> str:
        """Return the label of a point's token.

        Raises:
            SelectionError: there is no such point.
        """
        return self.vocab[int(self.ids[self.points[self._checked(point)]])]

    def label(self, point: int) -> str | None:
        """Return what a point's prompt was called, None where nothing was said.

        Raises:
            SelectionError: there is no such point.
        """
        return self.labels[self.prompt_of[self._checked(point)]] if self.labels else None

    def find(
        self,
        *,
        token: str | None = None,
        label: str | None = None,
        prompt: int | None = None,
        position: int | None = None,
    ) -> list[int]:
        """Return the numbers of the points that agree with all that is given, as `view.selected` takes them.

        Args:
            token: label of the token, such as "␣Mary"; "Mary" finds it too.
            label: what the prompt was called.
            prompt: number of the prompt.
            position: position in the prompt; negative ones count from the end of each.
        """
        keep = np.ones(len(self), bool)
        if token is not None:
            wanted = [id for id, name in self.vocab.items() if token in (name, name.strip("␣"), name.replace("␣", " "))]
            keep &= np.isin(self.ids[self.points], wanted)
        if label is not None:
            keep &= np.isin(self.prompt_of, [n for n, name in enumerate(self.labels) if name == label])
        if prompt is not None:
            keep &= self.prompt_of == prompt
        if position is not None:
            lengths = np.diff([*self.starts, len(self.ids)])
            keep &= self.position_of == (position if position >= 0 else position + lengths[self.prompt_of])
        return [int(point) for point in np.flatnonzero(keep)]

    @cached_property
    def turns(self) -> NDArray[np.float64]:
        """(layer, axis, axis): the rotation or reflection that brings each layer nearest to the one before it.

        Orthogonal Procrustes, layer by layer: coordinates times the turn are the steady ones. It is the identity for
        the first layer, for layers that are not placed yet, and where axes are directions that were given, which do not
        turn.
        """
        size = len(self.axes)
        turns: NDArray[np.float64] = np.array([np.eye(size)] * len(self.layers))
        if self.n_given:
            return turns
        before: NDArray[np.float64] | None = None
        for layer in np.flatnonzero(self.computed):
            here = self.coords[layer].astype(np.float64)
            centred = here - here.mean(0)
            if before is not None:
                turns[layer] = turned_onto(centred, before)
            before = centred @ turns[layer]
        return turns

    def coordinates(self, layer: int, *, align: bool = False) -> NDArray[np.float32]:
        """Return the coordinates in one layer, (point, axis).

        Args:
            layer: the layer.
            align: turn them onto those of the layer before, and those onto the one before that.

        Raises:
            SelectionError: the layer is not among those that were asked for.
        """
        row = self.row(layer)
        if not align:
            plain: NDArray[np.float32] = self.coords[row]
            return plain
        turned: NDArray[np.float32] = (self.coords[row] @ self.turns[row]).astype(np.float32)
        return turned

    def shares(self, layer: int, *, align: bool = False) -> NDArray[np.float64]:
        """Return the share of a layer's variance along each axis; NaN for t-SNE and UMAP.

        Raises:
            SelectionError: the layer is not among those that were asked for.
        """
        row = self.row(layer)
        variance = self.variance[row]
        # Principal components are uncorrelated, so what lies along a turned axis is a sum over them.
        along = (self.turns[row] ** 2).T @ variance if align and not self.n_given else variance
        with np.errstate(divide="ignore", invalid="ignore"):
            shares: NDArray[np.float64] = along / self.total[row]
        return shares

    def explained(self, layer: int) -> float:
        """Return the share of a layer's variance that all axes hold together; NaN for t-SNE and UMAP.

        Raises:
            SelectionError: the layer is not among those that were asked for.
        """
        row = self.row(layer)
        if self.n_given < 2 or not len(self.basis[row]):
            return float(self.shares(layer).sum())
        # Directions that were given need not be at right angles, so that their shares overlap.
        return float("nan")

    def script(self, layer: int) -> str:
        """Return the lines of nnsight that compute a layer's coordinates; they run as printed.

        Raises:
            SelectionError: the layer is not among those that were asked for.
            ResultError: a few lines do not do: for directions that were given, t-SNE, UMAP, and texts in windows.
        """
        row = self.row(layer)
        if not self.code:
            raise ResultError(
                "There are no few lines for this: directions that were given, t-SNE, UMAP and texts longer than the "
                "model's context take more."
            )
        return Template(self.code).safe_substitute(there=self.reads[row])

    def row(self, layer: int) -> int:
        """Return the place of a layer among those that were asked for.

        Raises:
            SelectionError: it is none of them.
        """
        if isinstance(layer, bool) or layer not in self.layers:
            raise SelectionError(f"no layer {layer!r} here: there are layers {', '.join(map(str, self.layers))}.")
        return self.layers.index(layer)

    def cosines(self, layer: int) -> NDArray[np.float64]:
        """Return the cosines between the axes' directions in a layer, (axis, axis).

        Raises:
            SelectionError: the layer is not among those that were asked for.
        """
        basis = self.basis[self.row(layer)].astype(np.float64)
        cosines: NDArray[np.float64] = basis @ basis.T
        return cosines

    def to_frame(self, *, align: bool = False, points: Sequence[int] | None = None) -> pd.DataFrame:
        """One row for each layer and point (needs pandas).

        Columns: `layer`, `point`, `prompt`, `position`, `token`, `label` where prompts have one, and one for each axis.

        Args:
            align: turn each layer onto the one before.
            points: only these, such as `view.selected`; all by default.
        """
        import pandas as pd

        chosen = np.arange(len(self)) if points is None else np.array([self._checked(point) for point in points], int)
        ids, prompt = self.ids[self.points[chosen]], self.prompt_of[chosen]
        rows = len(self.layers)
        columns: dict[str, Any] = {
            "layer": np.repeat(self.layers, len(chosen)),
            "point": np.tile(chosen, rows),
            "prompt": np.tile(prompt, rows),
            "position": np.tile(self.position_of[chosen], rows),
            "token": [self.vocab[int(token)] for token in ids] * rows,
        }
        if self.labels:
            columns["label"] = [self.labels[number] for number in prompt] * rows
        coords = np.stack([self.coordinates(layer, align=align)[chosen] for layer in self.layers])
        columns |= {name: coords[:, :, axis].ravel() for axis, name in enumerate(self.axes)}
        table: pd.DataFrame = pd.DataFrame(columns)
        return table

    def summary(self) -> str:
        """Say in words what lies where."""
        lines = [
            f"{NAMES[self.method] if self.n_given < len(self.axes) else 'Directions'} of {self.site} of "
            f"{self.provenance.model}: {len(self):,} points of {len(self.starts):,} prompts in {len(self.layers)} "
            f"layer{'s' * (len(self.layers) > 1)}, along {', '.join(self.axes)}."
        ]
        if self.outlier is not None:
            lines.append(
                f"First tokens are left out: they are up to {self.outlier:.0f} times larger than others, so that they "
                "alone would make the first axis."
            )
        for layer in self.layers:
            if self.computed[self.row(layer)] and np.isfinite(self.shares(layer)).all():
                shares = ", ".join(
                    f"{share:.0%} along {axis}" for axis, share in zip(self.axes, self.shares(layer), strict=True)
                )
                lines.append(f"Layer {layer}: of the variance {shares}.")
        if not self.complete:
            lines.append(f"{self.remaining} layers are not placed yet.")
        return "\n".join(lines)

    def shape_in_words(self) -> str:
        """Return how much of what there is."""
        return f"{len(self):,} points x {len(self.layers)} layers"

    def __repr__(self) -> str:
        return f"ProjectionResult({self.shape_in_words()}, {self.site}, {', '.join(self.axes)})"

    def _checked(self, point: int) -> int:
        if isinstance(point, bool) or not isinstance(point, (int, np.integer)) or not 0 <= point < len(self):
            raise SelectionError(f"there is no point {point!r}: they run from 0 to {len(self) - 1}.")
        return int(point)

    def _contents(self) -> Contents:
        plain = ("method", "site", "layers", "axes", "n_given", "labels", "outlier", "done", "todo", "code", "reads")
        header = {name: getattr(self, name) for name in plain}
        header |= {"vocab": list(self.vocab.items()), "provenance": asdict(self.provenance)}
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ProjectionResult:
        return cls(
            method=header["method"],
            site=header["site"],
            layers=tuple(header["layers"]),
            axes=tuple(header["axes"]),
            n_given=header["n_given"],
            vocab={int(token): label for token, label in header["vocab"]},
            labels=tuple(header["labels"]),
            outlier=header["outlier"],
            done=header["done"],
            todo=header["todo"],
            provenance=Provenance(**header["provenance"]),
            code=header["code"],
            reads=tuple(header["reads"]),
            **{name: arrays[name] for name in _ARRAYS},
        )
