"""Turn one coordinate of a model's activations: that along a direction, or one latent of a dictionary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from interp_widgets.models.access import Access, Write
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.harvest import harvest
from interp_widgets.results.dictionary import Place
from interp_widgets.results.steering import Mode
from interp_widgets.results.terms import Site


@dataclass(frozen=True)
class Turn:
    """How far a coordinate is turned in each row of a batch."""

    mode: Mode
    strengths: torch.Tensor
    """(row,): NaN for rows in which nothing is turned."""
    taken: torch.Tensor
    """(position,): the positions at which it is turned."""

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return by how much a coordinate, (row, position), changes."""
        strength = self.strengths.to(values.device)[:, None]
        if self.mode == "add":
            by = strength.expand_as(values)
        elif self.mode == "clamp":
            by = strength - values
        elif self.mode == "scale":
            by = (strength - 1) * values
        else:
            by = -strength * values
        turned = self.taken.to(values.device) & ~strength.isnan()
        return torch.where(turned, by, 0.0)

    def upto(self, length: int) -> Turn:
        """Return the same for the first positions."""
        return replace(self, taken=self.taken[:length])


class Coordinate(ABC):
    """A number at each token that can be turned."""

    access: Access

    @abstractmethod
    def writes(self, ids: torch.Tensor, turn: Turn) -> dict[tuple[Site, int], Write]:
        """Return what to do at which sites of prompts, (row, position) token ids."""

    def logits(self, ids: torch.Tensor, turn: Turn) -> torch.Tensor:
        """Run prompts with the coordinate turned, and return float32 logits at the last position, (row, d_vocab)."""
        return self.access.run(ids, self.writes(ids, turn).get)


@dataclass(frozen=True)
class Along(Coordinate):
    """The coordinate along a direction, at some layers: how many times the direction is contained, x·v / |v|²."""

    access: Access
    vector: torch.Tensor
    """(d,): float32."""
    site: Site
    layers: Sequence[int]

    def writes(self, _ids: torch.Tensor, turn: Turn) -> dict[tuple[Site, int], Write]:
        """Move activations along the direction."""

        def change(activations: torch.Tensor) -> torch.Tensor:
            there = activations.float().flatten(2)
            vector = self.vector.to(there.device)
            by = turn(there @ vector / vector.square().sum())
            return _moved(activations, by[..., None] * vector)

        return {(self.site, layer): change for layer in self.layers}


@dataclass(frozen=True)
class OfLatent(Coordinate):
    """The activation of a latent; the other latents and the dictionary's error stay as they are."""

    access: Access
    dictionary: Dictionary
    latent: int

    def writes(self, ids: torch.Tensor, turn: Turn) -> dict[tuple[Site, int], Write]:
        """Move what the latent writes."""
        info = self.dictionary.info
        # What is read comes before what is written, so that it is the same in a run of its own.
        read = None if info.reads == info.writes else harvest(self.access, ids, info.reads, lambda there: there)

        def change(activations: torch.Tensor) -> torch.Tensor:
            there = activations.float().flatten(2) if read is None else read
            (latent,) = self.dictionary.encode_some(there, torch.tensor([self.latent])).unbind(-1)
            return _moved(activations, self.dictionary.moved(self.latent, turn(latent), there))

        return {_site(info.writes): change}


def _site(place: Place) -> tuple[Site, int]:
    assert place.site != "mlp_in"  # nothing writes there
    return place.site, place.layer


def _moved(activations: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return (activations.float() + by.to(activations.device).reshape(activations.shape)).to(activations.dtype)


@torch.no_grad()
def continued(
    coordinate: Coordinate, ids: torch.Tensor, said: torch.Tensor, turn: Turn, n_tokens: int, ends: frozenset[int]
) -> torch.Tensor:
    """Continue prompts greedily with the coordinate turned all the while.

    Every token is a run of all tokens before it, whatever reads what was turned.

    Args:
        coordinate: what is turned.
        ids: prompts of one length, (row, position).
        said: (row,): the first token that comes after each.
        turn: how far, at the positions of the prompts and of the tokens to come.
        n_tokens: how many tokens to add.
        ends: tokens that end a text.

    Returns:
        The tokens that were added, (row, token); -1 after the end of a text.
    """
    length = ids.shape[1]
    added = torch.full((len(ids), n_tokens), -1)
    rows = torch.arange(len(ids))
    for number in range(n_tokens):
        added[rows, number] = said.cpu()
        going = torch.tensor([token not in ends for token in said.tolist()], dtype=torch.bool)
        rows = rows[going]
        if not len(rows) or number + 1 == n_tokens:
            break
        ids = torch.cat([ids[going.to(ids.device)], said[going.to(said.device), None].to(ids)], 1)
        here = replace(turn.upto(length + number + 1), strengths=turn.strengths[rows])
        said = coordinate.logits(ids, here).argmax(-1)
    return added
