"""What every view shares with its page."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

JobState = Literal["running", "done", "cancelled", "failed"]
Dtype = Literal["float32", "float16", "int32", "uint16", "uint8"]
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


class Spot(TypedDict, total=False):
    """A place that views share, in the words of `selected`: each names what it has, and passes over what it has not."""

    site: str
    layer: int
    head: int
    pos: int
    """Position in the text."""
    token: int
    """Id of a token of the vocabulary."""
    latent: int
    neuron: int
    prompt: int
    """Number of the prompt that is shown, of several."""
    words: list[str]
    """The tokens at `pos` as people read them: that of each prompt which is shown."""


class WireLink(TypedDict):
    """A group of views that share where the reader is."""

    group: str
    by: list[str]
    """The keys of `Spot` that are shared."""
    same_tokens: bool
    """Whether a position counts only where both views have the same token."""
    empties: bool
    """Whether selecting nothing is shared too."""


class WireWay(TypedDict):
    """A view that opens from places of this one."""

    name: str
    meaning: str
    key: str
    needs: list[str]
    """The keys of `Spot` that a place must have."""
    sites: list[str]
    """The sites whose places it takes; all where there are none."""
    apart: list[str]
    """The keys of `Spot` that make it another view: places that agree in them are shown by the same one."""


class WireOpened(TypedDict):
    """A view that was opened from this one."""

    model: str
    """Id of its model."""
    way: str
    place: Spot
    """What of the place made it another view."""
    trail: list[str]
    """The way to it from the first view, in words."""


class ViewState(TypedDict, total=False):
    """The synchronised state that every view has beside its own; pages that were saved earlier lack it."""

    links: list[WireLink]
    ways: list[WireWay]
    no_ways: str
    """Why there are none."""
    opened: list[WireOpened]


class OpenRequest(TypedDict):
    """To Python: a request to open a view of a place."""

    kind: Literal["request"]
    id: str
    name: Literal["open"]
    way: str
    place: Spot


class CloseMessage(TypedDict):
    """To Python: close a view that was opened from this one."""

    kind: Literal["close"]
    model: str


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


ToPython = CancelMessage | ResyncMessage | HtmlRequest | OpenRequest | CloseMessage
"""What every view may send."""
