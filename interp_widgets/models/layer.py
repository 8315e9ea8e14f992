"""One block inside a trace: its sites are read and written in the order in which the model reaches them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from interp_widgets.models.heads import Attention, Change, Columns, HeadLayout, Shape, agrees
from interp_widgets.models.probe import first_tensor
from interp_widgets.results.errors import ModelError
from interp_widgets.results.terms import HEAD_SITES, HeadSite, Site


@dataclass(frozen=True)
class HeadPlaces:
    """A block's heads, as nnsight's envoys."""

    layout: HeadLayout
    attention: Any
    projections: Mapping[str, Any]
    out: Any

    def read(self, sites: Collection[Site], shape: Shape) -> dict[Site, torch.Tensor]:
        """Return what is at those of the sites that are heads'."""
        wanted = {*sites, "v", "z"} if "pattern" in sites else sites
        found: dict[Site, torch.Tensor] = {}
        if "pattern" in sites:
            found["pattern"] = self._pattern(shape, {})
        for path in self.layout.order:
            for site in self.layout.sites_of(path):
                if site in wanted:
                    found[site] = self.layout.take(site, self.projections[path].output, shape)
        if "z" in wanted:
            found["z"] = self.layout.take("z", self.out.input, shape)
        if "pattern" in sites:
            self._check(self.layout.makes_up(found["pattern"], found["v"], found["z"]))
        return {site: tensor for site, tensor in found.items() if site in sites}

    def write(self, changes: Mapping[Site, Change], shape: Shape) -> None:
        """Change heads. What queries and keys become counts in the pattern, what values become counts in z."""
        layout = self.layout
        before = after = values = None
        if "pattern" in changes:
            qk: dict[HeadSite, Change] = {site: changes[site] for site in HEAD_SITES[1:3] if site in changes}
            before = self._pattern(shape, qk)
            after = changes["pattern"](before)
        for path in layout.order:
            sites = layout.sites_of(path)
            if not any(site in changes for site in sites) and (after is None or "v" not in sites):
                continue
            raw = self.projections[path].output
            for site in sites:
                if site in changes:
                    raw = layout.put(site, raw, changes[site](layout.take(site, raw, shape)), shape)
            if any(site in changes for site in sites):
                self.projections[path].output = raw
            if "v" in sites:
                values = layout.take("v", raw, shape)
        if after is None and "z" not in changes:
            return
        raw = self.out.input
        z = layout.take("z", raw, shape)
        if before is not None and after is not None and values is not None:
            self._check(layout.makes_up(before, values, z))
            moved = (after != before).any(-1).transpose(1, 2)[..., None]
            z = torch.where(moved, layout.mix(after, values), z)
        if "z" in changes:
            z = changes["z"](z)
        self.out.input = layout.put("z", raw, z, shape)

    def scan(self, shape: Shape, use: Callable[[Columns], None]) -> None:
        """Hand the pattern over some keys at a time, so that all of it is never held; then check that z is made of it.

        Raises:
            ModelError: it is not.
        """
        attention, call = self._called()
        mixed: torch.Tensor | None = None
        size: torch.Tensor | None = None
        for part in attention.columns_of(call, shape, {}):
            use(part)
            values = part.values.float()
            more = self.layout.mix(part.weights, values)
            bound = self.layout.mix(part.weights.abs(), values.abs())
            mixed, size = (more, bound) if mixed is None or size is None else (mixed + more, size + bound)
        if mixed is not None and size is not None:
            self._check(agrees(mixed, size, self.layout.take("z", self.out.input, shape)))

    def _pattern(self, shape: Shape, changes: Mapping[HeadSite, Change]) -> torch.Tensor:
        attention, call = self._called()
        return attention.pattern_of(call, shape, changes)

    def _called(self) -> tuple[Attention, Callable[[], Any]]:
        args, kwargs = self.attention.inputs
        modules = {path: envoy._module for path, envoy in self.projections.items()}
        # nnsight lets a module that is called like this run beside the trace, which sees nothing of it.
        return Attention(self.layout, modules, self.out._module), lambda: self.attention(*args, **kwargs)

    def _check(self, holds: bool) -> None:
        if not holds:
            raise ModelError(
                f"z of {self.attention.path} is not its values weighted by its pattern, so that pattern can be neither "
                "read nor changed. An edit that is stored on the model may change queries, keys or z there: clear it, "
                "or use z."
            )


@dataclass
class Layer:
    """A block and what is known of it, as nnsight's envoys."""

    block: Any
    attn: Any | None
    mlp: Any | None
    scale: float
    mlp_first: bool
    heads: HeadPlaces | None = None
    """Heads, `down` and `enters` are each looked for when one of their sites is first asked for."""
    down: Any | None = None
    enters: Any | None = None
    """The module that gets what the MLP gets."""

    def read(self, sites: Collection[Site], stream: torch.Tensor) -> dict[Site, torch.Tensor]:
        """Return what is at the sites inside the block that `stream` enters."""
        kept: dict[Site, torch.Tensor] = {}
        for part in self._in_order():
            if part == "attn":
                if self.heads is not None:
                    kept |= self.heads.read(sites, _shape(stream))
                if "attn_out" in sites:
                    kept["attn_out"] = self._added(self.attn, stream)
            else:
                if "mlp_post" in sites and self.down is not None:
                    kept["mlp_post"] = self.down.input.reshape(*_shape(stream), -1).clone()
                if "mlp_out" in sites:
                    kept["mlp_out"] = self._added(self.mlp, stream)
        return kept

    def write(self, changes: Mapping[Site, Change], stream: torch.Tensor, *, trim: bool = False) -> None:
        """Change sites inside and after the block that `stream` enters; resid_pre is that stream itself.

        With `trim` the MLP runs on the final position alone, unless its neurons are changed.
        """
        for part in self._in_order():
            if part == "attn":
                self._write_attention(changes, stream)
            else:
                self._write_mlp(changes, stream, trim)
        if "resid_post" in changes:
            _replace(self.block, changes["resid_post"])

    def _write_attention(self, changes: Mapping[Site, Change], stream: torch.Tensor) -> None:
        if self.heads is not None and any(site in changes for site in HEAD_SITES):
            self.heads.write(changes, _shape(stream))
        if "attn_out" in changes:
            _replace(self.attn, _scaled(changes["attn_out"], self.scale, stream.shape))
        if "resid_mid" in changes:
            # What attention adds is set so that everything after it sees the wanted stream.
            _replace(self.attn, _scaled(_through(changes["resid_mid"], stream), self.scale, stream.shape))

    def _write_mlp(self, changes: Mapping[Site, Change], stream: torch.Tensor, trim: bool) -> None:
        if "mlp_post" in changes and self.down is not None:
            raw = self.down.input
            self.down.input = changes["mlp_post"](raw.reshape(*_shape(stream), -1)).reshape(raw.shape)
        elif trim and self.mlp is not None:
            self.mlp.input = self.mlp.input[:, -1:]
            _replace(self.mlp, lambda last: nn.functional.pad(last, (0, 0, stream.shape[1] - 1, 0)))
        if "mlp_out" in changes:
            _replace(self.mlp, _scaled(changes["mlp_out"], self.scale, stream.shape))

    def _in_order(self) -> tuple[str, ...]:
        return ("mlp", "attn") if self.mlp_first else ("attn", "mlp")

    def _added(self, part: Any, stream: torch.Tensor) -> torch.Tensor:
        # A copy in any case: some blocks go on to add into these tensors.
        added: torch.Tensor = first_tensor(part.output).reshape(stream.shape) * self.scale
        return added


def _shape(stream: torch.Tensor) -> Shape:
    return stream.shape[0], stream.shape[1]


def _replace(envoy: Any, change: Change) -> None:
    output = envoy.output
    changed = change(first_tensor(output))
    envoy.output = (changed, *output[1:]) if isinstance(output, (tuple, list)) else changed


def _scaled(change: Change, scale: float, shape: Sequence[int]) -> Change:
    def apply(raw: torch.Tensor) -> torch.Tensor:
        added = raw.reshape(shape)  # some MLPs work on a flat list of positions (OPT)
        changed = change(added) if scale == 1 else change(added * scale) / scale
        return changed.reshape(raw.shape)

    return apply


def _through(change: Change, stream: torch.Tensor) -> Change:
    return lambda added: change(stream + added) - stream
