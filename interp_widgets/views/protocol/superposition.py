"""What a view of toy models shares with its page."""

from __future__ import annotations

from typing import TypedDict

from interp_widgets.views.protocol.common import JobStatus, Theme, WireArray


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
