"""What a view of direct logit attribution shares with its page."""

from __future__ import annotations

from typing import Literal, TypedDict

from interp_widgets.views.protocol.common import JobStatus, Theme, ToPython, ViewState, WireArray, WireText

AttributionKind = Literal["embedding", "token", "position", "head", "attention", "mlp", "bias"]
"""What a component is."""


class WireComponent(TypedDict):
    """One of the parts whose outputs add up to the last stream; its place is `site`, `layer` and `head`."""

    name: str
    kind: AttributionKind
    site: str
    layer: int | None
    head: int | None


class AttributionSpec(TypedDict):
    """All that a view of an attribution shows apart from numbers."""

    text: WireText
    """The prompts, each a document."""
    ids: WireArray
    """int32 (token): token ids of all prompts."""
    components: list[WireComponent]
    """In the order in which the model adds them up."""
    n_layers: int
    n_heads: int
    """Of a layer; 0 where heads cannot be told apart."""
    targets: WireArray
    """int32 (prompt, target): the positions whose predictions are taken apart."""
    opens: bool
    """Whether Python takes heads and MLPs further apart."""
    has_sources: bool
    has_neurons: bool
    """Whether heads can be taken apart by source, and MLPs by neuron."""
    code: dict[str, str]
    """By site: lines of nnsight that compute one component, templates with `$ids`, `$pos`, `$answer`, `$wrong_answer`,
    `$layer` and `$head`."""
    provenance: list[str]


class AttributionArrays(TypedDict):
    """The contributions, in logits; NaN where not computed yet."""

    contributions: WireArray
    """float32 (prompt, target, component)."""
    logits: WireArray
    """float32 (prompt, target): the model's own logit difference."""
    unexplained: WireArray
    """float32 (prompt, target): that less the sum of all contributions."""
    scales: WireArray
    """float32 (prompt, target): what the last norm divides by, held fixed."""
    answers: list[str]
    wrong_answers: list[str | None]
    """null: the mean over the vocabulary."""
    answer_ids: list[int]
    wrong_answer_ids: list[int | None]


class WireSources(TypedDict):
    """What a head brings from each token that it attends to."""

    contributions: WireArray
    """float32 (prompt, target, source)."""
    weights: WireArray
    """float32 (prompt, target, source): its pattern."""


class WireNeurons(TypedDict):
    """The strongest neurons of an MLP."""

    count: int
    """How many the MLP has."""
    neurons: WireArray
    """int32 (entry): which these are."""
    contributions: WireArray
    """float32 (prompt, target, entry)."""
    activations: WireArray
    """float32 (prompt, target, entry)."""


class AttributionChoice(TypedDict):
    """A component by its place. Both Python and the page write it."""

    site: str
    layer: int | None
    head: int | None


class AttributionState(ViewState):
    """The synchronised state of a view of an attribution."""

    spec: AttributionSpec
    arrays: AttributionArrays
    sources: dict[str, WireSources]
    """By layer and head, such as "9.6"."""
    neuron_parts: dict[str, WireNeurons]
    """By layer."""
    job: JobStatus
    selected: AttributionChoice | None
    prompt: int | None
    """The prompt that is shown; null for the mean over all."""
    target: int
    """Which of the targets is shown."""
    color_limit: float | None
    theme: Theme


class SourcesRequest(TypedDict):
    """To Python: take a head apart by source; what is found comes with the state `sources`. The answer says when."""

    kind: Literal["request"]
    id: str
    name: Literal["sources"]
    layer: int
    head: int


class NeuronsRequest(TypedDict):
    """To Python: take an MLP apart; what is found comes with the state `neuron_parts`. The answer says when."""

    kind: Literal["request"]
    id: str
    name: Literal["neurons"]
    layer: int


AttributionToPython = ToPython | SourcesRequest | NeuronsRequest
"""What the page may send."""
