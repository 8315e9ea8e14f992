"""What a view of features shares with its page."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import (
    JobStatus,
    Theme,
    ToPython,
    ViewState,
    WireArray,
    WirePrediction,
    WireText,
    WireValues,
)

DialMode = Literal["ablate", "scale", "clamp", "add"]
"""What is done with a latent's activation: so much of it is taken out, it is multiplied, replaced, or added to."""


class TokensMessage(TypedDict):
    """To the page: tokens on which latents have been read.

    Buffers, in order: tokens int32 (token), how many latents each has int32 (token), those latents int32 and their
    activations float32, one token after the other; then the latents whose statistics changed int32 (latent) with
    maximum float32 (text, latent), total float32 (text, latent) and fires int32 (text, latent). `seq` counts up
    by one; on a gap the page asks for a resync.
    """

    kind: Literal["tokens"]
    seq: int


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


class WireSpot(TypedDict):
    """A token: the number of its text, those of both sides counted through, and the position in it."""

    document: int
    position: int


class WireCard(TypedDict):
    """What is known of a latent beyond the text; null for what has not been looked for."""

    promotes: list[WireWeighted] | None
    suppresses: list[WireWeighted] | None
    nearest: list[WireNeighbour] | None
    written_by: list[WireLink] | None
    written_at: WireSpot | None
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


class FeatureState(ViewState):
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


FeatureToPython = ToPython | CardRequest | ColumnRequest | DialRequest
