"""Documents of any length, cut into windows that a model takes, and windows put together into batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import torch

from interp_widgets.models.families import context_length
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import Opened
from interp_widgets.models.probe import is_causal, n_vocab
from interp_widgets.models.prompts import Prompt, Prompts, listed, token_ids
from interp_widgets.results.errors import PromptError

Corpus: TypeAlias = "Prompts | Iterable[Prompt]"
"""Documents: one, a list, or anything that hands them over one by one, such as a generator."""

_AHEAD = 8
"""Batches whose windows are sorted by length before they are run, so that little of a batch is padding."""


@dataclass(frozen=True)
class Window:
    """A stretch of a document that is run as one prompt."""

    document: int
    ids: tuple[int, ...]
    offset: int
    """Position in the document of the first of `ids`. In a later window of a document that begins with a
    beginning-of-text token, one comes first, in place of the token that is there."""
    first: int
    stop: int
    """Activations at the positions of `ids` from `first` to before `stop` are taken from this window."""


class Cutter:
    """Cuts documents into windows of a model's context.

    Where positions see what comes before them, each token is taken from the window in which it sees most: in a
    document longer than the context, every token but the first ones sees at least `context - stride` tokens before it
    (one less where windows begin with a beginning-of-text token of their own). Where positions see both sides, a token
    is taken from the window in which it is farthest from the edges.

    Args:
        opened: the model.
        stride: by how many tokens each window lies after the one before; half the context where not given.

    Raises:
        PromptError: a stride that is no whole number from 1 to the context.
    """

    def __init__(self, opened: Opened, stride: int | None = None) -> None:
        self.opened = opened
        self.causal = is_causal(opened.module)
        self.context = context_length(opened.config)
        self._n_vocab = n_vocab(opened.module)
        self._begin: int | None = getattr(opened.tokenizer, "bos_token_id", None)
        if stride is not None and not (is_whole(stride) and 1 <= stride <= (self.context or stride)):
            most = f" to {self.context}, the tokens that the model's context holds" if self.context else ""
            raise PromptError(f"stride={stride!r} must be a whole number from 1{most}.")
        self._stride = stride

    def documents(self, texts: Corpus, name: str) -> Iterator[tuple[int, ...]]:
        """Yield the token ids of documents; `name` is what messages call one, with its number where there are several.

        Raises:
            PromptError: no text, an empty one, text without a tokenizer, or ids outside the vocabulary.
        """
        given = _handed_over(texts)
        several = given is not None
        if given is None:
            given = listed(cast("Prompts", texts), name)
            several = len(given) > 1
        number = -1
        for number, text in enumerate(given):
            called = f"{name} {number}" if several else name
            yield token_ids(text, called, self.opened.tokenizer, self._n_vocab)
        if number < 0:
            raise PromptError(f"There is no {name}. Pass at least one.")

    def windows(self, ids: tuple[int, ...], document: int) -> Iterator[Window]:
        """Cut one document."""
        context = self.context
        if context is None or len(ids) <= context:
            yield Window(document, ids, 0, 0, len(ids))
            return
        lead = ids[:1] if ids[0] == self._begin and context > 1 else ()
        body, own = ids[len(lead) :], context - len(lead)
        stride = min(self._stride or context // 2 or 1, own)
        # The last window ends where the document does, so that it is as long as the others.
        starts = [*range(0, len(body) - own, stride), len(body) - own]
        taken = 0
        for number, start in enumerate(starts):
            upto = end = len(lead) + start + own
            if number + 1 < len(starts) and not self.causal:
                upto = (len(lead) + starts[number + 1] + end + 1) // 2
            yield Window(document, (*lead, *body[start : start + own]), start, taken - start, upto - start)
            taken = upto


def _handed_over(texts: Corpus) -> Iterable[Prompt] | None:
    """Return what hands documents over one by one, None where they are all there."""
    whole = isinstance(texts, (str, bytes, Sequence, Mapping, torch.Tensor, np.ndarray)) or not isinstance(
        texts, Iterable
    )
    return None if whole else cast("Iterable[Prompt]", texts)


@dataclass(frozen=True)
class Batch:
    """Windows that are run together."""

    windows: tuple[Window, ...]
    ids: torch.Tensor
    """(row, position): padded on the right, by repeating the last token."""
    taken: torch.Tensor
    """(row, position): whose activations are taken."""

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Batch:
        """Put windows side by side."""
        width = max(len(window.ids) for window in windows)
        ids = torch.tensor([[*window.ids, *window.ids[-1:] * (width - len(window.ids))] for window in windows])
        place = torch.arange(width)
        first, stop = (torch.tensor(ends)[:, None] for ends in zip(*((w.first, w.stop) for w in windows), strict=True))
        return cls(tuple(windows), ids, (place >= first) & (place < stop))

    def halves(self) -> tuple[Batch, Batch]:
        """Return two smaller batches."""
        middle = len(self.windows) // 2
        return Batch.of(self.windows[:middle]), Batch.of(self.windows[middle:])


def batches(windows: Iterable[Window], tokens: int, *, causal: bool) -> Iterator[Batch]:
    """Put windows of similar length together, about so many tokens at a time and one window at least.

    Where positions see what comes after them, padding would change them: there all windows of a batch are of one
    length. Otherwise the order of windows is kept but for a few batches around. An error of what hands windows over is
    raised once those that came before it are out.
    """
    pending = iter(windows)
    while True:
        ahead: list[Window] = []
        size = 0
        failure: Exception | None = None
        try:
            while size < _AHEAD * tokens and (window := next(pending, None)) is not None:
                ahead.append(window)
                size += len(window.ids)
        except Exception as error:  # whatever a user's own documents raise
            failure = error
        groups: dict[int, list[Window]] = defaultdict(list)
        for window in ahead:
            groups[0 if causal else len(window.ids)].append(window)
        for group in groups.values():
            yield from _filled(sorted(group, key=lambda window: len(window.ids)), tokens)
        if failure is not None:
            raise failure
        if not ahead:
            return


def _filled(windows: Sequence[Window], tokens: int) -> Iterator[Batch]:
    batch: list[Window] = []
    for window in windows:
        if batch and (len(batch) + 1) * len(window.ids) > tokens:
            yield Batch.of(batch)
            batch = []
        batch.append(window)
    if batch:
        yield Batch.of(batch)
