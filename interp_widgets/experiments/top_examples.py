"""Read a corpus for the strongest examples of latents, and for how often and how strongly they fire."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import chosen_numbers
from interp_widgets.experiments.strongest import Spread, Stretches, Strongest
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.numbers import is_real, is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.reading import batch_tokens, read
from interp_widgets.models.texts import Batch, Corpus, Cutter, Window
from interp_widgets.results.errors import NonFiniteError
from interp_widgets.results.examples import ExamplesResult

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_EVERY = 0.25
"""Seconds after which a partial result is made anew: each holds a copy of all examples."""


@runs_remotely
def top_examples(
    model: ModelLike,
    features: Features,
    corpus: Corpus,
    *,
    k: int = 10,
    latents: Sequence[int] | int | None = None,
    site: str | None = None,
    layer: int | None = None,
    window: tuple[int, int] = (12, 6),
    bins: int = 40,
    threshold: float = 0.0,
    called: str = "your corpus",
    stride: int | None = None,
    max_tokens: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[ExamplesResult, None, ExamplesResult]:
    """Check the arguments at once, and return a generator that reads the corpus batch by batch.

    Arguments and errors are those of `run_top_examples`. The first partial result has nothing read. Every later one
    holds the examples found so far; between those that differ, which are made a few times a second, the last one is
    repeated.

    Yields:
        The result so far.
    """
    opened = open_model(model, tokenizer)
    cutter = Cutter(opened, stride)
    access = resolve(opened)
    dictionary = open_dictionary(features, access, site=site, layer=layer)
    for name, number, least in (("k", k, 1), ("bins", bins, 2), ("max_tokens", max_tokens, 1)):
        if not (is_whole(number) and number >= least) and not (number is None and name == "max_tokens"):
            raise ValueError(f"{name}={number!r} must be a whole number from {least} on.")
    if not (isinstance(window, Sequence) and len(window) == 2 and all(is_whole(n) and n >= 0 for n in window)):
        raise ValueError(f"window={window!r} must be two whole numbers: tokens before a peak, and after it.")
    if not (is_real(threshold) and math.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"threshold={threshold!r} must be a number from 0 on.")
    chosen = chosen_numbers(latents, "latents", dictionary.info.n_latents)
    plan = _Plan(
        latents=None if len(chosen) == dictionary.info.n_latents else torch.tensor(chosen),
        k=k,
        before=window[0],
        after=window[1],
        bins=bins,
        threshold=float(threshold),
        tokens=max_tokens or batch_tokens(access, dictionary.info.n_latents),
    )
    return _Search(access, cutter, dictionary, corpus, called, plan).steps()


@over(top_examples)
def run_top_examples(steps: Generator[ExamplesResult, None, ExamplesResult]) -> ExamplesResult:
    """Find the strongest examples of latents in a corpus, and how often and how strongly each fires.

    The corpus may be larger than memory: it is read once, and what is kept does not grow with it.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        features: the latents, as for `run_features`.
        corpus: documents as text or token ids: one, a list, or anything that hands them over one by one, such as a
            generator. Documents longer than the model's context are read in windows that overlap; see `stride`.
        k: how many examples to keep of each latent: at most one of each document, or of each window in a longer one.
        latents: which latents; all by default.
        site: where latents are read that do not say so themselves.
        layer: of that site, or of the neurons.
        window: how many tokens an example has before its peak and after it, as far as they were run together.
        bins: how many bins a histogram has at most. They are equally wide, and at least half of them are in use.
        threshold: a latent fires where the size of its activation is above this.
        called: what the corpus is called in results.
        stride: by how many tokens the windows of a long document lie apart; half the context by default, so that its
            tokens are run twice. A token sees at least `context - stride` tokens before it, or all that there are.
        max_tokens: most tokens that run in one batch; chosen to suit the device by default, and halved when memory
            runs out.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_features`; a generator cannot travel, so pass a list then.

    Returns:
        Examples, histograms and densities. After an interrupt or an error, also of what hands the documents over,
        `sys.last_value.partial` is what was found until then.

    Raises:
        PromptError: an empty document, text without a tokenizer, or token ids that the model does not have.
        NonFiniteError: NaN or infinity, with the layer where it appears.
        ModelError: a model that cannot be read.
        FeatureError: no latents, or latents that do not belong to the model.
        SiteError: a site that its architecture does not have.
        SelectionError: a layer or a latent that does not exist.

    Example:
        >>> from interp_widgets import run_top_examples, teaching
        >>> corpus = ["Mary and John went to the store.", "Tom has a dog."]
        >>> result = run_top_examples(teaching.load(), "neurons", corpus, layer=0, latents=7, k=1)
        >>> result.examples(7)[0].tokens.labels
        ('Tom', '␣h', 'as', '␣a', '␣dog', '.')

    References:
        Bricken et al. 2023, "Towards Monosemanticity: Decomposing Language Models With Dictionary Learning".
        Bills et al. 2023, "Language models can explain neurons in language models" (strongest examples).
        Bolukbasi et al. 2021, "An Interpretability Illusion for BERT", arXiv:2104.07143 (why the strongest examples
            alone mislead: look at the histogram too).
    """
    return finish(steps)


@dataclass(frozen=True)
class _Plan:
    """What is asked for, all of it checked."""

    latents: torch.Tensor | None
    """None for all of them."""
    k: int
    before: int
    after: int
    bins: int
    threshold: float
    tokens: int


class _Search:
    """A corpus on its way through a model: what was found so far."""

    def __init__(
        self, access: Access, cutter: Cutter, dictionary: Dictionary, corpus: Corpus, called: str, plan: _Plan
    ) -> None:
        self._access = access
        self._cutter = cutter
        self._dictionary = dictionary
        self._corpus = corpus
        self._called = called
        self._plan = plan
        self._count = dictionary.info.n_latents if plan.latents is None else len(plan.latents)
        self._kept = self._empty(torch.device("cpu"))
        self._maximum = np.zeros(self._count, np.float32)
        self._fires = np.zeros(self._count, np.int64)
        self._n_tokens = self._n_documents = 0
        self._complete = False
        self._vocab: dict[int, str] = {}
        self._labels = access.opened.labels
        self._ledger = Ledger(access.opened, {"latents": str(dictionary.info.reads)})
        self._last: tuple[float, ExamplesResult] | None = None

    def _empty(self, device: torch.device) -> tuple[Strongest, Spread]:
        plan, signed = self._plan, self._dictionary.info.signed
        return (
            Strongest(self._count, plan.k, plan.before, plan.after, device),
            Spread(self._count, plan.bins, signed=signed, device=device),
        )

    def steps(self) -> Generator[ExamplesResult, None, ExamplesResult]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        place = self._dictionary.info.reads
        try:
            for done in read(self._access, place, self._windows(), self._take, tokens=self._plan.tokens):
                self._ledger.passes += done.passes
                self._n_tokens += int(done.batch.taken.sum())
                self._n_documents += sum(window.offset + window.first == 0 for window in done.batch.windows)
                yield
        except Exception:
            self._last = None  # so that nothing is missing from the partial result that an error leaves
            yield
            raise
        self._complete = True

    def _windows(self) -> Iterator[Window]:
        for number, ids in enumerate(self._cutter.documents(self._corpus, "document")):
            yield from self._cutter.windows(ids, number)

    def _take(self, batch: Batch, there: torch.Tensor) -> None:
        """Encode what a batch has at the place, inside the trace, and keep what is stronger than what was there."""
        if not self._n_tokens:
            self._kept = self._empty(there.device)
        rows = self._encoded(batch, there)
        sizes, places = rows.peaks()
        if not bool(torch.isfinite(sizes).all()):
            raise NonFiniteError(
                f"Encoding with {self._dictionary.info.name} makes NaN or infinity of finite activations. Check its "
                "weights and their dtype."
            )
        fires = rows.activations.abs() > self._plan.threshold
        row, position, latent = (fires & rows.taken[..., None]).nonzero(as_tuple=True)
        strongest, spread = self._kept
        if self._dictionary.info.signed:
            spread = spread.with_negatives()  # an object's latents may turn out to be so late
        spread = spread.plus(latent, rows.activations[row, position, latent])
        strongest.add(rows, sizes, places, self._plan.threshold)
        self._kept = (strongest, spread)
        self._fires += torch.bincount(latent, minlength=self._count).cpu().numpy()
        self._extend(rows, sizes, places)

    def _encoded(self, batch: Batch, there: torch.Tensor) -> Stretches:
        latents, device = self._plan.latents, there.device
        encoded = self._dictionary.encode(there) if latents is None else self._dictionary.encode_some(there, latents)
        windows = batch.windows
        lengths, documents, offsets = (
            torch.tensor(numbers, device=device)
            for numbers in (
                [len(window.ids) for window in windows],
                [window.document for window in windows],
                [window.offset for window in windows],
            )
        )
        return Stretches(batch.ids.to(device), batch.taken.to(device), lengths, documents, offsets, encoded)

    def _extend(self, rows: Stretches, sizes: torch.Tensor, places: torch.Tensor) -> None:
        """Keep the activation of the largest size, with its sign."""
        row = sizes.argmax(0)
        latents = torch.arange(self._count, device=row.device)
        values = rows.activations[row, places[row, latents], latents].float().cpu().numpy()
        self._maximum = np.where(np.abs(values) > np.abs(self._maximum), values, self._maximum)

    def _result(self) -> ExamplesResult:
        now = time.perf_counter()
        if self._last is None or self._complete or now - self._last[0] > _EVERY:
            self._last = (now, self._snapshot())
        return self._last[1]

    def _snapshot(self) -> ExamplesResult:
        strongest, spread = self._kept
        if self._dictionary.info.signed:
            spread = spread.with_negatives()
        ids = strongest.ids.cpu().numpy().copy()
        activations = strongest.activations.cpu().numpy().copy()
        for token in np.unique(ids[ids >= 0]).tolist():
            if token not in self._vocab:
                self._vocab[token] = self._labels(token)
        count = self._plan.latents
        return ExamplesResult(
            dictionary=self._dictionary.info,
            latents=np.arange(self._count) if count is None else count.numpy(),
            strengths=activations[..., self._plan.before].copy(),
            documents=strongest.documents.cpu().numpy(),
            positions=strongest.positions.cpu().numpy(),
            ids=ids,
            activations=activations,
            before=self._plan.before,
            fires=self._fires.copy(),
            maximum=self._maximum.copy(),
            bins=spread.counts.cpu().numpy().copy(),
            widths=spread.widths.cpu().numpy(),
            threshold=self._plan.threshold,
            n_tokens=self._n_tokens,
            n_documents=self._n_documents,
            complete=self._complete,
            corpus=self._called,
            vocab=dict(self._vocab),
            provenance=self._ledger.provenance(),
        )
