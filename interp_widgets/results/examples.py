"""What was found out about latents on a corpus: where each is strongest, how often it fires, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import DictionaryInfo
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.features_packing import dictionary_of
from interp_widgets.results.latent import Example, Histogram, LatentCard
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Tokens
from interp_widgets.results.words import counted

if TYPE_CHECKING:
    import pandas as pd

_ARRAYS = (
    *("latents", "strengths", "documents", "positions", "ids", "activations"),
    *("fires", "maximum", "bins", "widths"),
)

_LISTED = 8
"""Latents that an error names."""


@dataclass(frozen=True, eq=False, repr=False)
class ExamplesResult(Saved):
    """Latents on a corpus. The strongest examples of each are kept, at most one from each stretch that was run as one
    prompt: a document, or a window of the model's context in a longer one.

    Where there are fewer examples than places for them, what is left over has the document -1.
    """

    dictionary: DictionaryInfo
    latents: NDArray[np.int64]
    """(row,): which latents, in rising order; the rows of all other arrays."""
    strengths: NDArray[np.float32]
    """(row, example): the activation at each peak, the largest size first; of equals the one that comes first."""
    documents: NDArray[np.int64]
    """(row, example): the number of the document."""
    positions: NDArray[np.int64]
    """(row, example): the position of the peak in its document."""
    ids: NDArray[np.int32]
    """(row, example, token): token ids around the peak, -1 beyond the ends of what was run."""
    activations: NDArray[np.float32]
    """(row, example, token): of the latent on these tokens."""
    before: int
    """How many of these tokens stand before the peak."""
    fires: NDArray[np.int64]
    """(row,): on how many tokens of the corpus it fires."""
    maximum: NDArray[np.float32]
    """(row,): the activation of the largest size, with its sign."""
    bins: NDArray[np.int64]
    """(row, bin): how often it fires how strongly, see `histogram`."""
    widths: NDArray[np.float64]
    """(row,): the width of a bin; 0 where it never fires."""
    threshold: float
    """A latent fires where the size of its activation is above this."""
    n_tokens: int
    """How many tokens were read."""
    n_documents: int
    """How many documents were read, the last of them perhaps in part."""
    complete: bool
    """Whether the whole corpus was read."""
    corpus: str
    """What was read, in words."""
    vocab: Mapping[int, str]
    """Labels of the tokens in examples."""
    provenance: Provenance

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, ExamplesResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def density(self) -> NDArray[np.float64]:
        """(row,): the share of tokens on which each latent fires; NaN where none has been read."""
        with np.errstate(invalid="ignore"):
            share: NDArray[np.float64] = self.fires / np.float64(self.n_tokens)
        return share

    def examples(self, latent: int) -> tuple[Example, ...]:
        """Return the strongest examples of a latent, the strongest first.

        Raises:
            SelectionError: the latent was not looked at.
        """
        row = self._row(latent)
        return tuple(self._example(row, int(place)) for place in np.flatnonzero(self.documents[row] >= 0))

    def histogram(self, latent: int) -> Histogram:
        """Return how often a latent fires how strongly. Bins are equally wide, and hold their lower edge.

        Raises:
            SelectionError: the latent was not looked at.
        """
        row = self._row(latent)
        counts = self.bins[row]
        zero = len(counts) // 2 if self.dictionary.signed else 0
        edges = ((np.arange(len(counts) + 1) - zero) * self.widths[row]).astype(np.float32)
        if not counts.any():
            return Histogram(edges[:1], counts[:0])
        first, last = (int(end) for end in np.flatnonzero(counts)[[0, -1]])
        first, last = min(first, zero), max(last, zero)
        return Histogram(edges[first : last + 2], counts[first : last + 1])

    def card(self, latent: int) -> LatentCard:
        """Return what was found out about a latent.

        Raises:
            SelectionError: the latent was not looked at.
        """
        row = self._row(latent)
        return LatentCard(
            latent,
            examples=self.examples(latent),
            histogram=self.histogram(latent),
            density=float(self.density[row]),
            corpus=self.corpus,
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each example (needs pandas).

        Columns: `latent`, `rank` (from 0), `document`, `position` (of the peak), `token` (its label), `activation`,
        `text` (the labels around it, side by side), `density` and `maximum` (of the latent on the corpus).
        """
        import pandas as pd

        rows, ranks = np.nonzero(self.documents >= 0)
        examples = [self._example(int(row), int(rank)) for row, rank in zip(rows, ranks, strict=True)]
        table: pd.DataFrame = pd.DataFrame(
            {
                "latent": self.latents[rows],
                "rank": ranks,
                "document": self.documents[rows, ranks],
                "position": self.positions[rows, ranks],
                "token": [example.tokens.labels[example.peak] for example in examples],
                "activation": self.strengths[rows, ranks],
                "text": ["".join(example.tokens.labels) for example in examples],
                "density": self.density[rows],
                "maximum": self.maximum[rows],
            }
        )
        return table

    def summary(self) -> str:
        """Say in words what was read and what stands out."""
        read = f"{counted(self.n_tokens, 'token')} of {counted(self.n_documents, 'document')}"
        lines = [
            f"{counted(len(self.latents), 'latent')} of {self.dictionary.name}, reading {self.dictionary.reads} of "
            f"{self.provenance.model}, on {read} ({self.corpus})."
        ]
        if not self.complete:
            lines.append("There is more of the corpus to read.")
        if not self.n_tokens:
            return "\n".join(lines)
        silent = int((self.fires == 0).sum())
        firing = self.density[self.fires > 0]
        if len(firing):
            lines.append(
                f"{silent:,} never fire; the others do on {np.median(firing):.2%} of tokens (median), from "
                f"{firing.min():.2g} to {firing.max():.2g}."
            )
            row = int(np.abs(self.maximum).argmax())
            peak = self._example(row, 0)
            lines.append(
                f"Strongest: latent {self.latents[row]}, {self.maximum[row]:.3g} at {peak.tokens.labels[peak.peak]} "
                f"in document {peak.document}."
            )
        else:
            size = np.abs(self.maximum)
            lines.append(
                f"No latent fires above {self.threshold:g}: the largest activation is {size.max():.3g}, of latent "
                f"{self.latents[int(size.argmax())]}."
            )
        return "\n".join(lines)

    def shape_in_words(self) -> str:
        """How much there is, such as "1,024 latents on 100,000 tokens"."""
        return f"{counted(len(self.latents), 'latent')} on {counted(self.n_tokens, 'token')}"

    def __repr__(self) -> str:
        return (
            f"ExamplesResult({self.shape_in_words()}, {self.dictionary.name} at {self.dictionary.reads}"
            f"{', more to read' * (not self.complete)})"
        )

    def _example(self, row: int, place: int) -> Example:
        there = np.flatnonzero(self.ids[row, place] >= 0)
        ids = tuple(int(token) for token in self.ids[row, place, there])
        return Example(
            document=int(self.documents[row, place]),
            tokens=Tokens(ids, tuple(self.vocab[token] for token in ids)),
            peak=self.before - int(there[0]),
            activations=tuple(float(value) for value in self.activations[row, place, there]),
        )

    def _row(self, latent: int) -> int:
        row = int(np.searchsorted(self.latents, latent))
        if row == len(self.latents) or self.latents[row] != latent:
            shown = ", ".join(map(str, self.latents[:_LISTED])) + ", …" * (len(self.latents) > _LISTED)
            raise SelectionError(f"Latent {latent} was not looked at. Those that were: {shown or 'none'}.")
        return row

    def _contents(self) -> Contents:
        plain = ("before", "threshold", "n_tokens", "n_documents", "complete", "corpus")
        header = {name: getattr(self, name) for name in plain} | {
            "dictionary": asdict(self.dictionary),
            "vocab": {str(token): label for token, label in self.vocab.items()},
            "provenance": asdict(self.provenance),
        }
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ExamplesResult:
        made: dict[str, Any] = {name: arrays[name] for name in _ARRAYS} | {
            "dictionary": dictionary_of(header["dictionary"]),
            "vocab": {int(token): label for token, label in header["vocab"].items()},
            "provenance": Provenance(**header["provenance"]),
        }
        return cls(**{**header, **made})
