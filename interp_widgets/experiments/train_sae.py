"""Train a TopK sparse autoencoder on what a model does with texts."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from interp_widgets.experiments.activation_stream import ActivationStream
from interp_widgets.experiments.bench import versions
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.request import parse_seed
from interp_widgets.experiments.sae_trainer import Recipe, Step, Trainer
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.places import width_of
from interp_widgets.models.dictionaries.topk import TopKSAE
from interp_widgets.models.fingerprint import fingerprint_of
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.reading import batch_tokens, read
from interp_widgets.models.texts import Batch, Corpus, Cutter, Window
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import NonFiniteError, PromptError, ResultError, SelectionError, SiteError
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.terms import Site, parse_site
from interp_widgets.results.training import CURVES, TrainingCurves
from interp_widgets.results.words import counted

Report: TypeAlias = "Callable[[str], None]"
Training: TypeAlias = "Generator[TopKSAE, None, TopKSAE]"

_EVERY = 50
"""Steps between two points of the curves, which is where a training can stop and go on later."""
_PAUSE = 5.0
"""Seconds between two lines of progress."""


def sae_training(
    model: ModelLike,
    texts: Corpus,
    *,
    layer: int,
    n_latents: int,
    k: int,
    site: Site = "resid_post",
    steps: int = 2000,
    batch: int = 2048,
    rate: float | None = None,
    dead_after: int | None = None,
    skip_first: bool = True,
    buffer: int = 2**17,
    seed: int = 0,
    resume: TopKSAE | str | Path | None = None,
    checkpoint: str | Path | None = None,
    progress: Report | None = print,
    tokenizer: Any | None = None,
) -> Training:
    """Check the arguments at once, and return a generator that trains 50 steps at a time.

    Arguments and errors are those of `train_sae`. Whatever it yields can be used, saved and resumed from.

    Yields:
        The dictionary so far.
    """
    recipe = _recipe(n_latents, k, steps, batch, rate, dead_after, seed)
    _check_count("buffer", buffer)
    opened = open_model(model, tokenizer)
    cutter = Cutter(opened)
    documents = list(cutter.documents(texts, "text"))
    windows = [window for number, ids in enumerate(documents) for window in cutter.windows(ids, number)]
    sizes = [window.stop - max(window.first, int(skip_first)) for window in windows]
    if not any(sizes):
        raise PromptError("All texts have one token, and the first of each is left out. Pass longer texts.")
    access = resolve(opened)
    place = _place(site, layer)
    width_of(access, place)
    settings = {
        "trained on": f"{counted(len(documents), 'text')}, {counted(sum(sizes), 'token')}, {_digest(documents)}",
        "first token of each text": "left out" if skip_first else "trained on too",
        "buffer": str(buffer),
    }
    ledger = Ledger(opened, {"latents": str(place)} | _settings(recipe) | settings)
    source = _Texts(access, place, windows, skip_first, ledger)
    stream = ActivationStream(sizes, source.gather, recipe.batch, buffer, recipe.seed)
    run = _Run(recipe, stream, place, ledger.provenance, _Ways(resume, checkpoint, progress))
    return ledger.steps(run.work(), run.result)


@over(sae_training)
def train_sae(training: Training) -> TopKSAE:
    """Train a TopK sparse autoencoder on the activations of one place in a model.

    Good for small models and for learning how it is done. For large models use SAELens, EleutherAI's sparsify or
    dictionary_learning, which train on many devices; what they train opens here as well.

    The k largest of n_latents are kept at each token, decoder rows have unit length, and latents that have not fired
    for long learn from what the others leave unexplained (AuxK), so that few of them stay dead. The activations are
    gathered as they are needed, a buffer at a time, in a random order, for as many passes over the texts as the steps
    take. The same arguments give the same dictionary on the same machine.

    Args:
        model: as for `run_features`.
        texts: text or token ids, or a list of either, or anything that hands them over one by one. Documents longer
            than the model's context are cut into windows.
        layer: the layer of the site.
        n_latents: how many latents to learn; a few times the width of the site, or more.
        k: how many of them fire at a token.
        site: which activations; "resid_post" is the stream that leaves the layer.
        steps: how many steps of Adam.
        batch: tokens in a step.
        rate: Adam's learning rate, for activations that are scaled to a variance of 1. By default 2e-3 for 1024
            latents, and less for more, with the square root. It rises over the first 5% of the steps, and falls to 0
            over the last 20%.
        dead_after: a latent is dead that has not fired on so many tokens in a row. By default 10 million, or an eighth
            of all tokens where that is less.
        skip_first: whether the first token of each text is left out. On it many models have activations so large that
            they would be all that is learned.
        buffer: about how many tokens' activations are in memory at a time. Texts that have no more are run once.
        seed: of the first weights and of the order of tokens.
        resume: an unfinished dictionary, or the folder that it or `checkpoint` was saved in, to go on from. All other
            arguments must be what they were; the outcome is the same as without a break.
        checkpoint: a folder to save the dictionary in every 50 steps and at the end.
        progress: called with a line about every five seconds and at the end; None for silence.
        tokenizer: of a model that comes without one. It is needed for text only.

    Returns:
        The dictionary; `curves` says how training went, `save` keeps it in SAELens' format. After an interrupt or an
        error, `sys.last_value.partial` is what was trained until then, to be used, saved, or resumed.

    Raises:
        PromptError: no texts, empty ones, text without a tokenizer, or token ids that the model does not have.
        NonFiniteError: the model's activations, or the loss, are NaN or infinite.
        SelectionError: there is no such layer.
        SiteError: the architecture lacks the site, or it is "pattern", which has no numbers for a token.
        UnknownNameError: no such site.
        ResultError: what is to be resumed is complete, or was begun with other arguments.
        ValueError: a number out of its range, such as a k above n_latents.

    Example:
        >>> from interp_widgets import teaching, train_sae
        >>> prompts = teaching.prompts("ioi", n=64).clean
        >>> sae = train_sae(
        ...     teaching.load(), prompts, layer=1, n_latents=256, k=8, steps=50, batch=256, progress=None
        ... )
        >>> bool(sae.curves.variance_explained[-1] > 0.5)
        True

    References:
        Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv:2406.04093 (TopK, AuxK, initialisation).
        Bricken et al. 2023, "Towards Monosemanticity: Decomposing Language Models With Dictionary Learning" (decoder
            rows of unit length, and gradients without the part along them).
    """
    return finish(training)


def activation_training(
    activations: torch.Tensor,
    *,
    layer: int,
    n_latents: int,
    k: int,
    site: Site = "resid_post",
    steps: int = 2000,
    batch: int = 2048,
    rate: float | None = None,
    dead_after: int | None = None,
    seed: int = 0,
    resume: TopKSAE | str | Path | None = None,
    checkpoint: str | Path | None = None,
    progress: Report | None = print,
) -> Training:
    """Check the arguments at once, and return a generator as `sae_training` does."""
    recipe = _recipe(n_latents, k, steps, batch, rate, dead_after, seed)
    place = _place(site, layer)
    if activations.ndim != 2 or not activations.numel():
        raise ValueError(f"Activations have the shape {tuple(activations.shape)}, but must be (token, d).")
    if not torch.isfinite(activations).all():
        raise NonFiniteError("Activations hold NaN or infinity. Leave those tokens out.")
    settings = {"latents": str(place), "trained on": counted(len(activations), "activation")} | _settings(recipe)
    origin = fingerprint_of([("activations", activations)])
    dtype = str(activations.dtype).removeprefix("torch.")

    def provenance() -> Provenance:
        return Provenance("activations", origin, dtype, versions(), settings=settings)

    def gather(rows: Sequence[int]) -> torch.Tensor:
        return activations[torch.as_tensor(rows, device=activations.device)].float()

    stream = ActivationStream([1] * len(activations), gather, recipe.batch, len(activations), recipe.seed)
    run = _Run(recipe, stream, place, provenance, _Ways(resume, checkpoint, progress))
    return run.steps()


@over(activation_training)
def train_sae_on(training: Training) -> TopKSAE:
    """Train a TopK sparse autoencoder on activations that are there already, (token, d).

    All else is as for `train_sae`; `site` and `layer` say where in a model they come from.

    Raises:
        NonFiniteError: NaN or infinity among them, or in the loss.
        ValueError: another shape, or a number out of its range.
    """
    return finish(training)


def _check_count(name: str, number: object) -> None:
    if not (is_whole(number) and number >= 1):
        raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")


def _recipe(
    n_latents: int, k: int, steps: int, batch: int, rate: float | None, dead_after: int | None, seed: int
) -> Recipe:
    for name, number in (("n_latents", n_latents), ("k", k), ("steps", steps), ("batch", batch)):
        _check_count(name, number)
    if k > n_latents:
        raise ValueError(f"k={k} latents cannot fire at a token where there are n_latents={n_latents}. Lower k.")
    if rate is None:
        rate = 2e-3 / math.sqrt(n_latents / 1024)
    if not (isinstance(rate, (int, float)) and 0 < rate < math.inf):
        raise ValueError(f"rate={rate!r} must be a number above 0.")
    if dead_after is None:
        dead_after = max(1, min(10_000_000, steps * batch // 8))
    _check_count("dead_after", dead_after)
    return Recipe(int(n_latents), int(k), int(steps), int(batch), float(rate), int(dead_after), parse_seed(seed))


def _settings(recipe: Recipe) -> dict[str, str]:
    return {name: str(value) for name, value in vars(recipe).items()}


def _place(site: object, layer: object) -> Place:
    name = parse_site(site)
    if name == "pattern":
        raise SiteError("pattern has numbers for two tokens at a time, and none for one. Train on z instead.")
    if not is_whole(layer):
        raise SelectionError(f"layer={layer!r} is no layer. Give its number, counted from 0.")
    return Place(name, int(layer))


def _digest(documents: Iterable[Sequence[int]]) -> str:
    digest = hashlib.sha256()
    for ids in documents:
        digest.update(np.array([len(ids), *ids], np.int64).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Texts:
    """Texts that a model reads when their activations are asked for."""

    access: Access
    place: Place
    windows: Sequence[Window]
    skip_first: bool
    ledger: Ledger

    def gather(self, pieces: Sequence[int]) -> torch.Tensor:
        windows = [self.windows[piece] for piece in pieces]
        found = []
        for done in read(self.access, self.place, windows, self._taken, tokens=batch_tokens(self.access, 0)):
            self.ledger.passes += done.passes
            found.append(done.made)
        return torch.cat(found)

    def _taken(self, batch: Batch, there: torch.Tensor) -> torch.Tensor:
        taken = batch.taken.clone()
        if self.skip_first:
            taken[:, 0] = False  # a window takes its first position only where a text begins
        return there[taken.to(there.device)]


@dataclass(frozen=True)
class _Ways:
    """What goes in and out of a training beside its numbers."""

    resume: TopKSAE | str | Path | None
    checkpoint: str | Path | None
    progress: Report | None


class _Run:
    """A training on its way."""

    def __init__(
        self,
        recipe: Recipe,
        stream: ActivationStream,
        place: Place,
        provenance: Callable[[], Provenance],
        ways: _Ways,
    ) -> None:
        self._recipe = recipe
        self._stream = stream
        self._place = place
        self._provenance = provenance
        self._ways = ways
        self._points: dict[str, list[float]] = {name: [] for name in CURVES}
        self._before: TopKSAE | None = None
        self._trainer: Trainer | None = None
        if ways.resume is not None:
            sae = ways.resume if isinstance(ways.resume, TopKSAE) else TopKSAE.load(ways.resume)
            self._before = self._checked(sae)

    def _checked(self, sae: TopKSAE) -> TopKSAE:
        """Refuse to go on from another training than this one."""
        if not sae.state:
            raise ResultError(f"This training is complete: {sae.curves.summary()}. Leave out resume=, or begin anew.")
        then, now = sae.curves.provenance, self._provenance()
        if then.fingerprint != now.fingerprint:
            raise ResultError(
                f"This training was begun on {then.model} with the fingerprint {then.fingerprint}, and this is "
                f"{now.model} with {now.fingerprint}. Go on with the same weights."
            )
        for name in (*now.settings, *then.settings):
            was, is_now = (settings.get(name) for settings in (then.settings, now.settings))
            if was != is_now:
                raise ResultError(
                    f"This training was begun with {name}: {was}, and now it is {is_now}. Go on with the same "
                    "arguments, or leave out resume=."
                )
        return sae

    def steps(self) -> Training:
        for _ in self.work():
            yield self.result()
        return self.result()

    def work(self) -> Generator[None, None, None]:
        """Make the steps, and stop after every few of them."""
        first = int(self._before.state["step"]) if self._before else 0
        started = shown = math.nan
        recent: list[Step] = []
        for activations in self._stream.batches(first):
            if self._trainer is None:
                self._trainer = self._start(activations)
                started = shown = time.monotonic()  # now: the first activations take longer than those that follow
            trainer = self._trainer
            recent.append(trainer.step(activations))
            done = trainer.step_number
            if done % _EVERY and done < self._recipe.steps:
                continue
            self._point(done, recent)
            recent = []
            if self._ways.checkpoint is not None:
                self.result().save(self._ways.checkpoint)
            now, last = time.monotonic(), done == self._recipe.steps
            if self._ways.progress is not None and (last or now - shown >= _PAUSE):
                left = (now - started) / (done - first) * (self._recipe.steps - done)
                self._ways.progress(self._curves().summary() + ("" if last else f", about {left:.0f} s left"))
                shown = now
            if last:
                return
            yield

    def _start(self, activations: torch.Tensor) -> Trainer:
        trainer = Trainer(self._recipe, activations)
        if self._before is not None:
            trainer.restore(self._before.state)
            curves = self._before.curves.upto(trainer.step_number)
            self._points = {name: getattr(curves, name).tolist() for name in CURVES}
        return trainer

    def _point(self, done: int, steps: Sequence[Step]) -> None:
        assert self._trainer is not None
        means = np.mean([[step.loss, 1 - step.unexplained, step.l0, step.auxiliary] for step in steps], axis=0)
        loss, explained, l0, auxiliary = means.tolist()
        dead = float(self._trainer.dead.float().mean())
        point = (done, done * self._recipe.batch, loss, explained, l0, dead, auxiliary)
        for name, value in zip(CURVES, point, strict=True):
            self._points[name].append(value)

    def _curves(self) -> TrainingCurves:
        kinds = {name: np.int64 if name in ("steps", "tokens") else np.float64 for name in CURVES}
        arrays: dict[str, Any] = {name: np.array(self._points[name], kind) for name, kind in kinds.items()}
        provenance = self._provenance()
        if self._before is not None:
            before = self._before.curves.provenance
            provenance = replace(
                provenance,
                forward_passes=provenance.forward_passes + before.forward_passes,
                seconds=provenance.seconds + before.seconds,
            )
        return TrainingCurves(**arrays, total_steps=self._recipe.steps, provenance=provenance)

    def result(self) -> TopKSAE:
        """Return the dictionary so far."""
        assert self._trainer is not None
        curves = self._curves()
        state = {} if curves.complete else self._trainer.state()
        return TopKSAE(self._trainer.weights(), self._recipe.k, self._place, curves, state)
