"""Read and write a site inside a trace, for any family: found once for each model, by data and probe runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import nn

from interp_widgets.models.guard import exclusive
from interp_widgets.models.opening import Opened
from interp_widgets.models.probe import Anatomy, examine, first_tensor, logits_of, n_vocab, probe_ids, submodule
from interp_widgets.results.errors import ModelError, SiteError
from interp_widgets.results.terms import SITES, STREAM_SITES, Site

Write = Callable[[torch.Tensor], torch.Tensor]
"""Gets a site's activations, (row, position, d_model), and returns them changed; it must not change them in place."""

Plan = Callable[[tuple[Site, int]], Write | None]
"""Says what to do at a site of a layer, if anything."""


@dataclass(frozen=True)
class Runs:
    """The activations of a batch of prompts.

    Each list holds one tensor a layer, (row, position, d_model), on the device of its layer.
    """

    stream: list[torch.Tensor]
    """What enters each layer, and at the end what leaves the last one."""
    attn: list[torch.Tensor]
    """What attention adds in each layer; empty where the architecture does not tell."""
    mlp: list[torch.Tensor]
    logits: torch.Tensor
    """(row, d_vocab): float32 logits at the last position."""

    def site(self, site: Site, layer: int) -> torch.Tensor:
        """Return the activations at a site, (row, position, d_model)."""
        if site == "resid_pre":
            return self.stream[layer]
        if site == "resid_post":
            return self.stream[layer + 1]
        if site == "resid_mid":
            return self.stream[layer] + self.attn[layer]
        return self.attn[layer] if site == "attn_out" else self.mlp[layer]


class Access:
    """One model, resolved: where its sites are, and how to run it from any layer on.

    Printing it says what was found.
    """

    def __init__(self, opened: Opened, anatomy: Anatomy) -> None:
        self.opened = opened
        self.model: Any = opened.envoy
        self.anatomy = anatomy
        self.scale = anatomy.parts.multiplier(opened.config) if anatomy.parts else 1.0
        self.n_vocab = n_vocab(opened.module)
        self.blocks = [self._envoy(block) for block in anatomy.blocks]
        self.attn = self._parts(anatomy.parts.attn) if anatomy.parts else []
        self.mlp = self._parts(anatomy.parts.mlp) if anatomy.parts else []
        self.edited = any(envoy._edits for envoy in (self.model, *self.model.interleaver.envoys.values()))
        """Whether the user stored edits on the model, which need every layer of every row to run."""
        self.grows = True
        """Whether the batch may grow between two layers (ALiBi tables made for one batch size do not let it)."""
        self.trims = anatomy.parts is not None and not anatomy.mlp.flat
        """Whether the last MLP may run on the final position alone, the only one that is still read."""

    def __repr__(self) -> str:
        parts = self.anatomy.parts
        lines = [
            f"{self.opened.name} ({type(self.opened.module).__name__}): "
            f"{self.n_layers} blocks, the first at {self.blocks[0].path}",
            f"  attn_out: {parts.attn if parts else 'not found'}, mlp_out: {parts.mlp if parts else 'not found'}"
            + (f", both times {self.scale}" if self.scale != 1 else ""),
            f"  sites: {', '.join(self.sites)}",
        ]
        return "\n".join(lines)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that exist in this architecture."""
        return tuple(site for site in SITES if self._missing(site) is None)

    @property
    def n_heads(self) -> int:
        return 0

    @property
    def n_kv_heads(self) -> int:
        return 0

    @property
    def d_mlp(self) -> int | None:
        return 0

    def head_count(self, site: Site) -> int:
        return 0

    def shared_by(self, h: int) -> tuple[int, ...]:
        return ()

    def check_site(self, site: Site) -> None:
        """Refuse a site that this architecture does not have.

        Raises:
            SiteError: with the sites that it has.
        """
        reason = self._missing(site)
        if reason:
            raise SiteError(
                f"{site} does not exist in {type(self.opened.module).__name__}: {reason} Use {self._offer()}."
            )

    def _missing(self, site: Site) -> str | None:
        if site in ("resid_pre", "resid_post"):
            return None
        if site not in STREAM_SITES:
            return "not yet."
        if self.anatomy.parts is None:
            return "no two modules of its blocks were found that make up what a block adds to the stream."
        if site == "resid_mid" and self.anatomy.parallel:
            return "attention and MLP run in parallel, so there is no stream between them."
        return None

    def _offer(self) -> str:
        *others, last = self.sites
        return f"{', '.join(others)} or {last}"

    def embedding_std(self) -> float:
        """Standard deviation of the entries of what the token embedding hands over, over the whole vocabulary."""
        table = self.opened.module.get_input_embeddings()
        total = squares = count = 0.0
        with torch.no_grad():
            for ids in torch.arange(table.num_embeddings, device=table.weight.device).split(4096):
                values = table(ids).double()
                total, squares = total + float(values.sum()), squares + float(values.square().sum())
                count += values.numel()
        return float((squares / count - (total / count) ** 2) ** 0.5)

    def read(self, ids: torch.Tensor, sites: Collection[Site] = (), *, embed: Write | None = None) -> Runs:
        """Run prompts, (row, position) token ids, and keep their streams and what is at some sites.

        `embed` gets what the token embedding hands over, and returns what goes on in its place.
        """
        parts = not {"resid_pre", "resid_post"}.issuperset(sites)
        stream: list[torch.Tensor] = []
        attn: list[torch.Tensor] = []
        mlp: list[torch.Tensor] = []
        kept: dict[str, torch.Tensor] = {}
        with exclusive(self.opened.module), self.model.trace(input_ids=ids, **self._options()):
            if embed is not None:
                embedding = self._envoy(self.opened.module.get_input_embeddings())
                embedding.output = embed(embedding.output)
            for layer in range(self.n_layers):
                stream.append(self.blocks[layer].input.clone())
                for envoys, values in self._in_order((self.attn, attn), (self.mlp, mlp)) if parts else ():
                    value = first_tensor(envoys[layer].output)
                    # A copy in any case: some blocks go on to add into these tensors.
                    values.append(value.reshape(stream[-1].shape) * self.scale)
            stream.append(first_tensor(self.blocks[-1].output).clone())
            kept["logits"] = logits_of(self.model.output)[:, -1].float()
        return Runs(stream, attn, mlp, kept["logits"])

    def resume(
        self,
        ids: torch.Tensor,
        start: int,
        enter: Callable[[int, torch.Tensor | None], torch.Tensor],
        write: Plan,
    ) -> torch.Tensor:
        """Run the model from layer `start` on, with rows that join and sites that change on the way.

        Args:
            ids: prompts, (row, position), which give the positions; their streams are replaced. One row if the batch
                may grow, else as many as run.
            start: the first layer to run.
            enter: called at each layer with the stream that arrives, None at `start`; returns the stream to go on with.
            write: not asked for resid_pre, which `enter` is about.

        Returns:
            float32 logits at the last position, (row, d_vocab).
        """
        first = enter(start, None)
        kept: dict[str, torch.Tensor] = {}
        with exclusive(self.opened.module), self.model.trace(input_ids=ids, **self._options()):
            for layer in range(start):
                self.blocks[layer].skip(self._block_output(first))
            for layer in range(start, self.n_layers):
                stream = first if layer == start else enter(layer, self.blocks[layer].input)
                self.blocks[layer].input = stream
                self._write_block(layer, stream, write, trim=self.trims and layer == self.n_layers - 1)
            kept["logits"] = logits_of(self.model.output)[:, -1].float()
        return kept["logits"]

    def run(self, ids: torch.Tensor, write: Plan) -> torch.Tensor:
        """Run prompts, (row, position) token ids, from their tokens on, with sites that change on the way.

        Returns:
            float32 logits at the last position, (row, d_vocab).
        """
        kept: dict[str, torch.Tensor] = {}
        with exclusive(self.opened.module), self.model.trace(input_ids=ids, **self._options()):
            for layer in range(self.n_layers):
                stream = self.blocks[layer].input
                change = write(("resid_pre", layer))
                if change is not None:
                    stream = change(stream)
                    self.blocks[layer].input = stream
                self._write_block(layer, stream, write, trim=False)
            kept["logits"] = logits_of(self.model.output)[:, -1].float()
        return kept["logits"]

    def _write_block(self, layer: int, stream: torch.Tensor, write: Plan, *, trim: bool) -> None:
        self._write_parts(layer, stream, write, trim)
        change = write(("resid_post", layer))
        if change is not None:
            _replace(self.blocks[layer], change)

    def _write_parts(self, layer: int, stream: torch.Tensor, write: Plan, trim: bool) -> None:
        for parts, site in self._in_order((self.attn, "attn_out"), (self.mlp, "mlp_out")):
            if trim and site == "mlp_out":
                parts[layer].input = parts[layer].input[:, -1:]
                _replace(parts[layer], lambda last: nn.functional.pad(last, (0, 0, stream.shape[1] - 1, 0)))
            change = write((site, layer))
            if change is not None:
                _replace(parts[layer], _scaled(change, self.scale, stream.shape))
            if site == "attn_out" and (middle := write(("resid_mid", layer))) is not None:
                # What attention adds is set so that everything after it sees the wanted stream.
                _replace(parts[layer], _scaled(_through(middle, stream), self.scale, stream.shape))

    def _in_order(self, attn: tuple[Any, Any], mlp: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
        if self.anatomy.parts is not None:
            yield from (mlp, attn) if self.anatomy.mlp_first else (attn, mlp)

    def _options(self) -> dict[str, Any]:
        return {"use_cache": False} | ({"logits_to_keep": 1} if self.anatomy.last_only else {})

    def _block_output(self, stream: torch.Tensor) -> Any:
        length = self.anatomy.tuple_length
        return (stream, *(None,) * (length - 1)) if length else stream

    def _envoy(self, module: nn.Module) -> Any:
        envoys = self.model.interleaver.envoys
        if id(module) not in envoys:
            raise ModelError(
                f"A {type(module).__name__} of {self.opened.name} was put in after nnsight wrapped the model, so "
                "nnsight does not know it. Wrap the model again, for instance with NNsight(model)."
            )
        return envoys[id(module)]

    def _parts(self, path: str) -> list[Any]:
        modules = [submodule(block, path) for block in self.anatomy.blocks]
        return [self._envoy(module) for module in modules if module is not None]


def _replace(envoy: Any, change: Write) -> None:
    output = envoy.output
    changed = change(first_tensor(output))
    envoy.output = (changed, *output[1:]) if isinstance(output, (tuple, list)) else changed


def _scaled(change: Write, scale: float, shape: Sequence[int]) -> Write:
    def apply(raw: torch.Tensor) -> torch.Tensor:
        added = raw.reshape(shape)  # some MLPs work on a flat list of positions (OPT)
        changed = change(added) if scale == 1 else change(added * scale) / scale
        return changed.reshape(raw.shape)

    return apply


def _through(change: Write, stream: torch.Tensor) -> Write:
    return lambda added: change(stream + added) - stream


@dataclass
class _Found:
    """What was found of a model, as long as it is made of the same modules."""

    modules: tuple[nn.Module, ...]
    anatomy: Anatomy
    shortcuts: tuple[bool, bool] | None = None


_found: weakref.WeakKeyDictionary[nn.Module, _Found] = weakref.WeakKeyDictionary()


def resolve(opened: Opened) -> Access:
    """Find a model's sites. The probe runs are made once for each module, and again when a part of it was replaced.

    Raises:
        ModelError: an architecture in which a stream alone does not determine what follows.
    """
    module = opened.module
    modules = tuple(module.modules())[1:]  # without the key itself, which the cache must not keep alive
    found = _found.get(module)
    if found is None or found.modules != modules:
        with exclusive(module):
            found = _found[module] = _Found(modules, examine(module, opened.config))
    access = Access(opened, found.anatomy)
    if access.edited:  # every row will run from its tokens, and edits inside a skipped block would fail
        return access
    if found.shortcuts is None:
        found.shortcuts = _probe_shortcuts(access)
    access.grows, access.trims = found.shortcuts
    return access


def _probe_shortcuts(access: Access) -> tuple[bool, bool]:
    """Find out which shortcuts leave the model's own logits as they are: a growing batch, and a trimmed last MLP.

    Raises:
        ModelError: it does not, so something besides the stream runs through the model.
    """
    ids = probe_ids(access.opened.module)
    runs = access.read(ids)
    for grows, trims in product((True, False), (access.trims, False)):
        access.trims = trims
        try:
            logits = _resume_from(access, ids, runs, grows)
        except (RuntimeError, ValueError, IndexError):  # what torch raises where shapes do not fit
            continue
        if _agree(logits, runs.logits, runs.stream[-1].dtype):
            return grows, trims
    raise ModelError(
        f"{type(access.opened.module).__name__} does not run on from a stream alone: something else passes from its "
        "tokens or its early layers to later ones, so patches would not mean what they say. This architecture is not "
        "supported."
    )


def _resume_from(access: Access, ids: torch.Tensor, runs: Runs, grows: bool) -> torch.Tensor:
    start, last = min(1, access.n_layers - 1), access.n_layers - 1

    def enter(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
        if arriving is None:
            return runs.stream[layer][:1] if grows and start < last else runs.stream[layer]
        joins = grows and layer == last
        return torch.cat([arriving, runs.stream[layer][1:]]) if joins else arriving

    # All on the first prompt's ids, as a sweep runs them: a model that reads its tokens again in later layers shows it.
    hosts = ids[:1] if grows else ids[:1].expand(len(ids), -1)
    return access.resume(hosts, start, enter, lambda _place: None)


def _agree(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether logits of a model of some dtype agree but for rounding."""
    if left.shape != right.shape or not torch.isfinite(right).all():
        return left.shape == right.shape
    allowed = 0.05 * float(right.std())
    if not (right.is_cuda and torch.backends.cuda.matmul.allow_tf32):  # which rounds more than its dtype says
        allowed = min(allowed, 256 * torch.finfo(dtype).eps * float(right.abs().max()))
    return float((left - right).abs().max()) <= allowed + 1e-6
