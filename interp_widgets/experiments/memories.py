"""Take a prediction apart into what each neuron of the MLPs adds to it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.latent_cards import strongest_tokens, with_examples, with_last
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Reader, check_answers, chosen_numbers
from interp_widgets.experiments.top_examples import top_examples
from interp_widgets.models.access import Access, Runs, resolve
from interp_widgets.models.answers import Answer, parse_answers
from interp_widgets.models.dictionaries.neurons import Neurons
from interp_widgets.models.direct import Readout, contrast_of, readout, terms
from interp_widgets.models.finite import check_finite
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompt
from interp_widgets.models.straight import Straight
from interp_widgets.models.texts import Corpus
from interp_widgets.results.errors import PromptError, SelectionError
from interp_widgets.results.examples import ExamplesResult
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.memories import MemoriesResult, Memory, Part
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

Search: TypeAlias = "Callable[[int, Sequence[int]], Generator[ExamplesResult, None, ExamplesResult]]"
"""Looks for what fires some neurons of a layer."""


@runs_remotely
def memories(
    model: ModelLike,
    prompt: Prompt,
    answer: Answer | None = None,
    wrong_answer: Answer | None = None,
    *,
    layers: Sequence[int] | int | None = None,
    position: int = -1,
    top: int = 10,
    corpus: Corpus | None = None,
    n: int = 10,
    k: int = 10,
    called: str = "your corpus",
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[MemoriesResult, None, MemoriesResult]:
    """Check the arguments at once, and return a generator that fills in keys.

    Arguments and errors are those of `run_memories`. The first partial result has everything but keys, each later one
    those found so far, and the last is returned. All are frozen.

    Yields:
        The result so far.
    """
    reader = Reader(model, tokenizer)
    prompts = reader.prompts(prompt, "prompt")
    if len(prompts) != 1:
        raise PromptError(f"{len(prompts)} prompts were given, but one prediction is taken apart. Pass one of them.")
    opened = reader.opened
    right, wrong = (
        parse_answers(given, name, 1, tokenizer=opened.tokenizer, n_vocab=opened.n_answers)
        for given, name in ((answer, "answer"), (wrong_answer, "wrong_answer"))
    )
    check_answers(right, wrong, opened.answer_labels)
    for name, number in (("top", top), ("n", n), ("k", k)):
        if not (is_whole(number) and number >= 1):
            raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")
    chosen = chosen_numbers(layers, "layers", opened.config.num_hidden_layers)
    if not is_whole(position):
        raise SelectionError(f"position={position!r} must be one position, such as -1 for the last.")
    (at,) = chosen_numbers(position, "position", len(prompts[0]))
    access = resolve(opened)
    access.check_site("mlp_post")
    if at + 1 < len(prompts[0]) and not access.causal:
        raise SelectionError(
            f"position={position} is not the last one, and positions of {opened.name} see what comes after them. Cut "
            "the prompt where you want its prediction."
        )
    # Nothing that comes after a position takes part in its prediction.
    tokens = Tokens(prompts[0].ids[: at + 1], prompts[0].labels[: at + 1])
    wanted = _Wanted(tokens, right[0], wrong[0], chosen, top, n)
    if corpus is None:
        return _Taking(access, wanted, "", None).steps()
    documents: Corpus = list(corpus) if isinstance(corpus, Iterator) else corpus

    def search(layer: int, neurons: Sequence[int]) -> Generator[ExamplesResult, None, ExamplesResult]:
        return top_examples(
            model, "neurons", documents, k=k, latents=neurons, layer=layer, called=called, tokenizer=tokenizer
        )

    return _Taking(access, wanted, called, search).steps()


@over(memories)
def run_memories(steps: Generator[MemoriesResult, None, MemoriesResult]) -> MemoriesResult:
    """Take a prediction apart into what each neuron of the MLPs adds to it: MLPs as key-value memories.

    A neuron's key is what fires it, and its value is its row of the MLP's last projection: what it adds to the stream,
    and so to the logits, when it fires. What a neuron does directly to the answer's logit is its activation times its
    value, seen through the last norm, held at what it divides by at this position, and the unembedding. What embedding,
    attention and MLPs do so adds up to the logit; later layers that read what a neuron writes do their own.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        prompt: text or token ids, whose next token is predicted.
        answer: the token whose logit is taken apart, as text or an id; the model's own top prediction by default.
        wrong_answer: a token to compare it with: the difference of the two logits is taken apart. By default the
            answer's logit is compared with the mean over the vocabulary.
        layers: whose neurons to look at; all by default.
        position: where in the prompt the prediction is made; the last by default.
        top: how many neurons to name, those with the largest contributions by size.
        corpus: where to look for the keys of these neurons, as for `run_top_examples`: it is read once for each layer
            that has any, so that a generator is kept as a list. Examples are those where a neuron's activation is
            largest by size; that of a neuron with a gate may have the other sign there.
        n: how many tokens to name that each neuron's value promotes and suppresses.
        k: how many examples to keep of each neuron.
        called: what the corpus is called.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_features`; a generator cannot travel, so pass a list then.

    Returns:
        The contributions of all components, and of the neurons by themselves. After an interrupt or an error,
        `sys.last_value.partial` is what was found until then.

    Raises:
        PromptError: no text, several, text without a tokenizer, or token ids that the model does not have.
        AnswerError: an answer that is not one token, or the same as the wrong answer.
        NonFiniteError: NaN or infinity, with the layer where it appears.
        ModelError: a model that cannot be read, or whose logits are no sum of what components do to them, such as
            those of Gemma 2, which it caps.
        FeatureError: what an MLP adds is not linear in its neurons.
        SiteError: the architecture has no neurons, as in a mixture of experts.
        SelectionError: a layer or a position that does not exist.

    References:
        Geva et al. 2021, "Transformer Feed-Forward Layers Are Key-Value Memories", arXiv:2012.14913 (keys, values).
        Geva et al. 2022, "Transformer Feed-Forward Layers Build Predictions by Promoting Concepts in the Vocabulary
            Space", arXiv:2203.14680 (values as tokens that they promote, predictions that change layer by layer).
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (direct paths to the logits).
        nostalgebraist 2020, "interpreting GPT: the logit lens".

    Example:
        >>> from interp_widgets import run_memories, teaching
        >>> result = run_memories(teaching.load(), "The Silver Tower is in the city of", " Madrid", " Rome")
        >>> result.memories[0].name, result.parts[-1].top.label
        ('3.388', '␣Madrid')
        >>> abs(result.total - result.logit) < 1e-4
        True
    """
    return finish(steps)


@dataclass(frozen=True)
class _Wanted:
    """What is asked for, all of it checked."""

    tokens: Tokens
    answer: int | None
    wrong_answer: int | None
    layers: tuple[int, ...]
    top: int
    n: int


@dataclass(frozen=True)
class _Layer:
    """The neurons of a layer on the prompt, (neuron,), and the contribution of the MLP's biases."""

    activations: NDArray[np.float32]
    contributions: NDArray[np.float32]
    bias: float


class _Taking:
    """A prediction that is being taken apart."""

    def __init__(self, access: Access, wanted: _Wanted, corpus: str, search: Search | None) -> None:
        self._access = access
        self._wanted = wanted
        self._corpus = corpus
        self._search = search
        self._straight = Straight(access)
        self._labels = access.opened.answer_labels
        self._ledger = Ledger(access.opened, {"contributions": "direct, with the last norm held fixed"})
        self._found: MemoriesResult | None = None

    def steps(self) -> Generator[MemoriesResult, None, MemoriesResult]:
        return self._ledger.steps(self._work(), self._result)

    def _result(self) -> MemoriesResult:
        assert self._found is not None
        return replace(self._found, provenance=self._ledger.provenance())

    def _work(self) -> Generator[None, None, None]:
        found = self._found = self._apart()
        if self._search is None:
            return
        for layer in sorted({memory.layer for memory in found.memories}):
            yield
            before = self._ledger.passes
            for examples in with_last(self._search(layer, [m.neuron for m in found.memories if m.layer == layer])):
                memories = (
                    replace(memory, card=with_examples(memory.card, examples)) if memory.layer == layer else memory
                    for memory in found.memories
                )
                found = self._found = replace(found, memories=tuple(memories))
                self._ledger.passes = before + examples.provenance.forward_passes
                yield
        self._found = replace(found, complete=True)

    @torch.no_grad()
    def _apart(self) -> MemoriesResult:
        """Run the prompt, and take its prediction apart."""
        access, wanted = self._access, self._wanted
        runs = self._run()
        held = readout(access, self._straight, runs.stream[-1][0, -1], runs.logits[0])
        logits = runs.logits[0].to(held.biases.device)
        answer = self._answer(logits)
        contrast = contrast_of(logits, answer, wanted.wrong_answer)
        reader = held.reader(contrast)
        layers = [self._neurons(layer, runs, reader) for layer in wanted.layers]
        contributions = np.stack([layer.contributions for layer in layers])
        activations = np.stack([layer.activations for layer in layers])
        return MemoriesResult(
            tokens=wanted.tokens,
            answer=self._labels.token(answer),
            wrong_answer=None if wanted.wrong_answer is None else self._labels.token(wanted.wrong_answer),
            logit=float(logits @ contrast),
            parts=self._parts(runs, held, reader, contrast, answer),
            layers=wanted.layers,
            activations=activations,
            contributions=contributions,
            biases=np.array([layer.bias for layer in layers], np.float32),
            memories=self._memories(activations, contributions),
            corpus=self._corpus,
            complete=self._search is None,
            provenance=self._ledger.provenance(),
        )

    def _run(self) -> Runs:
        access, opened = self._access, self._access.opened
        sites: tuple[Site, ...] = ("attn_out", "mlp_out", "mlp_post")
        ids = torch.tensor([self._wanted.tokens.ids], device=opened.device)
        runs = access.read(ids, [site for site in sites if access.missing(site) is None])
        self._ledger.passes += 1
        check_finite(runs.stream, runs.logits, opened.name, opened.dtype)
        return runs

    def _answer(self, logits: torch.Tensor) -> int:
        """The answer that was given, else what the model says, or would say next after the wrong answer."""
        if self._wanted.answer is not None:
            return self._wanted.answer
        wrong = self._wanted.wrong_answer
        own = logits.topk(2).indices.tolist()
        return int(own[1] if own[0] == wrong else own[0])

    def _parts(
        self, runs: Runs, held: Readout, reader: torch.Tensor, contrast: torch.Tensor, answer: int
    ) -> tuple[Part, ...]:
        parts = terms(self._access, runs, 0, -1)
        added = torch.stack([term.added.to(reader.device) for term in parts])
        # Biases are always there: they are in what the model would say at every part, and so the last changes nothing.
        contributions = [*(added @ reader).tolist(), float(held.biases @ contrast)]
        said = held.ending_at(added.cumsum(0)).to(contrast.device).softmax(-1)
        top = said.max(-1)
        names = [*((term.component, term.cell) for term in parts), ("biases", ())]
        columns = (top.indices.tolist(), top.values.tolist(), said[:, answer].tolist())
        says = [*zip(*columns, strict=True)]
        return tuple(
            Part(name, cell, contribution, self._labels.token(token), prob, answer_prob)
            for (name, cell), contribution, (token, prob, answer_prob) in zip(
                names, contributions, [*says, says[-1]], strict=True
            )
        )

    def _neurons(self, layer: int, runs: Runs, reader: torch.Tensor) -> _Layer:
        """What the neurons of a layer add to the answer's logit."""
        neurons = Neurons(self._access, layer)
        post = runs.site("mlp_post", layer)[0, -1].float()
        rows = neurons.decoder.to(reader.device) * neurons.scale(post).to(reader.device)
        whole = neurons.decode(post, post).to(reader.device)
        post = post.to(reader.device)
        contributions = post * (rows @ reader)
        bias = float((whole - post @ rows) @ reader)
        return _Layer(post.cpu().numpy(), contributions.cpu().numpy(), bias)

    def _memories(self, activations: NDArray[np.float32], contributions: NDArray[np.float32]) -> tuple[Memory, ...]:
        order = np.argsort(-np.abs(contributions), axis=None, kind="stable")[: self._wanted.top]
        places = [divmod(int(place), contributions.shape[1]) for place in order]
        cards: dict[tuple[int, int], LatentCard] = {}
        for row in {row for row, _ in places}:
            own = [neuron for other, neuron in places if other == row]
            cards |= {(row, card.latent): card for card in self._values(self._wanted.layers[row], own)}
        return tuple(
            Memory(
                self._wanted.layers[row],
                neuron,
                float(activations[row, neuron]),
                float(contributions[row, neuron]),
                cards[row, neuron],
            )
            for row, neuron in places
        )

    def _values(self, layer: int, neurons: Sequence[int]) -> list[LatentCard]:
        """What the values of neurons promote and suppress."""
        logits = self._straight.logits(Neurons(self._access, layer).decoder[list(neurons)])
        assert logits is not None  # else the logits would not have been read
        n = self._wanted.n
        return [
            LatentCard(
                neuron,
                promotes=strongest_tokens(own, self._labels, n),
                suppresses=strongest_tokens(-own, self._labels, n, sign=-1),
            )
            for neuron, own in zip(neurons, logits, strict=True)
        ]
