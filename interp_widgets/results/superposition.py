"""The result of training toy models of superposition: how many features share how few dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from string import Template
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.shapes import KEPT, Shape, dimensionality, in_words, interference, shapes

if TYPE_CHECKING:
    import pandas as pd

Activation = Literal["relu", "linear"]

_ARRAYS = ("importance", "weights", "biases", "curve_steps", "curves", "constant_losses")
_PLAIN = ("probabilities", "steps", "activation", "correlated", "anticorrelated", "code")


@dataclass(frozen=True, eq=False, repr=False)
class SuperpositionResult(Saved):
    """Toy models that squeeze features into fewer dimensions and read them out again, one for each sparsity.

    A model is `ReLU(WᵀWx + b)`, or `WᵀWx + b` where `activation` is "linear", trained on features x between 0 and 1
    that are 0 most of the time (Elhage et al. 2022). The direction of feature i is the column W_i. For every sparsity
    several models start from different weights; `best` is the one that lost least, and what takes a sparsity is about
    that one unless a model is named.
    """

    probabilities: tuple[float, ...]
    """How often a feature is on, for each sparsity, from dense to sparse: 1 minus the sparsity."""
    importance: NDArray[np.float64]
    """(feature,): what an error in each feature weighs in the loss."""
    weights: NDArray[np.float32]
    """(sparsity, model, hidden, feature): W, whose columns are the features' directions."""
    biases: NDArray[np.float32]
    """(sparsity, model, feature): b."""
    curve_steps: NDArray[np.int64]
    """(checkpoint,): how many steps each point of `curves` was trained for; the last is the state of the weights."""
    curves: NDArray[np.float64]
    """(checkpoint, sparsity, model): loss on examples that were not trained on, the mean over examples of the sum over
    features of importance times squared error."""
    constant_losses: NDArray[np.float64]
    """(sparsity,): the same loss of the best answer that ignores its input, each feature's mean."""
    steps: int
    """How many steps the whole training has."""
    activation: Activation
    provenance: Provenance
    correlated: tuple[tuple[int, ...], ...] = ()
    """Sets of features that are on together or not at all."""
    anticorrelated: tuple[tuple[int, ...], ...] = ()
    """Sets of features of which no two are ever on together."""
    code: str = ""
    """Lines of torch that train one of the models, a template with `$probability` and `$model`."""

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.weights.shape[-1])

    @property
    def n_hidden(self) -> int:
        """Number of dimensions that they share."""
        return int(self.weights.shape[-2])

    @property
    def n_models(self) -> int:
        """Number of models that were trained for each sparsity."""
        return int(self.weights.shape[1])

    @property
    def sparsities(self) -> tuple[float, ...]:
        """How often a feature is 0, for each sparsity."""
        return tuple(1 - probability for probability in self.probabilities)

    @property
    def trained(self) -> int:
        """How many steps the models were trained for so far."""
        return int(self.curve_steps[-1])

    @property
    def complete(self) -> bool:
        """Whether training has come to its end."""
        return self.trained >= self.steps

    @property
    def losses(self) -> NDArray[np.float64]:
        """(sparsity, model): the last point of `curves`."""
        last: NDArray[np.float64] = self.curves[-1]
        return last

    @property
    def lost(self) -> NDArray[np.float64]:
        """(sparsity, model): share of what there is to know of the features that a model loses.

        0 reads every feature out exactly; 1 is no better than ignoring the input.
        """
        share: NDArray[np.float64] = self.losses / self.constant_losses[:, None]
        return share

    @property
    def best(self) -> NDArray[np.int64]:
        """(sparsity,): number of the model that lost least."""
        number: NDArray[np.int64] = self.losses.argmin(axis=1)
        return number

    @property
    def norms(self) -> NDArray[np.float64]:
        """(sparsity, model, feature): |W_i|, about 1 or more for a feature that is kept and 0 for one that is not."""
        norms: NDArray[np.float64] = np.linalg.norm(self.weights.astype(np.float64), axis=-2)
        return norms

    @property
    def dimensionality(self) -> NDArray[np.float64]:
        """(sparsity, model, feature): the share of a dimension that a feature has to itself, from 0 to 1.

        |W_i|² over the sum over all j of (Ŵ_i · W_j)². 1: its direction is its own; 1/2: it shares it with one other,
        in an antipodal pair; 2/5: it is a corner of a pentagon; 0: it is not represented. Over features they add up to
        at most `n_hidden`.
        """
        return dimensionality(self.weights)

    @property
    def interference(self) -> NDArray[np.float64]:
        """(sparsity, model, feature): sum over all others j of (Ŵ_i · W_j)², what they put on a feature's direction."""
        return interference(self.weights)

    def directions(self, sparsity: int, model: int | None = None) -> NDArray[np.float32]:
        """W of one model, (hidden, feature).

        Raises:
            SelectionError: there is no such sparsity or model.
        """
        at = self._sparsity(sparsity)
        number = int(self.best[at]) if model is None else _among(model, self.n_models, "model")
        chosen: NDArray[np.float32] = self.weights[at, number]
        return chosen

    def gram(self, sparsity: int, model: int | None = None) -> NDArray[np.float64]:
        """WᵀW of one model, (feature, feature): what each feature, when on, adds to the read-out of each.

        The diagonal is how much of a feature comes through; off it is interference.

        Raises:
            SelectionError: there is no such sparsity or model.
        """
        directions = self.directions(sparsity, model).astype(np.float64)
        product: NDArray[np.float64] = directions.T @ directions
        return product

    def shapes(self, sparsity: int, model: int | None = None) -> tuple[Shape, ...]:
        """The shapes that the kept features of one model form, the largest first.

        Raises:
            SelectionError: there is no such sparsity or model.
        """
        return shapes(self.directions(sparsity, model))

    def geometry(self, sparsity: int, model: int | None = None) -> str:
        """The shapes of one model in words: "2 antipodal pairs, 1 not kept".

        Raises:
            SelectionError: there is no such sparsity or model.
        """
        return in_words(self.shapes(sparsity, model), self.n_features)

    def find(self, selected: Mapping[str, Any]) -> tuple[int, int | None]:
        """Return (sparsity, feature) of a selection such as {"sparsity": 3, "feature": 0} or {"sparsity": 3}.

        Raises:
            SelectionError: it is none, or the result has no such sparsity or feature.
        """
        if not isinstance(selected, Mapping) or not {"sparsity"} <= set(selected) <= {"sparsity", "feature"}:
            raise SelectionError(f"a selection is {{'sparsity': …, 'feature': …}}, not {selected!r}.")
        feature = selected.get("feature")
        return self._sparsity(selected["sparsity"]), (
            None if feature is None else _among(feature, self.n_features, "feature")
        )

    def script(self, sparsity: int) -> str:
        """The lines of torch that train the best model of a sparsity by itself; they run as they are printed.

        Raises:
            SelectionError: there is no such sparsity.
            ResultError: the result came without code.
        """
        at = self._sparsity(sparsity)
        if not self.code:
            raise ResultError("this result came without the lines that train its models.")
        return Template(self.code).substitute(probability=repr(self.probabilities[at]), model=int(self.best[at]))

    def to_frame(self) -> pd.DataFrame:
        """One row for each sparsity, model and feature (needs pandas).

        Columns: `probability`, `model`, `best` (whether it is the model that lost least), `feature`, `importance`,
        `norm`, `dimensionality`, `interference`, `bias`, and of the whole model `loss` and `lost`.
        """
        import pandas as pd

        sparsity, model, feature = (axis.ravel() for axis in np.indices(self.biases.shape))
        table: pd.DataFrame = pd.DataFrame(
            {
                "probability": np.array(self.probabilities)[sparsity],
                "model": model,
                "best": self.best[sparsity] == model,
                "feature": feature,
                "importance": self.importance[feature],
                "norm": self.norms.ravel(),
                "dimensionality": self.dimensionality.ravel(),
                "interference": self.interference.ravel(),
                "bias": self.biases.ravel(),
                "loss": self.losses[sparsity, model],
                "lost": self.lost[sparsity, model],
            }
        )
        return table

    def summary(self) -> str:
        """Say in words what was trained, and what the features do at each sparsity."""
        start = f", best of {self.n_models}" if self.n_models > 1 else ""
        lines = [f"{self.n_features} features in {self.n_hidden} dimensions, {self.provenance.model}{start}."]
        norms = self.norms
        for at, probability in enumerate(self.probabilities):
            model = int(self.best[at])
            kept = int((norms[at, model] >= KEPT).sum())
            lines.append(
                f"On {percent(probability)} of the time: {kept} of {self.n_features} kept, {self.geometry(at)}; "
                f"{percent(float(self.lost[at, model]))} is lost."
            )
        if not self.complete:
            lines.append(f"Trained for {self.trained} of {self.steps} steps.")
        return "\n".join(lines)

    def _contents(self) -> Contents:
        header = {name: getattr(self, name) for name in _PLAIN} | {"provenance": asdict(self.provenance)}
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> SuperpositionResult:
        return cls(
            **{name: arrays[name] for name in _ARRAYS},
            probabilities=tuple(header["probabilities"]),
            steps=header["steps"],
            activation=header["activation"],
            correlated=tuple(map(tuple, header["correlated"])),
            anticorrelated=tuple(map(tuple, header["anticorrelated"])),
            code=header["code"],
            provenance=Provenance(**header["provenance"]),
        )

    def shape_in_words(self) -> str:
        """The sizes, such as "5 features in 2 dimensions, 8 sparsities x 4 models"."""
        counts = f"{len(self.probabilities)} sparsit{'y' if len(self.probabilities) == 1 else 'ies'}"
        return f"{self.n_features} features in {self.n_hidden} dimensions, {counts} x {self.n_models} models"

    def __repr__(self) -> str:
        rest = "" if self.complete else f", {self.trained} of {self.steps} steps"
        return f"SuperpositionResult({self.shape_in_words()}, {self.activation}{rest})"

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, SuperpositionResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    def _sparsity(self, number: object) -> int:
        return _among(number, len(self.probabilities), "sparsity")


def percent(share: float) -> str:
    """A share as people say it: "50%", "0.8%"."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.0f}%"


def _among(number: object, count: int, noun: str) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < count:
        raise SelectionError(f"no {noun} {number!r} in this result: it has {noun} 0 to {count - 1}.")
    return int(number)
