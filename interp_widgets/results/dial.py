"""What turning one latent does to what the model says next."""

from __future__ import annotations

from dataclasses import dataclass

from interp_widgets.results.patching import Prediction
from interp_widgets.results.steering import Mode


@dataclass(frozen=True)
class DialReading:
    """The model's next tokens, and what it goes on with, as it is and with a latent turned."""

    latent: int
    mode: Mode
    strength: float
    at: int | None
    """The position at which it was turned; None for all, those of the tokens to come among them."""
    activation: float
    """Of the latent before, at that position, or the largest of all."""
    before: tuple[Prediction, ...]
    """The likeliest next tokens."""
    after: tuple[Prediction, ...]
    kl: float
    """KL(before || after) of the next token, in nats."""
    text_before: str
    """What the model goes on with, greedily."""
    text_after: str

    def summary(self) -> str:
        """Say in words what turning it did."""
        where = "everywhere" if self.at is None else f"at position {self.at}"
        top, now = self.before[0], self.after[0]
        same = top.token == now.token
        change = f"{top.token.label} stays first" if same else f"{top.token.label} becomes {now.token.label}"
        return (
            f"Latent {self.latent}, {self.mode} {self.strength:g} {where}: {change} "
            f"({top.prob:.0%} to {now.prob:.0%}), KL {self.kl:.3g} nats."
        )
