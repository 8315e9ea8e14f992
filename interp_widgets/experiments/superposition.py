"""Superposition in toy models: how many features a model packs into few dimensions, by how sparse they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Sequence
from functools import cache
from importlib.metadata import version

import numpy as np

from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.over import over
from interp_widgets.experiments.toy_code import toy_code
from interp_widgets.experiments.toy_models import HELD_OUT, ToyModels, ToyTask, parse_task
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.superposition import Activation, SuperpositionResult

_CHECKPOINTS = 60
"""How many partial results a training has."""
_LONGEST = 50
"""Most steps between two of them, so that a long training can be watched and cancelled as well."""


def superposition(
    *,
    n_features: int = 5,
    n_hidden: int = 2,
    probabilities: Sequence[float] | float | None = None,
    importance_decay: float = 0.9,
    activation: Activation = "relu",
    correlated: Sequence[Sequence[int]] = (),
    anticorrelated: Sequence[Sequence[int]] = (),
    models: int = 4,
    steps: int = 2000,
    batch: int = 512,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> Generator[SuperpositionResult, None, SuperpositionResult]:
    """Check the arguments at once, and return a generator that trains all models together, some steps at a time.

    Arguments and errors are those of `run_superposition`. The first partial result has the models before their
    training; all are frozen, and the last is returned.

    Yields:
        The result so far.
    """
    task = parse_task(
        n_features,
        n_hidden,
        probabilities,
        importance_decay,
        activation,
        correlated,
        anticorrelated,
        models,
        steps,
        batch,
        learning_rate,
        seed,
    )
    return _train(task)


@over(superposition)
def run_superposition(steps: Generator[SuperpositionResult, None, SuperpositionResult]) -> SuperpositionResult:
    """Train toy models that squeeze features into fewer dimensions, one for each sparsity, all in one batch.

    A model is `ReLU(WᵀWx + b)`: it writes n_features numbers into n_hidden dimensions and reads them out again with the
    same weights. A feature is 0 most of the time and uniform between 0 and 1 when it is on. Its loss is the mean over
    examples of the sum over features of importance times squared error. With dense features a model keeps the most
    important ones, each in a dimension of its own, and drops the rest; the sparser they are, the more of them it keeps,
    in shapes such as antipodal pairs, triangles and pentagons: superposition.

    Args:
        n_features: how many features there are.
        n_hidden: how many dimensions they have to share.
        probabilities: how often a feature is on, 1 minus its sparsity, from 0.001 to 1; one or more. By default eight
            from 1 to 0.01, or from what excluding sets allow.
        importance_decay: feature i has the importance `importance_decay ** i`; 1 makes all equal.
        activation: "relu", or "linear" for a model without one, which never uses superposition.
        correlated: sets of features that are on together or not at all, with independent values: [(0, 1), (2, 3)].
        anticorrelated: sets of features of which no two are ever on together. Each is still on with the probabilities
            given, so a set of two takes probabilities up to 0.5.
        models: how many models to train for each sparsity, from different starting weights. Training may end in a
            poorer arrangement, so the one that loses least on held-out examples stands for its sparsity; all are kept.
        steps: training steps, of Adam with a learning rate that falls to 0 along a cosine.
        batch: fresh examples in each step.
        learning_rate: of the first step.
        seed: of the starting weights and the examples. The same seed gives the same numbers on the same machine.

    Returns:
        Weights, biases and losses of every model, and what follows of them: norms, dimensionality, interference and
        the shapes that features form. After an interrupt, `sys.last_value.partial` is what was trained until then.

    Raises:
        ValueError: a count below 1, a probability that is none or too large for excluding features, a decay or learning
            rate that is not above 0, a seed that is none.
        SelectionError: a feature that does not exist or is in two sets.
        UnknownNameError: an activation that does not exist.
        NonFiniteError: a training that came to infinity or NaN.

    Example:
        >>> from interp_widgets import run_superposition
        >>> dense, sparse = 0, 1
        >>> result = run_superposition(probabilities=(1, 0.05), steps=1000, models=2)
        >>> result.geometry(dense)
        '2 on their own, 3 not kept'
        >>> result.geometry(sparse)
        'pentagon'

    References:
        Elhage et al. 2022, "Toy Models of Superposition", transformer-circuits.pub/2022/toy_model (arXiv:2209.10652).
    """
    return finish(steps)


def _train(task: ToyTask) -> Generator[SuperpositionResult, None, SuperpositionResult]:
    started = time.perf_counter()
    models = ToyModels(task)
    constant = models.constant_losses()
    chunk = max(1, min(_LONGEST, task.steps // _CHECKPOINTS))
    at, curve = [0], [models.losses()]
    seconds = time.perf_counter() - started
    while True:
        result = SuperpositionResult(
            probabilities=task.probabilities,
            importance=task.importance,
            weights=models.weights,
            biases=models.biases,
            curve_steps=np.array(at),
            curves=np.stack(curve),
            constant_losses=constant,
            steps=task.steps,
            activation=task.activation,
            provenance=_provenance(task, models, seconds),
            correlated=task.correlated,
            anticorrelated=task.anticorrelated,
            code=toy_code(task),
        )
        if result.complete:
            return result
        yield result
        started = time.perf_counter()
        models.train(min(chunk, task.steps - models.step))
        at.append(models.step)
        curve.append(models.losses())
        seconds += time.perf_counter() - started


def _provenance(task: ToyTask, models: ToyModels, seconds: float) -> Provenance:
    inside = "WᵀWx + b"
    return Provenance(
        model=f"ReLU({inside})" if task.activation == "relu" else inside,
        fingerprint=models.fingerprint,
        dtype="float32",
        versions=_versions(),
        forward_passes=float(models.step * task.batch),
        seconds=seconds,
        settings={
            "steps": f"{task.steps} of {task.batch} examples, Adam from {task.learning_rate:g} down a cosine",
            "importance": "equal" if task.importance_decay == 1 else f"{task.importance_decay:g} of the one before",
            "compared on": f"{HELD_OUT} others",
            "seed": str(task.seed),
        },
    )


@cache
def _versions() -> dict[str, str]:
    # Read where it is loaded already: importing the root from here would turn the direction of imports around.
    own = str(sys.modules[__name__.partition(".")[0]].__version__)
    return {"interp_widgets": own, "torch": version("torch")}
