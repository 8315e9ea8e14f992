"""Direct logit attribution: what each component adds to a logit difference by itself."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.attribution_parts import check_head, check_neurons, head_sources, neuron_parts
from interp_widgets.experiments.code_attribution import attribution_code
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Reader, check_answers, chosen_numbers
from interp_widgets.models.access import Access, Runs, resolve
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.direct import answer_readers
from interp_widgets.models.finite import check_finite
from interp_widgets.models.numbers import as_plain, is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.straight import Straight
from interp_widgets.models.tail import check_tail
from interp_widgets.models.writers import Writers
from interp_widgets.results.attribution import AttributionResult, Component
from interp_widgets.results.attribution_parts import HeadSources, NeuronParts
from interp_widgets.results.errors import AnswerError, SelectionError
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_NUMBERS = 2**24
"""Numbers that are held at a time: logits, and heads side by side."""


@runs_remotely
def direct_attribution(
    model: ModelLike,
    prompt: Prompts,
    answer: Answers = None,
    wrong_answer: Answers = None,
    *,
    positions: Sequence[int] | int | None = -1,
    by_source: Sequence[tuple[int, int]] = (),
    neurons: Sequence[int] | int = (),
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[AttributionResult, None, AttributionResult]:
    """Check the arguments at once, and return a generator that takes one prompt apart after the other.

    Arguments and errors are those of `run_attribution`. Each partial result has more than the one before, and the last
    is returned. All are frozen.

    Yields:
        The result so far.
    """
    reader = Reader(model, tokenizer)
    opened = reader.opened
    prompts = reader.prompts(prompt, "given")
    answers, wrong_answers = (
        parse_answers(given, name, len(prompts), tokenizer=opened.tokenizer, n_vocab=opened.n_answers)
        for given, name in ((answer, "answer"), (wrong_answer, "wrong_answer"))
    )
    check_answers(answers, wrong_answers, opened.answer_labels)
    if len({token is None for token in wrong_answers}) > 1:
        raise AnswerError("Some prompts have a wrong answer and others have none. Give one for each prompt, or none.")
    targets = _targets(prompts, positions)
    access = resolve(opened)
    wanted = _Wanted(_heads(access, by_source), _layers(access, neurons))
    return _Taking(access, prompts, (answers, wrong_answers), targets, wanted).steps()


@over(direct_attribution)
def run_attribution(steps: Generator[AttributionResult, None, AttributionResult]) -> AttributionResult:
    """Say what each component adds to a logit difference directly: direct logit attribution.

    Embeddings, heads, MLPs and biases each add a vector to the stream. With the size that the last norm divides by held
    at what it is in this run, logits are linear in the stream, so that what each vector does to them by itself adds up
    to the model's own logit difference. A head's part goes through its rows of the output projection, and where a norm
    stands behind attention through that norm, its size held too. What later layers make of what a component writes
    counts as theirs: patch to see it (`run_patching`, `run_path_patching`).

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        prompt: text or token ids, or a list of either; over many prompts see `AttributionResult.interval`.
        answer: the token whose logit is taken apart, as text or id; one for all prompts, or one for each. The model's
            own top prediction at the end of a prompt where not given.
        wrong_answer: the token whose logit is taken off, in the same way. By default the mean over the vocabulary.
        positions: the positions whose predictions are taken apart, one or more; None for all. By default the last one
            of each prompt; several prompts of unequal lengths take positions from the end.
        by_source: heads, as pairs of layer and number, of which to tell what they bring from each token that they
            attend to: see `AttributionResult.sources`.
        neurons: layers of whose MLPs to tell what each neuron contributes: see `AttributionResult.neurons`.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`; the contributions come back.

    Returns:
        The contributions of all components. What the neurons of MLPs promote, and what fires them, tells
        `run_memories`. After an interrupt or an error, `sys.last_value.partial` is what was computed until then.

    Raises:
        PromptError: no text, text without a tokenizer, or token ids that the model does not have.
        AnswerError: an answer that is not one token, or the same as the wrong answer.
        NonFiniteError: NaN or infinity, with the layer where it appears.
        ModelError: a model whose logits are no sum of what components do to them, even with its norms held fixed, such
            as Gemma 2, which caps them.
        SiteError: an architecture whose attention and MLPs were not found, or `neurons` of a mixture of experts.
        SelectionError: a position, a head or a layer that does not exist.

    Example:
        >>> from interp_widgets import run_attribution, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> result = run_attribution(teaching.load(), pair.clean, pair.answer, pair.wrong_answer)
        >>> abs(result.unexplained).max().item() < 1e-4
        True

    References:
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (the stream as a sum, direct paths).
        Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593 (direct effects on a logit difference).
        Nanda 2022, "Exploratory Analysis Demo" of TransformerLens (direct logit attribution, accumulated and by head).
        nostalgebraist 2020, "interpreting GPT: the logit lens" (the same readout of the whole stream: `run_lens`).
    """
    return finish(steps)


def _targets(prompts: Sequence[Tokens], positions: Sequence[int] | int | None) -> NDArray[np.int32]:
    """Find the positions in each prompt, (prompt, target)."""
    lengths = {len(tokens) for tokens in prompts}
    if len(lengths) == 1:
        return np.array([chosen_numbers(positions, "positions", len(tokens)) for tokens in prompts], np.int32)
    if is_whole(positions) and int(positions) < 0:
        return np.array([chosen_numbers(positions, "positions", len(tokens)) for tokens in prompts], np.int32)
    raise SelectionError(
        f"The prompts have from {min(lengths)} to {max(lengths)} tokens, so positions={positions!r} means something "
        "else in each. Give one that counts from the end, such as -1, or prompts of equal length."
    )


def _heads(access: Access, by_source: object) -> tuple[tuple[int, int], ...]:
    """Check heads that are named by layer and number."""
    found = []
    if not isinstance(by_source, Iterable) or isinstance(by_source, (str, bytes)):
        raise SelectionError(f"by_source={by_source!r} is no list of heads. Name them, such as [(9, 6)].")
    for pair in by_source:
        place = tuple(as_plain(pair)) if isinstance(as_plain(pair), (tuple, list)) else ()
        if not (len(place) == 2 and all(map(is_whole, place))):
            raise SelectionError(f"by_source holds {pair!r}. Name heads by layer and number, such as [(9, 6)].")
        layer, head = (int(number) for number in place)
        check_head(access, layer, head)
        found.append((layer, head))
    return tuple(dict.fromkeys(found))


def _layers(access: Access, neurons: Sequence[int] | int) -> tuple[int, ...]:
    """Check layers whose neurons are asked for."""
    plain = as_plain(neurons)
    if isinstance(plain, (tuple, list)) and not plain:
        return ()
    layers = chosen_numbers(neurons, "neurons", access.n_layers)
    for layer in layers:
        check_neurons(access, layer)
    return layers


@dataclass(frozen=True)
class _Wanted:
    """What is taken further apart once all prompts are."""

    heads: tuple[tuple[int, int], ...]
    layers: tuple[int, ...]


class _Taking:
    """Prompts that are being taken apart, one after the other."""

    def __init__(
        self,
        access: Access,
        prompts: tuple[Tokens, ...],
        answers: tuple[tuple[int | None, ...], tuple[int | None, ...]],
        targets: NDArray[np.int32],
        wanted: _Wanted,
    ) -> None:
        self._access = access
        self._prompts = prompts
        self._answers = list(answers[0])
        self._wrong_answers = answers[1]
        self._targets = targets
        self._wanted = wanted
        self._sources: dict[tuple[int, int], HeadSources] = {}
        self._neurons: dict[int, NeuronParts] = {}
        self._straight = Straight(access)
        self._writers = Writers(access, self._straight)
        self._labels = access.opened.answer_labels
        self._ledger = Ledger(access.opened, {"norms": "held at what they divide by in each run"})
        self._components: tuple[Component, ...] = ()
        self._code: dict[str, str] = {}
        self._contributions: list[NDArray[np.float32]] = []
        self._logits = np.full(targets.shape, np.nan)
        self._scales = np.full(targets.shape, np.nan)

    def steps(self) -> Generator[AttributionResult, None, AttributionResult]:
        return self._ledger.steps(self._work(), self._result)

    @torch.no_grad()
    def _work(self) -> Generator[None, None, None]:
        for number in range(len(self._prompts)):
            self._take_apart(number)
            yield
        whole = self._result()
        for layer, head in self._wanted.heads:
            for sources in head_sources(self._access, self._straight, whole, layer, head):
                self._sources[layer, head] = sources
                yield
            self._ledger.passes += 2 * len(self._prompts)
        for layer in self._wanted.layers:
            for neurons in neuron_parts(self._access, self._straight, whole, layer):
                self._neurons[layer] = neurons
                yield
            self._ledger.passes += len(self._prompts)

    def _take_apart(self, number: int) -> None:
        access, opened = self._access, self._access.opened
        ids = torch.tensor([self._prompts[number].ids], device=opened.device)
        runs = access.read(ids, self._writers.sites)
        self._ledger.passes += 1
        check_finite(runs.stream, runs.logits, opened.name, opened.dtype)
        check_tail(access, ids[0], runs.stream[-1][0, -1], runs.logits[0])
        if self._answers[number] is None:
            self._answers[number] = self._own_answer(runs.logits[0], self._wrong_answers[number])
        step = self._positions_at_once()
        found = [
            self._contributed(number, ids, runs, slice(first, first + step))
            for first in range(0, self._targets.shape[1], step)
        ]
        self._contributions.append(np.concatenate(found))

    def _contributed(self, number: int, ids: torch.Tensor, runs: Runs, some: slice) -> NDArray[np.float32]:
        """Take some of a prompt's targets apart, (target, component)."""
        answer, wrong_answer = self._answers[number], self._wrong_answers[number]
        assert answer is not None  # by now the model's own
        positions = self._targets[number, some].tolist()
        readers = answer_readers(
            self._access, self._straight, ids[0], runs.stream[-1][0, positions], answer, wrong_answer
        )
        self._logits[number, some] = readers.logits.cpu().numpy()
        self._scales[number, some] = readers.sizes.cpu().numpy()
        reader = readers.directions
        components, contributions = [], []
        for written in self._writers.written(runs, ids, 0, positions):
            components.append(written.component)
            contributions.append((written.added.to(reader.device) * reader).sum(-1).cpu().numpy())
        self._components = (*components, Component("last biases", "bias"))
        self._code = self._code or attribution_code(self._access, self._straight, self._components, readers.factor)
        return np.stack([*contributions, readers.biases.cpu().numpy()], axis=-1)

    def _own_answer(self, logits: torch.Tensor, wrong_answer: int | None) -> int:
        """What the model says, or would say next after the wrong answer."""
        first, second = logits.topk(2).indices.tolist()
        return int(second if first == wrong_answer else first)

    def _positions_at_once(self) -> int:
        access = self._access
        heads = (access.n_heads or 1) ** 2 * (access.d_head or 1)
        return max(1, _NUMBERS // max(access.opened.n_answers, heads))

    def _result(self) -> AttributionResult:
        shape = (*self._targets.shape, len(self._components))
        contributions = np.full(shape, np.nan, np.float32)
        if self._contributions:
            contributions[: len(self._contributions)] = self._contributions
        # Of a prompt that was not run yet it may not be known what the model says.
        answers = [Token(-1, "?") if token is None else self._labels.token(token) for token in self._answers]
        return AttributionResult(
            prompts=self._prompts,
            answers=tuple(answers),
            wrong_answers=tuple(None if token is None else self._labels.token(token) for token in self._wrong_answers),
            components=self._components,
            targets=self._targets,
            contributions=contributions,
            logits=self._logits.copy(),
            scales=self._scales.copy(),
            provenance=self._ledger.provenance(),
            sources=dict(self._sources),
            neurons=dict(self._neurons),
            code=self._code,
        )
