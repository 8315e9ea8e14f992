"""Probes: from which layer on a property can be read off the last token by a linear map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from interp_widgets.teaching.corpus import agreement, gender, sentiment

from .figure import Figure
from .lab import Lab, Place

Labelled = list[tuple[str, bool]]
_RIDGE = 1.0


def _sentiment() -> tuple[Labelled, Labelled]:
    def about(positive: Sequence[str], negative: Sequence[str]) -> Labelled:
        return [
            (sentiment.passage(sentiment.TEMPLATES[0], subject, adjective).prompt, adjective in positive)
            for subject in sentiment.SUBJECTS
            for adjective in (*positive, *negative)
        ]

    return about(sentiment.POSITIVE[:6], sentiment.NEGATIVE[:6]), about(sentiment.POSITIVE[6:], sentiment.NEGATIVE[6:])


def _gender() -> tuple[Labelled, Labelled]:
    def about(people: Sequence[str]) -> Labelled:
        return [
            (gender.passage(gender.TEMPLATES[0], person, state).prompt, person in gender.FEMALE)
            for person in people
            for state in gender.STATES[:5]
        ]

    return about(gender.WOMEN[::2] + gender.MEN[::2]), about(gender.WOMEN[1::2] + gender.MEN[1::2])


def _number() -> tuple[Labelled, Labelled]:
    def about(subjects: Sequence[str]) -> Labelled:
        return [
            (
                agreement.passage(
                    agreement.TEMPLATES[0], subject, other, is_plural=number, attractor_is_plural=attractor
                ).prompt,
                number,
            )
            for subject in subjects
            for other in agreement.NOUNS
            if other != subject
            for number in (False, True)
            for attractor in (False, True)
        ]

    return about(agreement.NOUNS[:9]), about(agreement.NOUNS[9:])


def _fit(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Ridge regression onto labels of -1 and 1, in float64 so that every machine finds the same map."""
    features, labels = features.double(), labels.double()
    gram = features.T @ features + _RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
    solution: torch.Tensor = torch.linalg.solve(gram, features.T @ labels)
    return solution


def measure(lab: Lab) -> Iterator[Figure]:
    """Accuracy of a linear probe before every block and after the last, on words that the probe was not fitted to."""
    places = [Place("stream", layer) for layer in range(lab.layers + 1)]
    for name, (train, test) in (("sentiment", _sentiment()), ("gender", _gender()), ("number", _number())):
        values = [lab.record(lab.ids([prompt for prompt, _ in part]), places) for part in (train, test)]
        labels = [torch.tensor([1.0 if label else -1.0 for _, label in part]) for part in (train, test)]
        for place in places:
            fitted, tested = (_with_bias(value[place][:, -1]) for value in values)
            guesses = tested.double() @ _fit(fitted, labels[0])
            # An exact zero says nothing, and counts as wrong half the time rather than always for one class.
            hits = ((guesses * labels[1]) > 0).double() + 0.5 * (guesses.abs() < 1e-6)
            how = (
                f"linear probe for {name} at the last token, before block {place.layer}"
                if place.layer < lab.layers
                else f"linear probe for {name} at the last token, after the last block"
            )
            yield Figure(
                f"probe.{name}.L{place.layer}",
                hits.mean().item(),
                f"{how}: accuracy on words it was not fitted to",
                0.03,
            )


def _with_bias(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([features, torch.ones(len(features), 1)], dim=1)
