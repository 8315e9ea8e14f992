"""What crosses between Python and the page, described once.

`tools/protocol.py` writes `js/src/core/protocol.ts` from this module, so that both sides are typed by the same words.
Only plain JSON types appear here; numbers in bulk travel as `WireArray` buffers.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

JobState = Literal["running", "done", "cancelled", "failed"]
Dtype = Literal["float32", "int32", "uint8"]
Theme = Literal["auto", "light", "dark"]
Columns = Literal["pos", "head", "neuron", "role", "layer"]


class WireArray(TypedDict):
    """An array in C order, little-endian; `data` is a binary buffer."""

    dtype: Dtype
    shape: list[int]
    data: Any


class WirePrediction(TypedDict):
    """A next token with its probability."""

    label: str
    prob: float


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


class WireTerm(TypedDict):
    """A site or a metric, with the words that explain it."""

    name: str
    label: str
    meaning: str
    unit: str


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
    top_k: int
    code_sites: dict[str, str]
    """For each site, the lines of nnsight of one cell: $layer, $pos, $head, $neuron, $role (quoted), $clean_ids,
    $corrupt_ids, $metric."""
    code_metrics: dict[str, str]
    """For each metric, the lines that replace $metric: $answer, $wrong_answer."""
    provenance: list[str]
    """Short facts about where the numbers come from, in the order in which they are shown."""


class GridArrays(TypedDict):
    """Everything known of every cell, committed when a job starts and when it ends."""

    values: WireArray
    """float32 (metric, pair, panel, row, column): raw values; NaN where not computed."""
    status: WireArray
    """uint8 (pair, panel, row, column): 0 pending, 1 computed, 2 known without a run, 3 left out,
    4 estimated by attribution patching, 5 estimated until the exact value arrives."""
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


class JobStatus(TypedDict):
    """How far the computation is. `eta` is the time left in seconds, null when unknown; `note` says how it stands on a
    server, null where it is done here or has ended."""

    state: JobState
    done: int
    total: int
    seconds: float
    eta: float | None
    error: str | None
    note: str | None


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


class ReplyMessage(TypedDict):
    """To the page: the answer to the request of the same id."""

    kind: Literal["reply"]
    id: str
    ok: bool
    value: str
    """What was asked for, or the error in words."""


class CancelMessage(TypedDict):
    """To Python: stop computing, keep what there is."""

    kind: Literal["cancel"]


class ResyncMessage(TypedDict):
    """To Python: a row was missed, or a view opened while rows were streaming."""

    kind: Literal["resync"]


class RequestMessage(TypedDict):
    """To Python: a question that only the kernel can answer. `html` asks for the view as one page."""

    kind: Literal["request"]
    id: str
    name: Literal["html"]


ToPage = RowsMessage | ReplyMessage
ToPython = CancelMessage | ResyncMessage | RequestMessage


class GridState(TypedDict):
    """The synchronised state of a patching grid. Both sides write `selected`, `metric`, `pair` and `color_limit`."""

    spec: GridSpec | None
    """Null, as are the arrays, while a server is yet to say anything of the result."""
    arrays: GridArrays | None
    job: JobStatus
    selected: Cell | None
    metric: str
    pair: int | None
    """Number of the pair that is shown; null for the mean of all."""
    color_limit: float
    """The effect at which the colour scale ends, on both sides of 0."""
    theme: Theme
