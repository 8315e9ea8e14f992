"""The QK and OV circuits of heads: which token attends to which, and what attending to one promotes, by weights alone.

A token is its embedding, as if that were all of the stream: the norm before attention is applied to it exactly. What a
head writes meets the last norm at size 1, and logits stand above their mean over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.copying import Copying
from interp_widgets.models.meeting import Meeting, meeting
from interp_widgets.models.probe import probe_ids
from interp_widgets.models.straight import Norm, Straight

_TOKENS = 4096
_UNITS = 256


class Circuits:
    """The circuits of one model."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.straight = Straight(access)
        self.copying = Copying(access, self.straight)
        self._meetings: dict[int, Meeting | None] = {}
        self._mean: dict[int, torch.Tensor] = {}

    def missing(self, layers: tuple[int, ...]) -> str | None:
        """Why circuits cannot be read off the weights, None if they can be."""
        for site in ("q", "k", "v", "z"):
            if (why := self._access.missing(site)) is not None:
                return why
        return self.copying.missing(layers)

    def meeting(self, layer: int) -> Meeting | None:
        """How queries and keys of a layer meet; None where their score is no product."""
        if layer not in self._meetings:
            known = [found for found in dict.fromkeys(self._meetings.values()) if found is not None]
            self._meetings[layer] = meeting(self._access, layer, known) if self._projects(layer) else None
        return self._meetings[layer]

    @torch.no_grad()
    def _projects(self, layer: int) -> bool:
        """Whether queries and keys are what their projections make of the normed stream, as the model itself runs."""
        if any(all(weight.ndim < 2 for weight in part.parameters()) for part in self._modules(layer)):
            return False  # norms over all heads (OLMo 2), which read what projections make
        ids = probe_ids(self._access.opened.module)[:1].to(self._access.opened.device)
        runs = self._access.read(ids, ("q", "k"))
        made = self.queries_and_keys(layer, runs.stream[layer][0].float())
        layout = self._access.inside.heads
        if layout is None:
            return False
        keys = runs.site("k", layer)[0].repeat_interleave(layout.group, dim=1)
        there = (runs.site("q", layer)[0], keys)
        pairs = zip(made, there, strict=True)
        return all(bool((mine - own.to(mine)).abs().max() <= 1e-2 * own.abs().max()) for mine, own in pairs)

    def _modules(self, layer: int) -> list[nn.Module]:
        """What hands over queries, keys and values: three modules, or one."""
        layout = self._access.inside.heads
        assert layout is not None
        attention = self._access.anatomy.blocks[layer].get_submodule(layout.where.attention)
        return [attention.get_submodule(path) for path in layout.where.qkv]

    @torch.no_grad()
    def positions(self, length: int) -> torch.Tensor:
        """Return what is added to token embeddings at each position, (position, d_model); zeros where nothing is."""
        ids = torch.zeros(1, length, dtype=torch.long, device=self._access.opened.device)
        stream = self._access.read(ids, ()).stream[0][0].float()
        return stream - self.copying.embedded(ids[0]).to(stream.device)

    @torch.no_grad()
    def queries_and_keys(self, layer: int, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what rows of the stream, (row, d_model), make as queries and as keys, (row, head, d_head)."""
        return self._projected("q", layer, self._entering(layer, rows)), self._keys(layer, self._entering(layer, rows))

    @torch.no_grad()
    def mean_key(self, layer: int) -> torch.Tensor:
        """Return the mean over the vocabulary of the keys that tokens make, (head, d_head)."""
        if layer not in self._mean:
            total = torch.zeros(())
            for tokens in self._vocabulary():
                total = total + self._entering(layer, self.copying.embedded(tokens)).double().sum(0)
            self._mean[layer] = self._keys(layer, (total / self._access.n_vocab).float()[None])[0]
        return self._mean[layer]

    @torch.no_grad()
    def scores(self, layer: int, rows: torch.Tensor, offset: int) -> torch.Tensor:
        """Return how strongly each row as a query attends to each as a key, (head, query, key), before softmax.

        Above the mean over keys of the whole vocabulary, which softmax does not see.
        """
        found = self.meeting(layer)
        if found is None:
            raise AssertionError("the caller asks for the meeting first")
        queries, keys = self.queries_and_keys(layer, rows)
        return torch.einsum(
            "qhi,ij,khj->hqk", queries, found.at(offset).to(queries.device), keys - self.mean_key(layer)
        )

    @torch.no_grad()
    def by_offset(self, layer: int, rows: torch.Tensor, places: torch.Tensor, n_offsets: int) -> torch.Tensor:
        """Return the mean score by offset, (head, offset), above the mean of these offsets.

        Args:
            layer: of the heads.
            rows: embeddings of tokens, (row, d_model); the mean is over all pairs of them.
            places: what positions add, (position, d_model), twice as many as there are offsets.
            n_offsets: 0 and so on.
        """
        found = self.meeting(layer)
        if found is None:
            raise AssertionError("the caller asks for the meeting first")
        made = [self.queries_and_keys(layer, rows + place) for place in places]
        queries = torch.stack([query.mean(0) for query, _ in made])
        keys = torch.stack([key.mean(0) for _, key in made])
        half = len(places) - n_offsets
        scores = torch.stack(
            [
                torch.einsum(
                    "phi,ij,phj->hp",
                    queries[half:],
                    found.at(offset).to(queries.device),
                    keys[half - offset : len(places) - offset],
                ).mean(1)
                for offset in range(n_offsets)
            ],
            dim=1,
        )
        return scores - scores.mean(1, keepdim=True)

    @torch.no_grad()
    def readout(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what a unit along each axis of the stream adds to the logits of tokens, (d_model, token)."""
        width = int(self._access.opened.config.hidden_size)
        return torch.cat([self._logits(some)[:, tokens] for some in torch.split(torch.eye(width), _UNITS)])

    @torch.no_grad()
    def moved(self, layer: int, rows: torch.Tensor) -> torch.Tensor:
        """Return what each head writes where it attends to a row, (row, head, d_model)."""
        written = self.straight.heads(layer, rows / self._norm(layer).size(rows))
        if written is None:
            raise AssertionError("`missing` has seen to it")
        return written

    @torch.no_grad()
    def factors(self, layer: int, head: int, offset: int) -> Generator[None, None, tuple[Factors, Factors | None]]:
        """Return the whole OV circuit and the whole QK circuit of a head, as products of narrow matrices.

        A generator that pauses after some tokens.
        """
        layout = self._access.inside.heads
        ending = self.straight.ending("attn", layer)
        if layout is None or ending is None:
            raise AssertionError("`missing` has seen to it")
        values, queries, keys = [], [], []
        found = self.meeting(layer)
        for tokens in self._vocabulary():
            rows = self.copying.embedded(tokens)
            made = self.straight.values(layer, rows / self._norm(layer).size(rows))
            if made is None:
                raise AssertionError("`missing` has seen to it")
            values.append(made[:, head])
            if found is not None:
                query, key = self.queries_and_keys(layer, rows)
                queries.append(query[:, head])
                keys.append(key[:, head] - self.mean_key(layer)[head])
            yield
        unit = torch.zeros(layout.d_head, layout.n_heads, layout.d_head)
        unit[:, head] = torch.eye(layout.d_head)
        out = self._logits(ending.carried(unit.flatten(1).to(self._access.opened.device)))
        moved = Factors(torch.cat(values), out)
        if found is None:
            return moved, None
        return moved, Factors(torch.cat(queries) @ found.at(offset).to(queries[0].device), torch.cat(keys).T)

    def _vocabulary(self) -> Iterator[torch.Tensor]:
        yield from torch.split(torch.arange(self._access.n_vocab), _TOKENS)

    def _norm(self, layer: int) -> Norm:
        norm = self.straight.before("attn", layer)
        if norm is None:
            raise AssertionError("`missing` has seen to it")
        return norm

    def _entering(self, layer: int, rows: torch.Tensor) -> torch.Tensor:
        """What attention gets of rows of the stream: the norm as it is."""
        norm = self._norm(layer)
        rows = rows.to(norm.gain.device)
        return norm.through(rows) / norm.size(rows) + norm.bias

    def _keys(self, layer: int, entering: torch.Tensor) -> torch.Tensor:
        layout = self._access.inside.heads
        assert layout is not None
        return self._projected("k", layer, entering).repeat_interleave(layout.group, dim=1)

    def _projected(self, site: str, layer: int, entering: torch.Tensor) -> torch.Tensor:
        layout = self._access.inside.heads
        assert layout is not None
        modules = self._modules(layer)
        module = modules[0] if len(modules) == 1 else modules["qkv".index(site)]
        weight = next(p for p in module.parameters() if p.is_floating_point())
        raw = module(entering.to(weight)[None]).float()
        return layout.take(site, raw, (1, len(entering)))[0]  # type: ignore[arg-type]

    def _logits(self, rows: torch.Tensor) -> torch.Tensor:
        logits = self.straight.logits(rows)
        if logits is None:
            raise AssertionError("`missing` has seen to it")
        return logits


class Factors:
    """A matrix of the size of the vocabulary squared, as a product that is never made as a whole."""

    def __init__(self, left: torch.Tensor, right: torch.Tensor) -> None:
        self.left, self.right = left, right.to(left.device)

    @torch.no_grad()
    def extremes(self, n: int, n_tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
        """Go through it some rows at a time, and yield the n largest and the n smallest entries so far.

        Each as (entry, 3): row, column and value, float64; and the share of rows that were gone through. Of the columns
        the first `n_tokens` count.
        """
        highest = lowest = torch.zeros(0, 3, dtype=torch.float64)
        for first in range(0, len(self.left), _UNITS):
            block = self.left[first : first + _UNITS] @ self.right[:, :n_tokens]
            highest = _kept(highest, block, first, n, 1)
            lowest = _kept(lowest, block, first, n, -1)
            yield highest, lowest, min(1.0, (first + _UNITS) / len(self.left))


def _kept(before: torch.Tensor, block: torch.Tensor, first: int, n: int, sign: int) -> torch.Tensor:
    top = (sign * block).flatten().topk(min(n, block.numel()))
    rows, columns = top.indices // block.shape[1] + first, top.indices % block.shape[1]
    more = torch.stack([rows.double(), columns.double(), sign * top.values.double()], dim=1).cpu()
    both = torch.cat([before, more])
    return both[(sign * both[:, 2]).argsort(descending=True, stable=True)[:n]]
