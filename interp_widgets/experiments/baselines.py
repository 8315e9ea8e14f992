"""The two runs that a grid lies between: their answers, and the gap that patches close."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.request import Request
from interp_widgets.models.labels import Labels
from interp_widgets.results.errors import MetricError, NoGapError
from interp_widgets.results.story import Story
from interp_widgets.results.terms import metric_term

_TINY = 1e-3
"""A gap below this share of the metric's scale makes effects ratios of rounding errors."""


_PACKAGE = str(Path(__file__).parents[1])
CALLER: dict[str, Any] = {"skip_file_prefixes": (_PACKAGE,)} if sys.version_info >= (3, 12) else {"stacklevel": 2}
"""Makes a warning point to the line that called this package, where Python can."""


def given_answers(request: Request, pair: int) -> tuple[int | None, int | None]:
    """Return the token ids of the answer and the wrong answer of a pair, None where they were not given."""
    return request.answers[pair], request.wrong_answers[pair]


def choose_answers(request: Request, pair: int, own: tuple[int, int], labels: Labels) -> tuple[int, int]:
    """Return the token ids of the answer and the wrong answer, which are the model's own where none were given.

    Args:
        request: the grid.
        pair: number of the pair.
        own: token ids of the model's own top predictions, which stand in for those.
        labels: names for the message.

    Raises:
        NoGapError: both come out the same, and the metric in front needs two.
    """
    given = given_answers(request, pair)
    answer, wrong = (top if token is None else token for token, top in zip(given, own, strict=True))
    if answer == wrong and request.options.metrics.front == "logit_diff":
        where = f"Pair {pair}: the" if len(request.pairs) > 1 else "The"
        if given == (None, None):
            what = f"model's top next token is '{labels(answer)}' for both prompts"
        else:
            side, name = ("corrupt", "answer") if given[1] is None else ("clean", "wrong_answer")
            what = f"model's top next token for the {side} prompt is '{labels(answer)}', the same as `{name}`"
        raise NoGapError(
            f"{where} {what}, so there is no difference to measure. Give `answer=` and `wrong_answer=`, the tokens "
            "that the clean and the corrupt prompt call for."
        )
    return answer, wrong


def check_gap(
    request: Request,
    story: Story,
    values: NDArray[np.float32],
    logits: torch.Tensor,
    labels: Labels,
    context: MetricContext,
) -> None:
    """Refuse a pair whose two runs score the same, and warn where they nearly do.

    Args:
        request: the grid.
        story: names both sides.
        values: (2,): the metric in front, on either side; the mean over all pairs where shares of that are taken.
        logits: (2, d_vocab): of both sides.
        labels: names for the message.
        context: the pair's answers.

    Raises:
        MetricError: a user's metric gave NaN or infinity.
        NoGapError: both values are equal.
    """
    name = request.options.metrics.front
    pair = context.pair
    clean, corrupt = (float(value) for value in values)
    where = ""
    if len(request.pairs) > 1:
        where = (
            f"{story.noun} {pair}: " if story.averaging == "shares" else f"mean of {len(request.pairs)} {story.noun}s: "
        )
    if not np.isfinite(values).all():
        one, other = story.sides
        raise MetricError(f"{where}metric {name} is {clean} in the {one} and {corrupt} in the {other} run.")
    own = [" (the model's own)" if given[pair] is None else "" for given in (request.answers, request.wrong_answers)]
    answers = f"answer '{labels(context.answer)}'{own[0]}, wrong answer '{labels(context.wrong_answer)}'{own[1]}"
    unit = metric_term(name).unit
    if clean == corrupt:
        raise NoGapError(
            f"{where}both runs score the same {name}, {clean:.4g} {unit}".rstrip()
            + f" ({answers}), so there is no gap for a patch to close. {story.remedy}, or another metric."
        )
    logit_like = name in ("logit_diff", "logprob", "loss")
    scale = float(logits.std(-1).mean()) if logit_like else max(abs(clean), abs(corrupt))
    if abs(clean - corrupt) < _TINY * scale:
        warnings.warn(
            f"{where}the two runs differ by only {abs(clean - corrupt):.2g} {unit or ''}".rstrip()
            + f" in {name} ({answers}), so effects are ratios to next to nothing. {story.remedy}.",
            UserWarning,
            **CALLER,
        )
