"""A prediction as a sum over the neurons of MLPs: key-value memories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.features_packing import card_contents, card_of, tokens_of
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.memories_in_words import in_words
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    import pandas as pd

_ARRAYS = ("activations", "contributions", "biases")


@dataclass(frozen=True)
class Part:
    """A component of the sum, and what the model would say if its stream ended with it."""

    component: str
    """As people read it: "embedding", "attention 0", "MLP 0", "biases" (of the last norm and the unembedding)."""
    cell: tuple[tuple[str, str | int], ...]
    """The same as the fields of a cell, such as (("site", "mlp_out"), ("layer", 0))."""
    contribution: float
    """What it adds to the answer's logit, see `MemoriesResult`."""
    top: Token
    """The most probable token after everything up to and with this part."""
    top_prob: float
    answer_prob: float
    """Probability of the answer there."""


@dataclass(frozen=True)
class Memory:
    """A neuron: how strongly it fires on the prompt, and what its value then adds to the answer's logit."""

    layer: int
    neuron: int
    activation: float
    contribution: float
    card: LatentCard
    """`promotes` and `suppresses` are its value: the tokens that one unit of it promotes, see `Weighted`. `examples`
    are its keys: the inputs that fire it most, None without a corpus."""

    @property
    def name(self) -> str:
        """As people write it, such as "3.17"."""
        return f"{self.layer}.{self.neuron}"

    @property
    def triggers(self) -> tuple[tuple[Token, int], ...]:
        """The tokens on which its examples peak, the most frequent first, and in how many examples each does."""
        counts = Counter(example.tokens[example.peak] for example in self.card.examples or ())
        return tuple(counts.most_common())


@dataclass(frozen=True, eq=False, repr=False)
class MemoriesResult(Saved):
    """What each component, and in MLPs each neuron, adds to the answer's logit at one position.

    The logit is compared with that of the wrong answer, or where there is none with the mean over the vocabulary.
    Contributions are direct: what a component's output does by way of the last norm, held at what it divides by there,
    and the unembedding. What later components make of it counts as theirs. The contributions of `parts` add up to the
    model's `logit`; those of a layer's neurons and its bias add up to the part of its MLP.
    """

    tokens: Tokens
    """The prompt, up to the position whose prediction is looked at."""
    answer: Token
    wrong_answer: Token | None
    logit: float
    """The model's own logit of the answer less that of the wrong answer, or less the mean over the vocabulary."""
    parts: tuple[Part, ...]
    """In the order in which they are added, the biases last."""
    layers: tuple[int, ...]
    """Whose neurons were looked at; the rows of the arrays."""
    activations: NDArray[np.float32]
    """(row, neuron): after the nonlinearity, and times the gate where there is one."""
    contributions: NDArray[np.float32]
    """(row, neuron): activation times what one unit of the neuron's value adds to the logit."""
    biases: NDArray[np.float32]
    """(row,): contribution of the biases of the MLP's last projection and of a norm behind it."""
    memories: tuple[Memory, ...]
    """The neurons with the largest contributions by size, the largest first."""
    corpus: str
    """What keys were looked for in, in words; empty without a corpus."""
    complete: bool
    """Whether the whole corpus was read, if there is one."""
    provenance: Provenance

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, MemoriesResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def total(self) -> float:
        """The sum of all contributions: `logit`, but for rounding."""
        return sum(part.contribution for part in self.parts)

    def contribution_of(self, site: str) -> float:
        """Return what all parts at a site add together: "attn_out" or "mlp_out"."""
        return sum(part.contribution for part in self.parts if dict(part.cell).get("site") == site)

    def making_up(self, share: float = 0.5, layer: int | None = None) -> int:
        """Return how many neurons, the largest by size, make up a share of what all of them add and take away.

        The sizes of contributions are summed, since neurons that add and neurons that take away cancel each other.

        Args:
            share: from 0 to 1.
            layer: to count in one layer; all that were looked at by default.

        Raises:
            SelectionError: the layer was not looked at.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share={share!r} must be a number from 0 to 1.")
        sizes = np.abs(self.contributions if layer is None else self.contributions[self._row(layer)], dtype=np.float64)
        running = np.cumsum(np.sort(sizes, axis=None)[::-1])
        return int(np.searchsorted(running, share * running[-1] * (1 - 1e-12))) + 1 if share and running[-1] else 0

    def to_frame(self) -> pd.DataFrame:
        """One row for each neuron, those with the largest contributions by size first (needs pandas).

        Columns: `layer`, `neuron`, `activation`, `contribution`, and of those in `memories` `promotes`, `suppresses`
        and `triggers`, tokens side by side.
        """
        import pandas as pd

        order = np.argsort(-np.abs(self.contributions), axis=None, kind="stable")
        rows, neurons = np.unravel_index(order, self.contributions.shape)
        table = pd.DataFrame(
            {
                "layer": np.array(self.layers, np.int64)[rows],
                "neuron": neurons,
                "activation": self.activations[rows, neurons],
                "contribution": self.contributions[rows, neurons],
            }
        )
        words = pd.DataFrame(
            {
                "layer": [memory.layer for memory in self.memories],
                "neuron": [memory.neuron for memory in self.memories],
                "promotes": [_side_by_side(memory.card.promotes) for memory in self.memories],
                "suppresses": [_side_by_side(memory.card.suppresses) for memory in self.memories],
                "triggers": [" ".join(token.label for token, _ in memory.triggers) for memory in self.memories],
            }
        )
        merged: pd.DataFrame = table.merge(words, on=["layer", "neuron"], how="left").fillna(
            {"promotes": "", "suppresses": "", "triggers": ""}
        )
        return merged

    def parts_frame(self) -> pd.DataFrame:
        """One row for each part, in their order (needs pandas).

        Columns: `component`, `contribution`, `sum` (of all up to it), and what the model would say if its stream ended
        there: `top`, `top_prob` and `answer_prob`.
        """
        import pandas as pd

        contributions = [part.contribution for part in self.parts]
        columns = {
            "component": [part.component for part in self.parts],
            "contribution": contributions,
            "sum": np.cumsum(contributions),
            "top": [part.top.label for part in self.parts],
            "top_prob": [part.top_prob for part in self.parts],
            "answer_prob": [part.answer_prob for part in self.parts],
        }
        return pd.DataFrame(columns)

    def summary(self) -> str:
        """Say in words what adds up to the prediction, and which neurons stand out."""
        return in_words(self)

    def __repr__(self) -> str:
        named = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)} of {self.activations.shape[1]} neurons"
        return f"MemoriesResult({named}, {self.answer} {self.logit:.3g}{', more to read' * (not self.complete)})"

    def _row(self, layer: int) -> int:
        if layer not in self.layers:
            raise SelectionError(f"Layer {layer} was not looked at. Use one of {', '.join(map(str, self.layers))}.")
        return self.layers.index(layer)

    def _contents(self) -> Contents:
        header = {
            "tokens": asdict(self.tokens),
            "answer": asdict(self.answer),
            "wrong_answer": self.wrong_answer and asdict(self.wrong_answer),
            "logit": self.logit,
            "parts": [asdict(part) for part in self.parts],
            "layers": self.layers,
            "memories": [
                {name: getattr(memory, name) for name in ("layer", "neuron", "activation", "contribution")}
                | {"card": card_contents(memory.card)}
                for memory in self.memories
            ],
            "corpus": self.corpus,
            "complete": self.complete,
            "provenance": asdict(self.provenance),
        }
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> MemoriesResult:
        made: dict[str, Any] = {name: arrays[name] for name in _ARRAYS} | {
            "tokens": tokens_of(header["tokens"]),
            "answer": Token(**header["answer"]),
            "wrong_answer": header["wrong_answer"] and Token(**header["wrong_answer"]),
            "parts": tuple(map(_part, header["parts"])),
            "layers": tuple(header["layers"]),
            "memories": tuple(Memory(**{**memory, "card": card_of(memory["card"])}) for memory in header["memories"]),
            "provenance": Provenance(**header["provenance"]),
        }
        return cls(**{**header, **made})


def _part(data: Mapping[str, Any]) -> Part:
    cell = tuple((key, value) for key, value in data["cell"])
    return Part(**{**data, "cell": cell, "top": Token(**data["top"])})


def _side_by_side(tokens: Any) -> str:
    return " ".join(word.token.label for word in tokens or ())
