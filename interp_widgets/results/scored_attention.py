"""Attention patterns together with the scores that say what their heads do."""

from __future__ import annotations

from dataclasses import dataclass

from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.head_scores import HeadScores


@dataclass(frozen=True)
class ScoredAttention:
    """Patterns, and what is known so far of what their heads do."""

    attention: AttentionResult
    scores: HeadScores | None = None
    scoring: bool = False
    """Whether scores are asked for, and so still to come where they are not there."""
