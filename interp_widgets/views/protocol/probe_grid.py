"""What a view of probes shares with its page."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import JobStatus, Theme, WireArray, WireTerm

ProbeKind = Literal["logistic", "means"]
ProbeMeasure = Literal["accuracy", "balanced", "auroc"]


class WireWhere(TypedDict):
    """A row of the grid: a site of a layer."""

    site: str
    layer: int


class WireColumn(TypedDict):
    """A column of the grid."""

    pos: int | None
    label: str
    """The token that all texts have there, else where it is."""
    where: str
    """In words: "last token"."""
    untested: str
    """Why nothing is tested there; empty where it is."""
    groups: int
    """How many different texts, beginnings or groups its examples are."""
    at: str
    """What fills in $at in the lines of code."""
    folds: str
    """What fills in $folds."""


class WireControl(TypedDict):
    """The control task."""

    meaning: str
    draws: int


class WireExample(TypedDict):
    """An example that was read wrong somewhere."""

    tokens: list[str]
    """Of its text, or of a stretch around its token."""
    token: int | None
    """Which of them it is; null where it is the whole text."""
    number: int
    label: int
    """Of which class it is."""


class ProbeSpec(TypedDict):
    """All that a view of probes shows apart from numbers."""

    title: str
    noun: Literal["text", "token"]
    n_examples: int
    classes: list[str]
    counts: list[int]
    """Examples of each class."""
    kinds: list[WireTerm]
    measures: list[WireTerm]
    chance: list[float]
    """What each measure is for a probe that knows nothing."""
    rows: list[WireWhere]
    columns: list[WireColumn]
    control: WireControl | None
    transfers: list[str]
    transfer_sizes: list[int]
    transfer_chance: list[list[float]]
    """For each set and measure, what it is there for a probe that knows nothing."""
    code: dict[str, str]
    """By "site kind": lines that fit and test a cell, templates with $layer, $at, $where, $column and $folds."""
    provenance: list[str]


class ProbeArrays(TypedDict):
    """The probes as they are now; NaN, or -1, where a cell is not computed or not tested."""

    values: WireArray
    """float32 (measure, kind, row, column)."""
    low: WireArray
    """float32, the same axes: ends of the 95% interval, NaN where a measure has none."""
    high: WireArray
    control: WireArray
    """float32, the same axes."""
    transfer: WireArray
    """float32 (set, measure, kind, row, column)."""
    transfer_low: WireArray
    transfer_high: WireArray
    confusion: WireArray
    """int32 (kind, row, column, class, class it is read as)."""
    mistakes: WireArray
    """int32 (kind, row, column, n): places in `examples`, the most confident first, -1 where there are no more."""
    mistaken: WireArray
    """int32 (kind, row, column, n): the classes that they are read as."""
    margins: WireArray
    """float32 (kind, row, column, n): by how much the wrong class scored above the right one."""
    examples: list[WireExample]
    promoted: WireArray
    """int32 (kind, row, column, direction, side, n): places in `tokens`, -1 where not known."""
    tokens: list[str]


class ProbeChoice(TypedDict):
    """A cell."""

    site: str
    layer: int
    pos: int | None


class ProbeState(TypedDict):
    """The synchronised state of a view of probes. Both sides write `selected`, `kind` and `measure`."""

    spec: ProbeSpec
    arrays: ProbeArrays
    job: JobStatus
    selected: ProbeChoice | None
    """Null shows the cell where the measure is largest."""
    kind: ProbeKind
    measure: ProbeMeasure
    theme: Theme
