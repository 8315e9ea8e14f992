"""Facts: where along the prompt, and in which layer, a fact about a subject of two words comes together.

After Meng et al., 2022 (https://arxiv.org/abs/2202.05262). The corrupt prompt names another subject with the same last
word, and one activation of the clean prompt at a time is put back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from interp_widgets.teaching.corpus import facts
from interp_widgets.teaching.pairs import PromptPair
from interp_widgets.teaching.prompt_sets import make_pair

from .figure import Figure
from .heads import moved
from .lab import Edit, Lab, Place, differences, put


@dataclass(frozen=True)
class Traced:
    """What is traced: a grid of subjects in one sentence.

    Attributes:
        name: What the figures are called after.
        relation: The facts.
        rows: First words of the grid.
        columns: Second words of the grid.
        template: Which of the relation's templates.
    """

    name: str
    relation: facts.Relation
    rows: Sequence[str]
    columns: Sequence[str]
    template: int

    def pairs(self, lab: Lab, count: int = 64) -> tuple[PromptPair, ...]:
        """Pairs of subjects with the same second word and different answers, none of them a distractor too."""
        rng = random.Random(f"measure {self.name}")
        template = self.relation.templates[self.template]
        pairs: list[PromptPair] = []
        while len(pairs) < count:
            (one, two, three), (column, elsewhere) = rng.sample(self.rows, 3), rng.sample(self.columns, 2)
            clean, corrupt, other = f"{one} {column}", f"{two} {column}", f"{three} {elsewhere}"
            if self.relation.facts[clean] != self.relation.facts[corrupt]:
                said, instead = (facts.passage(self.relation, subject, template, other) for subject in (clean, corrupt))
                pairs.append(make_pair(said, instead, lab.tokenizer))
        return tuple(pairs)


TRACED: Final = (
    Traced("city", facts.LANDMARKS, facts.ADJECTIVES, facts.KINDS, template=0),
    Traced("city_unlike", facts.LANDMARKS, facts.ADJECTIVES, facts.KINDS, template=1),
    Traced("city_after_unlike", facts.LANDMARKS, facts.ADJECTIVES, facts.KINDS, template=2),
    Traced("sport", facts.SPORT, facts.FIRST, facts.LAST, template=0),
    Traced("sport_unlike", facts.SPORT, facts.FIRST, facts.LAST, template=1),
)
"""Plain sentences, and sentences with "unlike" and a distractor, behind the subject or before it."""


def measure(lab: Lab) -> Iterator[Figure]:
    """Effects of restoring the clean run's activations, for landmarks and for people."""
    for traced in TRACED:
        yield from _traced(lab, traced.name, traced.pairs(lab))


def _traced(lab: Lab, name: str, pairs: Sequence[PromptPair]) -> Iterator[Figure]:
    clean, corrupt = lab.ids([pair.clean for pair in pairs]), lab.ids([pair.corrupt for pair in pairs])
    donor = differences(lab, lab.all_logits(clean)[:, -1], pairs)
    host = differences(lab, lab.all_logits(corrupt)[:, -1], pairs)
    kinds: tuple[tuple[str, list[Place]], ...] = (
        ("stream", [Place("stream", layer) for layer in range(lab.layers + 1)]),
        ("attention", [Place("attention", layer) for layer in range(lab.layers)]),
        ("mlp", [Place("mlp", layer) for layer in range(lab.layers)]),
    )
    first, last = pairs[0].roles["subject"][0], pairs[0].roles["subject_last"][0]
    for kind, places in kinds:
        clean_values = lab.record(clean, places)
        for role, token in (("subject_first", first), ("subject_last", last), ("END", -1)):
            for place in places:
                edits: dict[Place, Edit] = {place: put(clean_values[place], tokens=token)}
                effect = moved(host, donor, differences(lab, lab.all_logits(corrupt, edits)[:, -1], pairs))
                what = (
                    f"the residual stream before block {place.layer}" if kind == "stream" else f"{kind} {place.layer}"
                )
                how = (
                    f"share of the logit difference that comes back with {what} restored at {role}, {len(pairs)} pairs"
                )
                yield Figure(f"facts.{name}.{kind}.{role}.L{place.layer}", effect, how, 0.03)
