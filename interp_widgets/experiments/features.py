"""Read latents on text: which fire, where, and how strongly."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.code_features import feature_code
from interp_widgets.experiments.concepts_of import concepts_of
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import chosen_numbers
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.fit import measure_fit
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.numbers import is_real, is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.reading import batch_tokens, read
from interp_widgets.models.texts import Batch, Cutter, Window, batches
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import Fit
from interp_widgets.results.errors import NonFiniteError
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_KEPT, _KEPT_IN_ALL = 32, 400_000
"""Of neurons and directions, which are on all the time, so many are kept of a token by default; more on short texts,
as long as no more than the second are kept in all."""
_FIT_TOKENS = 8192
"""Tokens on which it is measured how well a dictionary fits."""
_LOGITS = 2**26
"""Logits that are held at a time for that."""


@runs_remotely
def features(
    model: ModelLike,
    text: Prompts,
    features: Features,
    *,
    against: Prompts | None = None,
    site: str | None = None,
    layer: int | None = None,
    threshold: float = 0.0,
    latents: Sequence[int] | int | None = None,
    keep: int | None = None,
    fit: bool = True,
    names: Mapping[int, str] | Concepts | None = None,
    stride: int | None = None,
    max_tokens: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[FeatureResult, None, FeatureResult]:
    """Check the arguments at once, and return a generator that reads the texts batch by batch.

    Arguments and errors are those of `run_features`. The first partial result has the tokens and nothing read, each
    later one a batch more, and the last is returned. All are frozen.

    Yields:
        The result so far.
    """
    opened = open_model(model, tokenizer)
    cutter = Cutter(opened, stride)
    documents = list(cutter.documents(text, "text"))
    sides = ["text"] * len(documents)
    if against is not None:
        documents += cutter.documents(against, "against text")
        sides += ["against"] * (len(documents) - len(sides))
    access = resolve(opened)
    dictionary = open_dictionary(features, access, site=site, layer=layer)
    if not (is_real(threshold) and math.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"threshold={threshold!r} must be a number from 0 on.")
    for name, number in (("keep", keep), ("max_tokens", max_tokens)):
        if number is not None and not (is_whole(number) and number >= 1):
            raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")
    n_latents = dictionary.info.n_latents
    wanted = _Wanted(
        threshold=float(threshold),
        kept=keep or _kept_by_default(dictionary, sum(map(len, documents))),
        columns=() if latents is None else chosen_numbers(latents, "latents", n_latents),
        tokens=max_tokens or batch_tokens(access, n_latents),
        fit=fit,
    )
    labels = opened.labels
    texts = tuple(labels.tokens(ids) for ids in documents)
    concepts = concepts_of(dictionary, names)
    code = feature_code(access, features, dictionary.info, cutter, texts)
    return _Reading(access, cutter, dictionary, texts, tuple(sides), wanted, concepts, code).steps()


@over(features)
def run_features(steps: Generator[FeatureResult, None, FeatureResult]) -> FeatureResult:
    """Read the latents of a dictionary on text: which fire, where, and how strongly.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        text: text or token ids, or a list of either. Text is tokenised as the tokenizer does by default. Documents
            longer than the model's context are read in windows that overlap; see `stride`.
        features: the latents: a sparse autoencoder or a transcoder, as an object or a folder; any object with `encode`
            and `decode`; a matrix of directions, (direction, width); or "neurons".
        against: other text to compare with: see the ranking "difference".
        site: where latents are read that do not say so themselves.
        layer: of that site, or of the neurons.
        threshold: a latent fires where the size of its activation is above this.
        latents: latents to keep on every token, also where they are below the threshold: `FeatureResult.columns`.
        keep: most latents to keep of each token, its strongest. By default all that fire; of neurons and directions,
            which are on all the time, at least 32, and as many as make 400,000 in all. Statistics count every latent
            in any case.
        fit: whether to measure how well a sparse autoencoder or a transcoder stands for the model on the texts, their
            first 8,192 tokens or so. One that does not seem to belong there is warned of.
        names: what to call latents, by number, or `Concepts` with notes too, as `Concepts.load` reads them from a file;
            in front of names that the dictionary comes with.
        stride: by how many tokens the windows of a long document lie apart; half the context by default. A token sees
            at least `context - stride` tokens before it, or all that there are.
        max_tokens: most tokens that run in one batch; chosen to suit the device by default, and halved when memory
            runs out.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run: here by default, True for NDIF, the address of another server such as "https://host", or
            an nnsight `RemoteBackend`. The latents travel there; what fires comes back.

    Returns:
        Which latents fire on each token, and statistics of all latents. After an interrupt or an error,
        `sys.last_value.partial` is what was read until then.

    Raises:
        PromptError: empty text, text without a tokenizer, or token ids that the model does not have.
        NonFiniteError: NaN or infinity, with the layer where it appears.
        ModelError: a model that cannot be read.
        FeatureError: no latents, or latents that do not belong to the model.
        SiteError: a site that its architecture does not have.
        SelectionError: a layer or a latent that does not exist.
        ResultError: concepts that are about another dictionary.

    Example:
        >>> from interp_widgets import run_features, teaching
        >>> text = "When Mary and John went to the store, John gave a drink to"
        >>> result = run_features(teaching.load(), text, "neurons", layer=0)
        >>> [latent for latent, _ in result.ranked("max", 2)]
        [4, 414]

    References:
        Bricken et al. 2023, "Towards Monosemanticity: Decomposing Language Models With Dictionary Learning"
            (latents on text, their densities).
        Cunningham et al. 2023, "Sparse Autoencoders Find Highly Interpretable Features in Language Models",
            arXiv:2309.08600.
        Templeton et al. 2024, "Scaling Monosemanticity: Extracting Interpretable Features from Claude 3 Sonnet".
        Dunefsky et al. 2024, "Transcoders Find Interpretable LLM Feature Circuits", arXiv:2406.11944.
    """
    return finish(steps)


def _kept_by_default(dictionary: Dictionary, n_tokens: int) -> int | None:
    if not dictionary.info.signed:
        return None
    most = max(_KEPT, _KEPT_IN_ALL // max(1, n_tokens))
    return most if most < dictionary.info.n_latents else None


@dataclass(frozen=True)
class _Wanted:
    """What to keep of the latents, all of it checked."""

    threshold: float
    kept: int | None
    columns: tuple[int, ...]
    tokens: int
    fit: bool


@dataclass(frozen=True)
class _Sums:
    """Statistics over some tokens of one text."""

    text: int
    largest: torch.Tensor
    smallest: torch.Tensor
    total: torch.Tensor
    fires: torch.Tensor


@dataclass(frozen=True)
class _Found:
    """What leaves the trace of a batch."""

    rows: torch.Tensor
    """Which of the tokens that are taken fires, in rising order; with `latents` and `activations`, one entry each."""
    latents: torch.Tensor
    activations: torch.Tensor
    columns: torch.Tensor
    """(token, column)."""
    sums: list[_Sums]


class _Reading:
    """Texts on their way through a model: what was found so far."""

    def __init__(
        self,
        access: Access,
        cutter: Cutter,
        dictionary: Dictionary,
        texts: tuple[Tokens, ...],
        sides: tuple[str, ...],
        wanted: _Wanted,
        concepts: Concepts,
        code: str,
    ) -> None:
        self._access = access
        self._cutter = cutter
        self._dictionary = dictionary
        self._texts = texts
        self._sides = sides
        self._wanted = wanted
        self._concepts = concepts
        self._code = code
        self._begins = np.cumsum([0, *map(len, texts)])
        shape = (len(texts), dictionary.info.n_latents)
        self._maximum = np.zeros(shape, np.float32)
        self._total = np.zeros(shape, np.float64)
        self._fires = np.zeros(shape, np.int64)
        self._computed = np.zeros(self._begins[-1], np.bool_)
        self._columns = np.full((len(wanted.columns), self._begins[-1]), np.nan, np.float32)
        self._pieces: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]] = []
        self._fit: Fit | None = None
        self._ledger = Ledger(access.opened, {"latents": str(dictionary.info.reads)})

    def steps(self) -> Generator[FeatureResult, None, FeatureResult]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        for done in read(
            self._access, self._dictionary.info.reads, self._windows(), self._find, tokens=self._wanted.tokens
        ):
            self._ledger.passes += done.passes
            self._keep(done.batch, done.made)
            yield
        if self._wanted.fit and self._dictionary.info.kind in ("sae", "transcoder"):
            self._fit = self._measured()

    def _measured(self) -> Fit | None:
        """How well the dictionary fits on the first tokens; None of texts that are single tokens."""
        windows = [window for window in islice(self._windows(), _FIT_TOKENS) if len(window.ids) > 1]
        # The model says something at every position here, unlike where its latents are read.
        tokens = min(self._wanted.tokens, max(1, _LOGITS // self._access.n_vocab))
        ids, size = [], 0
        for batch in batches(windows, tokens, causal=False):
            if size < _FIT_TOKENS:
                ids.append(batch.ids.to(self._access.opened.device))
                size += batch.ids.numel()
        return measure_fit(self._access, self._dictionary, ids) if ids else None

    def _windows(self) -> Iterable[Window]:
        for number, text in enumerate(self._texts):
            yield from self._cutter.windows(text.ids, number)

    def _find(self, batch: Batch, there: torch.Tensor) -> _Found:
        """Encode what a batch has at the place, inside the trace, and keep what fires."""
        wanted = self._wanted
        activations = self._dictionary.encode(there[batch.taken.to(there.device)])
        sizes = activations.abs()
        fires = sizes > wanted.threshold
        sums, start = [], 0
        for text, windows in groupby(batch.windows, key=lambda window: window.document):
            stop = start + sum(window.stop - window.first for window in windows)
            own = activations[start:stop]
            total = own.sum(0, dtype=torch.float64 if own.device.type != "mps" else torch.float32)
            sums.append(_Sums(text, own.amax(0), own.amin(0), total, fires[start:stop].sum(0)))
            start = stop
        if wanted.kept is not None:
            strongest = sizes.topk(min(wanted.kept, sizes.shape[-1]), dim=-1).indices
            fires = fires & torch.zeros_like(fires).scatter_(-1, strongest, True)
        rows, latents = fires.nonzero(as_tuple=True)
        columns = activations[:, list(wanted.columns)]
        return _Found(rows, latents, activations[rows, latents], columns, sums)

    def _keep(self, batch: Batch, found: _Found) -> None:
        for sums in found.sums:
            total = sums.total.double().cpu().numpy()
            if not np.isfinite(total).all():
                raise NonFiniteError(
                    f"Encoding with {self._dictionary.info.name} makes NaN or infinity of finite activations, first in "
                    f"latent {int(np.flatnonzero(~np.isfinite(total))[0])}. Check its weights and their dtype."
                )
            largest, smallest = sums.largest.cpu().numpy(), sums.smallest.cpu().numpy()
            for extreme in (largest, smallest):
                before = self._maximum[sums.text]
                self._maximum[sums.text] = np.where(np.abs(extreme) > np.abs(before), extreme, before)
            self._total[sums.text] += total
            self._fires[sums.text] += sums.fires.cpu().numpy()
        tokens = np.concatenate(
            [
                np.arange(window.first, window.stop) + window.offset + self._begins[window.document]
                for window in batch.windows
            ]
        )
        self._computed[tokens] = True
        self._columns[:, tokens] = found.columns.cpu().numpy().T
        self._pieces.append(
            (
                tokens[found.rows.cpu().numpy()],
                found.latents.cpu().numpy().astype(np.int32),
                found.activations.float().cpu().numpy(),
            )
        )

    def _result(self) -> FeatureResult:
        tokens, latents, activations = self._firing()
        counts = np.bincount(tokens, minlength=len(self._computed))
        return FeatureResult(
            texts=self._texts,
            sides=self._sides,
            dictionary=self._dictionary.info,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            latents=latents,
            activations=activations,
            threshold=self._wanted.threshold,
            kept=self._wanted.kept,
            computed=self._computed.copy(),
            maximum=self._maximum.copy(),
            total=self._total.copy(),
            fires=self._fires.copy(),
            fit=self._fit,
            provenance=self._ledger.provenance(),
            columns={latent: column.copy() for latent, column in zip(self._wanted.columns, self._columns, strict=True)},
            names=self._concepts.names,
            notes=self._concepts.notes,
            code=self._code,
        )

    def _firing(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """All that fires, token by token: batches may come in another order."""
        if not self._pieces:
            return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        tokens, latents, activations = map(np.concatenate, zip(*self._pieces, strict=True))
        if (np.diff(tokens) < 0).any():
            order = np.argsort(tokens, kind="stable")
            tokens, latents, activations = tokens[order], latents[order], activations[order]
        self._pieces = [(tokens, latents, activations)]
        return tokens, latents, activations
