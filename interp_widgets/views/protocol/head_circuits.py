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
    ids: str
    """The tokens' ids, as lines of code have them."""
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
    code: list[str]
    """The lines that compute both circuits of a head, by layer: templates of `ids` and `head`, empty where none do."""
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


class WireLook(TypedDict):
    """How far looking through the whole vocabulary for a head's strongest entries is."""

    layer: int
    head: int
    job: JobStatus


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
    looking: WireLook | None
    """Null before somebody asked."""
    selected: CircuitChoice | None
    """Null shows the head that copies most."""
    small: CircuitName
    """What the small maps show."""
    color_scale: CircuitScale
    job: JobStatus
    theme: Theme


class VocabularyRequest(TypedDict):
    """To Python: look through the whole vocabulary for a head's strongest entries; `looking` tells how far that is."""

    kind: Literal["request"]
    id: str
    name: Literal["vocabulary"]
    layer: int
    head: int


class CancelVocabulary(TypedDict):
    """To Python: look no further through the whole vocabulary."""

    kind: Literal["cancel_vocabulary"]


CircuitToPython = CancelMessage | ResyncMessage | HtmlRequest | VocabularyRequest | CancelVocabulary
"""What the view may send."""
