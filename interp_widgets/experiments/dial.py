"""A finger on the dial: turn one latent of a text that is being looked at, and read at once what changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from interp_widgets.experiments.steering import ends_of, parse_strengths, text_of
from interp_widgets.experiments.turning import OfLatent, Turn, continued
from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.families import context_length
from interp_widgets.models.harvest import harvest
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.probe import n_vocab
from interp_widgets.results.dial import DialReading
from interp_widgets.results.errors import NonFiniteError, PromptError, SelectionError, unknown_name
from interp_widgets.results.patching import Prediction
from interp_widgets.results.steering import MODES, Mode

DIAL_MODES: tuple[Mode, ...] = tuple(mode for mode in MODES if mode != "project_out")
"""What can be done with a latent."""


@torch.no_grad()
def dial(
    access: Access,
    ids: Sequence[int],
    dictionary: Dictionary,
    latent: int,
    *,
    mode: Mode,
    strength: float,
    at: int | None = None,
    n_tokens: int = 12,
    top_k: int = 5,
) -> DialReading:
    """Run a text twice in one batch, once with a latent turned, and continue both greedily.

    A text that leaves no room for `n_tokens` in the model's context is read from where it does.

    Args:
        access: the model.
        ids: token ids of the text, up to where the next token is asked for.
        dictionary: of the latent.
        latent: which one.
        mode: "add", "clamp", "scale" or "ablate", as for `run_steering`.
        strength: how far.
        at: the position at which it is turned; None for all of them, and the tokens to come.
        n_tokens: how many tokens to go on with.
        top_k: how many of the likeliest next tokens to tell.

    Raises:
        UnknownNameError: no such mode.
        ValueError: a strength that is no finite number.
        SelectionError: a latent or a position that does not exist.
        PromptError: no tokens.
        NonFiniteError: NaN or infinity with the latent turned.
    """
    if mode not in DIAL_MODES:
        raise unknown_name("mode", mode, DIAL_MODES)
    (amount,) = parse_strengths(strength)
    if not is_whole(latent) or not 0 <= latent < dictionary.info.n_latents:
        raise SelectionError(f"There is no latent {latent!r}: they run from 0 to {dictionary.info.n_latents - 1}.")
    if not ids:
        raise PromptError("There are no tokens to turn a latent on.")
    if at is not None and not (is_whole(at) and 0 <= at < len(ids)):
        raise SelectionError(f"There is no position {at!r}: they run from 0 to {len(ids) - 1}.")
    opened = access.opened
    n_tokens = n_tokens if opened.n_answers == n_vocab(opened.module) else 0
    context = context_length(opened.config)
    left_out = max(0, len(ids) + n_tokens - context) if context is not None else 0
    if at is not None and at < left_out:
        raise SelectionError(f"Position {at} is too far from the last one: the model reads {context} tokens at a time.")
    tokens = torch.tensor([list(ids)[left_out:]] * 2, device=opened.device)
    length = tokens.shape[1]
    taken = torch.ones(length + n_tokens, dtype=torch.bool)
    if at is not None:
        taken = torch.arange(len(taken)) == at - left_out
    coordinate = OfLatent(access, dictionary, latent)
    turn = Turn(mode, torch.tensor([math.nan, amount]), taken)
    logits = coordinate.logits(tokens, turn.upto(length))
    if not torch.isfinite(logits).all():
        raise NonFiniteError(f"Strength {amount:g} gives NaN or infinity. Turn the latent less far.")
    added = continued(coordinate, tokens, logits.argmax(-1), turn, n_tokens, ends_of(access)).numpy()
    logprobs = logits.log_softmax(-1)
    there = harvest(access, tokens[:1], dictionary.info.reads, lambda found: found)
    values = dictionary.encode_some(there, torch.tensor([latent]))[0, :, 0]
    values = values[taken[:length].to(values.device)]
    before, after = (_predictions(access, row, top_k) for row in logprobs)
    return DialReading(
        latent=latent,
        mode=mode,
        strength=amount,
        at=at,
        activation=float(values[values.abs().argmax()]),
        before=before,
        after=after,
        kl=max(0.0, float((logprobs[0].exp() * (logprobs[0] - logprobs[1])).sum())),
        text_before=text_of(opened, added[0]),
        text_after=text_of(opened, added[1]),
    )


def dial_on_request(access: Access, dictionary: Dictionary) -> Callable[[Sequence[int], int, Mode, float], DialReading]:
    """Return what reads tokens with a latent of a dictionary turned: which, how, and how far."""

    def turned(ids: Sequence[int], latent: int, mode: Mode, strength: float) -> DialReading:
        return dial(access, ids, dictionary, latent, mode=mode, strength=strength)

    return turned


def _predictions(access: Access, logprobs: torch.Tensor, top_k: int) -> tuple[Prediction, ...]:
    top, ids = logprobs.topk(min(top_k, len(logprobs)))
    labels = access.opened.answer_labels
    return tuple(
        Prediction(labels.token(token), prob) for token, prob in zip(ids.tolist(), top.exp().tolist(), strict=True)
    )
