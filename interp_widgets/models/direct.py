"""The stream at one token as a sum of what components add, and what each does to the logits by itself.

The last norm is held at what it divides by at that token. Logits are then linear in what is added to the stream: the
direct effects of all components and the biases together are the model's logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from interp_widgets.models.access import Access, Runs
from interp_widgets.models.straight import Norm, Straight, projected, read_back
from interp_widgets.models.tail import tail
from interp_widgets.results.errors import ModelError
from interp_widgets.results.terms import Site

Cell: TypeAlias = "tuple[tuple[str, str | int], ...]"


@dataclass(frozen=True)
class Term:
    """What a component adds to the stream at one token, (d_model,)."""

    component: str
    cell: Cell
    added: torch.Tensor


def whole(site: Site, layer: int, added: torch.Tensor) -> Term:
    """Return what the attention or the MLP of a layer adds, as a whole."""
    noun = "attention" if site == "attn_out" else "MLP"
    return Term(f"{noun} {layer}", (("site", site), ("layer", layer)), added.float())


def terms(access: Access, runs: Runs, row: int, at: int) -> list[Term]:
    """Take the last stream apart at a token: what was embedded there, then each attention and MLP in order.

    Args:
        access: the model.
        runs: with attn_out and mlp_out, as far as the architecture has them.
        row: of the runs.
        at: the token's position.
    """
    sites: tuple[Site, Site] = ("mlp_out", "attn_out") if access.anatomy.mlp_first else ("attn_out", "mlp_out")
    apart = [Term("embedding", (), runs.stream[0][row, at].float())]
    for layer in range(access.n_layers):
        apart += [whole(site, layer, runs.site(site, layer)[row, at]) for site in sites if site in runs.kept]
    return apart


@dataclass(frozen=True)
class Readout:
    """What the last norm and the unembedding make of the stream at one token, the size of the norm held fixed."""

    norm: Norm
    unembedding: nn.Module
    size: torch.Tensor
    """(1,): what the norm divides by at the token."""
    factor: float
    """What the unembedding's output is multiplied by (Granite, Cohere); 1 in most."""
    biases: torch.Tensor
    """(d_vocab,): the logits that no component of the stream adds, by way of the norm's and the unembedding's biases.
    """

    def logits(self, added: torch.Tensor) -> torch.Tensor:
        """Return what is done to the logits, (row, d_vocab), by what is added to the stream, (row, d_model)."""
        return self._logits(added, self.size)

    def ending_at(self, streams: torch.Tensor) -> torch.Tensor:
        """Return the logits, (row, d_vocab), if streams, (row, d_model), were the last, each with a size of its own.

        This is the logit lens (nostalgebraist 2020).
        """
        return self._logits(streams, self.norm.size(streams)) + self.biases

    def reader(self, contrast: torch.Tensor) -> torch.Tensor:
        """Return the direction, (d_model,), whose dot product with what is added is its effect on a sum of logits.

        Args:
            contrast: how much each logit counts, (d_vocab,).
        """
        (direction,) = read_back(self.unembedding, contrast[None], len(self.norm.gain)).to(contrast.device)
        return self.norm.back(direction) / self.size * self.factor

    def _logits(self, added: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        through = self.norm.through(added.to(self.norm.gain.device)) / size
        return projected(self.unembedding, through) * self.factor


def contrast_of(logits: torch.Tensor, answer: int, wrong_answer: int | None) -> torch.Tensor:
    """Say how much each logit counts, (d_vocab,), in the answer's less the wrong answer's, or less the mean of all."""
    contrast = torch.zeros_like(logits) if wrong_answer is not None else torch.full_like(logits, -1 / len(logits))
    contrast[answer] += 1
    if wrong_answer is not None:
        contrast[wrong_answer] -= 1
    return contrast


@torch.no_grad()
def readout(access: Access, straight: Straight, stream: torch.Tensor, logits: torch.Tensor) -> Readout:
    """Hold the last norm at what it divides by at a token.

    Args:
        access: the model.
        straight: its straight paths.
        stream: (d_model,): what leaves the last layer at the token.
        logits: (d_vocab,): what the model says there.

    Raises:
        ModelError: the logits are not linear in the stream, even with the norm held fixed, or it is not known how they
            come about.
    """
    norm, unembedding = straight.last, straight.unembedding
    if unembedding is None:
        raise ModelError(
            f"The unembedding of {access.opened.name}, which makes logits of its last stream, is not known. If you "
            "describe the model, name it: Description(..., unembedding='path')."
        )
    if norm is None:
        raise ModelError(
            f"It is not known how {access.opened.name} makes logits of its last stream: no layer norm or RMS norm was "
            "found right before its unembedding. What components do to the logits directly cannot be told."
        )
    stream = stream.float().to(norm.gain.device)
    size = norm.size(stream)
    logits = logits.float().to(size.device)
    bare = projected(unembedding, norm.through(stream[None]) / size)[0]
    biases = _unmoved(unembedding, norm.bias).to(size.device)
    bare, said = bare.to(size.device), bare.to(size.device) + biases
    factor = float(said @ logits / (said @ said))
    factor = 1.0 if abs(factor - 1) < _rounding(access) else factor
    if float((said * factor - logits).abs().max()) > _rounding(access) * float(logits.abs().max()):
        raise ModelError(_crooked(access))
    return Readout(norm, unembedding, size, factor, biases * factor)


@dataclass(frozen=True)
class AnswerReaders:
    """What reads the answer's logit, less that of the wrong answer, from the stream at some positions of a prompt."""

    directions: torch.Tensor
    """(position, d_model): the dot product with what is added to the stream there is what that does to it."""
    biases: torch.Tensor
    """(position,): what no component of the stream does to it."""
    logits: torch.Tensor
    """(position,): the model's own difference, float64."""
    sizes: torch.Tensor
    """(position,): what the last norm divides by."""
    factor: float
    """What the unembedding's output is multiplied by."""


@torch.no_grad()
def answer_readers(
    access: Access, straight: Straight, ids: torch.Tensor, last: torch.Tensor, answer: int, wrong_answer: int | None
) -> AnswerReaders:
    """Hold the last norm at what it divides by at some positions, and find what reads the answer there.

    Args:
        access: the model.
        straight: its straight paths.
        ids: the prompt, (position,).
        last: what leaves the last layer at these positions, (position, d_model).
        answer: the token whose logit is taken apart.
        wrong_answer: the token whose logit is taken off; None for the mean over the vocabulary.

    Raises:
        ModelError: as for `readout`.
    """
    directions, biases, logits, sizes = [], [], [], []
    unit: torch.Tensor | None = None
    for stream, said in zip(last, tail(access, ids, last), strict=True):
        held = readout(access, straight, stream, said)
        contrast = contrast_of(said.to(held.biases.device), answer, wrong_answer)
        if unit is None:  # all that differs between positions is what the norm divides by
            unit = held.reader(contrast) * held.size / held.factor
        directions.append(unit / held.size * held.factor)
        biases.append(held.biases @ contrast)
        logits.append(said.to(contrast.device).double() @ contrast.double())
        sizes.append(held.size.reshape(()))
    return AnswerReaders(
        torch.stack(directions), torch.stack(biases), torch.stack(logits), torch.stack(sizes), held.factor
    )


def _unmoved(unembedding: nn.Module, bias: torch.Tensor) -> torch.Tensor:
    weight = next((p for p in unembedding.parameters() if p.is_floating_point()), bias)
    made: torch.Tensor = unembedding(bias[None].to(weight.dtype))[0]
    return made.float()


def _rounding(access: Access) -> float:
    dtype = next(access.opened.module.parameters()).dtype
    return max(1e-4, 16 * torch.finfo(dtype).eps)


def _crooked(access: Access) -> str:
    cap = getattr(access.opened.config, "final_logit_softcapping", None)
    if cap:
        return (
            f"{access.opened.name} caps its logits at {cap:g} (final_logit_softcapping), so that they are no sum of "
            "what components do to them. Set final_logit_softcapping of its config to None to look at the model "
            "without the cap."
        )
    return (
        f"The logits of {access.opened.name} are not what its last norm and its unembedding make of the stream at this "
        "position, so that what components do to them directly cannot be told."
    )
