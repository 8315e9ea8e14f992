"""One step after another of training a TopK dictionary, whatever its activations come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from interp_widgets.models.dictionaries.strongest import strongest
from interp_widgets.models.dictionaries.topk_parts import TopKWeights
from interp_widgets.results.errors import NonFiniteError

_AUXILIARY_WEIGHT = 1 / 32
_WARM_UP = 0.05
_DECAY = 0.2
_EPS = 6.25e-10
"""Adam's, which the paper found to matter: gradients of latents that fire seldom are small."""


@dataclass(frozen=True)
class Recipe:
    """The numbers that a training follows from, besides its activations."""

    n_latents: int
    k: int
    steps: int
    batch: int
    """Activations in a step."""
    rate: float
    """Adam's learning rate, after the first 5% of steps, in which it rises from 0, and before the last 20%, in which
    it falls to 0."""
    dead_after: int
    """A latent is dead that has not fired on so many tokens."""
    seed: int

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        rising = (step + 1) / max(1.0, _WARM_UP * self.steps)
        falling = (self.steps - step) / max(1.0, _DECAY * self.steps)
        return self.rate * min(1.0, rising, falling)


@dataclass(frozen=True)
class Step:
    """What was measured in a step, before the weights changed."""

    loss: float
    unexplained: float
    l0: float
    auxiliary: float


class Trainer:
    """A TopK dictionary that learns (Gao et al. 2024).

    Activations are multiplied by one number, which makes their mean squared distance from their mean d_in, so that one
    learning rate fits all models. `weights` are those for activations as they are.
    """

    def __init__(self, recipe: Recipe, sample: torch.Tensor) -> None:
        """Begin: decoder rows point anywhere, the encoder is the decoder, the centre is the sample's mean.

        Args:
            recipe: its numbers.
            sample: some activations, (row, d_in); on their device everything is computed.

        Raises:
            NonFiniteError: they are all the same, so that there is nothing to explain.
        """
        self.recipe = recipe
        self.step_number = 0
        centre = sample.mean(0)
        d_in, device = sample.shape[1], sample.device
        spread = float((sample - centre).square().sum(1).mean())
        if not spread > 0:
            raise NonFiniteError(
                "The activations are all the same, so that there is nothing to explain. Train on more texts."
            )
        self._scale = math.sqrt(d_in / spread)
        generator = torch.Generator().manual_seed(recipe.seed)
        rows = functional.normalize(torch.randn(recipe.n_latents, d_in, generator=generator), dim=1).to(device)
        self._weights = TopKWeights(
            encoder=rows.clone(),
            encoder_bias=torch.zeros(recipe.n_latents, device=device),
            decoder=rows,
            centre=centre * self._scale,
        )
        self._learned = list(vars(self._weights).values())
        for tensor in self._learned:
            tensor.requires_grad_()
        fused = device.type in ("cpu", "cuda")
        self._adam = torch.optim.Adam(self._learned, lr=recipe.rate, betas=(0.9, 0.999), eps=_EPS, fused=fused)
        self._silent = torch.zeros(recipe.n_latents, dtype=torch.int64, device=device)
        """For how many tokens each latent has not fired."""

    @property
    def dead(self) -> torch.Tensor:
        """Which latents have not fired for `dead_after` tokens, (n_latents,)."""
        return self._silent >= self.recipe.dead_after

    def step(self, activations: torch.Tensor) -> Step:
        """Learn from activations, (row, d_in), and say how well they were reconstructed.

        Raises:
            NonFiniteError: the loss is no number.
        """
        x = activations * self._scale
        weights, dead = self._weights, self.dead
        inputs = x - weights.centre
        strengths, latents = strongest(inputs, weights.encoder, weights.encoder_bias, self.recipe.k)
        written = functional.embedding_bag(latents, weights.decoder, per_sample_weights=strengths, mode="sum")
        error = inputs - written
        unexplained = error.square().sum() / (x - x.mean(0)).square().sum()
        auxiliary = self._auxiliary(inputs.detach(), error.detach(), dead)
        loss = unexplained + _AUXILIARY_WEIGHT * auxiliary
        if not torch.isfinite(loss):
            raise NonFiniteError(
                f"The loss of step {self.step_number} is {float(loss.detach())}. Lower the learning rate, "
                f"rate={self.recipe.rate:g}."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        self._descend()
        fired = torch.zeros_like(dead).index_fill_(0, latents[strengths > 0], True)
        self._silent = torch.where(fired, 0, self._silent + len(x))
        l0 = float((strengths > 0).sum()) / len(x)
        return Step(float(loss.detach()), float(unexplained.detach()), l0, float(auxiliary.detach()))

    def _auxiliary(self, inputs: torch.Tensor, error: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
        """Let the strongest dead latents explain the error, so that they get gradients: AuxK, appendix A.2."""
        numbers = dead.nonzero()[:, 0]
        variance = (error - error.mean(0)).square().sum()
        if not len(numbers) or not variance > 0:
            return error.new_zeros(())
        weights = self._weights
        k = min(len(numbers), max(1, inputs.shape[1] // 2))
        pre = functional.linear(inputs, weights.encoder[numbers], weights.encoder_bias[numbers])
        # No relu, which would leave without a gradient the latents that are dead because they are below zero.
        largest, at = pre.topk(k, dim=-1, sorted=False)
        explained = functional.embedding_bag(at, weights.decoder[numbers], per_sample_weights=largest, mode="sum")
        return (error - explained).square().sum() / variance

    def _descend(self) -> None:
        """Make a step of Adam that keeps the decoder's rows at unit length."""
        decoder = self._weights.decoder
        with torch.no_grad():
            towards = decoder.grad
            assert towards is not None
            # What only changes a row's length would spoil Adam's moments, as the length is set back afterwards.
            towards -= (towards * decoder).sum(1, keepdim=True) * decoder
            for group in self._adam.param_groups:
                group["lr"] = self.recipe.rate_at(self.step_number)
            self._adam.step()
            self._adam.zero_grad(set_to_none=True)
            functional.normalize(decoder, dim=1, out=decoder)
        self.step_number += 1

    def weights(self) -> TopKWeights:
        """Return a copy of what was learned, for activations as they are."""
        now = {name: tensor.detach().clone() for name, tensor in vars(self._weights).items()}
        # The rows stay as they are, of unit length: it is the latents that become smaller.
        now["encoder_bias"] /= self._scale
        now["centre"] /= self._scale
        return TopKWeights(**now)

    def state(self) -> dict[str, torch.Tensor]:
        """Return copies of all that a later trainer needs to go on."""
        tensors = {"silent": self._silent, "scale": torch.tensor(self._scale, dtype=torch.float64)}
        tensors |= {"step": torch.tensor(self.step_number)}
        for (name, tensor), learned in zip(vars(self._weights).items(), self._learned, strict=True):
            moments = self._adam.state[learned]
            tensors[name] = tensor
            tensors |= {f"{name}.mean": moments["exp_avg"], f"{name}.square": moments["exp_avg_sq"]}
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""
        self._scale, self.step_number = float(state["scale"]), int(state["step"])
        self._silent = state["silent"].to(self._silent.device)
        with torch.no_grad():
            for (name, tensor), learned in zip(vars(self._weights).items(), self._learned, strict=True):
                tensor.copy_(state[name])
                self._adam.state[learned] = {
                    "step": torch.tensor(float(self.step_number), device=tensor.device),
                    "exp_avg": state[f"{name}.mean"].to(tensor.device).clone(),
                    "exp_avg_sq": state[f"{name}.square"].to(tensor.device).clone(),
                }
