"""One panel of a grid: what its rows and its columns stand for, and how a cell is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from interp_widgets.results.errors import SelectionError
from interp_widgets.results.terms import Site

Columns = Literal["pos", "head", "neuron", "role", "layer"]
"""What the columns of a panel are: token positions, heads, neurons, named places of a prompt, or the layer as one."""

COLUMNS: tuple[Columns, ...] = get_args(Columns)

Latent: TypeAlias = int | Literal["all", "error"]
"""A latent of a dictionary; all of them together; or its error, which is what they do not account for."""


@dataclass(frozen=True)
class Line:
    """One row of a panel: a layer, one head of it, or one latent of a dictionary that writes there."""

    layer: int
    head: int | None = None
    latent: Latent | None = None
    name: str = ""
    """What the latent is called, where somebody gave it a name."""

    def __str__(self) -> str:
        if self.head is not None:
            return f"layer {self.layer}, head {self.head}"
        if self.latent is None:
            return f"layer {self.layer}"
        named = f" ({self.name})" if self.name else ""
        return f"layer {self.layer}, {LATENTS.get(self.latent, f'latent {self.latent}')}{named}"


LATENTS: Mapping[Latent, str] = {"all": "all latents", "error": "error of the dictionary"}
"""What is said of rows that are no single latent."""


@dataclass(frozen=True)
class Panel:
    """The cells of one site, by row and column."""

    site: Site
    lines: tuple[Line, ...]
    """What each row is, from the first layer on."""
    columns: Columns
    labels: tuple[str, ...] = ()
    """One for each column: the numbers of heads or neurons, the names of roles. None where columns are positions, and
    none or one, such as "MLP", where there is one column."""
    notes: tuple[str, ...] = ()
    """What there is to say about each column, such as which query heads share a key-value head; or none at all."""

    def width(self, length: int) -> int:
        """Number of columns, for prompts of `length` tokens."""
        return {"pos": length, "layer": 1}.get(self.columns, len(self.labels))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of its rows, each once."""
        return tuple(dict.fromkeys(line.layer for line in self.lines))

    @property
    def rows(self) -> Literal["layer", "head", "latent"]:
        """What the rows are: layers, or heads or latents of layers."""
        first = self.lines[0] if self.lines else None
        if first is None or first.head is first.latent is None:
            return "layer"
        return "latent" if first.head is None else "head"

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of what tells its cells apart: layer, then head or latent, then what the columns are."""
        rows = ("layer",) if self.rows == "layer" else ("layer", self.rows)
        return rows if self.columns == "layer" else (*rows, self.columns)

    def name(self, row: int, column: int) -> dict[str, Any]:
        """Return a cell as people name it, for instance {"site": "z", "layer": 9, "head": 6}."""
        line = self.lines[row]
        cell: dict[str, Any] = {"site": self.site, "layer": line.layer}
        if line.head is not None:
            cell["head"] = line.head
        if line.latent is not None:
            cell["latent"] = line.latent
        if self.columns == "pos":
            cell["pos"] = column
        elif self.columns == "role":
            cell["role"] = self.labels[column]
        elif self.columns != "layer":
            cell[self.columns] = int(self.labels[column])
        return cell

    def find(self, cell: Mapping[str, Any], length: int) -> tuple[int, int]:
        """Return the row and column of a cell.

        Raises:
            SelectionError: the panel has no such cell.
        """
        wanted = {"site", *self.axes}
        if set(cell) != wanted:
            shown = ", ".join(f"'{key}': …" for key in ("site", *self.axes))
            raise SelectionError(f"a cell of {self.site} is {{{shown}}}, not {dict(cell)!r}.")
        if cell["layer"] not in self.layers:
            raise SelectionError(
                f"no layer {cell['layer']!r} in this grid: it has layers {', '.join(map(str, self.layers))}."
            )
        parts = ("layer",) if self.rows == "layer" else ("layer", self.rows)
        for row, line in enumerate(self.lines):
            if all(getattr(line, part) == cell[part] for part in parts):
                return row, self._column(cell, length)
        raise SelectionError(f"no {self.rows} {cell[self.rows]!r} of layer {cell['layer']} in this grid.")

    def _column(self, cell: Mapping[str, Any], length: int) -> int:
        if self.columns == "layer":
            return 0
        value = cell[self.columns]
        if self.columns == "pos":
            if value not in range(length):
                raise SelectionError(f"no position {value!r} in this grid: it has positions 0 to {length - 1}.")
            return int(value)
        if str(value) not in self.labels:
            shown = self.labels if len(self.labels) < 40 else (*self.labels[:3], "…", self.labels[-1])
            raise SelectionError(f"no {self.columns} {value!r} in this grid: it has {', '.join(shown)}.")
        return self.labels.index(str(value))

    def place(self, row: int, column: int, token: str | None) -> str:
        """Say where a cell is, in words: "layer 9, head 6" or "layer 3, ␣John (position 5)".

        Args:
            row: of the cell.
            column: of the cell.
            token: label of the token at the position, where columns are positions and all prompts agree on it.
        """
        rows = str(self.lines[row])
        if self.columns == "layer":
            return rows
        if self.columns == "pos":
            return f"{rows}, {token} (position {column})" if token else f"{rows}, position {column}"
        return f"{rows}, {self.columns} {self.labels[column]}"
