"""How a block's heads lie in what its modules hand over, and what attention makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_widgets.models.families import Heads
from interp_widgets.results.terms import HeadSite

Change = Callable[[torch.Tensor], torch.Tensor]
Shape = tuple[int, int]
"""Rows and positions."""


@dataclass(frozen=True)
class HeadLayout:
    """The heads of a model, and where in its modules' activations they are."""

    where: Heads
    n_heads: int
    n_kv_heads: int
    d_head: int
    order: tuple[str, ...]
    """The projections of queries, keys and values, as the model runs them."""
    limit: float | None = None
    """The size at which values are clipped before they are used."""

    @property
    def group(self) -> int:
        """How many query heads share a key-value head."""
        return self.n_heads // self.n_kv_heads

    def sites_of(self, projection: str) -> tuple[HeadSite, ...]:
        """Return which of q, k and v a projection hands over."""
        sites: tuple[HeadSite, ...] = ("q", "k", "v")
        return sites if len(self.where.qkv) == 1 else (sites[self.where.qkv.index(projection)],)

    def take(self, site: HeadSite, raw: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Copy a site's heads, (row, position, head, d_head), out of what a module handles."""
        return raw.reshape(*shape, -1, self.d_head)[:, :, self._places(site)]

    def put(self, site: HeadSite, raw: torch.Tensor, heads: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Return what a module handles, with a site's heads replaced."""
        changed = raw.reshape(*shape, -1, self.d_head).clone()
        changed[:, :, self._places(site)] = heads
        return changed.reshape(raw.shape)

    def mix(self, pattern: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Weigh values, (row, key, key-value head, d_head), by a pattern: the z that attention makes of them."""
        shared = self.shared(values)
        return torch.einsum("rhqk,rkhd->rqhd", pattern.float(), shared.float()).to(values.dtype)

    def pattern_slope(self, z_slope: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return a gradient by pattern, (row, head, query, key), given that by the z that `mix` makes of it."""
        return torch.einsum("rqhd,rkhd->rhqk", z_slope.float(), self.shared(values).float())

    def makes_up(self, pattern: torch.Tensor, values: torch.Tensor, z: torch.Tensor) -> bool:
        """Whether z is values weighted by a pattern, but for rounding."""
        return agrees(self.mix(pattern, values), self.mix(pattern.abs(), values.abs()), z)

    def shared(self, values: torch.Tensor) -> torch.Tensor:
        """Give each query head the values that it reads, (row, key, head, d_head)."""
        if self.limit is not None:
            values = values.clamp(-self.limit, self.limit)
        return values.repeat_interleave(self.group, dim=2)

    def _places(self, site: HeadSite) -> list[int]:
        """Which of the heads that a module handles are a site's, counted in steps of d_head."""
        if site == "z" or len(self.where.qkv) == 3:
            return list(range(self.n_kv_heads if site in ("k", "v") else self.n_heads))
        if self.where.by_group:
            step = self.group + 2
            if site == "q":
                return [kv * step + head for kv in range(self.n_kv_heads) for head in range(self.group)]
            return [kv * step + self.group + (site == "v") for kv in range(self.n_kv_heads)]
        first = {"q": 0, "k": self.n_heads, "v": self.n_heads + self.n_kv_heads}[site]
        return list(range(first, first + (self.n_heads if site == "q" else self.n_kv_heads)))


@dataclass(frozen=True)
class Columns:
    """A pattern at some keys."""

    first: int
    """The first of these keys."""
    weights: torch.Tensor
    """(row, head, query, key)."""
    values: torch.Tensor
    """(row, key, key-value head, d_head): what is at these keys to be taken."""


@dataclass(frozen=True)
class Attention:
    """One block's attention, as modules."""

    layout: HeadLayout
    projections: Mapping[str, nn.Module]
    out: nn.Module

    def z_of(self, call: Callable[[], Any], shape: Shape, changes: Mapping[HeadSite, Change]) -> torch.Tensor:
        """Call attention, with changes to its queries, keys and values, and return the z that it computes."""
        layout, found = self.layout, []

        def change(path: str) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
            def hook(_module: nn.Module, _args: Any, raw: torch.Tensor) -> torch.Tensor:
                for site in layout.sites_of(path):
                    if site in changes:
                        raw = layout.put(site, raw, changes[site](layout.take(site, raw, shape)), shape)
                return raw

            return hook

        def keep(_module: nn.Module, args: Any) -> None:
            found.append(layout.take("z", args[0], shape))

        with ExitStack() as hooks:
            for path, module in self.projections.items():
                hooks.callback(module.register_forward_hook(change(path)).remove)
            hooks.callback(self.out.register_forward_pre_hook(keep).remove)
            call()
        return found[0]

    def pattern_of(self, call: Callable[[], Any], shape: Shape, changes: Mapping[HeadSite, Change]) -> torch.Tensor:
        """Call attention and return its pattern, (row, head, query, key), with changes to its queries and keys.

        Values become unit vectors, one direction for each key position, so that z says how much was taken from where.
        That is what this very attention computes, in whatever implementation: eager attention, which tells its
        pattern, rounds differently, and in some models leaves out or adds a step.
        """
        return torch.cat([part.weights for part in self.columns_of(call, shape, changes)], dim=-1)

    def columns_of(
        self, call: Callable[[], Any], shape: Shape, changes: Mapping[HeadSite, Change]
    ) -> Iterator[Columns]:
        """Yield that pattern some keys at a time, so that all of it need not be held."""
        layout = self.layout
        unit = min(1.0, layout.limit or 1.0)
        for first in range(0, shape[1], layout.d_head):
            width = min(layout.d_head, shape[1] - first)
            own: list[torch.Tensor] = []

            def units(
                values: torch.Tensor, first: int = first, width: int = width, own: list[torch.Tensor] = own
            ) -> torch.Tensor:
                own.append(values[:, first : first + width])
                marked = torch.zeros_like(values)
                marked[:, first : first + width, :, :width] = unit * torch.eye(width).to(values)[:, None]
                return marked

            z = self.z_of(call, shape, {**changes, "v": units})
            yield Columns(first, (z[..., :width] / unit).transpose(1, 2), own[0])


def agrees(mixed: torch.Tensor, size: torch.Tensor, z: torch.Tensor) -> bool:
    """Whether z is what was mixed, but for rounding, where the sum's terms have a total size of `size`."""
    coarse = z.is_cuda and torch.backends.cuda.matmul.allow_tf32  # which rounds more than its dtype says
    allowed = max(4 * torch.finfo(z.dtype).eps, 2**-8 if coarse else 1e-5)
    return bool(((mixed - z).abs() <= allowed * (size + z.abs())).all())
