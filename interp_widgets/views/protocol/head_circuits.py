"""QK and OV circuits of heads on the wire."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import (
    CancelMessage,
    HtmlRequest,
    JobStatus,
    ResyncMessage,
    Theme,
    ViewState,
    WireArray,
)

CircuitName = Literal["qk", "ov"]
CircuitScale = Literal["shared", "own"]


class CircuitSpec(TypedDict):
    """All that is shown apart from numbers."""

    title: str
    labels: list[str]
    """The tokens of all axes."""
    layers: list[int]
    heads: list[int]
    offset: int
    positions: Literal["rotary", "added", "none"]
    answers: bool
    """Whether Python looks through the whole vocabulary when it is asked to."""


class CircuitArrays(TypedDict):
    """The numbers of all heads; NaN where nothing is computed (yet)."""

    qk: WireArray
    """float32 (layer, head, query, key)."""
    ov: WireArray
    """float32 (layer, head, source, output)."""
    copying: WireArray
    """float32 (layer, head): from -1 to 1."""
    eigenvalues: WireArray
    """float32 (layer, head, eigenvalue, 2): real and imaginary parts."""
    by_offset: WireArray
    """float32 (layer, head, offset)."""
    missing: dict[str, str]
    """Why something is not there."""
    provenance: list[str]


class WireTokenPair(TypedDict):
    """An entry of a circuit over the whole vocabulary."""

    first: str
    second: str
    value: float


class WireExtremes(TypedDict):
    """The largest and the smallest entries of one circuit over the whole vocabulary."""

    layer: int
    head: int
    circuit: CircuitName
    highest: list[WireTokenPair]
    lowest: list[WireTokenPair]


class CircuitChoice(TypedDict):
    """The head that is shown, and the token that is attended to, as its place on the axes."""

    layer: int
    head: int
    token: int | None


class CircuitState(ViewState):
    """The state that Python and the page share."""

    spec: CircuitSpec
    arrays: CircuitArrays
    extremes: list[WireExtremes]
    selected: CircuitChoice | None
    """Null shows the head that copies most."""
    small: CircuitName
    """What the small maps show."""
    color_scale: CircuitScale
    job: JobStatus
    theme: Theme


class VocabularyRequest(TypedDict):
    """To Python: look through the whole vocabulary for a head's strongest entries; the answer comes when it is done."""

    kind: Literal["request"]
    id: str
    name: Literal["vocabulary"]
    layer: int
    head: int


CircuitToPython = CancelMessage | ResyncMessage | HtmlRequest | VocabularyRequest
"""What the view may send."""
