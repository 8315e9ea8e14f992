"""Read the QK and OV circuits of heads off a model's weights."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from interp_widgets.experiments.code_circuits import circuit_code
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import chosen_numbers
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.circuits import Circuits, Factors
from interp_widgets.models.families import context_length
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.probe import n_vocab
from interp_widgets.models.prompts import Prompts, parse_prompts
from interp_widgets.results.errors import ModelError, NonFiniteError, PromptError, SelectionError
from interp_widgets.results.head_circuits import Circuit, Extremes, HeadCircuits, TokenPair
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_NUMBERS = 1_200_000
"""Most numbers in the maps of all heads."""
_OFFSETS = 16
"""Offsets at which scores are averaged."""
_LISTED = 20
"""Entries of the whole vocabulary that are kept from each end."""


@runs_remotely
def head_circuits(
    model: ModelLike,
    tokens: Prompts,
    *,
    layers: Sequence[int] | int | None = None,
    offset: int = 1,
    copying: bool = True,
    vocabulary: tuple[int, int] | Iterable[tuple[int, int]] = (),
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[HeadCircuits, None, HeadCircuits]:
    """Check the arguments at once, and return a generator that computes layer by layer.

    Arguments and errors are those of `run_head_circuits`. Partial results have NaN where nothing is computed yet.

    Yields:
        The result so far.
    """
    if copying not in (True, False):
        raise ValueError(f"copying={copying!r} must be True or False.")
    opened = open_model(model, tokenizer)
    prompts = parse_prompts(
        tokens,
        "prompt",
        tokenizer=opened.tokenizer,
        n_vocab=n_vocab(opened.module),
        context=None,
        names=opened.names,
    )
    access = resolve(opened)
    chosen = tuple(range(access.n_layers)) if layers is None else chosen_numbers(layers, "layers", access.n_layers)
    if not (is_whole(offset) and offset >= 0):
        raise ValueError(f"offset={offset!r} must be a whole number from 0 on.")
    room = context_length(opened.config)
    if room is not None and offset >= room:
        raise ValueError(
            f"offset={offset!r} is farther than tokens of {opened.name} can be apart: its context holds {room}. Pass "
            f"at most {room - 1}."
        )
    circuits = Circuits(access)
    if (why := circuits.missing(tuple(chosen))) is not None:
        raise ModelError(f"The circuits of {opened.name} cannot be read off its weights: {why}")
    n_heads = access.n_heads or 0
    once = tuple(dict.fromkeys(token for prompt in prompts for token in prompt.ids))
    numbers = 2 * len(chosen) * n_heads * len(once) ** 2
    if numbers > _NUMBERS:
        most = int((_NUMBERS / (2 * len(chosen) * n_heads)) ** 0.5)
        raise PromptError(
            f"{len(once)} different tokens in {len(chosen) * n_heads} heads make {numbers:,} numbers, and maps of so "
            f"many cannot be looked at. Pass at most {most} tokens, or fewer layers=."
        )
    whole = _heads(vocabulary, tuple(chosen), n_heads)
    shown = opened.labels.tokens(once)
    return _Reading(access, circuits, shown, tuple(chosen), int(offset), whole, copying=copying).steps()


@over(head_circuits)
def run_head_circuits(steps: Generator[HeadCircuits, None, HeadCircuits]) -> HeadCircuits:
    """Say by weights alone which token each head attends to from which (QK), and what attending to it promotes (OV).

    Every token is taken as its embedding (with the norm that follows it in BLOOM), as if that were all of the stream:
    W_E W_Q W_K^T W_E^T / sqrt(d_head) and W_E W_V W_O W_U. That is all that a head of the first layer reads, positions
    apart; a later head reads more, which earlier layers wrote. Norms: the one before attention is applied as it is,
    gain, bias and all, with the size that it finds at the embedding; the last one's gain is folded into W_U and its
    size left at 1. Biases of queries and keys count, those of values and outputs do not. Grouped query attention gives
    each query head the keys and values that it shares. How a query and a key meet is measured in the model's own
    attention, rotary turns and scale included, and checked; caps on scores (Gemma 2) are left out, as is what the
    offset alone adds (ALiBi).

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        tokens: text or token ids, or a list of either, whose different tokens are both axes of the maps.
        layers: which; all by default.
        offset: how many tokens the key lies before the query, where positions are rotary: scores depend on it then.
        copying: whether to find the eigenvalues of OV circuits, over the whole vocabulary.
        vocabulary: heads, (layer, head), whose largest and smallest entries are looked for in the whole vocabulary,
            some rows at a time.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`.

    Returns:
        The maps of all heads. After an interrupt or an error, `sys.last_value.partial` is what was computed until then.

    Raises:
        PromptError: empty text, text without a tokenizer, token ids that the model does not have, or too many tokens.
        SelectionError: a layer or a head that does not exist.
        ModelError: a model whose embeddings, projections or norms are not found.
        NonFiniteError: NaN or infinity in a circuit.

    Example:
        >>> from interp_widgets import run_head_circuits, teaching
        >>> result = run_head_circuits(teaching.load(), " Mary John Tom", layers=3)
        >>> layer, head = 3, int(result.copying[0].argmax())
        >>> [str(pair.second) for pair in result.top("ov", layer, head, 1)]
        ['␣Mary']

    References:
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (both circuits, eigenvalues, copying).
    """
    return finish(steps)


def _heads(
    vocabulary: tuple[int, int] | Iterable[tuple[int, int]], layers: tuple[int, ...], n_heads: int
) -> tuple[tuple[int, int], ...]:
    if not isinstance(vocabulary, Iterable):
        raise SelectionError(f"vocabulary={vocabulary!r} is no list of heads. Name them, such as [(3, 1)].")
    listed: list[Any] = list(vocabulary)
    pairs: list[Any] = [listed] if len(listed) == 2 and all(map(is_whole, listed)) else listed
    for pair in pairs:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and all(map(is_whole, pair))):
            raise SelectionError(f"vocabulary holds {pair!r}. Name heads as (layer, head), such as (3, 1).")
        if pair[0] not in layers or not 0 <= pair[1] < n_heads:
            raise SelectionError(
                f"There is no head {tuple(pair)!r} here: layers are {', '.join(map(str, layers))}, heads 0 to "
                f"{n_heads - 1}."
            )
    return tuple((int(pair[0]), int(pair[1])) for pair in pairs)


class _Reading:
    """Circuits as they are read, layer by layer."""

    def __init__(
        self,
        access: Access,
        circuits: Circuits,
        tokens: Tokens,
        layers: tuple[int, ...],
        offset: int,
        whole: tuple[tuple[int, int], ...],
        *,
        copying: bool,
    ) -> None:
        self._access = access
        self._circuits = circuits
        self._tokens = tokens
        self._layers = layers
        self._offset = offset
        self._whole = whole
        self._with_copying = copying
        n_heads, width = access.n_heads or 0, access.d_head or 0
        shape = (len(layers), n_heads)
        n_tokens = len(tokens)
        self._qk = np.full((*shape, n_tokens, n_tokens), np.nan, np.float32)
        self._ov = np.full((*shape, n_tokens, n_tokens), np.nan, np.float32)
        self._eigenvalues = np.full((*shape, width, 2), np.nan)
        room = context_length(access.opened.config)
        self._n_offsets = max(1, min(_OFFSETS, (room or 2 * _OFFSETS) // 2))
        self._by_offset = np.full((*shape, self._n_offsets), np.nan, np.float32)
        self._positions: Literal["rotary", "added", "none"] = "none"
        self._extremes: list[Extremes] = []
        self._unmet: list[int] = []
        self._missing: dict[str, str] = {}
        self._code = [""] * len(layers)
        if not copying:
            self._missing["eigenvalues"] = "they were not asked for."
        settings = {"circuits": "tokens as their embeddings, the norm before attention as it is, the last at size 1"}
        self._ledger = Ledger(access.opened, settings)

    def steps(self) -> Generator[HeadCircuits, None, HeadCircuits]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        circuits = self._circuits
        ids = torch.tensor(self._tokens.ids)
        rows = circuits.copying.embedded(ids)
        places = circuits.positions(2 * self._n_offsets).to(rows.device)
        added = bool(places.abs().max() > 1e-6 * rows.abs().max())
        self._positions = "added" if added else "none"
        readout = circuits.readout(ids)
        for number, layer in enumerate(self._layers):
            written = circuits.moved(layer, rows)
            self._ov[number] = self._finite(written.transpose(0, 1) @ readout.to(written.device), layer, "OV")
            if (found := circuits.meeting(layer)) is None:
                self._unmet.append(layer)
                self._missing["qk"] = (
                    f"in layer{'s' * (len(self._unmet) > 1)} {', '.join(map(str, self._unmet))} a score is no "
                    "product of a query and a key that projections make of the normed stream, as with norms of "
                    "queries and keys."
                )
            else:
                if found.rotary:
                    self._positions = "rotary"
                self._qk[number] = self._finite(circuits.scores(layer, rows, self._offset), layer, "QK")
                self._by_offset[number] = circuits.by_offset(layer, rows, places, self._n_offsets).cpu()
            self._code[number] = circuit_code(self._access, circuits, layer, self._offset)
            yield
        if self._with_copying:
            for number, layer in enumerate(self._layers):
                eigenvalues = circuits.copying.eigenvalues(layer)
                self._eigenvalues[number] = torch.view_as_real(eigenvalues).numpy()
                yield
        for layer, head in self._whole:
            yield from self._search(layer, head)

    def _search(self, layer: int, head: int) -> Generator[None, None, None]:
        """Look through the whole vocabulary, some rows at a time."""
        moved, met = yield from self._circuits.factors(layer, head, self._offset)
        sides: list[tuple[Circuit, Factors | None]] = [("qk", met), ("ov", moved)]
        for circuit, factors in sides:
            if factors is None:
                continue
            before = list(self._extremes)
            for highest, lowest, share in factors.extremes(_LISTED, self._access.n_vocab):
                ends = {"highest": self._pairs(highest), "lowest": self._pairs(lowest)}
                self._extremes = [*before, Extremes(layer, head, circuit, **ends, share=share)]
                yield

    def _pairs(self, entries: torch.Tensor) -> tuple[TokenPair, ...]:
        return tuple(
            TokenPair(self._token(int(row)), self._token(int(column)), value) for row, column, value in entries.tolist()
        )

    def _token(self, token: int) -> Token:
        return self._access.opened.labels.token(token)

    def _finite(self, made: torch.Tensor, layer: int, name: str) -> torch.Tensor:
        if not torch.isfinite(made).all():
            raise NonFiniteError(
                f"The {name} circuits of layer {layer} hold NaN or infinity. Check the weights of "
                f"{self._access.opened.name} and their dtype."
            )
        return made.cpu()

    def _result(self) -> HeadCircuits:
        return HeadCircuits(
            tokens=self._tokens,
            layers=self._layers,
            heads=tuple(range(self._access.n_heads or 0)),
            qk=self._qk.copy(),
            ov=self._ov.copy(),
            eigenvalues=self._eigenvalues.copy(),
            by_offset=self._by_offset.copy(),
            offset=self._offset,
            positions=self._positions,
            extremes=tuple(self._extremes),
            missing=dict(self._missing),
            provenance=self._ledger.provenance(),
            code=tuple(self._code),
        )
