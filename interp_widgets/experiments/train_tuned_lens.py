"""Train a tuned lens: for each layer a map after which the model's own norm and unembedding say what it will say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.request import parse_seed
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.finite import check_finite
from interp_widgets.models.numbers import is_real, is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.tail import check_tail, tail
from interp_widgets.models.texts import Corpus, Cutter, Window, batches
from interp_widgets.models.tuned_lens import Translators, TunedLens
from interp_widgets.results.errors import ModelError, NonFiniteError, PromptError
from interp_widgets.results.lens_training import LensCurves

Report: TypeAlias = "Callable[[str], None]"
Training: TypeAlias = "Generator[TunedLens, None, TunedLens]"

_EVERY = 50
"""Steps between two points of the curves."""
_PAUSE = 5.0
"""Seconds between two lines of progress."""
_TOKENS = 4096
"""Tokens at most that a model reads at once, and of held-out texts that are measured on."""
_LOGITS = 2**25
"""Logits that are held at a time."""


@dataclass(frozen=True)
class _Recipe:
    """All numbers that a training follows from."""

    steps: int
    batch: int
    rate: float
    held_out: float
    seed: int


def tuned_lens_training(
    model: ModelLike,
    texts: Corpus,
    *,
    steps: int = 100,
    batch: int = 256,
    rate: float = 3e-3,
    held_out: float = 0.1,
    seed: int = 0,
    progress: Report | None = print,
    tokenizer: Any | None = None,
) -> Training:
    """Check the arguments at once, and return a generator that trains 50 steps at a time.

    Arguments and errors are those of `train_tuned_lens`. Whatever it yields can be used and saved.

    Yields:
        The lens so far.
    """
    recipe = _recipe(steps, batch, rate, held_out, seed)
    opened = open_model(model, tokenizer)
    cutter = Cutter(opened)
    documents = list(cutter.documents(texts, "text"))
    windows = [window for number, ids in enumerate(documents) for window in cutter.windows(ids, number)]
    trained_on, kept_out = _split(windows, recipe)
    access = resolve(opened)
    if access.edited:
        raise ModelError(
            f"{opened.name} has edits that you stored, which every reading would run through. Train the lens on the "
            "model without them; it can then be used on the edited one."
        )
    sizes = (sum(window.stop - window.first for window in side) for side in (trained_on, kept_out))
    settings = {name: str(value) for name, value in vars(recipe).items()}
    settings["trained on"] = "{:,} tokens, {:,} held out".format(*sizes)
    ledger = Ledger(opened, {"lens": "tuned lens"} | settings)
    run = _Run(access, recipe, trained_on, kept_out, ledger, progress)
    return ledger.steps(run.work(), run.result)


@over(tuned_lens_training)
def train_tuned_lens(training: Training) -> TunedLens:
    """Train a tuned lens: an affine map for each layer, after which the stream says what the model will say.

    Good for small models and for learning how it is done; for large ones use the library tuned_lens, whose lenses open
    here as well. Each layer's map starts as the identity, which is the logit lens, and is trained to bring what the
    model's own last norm and unembedding say of the stream close to what it says at the end: KL(own || lens). The model
    itself is not changed. The same arguments give the same lens on the same machine.

    Args:
        model: as for `run_lens`, without edits that are stored in it.
        texts: text or token ids, or a list of either, or anything that hands them over one by one. Documents longer
            than the model's context are cut into windows.
        steps: how many steps of Adam.
        batch: tokens in a step.
        rate: Adam's learning rate, which falls to 0 along a line.
        held_out: share of the texts that is not trained on but measured on; of one long text, of its windows.
        seed: of which texts are held out, and of the order of the others.
        progress: called with a line about every five seconds and at the end; None for silence.
        tokenizer: of a model that comes without one. It is needed for text only.

    Returns:
        The lens, for `run_lens(..., tuned=lens)`; `curves` has the divergence on held-out texts before and after by
        layer, and `save` keeps it in the format of tuned_lens. After an interrupt or an error, `sys.last_value.partial`
        is what was trained until then.

    Raises:
        PromptError: no texts, a single short one, text without a tokenizer, or token ids that the model does not have.
        ModelError: a model whose stream says nothing by itself, or one with stored edits.
        NonFiniteError: NaN or infinity in the model or in training.
        ValueError: a number out of its range.

    Example:
        >>> from interp_widgets import run_lens, teaching, train_tuned_lens
        >>> model, prompts = teaching.load(), teaching.prompts("ioi", n=64).clean
        >>> tuned = train_tuned_lens(model, prompts, steps=50, batch=256, progress=None)
        >>> bool((tuned.curves.after < tuned.curves.before).all())
        True
        >>> run_lens(model, prompts[0], tuned=tuned).lens
        'tuned lens in memory'

    References:
        Belrose et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens", arXiv:2303.08112.
    """
    return finish(training)


def _recipe(steps: int, batch: int, rate: float, held_out: float, seed: int) -> _Recipe:
    for name, number in (("steps", steps), ("batch", batch)):
        if not (is_whole(number) and number >= 1):
            raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")
    if not (is_real(rate) and 0 < rate < math.inf):
        raise ValueError(f"rate={rate!r} must be a number above 0.")
    if not (isinstance(held_out, (int, float)) and 0 < held_out < 1):
        raise ValueError(f"held_out={held_out!r} must be a share between 0 and 1.")
    return _Recipe(int(steps), int(batch), float(rate), float(held_out), parse_seed(seed))


def _split(windows: Sequence[Window], recipe: _Recipe) -> tuple[list[Window], list[Window]]:
    """Part windows into those to train on and those to measure on; the windows of a document stay together."""
    documents = sorted({window.document for window in windows})
    # Of a single document, windows overlap only where the later one sees what came before.
    groups = [[window] for window in windows] if len(documents) == 1 else _grouped(windows, documents)
    if len(groups) < 2:
        raise PromptError(
            "One text that fits into the model's context was given, and some must be held out. Pass two or more."
        )
    order = np.random.default_rng([recipe.seed, 0]).permutation(len(groups)).tolist()
    count = min(len(groups) - 1, max(1, round(recipe.held_out * len(groups))))
    kept_out = set(order[:count])
    sides: tuple[list[Window], list[Window]] = ([], [])
    for number, group in enumerate(groups):
        sides[number in kept_out].extend(group)
    return sides


def _grouped(windows: Sequence[Window], documents: Sequence[int]) -> list[list[Window]]:
    groups: dict[int, list[Window]] = {document: [] for document in documents}
    for window in windows:
        groups[window.document].append(window)
    return list(groups.values())


class _Run:
    """A training on its way."""

    def __init__(
        self,
        access: Access,
        recipe: _Recipe,
        windows: Sequence[Window],
        kept_out: Sequence[Window],
        ledger: Ledger,
        progress: Report | None,
    ) -> None:
        self._access = access
        self._recipe = recipe
        self._windows = windows
        self._kept_out = kept_out
        self._ledger = ledger
        self._progress = progress
        width, device = int(access.opened.config.hidden_size), access.opened.device
        layers = range(access.n_layers)
        self._weights = tuple(torch.zeros(width, width, device=device, requires_grad=True) for _ in layers)
        self._biases = tuple(torch.zeros(width, device=device, requires_grad=True) for _ in layers)
        self._translators = Translators("in training", self._weights, self._biases)
        self._portion = max(1, _LOGITS // access.opened.n_answers)
        self._ids = torch.tensor([windows[0].ids[:1]], device=device)
        self._points: list[tuple[int, list[float], list[float]]] = []

    def work(self) -> Generator[None, None, None]:
        """Make the steps, and stop after every few of them."""
        recipe = self._recipe
        self._check()
        held = self._gathered(self._kept_out, _TOKENS, np.random.default_rng([recipe.seed, 2]))
        self._points.append((0, [math.nan] * self._access.n_layers, self._measured(held)))
        yield
        optimizer = torch.optim.Adam([*self._weights, *self._biases], lr=recipe.rate)
        started = shown = time.monotonic()
        recent: list[list[float]] = []
        for step, streams in enumerate(self._stream(), 1):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * (1 - (step - 1) / recipe.steps)
            recent.append(self._step(streams, optimizer))
            if step % _EVERY and step < recipe.steps:
                continue
            self._points.append((step, np.mean(recent, axis=0).tolist(), self._measured(held)))
            recent = []
            now, last = time.monotonic(), step == recipe.steps
            if self._progress is not None and (last or now - shown >= _PAUSE):
                left = (now - started) / step * (recipe.steps - step)
                self._progress(self._curves().summary() + ("" if last else f", about {left:.0f} s left"))
                shown = now
            if last:
                return
            yield

    def result(self) -> TunedLens:
        """Return the lens so far."""
        return TunedLens(self._translators, self._access.opened.name, self._curves())

    def _check(self) -> None:
        """Refuse a model whose stream says nothing by itself."""
        ids = torch.tensor([self._windows[0].ids], device=self._access.opened.device)
        with torch.no_grad():
            runs = self._access.read(ids, ())
            check_tail(self._access, ids[0], runs.stream[-1][0, -1], runs.logits[0])

    def _stream(self) -> Iterator[list[torch.Tensor]]:
        """Yield for each step the streams of a batch of tokens, (token, d_model), one for what enters each layer."""
        generator = np.random.default_rng([self._recipe.seed, 1])
        queue: list[int] = []
        while True:
            chosen: list[Window] = []
            held = 0
            while held < self._recipe.batch:
                if not queue:
                    queue = generator.permutation(len(self._windows)).tolist()
                chosen.append(self._windows[queue.pop()])
                held += chosen[-1].stop - chosen[-1].first
            yield self._gathered(chosen, self._recipe.batch, generator)

    @torch.no_grad()
    def _gathered(self, windows: Sequence[Window], most: int, generator: np.random.Generator) -> list[torch.Tensor]:
        """Run windows and keep of them so many tokens at most, with what leaves the last layer at the end."""
        access, opened = self._access, self._access.opened
        found: list[list[torch.Tensor]] = []
        for whole in batches(windows, _TOKENS, causal=access.causal):
            runs = access.read(whole.ids.to(opened.device), ())
            self._ledger.passes += len(whole.ids)
            taken = whole.taken.to(opened.device)
            found.append([stream[taken.to(stream.device)].to(opened.device) for stream in runs.stream])
        streams = [torch.cat(parts) for parts in zip(*found, strict=True)]
        check_finite(streams, None, opened.name, opened.dtype)
        rows = generator.permutation(len(streams[0]))[:most]
        return [stream[torch.from_numpy(rows).to(stream.device)] for stream in streams]

    def _step(self, streams: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer) -> list[float]:
        """Make a step for every layer, and return the divergence of each on these tokens before it."""
        optimizer.zero_grad()
        losses = [0.0] * self._access.n_layers
        count = len(streams[0])
        for first in range(0, count, self._portion):
            part = slice(first, first + self._portion)
            own = self._own(streams[-1][part])
            for layer, stream in enumerate(streams[:-1]):
                with torch.enable_grad():
                    logits = tail(self._access, self._ids[0], self._translators(layer, stream[part]), gradients=True)
                    loss = _divergence(own, logits).sum() / count
                    mine = (self._weights[layer], self._biases[layer])
                    # Not backward(), which would fill the gradients of the model too.
                    for weight, slope in zip(mine, torch.autograd.grad(loss, mine), strict=True):
                        weight.grad = slope if weight.grad is None else weight.grad + slope
                losses[layer] += float(loss.detach())
        if not all(map(math.isfinite, losses)):
            raise NonFiniteError(
                f"Training gives NaN or infinity at layer {[*map(math.isfinite, losses)].index(False)}. Try a lower "
                f"rate than {self._recipe.rate}, or a wider dtype than {self._access.opened.dtype}."
            )
        optimizer.step()
        return losses

    @torch.no_grad()
    def _measured(self, streams: Sequence[torch.Tensor]) -> list[float]:
        """The divergence of every layer's lens on some tokens."""
        sums = [0.0] * self._access.n_layers
        for first in range(0, len(streams[0]), self._portion):
            part = slice(first, first + self._portion)
            own = self._own(streams[-1][part])
            for layer, stream in enumerate(streams[:-1]):
                logits = tail(self._access, self._ids[0], self._translators(layer, stream[part]))
                sums[layer] += float(_divergence(own, logits).sum())
        return [total / len(streams[0]) for total in sums]

    @torch.no_grad()
    def _own(self, last: torch.Tensor) -> torch.Tensor:
        """Log probabilities of what the model itself says."""
        return tail(self._access, self._ids[0], last).log_softmax(-1)

    def _curves(self) -> LensCurves:
        steps, trained, held_out = zip(*self._points, strict=True)
        return LensCurves(
            steps=np.array(steps, np.int64),
            tokens=np.array(steps, np.int64) * self._recipe.batch,
            trained=np.array(trained, np.float64),
            held_out=np.array(held_out, np.float64),
            total_steps=self._recipe.steps,
            provenance=self._ledger.provenance(),
        )


def _divergence(own: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(own || said) of each row, in nats."""
    return (own.exp() * (own - logits.log_softmax(-1))).sum(-1)
