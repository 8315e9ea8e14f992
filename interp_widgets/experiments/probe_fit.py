"""Fit linear probes with scikit-learn, and test them on what was held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import LabelError, MissingPackageError
from interp_widgets.results.probe import Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

_STEPS = 5000
_LARGE = 2**23
"""Numbers from which more threads than one are worth while."""
_TOLERANCE = 1e-6
"""When the fit of a logistic regression stops, so that it comes out the same however its numbers are turned."""


def check_sklearn() -> None:
    """Refuse to go on without scikit-learn.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "Probes are fitted by scikit-learn, which is not installed. Run\n\n"
            '    pip install "interp-widgets[probes]"\n\nand try again.'
        ) from error


@contextmanager
def few_threads(size: int) -> Iterator[None]:
    """Compute with one thread where arrays are small: others would wait for each other longer than they work."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if size < _LARGE else None):
        yield


def split(labels: Ints, groups: Ints, folds: int, seed: int) -> NDArray[np.int16]:
    """Return the fold in which each example is tested; groups stay together, classes are spread evenly.

    Raises:
        LabelError: without some fold, no example of some class is left.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    rows = np.zeros((len(labels), 1))
    if len(np.unique(groups)) == len(groups):
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels)
    else:
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, groups)
    fold = np.full(len(labels), -1, np.int16)
    for number, (train, test) in enumerate(parts):
        if not len(test) or len(np.unique(labels[train])) < len(np.unique(labels)):
            raise LabelError("its groups do not spread over so many folds.")
        fold[test] = number
    return fold


@dataclass(frozen=True)
class Linear:
    """A score for each class: x @ weights.T + bias."""

    weights: Floats
    """(class, d)."""
    bias: Floats
    """(class,): minus infinity for a class that was not seen."""

    def scores(self, x: Floats) -> Floats:
        """Return the scores of examples, (example, class)."""
        scores: Floats = x @ self.weights.T + self.bias
        return scores


class Fitting:
    """Activations that probes are fitted to; what all fits share is done once.

    Args:
        x: (example, d).
    """

    def __init__(self, x: Floats) -> None:
        self._x = x

    def fit(self, kind: Kind, labels: Ints, n_classes: int, strength: float) -> Linear:
        """Return a probe.

        Args:
            kind: of it.
            labels: number of a class for each example.
            n_classes: how many classes there are, some of which may not occur.
            strength: scikit-learn's C, the inverse of the penalty's weight.
        """
        seen = np.unique(labels)
        weights, bias = np.zeros((n_classes, self._x.shape[1])), np.full(n_classes, -np.inf)
        if len(seen) == 1:
            bias[seen] = 0
        elif kind == "means":
            weights[seen] = [self._x[labels == each].mean(0) for each in seen]
            bias[seen] = -(weights[seen] ** 2).sum(-1) / 2
        else:
            weights[seen], bias[seen] = self._logistic(labels, strength)
        return Linear(weights, bias)

    def _logistic(self, labels: Ints, strength: float) -> tuple[Floats, Floats]:
        from sklearn.linear_model import LogisticRegression

        mean, scale = self._standard
        features, back = self._turned
        model = LogisticRegression(C=strength, max_iter=_STEPS, tol=_TOLERANCE).fit(features, labels)
        coefficients, intercept = np.asarray(model.coef_), np.asarray(model.intercept_)
        if len(coefficients) == 1:  # one score for two classes
            coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, intercept * [-0.5, 0.5]
        weights = (coefficients if back is None else coefficients @ back) / scale
        return weights, intercept - weights @ mean

    @cached_property
    def _standard(self) -> tuple[Floats, Floats]:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(self._x)
        return np.asarray(scaler.mean_), np.asarray(scaler.scale_)

    @cached_property
    def _turned(self) -> tuple[Floats, Floats | None]:
        """Standardised activations, and where they are wider than many in coordinates of the space that they span.

        A penalty on the length of the weights is the same in both, and so is what is fitted.
        """
        mean, scale = self._standard
        standard = (self._x - mean) / scale
        if standard.shape[1] <= standard.shape[0]:
            return standard, None
        left, sizes, right = np.linalg.svd(standard, full_matrices=False)
        return left * sizes, right


class Crossed:
    """Activations of a cell in folds, of which each is scored by probes that were fitted to the others.

    Args:
        x: (example, d).
        fold: of each example.
        strengths: values of C. Of several, each fold takes the one with the highest accuracy when each of the other
            folds is in turn held out.
    """

    def __init__(self, x: Floats, fold: Ints, strengths: Sequence[float]) -> None:
        self._x, self._fold, self._strengths = x, fold, strengths
        self._fittings: dict[tuple[int, ...], Fitting] = {}

    def scores(self, kind: Kind, labels: Ints, n_classes: int) -> Floats:
        """Return scores of held-out examples, (example, class)."""
        found = np.zeros((len(labels), n_classes))
        for number in np.unique(self._fold).tolist():
            probe = self._without((number,), kind, labels, n_classes)
            test = self._fold == number
            found[test] = probe.scores(self._x[test])
        return found

    def whole(self, kind: Kind, labels: Ints, n_classes: int) -> Linear:
        """Return a probe that is fitted to all examples."""
        return self._without((), kind, labels, n_classes)

    def _without(self, out: tuple[int, ...], kind: Kind, labels: Ints, n_classes: int) -> Linear:
        strength = self._strengths[0]
        if kind == "logistic" and len(self._strengths) > 1:
            strength = self._chosen(out, labels, n_classes)
        train = ~np.isin(self._fold, out)
        return self._fitting(out).fit(kind, labels[train], n_classes, strength)

    def _chosen(self, out: tuple[int, ...], labels: Ints, n_classes: int) -> float:
        inner = [number for number in np.unique(self._fold).tolist() if number not in out]

        def share(strength: float) -> float:
            shares = []
            for number in inner:
                train, test = ~np.isin(self._fold, (*out, number)), self._fold == number
                probe = self._fitting((*out, number)).fit("logistic", labels[train], n_classes, strength)
                shares.append((probe.scores(self._x[test]).argmax(-1) == labels[test]).mean())
            return float(np.mean(shares))

        return max(self._strengths, key=share)  # the first of equals

    def _fitting(self, out: tuple[int, ...]) -> Fitting:
        key = tuple(sorted(out))
        if key not in self._fittings:
            self._fittings[key] = Fitting(self._x[~np.isin(self._fold, out)])
        return self._fittings[key]


def margins(scores: Floats, labels: Ints) -> Floats:
    """Return the score of each example's own class less the largest of the others."""
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    with np.errstate(invalid="ignore"):  # two classes that were not seen
        margin: Floats = np.nan_to_num(scores[rows, labels] - others.max(-1), nan=0.0)
    return margin


def auroc(scores: Floats, labels: Ints, fold: Ints) -> float:
    """Return the area under the ROC curve, the mean over folds, and over classes against the rest if more than two.

    Scores of different folds come from different probes, so that they are not compared. A fold without examples of a
    class, or of others, says nothing of it.
    """
    n_classes = scores.shape[1]
    areas: list[float] = []
    for each in range(n_classes) if n_classes > 2 else (1,):
        by_fold = []
        for number in np.unique(fold):
            own, inside = labels[fold == number] == each, scores[fold == number]
            if own.all() or not own.any():
                continue
            rest = np.delete(inside, each, axis=1)
            with np.errstate(invalid="ignore"):
                against = inside[:, each] - (rest[:, 0] if n_classes == 2 else _logsumexp(rest))
            by_fold.append(_area(against, own))
        if by_fold:
            areas.append(float(np.mean(by_fold)))
    return float(np.mean(areas)) if areas else float("nan")


def _logsumexp(scores: Floats) -> Floats:
    from scipy.special import logsumexp

    return np.asarray(logsumexp(scores, axis=1))


def _area(scores: Floats, own: NDArray[np.bool_]) -> float:
    """How often one of `own` is above one of the others, ties half."""
    from scipy.stats import rankdata

    ranks, n_own = rankdata(np.nan_to_num(scores)), int(own.sum())
    return float((ranks[own].sum() - n_own * (n_own + 1) / 2) / (n_own * (len(own) - n_own)))


def directions(x: Floats, labels: Ints, probe: Linear) -> tuple[Floats, Floats]:
    """Return the directions of a probe, (direction, d), and d' along each.

    Of two classes there is one, to the second; of more one to each, from the others. Each is as long as the mean moves
    along it.
    """
    classes = len(probe.weights)
    if classes == 2:
        found = probe.weights[1:] - probe.weights[:1]
    else:
        found = probe.weights - (probe.weights.sum(0) - probe.weights) / (classes - 1)
    lengths = np.linalg.norm(found, axis=-1, keepdims=True)
    unit = found / np.where(lengths > 0, lengths, 1)
    along = x @ unit.T
    gaps, spreads = np.zeros(len(unit)), np.zeros(len(unit))
    for number, each in enumerate((1,) if classes == 2 else range(classes)):
        own, other = along[labels == each, number], along[labels != each, number]
        gaps[number] = own.mean() - other.mean()
        alone = min(len(own), len(other)) < 2
        spreads[number] = np.nan if alone else np.sqrt((own.var(ddof=1) + other.var(ddof=1)) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return unit * gaps[:, None], gaps / spreads
