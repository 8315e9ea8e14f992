"""Steering: turn a direction or a latent while the model runs, and see what it says."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.contrast import likeliest
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.grid import frozen, score
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.metrics import Metric, MetricContext, Metrics
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Reader, chosen_numbers, parse_options
from interp_widgets.experiments.sweep import default_rows
from interp_widgets.experiments.turning import Along, Coordinate, OfLatent, Turn, continued
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.dictionaries.places import width_of
from interp_widgets.models.families import context_length
from interp_widgets.models.memory import Portions
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.models.opening import ModelLike, Opened
from interp_widgets.models.probe import n_vocab
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import FeatureError, NonFiniteError, PromptError, SelectionError, unknown_name
from interp_widgets.results.steering import MODES, Mode, SteeringResult
from interp_widgets.results.terms import Site, parse_site
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

Vector: TypeAlias = "torch.Tensor | NDArray[np.floating] | Sequence[float]"
"""One number for each of a site's."""


@runs_remotely
def steering(
    model: ModelLike,
    prompts: Prompts,
    direction: Vector | None = None,
    *,
    features: Features | None = None,
    latent: int | None = None,
    mode: Mode = "add",
    strengths: Sequence[float] | float = 1.0,
    site: str | None = None,
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    answer: Answers = None,
    wrong_answer: Answers = None,
    metric: Metric = "logit_diff",
    n_tokens: int = 20,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[SteeringResult, None, SteeringResult]:
    """Check the arguments at once, and return a generator that steers prompts batch by batch.

    Arguments and errors are those of `run_steering`. Partial results have NaN where nothing is computed yet.

    Yields:
        The result so far.
    """
    options = parse_options(metric, top_k, max_rows)
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if not (is_whole(n_tokens) and n_tokens >= 0):
        raise ValueError(f"n_tokens={n_tokens!r} must be a whole number from 0 on.")
    amounts = parse_strengths(strengths)
    reader = Reader(model, tokenizer)
    opened = reader.opened
    texts = reader.prompts(prompts, "steered")
    for number, tokens in enumerate(texts):
        _check_room(opened, tokens, n_tokens, f"prompt {number}: " if len(texts) > 1 else "")
    answers, wrong_answers = (
        parse_answers(given, name, len(texts), tokenizer=opened.tokenizer, n_vocab=opened.n_answers)
        for given, name in ((answer, "answer"), (wrong_answer, "wrong_answer"))
    )
    access = resolve(opened)
    if direction is not None:
        if features is not None or latent is not None:
            raise SelectionError("Steer along `direction`, or a latent of `features`: one of them at a time.")
        coordinate: Coordinate = _along(access, direction, site, layers)
    else:
        coordinate = _of_latent(access, features, latent, mode, site, layers)
    return _Steering(
        access=access,
        coordinate=coordinate,
        mode=mode,
        strengths=amounts,
        prompts=texts,
        positions=tuple(_positions(positions, tokens) for tokens in texts),
        given=tuple(zip(answers, wrong_answers, strict=True)),
        metrics=options.metrics,
        n_tokens=n_tokens,
        top_k=top_k,
        max_rows=max_rows,
    ).steps()


@over(steering)
def run_steering(steps: Generator[SteeringResult, None, SteeringResult]) -> SteeringResult:
    """Turn a direction or a latent while the model runs prompts, by several strengths, and see what it says.

    For a direction v, activations x contain it c = x·v / |v|² times, and what is turned is c. So strengths are
    multiples of the vector as it is given, in every mode: "add" makes x + s v; "clamp" puts s v in place of c v;
    "scale" multiplies c by s; "ablate", also called "project_out" for a direction, takes c s v away, so all of it with
    a strength of 1. For a latent the same is done with its activation, in its own units: all other latents, and the
    error of the dictionary, stay as they are.

    Args:
        model: as for `run_patching`.
        prompts: a prompt, or a list of prompts of any lengths: text, or token ids.
        direction: a vector as wide as `site`, such as one of `difference_of_means`.
        features: instead of a direction, a dictionary of latents: as for `run_features`.
        latent: which of its latents is turned.
        mode: "add", "clamp", "scale", "ablate" or "project_out".
        strengths: one or more, each run by itself.
        site: where a direction is turned: "resid_post" by default. Of features, where latents are read that do not say
            so themselves.
        layers: the layers at which a direction is turned, all at once; of features, the layer of that site.
        positions: positions of the prompts, one or more, negative ones counted from the end of each prompt. By default
            all of them, and the tokens that the model adds.
        answer: the token that metrics are about, as text or id; one for all prompts, or one for each. By default what
            the model says by itself.
        wrong_answer: the one to tell it from; by default the likeliest other one.
        metric: the number in front: "logit_diff", "prob", "logprob", "kl", "rank" or "loss" (all six are kept), or a
            function, as for `run_patching`. "kl" is the divergence from the run in which nothing is turned.
        n_tokens: how many tokens to continue each prompt by, greedily, with the coordinate turned all the while; fewer
            where the tokenizer's end-of-text token comes.
        top_k: how many of the likeliest next tokens to keep.
        max_rows: most prompts that run in one batch; chosen to suit the device by default, halved when memory runs out.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`.

    Returns:
        Every prompt with every strength, and as it is. After an interrupt or an error, `sys.last_value.partial` is what
        was computed until then.

    Raises:
        PromptError: empty prompts, or prompts that leave no room for `n_tokens` in the model's context.
        AnswerError: an answer that is not one token.
        FeatureError: a direction of another width, zero, NaN or infinite; features that do not belong to the model.
        SelectionError: a layer, a position or a latent that does not exist, or is needed and was not named.
        NonFiniteError: NaN or infinity in the steered model.
        UnknownNameError: a site, mode or metric that does not exist.

    Example:
        >>> from interp_widgets import run_steering, teaching
        >>> vector = [1.0] + [0.0] * 127
        >>> result = run_steering(teaching.load(), "The cat", vector, layers=2, strengths=(0, 9), n_tokens=0)
        >>> float(result.values["kl"][0, 1]) < 1e-6 < float(result.values["kl"][0, 2])
        True

    References:
        Turner et al. 2023, "Activation Addition: Steering Language Models Without Optimization", arXiv:2308.10248.
        Rimsky et al. 2023, "Steering Llama 2 via Contrastive Activation Addition", arXiv:2312.06681.
        Arditi et al. 2024, "Refusal in Language Models Is Mediated by a Single Direction", arXiv:2406.11717.
        Templeton et al. 2024, "Scaling Monosemanticity" (clamped features).
    """
    return finish(steps)


def parse_strengths(strengths: object) -> tuple[float, ...]:
    """Return strengths as plain numbers.

    Raises:
        ValueError: none, or some that are no finite numbers.
    """
    plain = as_plain(strengths)
    listed = list(plain) if isinstance(plain, Iterable) and not isinstance(plain, (str, bytes)) else [plain]
    numbers = [as_plain(each) for each in listed]
    if not numbers:
        raise ValueError("strengths is empty. Pass at least one number.")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ValueError(f"strengths holds {number!r}. Pass finite numbers, such as (0, 1, 2).")
    return tuple(map(float, numbers))


def parse_vector(direction: object, width: int, where: str) -> torch.Tensor:
    """Return a direction, (width,) float32.

    Raises:
        FeatureError: another width, no numbers, zero, NaN or infinite.
    """
    try:
        # A copy: torch warns of arrays that cannot be written, as those of a result are.
        given = np.array(direction) if isinstance(direction, np.ndarray) else cast("Any", direction)
        vector = torch.as_tensor(given).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise FeatureError(f"direction is {kind_of(direction)}. Pass one number for each of {where}.") from error
    if vector.is_complex() or tuple(vector.shape) != (width,):
        raise FeatureError(
            f"direction has the shape {tuple(vector.shape)}, and {where} is {width} wide. Pass a vector of that width."
        )
    vector = vector.float()
    if not torch.isfinite(vector).all():
        raise FeatureError("direction holds NaN or infinity, so that nothing can be moved along it.")
    if not vector.any():
        raise FeatureError("direction is zero, so that it points nowhere.")
    return vector


def _along(access: Access, direction: Vector, site: str | None, layers: Sequence[int] | int | None) -> Along:
    named: Site = parse_site(site or "resid_post")
    access.check_site(named)
    if named == "pattern":
        raise SelectionError("pattern has no numbers of single tokens, so that no direction can be turned there.")
    if layers is None:
        raise SelectionError(
            f"Say at which layers the direction is turned: layers=2, or layers=range({access.n_layers}) for all."
        )
    chosen = chosen_numbers(layers, "layers", access.n_layers)
    width = width_of(access, Place(named, chosen[0]))
    return Along(access, parse_vector(direction, width, f"{named} of {access.opened.name}"), named, chosen)


def _of_latent(
    access: Access,
    features: Features | None,
    latent: int | None,
    mode: Mode,
    site: str | None,
    layers: Sequence[int] | int | None,
) -> OfLatent:
    if features is None or latent is None:
        raise SelectionError("Pass what is turned: a `direction`, or `features` with one `latent` of them.")
    if mode == "project_out":
        raise SelectionError("A latent is no direction to project out. Use mode='ablate', which sets it to zero.")
    layer = None if layers is None else as_plain(layers)
    if layer is not None and not is_whole(layer):
        raise SelectionError(f"layers={layers!r}: latents are read at one layer. Pass its number.")
    dictionary = open_dictionary(features, access, site=site, layer=layer)
    _ = dictionary.decoder  # refused here where latents can only be read
    number = as_plain(latent)
    if not is_whole(number) or not 0 <= number < dictionary.info.n_latents:
        raise SelectionError(
            f"latent={latent!r}, but those of {dictionary.info.name} run from 0 to {dictionary.info.n_latents - 1}."
        )
    return OfLatent(access, dictionary, int(number))


def _check_room(opened: Opened, tokens: Tokens, n_tokens: int, where: str) -> None:
    context = context_length(opened.config)
    if context is not None and len(tokens) + n_tokens > context:
        raise PromptError(
            f"{where}{len(tokens)} tokens and {n_tokens} to come are more than the model's context of {context} holds. "
            "Shorten the prompt, or lower n_tokens."
        )
    if n_tokens and opened.n_answers != n_vocab(opened.module):
        raise PromptError("This model predicts no tokens, so that nothing continues its prompts. Pass n_tokens=0.")


def _positions(positions: Sequence[int] | int | None, tokens: Tokens) -> tuple[int, ...] | None:
    return None if positions is None else chosen_numbers(positions, "positions", len(tokens))


@dataclass
class _Steering:
    """One experiment on its way."""

    access: Access
    coordinate: Coordinate
    mode: Mode
    strengths: tuple[float, ...]
    prompts: tuple[Tokens, ...]
    positions: tuple[tuple[int, ...] | None, ...]
    given: tuple[tuple[int | None, int | None], ...]
    metrics: Metrics
    n_tokens: int
    top_k: int
    max_rows: int | None

    def __post_init__(self) -> None:
        shape = (len(self.prompts), 1 + len(self.strengths))
        k = min(self.top_k, self.access.opened.n_answers)
        self.values = {name: np.full(shape, np.nan, dtype=np.float32) for name in self.metrics.names}
        self.top_ids = np.full((*shape, k), -1, dtype=np.int32)
        self.top_probs = np.full((*shape, k), np.nan, dtype=np.float32)
        self.continuations = np.full((*shape, self.n_tokens), -1, dtype=np.int32)
        self.answers = [(-1, -1)] * len(self.prompts)
        self.ledger = Ledger(self.access.opened, {"steered": self.what, "positions": self._where()})

    @property
    def what(self) -> str:
        """What is turned, in words."""
        coordinate = self.coordinate
        if isinstance(coordinate, OfLatent):
            info = coordinate.dictionary.info
            return f"Latent {coordinate.latent} of {info.name}, written at {info.writes}"
        assert isinstance(coordinate, Along)
        layers = ", ".join(map(str, coordinate.layers))
        norm = float(coordinate.vector.norm())
        return (
            f"A direction of norm {norm:.3g} at {coordinate.site} of layer{'s' * (len(coordinate.layers) > 1)} {layers}"
        )

    def steps(self) -> Generator[SteeringResult, None, SteeringResult]:
        """Yield the result so far after every batch, and return the whole."""
        return self.ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        by_length: dict[int, list[int]] = defaultdict(list)
        for number, tokens in enumerate(self.prompts):
            by_length[len(tokens)].append(number)
        runs = range(1 + len(self.strengths))
        for length, numbers in by_length.items():
            portions = Portions(self.max_rows or default_rows(self.access, length + self.n_tokens))
            waiting: dict[int, list[torch.Tensor]] = defaultdict(list)
            for rows, (logits, added) in portions([(number, run) for number in numbers for run in runs], self._run):
                for (number, run), said, tokens in zip(rows, logits, added.numpy(), strict=True):
                    self.continuations[number, run] = tokens
                    waiting[number].append(said)
                    if len(waiting[number]) == len(runs):
                        self._record(number, torch.stack(waiting.pop(number)))
                yield

    @torch.no_grad()
    def _run(self, rows: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run prompts of one length, each with one of the strengths: their logits and what comes after them."""
        first = rows[0][0]
        length = len(self.prompts[first])
        ids = torch.tensor([self.prompts[number].ids for number, _ in rows], device=self.access.opened.device)
        strengths = torch.tensor([self.strengths[run - 1] if run else math.nan for _, run in rows])
        at = self.positions[first]
        taken = torch.tensor([at is None or position in at for position in range(length + self.n_tokens)])
        turn = Turn(self.mode, strengths, taken)
        logits = self.coordinate.logits(ids, turn.upto(length))
        self._check(logits, rows)
        said = logits.argmax(-1)
        added = continued(self.coordinate, ids, said, turn, self.n_tokens, self.ends)
        self.ledger.passes += len(rows) + float((added[:, 1:] >= 0).sum())
        return logits, added

    @cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text."""
        return ends_of(self.access)

    def _check(self, logits: torch.Tensor, rows: Sequence[tuple[int, int]]) -> None:
        finite = torch.isfinite(logits).all(-1).tolist()
        if all(finite):
            return
        number, run = rows[finite.index(False)]
        deed = f"with strength {self.strengths[run - 1]:g} " if run else ""
        raise NonFiniteError(
            f"Prompt {number} {deed}gives NaN or infinity in {self.access.opened.name}. Try smaller strengths, or a "
            f"wider dtype than {self.access.opened.dtype}."
        )

    def _record(self, number: int, logits: torch.Tensor) -> None:
        """Measure all runs of a prompt, (run, d_vocab)."""
        self.answers[number] = likeliest(logits[0], self.given[number])
        context = MetricContext(number, *self.answers[number], clean_logits=logits[0], corrupt_logits=logits[0])
        scores = score(logits, self.metrics, context, self.top_k)
        for name, values in scores.values.items():
            self.values[name][number] = values
        self.top_ids[number], self.top_probs[number] = scores.top_ids, scores.top_probs

    def _result(self) -> SteeringResult:
        opened = self.access.opened
        said, labels = opened.answer_labels, opened.labels
        answers = [(said.token(right), said.token(wrong)) if right >= 0 else _NONE for right, wrong in self.answers]
        vocab = {token: labels(token) for token in np.unique(self.continuations).tolist() if token >= 0}
        vocab |= {token: said(token) for token in np.unique(self.top_ids).tolist() if token >= 0}
        return SteeringResult(
            prompts=self.prompts,
            answers=tuple(right for right, _ in answers),
            wrong_answers=tuple(wrong for _, wrong in answers),
            what=self.what,
            mode=self.mode,
            strengths=frozen(np.array([math.nan, *self.strengths])),
            metric=self.metrics.front,
            values={name: frozen(values) for name, values in self.values.items()},
            top_ids=frozen(self.top_ids),
            top_probs=frozen(self.top_probs),
            continuations=frozen(self.continuations),
            vocab=vocab,
            texts=tuple(tuple(text_of(opened, run) for run in runs) for runs in self.continuations),
            provenance=self.ledger.provenance(),
        )

    def _where(self) -> str:
        listed = {("all" if each is None else ", ".join(map(str, each))) for each in self.positions}
        return listed.pop() if len(listed) == 1 else "as many tokens from the end of each prompt"


_NONE = (Token(-1, ""), Token(-1, ""))


def ends_of(access: Access) -> frozenset[int]:
    """Return the tokens that end a text: the tokenizer's own and those that the model's configuration names."""
    opened = access.opened
    named = getattr(opened.config, "eos_token_id", None)
    listed = named if isinstance(named, (list, tuple)) else [named]
    return frozenset(
        token for token in (*listed, getattr(opened.tokenizer, "eos_token_id", None)) if isinstance(token, int)
    )


def text_of(opened: Opened, ids: NDArray[np.integer[Any]]) -> str:
    """Return tokens as text, without what comes after the end; without a tokenizer, their labels."""
    tokens = tuple(int(token) for token in ids if token >= 0)
    if opened.tokenizer is None:
        return " ".join(opened.labels.tokens(tokens).labels)
    return str(opened.tokenizer.decode(tokens)) if tokens else ""
