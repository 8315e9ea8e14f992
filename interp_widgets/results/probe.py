"""What linear probes read off a model's activations, by layer and position, on texts that they were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import Place
from interp_widgets.results.directions import Directions
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.probe_examples import Examples, Transfer
from interp_widgets.results.probe_measures import MEASURES, Measure, held_out_share, share_interval
from interp_widgets.results.proportions import Bounds
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.terms import Term
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONTROLS",
    "KINDS",
    "MEASURES",
    "Control",
    "Examples",
    "Kind",
    "Measure",
    "Mistake",
    "ProbeResult",
    "Transfer",
    "at_column",
    "promoted",
]

Kind = Literal["logistic", "means"]
Control = Literal["permuted", "types"]
Cell: TypeAlias = "tuple[int, int]"
"""Row and column."""

KINDS: Mapping[Kind, Term] = {
    "logistic": Term("logistic", "logistic regression", "weights that make the labels likeliest, with an L2 penalty"),
    "means": Term("means", "difference of means", "the class whose mean is nearest"),
}
CONTROLS: Mapping[Control, str] = {
    "permuted": "the labels shuffled between examples",
    "types": "a random label for each kind of token, the same wherever it stands",
}
MEAN, TOKENS = "mean over tokens", "each token"


@dataclass(frozen=True)
class Mistake:
    """An example that a probe read wrong."""

    example: int
    text: Tokens
    position: int | None
    """Which token it is; None where it is a whole text."""
    label: str
    predicted: str
    margin: float
    """By how much the wrong class scored above the right one; log odds for logistic regression."""


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(Saved):
    """Linear probes at layers and positions: what they say of examples that were held out of their fit.

    Arrays have the axes (kind, row, column) first: kinds of probes, places of the model, positions. Cells that are not
    computed yet, and those of columns in `untested`, are NaN, or -1 in `predicted`. Equal results compare equal.
    """

    examples: Examples
    classes: tuple[str, ...]
    """Sorted by their labels. Of two, the second is the one that directions point to."""
    rows: tuple[Place, ...]
    """In the order in which the model reaches them."""
    positions: tuple[int | None, ...]
    """Of the columns: negative ones count from the end of each text, None is the mean over its tokens, or each token
    where labels are per token."""
    labels: tuple[str, ...]
    """Of the columns: the token where all texts have the same one there, else "pos 3", "mean" or "tokens"."""
    kinds: tuple[Kind, ...]
    predicted: NDArray[np.int16]
    """(kind, row, column, example): number of the class that a probe gave which was fitted without the example."""
    margin: NDArray[np.float32]
    """(kind, row, column, example): the score of the right class less the largest of the others."""
    scored: NDArray[np.float32]
    """(kind, row, column): AUROC."""
    controls: NDArray[np.float32]
    """(measure, draw, kind, row, column): the same of probes for control labels; without draws if there was no control.
    """
    folds: NDArray[np.int16]
    """(column, example): the fold in which an example is tested; -1 in columns that are not."""
    groups: NDArray[np.int32]
    """(column, example): examples of one group are in one fold."""
    untested: Mapping[int, str]
    """Columns that cannot be tested, and why."""
    vectors: tuple[NDArray[np.float32], ...]
    """For each row, (kind, column, direction, d): of probes fitted to all examples, one direction to the second of two
    classes, or one to each of more. Its length is how far the mean moves along it from the others to the class."""
    separation: NDArray[np.float32]
    """(kind, row, column, direction): d' along it, on the examples that it was fitted to, so that it flatters."""
    top_ids: NDArray[np.int32]
    """(kind, row, column, direction, side, n): tokens that a direction promotes, and those that it suppresses, through
    the unembedding; -1 where the architecture does not let one know."""
    top_logits: NDArray[np.float32]
    """How much, for the whole length of the direction and a last norm whose size is 1."""
    vocab: Mapping[int, str]
    """Label of every token id in `top_ids`."""
    transfers: tuple[Transfer, ...]
    control: Control | None
    provenance: Provenance
    code: Mapping[str, str] = field(default_factory=dict)
    """Lines that fit and test the probes of a cell, by "site kind": templates with $layer, $at, $where, $column and
    $folds."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, ProbeResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def computed(self) -> NDArray[np.bool_]:
        """(row, column): which cells are there."""
        there: NDArray[np.bool_] = np.asarray((self.predicted >= 0).all(axis=(0, 3)))
        return there

    @property
    def majority(self) -> float:
        """The accuracy of always naming the commonest class."""
        return float(np.bincount(self.examples.labels).max() / len(self.examples))

    def chance(self, measure: Measure = "accuracy") -> float:
        """Return what a measure is for a probe that knows nothing: `majority` for accuracy, the best of such.

        Raises:
            UnknownNameError: no such measure.
        """
        _check(measure, "measure", MEASURES)
        return {"accuracy": self.majority, "balanced": 1 / len(self.classes), "auroc": 0.5}[measure]

    def value(self, measure: Measure = "accuracy") -> NDArray[np.float64]:
        """Return a measure of every cell, (kind, row, column), on examples that were held out.

        Raises:
            UnknownNameError: no such measure.
        """
        _check(measure, "measure", MEASURES)
        if measure == "auroc":
            return self.scored.astype(np.float64)
        return held_out_share(self.predicted, self.examples.labels, measure)

    def interval(self, measure: Measure = "accuracy") -> Bounds:
        """Return the 95% confidence interval of a measure, two arrays (kind, row, column).

        Wilson's, with as many examples as those are worth that share a group; for balanced accuracy made of those of
        the classes. It says how sure the share of held-out examples is, not how much other texts to fit to would
        change, and holds for a cell that was chosen beforehand: the best of many flatters. AUROC has none (NaN).

        Raises:
            UnknownNameError: no such measure.
        """
        _check(measure, "measure", MEASURES)
        low, high = (np.full(self.scored.shape, np.nan) for _ in range(2))
        if measure != "auroc":
            for column in np.flatnonzero(self.computed.any(axis=0)):
                bounds = share_interval(
                    self.predicted[:, :, column], self.examples.labels, self.groups[column], measure
                )
                low[:, :, column], high[:, :, column] = bounds
        low[np.isnan(self.value(measure))] = high[np.isnan(self.value(measure))] = np.nan
        return low, high

    def control_value(self, measure: Measure = "accuracy") -> NDArray[np.float64]:
        """Return a measure of the control task, (kind, row, column), the mean over draws; NaN if there was none.

        Raises:
            UnknownNameError: no such measure.
        """
        _check(measure, "measure", MEASURES)
        draws = self.controls[list(MEASURES).index(measure)].astype(np.float64)
        return draws.mean(axis=0) if len(draws) else np.full(self.scored.shape, np.nan)

    def selectivity(self, measure: Measure = "accuracy") -> NDArray[np.float64]:
        """Return a measure less that of the control task, (kind, row, column), after Hewitt and Liang 2019.

        Raises:
            UnknownNameError: no such measure.
        """
        return self.value(measure) - self.control_value(measure)

    def transferred(self, name: str, measure: Measure = "accuracy") -> NDArray[np.float64]:
        """Return a measure on another set of examples, (kind, row, column), of probes fitted to all of this one.

        Raises:
            UnknownNameError: no such set, or no such measure.
        """
        _check(measure, "measure", MEASURES)
        return self._transfer(name).value(measure)

    def transfer_chance(self, name: str, measure: Measure = "accuracy") -> float:
        """Return what a measure is on another set for a probe that knows nothing but the set's commonest class.

        Raises:
            UnknownNameError: no such set, or no such measure.
        """
        _check(measure, "measure", MEASURES)
        return self._transfer(name).chance(measure)

    def transfer_interval(self, name: str, measure: Measure = "accuracy") -> Bounds:
        """Return the 95% confidence interval of `transferred`; tokens of one text count as a group.

        Raises:
            UnknownNameError: no such set, or no such measure.
        """
        _check(measure, "measure", MEASURES)
        low, high = self._transfer(name).interval(measure)
        missing = ~self.computed
        low[:, missing] = high[:, missing] = np.nan
        return low, high

    def best(self, kind: Kind = "logistic", measure: Measure = "accuracy") -> dict[str, Any]:
        """Return the cell where a measure is largest, as `selected` takes it, of equals the first that is reached.

        Raises:
            UnknownNameError: no such kind or measure.
            ResultError: nothing is computed yet.
        """
        values = self.value(measure)[self._kind(kind)]
        if np.isnan(values).all():
            raise ResultError("no cell is computed yet.")
        row, column = np.unravel_index(int(np.nanargmax(np.round(values, 9))), values.shape)
        return self.place((int(row), int(column)))

    def place(self, cell: Cell) -> dict[str, Any]:
        """Return a cell as `selected` takes it: its site, layer and position."""
        row, column = cell
        return {"site": self.rows[row].site, "layer": self.rows[row].layer, "pos": self.positions[column]}

    def find(self, layer: int, pos: int | None = None, site: str | None = None) -> Cell:
        """Return row and column of a cell. The site may be left out where there is one, and so may the position.

        Raises:
            SelectionError: there is no such cell.
        """
        sites = tuple(dict.fromkeys(place.site for place in self.rows))
        if site is None and len(sites) == 1:
            (site,) = sites
        if pos not in self.positions and pos is None and len(self.positions) == 1:
            (pos,) = self.positions
        at: dict[tuple[str | None, int], int] = {(place.site, place.layer): row for row, place in enumerate(self.rows)}
        if (site, layer) not in at or pos not in self.positions:
            positions = ", ".join("None" if each is None else str(each) for each in self.positions)
            raise SelectionError(
                f"there is no probe at site {site!r}, layer {layer!r} and position {pos!r}. There are "
                f"{', '.join(map(str, self.rows))}; positions {positions}."
            )
        return at[site, layer], self.positions.index(pos)

    def confusion(
        self, layer: int, pos: int | None = None, *, site: str | None = None, kind: Kind = "logistic"
    ) -> NDArray[np.int_]:
        """Return how often each class was read as each, (class, predicted class), on held-out examples.

        Raises:
            SelectionError: there is no such cell, or it is not computed.
            UnknownNameError: no such kind.
        """
        cell = self.find(layer, pos, site)
        self._check_computed(cell)
        row, column = cell
        counts: NDArray[np.int_] = self.confusions()[self._kind(kind), row, column]
        return counts

    def confusions(self) -> NDArray[np.int_]:
        """Return those of all cells, (kind, row, column, class, predicted class); 0 where not computed."""
        classes = range(len(self.classes))
        own = [self.predicted[..., self.examples.labels == each] for each in classes]
        return np.stack([np.stack([(part == other).sum(-1) for other in classes], -1) for part in own], -2)

    def mistakes(
        self, layer: int, pos: int | None = None, *, site: str | None = None, kind: Kind = "logistic", n: int = 5
    ) -> list[Mistake]:
        """Return the examples that were read wrong, those first that were so most confidently.

        Raises:
            SelectionError: there is no such cell, or it is not computed.
            UnknownNameError: no such kind.
        """
        number, (row, column) = self._kind(kind), self.find(layer, pos, site)
        self._check_computed((row, column))
        predicted, margin = self.predicted[number, row, column], self.margin[number, row, column]
        wrong = np.flatnonzero(predicted != self.examples.labels)
        return [
            self._mistake(example, int(predicted[example]), float(-margin[example]))
            for example in wrong[np.argsort(margin[wrong], kind="stable")][:n].tolist()
        ]

    def directions(self, kind: Kind = "logistic", *, site: str | None = None, label: str | None = None) -> Directions:
        """Return the directions of probes fitted to all examples, at every layer and position of a site.

        One of them goes to `run_steering` as `direction`, all of them as `features=directions.matrix` to
        `run_features` or `run_feature_patching`. A strength of 1 moves by what lies between the means along it.

        Args:
            kind: of the probe.
            site: may be left out where there is one.
            label: the class that they point to; of two the second by default.

        Raises:
            UnknownNameError: no such kind or class.
            SelectionError: a site or a class has to be named, or does not exist.
        """
        number, towards = self._kind(kind), self._towards(label)
        sites = tuple(dict.fromkeys(place.site for place in self.rows))
        if site is None and len(sites) == 1:
            (site,) = sites
        rows = [row for row, place in enumerate(self.rows) if place.site == site]
        if not rows:
            raise SelectionError(f"site={site!r} has no probes. There are some at {', '.join(sites)}.")
        part, sign = (0, 1.0 if towards else -1.0) if len(self.classes) == 2 else (towards, 1.0)
        inside = self.examples.labels == towards
        named = [self.rows[row] for row in rows]
        assert all(place.site != "mlp_in" for place in named)
        return Directions(
            site=named[0].site,  # type: ignore[arg-type]  # see above
            layers=tuple(place.layer for place in named),
            positions=self.positions,
            vectors=np.stack([sign * self.vectors[row][number, :, part] for row in rows]).astype(np.float32),
            separation=self.separation[number][rows, :, part],
            accuracy=self.value("balanced")[number][rows].astype(np.float32),
            counts=(int(inside.sum()), int((~inside).sum())),
            provenance=self.provenance,
            method=f"Directions of {KINDS[kind].label} to [{self.classes[towards]}]",
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each kind of probe, place, position and measure (needs pandas).

        Columns: `kind`, `site`, `layer`, `pos`, `token` (as in `labels`), `measure`, `value`, `low` and `high` (95%
        interval), `chance`, `control`, `selectivity`, and `transfer: <name>` for each other set.
        """
        import pandas as pd

        kind, row, column = (axis.ravel() for axis in np.indices(self.scored.shape))
        tables = []
        for measure in MEASURES:
            low, high = self.interval(measure)
            tables.append(
                pd.DataFrame(
                    {
                        "kind": np.array(self.kinds, dtype=object)[kind],
                        "site": np.array([place.site for place in self.rows], dtype=object)[row],
                        "layer": np.array([place.layer for place in self.rows])[row],
                        "pos": pd.array(self.positions, dtype="Int64")[column],
                        "token": np.array(self.labels, dtype=object)[column],
                        "measure": measure,
                        "value": self.value(measure).ravel(),
                        "low": low.ravel(),
                        "high": high.ravel(),
                        "chance": self.chance(measure),
                        "control": self.control_value(measure).ravel(),
                        "selectivity": self.selectivity(measure).ravel(),
                    }
                    | {
                        f"transfer: {other.name}": self.transferred(other.name, measure).ravel()
                        for other in self.transfers
                    }
                )
            )
        whole: pd.DataFrame = pd.concat(tables, ignore_index=True)
        return whole

    def summary(self) -> str:
        """Say in words how well the labels are read, and where first."""
        from interp_widgets.results.probe_in_words import summary

        return summary(self)

    def shape_in_words(self) -> str:
        """Say how much there is."""
        noun = "token" if self.examples.per_token else "text"
        return (
            f"Probes for {len(self.classes)} classes ({', '.join(self.classes[:4])}"
            f"{', …' if len(self.classes) > 4 else ''}) on {len(self.examples)} {noun}s, at {len(self.rows)} places "
            f"and {len(self.positions)} position{'s' * (len(self.positions) != 1)}"
        )

    def where(self, column: int) -> str:
        """Say in words where in a text a column is."""
        position = self.positions[column]
        if position is None:
            return TOKENS if self.examples.per_token else MEAN
        if position == -1:
            return "last token"
        return f"position {position}" if position >= 0 else f"position {position} (from the end)"

    def __repr__(self) -> str:
        return f"ProbeResult({self.shape_in_words()})"

    def script(self, cell: Cell, kind: Kind = "logistic") -> str:
        """Return the lines of nnsight and scikit-learn that fit and test the probes of a cell.

        Raises:
            UnknownNameError: no such kind.
            SelectionError: the column is not tested.
            ResultError: the result came without code.
        """
        self._kind(kind)
        if not self.code:
            raise ResultError("this result came without code. Compute it again with this version.")
        row, column = cell
        if column in self.untested:
            raise SelectionError(f"nothing is fitted {self.where(column)}: {self.untested[column]}")
        template = self.code[f"{self.rows[row].site} {kind}"]
        return Template(template).substitute(
            layer=self.rows[row].layer,
            at=at_column(self, column),
            where=self.where(column),
            column=column,
            folds=self.folds[column].tolist(),
        )

    def _kind(self, kind: Kind) -> int:
        _check(kind, "kind of probe", self.kinds)
        return self.kinds.index(kind)

    def _transfer(self, name: str) -> Transfer:
        _check(name, "transfer", [other.name for other in self.transfers])
        return next(other for other in self.transfers if other.name == name)

    def _towards(self, label: str | None) -> int:
        if label is None:
            if len(self.classes) > 2:
                raise SelectionError(f"which of the classes? Pass label= one of {', '.join(self.classes)}.")
            return 1
        _check(label, "class", self.classes)
        return self.classes.index(label)

    def _check_computed(self, cell: Cell) -> None:
        row, column = cell
        if not self.computed[row, column]:
            reason = self.untested.get(column, "it is not computed yet.")
            raise SelectionError(f"nothing is known of {self.rows[row]}, {self.where(column)}: {reason}")

    def _mistake(self, example: int, predicted: int, margin: float) -> Mistake:
        examples = self.examples
        position = int(examples.position[example])
        return Mistake(
            example,
            examples.texts[examples.text[example]],
            position if position >= 0 else None,
            self.classes[examples.labels[example]],
            self.classes[predicted],
            margin,
        )

    def _contents(self) -> Contents:
        from interp_widgets.results.probe_packing import contents

        return contents(self)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ProbeResult:
        from interp_widgets.results.probe_packing import of_contents

        return of_contents(header, arrays)


def at_column(result: ProbeResult, column: int) -> str:
    """How printed lines pick what is at a column from the activations of a text, (token, d)."""
    position = result.positions[column]
    if position is None:
        return "[tokens]" if result.examples.per_token else ".mean(0)"
    return f"[{position}]"


def promoted(result: ProbeResult, kind: int, cell: Cell, direction: int) -> tuple[list[Token], list[Token]]:
    """The tokens that a direction promotes, and those that it suppresses; none where they are not known."""
    row, column = cell
    ids = result.top_ids[kind, row, column, direction]
    up, down = ([Token(token, result.vocab[token]) for token in side.tolist() if token >= 0] for side in ids)
    return up, down


def _check(name: object, noun: str, valid: Any) -> None:
    if name not in valid:
        raise unknown_name(noun, name, valid)
