"""Attention patterns of prompts, head by head: where each token looks, and how much it takes from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.features_packing import tokens_of
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

Map = NDArray[np.floating[Any]]

_ARRAYS = ("pattern", "value_norms", "weighted", "spread", "weighted_spread")


@dataclass(frozen=True, eq=False)
class LayerPatterns:
    """The patterns of one layer on one side. Heads are in the order of `AttentionResult.heads`."""

    side: int
    layer: int
    pattern: Map
    """(head, query, key): each number from 0 to 1, each row's sum 1, or less where a model has attention sinks."""
    value_norms: NDArray[np.float32] | None = None
    """(head, key): |v W_O|, the length of what a head would add to the stream if it looked nowhere else; mean over
    prompts. None where it was not asked for."""
    weighted: Map | None = None
    """(head, query, key): pattern * |v W_O|, where it does not follow from `pattern` and `value_norms`: the mean over
    several prompts, or the largest of blocks."""
    spread: Map | None = None
    """(head, query, key): standard deviation of the pattern over several prompts (n - 1)."""
    weighted_spread: Map | None = None

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, LayerPatterns) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays


@dataclass(frozen=True, eq=False)
class AttentionResult(Saved):
    """Where every head looks, on a prompt, on two prompts, or on the mean of several.

    Equal results compare equal. Layers come one after another while it is computed; those that are there do not change.
    """

    prompts: tuple[tuple[Tokens, ...], ...]
    """(side, prompt): one side, or two to compare. The prompts of a side have equal length, and their mean is taken."""
    layers: tuple[int, ...]
    """Which layers were asked for."""
    heads: tuple[int, ...]
    """Which heads of each."""
    parts: tuple[LayerPatterns, ...]
    """What was computed so far, by layer and then by side."""
    block: int
    """1 where every query and key has a number of its own; else how many tokens share one, the largest among them."""
    provenance: Provenance
    code: str = ""
    """The lines of nnsight that compute a pattern, with `$prompts`, `$shown`, `$layer`, `$head` and `$pos` to be filled
    in: see `script`."""
    weighted_code: str = ""
    """Likewise of a pattern that is weighted; empty where weights were not computed."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, AttentionResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is there."""
        return len(self.parts) == len(self.layers) * len(self.prompts)

    @property
    def nbytes(self) -> int:
        """How many bytes the arrays take."""
        return sum(array.nbytes for part in self.parts for array in _arrays(part).values())

    def tokens(self, side: int = 0) -> Tokens:
        """Return the tokens of a side, of its first prompt where there are several."""
        return self.prompts[self._side(side)][0]

    def pattern(self, layer: int, head: int, *, side: int = 0, weighted: bool = False) -> NDArray[np.float32]:
        """Return one head's pattern, (query, key), from 0 to 1; in blocks where `block` is not 1.

        Args:
            layer: counted from the first of the model.
            head: likewise.
            side: 0, or 1 for the second prompt.
            weighted: whether each number is multiplied by the length of what is taken, |v W_O|; it then has the unit
                of the stream and no upper end.

        Raises:
            SelectionError: a head that was not asked for, or was not reached.
            ResultError: weights that were not asked for.
        """
        part, at = self._part(layer, side), self._head(head)
        return self._of(part, at, weighted)

    def spread(self, layer: int, head: int, *, side: int = 0, weighted: bool = False) -> NDArray[np.float32]:
        """Return the standard deviation of a pattern over the prompts of a side, (query, key).

        Raises:
            SelectionError: a head that was not asked for, or was not reached.
            ResultError: one prompt has no spread, and largest numbers of blocks have none that means something.
        """
        part, at = self._part(layer, side), self._head(head)
        kept = part.weighted_spread if weighted else part.spread
        if kept is None:
            raise ResultError(
                "There is no spread: it takes several prompts of equal length, not more tokens than keep a number each "
                "(`block` is 1), and for weights value_weighted=True."
            )
        spread: NDArray[np.float32] = kept[at].astype(np.float32)
        return spread

    def value_norms(self, layer: int, head: int, *, side: int = 0) -> NDArray[np.float32]:
        """Return |v W_O| of a head for each token, (key,), the mean over the prompts of a side.

        Raises:
            SelectionError: a head that was not asked for, or was not reached.
            ResultError: it was not asked for.
        """
        part, at = self._part(layer, side), self._head(head)
        if part.value_norms is None:
            raise ResultError("Value norms were not computed. Pass value_weighted=True.")
        norms: NDArray[np.float32] = part.value_norms[at]
        return norms

    def difference(self, layer: int, head: int, *, weighted: bool = False) -> NDArray[np.float32]:
        """Return the second side's pattern less the first's, (query, key), from -1 to 1 where it is not weighted.

        Raises:
            SelectionError: a head that was not asked for, or was not reached.
            ResultError: there is one side, both have unequal lengths, or a number stands for a block of tokens.
        """
        self._check_matched()
        return self.pattern(layer, head, side=1, weighted=weighted) - self.pattern(layer, head, weighted=weighted)

    def lines(
        self, layer: int, head: int, position: int, *, side: int = 0, weighted: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where a token looks, (key,), and who looks at it, (query,); in blocks where `block` is not 1.

        Raises:
            SelectionError: a head that was not asked for or reached, or a position that there is not.
            ResultError: weights that were not asked for.
        """
        part, at = self._part(layer, side), self._head(head)
        here = self._position(position, side) % len(self.tokens(side)) // self.block
        line = slice(here, here + 1)
        looks = self._of(part, at, weighted, queries=line)[0]
        return looks, self._of(part, at, weighted, keys=line)[:, 0]

    def levels(self, side: int = 0, *, size: int = 256) -> int:
        """Return how many levels a pyramid of a pattern has whose top is one tile: 1 if it fits in one."""
        across = -(-len(self.tokens(side)) // self.block)
        return 1 + max(0, int(np.ceil(np.log2(across / size))))

    def tile(
        self,
        layer: int,
        head: int,
        level: int = 0,
        row: int = 0,
        column: int = 0,
        *,
        size: int = 256,
        side: int = 0,
        weighted: bool = False,
    ) -> NDArray[np.float32]:
        """Return a piece of one head's pattern for a page, (query, key), at most `size` by `size`.

        A number of level n is the largest of 2**n by 2**n (times `block`), so that a bright point stays to be seen from
        far away. Pieces are numbered in rows and columns of `size`; those at the edge are smaller.

        Raises:
            SelectionError: a head that was not asked for or reached, or a piece that there is not.
        """
        part, at = self._part(layer, side), self._head(head)
        step, across = 2**level, part.pattern.shape[1]
        n_tiles = -(-across // (size * step))
        if level < 0 or not (0 <= row < n_tiles and 0 <= column < n_tiles):
            raise SelectionError(
                f"There is no tile ({row}, {column}) at level {level}: there are {n_tiles} by {n_tiles} of {size} by "
                f"{size} numbers."
            )
        wide = size * step
        queries, keys = (slice(n * wide, min((n + 1) * wide, across)) for n in (row, column))
        return pooled(self._of(part, at, weighted, queries, keys), step)

    def looks_at(self, layer: int, head: int, query: int, n: int = 5, *, side: int = 0) -> list[tuple[int, float]]:
        """Return the n positions that a token looks at most, with its attention, the most first.

        Raises:
            SelectionError: a head or position that there is not.
            ResultError: a number stands for a block of tokens.
        """
        return self._strongest(self._exact(layer, head, side)[self._position(query, side)], n)

    def looked_at_by(self, layer: int, head: int, key: int, n: int = 5, *, side: int = 0) -> list[tuple[int, float]]:
        """Return the n positions that look at a token most, with their attention, the most first.

        Raises:
            SelectionError: a head or position that there is not.
            ResultError: a number stands for a block of tokens.
        """
        return self._strongest(self._exact(layer, head, side)[:, self._position(key, side)], n)

    def script(
        self,
        layer: int,
        head: int,
        pos: int | None = None,
        *,
        side: int = 0,
        weighted: bool = False,
        difference: bool = False,
    ) -> str:
        """The lines of nnsight that compute one head's pattern and print where a token looks; they run as printed.

        Of a side with several prompts they take the mean. `pos` is the last token by default.

        Args:
            layer: counted from the first of the model.
            head: likewise.
            pos: the token that looks.
            side: 0, or 1 for the second prompt.
            weighted: whether the pattern is multiplied by the length of what is taken, as by `pattern`.
            difference: whether the lines compute the second side's less the first's, as `difference` does.

        Raises:
            SelectionError: a layer, head or position that there is not.
            ResultError: the result came without code or without weights, or its sides cannot be subtracted.
        """
        if layer not in self.layers:
            raise SelectionError(f"Layer {layer} is not part of this: {', '.join(map(str, self.layers))} are.")
        self._head(head)
        if not self.code:
            raise ResultError("This result came without code: it is older than the lines are, or made by hand.")
        if weighted and not self.weighted_code:
            raise ResultError("The weighted pattern was not computed. Pass value_weighted=True.")
        if difference:
            self._check_matched()
        sides = (0, 1) if difference else (self._side(side),)
        last = len(self.tokens(sides[0])) - 1
        at = last if pos is None else self._position(pos, sides[0])
        ids = [[list(prompt.ids) for prompt in self.prompts[number]] for number in sides]
        names = [self.names[number] for number in sides]
        filled = {
            "prompts": "\n".join(f"{name} = {some}" for name, some in zip(names, ids, strict=True)),
            "shown": " - ".join(f"pattern_of({name})" for name in reversed(names)),
        }
        template = Template(self.weighted_code if weighted else self.code)
        return template.safe_substitute(filled, layer=layer, head=head, pos=at)

    @property
    def names(self) -> tuple[str, ...]:
        """What sides are called."""
        return ("clean", "corrupt") if len(self.prompts) > 1 else ("prompt",)

    def leading(self) -> tuple[int, int] | None:
        """Return the layer and head that, from the last token, look hardest at something but the first one and itself.

        None while nothing was read; of one or two tokens, and of blocks, the first head.
        """
        best: tuple[float, int, int] | None = None
        for part in self.parts:
            seen = part.pattern[:, -1, 1:-1]
            if part.side or (best is not None and (self.block > 1 or not seen.size)):
                continue
            strongest = np.nan_to_num(seen.max(axis=1)) if self.block == 1 and seen.size else np.zeros(len(self.heads))
            at = int(strongest.argmax())
            if best is None or strongest[at] > best[0]:
                best = (float(strongest[at]), part.layer, self.heads[at])
        return None if best is None else best[1:]

    def to_frame(self) -> pd.DataFrame:
        """One row for each side, layer, head, query and key at which a number is not zero (needs pandas).

        Columns: `side` (number), `layer`, `head`, `query`, `key` (positions, the first of a block), `query_token`,
        `key_token` (labels, of the first prompt), `pattern`, and, where there are such, `weighted` and `spread`.
        """
        import pandas as pd

        tables = [self._table(part, at) for part in self.parts for at in range(len(self.heads))]
        empty = pd.DataFrame(columns=["side", "layer", "head", "query", "key", "query_token", "key_token", "pattern"])
        whole: pd.DataFrame = pd.concat(tables, ignore_index=True) if tables else empty
        return whole

    def _table(self, part: LayerPatterns, at: int) -> pd.DataFrame:
        import pandas as pd

        plain = self._of(part, at, weighted=False)
        queries, keys = np.nonzero(plain)
        labels = np.array(self.tokens(part.side).labels, dtype=object)
        columns: dict[str, Any] = {
            "side": part.side,
            "layer": part.layer,
            "head": self.heads[at],
            "query": queries * self.block,
            "key": keys * self.block,
            "query_token": labels[queries * self.block],
            "key_token": labels[keys * self.block],
            "pattern": plain[queries, keys],
        }
        if part.value_norms is not None:
            columns["weighted"] = self._of(part, at, weighted=True)[queries, keys]
        if part.spread is not None:
            columns["spread"] = part.spread[at][queries, keys].astype(np.float32)
        table: pd.DataFrame = pd.DataFrame(columns)
        return table

    def summary(self) -> str:
        """Say in words what was read, and which heads at the last token look hardest at something but the first one."""
        lines = [self._shape_in_words() + "."]
        if self.block > 1:
            lines.append(
                f"Each number is the largest of a block of {self.block} by {self.block} tokens. Run fewer layers= or "
                "heads= to see each token."
            )
            return "\n".join(lines)
        for side in range(len(self.prompts)):
            labels, last = self.tokens(side).labels, len(self.tokens(side)) - 1
            found = [
                (float(part.pattern[at, last, 1:last].max()), part.layer, head, part.pattern[at, last, 1:last].argmax())
                for part in self.parts
                if part.side == side and last > 1
                for at, head in enumerate(self.heads)
            ]
            for weight, layer, head, key in sorted(found, key=lambda item: -item[0])[:3]:
                where = "" if len(self.prompts) == 1 else f" of side {side}"
                lines.append(
                    f"From the last token{where}, {labels[last]}, head {layer}.{head} looks at {labels[int(key) + 1]} "
                    f"(position {int(key) + 1}) with {weight:.2f} of its attention."
                )
        return "\n".join(lines)

    def _shape_in_words(self) -> str:
        sides = " and ".join(
            f"{len(side[0])} tokens" + (f" (mean of {len(side)} prompts)" if len(side) > 1 else "")
            for side in self.prompts
        )
        return f"Attention of {len(self.heads)} heads in {len(self.layers)} layers on {sides}"

    def __repr__(self) -> str:
        left = len(self.layers) * len(self.prompts) - len(self.parts)
        return f"AttentionResult({self._shape_in_words()}{f', {left} layers not read' * (left > 0)})"

    def _check_matched(self) -> None:
        """Refuse to subtract sides that cannot be."""
        if len(self.prompts) < 2:
            raise ResultError("There is no second prompt to compare with. Pass one as corrupt=.")
        lengths = [len(side[0]) for side in self.prompts]
        if lengths[0] != lengths[1]:
            raise ResultError(f"The prompts have {lengths[0]} and {lengths[1]} tokens, so positions cannot be matched.")
        if self.block > 1:
            raise ResultError(
                f"Each number is the largest of a block of {self.block} by {self.block}, and largest ones have no "
                "difference that means something. Run fewer layers= or heads=, or allow more max_bytes=."
            )

    @cached_property
    def _places(self) -> dict[tuple[int, int], LayerPatterns]:
        return {(part.layer, part.side): part for part in self.parts}

    def _side(self, side: int) -> int:
        if not 0 <= side < len(self.prompts):
            raise SelectionError(f"There is no side {side}: there are {len(self.prompts)}, counted from 0.")
        return side

    def _part(self, layer: int, side: int) -> LayerPatterns:
        part = self._places.get((layer, self._side(side)))
        if part is None:
            there = ", ".join(str(number) for number, of in self._places if of == side) or "none"
            raise SelectionError(f"Layer {layer} was not read. These were: {there}.")
        return part

    def _head(self, head: int) -> int:
        if head not in self.heads:
            raise SelectionError(f"Head {head} was not read. These were: {', '.join(map(str, self.heads))}.")
        return self.heads.index(head)

    def _position(self, position: int, side: int) -> int:
        n_tokens = len(self.tokens(side))
        if not -n_tokens <= position < n_tokens:
            raise SelectionError(f"There is no position {position}: they run from 0 to {n_tokens - 1}.")
        return position

    def _exact(self, layer: int, head: int, side: int) -> NDArray[np.float32]:
        if self.block > 1:
            raise ResultError(
                f"Each number is the largest of a block of {self.block} by {self.block} tokens. Run fewer layers= or "
                "heads= to see each token."
            )
        return self.pattern(layer, head, side=side)

    def _of(
        self,
        part: LayerPatterns,
        at: int,
        weighted: bool,
        queries: slice = slice(None),
        keys: slice = slice(None),
    ) -> NDArray[np.float32]:
        if not weighted:
            return part.pattern[at, queries, keys].astype(np.float32)
        if part.weighted is not None:
            return part.weighted[at, queries, keys].astype(np.float32)
        if part.value_norms is None:
            raise ResultError("The weighted pattern was not computed. Pass value_weighted=True.")
        product: NDArray[np.float32] = part.pattern[at, queries, keys].astype(np.float32) * part.value_norms[at, keys]
        return product

    @staticmethod
    def _strongest(values: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        return [(int(place), float(values[place])) for place in np.argsort(-values, kind="stable")[:n]]

    def _contents(self) -> Contents:
        header = {
            "prompts": [[asdict(tokens) for tokens in side] for side in self.prompts],
            "layers": self.layers,
            "heads": self.heads,
            "parts": [[part.side, part.layer] for part in self.parts],
            "block": self.block,
            "provenance": asdict(self.provenance),
            "code": self.code,
            "weighted_code": self.weighted_code,
        }
        arrays = {f"{n}/{name}": array for n, part in enumerate(self.parts) for name, array in _arrays(part).items()}
        return header, arrays

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> AttentionResult:
        def part(number: int, place: Sequence[int]) -> LayerPatterns:
            if f"{number}/pattern" not in arrays:
                raise KeyError(f"{number}/pattern")
            return LayerPatterns(*place, **{name: arrays.get(f"{number}/{name}") for name in _ARRAYS})  # type: ignore[arg-type]

        return cls(
            prompts=tuple(tuple(map(tokens_of, side)) for side in header["prompts"]),
            layers=tuple(header["layers"]),
            heads=tuple(header["heads"]),
            parts=tuple(part(number, place) for number, place in enumerate(header["parts"])),
            block=header["block"],
            provenance=Provenance(**header["provenance"]),
            code=header.get("code", ""),
            weighted_code=header.get("weighted_code", ""),
        )


def pooled(values: NDArray[Any], step: int) -> NDArray[Any]:
    """Return the largest number of each block of `step` by `step` of the last two axes; those at the edge are smaller.

    >>> pooled(np.array([[1, 2, 0], [3, 0, 5], [0, 0, 6]]), 2).tolist()
    [[3, 5], [0, 6]]
    """
    for axis in (-2, -1) if step > 1 else ():
        # Many numbers at a time, which reduceat is too careful for.
        lines = np.moveaxis(values, axis, 0)
        largest = lines[::step].copy()
        for offset in range(1, min(step, len(lines))):
            part = lines[offset::step]
            np.maximum(largest[: len(part)], part, out=largest[: len(part)])
        values = np.moveaxis(largest, 0, axis)
    return np.ascontiguousarray(values)


def _arrays(part: LayerPatterns) -> dict[str, NDArray[Any]]:
    return {name: array for name in _ARRAYS if (array := getattr(part, name)) is not None}
