"""Attention heads on the wire."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import JobStatus, Theme, ToPython, ViewState, WireArray

AttentionSide = Literal["clean", "corrupt", "difference"]
HeadOrder = Literal["layer", "score"]
ColorScale = Literal["shared", "own"]


class WireAttentionSide(TypedDict):
    """A prompt, or several whose mean is shown."""

    name: str
    """Also what the code calls it."""
    labels: list[str]
    """Tokens of the first prompt."""
    prompts: int
    ids: str
    """All of its prompts as the code has them."""


class WireScoreTerm(TypedDict):
    """A score of heads, with the words that explain it."""

    name: str
    badge: str
    """What a head is called in short."""
    head: str
    """What it is called, with its article."""
    meaning: str
    sample: str
    baseline: str
    source: str
    low: float
    high: float
    named: float
    """Score from which a head is called so."""


class AttentionSpec(TypedDict):
    """All that is shown apart from numbers."""

    title: str
    sides: list[WireAttentionSide]
    layers: list[int]
    heads: list[int]
    block: int
    """How many tokens share a number along each axis; 1 where each has its own."""
    whole: bool
    """Whether the page has all numbers; else it has small pictures, and asks for tiles and lines."""
    tile: int
    """Numbers along a tile."""
    small: int
    """Numbers along a small picture, at most; each the largest of those that it stands for."""
    weighted: bool
    """Whether patterns weighted by value norms can be shown."""
    sides_shown: list[AttentionSide]
    reads: bool
    """Whether Python can read a layer anew, token by token."""
    kept: int
    """Bytes of tiles and lines that a saved page keeps at most."""
    terms: list[WireScoreTerm]
    code: str
    """Lines that compute a pattern, with `$prompts`, `$shown`, `$layer`, `$head` and `$pos` to be filled in."""
    weighted_code: str
    """Likewise of a weighted one."""
    provenance: list[str]


class WireMaps(TypedDict):
    """One layer of one prompt, in full."""

    pattern: WireArray
    """float32 (head, query, key)."""
    weighted: WireArray | None
    """Where it does not follow from `pattern` and `norms`."""
    norms: WireArray | None
    """float32 (head, key): what patterns are multiplied by to be weighted."""
    spread: WireArray | None
    """Standard deviation over prompts."""
    weighted_spread: WireArray | None


class WirePictures(TypedDict):
    """Small pictures of one layer's heads."""

    codes: WireArray
    """uint8 (head, query, key): 0 where there is no number, else 128 + 127 * value / peak."""
    peaks: WireArray
    """float32 (head,): the largest size of a number."""


class WireLayer(TypedDict):
    """What the page holds of one layer."""

    sides: list[WireMaps]
    """Empty where the page asks for numbers."""
    pictures: dict[str, WirePictures]
    """By side, with "/weighted" behind it where it is; empty where the page has all numbers."""


class AttentionArrays(TypedDict):
    """The numbers that the page holds."""

    layers: list[WireLayer | None]
    """None where a layer has not been read."""
    leading: list[int] | None
    """Layer and head that are shown until somebody chooses."""


class WireScore(TypedDict):
    """One score of every head."""

    values: WireArray
    """float32 (layer, head), as low and high; NaN where it has not been computed."""
    low: WireArray
    high: WireArray
    """95% confidence interval; NaN where there is none."""
    baseline: float | None


class WireScores(TypedDict):
    """Scores by name, and why others are not there."""

    scores: dict[str, WireScore]
    missing: dict[str, str]
    about: list[str]


class WireClose(TypedDict):
    """Heads of a layer that were read anew, with a number for each token or for smaller blocks."""

    layer: int
    heads: list[int]
    block: int


class WireKept(TypedDict):
    """A tile or the lines through a token, which a saved page keeps."""

    key: str
    arrays: list[WireArray]


class HeadChoice(TypedDict):
    """What is shown large: a head, and the query that is held."""

    layer: int
    head: int
    pos: int | None


class AttentionState(ViewState):
    """The state that Python and the page share."""

    spec: AttentionSpec
    arrays: AttentionArrays
    scored: WireScores | None
    close_up: WireClose | None
    kept: list[WireKept]
    selected: HeadChoice | None
    side: AttentionSide
    weighted: bool
    score: str | None
    order: HeadOrder
    color_scale: ColorScale
    job: JobStatus
    theme: Theme


class TileRequest(TypedDict):
    """To Python: a tile of one head's pattern, float32 in a buffer; its shape is the answer."""

    kind: Literal["request"]
    id: str
    name: Literal["tile"]
    side: AttentionSide
    layer: int
    head: int
    weighted: bool
    level: int
    row: int
    column: int


class LinesRequest(TypedDict):
    """To Python: where a token looks and who looks at it, float32 in two buffers; two more are their spreads."""

    kind: Literal["request"]
    id: str
    name: Literal["lines"]
    side: AttentionSide
    layer: int
    head: int
    weighted: bool
    pos: int


class ReadRequest(TypedDict):
    """To Python: read a layer anew, token by token; the answer comes when it is there."""

    kind: Literal["request"]
    id: str
    name: Literal["read"]
    layer: int
    head: int


AttentionToPython = ToPython | TileRequest | LinesRequest | ReadRequest
"""What the view may send."""
