"""The QK and OV circuits of heads: which token attends to which, and what attending to one promotes, by weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from string import Template
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Token, Tokens
from interp_widgets.results.words import counted

if TYPE_CHECKING:
    import pandas as pd

Circuit = Literal["qk", "ov"]
CIRCUITS: tuple[Circuit, ...] = ("qk", "ov")
_ARRAYS = ("qk", "ov", "eigenvalues", "by_offset")


@dataclass(frozen=True)
class TokenPair:
    """An entry of a circuit: a query and a key, or a token that is attended to and one that this promotes."""

    first: Token
    second: Token
    value: float


@dataclass(frozen=True)
class Extremes:
    """The largest and the smallest entries of one circuit over the whole vocabulary, each from its end on."""

    layer: int
    head: int
    circuit: Circuit
    highest: tuple[TokenPair, ...]
    lowest: tuple[TokenPair, ...]
    share: float = 1.0
    """How much of the vocabulary was looked through, as queries or as what is attended to."""


@dataclass(frozen=True, eq=False, repr=False)
class HeadCircuits(Saved):
    """What the weights of heads say of tokens (Elhage et al. 2021), each token as its embedding alone.

    The norm before attention is applied as the model does, with the size that it finds at the embedding; what
    positions, earlier heads and MLPs add to the stream is not there. NaN where nothing is computed (yet).
    """

    tokens: Tokens
    """The tokens of both axes, each once."""
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    qk: NDArray[np.float32]
    """(layer, head, query, key): score before softmax of a key that lies `offset` tokens before the query, where
    positions are rotary, above the mean over keys of the whole vocabulary."""
    ov: NDArray[np.float32]
    """(layer, head, source, output): what attending to the source alone adds to the output's logit, above the mean over
    the vocabulary, what the last norm divides by (and one behind attention, in families that have it) left at 1."""
    eigenvalues: NDArray[np.float64]
    """(layer, head, d_head, 2): eigenvalues of the whole OV circuit, as real and imaginary parts."""
    by_offset: NDArray[np.float32]
    """(layer, head, offset): mean score over pairs of the tokens, with what positions add to embeddings, above the
    mean of these offsets."""
    offset: int
    """How many tokens the key lies before the query."""
    positions: Literal["rotary", "added", "none"]
    """Whether positions turn queries and keys, are added to embeddings, or neither (ALiBi, whose bias is left out)."""
    extremes: tuple[Extremes, ...]
    """Of heads that were looked at with the whole vocabulary."""
    missing: Mapping[str, str]
    """Why something is not there: "qk", "eigenvalues"."""
    provenance: Provenance
    code: tuple[str, ...] = ()
    """The lines that compute both circuits of a head, by layer, as templates; see `script`."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, HeadCircuits) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def complete(self) -> bool:
        """Whether all layers were computed."""
        return bool(np.isfinite(self.ov).all())

    @property
    def copying(self) -> NDArray[np.float64]:
        """(layer, head): the sum of the OV circuit's eigenvalues over the sum of their sizes, -1 to 1.

        Near 1 attending to a token makes that token likelier (copying); NaN where it is not known.
        """
        real, imaginary = self.eigenvalues[..., 0], self.eigenvalues[..., 1]
        with np.errstate(invalid="ignore"):
            scores: NDArray[np.float64] = real.sum(-1) / np.hypot(real, imaginary).sum(-1)
        return scores

    @property
    def diagonal(self) -> NDArray[np.float64]:
        """(layer, head): the share of tokens of which, among all, the one attended to is promoted most."""
        best = np.nan_to_num(self.ov, nan=-np.inf).argmax(-1)
        share: NDArray[np.float64] = (best == np.arange(len(self.tokens))).mean(-1)
        return np.where(np.isfinite(self.ov).all((-2, -1)), share, np.nan)

    def circuit(self, circuit: Circuit, layer: int, head: int) -> NDArray[np.float32]:
        """Return a head's map of the tokens: (query, key) of "qk", (source, output) of "ov".

        Raises:
            UnknownNameError: no such circuit.
            SelectionError: a layer or head that is not here.
        """
        if circuit not in CIRCUITS:
            raise unknown_name("circuit", circuit, CIRCUITS)
        row, column = self.place(layer, head)
        found: NDArray[np.float32] = getattr(self, circuit)[row, column]
        return found

    def place(self, layer: int, head: int) -> tuple[int, int]:
        """Return where a head is in the arrays.

        Raises:
            SelectionError: it is not here.
        """
        for name, number, there in (("layer", layer, self.layers), ("head", head, self.heads)):
            if number not in there:
                raise SelectionError(
                    f"There is no {name} {number!r} here: {', '.join(map(str, there))} were asked for."
                )
        return self.layers.index(layer), self.heads.index(head)

    def top(self, circuit: Circuit, layer: int, head: int, n: int = 10) -> list[TokenPair]:
        """Return the largest entries of a head's map of the tokens, the largest first.

        Raises:
            SelectionError: a head that is not here.
        """
        values = self.circuit(circuit, layer, head)
        order = np.argsort(-np.nan_to_num(values, nan=-np.inf), axis=None, kind="stable")[:n]
        listed = [Token(*pair) for pair in zip(self.tokens.ids, self.tokens.labels, strict=True)]
        places = zip(*np.unravel_index(order, values.shape), strict=True)
        return [TokenPair(listed[int(row)], listed[int(column)], float(values[row, column])) for row, column in places]

    def script(self, layer: int, head: int) -> str:
        """The lines of torch that compute a head's circuits of the tokens and print them; they run as printed.

        QK, where it is known, is printed before OV, each as lists of lists.

        Raises:
            SelectionError: a layer or head that is not here.
            ResultError: the result came without code for this layer.
        """
        row, _ = self.place(layer, head)
        template = self.code[row] if self.code else ""
        if not template:
            raise ResultError(
                f"This result came without code for layer {layer}: it is not read yet, a few lines do not do, or it "
                "was made by hand."
            )
        return Template(template).safe_substitute(ids=list(self.tokens.ids), head=head)

    def to_frame(self) -> pd.DataFrame:
        """One row for each entry (needs pandas).

        Columns: `circuit`, `layer`, `head`, `first` (the query, or the token that is attended to), `second` (the key,
        or the token whose logit it is) and `value`.
        """
        import pandas as pd

        labels = np.array(self.tokens.labels, dtype=object)
        parts = []
        for circuit in CIRCUITS:
            values: NDArray[np.float32] = getattr(self, circuit)
            layer, head, first, second = (axis.ravel() for axis in np.indices(values.shape))
            parts.append(
                pd.DataFrame(
                    {
                        "circuit": circuit,
                        "layer": np.array(self.layers)[layer],
                        "head": np.array(self.heads)[head],
                        "first": labels[first],
                        "second": labels[second],
                        "value": values.ravel(),
                    }
                )
            )
        table: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return table

    def summary(self) -> str:
        """Say in words which heads copy, and what stands out."""
        lines = [
            f"QK and OV circuits of {counted(len(self.layers) * len(self.heads), 'head')} of "
            f"{self.provenance.model} on {counted(len(self.tokens), 'token')}."
        ]
        lines += [f"No {name}: {why}" for name, why in self.missing.items()]
        scores = self.copying
        if np.isfinite(scores).any():
            order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), axis=None)[:3]
            named = [
                f"{self.layers[row]}.{self.heads[column]} {scores[row, column]:+.2f}"
                for row, column in zip(*np.unravel_index(order, scores.shape), strict=True)
            ]
            lines.append(f"Most copying (eigenvalues of OV, -1 to 1): {', '.join(named)}.")
        for found in self.extremes:
            between = "attends to" if found.circuit == "qk" else "promotes"
            said = ", ".join(f"{pair.first} {between} {pair.second}" for pair in found.highest[:3])
            lines.append(f"{found.circuit.upper()} of head {found.layer}.{found.head}, whole vocabulary: {said}.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"HeadCircuits({counted(len(self.layers), 'layer')} x {counted(len(self.heads), 'head')}, "
            f"{counted(len(self.tokens), 'token')}{'' if self.complete else ', not complete'})"
        )

    def _contents(self) -> Contents:
        header = {
            "tokens": asdict(self.tokens),
            "extremes": [asdict(found) for found in self.extremes],
            "missing": dict(self.missing),
            "provenance": asdict(self.provenance),
            **{name: getattr(self, name) for name in ("layers", "heads", "offset", "positions", "code")},
        }
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> HeadCircuits:
        made: dict[str, Any] = {name: arrays[name] for name in _ARRAYS} | {
            "tokens": Tokens(tuple(header["tokens"]["ids"]), tuple(header["tokens"]["labels"])),
            "layers": tuple(header["layers"]),
            "heads": tuple(header["heads"]),
            "extremes": tuple(map(_extremes, header["extremes"])),
            "provenance": Provenance(**header["provenance"]),
            "code": tuple(header.get("code", ())),
        }
        return cls(**{**header, **made})


def _extremes(data: Mapping[str, Any]) -> Extremes:
    ends = {end: tuple(map(_pair, data[end])) for end in ("highest", "lowest")}
    return Extremes(**{**data, **ends})


def _pair(data: Mapping[str, Any]) -> TokenPair:
    return TokenPair(Token(**data["first"]), Token(**data["second"]), data["value"])
