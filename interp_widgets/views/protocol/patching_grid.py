"""What a patching grid shares with its page."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import (
    JobStatus,
    Theme,
    ToPython,
    ViewState,
    WireArray,
    WirePrediction,
    WireTerm,
)

Columns = Literal["pos", "head", "neuron", "role", "layer"]


class WirePrompt(TypedDict):
    """One prompt of a pair: its token labels and the model's top predictions after it."""

    labels: list[str]
    top: list[WirePrediction]


class WirePair(TypedDict):
    """The two sides of a pair, of equal length. The second has no tokens where there is no second prompt."""

    clean: WirePrompt
    corrupt: WirePrompt
    clean_ids: list[int]
    corrupt_ids: list[int]
    answer: str
    wrong_answer: str
    answer_id: int
    wrong_answer_id: int
    answer_source: Literal["given", "model"]
    differs: list[int]
    """Positions at which the two sides differ: other tokens, or noise."""


class WireMetric(TypedDict):
    """A metric and, for each pair, its value in the clean and in the corrupt run."""

    term: WireTerm
    baselines: list[list[float]]


class WireLine(TypedDict):
    """A row of a panel: a layer, one head of it, or one latent of a dictionary: its number, "all" or "error"."""

    layer: int
    head: int | None
    latent: int | str | None


class WirePanel(TypedDict):
    """One site of a grid: what its rows and columns stand for."""

    term: WireTerm
    lines: list[WireLine]
    columns: Columns
    labels: list[str]
    """One for each column: numbers of heads or neurons, names of roles. None where columns are positions, and none or
    one where there is one column."""
    notes: list[str]
    """What there is to say about each column; or none at all."""


class WireStory(TypedDict):
    """The words of an experiment. `$answer`, `$wrong_answer` and `$what` are filled in by the page."""

    question: str
    question_of_several: str
    cell: str
    label: str
    deed: str
    negative: str
    positive: str
    sides: list[str]
    """What the two baselines are called."""
    host: int
    """Which of the two an effect of 0 means; the other is 1."""
    averaging: Literal["shares", "values"]
    noun: str
    """What the axis of pairs counts: "pair", "prompt" or "sample"."""


class GridSpec(TypedDict):
    """All that a patching grid shows apart from its cells.

    Cell arrays have the axes (pair, panel, row, column), as long as the longest panel; what a smaller one has not is
    left out.
    """

    story: WireStory
    direction: Literal["denoising", "noising"]
    panels: list[WirePanel]
    pairs: list[WirePair]
    metrics: list[WireMetric]
    asked: str
    """Name of the metric that was asked for, which is the one that estimates are of."""
    top_k: int
    code_sites: dict[str, str]
    """For each site, the lines of nnsight of one cell: $layer, $pos, $head, $neuron, $role (quoted), $clean_ids,
    $corrupt_ids, $metric."""
    code_metrics: dict[str, str]
    """For each metric, the lines that replace $metric: $answer, $wrong_answer."""
    code_fills: dict[str, list[str]]
    """For each other placeholder, what fills in for each pair."""
    code_mean: dict[str, str]
    """What fills in instead where the mean of all pairs is shown; the first pair stands for them where it is empty."""
    code_refused: dict[str, str]
    """For each site without lines, why."""
    provenance: list[str]
    """Short facts about where the numbers come from, in the order in which they are shown."""
    by_position: bool
    """Whether Python can run a head of a grid of heads position by position."""


class GridArrays(TypedDict):
    """Everything known of every cell, committed when a job starts and when it ends."""

    values: WireArray
    """float32 (metric, pair, panel, row, column): raw values; NaN where not computed."""
    status: WireArray
    """uint8 (pair, panel, row, column): 0 pending, 1 computed, 2 known without a run, 3 left out,
    4 estimated by attribution patching, 5 estimated until the exact value arrives."""
    estimates: WireArray | None
    """float32 (pair, panel, row, column): what was estimated of cells that have been run since, NaN for others, whose
    value is the estimate where there is one. None without estimates."""
    top_ids: WireArray
    """int32 (pair, panel, row, column, k): most likely next tokens after the patch; -1 where not computed."""
    top_probs: WireArray
    """float32 (pair, panel, row, column, k): their probabilities."""
    vocab: dict[str, str]
    """Label of every token id in `top_ids`."""


class CellPlace(TypedDict):
    """The part of a cell's name that all cells have: a site and a layer's number."""

    site: str
    layer: int


class Cell(CellPlace, total=False):
    """A cell of the grid, named by what its panel's rows and columns are."""

    head: int
    latent: int | str
    pos: int
    neuron: int
    role: str


class WireStrip(TypedDict):
    """A head of a grid of heads that was opened position by position."""

    cell: Cell
    """The head."""
    job: JobStatus


class WireStrips(TypedDict):
    """All heads that were opened position by position, as one more grid beside the first.

    It has a panel for each site and a row for each head; prompts, metrics and story are those of the first.
    """

    heads: list[WireStrip]
    """The last one that was opened comes first."""
    panels: list[WirePanel]
    code_sites: dict[str, str]
    code_fills: dict[str, list[str]]
    code_mean: dict[str, str]
    code_refused: dict[str, str]
    arrays: GridArrays


class RowsMessage(TypedDict):
    """To the page: new rows of cells. Each is named by its (panel, row) in `rows`.

    Buffers, in order: values float32 (metric, row, pair, column), status uint8 (row, pair, column), top_ids int32
    (row, pair, column, k), top_probs float32 (row, pair, column, k). `seq` counts up by one; on a gap the page asks
    for a resync, which commits the arrays as a whole.
    """

    kind: Literal["rows"]
    seq: int
    rows: list[list[int]]
    vocab: dict[str, str]


class StripMessage(TypedDict):
    """To Python: stop computing a head by position and keep what there is, or take it away."""

    kind: Literal["cancel_strip", "remove_strip"]
    cell: Cell


class StripRequest(TypedDict):
    """To Python: a request to run a head position by position. The answer says only that it will be."""

    kind: Literal["request"]
    id: str
    name: Literal["by_position"]
    cell: Cell


class GridState(ViewState):
    """The synchronised state of a patching grid. Both sides write `selected`, `metric`, `pair` and `color_limit`."""

    spec: GridSpec | None
    """Null, as are the arrays, while a server is yet to say anything of the result."""
    arrays: GridArrays | None
    strips: WireStrips | None
    """None where no head was opened."""
    job: JobStatus
    selected: Cell | None
    metric: str
    pair: int | None
    """Number of the pair that is shown; null for the mean of all."""
    color_limit: float
    """The effect at which the colour scale ends, on both sides of 0."""
    theme: Theme


GridToPython = ToPython | StripMessage | StripRequest
