"""Toy models of superposition: the directions of their features at each sparsity, and how they share dimensions."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import traitlets

from interp_widgets.results.errors import SelectionError
from interp_widgets.results.shapes import LANDMARKS, Shape, in_words
from interp_widgets.results.superposition import SuperpositionResult
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.superposition import (
    SuperpositionArrays,
    SuperpositionChoice,
    SuperpositionSpec,
    WireShape,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Steps: TypeAlias = "Generator[SuperpositionResult, None, SuperpositionResult]"
"""A training under way: yields partial results and returns the whole."""

_RATE = 4e6
"""Bytes a second that go to the page while models are trained."""


class Superposition(View[SuperpositionResult]):
    """Toy models of superposition, a picture for each sparsity and one of them large, and their dimensionalities.

    In two dimensions a picture has an arrow for each feature, its direction W_i; in more it is WᵀW. Both Python and the
    page write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: what is shown large, as `{"sparsity": 5, "feature": 0}` or `{"sparsity": 5}`, by their numbers in
            `result.probabilities` and in its features; None shows the sparsest model.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.

    Example:
        >>> from interp_widgets import Superposition, run_superposition
        >>> view = Superposition(run_superposition(probabilities=(1, 0.05), steps=1000, models=2))
        >>> view.selected = {"sparsity": 1, "feature": 0}
        >>> print(view.code().splitlines()[3])
        probability = 0.05  # that a feature is on
    """

    _esm = STATIC / "superposition.js"
    _page_writes = frozenset({"selected", "theme"})
    _page_state = ("spec", "arrays", "job", "selected", "theme")

    spec = traitlets.Dict(help="All that is shown apart from the weights.").tag(sync=True)
    arrays = traitlets.Instance(SuperpositionResult, help="The result whose models the page holds.").tag(
        sync=True, to_json=lambda result, _view: superposition_arrays(result)
    )
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)

    def __init__(self, source: SuperpositionResult | Steps) -> None:
        """Show a result, or the partial results of a training.

        Args:
            source: a finished result, or the generator that `interp_widgets.experiments.superposition.superposition`
                returns.
        """
        self._due = 0.0
        super().__init__(steps_of(source, SuperpositionResult, "Superposition"))

    def code(self, sparsity: int | None = None) -> str:
        """The lines of torch that train one model by itself and print what came of it; they run as they are printed.

        Args:
            sparsity: number of the sparsity; by default the selected one, else the sparsest. Of its models, the best.

        Raises:
            SelectionError: there is no such sparsity.
            ResultError: the result came without code.
        """
        chosen = cast("SuperpositionChoice | None", self.selected)
        if sparsity is None:
            sparsity = chosen["sparsity"] if chosen else len(self.partial.probabilities) - 1
        return self.partial.script(sparsity)

    def figure(self) -> Figure:
        """The models and their dimensionalities as a matplotlib figure, for print."""
        from interp_widgets.views._superposition_figure import draw

        return draw(self.partial)

    def __repr__(self) -> str:
        return f"Superposition({self.partial.shape_in_words()}, {self.job.state})"

    def _measure(self, result: SuperpositionResult) -> tuple[int, int]:
        return result.trained, result.steps

    def _open(self, result: SuperpositionResult) -> dict[str, object]:
        return {"spec": superposition_spec(result), "arrays": result}

    def _stream(self, result: SuperpositionResult) -> None:
        # Every step changes every weight: the page gets the whole anew, as often as its size allows.
        now = time.monotonic()
        if now >= self._due:
            self._due = now + result.weights[:, 0].nbytes / _RATE
            self.set_trait("arrays", result)

    def _commit(self, result: SuperpositionResult) -> None:
        self.set_trait("arrays", result)
        self.send_state("arrays")

    def _title(self) -> str:
        return question(self.partial)

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> SuperpositionChoice | None:
        if proposal["value"] is None:
            return None
        try:
            sparsity, feature = self.partial.find(proposal["value"])
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error
        return {"sparsity": sparsity, "feature": feature}


def question(result: SuperpositionResult) -> str:
    """The question that the view answers."""
    features = f"{result.n_features} feature{'s' * (result.n_features != 1)}"
    share = f"{result.n_hidden} dimension{'s' * (result.n_hidden != 1)}"
    return f"How does a model fit {features} into {share}?"


def superposition_spec(result: SuperpositionResult) -> SuperpositionSpec:
    """All that the view shows apart from weights."""
    source = result.provenance
    versions = " · ".join(f"{name} {version}" for name, version in source.versions.items())
    return {
        "title": question(result),
        "model": source.model,
        "probabilities": list(result.probabilities),
        "importance": result.importance.tolist(),
        "n_hidden": result.n_hidden,
        "n_models": result.n_models,
        "steps": result.steps,
        "correlated": [list(members) for members in result.correlated],
        "anticorrelated": [list(members) for members in result.anticorrelated],
        "landmarks": [
            {"share": float(landmark.share), "label": str(landmark.share), "name": landmark.name}
            for landmark in LANDMARKS
            if landmark.dimensions <= result.n_hidden
        ],
        "code": result.code,
        "provenance": [source.model, *(f"{name}: {value}" for name, value in source.settings.items()), versions],
    }


def superposition_arrays(result: SuperpositionResult) -> SuperpositionArrays:
    """The models of a result, for the page."""
    levels = range(len(result.probabilities))
    best = result.best
    found = [result.shapes(level) for level in levels]
    return {
        "trained": result.trained,
        "best": best.tolist(),
        "weights": wire_array(result.weights[list(levels), best], "float32"),
        "norms": wire_array(result.norms, "float32"),
        "dimensionality": wire_array(result.dimensionality, "float32"),
        "interference": wire_array(result.interference, "float32"),
        "biases": wire_array(result.biases, "float32"),
        "losses": wire_array(result.losses, "float32"),
        "lost": wire_array(result.lost, "float32"),
        "shapes": [[_shape(shape) for shape in shapes] for shapes in found],
        "geometry": [in_words(shapes, result.n_features) for shapes in found],
    }


def _shape(shape: Shape) -> WireShape:
    return {"name": shape.name, "features": list(shape.features)}
