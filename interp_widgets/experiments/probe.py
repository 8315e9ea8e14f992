"""Linear probes: what can be read off a model's activations by a linear map, and whether that says anything."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.code_probe import probe_code
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.grid import frozen
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.probe_activations import Gathered, gather
from interp_widgets.experiments.probe_fit import Crossed, auroc, check_sklearn, directions, few_threads, margins
from interp_widgets.experiments.probe_request import (
    Columns,
    Folds,
    LabelsLike,
    Others,
    Positions,
    check_apart,
    check_classes,
    check_duplicates,
    check_positions,
    make_folds,
    parse_columns,
    parse_examples,
    parse_groups,
    parse_strengths,
    parse_transfer,
)
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Reader, chosen_numbers, parse_seed, parse_sites
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.places import width_of
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.straight import Straight
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import LabelError, SelectionError, SiteError, unknown_name
from interp_widgets.results.probe import CONTROLS, KINDS, MEASURES, Control, Examples, Kind, ProbeResult, Transfer
from interp_widgets.results.terms import SITES, Site

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_TOP = 8
"""Tokens that are named of those that a direction promotes, and suppresses."""
_BYTES = 2**30
"""Activations that are held at a time; for more the texts are run again."""
_MOST_CLASSES = 100
"""More are no classes but most likely ids or measurements."""


@runs_remotely
def probe(
    model: ModelLike,
    texts: Prompts,
    labels: LabelsLike,
    *,
    sites: Site | Sequence[Site] = ("resid_post",),
    layers: Sequence[int] | int | None = None,
    positions: Positions = None,
    kinds: Kind | Sequence[Kind] = ("logistic", "means"),
    groups: Sequence[Hashable] | NDArray[Any] | None = None,
    folds: int = 5,
    C: Sequence[float] | float = 1.0,  # noqa: N803 - scikit-learn's name for it
    control: Control | None = None,
    control_draws: int = 3,
    transfer: Others | None = None,
    seed: int = 0,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[ProbeResult, None, ProbeResult]:
    """Check the arguments at once, and return a generator that fits probes cell by cell.

    Arguments and errors are those of `run_probe`. Each partial result has more cells than the one before, and the last
    is returned. All are frozen.

    Yields:
        The result so far.
    """
    check_sklearn()
    chosen_kinds = _kinds(kinds)
    if not (is_whole(folds) and folds >= 2):
        raise ValueError(f"folds={folds!r} must be a whole number from 2 on.")
    if not (is_whole(control_draws) and control_draws >= 0):
        raise ValueError(f"control_draws={control_draws!r} must be a whole number from 0 on; 0 leaves the control out.")
    per_token = isinstance(positions, str) and positions == "tokens"
    strengths, number = parse_strengths(C, int(folds)), parse_seed(seed)
    controlled = _control(control, per_token=per_token)
    reader = Reader(model, tokenizer)
    examples, classes = parse_examples(reader, texts, labels, "probe", per_token=per_token)
    check_classes(examples, classes, int(folds))
    if len(classes) > _MOST_CLASSES:
        raise LabelError(f"There are {len(classes)} classes. Probes tell at most {_MOST_CLASSES} apart.")
    check_duplicates(examples, classes)
    others = []
    for name, other_texts, other_labels in parse_transfer(transfer):
        given, known = parse_examples(reader, other_texts, other_labels, f"transfer {name!r}", per_token=per_token)
        strange = [label for label in known if label not in classes]
        if strange:
            raise LabelError(
                f"The transfer {name!r} has the label {strange[0]!r}, but probes are fitted to "
                f"{', '.join(map(repr, classes))}."
            )
        numbers = np.array([classes.index(label) for label in known], np.int32)
        others.append((name, Examples(given.texts, given.text, given.position, numbers[given.labels])))
        check_apart(examples, given, name)
    columns = parse_columns(positions, examples.texts, [text for _, other in others for text in other.texts])
    for name, other in others:
        check_positions(columns, other.texts, name)
    of_texts = parse_groups(groups, len(examples.texts))
    named = parse_sites(sites)
    if "pattern" in named:
        raise SiteError("pattern has no numbers of single tokens, so that no probe can read it. Use z.")
    access = resolve(reader.opened)
    for site in named:
        access.check_site(site)
    numbers_of_layers = chosen_numbers(layers, "layers", access.n_layers)
    dealt = make_folds(examples, columns, of_texts, int(folds), number, causal=access.causal)
    rows = tuple(Place(site, layer) for layer in numbers_of_layers for site in sorted(named, key=_depth))
    asked = _Asked(
        chosen_kinds, rows, columns, dealt, strengths, controlled if control_draws else None, control_draws, number
    )
    return _Probing(access, asked, examples, tuple(map(str, classes)), others).steps()


@over(probe)
def run_probe(steps: Generator[ProbeResult, None, ProbeResult]) -> ProbeResult:
    """Fit linear probes to a model's activations by layer and position, and test them on texts that were held out.

    Every figure is about examples that a probe was not fitted to: texts are dealt out to folds, and each fold is read
    by probes of the others. Texts of a group stay in one fold. So do texts that begin alike, at positions where they
    still are the same: a causal model has the same activation there, so that one in the fit would give away the others.
    A column where this leaves too few to tell apart is not tested, and says why.

    A control task (Hewitt and Liang 2019) says what a probe makes of labels that the activations cannot tell: where it
    does well too, the probe has learnt rather than read. Its measure is taken off in `selectivity`.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face model, a local folder, or a repository id.
        texts: two or more, of any lengths: text, or token ids.
        labels: one for each text: names, truth values or whole numbers, of two or more classes. With
            positions="tokens" a list for each text, with one for each token and None for those that are left out.
        sites: where in each layer to read; heads of `z` lie side by side.
        layers: layers to read, negative ones counted from the end; all by default.
        positions: where in each text: positions that all have, negative ones counted from the end, "mean" over its
            tokens, or a list of these; "last", "all" that every text has with the mean, or "tokens" for labels of
            single tokens. By default the last ten that all have, and the mean.
        kinds: "logistic": logistic regression on activations that are standardised by those it is fitted to, with an L2
            penalty. "means": the class whose mean is nearest, of two classes the difference of means.
        groups: one for each text: texts that share one, such as a template or a topic, are never split between fit and
            test. By default each is its own, but for those that are the same.
        folds: how many parts the examples are dealt out to.
        C: scikit-learn's, the inverse of the penalty's weight: one for all, or several, of which each fold takes the
            best in a cross-validation of its own over the other folds.
        control: "permuted": the labels shuffled between examples. "types", with positions="tokens": a random label for
            each kind of token, drawn as often as labels occur. The first by default for texts, the second for tokens.
        control_draws: how many control tasks to take the mean of; 0 leaves it out.
        transfer: other texts with their labels, by name: probes that are fitted to all of `texts` are tested on them.
        seed: of folds and control labels.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`. Probes are fitted there too, by the scikit-learn there.

    Returns:
        Accuracy, balanced accuracy and AUROC of every cell with intervals, control and selectivity, what each example
        was read as, and the probes' directions, which go to `run_steering`, `run_feature_patching` and projections.
        After an interrupt or an error, `sys.last_value.partial` is what was computed until then.

    Raises:
        MissingPackageError: scikit-learn is not installed.
        PromptError: empty texts, or a transfer's text that probes are fitted to.
        LabelError: one class, fewer of a class than folds, not one label for each text, NaN, or the same text with two.
        SelectionError: a layer or a position that does not exist.
        SiteError: a site that the architecture does not have, or without numbers of single tokens.
        NonFiniteError: NaN or infinity, with the layer where it appears.

    Example:
        >>> from interp_widgets import run_probe, teaching
        >>> pairs = teaching.prompts("refusal", n=30)
        >>> texts = [pair.clean for pair in pairs] + [pair.corrupt for pair in pairs]
        >>> result = run_probe(teaching.load(), texts, ["harmful"] * 30 + ["harmless"] * 30, positions="last")
        >>> best = result.best()
        >>> bool(result.value()[0][result.find(best["layer"])] > 0.95), bool(result.control_value().max() < 0.7)
        (True, True)

    References:
        Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes", arXiv:1610.01644.
        Hewitt and Liang 2019, "Designing and Interpreting Probes with Control Tasks", arXiv:1909.03368 (selectivity).
        Belinkov 2022, "Probing Classifiers: Promises, Shortcomings, and Advances", arXiv:2102.12452.
        Marks and Tegmark 2023, "The Geometry of Truth", arXiv:2310.06824 (difference of means; transfer).
    """
    return finish(steps)


def _kinds(kinds: Kind | Sequence[Kind]) -> tuple[Kind, ...]:
    listed = tuple(kinds) if isinstance(kinds, Iterable) and not isinstance(kinds, str) else (kinds,)
    for kind in listed:
        if kind not in KINDS:
            raise unknown_name("kind of probe", kind, KINDS)
    if not listed:
        raise ValueError(f"kinds is empty. Name at least one of {', '.join(KINDS)}.")
    return tuple(kind for kind in KINDS if kind in listed)


def _control(control: Control | None, *, per_token: bool) -> Control:
    if control is None:
        return "types" if per_token else "permuted"
    if control not in CONTROLS:
        raise unknown_name("control", control, CONTROLS)
    if control == "types" and not per_token:
        raise SelectionError(
            "control='types' gives each kind of token a label, but these labels are of whole texts. Use "
            "control='permuted', or positions='tokens' with labels of tokens."
        )
    return control


_ORDER: tuple[Site, ...] = (
    *("resid_pre", "q", "k", "v", "z", "attn_out", "resid_mid", "mlp_post", "mlp_out", "resid_post"),
)


def _depth(site: Site) -> int:
    """In which order a block reaches its sites."""
    return _ORDER.index(site) if site in _ORDER else len(SITES)


@dataclass(frozen=True)
class _Asked:
    """What is fitted, and how."""

    kinds: tuple[Kind, ...]
    rows: tuple[Place, ...]
    columns: Columns
    folds: Folds
    strengths: tuple[float, ...]
    control: Control | None
    draws: int
    seed: int

    @property
    def settings(self) -> dict[str, str]:
        """In words."""
        n_folds = int(self.folds.folds.max()) + 1
        strengths = ", ".join(f"{each:g}" for each in self.strengths)
        settings = {"folds": str(n_folds), "seed": str(self.seed)}
        if "logistic" in self.kinds:
            chosen = " chosen in inner folds" if len(self.strengths) > 1 else ""
            settings["logistic regression"] = f"L2, C {strengths}{chosen}, standardised"
        if self.control:
            draws = f"{self.draws} draw{'s' * (self.draws != 1)}"
            settings["control"] = f"{CONTROLS[self.control]}, {draws}"
        return settings


class _Probing:
    """Probes that are being fitted."""

    def __init__(
        self,
        access: Access,
        asked: _Asked,
        examples: Examples,
        classes: tuple[str, ...],
        others: Sequence[tuple[str, Examples]],
    ) -> None:
        self._access, self._asked, self._examples, self._classes = access, asked, examples, classes
        self._others = others
        self._ledger = Ledger(access.opened, asked.settings)
        self._straight = Straight(access)
        self._vocab: dict[int, str] = {}
        self._controls = _control_labels(asked, examples)
        cells = (len(asked.kinds), len(asked.rows), len(asked.columns.positions))
        n_directions = 1 if len(classes) == 2 else len(classes)
        tops = (*cells, n_directions, 2, min(_TOP, access.opened.n_answers))
        self._arrays: dict[str, NDArray[Any]] = {
            "predicted": np.full((*cells, len(examples)), -1, np.int16),
            "margin": np.full((*cells, len(examples)), np.nan, np.float32),
            "scored": np.full(cells, np.nan, np.float32),
            "controls": np.full((len(MEASURES), len(self._controls), *cells), np.nan, np.float32),
            "separation": np.full((*cells, n_directions), np.nan, np.float32),
            "top_ids": np.full(tops, -1, np.int32),
            "top_logits": np.full(tops, np.nan, np.float32),
        }
        self._moved = [
            (np.full((*cells, len(other)), -1, np.int16), np.full(cells, np.nan, np.float32)) for _, other in others
        ]
        self._widths = [width_of(access, place) for place in asked.rows]
        self._vectors = [
            np.full((len(asked.kinds), cells[2], n_directions, width), np.nan, np.float32) for width in self._widths
        ]
        self._code = probe_code(access, examples, classes, asked.rows, asked.kinds, asked.strengths)

    def steps(self) -> Generator[ProbeResult, None, ProbeResult]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        for rows in self._portions():
            there = yield from self._gather(self._examples, rows, self._asked.columns.positions)
            others = []
            for _, other in self._others:
                others.append((yield from self._gather(other, rows, self._asked.columns.asked)))
            # What is read at the end of texts is of most interest, and is told of all layers first.
            for column in reversed(range(len(self._asked.columns.positions))):
                if column in self._asked.folds.untested:
                    continue
                for number, row in enumerate(rows):
                    x = there[number][column]
                    with few_threads(x.size):
                        self._fit((row, column), x, [other[number][column] for other in others])
                    yield

    def _portions(self) -> list[list[int]]:
        """Rows whose activations are held together."""
        count = len(self._examples) + sum(len(other) for _, other in self._others)
        each = 4 * count * len(self._asked.columns.positions)
        portions: list[list[int]] = []
        held = _BYTES
        for row, width in enumerate(self._widths):
            if held + each * width > _BYTES:
                portions.append([])
                held = 0
            portions[-1].append(row)
            held += each * width
        return portions

    def _gather(
        self, examples: Examples, rows: Sequence[int], positions: Sequence[int | None]
    ) -> Generator[None, None, list[Gathered]]:
        found: list[Gathered] | None = None
        for texts, made in gather(self._access, examples, [self._asked.rows[row] for row in rows], positions):
            self._ledger.passes += texts
            found = made
            yield
        assert found is not None, "the last has them"
        return found

    def _fit(self, cell: tuple[int, int], x: Gathered, others: Sequence[Gathered]) -> None:
        (row, column), arrays, labels = cell, self._arrays, self._examples.labels
        wide, n_classes = x.astype(np.float64), len(self._classes)
        fold = self._asked.folds.folds[column]
        crossed = Crossed(wide, fold, self._asked.strengths)
        for number, kind in enumerate(self._asked.kinds):
            at = (number, row, column)
            scores = crossed.scores(kind, labels, n_classes)
            arrays["predicted"][at] = scores.argmax(-1)
            arrays["margin"][at] = margins(scores, labels)
            arrays["scored"][at] = auroc(scores, labels, fold)
            for draw, controlled in enumerate(self._controls):
                own = crossed.scores(kind, controlled, n_classes)
                arrays["controls"][:, draw, number, row, column] = _measured(own, controlled, fold)
            whole = crossed.whole(kind, labels, n_classes)
            for (predicted, area), (_, other), there in zip(self._moved, self._others, others, strict=True):
                told = whole.scores(there.astype(np.float64))
                predicted[at] = told.argmax(-1)
                area[at] = auroc(told, other.labels, np.zeros(len(other), int))
            vectors, arrays["separation"][at] = directions(wide, labels, whole)
            self._vectors[row][number, column] = vectors
            self._name(at, vectors)

    def _name(self, at: tuple[int, int, int], vectors: NDArray[np.float64]) -> None:
        """Find the tokens that directions promote and suppress."""
        place = self._asked.rows[at[1]]
        stream = self._straight.to_stream(place, torch.from_numpy(vectors).float())
        logits = None if stream is None else self._straight.logits(stream)
        if logits is None:
            return
        n = self._arrays["top_ids"].shape[-1]
        for side, sign in enumerate((1, -1)):
            top = (sign * logits).topk(n, dim=-1)
            self._arrays["top_ids"][at][:, side] = top.indices.cpu().numpy()
            self._arrays["top_logits"][at][:, side] = sign * top.values.cpu().numpy()
        for token in np.unique(self._arrays["top_ids"][at]).tolist():
            if token not in self._vocab:
                self._vocab[token] = self._access.opened.answer_labels(token)

    def _result(self) -> ProbeResult:
        asked = self._asked
        return ProbeResult(
            examples=self._examples,
            classes=self._classes,
            rows=asked.rows,
            positions=asked.columns.positions,
            labels=asked.columns.labels,
            kinds=asked.kinds,
            **{name: frozen(array) for name, array in self._arrays.items()},
            folds=asked.folds.folds,
            groups=asked.folds.groups,
            untested=asked.folds.untested,
            vectors=tuple(map(frozen, self._vectors)),
            vocab=dict(self._vocab),
            transfers=tuple(
                Transfer(name, other, frozen(predicted), frozen(area))
                for (name, other), (predicted, area) in zip(self._others, self._moved, strict=True)
            ),
            control=asked.control,
            provenance=self._ledger.provenance(),
            code=self._code,
        )


def _control_labels(asked: _Asked, examples: Examples) -> list[NDArray[np.int32]]:
    """Draw the labels of control tasks."""
    drawn = []
    for draw in range(asked.draws if asked.control else 0):
        rng = np.random.default_rng([asked.seed, draw])
        if asked.control == "permuted":
            drawn.append(rng.permutation(examples.labels))
            continue
        ids = np.array(
            [examples.texts[text].ids[place] for text, place in zip(examples.text, examples.position, strict=True)]
        )
        kinds, number = np.unique(ids, return_inverse=True)
        drawn.append(rng.choice(examples.labels, len(kinds))[number])
    return drawn


def _measured(scores: NDArray[np.float64], labels: NDArray[np.int32], fold: NDArray[np.int16]) -> list[float]:
    """The measures of held-out scores, in their order."""
    right = scores.argmax(-1) == labels
    balanced = np.mean([right[labels == each].mean() for each in np.unique(labels)])
    return [float(right.mean()), float(balanced), auroc(scores, labels, fold)]
