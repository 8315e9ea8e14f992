"""Find heads and neurons inside a model's blocks by running it, and check that they are what they are taken for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from interp_widgets.models.families import (
    Heads,
    Parts,
    down_candidates,
    entrance_candidates,
    head_candidates,
    value_limit,
)
from interp_widgets.models.heads import Attention, Change, HeadLayout, Shape
from interp_widgets.models.probe import Anatomy, clone, close, first_tensor, probe_ids, submodule
from interp_widgets.results.terms import HEAD_SITES, NEURON_SITES, HeadSite, Site


@dataclass(frozen=True)
class Inside:
    """What was found inside attention and MLP."""

    heads: HeadLayout | None
    down: str
    """Where in the block the MLP's last projection is; empty where there is no one row of neurons."""
    d_mlp: int | None
    missing: Mapping[Site, str]
    """Why a site does not exist."""


@dataclass(frozen=True)
class _Call:
    """One call of a module in a probe run."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any

    @property
    def input(self) -> Any:
        return self.args[0] if self.args else next(iter(self.kwargs.values()), None)


@dataclass
class _Search:
    """A search for heads: what was found so far, and why not more."""

    layout: HeadLayout | None = None
    missing: dict[Site, str] = field(default_factory=dict)


_NO_PARTS = "what attention and MLP add to the stream was not found, so nothing inside them can be checked."
_NO_ATTENTION = "its blocks have no attention."
_NO_MLP = "its blocks have no MLP."
_NO_PROJECTIONS = "the projections of queries, keys and values are not known."
_NO_HEADS = "no projections of queries, keys, values and attention's output were found whose sizes make up its heads."


def examine_inside(module: nn.Module, config: Any, anatomy: Anatomy) -> Inside:
    """Run the model on a few tokens and find the heads and neurons of its blocks."""
    if anatomy.parts is None:
        return Inside(None, "", None, dict.fromkeys((*HEAD_SITES, *NEURON_SITES), _NO_PARTS))
    search = _Search(missing=dict.fromkeys(HEAD_SITES, _NO_ATTENTION))
    if anatomy.parts.attn:
        search = _find_heads(module, config, anatomy, anatomy.parts)
    down, d_mlp, reason = _find_neurons(module, anatomy, anatomy.parts) if anatomy.parts.mlp else ("", None, _NO_MLP)
    missing = search.missing | ({} if down else {"mlp_post": reason})
    return Inside(search.layout, down, d_mlp, missing)


def count_heads(module: nn.Module, config: Any, anatomy: Anatomy) -> int | None:
    """Return a number of heads with which everything inside attention is as it should be, if there is one."""
    parts = anatomy.parts
    if parts is None or parts.heads is None:
        return None
    for heads in range(1, config.hidden_size + 1):
        search = _try_heads(module, replace(config, num_attention_heads=heads), anatomy, parts, parts.heads)
        if search is not None and search.layout is not None and not search.missing:
            return heads
    return None


def _find_heads(module: nn.Module, config: Any, anatomy: Anatomy, parts: Parts) -> _Search:
    best: _Search | None = None
    for where in head_candidates(parts):
        search = _try_heads(module, config, anatomy, parts, where)
        if search is not None and (best is None or len(search.missing) < len(best.missing)):
            best = search
        if best is not None and not best.missing:
            break
    if best is None:
        return _Search(missing=dict.fromkeys(HEAD_SITES, _NO_HEADS))
    return best if len(best.missing) < len(HEAD_SITES) else replace(best, layout=None)


def _try_heads(module: nn.Module, config: Any, anatomy: Anatomy, parts: Parts, where: Heads) -> _Search | None:
    """Look for heads in one place: None where there is nothing."""
    attentions = [submodule(block, where.attention) for block in anatomy.blocks]
    found = [[submodule(part, path) for path in (*where.qkv, where.out)] for part in attentions if part is not None]
    modules = [tuple(part for part in row if part is not None) for row in found]
    if len(modules) < len(anatomy.blocks) or any(len(row) <= len(where.qkv) for row in modules):
        return None
    added = [block.get_submodule(parts.attn) for block in anatomy.blocks]
    others = [block.get_submodule(parts.mlp) if parts.mlp else None for block in anatomy.blocks]
    ids = probe_ids(module)
    shape = (ids.shape[0], ids.shape[1])
    calls = _watch(module, ids, (*attentions, *(part for row in modules for part in row), *added, *others))
    if any(part not in calls for row in modules for part in row):
        return None
    layouts = {_layout(config, where, [calls[part] for part in row], shape) for row in modules}
    if len(layouts) > 1 and None not in layouts:
        return _Search(
            missing=dict.fromkeys(HEAD_SITES, "its layers differ in the number or the width of their heads.")
        )
    layout = layouts.pop()
    if layout is None or layouts:
        return None
    finished = {part: number for number, part in enumerate(calls)}
    order = sorted(where.qkv, key=lambda path: finished[modules[0][where.qkv.index(path)]])
    layout = HeadLayout(where, layout.n_heads, layout.n_kv_heads, layout.d_head, tuple(order), layout.limit)
    for row, out, other in zip(modules, added, others, strict=True):
        inner = sorted(finished[part] for part in row)
        mixed = other is not None and min(inner) < finished[other] < finished[out]
        if finished[row[-1]] != inner[-1] or inner[-1] > finished[out] or mixed:
            reason = "its modules do not run in the order of projections, output projection, and then the other part."
            return _Search(missing=dict.fromkeys(HEAD_SITES, reason))
    if not all(_leads_to(module, ids, row[-1], out, calls) for row, out in zip(modules, added, strict=True)):
        reason = f"what its output projection ({where.out}) returns is not what attention adds."
        return _Search(missing=dict.fromkeys(HEAD_SITES, reason))
    probes = []
    for part, row in zip(attentions, modules, strict=True):
        assert part is not None
        attention = Attention(layout, dict(zip(where.qkv, row, strict=False)), row[-1])
        probes.append(_Probe(attention, partial(_again, part, calls[part]), shape))
    return _Search(layout, _faults(probes, [calls[row[-1]].input for row in modules]))


def _again(module: nn.Module, call: _Call) -> Any:
    return module(*call.args, **call.kwargs)


def _layout(config: Any, where: Heads, calls: list[_Call], shape: Shape) -> HeadLayout | None:
    """Count heads by the widths of what the modules handle: None if the widths do not add up."""
    heads = getattr(config, "num_attention_heads", None)
    tensors = [*(call.output for call in calls[:-1]), calls[-1].input]
    if not isinstance(heads, int) or any(not isinstance(tensor, torch.Tensor) for tensor in tensors):
        return None
    *projected, width = (tensor.numel() // (shape[0] * shape[1]) for tensor in tensors)
    if width % heads:
        return None
    d_head = width // heads
    if not projected:
        keys, odd = heads, 0
    elif len(projected) == 1:
        keys, odd = divmod(projected[0] - width, 2 * d_head)
    else:
        keys, odd = divmod(projected[1], d_head)
        odd += abs(projected[0] - width) + abs(projected[2] - projected[1])
    if odd or keys < 1 or heads % keys:
        return None
    return HeadLayout(where, heads, keys, d_head, where.qkv, value_limit(config))


def _hands_on(projection: _Call, part: _Call) -> bool:
    """Whether what a projection returns is what a part returns, or what a norm at its end gets."""
    wanted = (first_tensor(part.output), part.input)
    return any(
        isinstance(tensor, torch.Tensor)
        and tensor.numel() == projection.output.numel()
        and close(projection.output.reshape(tensor.shape), tensor)
        for tensor in wanted
    )


def _leads_to(
    module: nn.Module, ids: torch.Tensor, inner: nn.Module, part: nn.Module, calls: Mapping[nn.Module, _Call]
) -> bool:
    """Whether what a module gets determines what a part adds, position by position, so that it can be patched there.

    A projection's output is what the part returns. A hook point, which returns what it gets, is followed by the
    projection: then prompts and positions that are turned around there come out turned around.
    """
    call = calls[inner]
    if not isinstance(call.output, torch.Tensor) or not isinstance(call.input, torch.Tensor):
        return False
    if call.output.shape != call.input.shape or not torch.equal(call.output, call.input):
        return _hands_on(call, calls[part])
    shape = (ids.shape[0], ids.shape[1], -1)

    def turned(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(shape).flip(0, 1).reshape(tensor.shape)

    handle = inner.register_forward_hook(lambda _module, _args, output: turned(output))
    try:
        after = _watch(module, ids, (part,))[part].output
    finally:
        handle.remove()
    return close(turned(first_tensor(calls[part].output)), first_tensor(after))


@dataclass(frozen=True)
class _Probe:
    """One block's attention, to be called again on what it got in the probe run."""

    attention: Attention
    call: Callable[[], Any]
    shape: Shape

    def z(self, values: Mapping[HeadSite, torch.Tensor]) -> torch.Tensor:
        """What attention makes of given queries, keys and values."""
        return self.attention.z_of(self.call, self.shape, {site: _constant(value) for site, value in values.items()})


def _constant(value: torch.Tensor) -> Change:
    return lambda heads: value.to(heads)


def _noise(like: torch.Tensor, seed: int) -> torch.Tensor:
    # Differs from position to position: what all keys share, softmax takes out again.
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    return noise.to(like) * float(like.abs().max())


def _faults(probes: list[_Probe], z: list[torch.Tensor]) -> dict[Site, str]:
    """Check that heads are wired as taken for; say for each site what is wrong."""
    missing: dict[Site, str] = {}
    layout = probes[0].attention.layout
    if not layout.where.qkv:
        return dict.fromkeys(("q", "k", "v", "pattern"), _NO_PROJECTIONS)
    # Three blocks tell how they are wired; whether a pattern makes up z is checked in every one.
    for probe in (probes[0], probes[len(probes) // 2], probes[-1]):
        missing |= _miswired(probe)
    if "v" in missing:
        missing["z"] = "its heads do not take their values each from one key-value head, so they cannot be told apart."
        missing["k"] = missing.get(
            "k", "what is taken for values are none, so what is taken for keys may be none either."
        )
    for probe, true in zip(probes, z, strict=True):
        values: list[torch.Tensor] = []

        def keep(heads: torch.Tensor, values: list[torch.Tensor] = values) -> torch.Tensor:
            values.append(heads)
            return heads

        probe.attention.z_of(probe.call, probe.shape, {"v": keep})
        pattern = probe.attention.pattern_of(probe.call, probe.shape, {})
        if not layout.makes_up(pattern, values[0], layout.take("z", true, probe.shape)):
            missing["pattern"] = "its z is not its values weighted by a pattern."
    return missing


def _miswired(probe: _Probe) -> dict[Site, str]:
    """Check that each head moves what it should and no more: on noise, so that silenced heads count too."""
    layout, shape = probe.attention.layout, probe.shape
    any_z = probe.z({})
    size = min(1.0, layout.limit or 1.0)
    base: dict[HeadSite, torch.Tensor] = {}
    sites: tuple[HeadSite, ...] = ("q", "k", "v")
    for seed, site in enumerate(sites):
        count = layout.n_heads if site == "q" else layout.n_kv_heads
        like = torch.full((*shape, count, layout.d_head), size).to(any_z)
        base[site] = _noise(like, seed)
    base["v"] = base["v"].clamp(-size, size)  # where clipping leaves it as it is
    calm = probe.z(base)
    rounding = 4 * torch.finfo(calm.dtype).eps * float(calm.abs().max())

    def moved(site: HeadSite, value: torch.Tensor) -> torch.Tensor:
        return (probe.z({**base, site: value}) - calm).abs() > rounding

    missing: dict[Site, str] = {}
    for site in sites:
        count, shared = (layout.n_heads, 1) if site == "q" else (layout.n_kv_heads, layout.group)
        for heads in _subsets(count):
            heads = heads.to(any_z.device)
            found = moved(site, torch.where(heads[:, None], _noise(base[site], 7), base[site])).any(3).any(0).any(0)
            if not torch.equal(found, heads.repeat_interleave(shared)):
                who = "a query head" if site == "q" else "a key-value head"
                missing[site] = (
                    f"changing {who} there does not change exactly the heads that read it: something mixes heads "
                    "first, such as a norm over all of them."
                )
                break
    # Each of the three moves its heads, so that they could still be taken for each other.
    later: dict[Site, bool] = {}
    for site in sites[:2]:
        second = base[site].clone()
        second[:, 1] = _noise(second, 7)[:, 1]
        later[site] = bool(moved(site, second)[:, 2:].any())
    if later["q"]:
        missing["q"] = "changing it at one position changes attention at later ones, which queries do not."
    if not later["k"]:
        missing["k"] = "changing it at one position leaves attention at later ones as it is, which keys do not."
    if ((probe.z({**base, "v": base["v"] / 2}) - calm / 2).abs() > rounding).any():
        missing["v"] = "attention does not grow in proportion to it, as it does to values."
    return missing


def _subsets(count: int) -> Iterator[torch.Tensor]:
    """Yield sets of heads such that any two heads are told apart by one that has either alone."""
    numbers = torch.arange(count)
    for bit in range(max(1, (count - 1).bit_length())):
        chosen = (numbers >> bit) % 2 == 1
        for heads in (chosen, ~chosen):
            if heads.any():
                yield heads


def _find_neurons(module: nn.Module, anatomy: Anatomy, parts: Parts) -> tuple[str, int | None, str]:
    """Return where the MLP's last projection is and how many neurons it reads, or why there are none."""
    for path in down_candidates(parts):
        downs = [submodule(block, path) for block in anatomy.blocks]
        projections = [down for down in downs if down is not None]
        if len(projections) < len(anatomy.blocks) or any(next(down.children(), None) for down in projections):
            continue
        added = [block.get_submodule(parts.mlp) for block in anatomy.blocks]
        ids = probe_ids(module)
        calls = _watch(module, ids, (*projections, *added))
        if any(down not in calls or not isinstance(calls[down].output, torch.Tensor) for down in projections):
            continue
        inputs = [calls[down].input for down in projections]
        widths = {int(tensor.shape[-1]) for tensor in inputs}
        if any(tensor.numel() != ids.numel() * tensor.shape[-1] for tensor in inputs):
            continue
        if all(_leads_to(module, ids, down, part, calls) for down, part in zip(projections, added, strict=True)):
            if len(widths) > 1:
                return "", None, "its layers differ in the number of their neurons."
            return path, widths.pop(), ""
    if any("expert" in name for block in anatomy.blocks for name, _ in block.named_modules()):
        return (
            "",
            None,
            "its MLP is a mixture of experts: each position goes through some of many MLPs, not through one.",
        )
    return "", None, "no last projection of its MLP was found whose output is what the MLP adds."


def find_entrance(module: nn.Module, anatomy: Anatomy, down: str) -> str:
    """Return where in a block the module is whose input is what the MLP gets; empty where there is none.

    What the MLP adds follows from that input alone, position by position.

    Args:
        module: the model.
        anatomy: what is known of it.
        down: where in the block the MLP's last projection is, empty if it is not known.
    """
    parts = anatomy.parts
    if parts is None or not parts.mlp:
        return ""
    ids = probe_ids(module)
    added = [block.get_submodule(parts.mlp) for block in anatomy.blocks]
    for path in entrance_candidates(parts, down):
        found = [submodule(block, path) for block in anatomy.blocks]
        entrances = [part for part in found if part is not None]
        if len(entrances) < len(found):
            continue
        # A norm after the MLP would pass for one: what it gets determines what the MLP adds too.
        if path == parts.mlp != "fc1" and not any(next(part.children(), None) for part in entrances):
            continue
        calls = _watch(module, ids, (*anatomy.blocks, *entrances, *added))
        width = calls[anatomy.blocks[0]].input.shape[-1]
        inputs = [calls[part].input for part in entrances if part in calls]
        if len(inputs) < len(found) or any(
            not isinstance(tensor, torch.Tensor) or tensor.numel() != ids.numel() * width for tensor in inputs
        ):
            continue
        some = {0, len(added) // 2, len(added) - 1}  # each takes a run of the model
        if all(_follows(module, ids, entrances[number], added[number], calls) for number in some):
            return path
    return ""


def _follows(
    module: nn.Module, ids: torch.Tensor, entrance: nn.Module, part: nn.Module, calls: Mapping[nn.Module, _Call]
) -> bool:
    """Whether prompts and positions that are turned around where they enter come out turned around."""
    shape = (ids.shape[0], ids.shape[1], -1)

    def turned(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(shape).flip(0, 1).reshape(tensor.shape)

    def turn(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if args:
            return (turned(args[0]), *args[1:]), kwargs
        name = next(iter(kwargs))
        return args, {**kwargs, name: turned(kwargs[name])}

    handle = entrance.register_forward_pre_hook(turn, with_kwargs=True)
    try:
        after = _watch(module, ids, (part,))[part].output
    finally:
        handle.remove()
    return close(turned(first_tensor(calls[part].output)), first_tensor(after))


def _watch(module: nn.Module, ids: torch.Tensor, watched: tuple[nn.Module | None, ...]) -> dict[nn.Module, _Call]:
    """Run the model and keep the watched modules' calls, in the order in which they finished."""
    calls: dict[nn.Module, _Call] = {}

    def keep(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[part] = _Call(clone(args), {name: clone(value) for name, value in kwargs.items()}, clone(output))

    with ExitStack() as hooks:
        for part in dict.fromkeys(watched):
            if part is not None:
                hooks.callback(part.register_forward_hook(keep, with_kwargs=True).remove)
        module(input_ids=ids, use_cache=False)
    return calls
