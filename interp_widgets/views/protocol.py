"""What crosses between Python and the page, described once.

`tools/protocol.py` writes `js/src/core/protocol.ts` from this module, so that both sides are typed by the same words.
Only plain JSON types appear here; numbers in bulk travel as `WireArray` buffers.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

JobState = Literal["running", "done", "cancelled", "failed"]
Dtype = Literal["float32", "int32", "uint8"]
Theme = Literal["auto", "light", "dark"]
DialMode = Literal["ablate", "scale", "clamp", "add"]
"""What is done with a latent's activation: so much of it is taken out, it is multiplied, replaced, or added to."""
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


class TokensMessage(TypedDict):
    """To the page: tokens on which latents have been read.

    Buffers, in order: tokens int32 (token), how many latents each has int32 (token), those latents int32 and their
    activations float32, one token after the other; then the latents whose statistics changed int32 (latent) with
    maximum float32 (text, latent), total float32 (text, latent) and fires int32 (text, latent). `seq` counts as in
    `RowsMessage`.
    """

    kind: Literal["tokens"]
    seq: int


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


class StripMessage(TypedDict):
    """To Python: stop computing a head by position and keep what there is, or take it away."""

    kind: Literal["cancel_strip", "remove_strip"]
    cell: Cell


class HtmlRequest(TypedDict):
    """To Python: a request for the view as one page."""

    kind: Literal["request"]
    id: str
    name: Literal["html"]


class CardRequest(TypedDict):
    """To Python: a request for the card of a latent, which comes with the state `cards`. The answer says when."""

    kind: Literal["request"]
    id: str
    name: Literal["card"]
    latent: int


class ColumnRequest(TypedDict):
    """To Python: a request for all tokens on which a latent fires. The answer is a `WireColumn` as JSON."""

    kind: Literal["request"]
    id: str
    name: Literal["column"]
    latent: int


class StripRequest(TypedDict):
    """To Python: a request to run a head position by position. The answer says only that it will be."""

    kind: Literal["request"]
    id: str
    name: Literal["by_position"]
    cell: Cell


class DialRequest(TypedDict):
    """To Python: turn a latent, at all tokens up to `token`, or null for the whole text, and those to come.

    The answer is a `WireReading` as JSON, which is then the state `dial` too.
    """

    kind: Literal["request"]
    id: str
    name: Literal["dial"]
    latent: int
    mode: DialMode
    strength: float
    token: int | None


RequestMessage = HtmlRequest | StripRequest | CardRequest | ColumnRequest | DialRequest
ToPage = RowsMessage | TokensMessage | ReplyMessage
ToPython = CancelMessage | ResyncMessage | StripMessage | RequestMessage


class GridState(TypedDict):
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


class WireText(TypedDict):
    """A text of one or more documents: what it is called, and its tokens as people read them."""

    name: str
    labels: list[str]
    starts: list[int]
    """The first token of each document."""


class WireValues(TypedDict):
    """A short stretch of text with a number at each token."""

    labels: list[str]
    values: list[float]
    peak: int
    """Which of the tokens is the strongest."""


class WireDictionary(TypedDict):
    """A dictionary of latents in words."""

    name: str
    kind: Literal["sae", "transcoder", "neurons", "directions"]
    reads: str
    writes: str
    n_latents: int
    normalised: str
    signed: bool


class WireFit(TypedDict):
    """How well a dictionary stands for the model on the text; `loss_recovered` is null where it is not defined."""

    variance_explained: float | None
    l0: float
    loss: float
    loss_with: float
    loss_without: float
    loss_recovered: float | None
    n_tokens: int


class FeatureSpec(TypedDict):
    """All that a view of features shows apart from numbers: one text, or two that are compared.

    Tokens of both are counted through.
    """

    texts: list[WireText]
    dictionary: WireDictionary
    threshold: float
    """A latent fires where the size of its activation is above this."""
    kept: int | None
    """Most latents that Python has of a token; null where it has all that fire."""
    answers: bool
    """Whether Python makes cards that are not there yet."""
    turns: bool
    """Whether Python turns latents."""
    code: str
    """Lines of nnsight that read one latent, a template with `$latent`; empty where there are none."""
    provenance: list[str]


class FeatureArrays(TypedDict):
    """Latents on tokens, committed when a job starts and when it ends.

    Of each token its strongest latents are here, and of the latents that are looked at all tokens. The statistics count
    everything, so that a latent whose tokens are not all here is one that `fires` on more.
    """

    starts: WireArray
    """int32 (token + 1): token t has the entries from starts[t] to starts[t + 1]."""
    latents: WireArray
    """int32 (entry): rising for each token."""
    activations: WireArray
    """float32 (entry)."""
    computed: WireArray
    """uint8 (token): 1 if it has been read."""
    firing: WireArray
    """int32 (latent): those that fire somewhere, rising."""
    maximum: WireArray
    """float32 (text, latent): the activation of the largest size."""
    total: WireArray
    """float32 (text, latent): the sum of activations."""
    fires: WireArray
    """int32 (text, latent): on how many tokens."""
    per_token: int | None
    """At most so many latents of a token are here, apart from those that are here as a whole; null where all are."""
    fit: WireFit | None


class WireColumn(TypedDict):
    """All tokens on which a latent fires."""

    tokens: list[int]
    activations: list[float]


class WireWeighted(TypedDict):
    """A token with what a latent adds to its logit for one unit of activation."""

    label: str
    logit: float


class WireNeighbour(TypedDict):
    """Another latent with the cosine between the two decoder rows."""

    latent: int
    cosine: float


class WireLink(TypedDict):
    """A component that writes to a latent or reads it, and how much."""

    component: str
    weight: float
    latent: int | None
    """Its number if it is a latent of the same dictionary."""


class WireHistogram(TypedDict):
    """How often a latent fires how strongly; one edge more than counts."""

    edges: list[float]
    counts: list[int]


class WireCard(TypedDict):
    """What is known of a latent beyond the text; null for what has not been looked for."""

    promotes: list[WireWeighted] | None
    suppresses: list[WireWeighted] | None
    nearest: list[WireNeighbour] | None
    written_by: list[WireLink] | None
    feeds: list[WireLink] | None
    examples: list[WireValues] | None
    histogram: WireHistogram | None
    density: float | None
    corpus: str


class LatentChoice(TypedDict):
    """The latent that is shown, and the token that is held; null where none is."""

    latent: int
    token: int | None


class WireReading(TypedDict):
    """What turning a latent did to what the model says after a token."""

    latent: int
    mode: DialMode
    strength: float
    token: int | None
    """Null for the end of the text."""
    before: list[WirePrediction]
    """The likeliest next tokens as they are, and with the latent turned."""
    after: list[WirePrediction]
    kl: float
    """How far the prediction moved, in nats."""
    text_before: str
    """What the model goes on with."""
    text_after: str


class FeatureState(TypedDict):
    """The synchronised state of a view of features. Both sides write all but `spec`, `arrays`, `cards`, `dial` and
    `job`."""

    spec: FeatureSpec
    arrays: FeatureArrays
    cards: dict[str, WireCard]
    """By the latent's number."""
    dial: WireReading | None
    """The last one."""
    job: JobStatus
    selected: LatentChoice | None
    """Null shows the latent that leads."""
    pinned: list[int]
    sort: Literal["max", "mean", "density", "difference"]
    color_limit: float | None
    """The activation at which all scales end; null ends that of each latent at its own maximum."""
    names: dict[str, str]
    notes: dict[str, str]
    theme: Theme


class WireShape(TypedDict):
    """Features that share dimensions: "pentagon", and which features it is made of."""

    name: str
    features: list[int]


class WireLandmark(TypedDict):
    """A dimensionality at which features of a regular shape sit."""

    share: float
    label: str
    name: str


class SuperpositionSpec(TypedDict):
    """All that a view of toy models shows apart from their weights."""

    title: str
    model: str
    """The model as a formula."""
    probabilities: list[float]
    """From dense to sparse."""
    importance: list[float]
    n_hidden: int
    n_models: int
    steps: int
    correlated: list[list[int]]
    anticorrelated: list[list[int]]
    landmarks: list[WireLandmark]
    """Those that fit into so many dimensions, from 1 down."""
    code: str
    """Lines of torch that train one model: $probability, $model."""
    provenance: list[str]
    """Short facts about where the numbers come from, in the order in which they are shown."""


class SuperpositionArrays(TypedDict):
    """The models as they are now. What has no model axis is about the best of each sparsity."""

    trained: int
    """Steps so far."""
    best: list[int]
    """The model of each sparsity that lost least."""
    weights: WireArray
    """float32 (sparsity, hidden, feature): the features' directions."""
    norms: WireArray
    """float32 (sparsity, model, feature)."""
    dimensionality: WireArray
    """float32 (sparsity, model, feature)."""
    interference: WireArray
    """float32 (sparsity, model, feature)."""
    biases: WireArray
    """float32 (sparsity, model, feature)."""
    losses: WireArray
    """float32 (sparsity, model)."""
    lost: WireArray
    """float32 (sparsity, model): the share of what there is to know that is lost."""
    shapes: list[list[WireShape]]
    """For each sparsity, the shapes of the features that are kept."""
    geometry: list[str]
    """The same in words."""


class SuperpositionChoice(TypedDict):
    """A sparsity by its number and, if one is pinned, a feature."""

    sparsity: int
    feature: int | None


class SuperpositionState(TypedDict):
    """The synchronised state of a view of toy models. Both sides write `selected`."""

    spec: SuperpositionSpec
    arrays: SuperpositionArrays
    job: JobStatus
    selected: SuperpositionChoice | None
    theme: Theme
