"""The strongest examples of latents and how their activations are spread, in memory that does not grow."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

_LOCATION = 2**32
"""Positions of a document are below this, so that a document and a position make one number."""


@dataclass(frozen=True)
class Stretches:
    """Rows of tokens with the latents on them."""

    ids: torch.Tensor
    """(row, position)."""
    taken: torch.Tensor
    """(row, position): which tokens count. Some of every row do."""
    lengths: torch.Tensor
    """(row,): where each row ends and padding begins."""
    documents: torch.Tensor
    """(row,)."""
    offsets: torch.Tensor
    """(row,): position in its document of the first token of each row."""
    activations: torch.Tensor
    """(row, position, latent)."""

    def peaks(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each row's largest size of each latent, and where that is first, both (row, latent)."""
        sizes = self.activations.abs()
        if not bool(self.taken.all()):
            sizes = sizes.masked_fill(~self.taken[..., None], -torch.inf)
        places = sizes.argmax(1)  # of equals the first, which `max` does not promise
        return sizes.gather(1, places[:, None])[:, 0], places


class Strongest:
    """The `k` strongest examples of each latent: at most one of each row, of equals the first in the corpus.

    Args:
        n_latents: how many latents there are.
        k: how many examples to keep of each.
        before: how many tokens to keep before a peak.
        after: how many after it.
        device: where to keep them.
    """

    def __init__(self, n_latents: int, k: int, before: int, after: int, device: torch.device) -> None:
        self._around = torch.arange(-before, after + 1, device=device)
        shape = (n_latents, k)
        self._sizes = torch.full(shape, -torch.inf, device=device)
        self._locations = torch.full(shape, torch.iinfo(torch.int64).max, device=device)
        self.ids = torch.full((*shape, len(self._around)), -1, dtype=torch.int32, device=device)
        """(latent, example, token): -1 beyond the ends of what was run."""
        self.activations = torch.zeros((*shape, len(self._around)), device=device)
        """(latent, example, token)."""

    @property
    def documents(self) -> torch.Tensor:
        """(latent, example): -1 where there is none."""
        return torch.where(self._sizes > -torch.inf, self._locations // _LOCATION, -1)

    @property
    def positions(self) -> torch.Tensor:
        """(latent, example): of the peak in its document; -1 where there is none."""
        return torch.where(self._sizes > -torch.inf, self._locations % _LOCATION, -1)

    def add(self, rows: Stretches, sizes: torch.Tensor, places: torch.Tensor, threshold: float) -> None:
        """Take in rows, with their peaks' sizes and places; what is not above the threshold is no example."""
        sizes = sizes.masked_fill(sizes <= threshold, -torch.inf)
        # Equals of the weakest example count too: rows may come in another order than they have in the corpus.
        better = (sizes >= self._sizes[:, -1]) & (sizes > -torch.inf)
        latents = better.any(0).nonzero()[:, 0]
        if not len(latents):
            return
        k = self._sizes.shape[1]
        locations = rows.documents[:, None] * _LOCATION + rows.offsets[:, None] + places
        all_sizes = torch.cat([self._sizes[latents], sizes[:, latents].T], 1)
        all_locations = torch.cat([self._locations[latents], locations[:, latents].T], 1)
        order = all_locations.argsort(dim=1)
        by_size = torch.argsort(all_sizes.gather(1, order), dim=1, descending=True, stable=True)
        order = order.gather(1, by_size)[:, :k]
        kept = order.clamp(max=k - 1)[..., None].expand(-1, -1, len(self._around))
        ids = self.ids[latents].gather(1, kept)
        activations = self.activations[latents].gather(1, kept)
        which, example = (order >= k).nonzero(as_tuple=True)
        row = order[which, example] - k
        around = places[row, latents[which]][:, None] + self._around
        inside = (around >= 0) & (around < rows.lengths[row, None])
        around = around.clamp(0, rows.ids.shape[1] - 1)
        ids[which, example] = rows.ids[row[:, None], around].int().masked_fill(~inside, -1)
        there = rows.activations[row[:, None], around, latents[which][:, None]]
        activations[which, example] = there.masked_fill(~inside, 0)
        sizes, locations = all_sizes.gather(1, order), all_locations.gather(1, order)
        # Not before here, where memory can no longer run out: then the same rows are added again.
        self._sizes[latents], self._locations[latents] = sizes, locations
        self.ids[latents], self.activations[latents] = ids, activations


class Spread:
    """How often each latent fires how strongly, in bins of equal width.

    A bin's width is a power of two: when an activation lies beyond the last bin, neighbours are merged until it does
    not, so that counts are exact however large activations turn out to be. At least half of the bins are then in use.

    Args:
        n_latents: how many latents there are.
        bins: how many bins each has.
        signed: whether activations may be negative, so that half of the bins are for those.
        device: where to count.
    """

    def __init__(self, n_latents: int, bins: int, *, signed: bool, device: torch.device) -> None:
        self.counts = torch.zeros((n_latents, bins), dtype=torch.int64, device=device)
        self._exponents = torch.full((n_latents,), _NEVER, dtype=torch.int64, device=device)
        self._zero = bins // 2 if signed else 0
        """The bin that begins at 0."""

    @property
    def widths(self) -> torch.Tensor:
        """(latent,): the width of a bin, 0 where nothing was counted."""
        width = torch.ldexp(torch.ones_like(self._exponents, dtype=torch.float64), self._exponents.clamp(min=-1000))
        return torch.where(self._exponents == _NEVER, 0.0, width)

    def with_negatives(self) -> Spread:
        """Return what it is with half of the bins for negative activations, of which there were none so far."""
        if self._zero:
            return self
        n_latents, bins = self.counts.shape
        signed = Spread(n_latents, bins, signed=True, device=self.counts.device)
        zero, room = signed._zero, bins - signed._zero
        # Of those that use more than the half that is left, bins become twice as wide: neighbours are merged.
        wide = self.counts[:, room:].any(1)
        merged = zero + torch.arange(bins, device=self.counts.device) // 2
        signed.counts[wide] = torch.zeros_like(self.counts[wide]).index_add_(1, merged, self.counts[wide])
        signed.counts[~wide, zero:] = self.counts[~wide, :room]
        signed._exponents = self._exponents + wide.long()
        return signed

    def plus(self, latents: torch.Tensor, activations: torch.Tensor) -> Spread:
        """Return what it is with more activations counted, one of a latent each."""
        more = self._widened(latents, activations)
        # Exact, since it only takes from the exponent.
        steps = torch.ldexp(activations.double(), -more._exponents[latents]).floor().long()
        codes = latents * more.counts.shape[1] + steps + more._zero
        more.counts.view(-1).index_add_(0, codes, torch.ones_like(codes))
        return more

    def _widened(self, latents: torch.Tensor, activations: torch.Tensor) -> Spread:
        n_latents, bins = self.counts.shape
        largest = torch.zeros(n_latents, dtype=torch.float64, device=self.counts.device)
        largest.scatter_reduce_(0, latents, activations.double().abs(), "amax")
        # x = m 2^e with m below 1, so that bins of width 2^e hold what is x bins large.
        needed = torch.frexp(largest / (bins - self._zero)).exponent.long()
        needed = torch.where(largest > 0, needed, _NEVER)
        grow = (needed > self._exponents).nonzero()[:, 0]
        steps = (needed - self._exponents)[grow].clamp(max=62)
        from_zero = torch.arange(bins, device=self.counts.device) - self._zero
        merged = (from_zero >> steps[:, None]) + self._zero
        wider = copy.copy(self)
        wider.counts, wider._exponents = self.counts.clone(), self._exponents.clone()
        wider.counts[grow] = torch.zeros_like(self.counts[grow]).scatter_add_(1, merged, self.counts[grow])
        wider._exponents[grow] = needed[grow]
        return wider


_NEVER = -(2**40)
"""The exponent of a latent that never fired."""
