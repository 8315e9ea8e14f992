"""Where a path ends: what of the model reads the change that a sender makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from interp_widgets.models.access import Access
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.results.errors import SelectionError, unknown_name
from interp_widgets.results.terms import Site

Input = Literal["q", "k", "v", "mlp_in", "final"]
"""What a receiver reads with: queries, keys or values of a head, the input of an MLP, or the final stream."""

INPUTS: tuple[Input, ...] = get_args(Input)
_OF_HEADS: tuple[Input, ...] = ("q", "k", "v")


@dataclass(frozen=True)
class Receiver:
    """An input that reads the stream: `Receiver("q", 9, 6)`, `Receiver("mlp_in", 10)` or `Receiver("final")`.

    `head` is a query head for q, and a key-value head for k and v, which several query heads may share. `final` is the
    stream that the final norm and the unembedding read at the last position.
    """

    input: Input
    layer: int | None = None
    head: int | None = None

    def __str__(self) -> str:
        if self.input == "final":
            return "the final stream"
        return f"MLP {self.layer}" if self.input == "mlp_in" else f"{self.input} of head {self.layer}.{self.head}"


ReceiversLike: TypeAlias = "Receiver | Iterable[Receiver]"

_SHOWN = 'Receiver("q", layer=9, head=6), Receiver("mlp_in", layer=10) or Receiver("final")'


@dataclass(frozen=True)
class Receivers:
    """Receivers that get their changed inputs together, all known to exist in a model."""

    listed: tuple[Receiver, ...]
    positions: tuple[int, ...] | None
    """The positions at which they receive; None for all."""
    parallel: bool
    """Whether MLPs read what enters their layer, so that attention of the same layer sends them nothing."""

    def __str__(self) -> str:
        *others, last = map(str, self.listed)
        return f"{', '.join(others)} and {last}" if others else last

    def after(self, site: Site, layer: int) -> tuple[Receiver, ...]:
        """Return those that read the stream once a sender has added to it."""
        return tuple(receiver for receiver in self.listed if self._reads(receiver, site, layer))

    def _reads(self, receiver: Receiver, site: Site, layer: int) -> bool:
        if receiver.layer is None or receiver.layer > layer:
            return True
        within = receiver.input == "mlp_in" and site != "mlp_out" and not self.parallel
        return within and receiver.layer == layer


def parse_receivers(given: ReceiversLike, n_layers: int) -> tuple[Receiver, ...]:
    """Return receivers, each once, with their layers counted from the start.

    Raises:
        SelectionError: something that is no receiver, or one whose layer does not exist or is not said.
        UnknownNameError: an input that does not exist.
    """
    if isinstance(given, Receiver):
        given = (given,)
    if not isinstance(given, Iterable):
        raise SelectionError(f"receivers={given!r} is {kind_of(given)}. Write {_SHOWN}, or a list of such.")
    listed = tuple(dict.fromkeys(_parsed(receiver, n_layers) for receiver in given))
    if not listed:
        raise SelectionError(f"receivers is empty. Name at least one: {_SHOWN}.")
    if len(listed) > 1 and any(receiver.input == "final" for receiver in listed):
        raise SelectionError(
            'Receiver("final") sets all that the unembedding reads, so that other receivers beside it would change '
            "nothing. Run it apart from them."
        )
    return listed


def _parsed(receiver: object, n_layers: int) -> Receiver:
    if not isinstance(receiver, Receiver):
        raise SelectionError(f"receivers holds {receiver!r}, {kind_of(receiver)}. Write {_SHOWN}.")
    if receiver.input not in INPUTS:
        raise unknown_name("receiver", receiver.input, INPUTS)
    needed = {"final": (), "mlp_in": ("layer",)}.get(receiver.input, ("layer", "head"))
    for name in ("layer", "head"):
        number = as_plain(getattr(receiver, name))
        if name not in needed and number is not None:
            raise SelectionError(f"{receiver!r} has a {name}, but {_kind(receiver)} has none. Leave it out.")
        if name in needed and not is_whole(number):
            raise SelectionError(f"{receiver!r} needs its {name} as a whole number, such as {_SHOWN}.")
    if receiver.layer is None:
        return receiver
    layer = int(as_plain(receiver.layer))
    if not -n_layers <= layer < n_layers:
        raise SelectionError(
            f"{receiver!r} is in layer {layer}, but layers run from 0 to {n_layers - 1} (or -{n_layers} to -1)."
        )
    return replace(receiver, layer=layer % n_layers, head=None if receiver.head is None else int(receiver.head))


def _kind(receiver: Receiver) -> str:
    return "the final stream" if receiver.input == "final" else "an MLP's input"


def check_receivers(
    receivers: tuple[Receiver, ...], access: Access, positions: tuple[int, ...] | None, length: int
) -> Receivers:
    """Look receivers up in a model, for prompts of `length` tokens.

    Raises:
        SelectionError: a head that does not exist, or positions at which the final stream is not read.
        SiteError: an architecture without such inputs.
    """
    for receiver in receivers:
        if receiver.input == "mlp_in":
            access.check_site("mlp_out")
        elif receiver.input != "final":
            heads = access.head_count(receiver.input)
            if receiver.head is None or not 0 <= receiver.head < heads:
                grouped = receiver.input != "q" and heads != access.n_heads
                raise SelectionError(
                    f"{receiver!r} does not exist: {receiver.input} has heads 0 to {heads - 1}"
                    + (f", the key-value heads that {access.n_heads} query heads share." if grouped else ".")
                )
        elif positions is not None and length - 1 not in positions:
            raise SelectionError(
                f"the final stream is read at the last position alone, {length - 1}, which is not among "
                "receiver_positions. Leave them out."
            )
    if receivers[0].input == "final":
        positions = (length - 1,)
    return Receivers(receivers, positions, access.anatomy.parallel)


def reads_heads(receiver: Receiver) -> bool:
    """Whether a receiver is the queries, keys or values of a head."""
    return receiver.input in _OF_HEADS
