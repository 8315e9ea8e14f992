"""Read attention patterns: where every head looks on a prompt, on two prompts, or on the mean of several."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from interp_widgets.experiments.code_patterns import pattern_code
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import chosen_numbers
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.families import context_length
from interp_widgets.models.heads import Columns
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike, Opened, open_model
from interp_widgets.models.patterns import ValueNorms, scan
from interp_widgets.models.probe import n_vocab
from interp_widgets.models.prompts import Prompts, check_equal_lengths, parse_prompts
from interp_widgets.results.attention import AttentionResult, LayerPatterns, Map, pooled
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_FLOAT32 = 2**26
"""Bytes up to which patterns are kept in float32."""
MAX_BYTES = 2**28
"""Bytes up to which each token keeps a number of its own by default."""
_ROWS = 2**24
"""Numbers of a layer's z and its scores that run at a time, about."""


@runs_remotely
def attention(
    model: ModelLike,
    prompt: Prompts,
    *,
    corrupt: Prompts | None = None,
    layers: Iterable[int] | int | None = None,
    heads: Iterable[int] | int | None = None,
    value_weighted: bool = True,
    max_bytes: int = MAX_BYTES,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[AttentionResult, None, AttentionResult]:
    """Check the arguments at once, and return a generator that reads the patterns layer by layer.

    Arguments and errors are those of `run_attention`. The first partial result has the prompts and no patterns, each
    later one a layer more, and the last is returned. All are frozen, and share the layers that they have in common.

    Yields:
        The result so far.
    """
    if not (is_whole(max_bytes) and max_bytes >= 1):
        raise ValueError(f"max_bytes={max_bytes!r} must be a whole number from 1 on.")
    if value_weighted not in (True, False):
        raise ValueError(f"value_weighted={value_weighted!r} must be True or False.")
    opened = open_model(model, tokenizer)
    sides = [_parsed(opened, prompt, "clean")]
    if corrupt is not None:
        sides.append(_parsed(opened, corrupt, "corrupt"))
    access = resolve(opened)
    n_heads = access.head_count("pattern")
    wanted = _Wanted(
        sides=tuple(sides),
        layers=chosen_numbers(layers, "layers", access.n_layers),
        heads=chosen_numbers(heads, "heads", n_heads),
        value_weighted=bool(value_weighted),
        max_bytes=int(max_bytes),
    )
    if wanted.value_weighted:
        ValueNorms(access, wanted.layers[0])  # says at once where there is no telling
    return _Reading(access, wanted).steps()


@over(attention)
def run_attention(steps: Generator[AttentionResult, None, AttentionResult]) -> AttentionResult:
    """Read attention patterns: where every head looks on a prompt, on two prompts, or on the mean of several.

    A pattern says how much each token (query) takes from each token (key). It is what the model's own attention
    computes, in whichever implementation it runs (eager, SDPA, flash attention), with shared key-value heads, soft
    caps, sliding windows and sinks as they are: attention is called again with unit vectors for values, as many keys at
    a time as a head is wide.

    The weighted pattern is pattern * |v W_O|, where v is the value vector of the key with its bias and W_O the part of
    the output projection that belongs to the head, times the model's residual multiplier if it has one: the length of
    what the head adds to the stream for that key, before any norm after attention. A first token that gets much
    attention often has a short one.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        prompt: text or token ids, or a list of prompts of equal length, whose mean is taken, with the spread.
        corrupt: the same, to compare with. It may have another length; then nothing is subtracted.
        layers: which; all by default. Layers after the last one do not run.
        heads: which of each layer; all by default.
        value_weighted: whether to compute the weighted pattern too.
        max_bytes: most bytes that the patterns may take. Up to 64 MiB they are float32, up to this float16 (right to
            0.0005), and beyond it each number is the largest of a block of 2 by 2, 4 by 4, ... tokens: see
            `AttentionResult.block`. 32 heads of one layer on 2,000 tokens take 244 MiB. All layers of a long prompt are
            best seen in blocks, and one layer then by itself. Means and spreads of several prompts are float32 while a
            layer is read.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run: here by default, True for NDIF, the address of another server such as "https://host", or
            an nnsight `RemoteBackend`.

    Returns:
        The patterns of the heads. After an interrupt or an error, `sys.last_value.partial` is what was read until then.

    Raises:
        PromptError: empty text, text without a tokenizer, token ids that the model does not have, more tokens than its
            context holds, or prompts of a mean that have unequal lengths.
        SelectionError: a layer or a head that does not exist.
        SiteError: an architecture whose patterns cannot be read.
        ModelError: a model that cannot be read, or with value_weighted one whose heads are joined by no module.
        NonFiniteError: NaN or infinity, with the layer where it appears.

    Example:
        >>> from interp_widgets import run_attention, teaching
        >>> text = "When Mary and John went to the store, John gave a drink to"
        >>> result = run_attention(teaching.load(), text)
        >>> result.pattern(3, 3).shape  # (query, key)
        (14, 14)
        >>> [result.tokens().labels[key] for key, _ in result.looks_at(0, 2, query=1, n=1)]
        ['When']

    References:
        Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762.
        Kobayashi et al. 2020, "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms",
            arXiv:2004.10102 (the weighted pattern).
        Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model", arXiv:1906.05714.
    """
    return finish(steps)


def _parsed(opened: Opened, prompts: Prompts, name: str) -> tuple[Tokens, ...]:
    parsed = parse_prompts(
        prompts,
        name,
        tokenizer=opened.tokenizer,
        n_vocab=n_vocab(opened.module),
        context=context_length(opened.config),
        names=opened.names,
    )
    check_equal_lengths(parsed, "prompt")
    return parsed


@dataclass(frozen=True)
class _Wanted:
    """What to read, all of it checked."""

    sides: tuple[tuple[Tokens, ...], ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    value_weighted: bool
    max_bytes: int

    def kept_as(self) -> tuple[type[np.floating[Any]], int]:
        """How to keep numbers, and how many tokens share one, so that all fit."""
        dtype: type[np.floating[Any]] = np.float32
        block = 1
        while (size := self._bytes(dtype, block)) > self.max_bytes or (dtype is np.float32 and size > _FLOAT32):
            if dtype is np.float32:
                dtype = np.float16
            elif block >= max(len(side[0]) for side in self.sides):
                break
            else:
                block *= 2
        return dtype, block

    def _bytes(self, dtype: type[np.floating[Any]], block: int) -> int:
        total = 0
        for side in self.sides:
            averaged = len(side) > 1
            # The weighted pattern follows from the pattern, but not where it is a mean or a largest number.
            maps = (1 + self.value_weighted * (averaged or block > 1)) * (1 + (averaged and block == 1))
            total += maps * (-(-len(side[0]) // block)) ** 2
        return total * len(self.layers) * len(self.heads) * np.dtype(dtype).itemsize


class _Reading:
    """Prompts on their way through a model: the patterns that were read so far."""

    def __init__(self, access: Access, wanted: _Wanted) -> None:
        self._access = access
        self._wanted = wanted
        self._dtype, self._block = wanted.kept_as()
        self._parts: list[LayerPatterns] = []
        self._code = pattern_code(access, block=self._block)
        self._weighted_code = pattern_code(access, weighted=True, block=self._block) if wanted.value_weighted else ""
        self._ledger = Ledger(access.opened, {"patterns": "attention called once more, with unit vectors for values"})

    def steps(self) -> Generator[AttentionResult, None, AttentionResult]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        sides = [self._side(number, prompts) for number, prompts in enumerate(self._wanted.sides)]
        for together in zip(*sides, strict=True):
            self._parts += together
            yield

    def _side(self, number: int, prompts: Sequence[Tokens]) -> Iterator[LayerPatterns]:
        """Read one side, layer by layer; prompts that do not fit into a batch side by side."""
        access, wanted = self._access, self._wanted
        n_tokens = len(prompts[0])
        rows = max(1, _ROWS // (n_tokens * n_tokens * (access.n_heads or 1)))
        ids = torch.tensor([prompt.ids for prompt in prompts], device=access.opened.device)
        making: list[_Making] = []

        def use(_layer: int, part: Columns) -> None:
            making[-1].add(part)

        scans = [scan(access, some, wanted.layers, use) for some in torch.split(ids, rows)]
        for done, layer in enumerate(wanted.layers):
            norms = ValueNorms(access, layer) if wanted.value_weighted else None
            making.append(_Making(wanted.heads, len(prompts), n_tokens, (self._dtype, self._block), norms))
            for reading in scans:
                next(reading)
            before = wanted.layers[done - 1] if done and not access.edited else -1
            self._ledger.passes += len(prompts) * (layer - before) / access.n_layers
            yield making.pop().made(number, layer)

    def _result(self) -> AttentionResult:
        return AttentionResult(
            prompts=self._wanted.sides,
            layers=self._wanted.layers,
            heads=self._wanted.heads,
            parts=tuple(self._parts),
            block=self._block,
            provenance=self._ledger.provenance(),
            code=self._code,
            weighted_code=self._weighted_code,
        )


class _Making:
    """The patterns of one layer, as they are put together from columns of rows."""

    def __init__(
        self,
        heads: Sequence[int],
        n_prompts: int,
        n_tokens: int,
        kept_as: tuple[type[np.floating[Any]], int],
        norms: Callable[[torch.Tensor], torch.Tensor] | None,
    ) -> None:
        self._heads = list(heads)
        self._n_prompts = n_prompts
        self._dtype, self._block = kept_as
        self._norms = norms
        self._value_norms = torch.zeros(len(heads), n_tokens) if norms else None
        averaged = n_prompts > 1
        # A mean is taken token by token before the largest of a block is.
        across = n_tokens if averaged else -(-n_tokens // self._block)
        weighted = norms is not None and (averaged or self._block > 1)
        dtype = torch.float32 if averaged or self._dtype is np.float32 else torch.float16
        self._maps = {
            name: _Sum(len(heads), across, dtype, averaged)
            for name, there in (("pattern", True), ("weighted", weighted))
            if there
        }

    def add(self, part: Columns) -> None:
        """Take some columns of some prompts."""
        weights = part.weights[:, self._heads].float()
        keys = slice(part.first, part.first + weights.shape[-1])
        maps = {"pattern": weights}
        if self._norms is not None and self._value_norms is not None:
            norms = self._norms(part.values)[:, self._heads]
            self._value_norms[:, keys] += norms.sum(0).cpu() / self._n_prompts
            maps["weighted"] = weights * norms[:, :, None].to(weights.device)
        for name, kept in self._maps.items():
            if self._n_prompts > 1:
                kept.add(maps[name].cpu(), part.first)
            else:
                kept.largest(maps[name][0].cpu(), part.first, self._block)

    def made(self, side: int, layer: int) -> LayerPatterns:
        """Return what was put together."""
        arrays: dict[str, Map] = {}
        for name, kept in self._maps.items():
            mean, spread = kept.made(self._n_prompts, self._block, self._dtype)
            arrays[name] = mean
            if spread is not None:
                arrays["spread" if name == "pattern" else "weighted_spread"] = spread
        if self._value_norms is not None:
            arrays["value_norms"] = self._value_norms.numpy()
        for array in arrays.values():
            array.setflags(write=False)
        return LayerPatterns(side, layer, **arrays)


class _Sum:
    """Maps of heads, (head, query, key): of one prompt, or the mean and the squares around it over several."""

    def __init__(self, n_heads: int, across: int, dtype: torch.dtype, averaged: bool) -> None:
        self._mean = torch.zeros(n_heads, across, across, dtype=dtype)
        self._squares = torch.zeros_like(self._mean) if averaged else None
        self._seen = torch.zeros(across)

    def largest(self, columns: torch.Tensor, first: int, block: int) -> None:
        """Put in one prompt's columns, (head, query, key), as the largest number of each block."""
        width = columns.shape[-1]
        if block == 1:
            self._mean[..., first : first + width] = columns.to(self._mean.dtype)
            return
        short = -columns.shape[1] % block
        padded = torch.nn.functional.pad(columns, (0, 0, 0, short))
        rows = padded.reshape(len(columns), -1, block, width).amax(2)
        for to in range(first // block, (first + width - 1) // block + 1):
            some = rows[..., max(0, to * block - first) : (to + 1) * block - first].amax(-1)
            self._mean[..., to] = torch.maximum(self._mean[..., to], some.to(self._mean.dtype))

    def add(self, columns: torch.Tensor, first: int) -> None:
        """Add columns of several prompts, (row, head, query, key), one by one as Welford does."""
        if self._squares is None:
            raise AssertionError("one prompt has no mean")
        keys = slice(first, first + columns.shape[-1])
        for row in columns:
            self._seen[keys] += 1
            off = row - self._mean[..., keys]
            self._mean[..., keys] += off / self._seen[keys]
            self._squares[..., keys] += off * (row - self._mean[..., keys])

    def made(self, n_prompts: int, block: int, dtype: type[np.floating[Any]]) -> tuple[Map, Map | None]:
        """Return the maps, and of several prompts their standard deviation."""
        if self._squares is None:
            return self._mean.numpy(), None
        if block > 1:
            return pooled(self._mean.numpy(), block).astype(dtype), None
        spread = (self._squares / (n_prompts - 1)).clamp(min=0).sqrt().numpy()
        return self._mean.numpy().astype(dtype), spread.astype(dtype)
