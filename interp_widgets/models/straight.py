"""The straight paths through a model: what a direction becomes on its way through projections and norms held fixed.

A norm is taken as gain * (x - mean) / size + bias, or without the mean, where `size` is what it finds at a token. Left
at 1 it gives what a direction becomes for a unit of size; with the size at a token what it becomes there, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.guard import exclusive
from interp_widgets.models.norms import apply_norm
from interp_widgets.models.probe import close, first_tensor, probe_ids
from interp_widgets.results.dictionary import Place


@dataclass(frozen=True)
class Norm:
    """A norm, held fixed but for its size. Without `apply` it hands on what it gets."""

    gain: torch.Tensor
    """(d,)."""
    bias: torch.Tensor
    centres: bool
    apply: Callable[[torch.Tensor], torch.Tensor] | None
    """Calls the norm itself."""
    module: nn.Module | None = None

    def through(self, directions: torch.Tensor) -> torch.Tensor:
        """Return what directions, (..., d), become for a size of 1, the bias apart."""
        return self._centred(directions) * self.gain.to(directions.device)

    def back(self, readers: torch.Tensor) -> torch.Tensor:
        """Return what reads before the norm, for a size of 1, as `readers`, (..., d), read after it."""
        return self._centred(readers * self.gain.to(readers.device))

    @torch.no_grad()
    def size(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the norm divides by at each token, (..., 1)."""
        if self.apply is None:
            return torch.ones_like(x[..., :1])
        after = self.apply(x) - self.bias.to(x.device)
        before = self.through(x.float())
        return before.square().sum(-1, keepdim=True) / (before * after).sum(-1, keepdim=True)

    def _centred(self, directions: torch.Tensor) -> torch.Tensor:
        return directions - directions.mean(-1, keepdim=True) if self.centres else directions


@torch.no_grad()
def examine_norm(access: Access, module: nn.Module, width: int) -> Norm | None:
    """Find out what a norm multiplies and adds, by calling it; None if it is no such norm."""
    weight = next(module.parameters(), torch.empty(0))
    device = torch.device("cpu") if weight.is_meta else weight.device  # accelerate moves what it has put aside
    apply = partial(apply_norm, access, module)
    # A mean of 0 and a mean square of 1, so that what comes out is the gain with signs.
    signs = torch.ones(width, device=device)
    signs[::2] = -1
    if width % 2:
        signs[-3:] = torch.tensor([2.0, -1.0, -1.0]) / 2**0.5
    noise = torch.randn(4, width, generator=torch.Generator().manual_seed(0)).to(device)
    # So large that what is added to the variance, against a division by zero, does not show.
    given = 64 * torch.cat(
        [torch.zeros(1, width, device=device), torch.ones(1, width, device=device), signs[None], noise]
    )
    try:
        made = apply(given)
    except (RuntimeError, TypeError, ValueError):  # whatever a module says that takes more, or something else
        return None
    if made.shape != given.shape:
        return None
    bias, flat, signed, normed = made[0], made[1] - made[0], made[2] - made[0], made[3:] - made[0]
    gain = signed / signs
    centres = float(flat.abs().max()) < 1e-2 * float(gain.abs().max())
    found = Norm(gain, bias, centres, apply, module)
    x = found._centred(noise)
    expected = gain * x / x.square().mean(-1, keepdim=True).sqrt()
    allowed = max(1e-4, 8 * torch.finfo(weight.dtype).eps) * float(expected.abs().max())
    return found if float((normed - expected).abs().max()) <= allowed else None


def no_norm(width: int, device: torch.device) -> Norm:
    """Return what stands for a norm where there is none."""
    return Norm(torch.ones(width, device=device), torch.zeros(width, device=device), False, None)


def norm_before(
    access: Access, entrance: nn.Module, within: nn.Module, stream: nn.Module, added: nn.Module | None = None
) -> Norm | None:
    """Return the norm between a stream and a module.

    Args:
        access: the model.
        entrance: what gets the normed stream.
        within: where to look for the norm.
        stream: the block that the stream enters or leaves.
        added: what is added to the stream on the way to `entrance`, if anything is.

    Returns:
        One that does nothing where `entrance` gets the stream itself; None where something else lies between.
    """
    arrived: list[torch.Tensor] = []
    streams: list[torch.Tensor] = []
    handed: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def arrive(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        arrived.append(_first(args, kwargs).clone())

    def enter(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        streams.append(_first(args, kwargs).clone())

    def add(_module: nn.Module, args: Any, output: Any) -> None:
        streams.append(streams[0] + first_tensor(output).reshape(streams[0].shape) * access.scale)

    def depart(_module: nn.Module, args: Any, output: Any) -> None:
        streams.append(first_tensor(output).clone())

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        given = args[0] if args else None
        if not isinstance(given, torch.Tensor) or not isinstance(output, torch.Tensor):
            return
        # A hook point, which hands on what it gets, makes nothing.
        if given.shape == output.shape and not torch.equal(given, output):
            handed.append((module, given.clone(), output.clone()))

    with exclusive(access.opened.module), ExitStack() as hooks:
        hooks.callback(entrance.register_forward_pre_hook(arrive, with_kwargs=True).remove)
        hooks.callback(stream.register_forward_pre_hook(enter, with_kwargs=True).remove)
        if added is not None:
            hooks.callback(added.register_forward_hook(add).remove)
        hooks.callback(stream.register_forward_hook(depart).remove)
        for part in within.modules():
            if part not in (within, entrance, stream):
                hooks.callback(part.register_forward_hook(leave).remove)
        access.opened.module(input_ids=probe_ids(access.opened.module), use_cache=False)
    target, width = arrived[0], arrived[0].shape[-1]
    if any(_same(target, there) for there in streams):
        return no_norm(width, target.device)
    for module, given, output in handed:
        if _same(output, target) and given.shape[-1] == width:
            return examine_norm(access, module, width)
    return None


def _first(args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
    first: torch.Tensor = args[0] if args else next(iter(kwargs.values()))
    return first


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors are the same but for rounding."""
    return left.numel() == right.numel() and close(left.reshape(right.shape), right)


@torch.no_grad()
def projected(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Return what a projection makes of rows, (row, d), without its bias; float32."""
    weight = next((p for p in module.parameters() if p.is_floating_point()), rows)
    device = rows.device if weight.is_meta else weight.device
    given = rows.to(device, weight.dtype)
    made: torch.Tensor = module(given).float() - module(torch.zeros_like(given[:1])).float()
    return made


def read_back(module: nn.Module, readers: torch.Tensor, width: int) -> torch.Tensor:
    """Return what reads before a projection, (row, width), as `readers`, (row, d_out), read after it; float32."""
    weight = next((p for p in module.parameters() if p.is_floating_point()), readers)
    # A way back through the module itself, wherever its weights are and whichever way round.
    device = readers.device if weight.is_meta else weight.device
    start = torch.zeros(len(readers), width, device=device, dtype=weight.dtype, requires_grad=True)
    with torch.enable_grad():
        read = (module(start).float() * readers.to(device)).sum()
    (found,) = torch.autograd.grad(read, start)
    return found.float()


@dataclass(frozen=True)
class Ending:
    """What a block's attention or MLP does last: a projection, in some families a norm, and the way into the stream."""

    projection: nn.Module
    norm: Norm
    scale: float

    def carried(self, rows: torch.Tensor, size: torch.Tensor | float = 1.0) -> torch.Tensor:
        """Return what rows add to the stream, (row, d_model), where the norm divides by `size`."""
        return self.norm.through(projected(self.projection, rows)) / size * self.scale

    def back(self, readers: torch.Tensor, size: torch.Tensor | float, width: int) -> torch.Tensor:
        """Return what reads the projection's rows, (row, width), as `readers`, (row, d_model), read the stream."""
        return read_back(self.projection, self.norm.back(readers) / size * self.scale, width)

    @property
    def adds(self) -> bool:
        """Whether there is a bias here, which adds to the stream whatever the rows are."""
        return bool(self.norm.bias.any()) or any(weight.ndim == 1 for weight in self.projection.parameters())

    @torch.no_grad()
    def size(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what the norm divides by where the projection gets these rows, (row, 1)."""
        weight = next((p for p in self.projection.parameters() if p.is_floating_point()), rows)
        return self.norm.size(self.projection(rows.to(weight)).float())


class Straight:
    """The straight paths of one model, found as they are asked for."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._width = int(access.opened.config.hidden_size)
        self._found: dict[tuple[str, int], Any] = {}

    def ending(self, part: str, layer: int) -> Ending | None:
        """Return how attention ("attn") or an MLP ("mlp") ends; None where that is not known, or is not linear."""
        ending: Ending | None = self._once(f"ending {part}", layer, lambda: self._ending(part, layer))
        return ending

    def before(self, part: str, layer: int) -> Norm | None:
        """Return the norm through which attention ("attn") or an MLP ("mlp") reads the stream, if that is known."""
        norm: Norm | None = self._once(f"before {part}", layer, lambda: self._before(part, layer))
        return norm

    @property
    def last(self) -> Norm | None:
        """The norm before the unembedding, if it is known."""
        norm: Norm | None = self._once("last", 0, self._last)
        return norm

    def heads(self, layer: int, rows: torch.Tensor) -> torch.Tensor | None:
        """Return what each head of a layer makes of rows of the stream by way of its values, (row, head, d_model).

        That is what it adds where it attends to nothing else, sizes of norms left at 1. None where that is not known.
        """
        values, ending = self.values(layer, rows), self.ending("attn", layer)
        return None if values is None or ending is None else self.by_head(ending, values)

    def values(self, layer: int, rows: torch.Tensor) -> torch.Tensor | None:
        """Return the values that each head of a layer makes of rows of the stream, (row, head, d_head).

        Without their bias, and with the size of the norm before attention left at 1. None where that is not known.
        """
        layout, norm = self._access.inside.heads, self.before("attn", layer)
        if layout is None or norm is None:
            return None
        attention = self._access.anatomy.blocks[layer].get_submodule(layout.where.attention)
        values = projected(attention.get_submodule(layout.where.qkv[-1]), norm.through(rows.to(norm.gain.device)))
        return layout.take("v", values, (1, len(rows)))[0].repeat_interleave(layout.group, dim=1)

    def by_head(self, ending: Ending, z: torch.Tensor, size: torch.Tensor | float = 1.0) -> torch.Tensor:
        """Return what each head's z, (row, head, d_head), adds to the stream, (row, head, d_model)."""
        rows, heads, d_head = z.shape
        alone = torch.eye(heads, device=z.device)[None, :, :, None] * z[:, None]
        added = ending.carried(alone.reshape(rows * heads, heads * d_head), size)
        return added.reshape(rows, heads, -1)

    def neurons(self, layer: int, rows: torch.Tensor) -> torch.Tensor | None:
        """Return how strongly each neuron of a layer reads rows of the stream, (row, neuron), the norm's size at 1.

        That is the dot product with its input weights; of a neuron with a gate, the larger of that with its gate's and
        with its own. None where they are not known.
        """
        norm, entrances = self.before("mlp", layer), self._once("entrances", layer, lambda: self._entrances(layer))
        if norm is None or not entrances:
            return None
        d_mlp = self._access.d_mlp or 0
        through = norm.through(rows.to(norm.gain.device))
        each = torch.cat([projected(module, through).reshape(len(rows), -1, d_mlp) for module in entrances], dim=1)
        return each.gather(1, each.abs().argmax(1, keepdim=True))[:, 0]

    def _entrances(self, layer: int) -> list[nn.Module]:
        """The projections by which neurons read what the MLP gets."""
        access, d_mlp = self._access, self._access.d_mlp
        if not access.entrance or not d_mlp:
            return []
        block = access.anatomy.blocks[layer]
        arrived: list[torch.Tensor] = []
        read: list[tuple[nn.Module, torch.Tensor]] = []

        def arrive(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            arrived.append(_first(args, kwargs).clone())

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            wide = isinstance(output, torch.Tensor) and output.shape[-1] in (d_mlp, 2 * d_mlp)
            if wide and args and isinstance(args[0], torch.Tensor):
                read.append((module, args[0].clone()))

        with exclusive(access.opened.module), ExitStack() as hooks:
            entrance = block.get_submodule(access.entrance)
            hooks.callback(entrance.register_forward_pre_hook(arrive, with_kwargs=True).remove)
            for part in block.modules():
                if next(part.children(), None) is None and any(weight.ndim == 2 for weight in part.parameters()):
                    hooks.callback(part.register_forward_hook(leave).remove)
            access.opened.module(input_ids=probe_ids(access.opened.module), use_cache=False)
        # The last projection of an MLP that is as narrow as the stream does not get the same.
        return [module for module, given in read if _same(given, arrived[0])]

    def logits(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Return what rows of the stream, (row, d_model), do to the logits through the last norm, its size left at 1.

        The mean over the vocabulary is taken off, (row, vocabulary). None where norm or unembedding are not known.
        """
        unembedding = self.unembedding
        if self.last is None or unembedding is None:
            return None
        logits = projected(unembedding, self.last.through(rows.to(self.last.gain.device)))
        return logits - logits.mean(-1, keepdim=True)

    def to_stream(self, place: Place, rows: torch.Tensor) -> torch.Tensor | None:
        """Carry what is written at a place into the stream, (row, d_model), norms on the way with their size at 1.

        None where the way is not known, or is not straight: queries, keys and values.
        """
        if place.site in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"):
            return rows
        if place.site not in ("z", "mlp_post"):
            return None
        ending = self.ending("attn" if place.site == "z" else "mlp", place.layer)
        return None if ending is None else ending.carried(rows)

    def _once(self, what: str, layer: int, find: Callable[[], Any]) -> Any:
        if (what, layer) not in self._found:
            self._found[what, layer] = find()
        return self._found[what, layer]

    @property
    def unembedding(self) -> nn.Module | None:
        """What makes logits of the stream, behind the last norm; None if it is not known."""
        module: Any = self._access.opened.module
        found: nn.Module | None = module.get_output_embeddings()
        return found

    def _last(self) -> Norm | None:
        unembedding = self.unembedding
        if unembedding is None:
            return None
        return norm_before(self._access, unembedding, self._access.opened.module, self._access.anatomy.blocks[-1])

    def _before(self, part: str, layer: int) -> Norm | None:
        block, inside = self._access.anatomy.blocks[layer], self._access.inside
        if part == "mlp":
            path = self._access.entrance
        elif inside.heads is not None and inside.heads.where.qkv:
            path = f"{inside.heads.where.attention}.{inside.heads.where.qkv[-1]}"
        else:
            path = ""
        if not path:
            return None
        parts = self._access.anatomy.parts
        attention = block.get_submodule(parts.attn) if part == "mlp" and parts and parts.attn else None
        return norm_before(self._access, block.get_submodule(path), block, block, attention)

    def _ending(self, part: str, layer: int) -> Ending | None:
        access, block = self._access, self._access.anatomy.blocks[layer]
        parts, inside = access.anatomy.parts, access.inside
        if parts is None:
            return None
        if part == "attn":
            path = f"{inside.heads.where.attention}.{inside.heads.where.out}" if inside.heads else ""
        else:
            path = inside.down
        if not path:
            return None
        whole, projection = block.get_submodule(parts.attn if part == "attn" else parts.mlp), block.get_submodule(path)
        given = torch.zeros(1, (access.d_head or 0) * (access.n_heads or 0) if part == "attn" else access.d_mlp or 0)
        if projected(projection, given).shape[-1] != self._width:
            return None  # a hook point, which hands on what it gets
        norm: Norm | None = no_norm(self._width, access.opened.device)
        if projection not in set(whole.modules()):
            norm = examine_norm(access, whole, self._width)
        return None if norm is None else Ending(projection, norm, access.scale)
