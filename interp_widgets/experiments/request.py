"""What a patching grid is asked to do, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from interp_widgets.experiments.metrics import Metric, Metrics
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.families import context_length
from interp_widgets.models.labels import Labels
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.probe import n_vocab
from interp_widgets.models.prompts import PromptPair, Prompts, parse_pairs
from interp_widgets.results.errors import AnswerError, SelectionError, SiteError
from interp_widgets.results.terms import Direction, Site, parse_direction, parse_site


@dataclass(frozen=True)
class Request:
    """A grid to compute; all of it is known to make sense for the model."""

    access: Access
    pairs: tuple[PromptPair, ...]
    answers: tuple[int | None, ...]
    """Token id for each pair; None where the model's own top prediction is to stand in."""
    wrong_answers: tuple[int | None, ...]
    sites: tuple[Site, ...]
    layers: tuple[int, ...]
    positions: tuple[int, ...]
    direction: Direction
    metrics: Metrics
    top_k: int
    max_rows: int | None


def parse_request(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    *,
    answer: Answers,
    wrong_answer: Answers,
    sites: Site | Sequence[Site],
    direction: Direction,
    metric: Metric,
    layers: Sequence[int] | int | None,
    positions: Sequence[int] | int | None,
    top_k: int,
    max_rows: int | None,
    tokenizer: Any | None,
) -> Request:
    """Check all arguments of `patching`, the cheap ones first."""
    chosen = _sites(sites)
    direction = parse_direction(direction)
    metrics = Metrics(metric)
    for name, number in (("top_k", top_k), ("max_rows", max_rows)):
        if number is None and name == "max_rows":
            continue
        if not (is_whole(number) and number >= 1):
            raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")
    opened = open_model(model, tokenizer)
    size = n_vocab(opened.module)
    pairs = parse_pairs(clean, corrupt, tokenizer=opened.tokenizer, n_vocab=size, context=context_length(opened.config))
    answers = parse_answers(answer, "answer", len(pairs), tokenizer=opened.tokenizer, n_vocab=size)
    wrong = parse_answers(wrong_answer, "wrong_answer", len(pairs), tokenizer=opened.tokenizer, n_vocab=size)
    _check_answers(answers, wrong, Labels(opened.tokenizer))
    in_layers = _numbers(layers, "layers", opened.config.num_hidden_layers)
    in_positions = _numbers(positions, "positions", len(pairs[0].clean))
    access = resolve(opened)
    for site in chosen:
        access.check_site(site)
    return Request(access, pairs, answers, wrong, chosen, in_layers, in_positions, direction, metrics, top_k, max_rows)


def _sites(sites: Site | Iterable[Site]) -> tuple[Site, ...]:
    if not isinstance(sites, Iterable) or isinstance(sites, (bytes, bytearray)):
        raise SiteError(f"sites={sites!r} is {kind_of(sites)}. Name sites, for instance sites=('resid_pre',).")
    listed = (sites,) if isinstance(sites, str) else tuple(sites)
    if not listed:
        raise SiteError("sites is empty. Name at least one, for instance sites=('resid_pre',).")
    return tuple(dict.fromkeys(parse_site(site) for site in listed))


def _check_answers(answers: Sequence[int | None], wrong: Sequence[int | None], labels: Labels) -> None:
    for number, (right, other) in enumerate(zip(answers, wrong, strict=True)):
        if right is not None and right == other:
            where = f"of pair {number} " if len(answers) > 1 else ""
            raise AnswerError(
                f"The answer and the wrong answer {where}are the same token, [{labels(right)}], so they cannot be told "
                "apart. Give the token that each prompt calls for."
            )


def _numbers(chosen: Iterable[int] | int | None, name: str, size: int) -> tuple[int, ...]:
    """Return the chosen numbers in increasing order; negative ones count from the end."""
    if chosen is None:
        return tuple(range(size))
    plain = as_plain(chosen)
    if not isinstance(plain, Iterable):
        plain = [plain]
    if isinstance(chosen, (slice, str, bytes)) or any(isinstance(number, slice) for number in plain):
        raise SelectionError(
            f"{name}={chosen!r} is {kind_of(chosen)}. Pass whole numbers, for instance range({size}) for all."
        )
    listed = [as_plain(number) for number in plain]
    if not listed:
        raise SelectionError(f"{name} is empty. Leave it out for all {size}, or name at least one.")
    for number in listed:
        if not (is_whole(number) and -size <= number < size):
            raise SelectionError(f"{name} holds {number!r}, but they run from 0 to {size - 1} (or -{size} to -1).")
    return tuple(sorted({int(number) % size for number in listed}))
