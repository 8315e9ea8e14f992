"""What every view shares with its page."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

JobState = Literal["running", "done", "cancelled", "failed"]
Dtype = Literal["float32", "int32", "uint16", "uint8"]
Theme = Literal["auto", "light", "dark"]


class WireArray(TypedDict):
    """An array in C order, little-endian; `data` is a binary buffer."""

    dtype: Dtype
    shape: list[int]
    data: Any


class WirePrediction(TypedDict):
    """A next token with its probability."""

    label: str
    prob: float


class WireTerm(TypedDict):
    """A site or a metric, with the words that explain it."""

    name: str
    label: str
    meaning: str
    unit: str


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


class HtmlRequest(TypedDict):
    """To Python: a request for the view as one page."""

    kind: Literal["request"]
    id: str
    name: Literal["html"]


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


ToPython = CancelMessage | ResyncMessage | HtmlRequest
"""What every view may send."""
