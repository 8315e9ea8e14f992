"""What a view of a lens shares with its page."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import JobStatus, Theme, ToPython, ViewState, WireArray, WireText

LensQuantity = Literal["prob", "logprob", "logit", "rank", "entropy", "kl"]
LensTrajectory = Literal["prob", "logprob", "rank"]
LensRows = Literal["all", "layers"]


class LensCellsMessage(TypedDict):
    """To the page: cells that have been read, with their numbers for every prompt.

    Buffers, in order: cells int32 (row * length + position), then logprobs and ranks float32 (prompt, cell, answer),
    entropy, kl and log_sums float32 (prompt, cell), apart float32 (comparison, cell), top int32 (prompt, cell, k) and
    top_probs float32 (prompt, cell, k). `seq` counts up by one; on a gap the page asks for a resync.
    """

    kind: Literal["cells"]
    seq: int
    vocab: list[str]
    """Labels of tokens that are new in `top`, and go behind those that are there."""
    vocab_ids: list[int]


class FollowRequest(TypedDict):
    """To Python: a request to follow one more token. The answer is its number, and the state then has it."""

    kind: Literal["request"]
    id: str
    name: Literal["follow"]
    text: str
    """What somebody typed; not looked at where there is a token."""
    token: int | None
    """Id of a token."""


class LensRow(TypedDict):
    """A place where the stream is read."""

    site: str
    layer: int


class LensSpec(TypedDict):
    """All that a view of a lens shows apart from numbers: one prompt, or a clean and a corrupt one of one length."""

    prompts: list[WireText]
    ids: list[list[int]]
    """Token ids of each prompt."""
    rows: list[LensRow]
    """The embedding first, the model's own prediction last."""
    lens: str
    """How streams are read: "logit lens", or which tuned lens."""
    follows: bool
    """Whether Python follows tokens that are asked for."""
    code: dict[str, str]
    """Lines of nnsight that compute a cell by site, templates with `$ids`, `$layer` and `$pos`; "last" is the last
    row's. Empty where there are none."""
    provenance: list[str]


class LensArrays(TypedDict):
    """The numbers of all cells, NaN where not read yet; of long prompts in half precision.

    Committed when a job starts and when it ends, and when one more token is followed.
    """

    answers: list[str]
    """Labels of the tokens that are followed."""
    logprobs: WireArray
    """(prompt, row, position, answer), natural logarithms."""
    ranks: WireArray
    """(prompt, row, position, answer): 0 is the top prediction; in half precision an eighth of it."""
    entropy: WireArray
    """(prompt, row, position), in nats."""
    kl: WireArray
    """(prompt, row, position): KL divergence from the model's own prediction, in nats."""
    log_sums: WireArray
    """(prompt, row, position): what makes a logit of a log probability."""
    apart: WireArray
    """(comparison, row, position): KL divergence of corrupt from clean, in nats; no comparison of one prompt."""
    top: WireArray
    """int32 or uint16 (prompt, row, position, k): the likeliest tokens as numbers into `vocab`."""
    top_probs: WireArray
    """(prompt, row, position, k)."""
    vocab: list[str]
    vocab_ids: WireArray
    """int32 (label): token ids."""


class LensCell(TypedDict):
    """A cell: a site of a layer at a position of a prompt, 0 or 1."""

    site: str
    layer: int
    pos: int
    prompt: int


class LensPin(TypedDict):
    """A line through the layers: one of the followed tokens at a position of a prompt."""

    pos: int
    answer: int
    prompt: int


class LensState(ViewState):
    """The synchronised state of a view of a lens. Both sides write all but `spec`, `arrays` and `job`."""

    spec: LensSpec
    arrays: LensArrays
    job: JobStatus
    selected: LensCell | None
    answer: int | None
    """The followed token that colour is about; null for what is said, whichever it is."""
    metric: LensQuantity
    rows: LensRows
    """All places, or only those between layers."""
    pinned: list[LensPin]
    trajectory: LensTrajectory
    theme: Theme


LensToPython = ToPython | FollowRequest
