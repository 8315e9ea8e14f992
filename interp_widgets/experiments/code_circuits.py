"""The few lines of torch that compute the QK and OV circuits of one head, written for the model at hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from interp_widgets.experiments.code_sites import Held, blocks_at, heads_at, index, module
from interp_widgets.models.access import Access
from interp_widgets.models.circuits import Circuits
from interp_widgets.models.meeting import Meeting
from interp_widgets.models.probe import probe_ids
from interp_widgets.models.straight import Norm

_CLOSE = 5e-3


def circuit_code(access: Access, circuits: Circuits, layer: int, offset: int) -> str:
    """Write the template of a layer's lines, with `$ids` and `$head` to be filled in; empty where a few do not do.

    Without QK where a score is no product of a query and a key, or keys are turned by angles that are nowhere found.

    Args:
        access: the model.
        circuits: its circuits, none of which are missing.
        layer: of the heads.
        offset: how many tokens the key lies before the query.
    """
    layout, straight = access.inside.heads, circuits.straight
    before, ending, last = straight.before("attn", layer), straight.ending("attn", layer), straight.last
    if layout is None or before is None or ending is None or last is None or access.opened.spelling.inside:
        return ""
    behind, final, entering = _gain(ending.norm, "behind"), _gain(last, "last"), _entering(access, circuits)
    if behind is None or final is None or entering is None:
        return ""
    root = access.opened.module
    paths = {part: path for path, part in root.named_modules()}
    embed = paths[root.get_input_embeddings()]  # type: ignore[operator]
    unembed = paths[straight.unembedding or root]
    named = [("after", entering.norm), ("behind", ending.norm.module), ("last", last.module)]
    lines = [
        "import torch",
        *access.opened.setup.splitlines(),
        "",
        f"block = {blocks_at(access, str(layer))}",
        *_named("norm", access, before.module, paths),
        f"embed, unembed = {', '.join(module(access.opened.handle, path) for path in (embed, unembed))}",
        *(line for name, part in named for line in _named(name, access, part, paths)),
        "ids = torch.tensor($ids, device=embed.weight.device)",
        "",
        "def without_bias(part, rows):",
        "    return part(rows) - part(torch.zeros_like(rows))",
        "",
        "with torch.no_grad():",
        "    # Each token is its embedding, as if that were all of the stream.",
        f"    x = {entering.line.format('ids')}",
    ]
    normed = "norm({})" if before.module is not None else "{}"
    met = circuits.meeting(layer)
    score = None if met is None else _score(access, met, offset)
    if score is not None:
        queries = _head(heads_at(access, "q", "$head", "block"))
        keys = _head(heads_at(access, "k", _kv(access), "block"))
        read = f"{normed.format(entering.line.format('some'))}.double().sum(0) for some in every.split(4096)"
        lines += [
            "",
            "    # QK: the score of each query with each key, above the mean over keys of the whole vocabulary.",
            f"    every = torch.arange({access.n_vocab}, device=ids.device)",
            f"    mean = sum({read}) / len(every)",
            f"    queries = {queries.of(normed.format('x'))}.float()",
            f"    keys = {keys.of(normed.format('x'))}.float()",
            f"    keys = keys - {keys.of('mean[None].to(x)')}.float()",
            *(f"    {line}" for line in score),
            "    print(qk.tolist())  # (query, key)",
        ]
    values = _head(heads_at(access, "v", _kv(access), "block"))
    plain = "without_bias(norm, x)" if before.module is not None else "x"
    wide = f"torch.zeros(len(x), {layout.n_heads}, {layout.d_head}).to(x)"
    out = module(module("block", layout.where.attention), layout.where.out)
    lines += [
        "",
        "    # OV: what attending to a token alone adds to each logit, above the mean over the vocabulary.",
        f"    z = {wide}",
        f"    z[:, $head] = {values.of(plain, 'without_bias({}, {})')}",
        f"    added = without_bias({out}, z.flatten(1))" + (f" * {ending.scale}" if ending.scale != 1 else ""),
        *(f"    {line}" for line in [*behind, *final]),
        "    logits = without_bias(unembed, added).float()",
        "    ov = (logits - logits.mean(-1, keepdim=True))[:, ids]",
        "    print(ov.tolist())  # (token that is attended to, token that is promoted)",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Entering:
    """How token ids become what the first layer gets, positions apart."""

    line: str
    norm: nn.Module | None = None
    """What the line calls `after`."""


def _entering(access: Access, circuits: Circuits) -> _Entering | None:
    """Find out what follows the token embedding; None where that is nothing that a line says."""
    module: nn.Module = access.opened.module
    ids = probe_ids(module)[0]
    embedded = circuits.copying.embedded(ids).cpu()
    handed: torch.Tensor = module.get_input_embeddings()(ids).detach()  # type: ignore[operator]
    if _alike(handed, embedded):
        return _Entering("embed({})")
    times = float((embedded * handed.float().cpu()).sum() / handed.float().square().sum())
    if _alike(times * handed, embedded):
        return _Entering(f"{times:.6g} * embed({{}})")
    for part in module.modules():
        weight = getattr(part, "weight", None)
        norm = isinstance(weight, torch.Tensor) and weight.shape == handed.shape[-1:]
        if norm and _alike(part(handed).detach(), embedded):
            return _Entering("after(embed({}))", part)
    return None


@dataclass(frozen=True)
class _Head:
    """One head's part of what a module hands over."""

    place: str
    part: str

    def of(self, rows: str, call: str = "{}({})") -> str:
        """Write what the head makes of rows."""
        return f"{call.format(self.place, rows)}{self.part}"


def _head(held: Held) -> _Head:
    return _Head(held.place.removesuffix(".output"), f".view(-1, {held.shape}){index(':', *held.part)}")


def _kv(access: Access) -> str:
    """Which key-value head the head shares."""
    layout = access.inside.heads
    assert layout is not None, "circuits exist where heads were found"
    return "$head" if layout.group == 1 else f"$head // {layout.group}"


def _named(name: str, access: Access, part: nn.Module | None, paths: dict[nn.Module, str]) -> list[str]:
    return [] if part is None else [f"{name} = {module(access.opened.handle, paths[part])}"]


def _gain(norm: Norm, name: str) -> list[str] | None:
    """Write what a norm does where its size is left at 1; None where its weight does not say its gain."""
    if norm.module is None:
        return []
    weight = getattr(norm.module, "weight", None)
    if not isinstance(weight, torch.Tensor):
        if not _alike(norm.gain, torch.ones_like(norm.gain)):
            return None
        times: list[str] = []
    elif _alike(norm.gain, weight):
        times = [f"added = added * {name}.weight"]
    elif _alike(norm.gain, 1 + weight):
        times = [f"added = added * (1 + {name}.weight)"]
    else:
        return None
    centred = ["added = added - added.mean(-1, keepdim=True)"] if norm.centres else []
    about = "the last norm" if name == "last" else "the norm behind attention"
    lines = [*centred, *times]
    return [f"# {about[0].upper()}{about[1:]}, with what it divides by left at 1.", *lines] if lines else []


def _score(access: Access, met: Meeting, offset: int) -> list[str] | None:
    """Write how queries and keys meet; None where that was measured, but not found among the model's angles."""
    size = float(met.scale.diagonal().mean())
    width = len(met.scale)
    if not _alike(met.scale, size * torch.eye(width)):
        return None
    usual = abs(size * width**0.5 - 1) < _CLOSE
    score = f"qk = queries @ keys.T{f' / {width} ** 0.5' if usual else f' * {size:.6g}'}"
    if not met.rotary or not offset:
        return [score]
    for spelled, angles in _angles(access, met):
        for interleaved in (False, True):
            if _alike(_turned(torch.eye(width), angles, interleaved).T, met.turn):
                return [*_turning(spelled, len(angles), offset, interleaved), score]
    return None


def _angles(access: Access, met: Meeting) -> list[tuple[str, torch.Tensor]]:
    """Angles by which a token turns keys, as they are written: those that the model keeps, and the usual ones."""
    kept = [
        (module(access.opened.handle, path), angles.float().cpu())
        for path, angles in access.opened.module.named_buffers()
        if path.endswith("inv_freq") and 2 * angles.numel() <= len(met.turn)
    ]
    moved = int(((met.turn - torch.eye(len(met.turn))).abs().amax(1) > _CLOSE).sum())
    usual = [
        (f"10000.0 ** (-torch.arange(0, {n}, 2) / {n})", 10000.0 ** (-torch.arange(0, n, 2) / n))
        for n in range(max(2, moved + moved % 2), len(met.turn) + 1, 2)
    ]
    return kept + usual


def _turned(keys: torch.Tensor, angles: torch.Tensor, interleaved: bool) -> torch.Tensor:
    n = 2 * len(angles)
    cos, sin = angles.cos(), angles.sin()
    one, two = (keys[:, 0:n:2], keys[:, 1:n:2]) if interleaved else (keys[:, : n // 2], keys[:, n // 2 : n])
    turned = one * cos + two * sin, two * cos - one * sin
    both = torch.stack(turned, -1).flatten(1) if interleaved else torch.cat(turned, -1)
    return torch.cat([both, keys[:, n:]], -1)


def _turning(angles: str, count: int, offset: int, interleaved: bool) -> list[str]:
    """Write the same for keys that lie before the query."""
    n = 2 * count
    pair = f"keys[:, 0:{n}:2], keys[:, 1:{n}:2]" if interleaved else f"keys[:, :{count}], keys[:, {count}:{n}]"
    turned = "one * cos + two * sin, two * cos - one * sin"
    both = f"torch.stack([{turned}], -1).flatten(1)" if interleaved else turned
    return [
        f"# Turned by how far a key lies before the query: {offset} token{'s' * (offset > 1)}.",
        f"angles = ({offset} * {angles}).to(keys)",
        "cos, sin = angles.cos(), angles.sin()",
        f"one, two = {pair}",
        f"keys = torch.cat([{both}, keys[:, {n}:]], -1)",
    ]


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    one, other = one.float().cpu(), other.detach().float().cpu()
    return one.shape == other.shape and float((one - other).abs().max()) <= _CLOSE * float(other.abs().max())
