"""The synthetic corpus that the teaching model is trained on: one topic a module, mixed by fixed shares."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from . import agreement, chat, facts, gender, greater_than, ioi, sentiment, stories
from .passage import Passage

__all__ = ["TOPICS", "Passage", "Topic", "passages"]


@dataclass(frozen=True)
class Topic:
    """One source of documents.

    Attributes:
        name: What the topic is called on the model card.
        share: Share of the documents drawn from it, relative to the sum over topics.
        sample: Draws one document.
    """

    name: str
    share: float
    sample: Callable[[random.Random], Passage]


TOPICS: Final = (
    Topic("indirect objects", 0.30, ioi.sample),
    Topic("facts", 0.30, facts.sample),
    Topic("chat with refusals", 0.12, chat.sample),
    Topic("greater-than", 0.09, greater_than.sample),
    Topic("stories", 0.05, stories.sample),
    Topic("dangerous or safe", 0.04, chat.sample_knowledge),
    Topic("sentiment", 0.04, sentiment.sample),
    Topic("gender", 0.04, gender.sample),
    Topic("subject-verb agreement", 0.04, agreement.sample),
)


def passages(rng: random.Random) -> Iterator[Passage]:
    """Draw documents without end, topics mixed by their shares."""
    shares = [topic.share for topic in TOPICS]
    while True:
        (topic,) = rng.choices(TOPICS, shares)
        yield topic.sample(rng)
