"""Cards of latents as they are found out, one request after the other, while other work goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeAlias

from interp_widgets.results.errors import ResultError
from interp_widgets.results.latent import LatentCard
from interp_widgets.views._job import Job

Cards: TypeAlias = "tuple[LatentCard, ...]"
CardsOf: TypeAlias = "Callable[[Sequence[int]], Generator[Cards, None, Cards]]"
"""Starts to find out about some latents, in steps that may run the model."""
Reply: TypeAlias = "Callable[[Callable[[], str]], None]"
"""Answers the page with what a call returns, or with the error that it raises."""

_TAKEN = 0.3
"""Seconds between two states of cards that are being found."""


class HasCards(Protocol):
    """A view that shows cards."""

    cards: dict[int, LatentCard]


class CardFinder:
    """Finds out about latents whose cards a view has not.

    Args:
        view: what shows them.
        cards_of: finds them out; None where there is no model.
    """

    def __init__(self, view: HasCards, cards_of: CardsOf | None) -> None:
        self._view = view
        self._cards_of = cards_of
        self._jobs: dict[int, Job[Cards]] = {}
        self._waiting: dict[int, list[Reply]] = {}
        self._taken = 0.0

    @property
    def can_find(self) -> bool:
        """Whether there is a model to find cards with."""
        return self._cards_of is not None

    def find(self, latent: int) -> Job[Cards] | None:
        """Return what finds out about a latent; None if its card is there.

        Raises:
            ResultError: it is not there, and there is no model.
        """
        if latent in self._jobs:
            return self._jobs[latent]
        if latent in self._view.cards:
            return None
        return self.start([latent])

    def start(self, latents: Sequence[int]) -> Job[Cards] | None:
        """Find out about latents together; None if there are none.

        Raises:
            ResultError: there is no model.
        """
        if not latents:
            return None
        if self._cards_of is None:
            raise ResultError(
                f"this result has no card of latent {latents[0]}, and the view came without a model to make one. "
                "Compute cards with run_latent_cards, or call card() on the view that show_features returns."
            )
        job: Job[Cards] = Job(
            self._cards_of(latents), lambda _: (0, 1), on_step=self._take, on_end=lambda: self._end(job, latents)
        )
        self._take(job.partial)
        if job.state == "running":
            self._jobs |= dict.fromkeys(latents, job)
        return job

    def answer(self, latent: int, reply: Reply, loop: asyncio.AbstractEventLoop | None) -> None:
        """Answer when the card of a latent is there, or cannot be; it runs where the work is done."""
        try:
            job = self.find(latent)
        except Exception as error:  # whatever it is, the page waits for an answer
            reply(lambda error=error: raised(error))  # type: ignore[misc]
            return
        if job is None or job.state != "running":
            reply(lambda: "found" if job is None else _outcome(job))
            return
        self._waiting.setdefault(latent, []).append(reply)
        if loop is None:
            job.drain()
        else:
            job.start(loop)

    def drain(self) -> None:
        """Find out all that was begun."""
        for job in [*self._jobs.values()]:
            job.drain()

    def cancel(self) -> None:
        """Stop."""
        for job in [*self._jobs.values()]:
            job.cancel()

    def _take(self, cards: Cards | None) -> None:
        """Show what is found so far, a few times a second at most: all cards travel at once."""
        if cards is None:
            return
        if time.monotonic() - self._taken >= _TAKEN or not {card.latent for card in cards} <= self._view.cards.keys():
            self._taken = time.monotonic()
            self._view.cards = {**self._view.cards, **{card.latent: card for card in cards}}

    def _end(self, job: Job[Cards], latents: Sequence[int]) -> None:
        if job.error is None:
            self._taken = 0.0
            self._take(job.partial)
        else:  # so that it can be asked for again
            self._view.cards = {latent: card for latent, card in self._view.cards.items() if latent not in latents}
        for latent in latents:
            self._jobs.pop(latent, None)
            for reply in self._waiting.pop(latent, ()):
                reply(lambda: _outcome(job))


def _outcome(job: Job[Cards]) -> str:
    return raised(job.error) if job.error is not None else job.state


def raised(error: BaseException) -> str:
    """Raise an error where an answer is expected."""
    raise error
