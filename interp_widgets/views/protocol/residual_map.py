"""What a map of residual streams shares with its page."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import JobStatus, Theme, ToPython, ViewState, WireArray

ColorBy = Literal["label", "token", "position", "prompt"]


class ResidualMapSpec(TypedDict):
    """All that a map shows apart from where points are."""

    title: str
    meaning: str
    """What a point is, and what the axes are."""
    notes: list[str]
    """What a reader should know of the choice of points."""
    method: str
    layers: list[int]
    axes: list[str]
    n_given: int
    """How many of the axes are directions that were given; they come first."""
    n_points: int
    vocab: list[str]
    """Labels of tokens."""
    labels: list[str]
    """What prompts are called, each name once; empty where they have none."""
    code: str
    """Lines of nnsight that compute a layer's coordinates: $there. Empty where there are none."""
    reads: list[str]
    """For each layer, what $there is."""
    provenance: list[str]


class WireLayer(TypedDict):
    """One layer: its points and what is known of its axes. Shares are null for t-SNE and UMAP."""

    row: int
    """Which of the layers."""
    low: list[float]
    high: list[float]
    """For each axis, the coordinates that 0 and 65535 stand for."""
    coords: WireArray | None
    """uint16 (axis, point): null where it has to be asked for, or comes beside this."""
    turn: list[list[float]]
    """(axis, axis): what coordinates are multiplied by, from the right, to lie as in the layer before."""
    shares: list[float | None]
    """Of the variance, along each axis as it is."""
    turned_shares: list[float | None]
    """Along each axis after the turn."""
    explained: float | None
    """By all axes together; null where they are not at right angles."""
    cosines: list[list[float]]
    """Between directions, where two or more were given."""
    scree: list[float]
    """Shares of the leading principal components."""
    spread: float
    """Standard deviation in all dimensions together."""


class ResidualMapArrays(TypedDict):
    """Tokens and points."""

    text: WireArray
    """uint16 or int32 (token): the tokens of all prompts, as indices into the vocabulary."""
    starts: WireArray
    """int32 (prompt): where each begins."""
    taken: WireArray
    """uint8 (token): whether it is a point. Points are counted through all tokens."""
    labels: WireArray
    """int32 (prompt): what each is called, as an index; without entries where they have no labels."""
    layers: list[WireLayer]
    """Those that are placed."""


class LayerMessage(TypedDict):
    """To the page: a layer that was placed, or asked for. Its coordinates come as the message's only buffer, uint16
    (axis, point). `seq` counts up by one; on a gap the page asks for a resync."""

    kind: Literal["layer"]
    seq: int
    layer: WireLayer


class LayerRequest(TypedDict):
    """To Python: a request for the coordinates of a layer. They come as a `LayerMessage` before the answer."""

    kind: Literal["request"]
    id: str
    name: Literal["layer"]
    row: int


class ResidualMapState(ViewState):
    """The synchronised state of a map. Both sides write all but `spec`, `arrays` and `job`."""

    spec: ResidualMapSpec
    arrays: ResidualMapArrays
    job: JobStatus
    selected: list[int]
    """Numbers of points."""
    layer: int | None
    color_by: ColorBy
    align: bool
    one_scale: bool
    """Whether all layers are drawn to one scale."""
    axes: list[int]
    """Which axis is drawn across, and which up."""
    theme: Theme


ResidualMapToPython = ToPython | LayerRequest
