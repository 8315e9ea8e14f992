"""Interpretability experiments in one line, as live instruments in your notebook.

Names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp_widgets import teaching
    from interp_widgets.experiments.ablation import run_ablation
    from interp_widgets.experiments.attention import run_attention
    from interp_widgets.experiments.causal_trace import run_causal_trace
    from interp_widgets.experiments.circuit_check import run_circuit_check
    from interp_widgets.experiments.direct_attribution import run_attribution
    from interp_widgets.experiments.directions import difference_of_means
    from interp_widgets.experiments.feature_patching import run_feature_patching
    from interp_widgets.experiments.features import run_features
    from interp_widgets.experiments.group_patching import run_group_patching
    from interp_widgets.experiments.head_scores import run_head_scores
    from interp_widgets.experiments.latent_cards import run_latent_cards
    from interp_widgets.experiments.lens import run_lens
    from interp_widgets.experiments.memories import run_memories
    from interp_widgets.experiments.patching import run_patching
    from interp_widgets.experiments.path_patching import run_path_patching
    from interp_widgets.experiments.projection import run_projection
    from interp_widgets.experiments.receivers import Receiver
    from interp_widgets.experiments.steering import run_steering
    from interp_widgets.experiments.superposition import run_superposition
    from interp_widgets.experiments.top_examples import run_top_examples
    from interp_widgets.experiments.train_sae import train_sae
    from interp_widgets.experiments.train_tuned_lens import train_tuned_lens
    from interp_widgets.models.describe import describe
    from interp_widgets.models.description import Description
    from interp_widgets.models.dictionaries.topk import TopKSAE
    from interp_widgets.models.inspect import inspect
    from interp_widgets.models.tuned_lens import TunedLens
    from interp_widgets.results.attention import AttentionResult
    from interp_widgets.results.attribution import AttributionResult
    from interp_widgets.results.circuit import CircuitResult
    from interp_widgets.results.concepts import Concepts
    from interp_widgets.results.directions import Directions
    from interp_widgets.results.examples import ExamplesResult
    from interp_widgets.results.features import FeatureResult
    from interp_widgets.results.groups import GroupResult
    from interp_widgets.results.head_scores import HeadScores
    from interp_widgets.results.latent import LatentCard
    from interp_widgets.results.lens import LensResult
    from interp_widgets.results.lens_training import LensCurves
    from interp_widgets.results.memories import MemoriesResult
    from interp_widgets.results.model_report import ModelReport
    from interp_widgets.results.patching import PatchingResult
    from interp_widgets.results.projection import ProjectionResult
    from interp_widgets.results.steering import SteeringResult
    from interp_widgets.results.superposition import SuperpositionResult
    from interp_widgets.show.attention import show_attention
    from interp_widgets.show.attribution import show_attribution
    from interp_widgets.show.features import show_features
    from interp_widgets.show.lens import show_lens
    from interp_widgets.show.memories import show_memories
    from interp_widgets.show.patching import (
        show_ablation,
        show_causal_trace,
        show_feature_patching,
        show_patching,
        show_path_patching,
    )
    from interp_widgets.show.projection import show_projection
    from interp_widgets.show.superposition import show_superposition
    from interp_widgets.views._link import link
    from interp_widgets.views._memories_figure import MemoriesFigure
    from interp_widgets.views.attention_heads import AttentionView
    from interp_widgets.views.attribution import AttributionView
    from interp_widgets.views.features import FeatureView
    from interp_widgets.views.lens_table import LensView
    from interp_widgets.views.patching_grid import PatchingGrid
    from interp_widgets.views.residual_map import ProjectionView
    from interp_widgets.views.superposition import Superposition

__version__ = "0.1.0"

__all__ = [
    "AttentionResult",
    "AttentionView",
    "AttributionResult",
    "AttributionView",
    "CircuitResult",
    "Concepts",
    "Description",
    "Directions",
    "ExamplesResult",
    "FeatureResult",
    "FeatureView",
    "GroupResult",
    "HeadScores",
    "LatentCard",
    "LensCurves",
    "LensResult",
    "LensView",
    "MemoriesFigure",
    "MemoriesResult",
    "ModelReport",
    "PatchingGrid",
    "PatchingResult",
    "ProjectionResult",
    "ProjectionView",
    "Receiver",
    "SteeringResult",
    "Superposition",
    "SuperpositionResult",
    "TopKSAE",
    "TunedLens",
    "describe",
    "difference_of_means",
    "inspect",
    "link",
    "run_ablation",
    "run_attention",
    "run_attribution",
    "run_causal_trace",
    "run_circuit_check",
    "run_feature_patching",
    "run_features",
    "run_group_patching",
    "run_head_scores",
    "run_latent_cards",
    "run_lens",
    "run_memories",
    "run_patching",
    "run_path_patching",
    "run_projection",
    "run_steering",
    "run_superposition",
    "run_top_examples",
    "show_ablation",
    "show_attention",
    "show_attribution",
    "show_causal_trace",
    "show_feature_patching",
    "show_features",
    "show_lens",
    "show_memories",
    "show_patching",
    "show_path_patching",
    "show_projection",
    "show_superposition",
    "teaching",
    "train_sae",
    "train_tuned_lens",
]

_HOME = {
    "AttentionResult": "interp_widgets.results.attention",
    "AttentionView": "interp_widgets.views.attention_heads",
    "AttributionResult": "interp_widgets.results.attribution",
    "AttributionView": "interp_widgets.views.attribution",
    "CircuitResult": "interp_widgets.results.circuit",
    "Concepts": "interp_widgets.results.concepts",
    "Description": "interp_widgets.models.description",
    "Directions": "interp_widgets.results.directions",
    "ExamplesResult": "interp_widgets.results.examples",
    "FeatureResult": "interp_widgets.results.features",
    "FeatureView": "interp_widgets.views.features",
    "GroupResult": "interp_widgets.results.groups",
    "HeadScores": "interp_widgets.results.head_scores",
    "LatentCard": "interp_widgets.results.latent",
    "LensCurves": "interp_widgets.results.lens_training",
    "LensResult": "interp_widgets.results.lens",
    "LensView": "interp_widgets.views.lens_table",
    "MemoriesFigure": "interp_widgets.views._memories_figure",
    "MemoriesResult": "interp_widgets.results.memories",
    "ModelReport": "interp_widgets.results.model_report",
    "PatchingGrid": "interp_widgets.views.patching_grid",
    "PatchingResult": "interp_widgets.results.patching",
    "ProjectionResult": "interp_widgets.results.projection",
    "ProjectionView": "interp_widgets.views.residual_map",
    "Receiver": "interp_widgets.experiments.receivers",
    "SteeringResult": "interp_widgets.results.steering",
    "Superposition": "interp_widgets.views.superposition",
    "SuperpositionResult": "interp_widgets.results.superposition",
    "TopKSAE": "interp_widgets.models.dictionaries.topk",
    "TunedLens": "interp_widgets.models.tuned_lens",
    "describe": "interp_widgets.models.describe",
    "difference_of_means": "interp_widgets.experiments.directions",
    "inspect": "interp_widgets.models.inspect",
    "link": "interp_widgets.views._link",
    "run_ablation": "interp_widgets.experiments.ablation",
    "run_attention": "interp_widgets.experiments.attention",
    "run_attribution": "interp_widgets.experiments.direct_attribution",
    "run_causal_trace": "interp_widgets.experiments.causal_trace",
    "run_circuit_check": "interp_widgets.experiments.circuit_check",
    "run_feature_patching": "interp_widgets.experiments.feature_patching",
    "run_features": "interp_widgets.experiments.features",
    "run_group_patching": "interp_widgets.experiments.group_patching",
    "run_head_scores": "interp_widgets.experiments.head_scores",
    "run_latent_cards": "interp_widgets.experiments.latent_cards",
    "run_lens": "interp_widgets.experiments.lens",
    "run_memories": "interp_widgets.experiments.memories",
    "run_patching": "interp_widgets.experiments.patching",
    "run_path_patching": "interp_widgets.experiments.path_patching",
    "run_projection": "interp_widgets.experiments.projection",
    "run_steering": "interp_widgets.experiments.steering",
    "run_superposition": "interp_widgets.experiments.superposition",
    "run_top_examples": "interp_widgets.experiments.top_examples",
    "show_ablation": "interp_widgets.show.patching",
    "show_attention": "interp_widgets.show.attention",
    "show_attribution": "interp_widgets.show.attribution",
    "show_causal_trace": "interp_widgets.show.patching",
    "show_feature_patching": "interp_widgets.show.patching",
    "show_features": "interp_widgets.show.features",
    "show_lens": "interp_widgets.show.lens",
    "show_memories": "interp_widgets.show.memories",
    "show_patching": "interp_widgets.show.patching",
    "show_path_patching": "interp_widgets.show.patching",
    "show_projection": "interp_widgets.show.projection",
    "show_superposition": "interp_widgets.show.superposition",
    "train_sae": "interp_widgets.experiments.train_sae",
    "train_tuned_lens": "interp_widgets.experiments.train_tuned_lens",
}


def __getattr__(name: str) -> object:
    if name == "teaching":
        return importlib.import_module("interp_widgets.teaching")
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'interp_widgets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
