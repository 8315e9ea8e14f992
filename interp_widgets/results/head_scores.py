"""Scores that say what attention heads do, each beside what a head that does nothing of the kind would have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, unknown_name
from interp_widgets.results.features_packing import tokens_of
from interp_widgets.results.intervals import interval
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

NAMED = 0.4
"""Score from which a head is called by what it does. That is a convention: scores have no natural threshold."""


@dataclass(frozen=True)
class ScoreTerm:
    """A score, with the words that explain it."""

    head: str
    """What a head is called that has much of it, with its article."""
    meaning: str
    sample: str
    """What it is a mean over; empty where it is one number."""
    baseline: str
    source: str
    low: float = 0.0
    high: float = 1.0
    named: float = NAMED
    """Score from which a head is called so."""


_RANDOM = "a head that looks evenly at all that it may see"
_OLSSON = 'Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv:2209.11895'
_ELHAGE = 'Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"'
_WANG = 'Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593'

SCORES: Mapping[str, ScoreTerm] = {
    "previous_token": ScoreTerm(
        "a previous-token head",
        "mean attention to the token just before, in the first copy of random tokens that are said twice",
        "sequences",
        _RANDOM,
        _OLSSON,
    ),
    "duplicate_token": ScoreTerm(
        "a duplicate-token head",
        "mean attention from the second copy of random tokens to the same token in the first",
        "sequences",
        _RANDOM,
        _WANG,
    ),
    "induction": ScoreTerm(
        "an induction head",
        "mean attention from the second copy of random tokens to the one after the same token in the first",
        "sequences",
        _RANDOM,
        _OLSSON,
    ),
    "copying": ScoreTerm(
        "a copying head",
        "sum of the eigenvalues of the OV circuit W_E W_V W_O W_U over the sum of their sizes: 1 if what it attends to "
        "becomes more likely, -1 if less; each embedding through the norm before attention if there is one, the final "
        "norm's size left at 1, the mean logit taken off, biases left out; of later layers it says little "
        "where the first block rewrites embeddings",
        "",
        "the same with the tokens of W_E shuffled, mean over heads",
        _ELHAGE,
        low=-1.0,
    ),
    "copying_top": ScoreTerm(
        "a head that copies tokens",
        "share of tokens that are among the 5 whose logits rise most where the head attends to their embedding",
        "tokens",
        "5 tokens drawn from the vocabulary",
        f"{_ELHAGE}; {_WANG}, its copy score",
    ),
    "name_attention": ScoreTerm(
        "a head that looks at the answer",
        "attention from the last token to where the answer stands, less that to where the wrong answer stands first",
        "prompts",
        _RANDOM,
        _WANG,
        low=-1.0,
        named=0.3,
    ),
    "name_copying": ScoreTerm(
        "a head that would copy the answer",
        "share of prompts in which the answer is among the 5 tokens whose logits rise most where the head attends to "
        "it, its stream taken after the first block (before it for heads of the first)",
        "prompts",
        "5 tokens drawn from the vocabulary",
        _WANG,
    ),
    "name_mover": ScoreTerm(
        "a name mover",
        "name_attention in prompts where the head would copy the answer, 0 in others",
        "prompts",
        "name_attention's",
        _WANG,
        low=-1.0,
        named=0.3,
    ),
}
"""The scores by name, in the order in which they are told."""


@dataclass(frozen=True, eq=False)
class HeadScores(Saved):
    """What every head does, in numbers. Equal results compare equal."""

    layers: tuple[int, ...]
    samples: Mapping[str, NDArray[np.float32]]
    """By score: (sample, layer, head), the layers in the order of `layers`; NaN where it was not computed."""
    baselines: Mapping[str, float]
    """By score: see `ScoreTerm.baseline`."""
    missing: Mapping[str, str]
    """Scores that there are not, and why."""
    prompts: tuple[Tokens, ...]
    """What name movers were looked for in."""
    provenance: Provenance

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, HeadScores) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that there are."""
        return tuple(self.samples)

    def score(self, name: str) -> NDArray[np.float64]:
        """Return a score of every head, (layer, head), the mean over its sample. `SCORES` says its range and meaning.

        Raises:
            UnknownNameError: no such score.
            ResultError: a score that was not computed, with the reason.
        """
        mean: NDArray[np.float64] = self._of(name).mean(axis=0, dtype=np.float64)
        return mean

    def interval(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the 95% confidence interval of a score, two arrays (layer, head), by Student's t.

        NaN where the score is one number (`copying`), or its sample is.

        Raises:
            UnknownNameError: no such score.
            ResultError: a score that was not computed, with the reason.
        """
        return interval(self._of(name))

    def top(self, name: str, n: int = 5) -> list[tuple[int, int, float]]:
        """Return the n heads with the highest score: (layer, head, score), the highest first.

        Raises:
            UnknownNameError: no such score.
            ResultError: a score that was not computed, with the reason.
        """
        scores = self.score(name)
        there = np.argwhere(np.isfinite(scores))
        ordered = sorted(there.tolist(), key=lambda place: -scores[tuple(place)])[:n]
        return [(self.layers[layer], head, float(scores[layer, head])) for layer, head in ordered]

    def named(self, name: str, *, above: float | None = None) -> list[tuple[int, int, float]]:
        """Return the heads that are called by a score: it is at least `above`, and its interval beyond the baseline.

        `above` is `ScoreTerm.named` by default.

        Raises:
            UnknownNameError: no such score.
            ResultError: a score that was not computed, with the reason.
        """
        low = self.interval(name)[0]
        place = {layer: number for number, layer in enumerate(self.layers)}

        def sure(layer: int, head: int) -> bool:
            return not low[place[layer], head] <= self.baselines[name]  # NaN, of a single number, is as sure as it gets

        least = SCORES[name].named if above is None else above
        every = self.top(name, low.size)
        return [(layer, head, score) for layer, head, score in every if score >= least and sure(layer, head)]

    def to_frame(self) -> pd.DataFrame:
        """One row for each score and head (needs pandas).

        Columns: `score` (name), `layer`, `head`, `value`, `low` and `high` (95% interval) and `baseline`.
        """
        import pandas as pd

        tables = []
        for name in self.names:
            low, high = self.interval(name)
            layer, head = (axis.ravel() for axis in np.indices(low.shape))
            tables.append(
                pd.DataFrame(
                    {
                        "score": name,
                        "layer": np.array(self.layers)[layer],
                        "head": head,
                        "value": self.score(name).ravel(),
                        "low": low.ravel(),
                        "high": high.ravel(),
                        "baseline": self.baselines[name],
                    }
                )
            )
        whole: pd.DataFrame = pd.concat(tables, ignore_index=True)
        return whole

    def summary(self) -> str:
        """Say in words which heads are called what, and why other scores name none."""
        lines = []
        for name in self.names:
            term, found = SCORES[name], self.named(name)
            for layer, head, score in found[:5]:
                lines.append(
                    f"head {layer}.{head} is {term.head}: {name} {score:.2f}, baseline {self.baselines[name]:.2f}"
                )
            if len(found) > 5:
                lines.append(f"{len(found) - 5} more heads have {name} of {term.named} and above")
            elif not found and (best := self.top(name, 1)):
                layer, head, score = best[0]
                lines.append(
                    f"no head is {term.head}: the most {name} has head {layer}.{head}, {score:.2f}, baseline "
                    f"{self.baselines[name]:.2f}"
                )
        lines += [f"{name} was not computed: {reason}" for name, reason in self.missing.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        n_heads = next(iter(self.samples.values())).shape[2]
        return f"HeadScores({', '.join(self.names)} of {n_heads} heads in {len(self.layers)} layers)"

    def _of(self, name: str) -> NDArray[np.float32]:
        if name not in SCORES:
            raise unknown_name("score", name, SCORES)
        if name not in self.samples:
            raise ResultError(f"{name} was not computed: {self.missing[name]}")
        return self.samples[name]

    def _contents(self) -> Contents:
        header = {
            "layers": self.layers,
            "names": self.names,
            "baselines": dict(self.baselines),
            "missing": dict(self.missing),
            "prompts": [asdict(tokens) for tokens in self.prompts],
            "provenance": asdict(self.provenance),
        }
        return header, dict(self.samples)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> HeadScores:
        return cls(
            layers=tuple(header["layers"]),
            samples={name: arrays[name] for name in header["names"]},
            baselines=header["baselines"],
            missing=header["missing"],
            prompts=tuple(map(tokens_of, header["prompts"])),
            provenance=Provenance(**header["provenance"]),
        )
