"""The logit lens: what a model would say of its stream at each layer and position."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.code_lens import lens_code
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Reader, chosen_numbers, parse_sites
from interp_widgets.models.access import Access, Runs, resolve
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.finite import check_finite
from interp_widgets.models.memory import Portions
from interp_widgets.models.numbers import as_plain, is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompt
from interp_widgets.models.tail import check_tail, tail
from interp_widgets.models.tuned_lens import Translators, TunedLensLike, open_translators
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import AnswerError, NonFiniteError, PromptError, SiteError
from interp_widgets.results.lens import LensResult
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

Cell: TypeAlias = "tuple[int, int]"
"""Row and position."""

_SITES: tuple[Site, ...] = ("resid_pre", "resid_mid", "resid_post")
_TOP = 5
"""Tokens of a cell that are kept by default, as long as all of them stay small enough."""
_BYTES = 16_000_000
"""How large a result may become by that default."""
_LOGITS_CPU, _LOGITS_GPU = 2**24, 2**27
"""Logits that are held at a time."""


@runs_remotely
def lens(
    model: ModelLike,
    prompt: Prompt,
    answers: Answers = None,
    *,
    corrupt: Prompt | None = None,
    sites: Site | Iterable[Site] = ("resid_post",),
    layers: Sequence[int] | int | None = None,
    top_k: int | None = None,
    tuned: TunedLensLike | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[LensResult, None, LensResult]:
    """Check the arguments at once, and return a generator that fills in cells.

    Arguments and errors are those of `run_lens`. Each partial result has more cells than the one before, and the last
    is returned. All are frozen.

    Yields:
        The result so far.
    """
    reader = Reader(model, tokenizer)
    opened = reader.opened
    prompts = _prompts(reader, prompt, corrupt)
    followed = _followed(answers, opened.tokenizer, opened.n_answers)
    if top_k is not None and not (is_whole(top_k) and 1 <= top_k <= opened.n_answers):
        raise ValueError(f"top_k={top_k!r} must be a whole number from 1 to {opened.n_answers}, or None.")
    chosen = parse_sites(sites)
    for site in chosen:
        if site not in _SITES:
            raise SiteError(
                f"{site} is not the stream, and what a model would say of a part of it alone is no prediction. Use "
                f"{', '.join(_SITES[:-1])} or {_SITES[-1]}; `run_attribution` tells what each part does to the answer."
            )
    numbers = chosen_numbers(layers, "layers", opened.config.num_hidden_layers)
    access = resolve(opened)
    for site in chosen:
        access.check_site(site)
    rows = _rows(chosen, numbers, access.n_layers)
    translators = None if tuned is None else open_translators(tuned, access)
    if translators is not None and "resid_mid" in chosen:
        raise SiteError(
            "A tuned lens has no translator for resid_mid. Use resid_pre or resid_post, or leave out tuned=."
        )
    code = lens_code(access, rows, tuned)
    return _Reading(access, prompts, followed, rows, top_k, translators, code).steps()


@over(lens)
def run_lens(steps: Generator[LensResult, None, LensResult]) -> LensResult:
    """Read the stream at each layer and position as if it were the last: the logit lens, or a tuned lens.

    What a cell says is made by the model's own last norm and unembedding, with whatever scale or cap the model has
    there, so that the last row is its prediction. Only a few numbers of each cell are kept, never its logits.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        prompt: text or token ids.
        answers: the tokens to follow, one or more, as text or ids; the model's own top prediction by default, that for
            either prompt where there are two.
        corrupt: a second prompt with as many tokens, to compare with the first; see `LensResult.difference`.
        sites: where in each layer to read the stream: resid_pre, resid_mid (between attention and MLP) or resid_post.
        layers: layers to read, negative ones counted from the end; all by default. The embedding and the last layer's
            stream are always read.
        top_k: how many of the most probable tokens to keep in each cell. By default 5, and fewer where a long prompt
            would make the result larger than 16 MB.
        tuned: a tuned lens, which moves each layer's stream to the basis of the last: what `train_tuned_lens` returns,
            a folder as that or the library `tuned_lens` saves it, or an object of that library's class `TunedLens`. Its
            translator of a layer reads what enters that layer. With `remote`, a folder where the model runs.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`; the numbers of cells come back.

    Returns:
        Top tokens, entropy and divergence from the model's own prediction in each cell, and probability and rank of the
        tokens that are followed. After an interrupt or an error, `sys.last_value.partial` is what was read until then.

    Raises:
        PromptError: not one prompt, a corrupt one of another length, text without a tokenizer, or unknown ids.
        AnswerError: an answer that is not one token.
        NonFiniteError: NaN or infinity, with the place where it appears.
        ModelError: a model whose stream says nothing by itself, or a tuned lens of another model.
        SiteError: a site that is not the stream, or that the architecture does not have.
        SelectionError: a layer that does not exist.

    Example:
        >>> from interp_widgets import run_lens, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> result = run_lens(teaching.load(), pair.clean, [pair.answer, pair.wrong_answer])
        >>> result.labels[0], result.labels[-1]
        ('embedding', 'resid_post 3')
        >>> result.value("rank", answer=0)[0, -1, -1].item()
        0.0

    References:
        nostalgebraist 2020, "interpreting GPT: the logit lens".
        Belrose et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens", arXiv:2303.08112
            (translators; KL divergence from the model's own prediction).
    """
    return finish(steps)


def _prompts(reader: Reader, prompt: Prompt, corrupt: Prompt | None) -> tuple[Tokens, ...]:
    if corrupt is None:
        prompts = reader.prompts(prompt, "given")
    else:
        pairs = reader.pairs(prompt, corrupt, aligned=True)
        prompts = (pairs[0].clean, pairs[0].corrupt) if len(pairs) == 1 else tuple(pair.clean for pair in pairs)
    if len(prompts) != (1 if corrupt is None else 2) or (corrupt is not None and len(pairs) != 1):
        raise PromptError(f"{len(prompts)} prompts were given, but a lens reads one, or one and a corrupt one.")
    return prompts


def _followed(answers: Answers, tokenizer: Any | None, n_vocab: int) -> tuple[int, ...]:
    plain = as_plain(answers)
    listed = isinstance(plain, Sequence) and not isinstance(plain, (str, bytes, bytearray))
    if listed and not plain:
        raise AnswerError("answers is empty. Name at least one token, or leave it out for the model's own prediction.")
    parsed = parse_answers(answers, "answers", len(plain) if listed else 1, tokenizer=tokenizer, n_vocab=n_vocab)
    return tuple(dict.fromkeys(token for token in parsed if token is not None))


def _rows(sites: Sequence[Site], layers: Sequence[int], n_layers: int) -> tuple[Place, ...]:
    """Name each place once, in the order in which the model reaches them."""
    wanted = {(layer + (site == "resid_post"), site == "resid_mid") for layer in layers for site in sites}
    places = sorted(wanted | {(0, False), (n_layers, False)})
    return tuple(
        Place("resid_mid", layer) if mid else Place("resid_post", layer - 1) if layer else Place("resid_pre", 0)
        for layer, mid in places
    )


_Found: TypeAlias = "dict[str, NDArray[Any]]"
"""What is kept of some cells, by the names of a result's arrays; each with the axes prompt, or comparison, and cell."""


class _Reading:
    """Prompts on their way through a lens: what was read so far."""

    def __init__(
        self,
        access: Access,
        prompts: tuple[Tokens, ...],
        followed: tuple[int, ...],
        rows: tuple[Place, ...],
        top_k: int | None,
        translators: Translators | None,
        code: Mapping[str, str],
    ) -> None:
        self._access = access
        self._prompts = prompts
        self._answers = followed
        self._rows = rows
        self._top_k = top_k
        self._translators = translators
        self._code = code
        self._labels = access.opened.answer_labels
        self._lens = "logit lens" if translators is None else f"tuned lens {translators.name}"
        self._ledger = Ledger(access.opened, {"lens": self._lens})
        self._kept: dict[str, NDArray[Any]] = {}
        self._vocab: dict[int, str] = {}
        on_cpu = access.opened.device.type == "cpu"
        held = (_LOGITS_CPU if on_cpu else _LOGITS_GPU) // access.opened.n_answers
        self._portions = Portions(max(1, held // len(prompts)))

    def steps(self) -> Generator[LensResult, None, LensResult]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        ids = torch.tensor([tokens.ids for tokens in self._prompts], device=self._access.opened.device)
        runs = self._run(ids)
        self._begin(runs.logits)
        yield
        streams = [self._stream(runs, place) for place in self._rows]
        length = len(self._prompts[0])
        # Every cell of a position is compared with the model's own prediction there, which is held meanwhile.
        step = max(1, self._portions.most // 4)
        for first in range(0, length, step):
            positions = range(first, min(first + step, length))
            with torch.no_grad():
                own = [
                    tail(self._access, row, last[positions.start : positions.stop]).softmax(-1)
                    for row, last in zip(ids, streams[-1], strict=True)
                ]
            for cells, found in self._read(ids, streams, positions, own):
                self._keep(cells, found)
                yield

    def _run(self, ids: torch.Tensor) -> Runs:
        access, opened = self._access, self._access.opened
        with torch.no_grad():
            runs = access.read(ids, ["resid_mid"] if any(place.site == "resid_mid" for place in self._rows) else [])
            self._ledger.passes += len(ids)
            check_finite(runs.stream, runs.logits, opened.name, opened.dtype)
            check_tail(access, ids[0], runs.stream[-1][0, -1], runs.logits[0])
        return runs

    def _stream(self, runs: Runs, place: Place) -> torch.Tensor:
        assert place.site != "mlp_in"  # no row is one
        last = runs.stream[-1]
        stream = runs.site(place.site, place.layer).to(last.device)
        entered = place.layer + (place.site == "resid_post")
        if self._translators is None or entered == self._access.n_layers:
            return stream
        return self._translators(entered, stream)

    def _begin(self, logits: torch.Tensor) -> None:
        """Make room for what will be read; it is known by now what the model says, if that is to be followed."""
        if not self._answers:
            self._answers = tuple(dict.fromkeys(logits.argmax(-1).tolist()))
        shape = len(self._prompts), len(self._rows), len(self._prompts[0])
        n_answers, cells = len(self._answers), int(np.prod(shape))
        fits = (_BYTES // cells - 12 - 8 * n_answers) // 8
        k = self._top_k or max(1, min(_TOP, fits, logits.shape[-1]))
        self._kept = {
            "logprobs": np.full((*shape, n_answers), np.nan, np.float32),
            "ranks": np.full((*shape, n_answers), np.nan, np.float32),
            "entropy": np.full(shape, np.nan, np.float32),
            "kl": np.full(shape, np.nan, np.float32),
            "log_sums": np.full(shape, np.nan, np.float32),
            "apart": np.full((shape[0] - 1, *shape[1:]), np.nan, np.float32),
            "top_ids": np.full((*shape, k), -1, np.int32),
            "top_probs": np.full((*shape, k), np.nan, np.float32),
        }

    def _read(
        self, ids: torch.Tensor, streams: Sequence[torch.Tensor], positions: range, own: Sequence[torch.Tensor]
    ) -> Generator[tuple[Sequence[Cell], _Found], None, None]:
        k = self._kept["top_ids"].shape[-1]
        certainty = [-torch.special.entr(probs).sum(-1) for probs in own]

        @torch.no_grad()
        def run(cells: Sequence[Cell]) -> _Found:
            places = [position - positions.start for _, position in cells]
            found, said = [], []
            for prompt in range(len(ids)):
                there = torch.stack([streams[row][prompt, position] for row, position in cells])
                logits = tail(self._access, ids[prompt], there)
                said.append(logits.log_softmax(-1))
                found.append(_reduced(logits, own[prompt][places], certainty[prompt][places], self._answers, k))
            kept = {name: np.stack([one[name] for one in found]) for name in found[0]}
            if not (finite := np.isfinite(kept["entropy"]).all(0)).all():
                row, position = cells[int(np.argmin(finite))]
                raise NonFiniteError(
                    f"The {self._lens} makes NaN or infinity of the finite stream at {self._rows[row]}, position "
                    f"{position}. Try a wider dtype than {self._access.opened.dtype}."
                )
            apart = [_dot(said[0].exp(), said[0] - other).clamp_min(0).cpu().numpy() for other in said[1:]]
            return {**kept, "apart": np.array(apart, np.float32).reshape(len(apart), len(cells))}

        yield from self._portions([(row, place) for row in range(len(streams)) for place in positions], run)

    def _keep(self, cells: Sequence[Cell], found: _Found) -> None:
        rows, positions = np.array(cells).T
        for name, kept in self._kept.items():
            kept[:, rows, positions] = found[name]
        for token in np.unique(found["top_ids"]).tolist():
            if token not in self._vocab:
                self._vocab[token] = self._labels(token)

    def _result(self) -> LensResult:
        return LensResult(
            prompts=self._prompts,
            answers=tuple(map(self._labels.token, self._answers)),
            rows=self._rows,
            lens=self._lens,
            **{name: kept.copy() for name, kept in self._kept.items()},
            vocab=dict(self._vocab),
            provenance=self._ledger.provenance(),
            code=self._code,
        )


def _reduced(
    logits: torch.Tensor, own: torch.Tensor, certainty: torch.Tensor, answers: Sequence[int], k: int
) -> dict[str, NDArray[Any]]:
    """Keep of logits, (cell, d_vocab), a few numbers a cell.

    Args:
        logits: what is said in each cell.
        own: the model's own probabilities there, (cell, d_vocab).
        certainty: their negative entropy, (cell,).
        answers: the tokens that are followed.
        k: how many of the most probable tokens to keep.
    """
    logprobs = logits.log_softmax(-1)
    probs = logprobs.exp()
    top = probs.topk(k)
    # As `results.terms` defines it: tokens that are more likely, and half of those that are as likely.
    ahead = [(logits - logits[:, token, None]).sign_().sum(-1) for token in answers]
    ranks = (logits.shape[-1] - 1 + torch.stack(ahead, dim=-1)) / 2
    found = {
        "logprobs": logprobs[:, list(answers)],
        "ranks": ranks,
        "entropy": -_dot(probs, logprobs),
        "kl": (certainty - _dot(own, logprobs)).clamp_min(0),
        "log_sums": logits.logsumexp(-1),
        "top_ids": top.indices.int(),
        "top_probs": top.values,
    }
    return {name: value.cpu().numpy() for name, value in found.items()}


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The dot product of each row with its counterpart; NaN and infinity in either show."""
    return torch.einsum("cv,cv->c", left, right)
