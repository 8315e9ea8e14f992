"""What probes are asked to read, checked before a model is run: texts, labels, positions, folds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interp_widgets.experiments.probe_fit import split
from interp_widgets.experiments.request import Reader
from interp_widgets.models.numbers import as_plain, is_nan, is_real, is_whole, kind_of
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.errors import LabelError, PromptError, SelectionError
from interp_widgets.results.probe import Examples
from interp_widgets.results.tokens import Tokens
from interp_widgets.results.words import counted

Label: TypeAlias = "str | bool | int"
LabelsLike: TypeAlias = "Sequence[Label] | Sequence[Sequence[Label | None]] | NDArray[Any]"
"""One label for each text, or for each token of each text, with None for tokens that are left out."""
Positions: TypeAlias = 'Sequence[int | Literal["mean"]] | int | Literal["last", "mean", "all", "tokens"] | None'
Others: TypeAlias = "Mapping[str, tuple[Prompts, LabelsLike]]"

_COLUMNS = 10
"""Positions from the end that are read by default, beside the mean."""


@dataclass(frozen=True)
class Columns:
    """Where in texts probes read."""

    positions: tuple[int | None, ...]
    """None for the mean over tokens, or for each token."""
    asked: tuple[int | None, ...]
    """The same as they were asked for: what counts from the end does so in texts of other lengths too."""
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """In which fold each example is tested, by column."""

    folds: NDArray[np.int16]
    groups: NDArray[np.int32]
    untested: Mapping[int, str]


def parse_examples(
    reader: Reader, texts: Prompts, labels: LabelsLike, name: str, *, per_token: bool
) -> tuple[Examples, list[Label]]:
    """Read texts with their labels, numbered by the second thing that is returned: the classes, sorted.

    Args:
        reader: of the model.
        texts: as the user passed them.
        labels: as the user passed them.
        name: what messages call the texts.
        per_token: whether each token has a label.

    Raises:
        PromptError: empty texts, or none.
        LabelError: not one label for each, or something that is no label.
    """
    parsed = reader.prompts(texts, name)
    listed = as_plain(labels)
    if isinstance(listed, (str, bytes)) or not isinstance(listed, Iterable):
        raise LabelError(f"The {name} labels are {kind_of(listed)}. Pass a list with one for each text.")
    given = [as_plain(each) for each in listed]
    if len(given) != len(parsed):
        raise LabelError(f"{len(parsed)} {name} texts but {len(given)} labels. Pass one for each, in the same order.")
    if per_token:
        text, position, own = _of_tokens(parsed, given, name)
    else:
        nested = next((number for number, each in enumerate(given) if _is_list(each)), None)
        if nested is not None:
            raise LabelError(
                f"Label {nested} of the {name} texts is a list. Labels of single tokens are read with "
                "positions='tokens'; else pass one label for each text."
            )
        text, position, own = list(range(len(parsed))), [-1] * len(parsed), given
    called = (
        f"label {place} of {name} text {number}" if per_token else f"{name} label {number}"
        for number, place in zip(text, position, strict=True)
    )
    plain = [_label(label, which) for label, which in zip(own, called, strict=True)]
    classes = _sorted(set(plain), name)
    numbers = [classes.index(label) for label in plain]
    columns = (np.array(column, np.int32) for column in (text, position, numbers))
    return Examples(parsed, *columns), classes


def parse_transfer(transfer: object) -> list[tuple[str, Prompts, LabelsLike]]:
    """Return the name, the texts and the labels of each transfer.

    Raises:
        LabelError: not a mapping from names to texts with their labels.
    """
    how = "Pass {name: (texts, labels)}, with as many labels as texts."
    if transfer is None:
        return []
    if not isinstance(transfer, Mapping):
        raise LabelError(f"transfer= is {kind_of(transfer)}. {how}")
    for name, given in transfer.items():
        if not (isinstance(given, (tuple, list)) and len(given) == 2 and not isinstance(given[1], (str, bytes))):
            raise LabelError(f"The transfer {name!r} is {kind_of(given)}, not texts with their labels. {how}")
    return [(str(name), *given) for name, given in transfer.items()]


def check_classes(examples: Examples, classes: Sequence[Label], folds: int) -> None:
    """Refuse labels that cannot be told apart, or of which there are too few.

    Raises:
        LabelError: one class, or fewer examples of a class than folds.
    """
    if len(classes) < 2:
        only = f"all labels are {classes[0]!r}" if classes else "no token has a label"
        raise LabelError(f"A probe tells at least two classes apart, but {only}.")
    counts = np.bincount(examples.labels, minlength=len(classes))
    fewest = int(counts.argmin())
    if counts[fewest] < folds:
        raise LabelError(
            f"Only {counts[fewest]} examples are labelled {classes[fewest]!r}, but each of {folds} folds needs one. "
            "Label more of them, or pass a smaller folds=."
        )


def parse_columns(positions: Positions, texts: Sequence[Tokens], others: Sequence[Tokens]) -> Columns:
    """Read where in texts to look; positions count from the start where all texts are of one length.

    Args:
        positions: as the user passed them.
        texts: what probes are fitted to.
        others: what they are tested on beside it; where all positions are asked for, those that these have too.

    Raises:
        SelectionError: a position that some text does not have, or something that is none.
    """
    lengths = {len(tokens) for tokens in texts}
    shortest = min(lengths)
    common = min([shortest, *map(len, others)])
    if positions == "tokens":
        return Columns((None,), (None,), ("tokens",))
    listed: list[Any]
    if positions is None:
        listed = [*range(-min(common, _COLUMNS), 0), "mean"]
    elif positions == "all":
        listed = [*range(-common, 0), "mean"]
    elif positions == "last":
        listed = [-1]
    else:
        plain = as_plain(positions)
        many = isinstance(plain, Iterable) and not isinstance(plain, str)
        listed = [as_plain(each) for each in plain] if many else [plain]
    if not listed:
        raise SelectionError("positions is empty. Name at least one, such as 'last'.")
    found: dict[int | None, int | None] = {}
    for each in listed:
        if each == "mean":
            found[None] = None
        elif is_whole(each) and -shortest <= each < shortest:
            found[each % shortest if len(lengths) == 1 else int(each)] = int(each)
        else:
            raise SelectionError(
                f"positions holds {each!r}, but the shortest text has {shortest} tokens: positions that all texts have "
                f"run from 0 to {shortest - 1} (or -{shortest} to -1). Beside them there are 'mean', 'last', 'all' "
                "and, for labels of single tokens, 'tokens'."
            )
    ordered = sorted((each for each in found if each is not None), key=lambda each: (each < 0, each))
    columns = (*ordered, *([None] if None in found else []))
    asked = tuple(found[each] for each in columns)
    return Columns(columns, asked, tuple(_called(each, texts) for each in columns))


def check_positions(columns: Columns, texts: Sequence[Tokens], name: str) -> None:
    """Refuse texts that do not have the positions that probes read.

    Raises:
        SelectionError: there is one.
    """
    for number, tokens in enumerate(texts):
        lacking = [each for each in columns.asked if each is not None and not -len(tokens) <= each < len(tokens)]
        if lacking:
            raise SelectionError(
                f"Text {number} of the transfer {name!r} has {len(tokens)} tokens, so that it has no position "
                f"{lacking[0]}. Choose positions= that all texts have."
            )


def parse_groups(groups: Sequence[Hashable] | NDArray[Any] | None, count: int) -> list[Hashable]:
    """Return the group of each text.

    Raises:
        LabelError: not one for each, or NaN.
    """
    if groups is None:
        return list(range(count))
    plain = as_plain(groups)
    if isinstance(plain, (str, bytes)) or not isinstance(plain, Iterable):
        raise LabelError(f"groups= is {kind_of(plain)}. Pass a list with the group of each text.")
    listed = [as_plain(each) for each in plain]
    if len(listed) != count:
        raise LabelError(f"{count} texts but {len(listed)} groups. Pass one for each text, in the same order.")
    for number, group in enumerate(listed):
        if not isinstance(group, Hashable):
            raise LabelError(f"Group {number} is {kind_of(group)}. A group is named by a number or a text.")
    if any(map(is_nan, listed)):
        raise LabelError(
            f"Group {next(number for number, group in enumerate(listed) if is_nan(group))} is NaN, which does not say "
            "which texts belong together. Name it; a text that belongs to no other has a name of its own."
        )
    return listed


def parse_strengths(given: Sequence[float] | float, folds: int) -> tuple[float, ...]:
    """Return values of C.

    Raises:
        ValueError: none, or something that is no positive number; several of them with fewer than three folds.
    """
    plain = as_plain(given)
    listed = tuple(plain) if isinstance(plain, Iterable) and not isinstance(plain, str) else (plain,)
    if not listed or not all(is_real(each) and math.isfinite(each) and each > 0 for each in listed):
        raise ValueError(f"C={given!r} must be a number above 0, or several of which one is chosen.")
    if len(listed) > 1 and folds < 3:
        raise ValueError(
            f"C has {len(listed)} values, which are chosen from by inner folds: that takes folds=3 or more."
        )
    return tuple(sorted({float(each) for each in listed}))


def check_duplicates(examples: Examples, classes: Sequence[Label]) -> None:
    """Refuse a text that comes twice with different labels: what is read there cannot be both.

    Raises:
        LabelError: there is one.
    """
    if examples.per_token:
        return
    seen: dict[tuple[int, ...], int] = {}
    for number, tokens in enumerate(examples.texts):
        first = seen.setdefault(tokens.ids, number)
        if examples.labels[first] != examples.labels[number]:
            raise LabelError(
                f"Texts {first} and {number} are the same, but one is labelled {classes[examples.labels[first]]!r} and "
                f"the other {classes[examples.labels[number]]!r}."
            )


def check_apart(examples: Examples, others: Examples, name: str) -> None:
    """Refuse to test a transfer on texts that probes were fitted to.

    Raises:
        PromptError: there is one.
    """
    known = {tokens.ids: number for number, tokens in enumerate(examples.texts)}
    for number, tokens in enumerate(others.texts):
        if tokens.ids in known:
            raise PromptError(
                f"Text {number} of the transfer {name!r} is text {known[tokens.ids]} of those that probes are fitted "
                "to, so it would not show what carries over. Leave it out of one of them."
            )


def make_folds(
    examples: Examples, columns: Columns, groups: Sequence[Hashable], folds: int, seed: int, *, causal: bool
) -> Folds:
    """Deal examples out to folds, column by column.

    Texts of a group stay together; so do texts that are the same, and at a position of a causal model those that are
    the same up to there, since they have the same activation there: half of them in the fit would give away the rest.

    Raises:
        LabelError: no column can be tested.
    """
    by_column, grouped, untested = [], [], {}
    for column, position in enumerate(columns.positions):
        own = _groups(examples, groups, position if causal else None)
        grouped.append(own)
        try:
            _check_spread(examples, own, folds, position)
            by_column.append(split(examples.labels, own, folds, seed))
        except LabelError as error:
            untested[column] = str(error)
            by_column.append(np.full(len(examples), -1, np.int16))
    if len(untested) == len(columns.positions):
        raise LabelError(f"Nothing can be tested in {folds} folds: {untested[0]}")
    return Folds(np.stack(by_column), np.stack(grouped), untested)


def _groups(examples: Examples, groups: Sequence[Hashable], position: int | None) -> NDArray[np.int32]:
    """Number the groups of examples: of what shares a group or the text up to the position, directly or by way of
    others."""
    parent: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for number, tokens in enumerate(examples.texts):
        upto = len(tokens) if position is None else position % len(tokens) + 1
        parent[root(("text", tokens.ids[:upto]))] = root(("group", groups[number]))
    roots = [root(("group", groups[text])) for text in examples.text.tolist()]
    numbers = {each: number for number, each in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[each] for each in roots], np.int32)


def _check_spread(examples: Examples, groups: NDArray[np.int32], folds: int, position: int | None) -> None:
    fewest = min(len(np.unique(groups[examples.labels == each])) for each in np.unique(examples.labels))
    if fewest >= folds:
        return
    if position is not None:
        beginnings = {tokens.ids[: position % len(tokens) + 1] for tokens in examples.texts}
        if len(beginnings) == 1:
            raise LabelError("all texts are the same up to here, so there is nothing to tell them apart by.")
    here = " up to here" if position is not None else ""
    raise LabelError(
        f"some class has fewer different texts or groups{here} than there are folds ({fewest} for {folds}), and what "
        "is the same must not be split between fit and test."
    )


def _of_tokens(texts: Sequence[Tokens], labels: Sequence[Any], name: str) -> tuple[list[int], list[int], list[Any]]:
    text, position, own = [], [], []
    for number, (tokens, given) in enumerate(zip(texts, labels, strict=True)):
        if not _is_list(given):
            raise LabelError(
                f"Label {number} of the {name} texts is {given!r}. With positions='tokens' pass a list with a label "
                "for each token of the text, None for those that are left out."
            )
        if len(given) != len(tokens):
            raise LabelError(
                f"{name[0].upper()}{name[1:]} text {number} has {len(tokens)} tokens but "
                f"{counted(len(given), 'label')}: {' '.join(tokens.labels[:12])}{' …' if len(tokens) > 12 else ''}"
            )
        for place, label in enumerate(given):
            if label is not None:
                text.append(number)
                position.append(place)
                own.append(as_plain(label))
    return text, position, own


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes))


def _label(label: object, which: str) -> Label:
    if isinstance(label, (bool, str)) or is_whole(label):
        return label
    if is_real(label) and math.isfinite(label) and float(label).is_integer():
        return int(label)
    why = "NaN" if is_nan(label) else repr(label)
    raise LabelError(f"{which} is {why}. Labels are names, truth values or whole numbers; probes tell classes apart.")


def _sorted(labels: set[Label], name: str) -> list[Label]:
    kinds = Counter(str if isinstance(label, str) else int for label in labels)
    if len(kinds) > 1:
        raise LabelError(f"The {name} labels mix names and numbers: {', '.join(map(repr, list(labels)[:4]))}.")
    return sorted(labels)


def _called(position: int | None, texts: Sequence[Tokens]) -> str:
    if position is None:
        return "mean"
    there = {tokens.labels[position] for tokens in texts}
    return there.pop() if len(there) == 1 else f"pos {position}"
