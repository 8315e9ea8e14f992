"""Read and write a site inside a trace, for any family: found once for each model, by data and probe runs."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from interp_widgets.models.adapted import model_class
from interp_widgets.models.families import RECURRENT
from interp_widgets.models.guard import exclusive
from interp_widgets.models.heads import HeadLayout
from interp_widgets.models.inside import Inside, examine_inside, find_entrance
from interp_widgets.models.layer import HeadPlaces, Layer
from interp_widgets.models.opening import Opened
from interp_widgets.models.prefix import Past, Prefix, Recorder
from interp_widgets.models.probe import (
    Anatomy,
    examine,
    first_tensor,
    is_causal,
    logits_of,
    n_vocab,
    reads_last,
)
from interp_widgets.models.shortcuts import probe_prefix, probe_shortcuts
from interp_widgets.results.errors import ModelError, SelectionError, SiteError
from interp_widgets.results.terms import HEAD_SITES, SITES, STREAM_SITES, Site

Write = Callable[[torch.Tensor], torch.Tensor]
"""Gets a site's activations, as `Runs.site` returns them, and returns them changed; it must not change them in place.
"""

Plan = Callable[[tuple[Site, int]], Write | None]
"""Says what to do at a site of a layer, if anything."""


@dataclass(frozen=True)
class Runs:
    """The activations of a batch of prompts, each tensor on the device of its layer."""

    stream: list[torch.Tensor]
    """What enters each layer, and at the end what leaves the last one, (row, position, d_model)."""
    kept: Mapping[Site, list[torch.Tensor]]
    """What was at the other sites that were read, one tensor a layer."""
    logits: torch.Tensor
    """(row, d_vocab): float32 logits at the last position."""
    past: Past | None = None
    """Keys and values, from which rows can run on; None where the architecture does not let them."""

    def site(self, site: Site, layer: int) -> torch.Tensor:
        """Return the activations at a site that was read.

        Streams are (row, position, d_model); z, q, k and v (row, position, head, d_head), with the key-value heads for
        k and v; pattern (row, head, query, key); mlp_post (row, position, d_mlp).
        """
        if site == "resid_pre":
            return self.stream[layer]
        if site == "resid_post":
            return self.stream[layer + 1]
        if site == "resid_mid":
            return self.stream[layer] + self.kept["attn_out"][layer]
        return self.kept[site][layer]


class Access:
    """One model, resolved: where its sites are, and how to run it from any layer on.

    Printing it says what was found.
    """

    def __init__(
        self, opened: Opened, anatomy: Anatomy, find_inside: Callable[[], Inside], find_entrance: Callable[[], str]
    ) -> None:
        self.opened = opened
        self.model: Any = opened.envoy
        self.anatomy = anatomy
        self.scale = anatomy.parts.multiplier(opened.config) if anatomy.parts else 1.0
        self.n_vocab = n_vocab(opened.module)
        self.blocks = [self._envoy(block) for block in anatomy.blocks]
        self.layers = [self._layer(block) for block in anatomy.blocks]
        """The blocks with their sites; heads and neurons only once one of their sites was asked about."""
        self._find_inside = find_inside
        self._find_entrance = find_entrance
        self.edited = any(envoy._edits for envoy in (self.model, *self.model.interleaver.envoys.values()))
        """Whether the user stored edits on the model, which need every layer of every row to run."""
        self.grows = True
        """Whether the batch may grow between two layers (ALiBi tables made for one batch size do not let it)."""
        self.causal = is_causal(opened.module)
        """Whether positions see only what comes before them."""
        self.reads_last = reads_last(opened.module)
        """Whether the logits come from the last position alone."""
        self.trims = bool(anatomy.parts and anatomy.parts.mlp) and not anatomy.mlp.flat and self.reads_last
        """Whether the last MLP may run on the final position alone, the only one that is still read."""
        self.cached = 0
        """Numbers that keys and values of a token take in a layer; 0 where rows cannot run on from them."""
        self._prefix: Prefix | None = None

    def __repr__(self) -> str:
        parts = self.anatomy.parts
        lines = [
            f"{self.opened.name} ({model_class(self.opened.module)}): "
            f"{self.n_layers} blocks, the first at {self.blocks[0].path}",
            f"  attn_out: {(parts and parts.attn) or 'not found'}, mlp_out: {(parts and parts.mlp) or 'not found'}"
            + (f", both times {self.scale}" if self.scale != 1 else ""),
            f"  sites: {', '.join(self.sites)}",
        ]
        return "\n".join(lines)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @cached_property
    def inside(self) -> Inside:
        """The heads and neurons, looked for when they are first asked about."""
        inside = self._find_inside()
        for layer, block in zip(self.layers, self.anatomy.blocks, strict=True):
            if inside.heads is not None:
                layer.heads = self._head_places(inside.heads, block)
            if inside.down:
                layer.down = self._envoy(block.get_submodule(inside.down))
        return inside

    @cached_property
    def entrance(self) -> str:
        """Where in a block the module is that gets what the MLP gets, looked for when it is first asked about.

        Empty where there is none.
        """
        path = self._find_entrance()
        if path:
            for layer, block in zip(self.layers, self.anatomy.blocks, strict=True):
                layer.enters = self._envoy(block.get_submodule(path))
        return path

    @property
    def n_heads(self) -> int | None:
        """Number of query heads in each layer, None where they were not found."""
        return self.inside.heads.n_heads if self.inside.heads else None

    @property
    def n_kv_heads(self) -> int | None:
        """Number of key-value heads in each layer, None where they were not found."""
        return self.inside.heads.n_kv_heads if self.inside.heads else None

    @property
    def d_head(self) -> int | None:
        """Width of one head, None where heads were not found."""
        return self.inside.heads.d_head if self.inside.heads else None

    @property
    def d_mlp(self) -> int | None:
        """Number of neurons in each layer, None where they were not found."""
        return self.inside.d_mlp

    def head_count(self, site: Site) -> int:
        """Return how many heads a site has: the query heads, or for k and v the key-value heads.

        Raises:
            SiteError: a site that has no heads, here or in general.
        """
        if site not in HEAD_SITES:
            raise SiteError(f"{site} has no heads. The sites with heads are {', '.join(HEAD_SITES)}.")
        self.check_site(site)
        layout = self._heads()
        return layout.n_kv_heads if site in ("k", "v") else layout.n_heads

    def shared_by(self, kv_head: int) -> tuple[int, ...]:
        """Return the query heads that share a key-value head.

        Raises:
            SelectionError: a key-value head that does not exist.
            SiteError: an architecture whose heads were not found.
        """
        layout = self._heads()
        if not 0 <= kv_head < layout.n_kv_heads:
            raise SelectionError(
                f"There is no key-value head {kv_head}: {self.opened.name} has {layout.n_kv_heads}, counted from 0."
            )
        return tuple(range(kv_head * layout.group, (kv_head + 1) * layout.group))

    def _heads(self) -> HeadLayout:
        if self.inside.heads is None:
            self.check_site("z")
            raise AssertionError("z exists without heads")
        return self.inside.heads

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that exist in this architecture."""
        return tuple(site for site in SITES if self.missing(site) is None)

    def check_site(self, site: Site) -> None:
        """Refuse a site that this architecture does not have.

        Raises:
            SiteError: with the sites that it has.
        """
        reason = self.missing(site)
        if reason:
            raise SiteError(
                f"{site} does not exist in {model_class(self.opened.module)}: {reason} Use {self._offer()}."
            )

    def missing(self, site: Site) -> str | None:
        """Return why a site does not exist in this architecture, None if it does."""
        if site in ("resid_pre", "resid_post"):
            return None
        if getattr(self.opened.config, "model_type", None) in RECURRENT:
            return "its blocks mix positions by a recurrence, and have neither attention nor an MLP."
        if site not in STREAM_SITES:
            return self.inside.missing.get(site)
        if self.anatomy.parts is None:
            return "no modules of its blocks were found that make up what a block adds to the stream."
        if not self.anatomy.parts.attn and site in ("attn_out", "resid_mid"):
            return "its MLP is all that a block adds to the stream."
        if not self.anatomy.parts.mlp and site in ("mlp_out", "resid_mid"):
            return "its attention is all that a block adds to the stream."
        if site == "resid_mid" and self.anatomy.parallel and self.anatomy.mlp_first:
            return "attention comes after the MLP or beside it, so there is no stream that it hands to the MLP."
        if site == "resid_mid" and self.anatomy.parallel:
            return "attention and MLP run in parallel, so there is no stream between them."
        return None

    def _offer(self) -> str:
        *others, last = self.sites
        return f"{', '.join(others)} or {last}"

    def agreeing(self, shared: int) -> int:
        """Return how many of the leading tokens that two prompts share are sure to have the same activations.

        None of them are where positions see what comes after them, or where edits that a user stored on the model may
        carry anything anywhere.
        """
        return shared if self.causal and not self.edited else 0

    def after(self, prefix: Prefix) -> Access:
        """Return the same model, with runs that go on after positions that a host's run has computed.

        All that it is given and returns, prompts and activations, then begins at position `prefix.first`.
        """
        access = copy.copy(self)
        access._prefix = prefix
        return access

    def embedding_std(self) -> float:
        """Return the standard deviation of the numbers that the token embedding hands over, over its vocabulary.

        Gemma's module multiplies them, so that they are not those of its matrix.
        """
        count = total = squares = 0.0
        ids = torch.arange(self.n_vocab, device=self.opened.device)
        with torch.no_grad():  # in parts, since a wide copy of a large vocabulary's matrix may not fit
            for start in range(0, self.n_vocab, 4096):
                handed_over: torch.Tensor = self._embedding(ids[None, start : start + 4096]).float()
                count += handed_over.numel()
                total += float(handed_over.sum())
                squares += float(handed_over.square().sum())
        return math.sqrt(max(0.0, squares / count - (total / count) ** 2))

    @property
    def embedding(self) -> Any:
        """The token embedding, as nnsight knows it."""
        return self._envoy(self._embedding)

    @property
    def _embedding(self) -> Any:
        return self.opened.module.get_input_embeddings()  # type: ignore[operator]

    def read(self, ids: torch.Tensor, sites: Collection[Site], *, embed: Write | None = None) -> Runs:
        """Run prompts, (row, position) token ids, and keep their streams and what is at some sites.

        Args:
            ids: prompts, (row, position).
            sites: which sites to keep beside the stream, resid_mid by way of attn_out.
            embed: changes what the token embedding hands over, (row, position, d_embed).

        Raises:
            SiteError: a site that the architecture does not have.
        """
        for site in sites:
            self.check_site(site)
        wanted = {"attn_out" if site == "resid_mid" else site for site in sites} - {"resid_pre", "resid_post"}
        stream: list[torch.Tensor] = []
        layers: list[dict[Site, torch.Tensor]] = []
        kept: dict[str, torch.Tensor] = {}
        embedding = self._envoy(self._embedding) if embed is not None else None
        recorder = Recorder() if self.cached else None
        with exclusive(self.opened.module), self.model.trace(input_ids=ids, **self.options(recorder)):
            if embed is not None and embedding is not None:
                embedding.output = embed(embedding.output)
            for layer in self.layers:
                stream.append(layer.block.input.clone())
                layers.append(layer.read(wanted, stream[-1]))
            stream.append(first_tensor(self.blocks[-1].output).clone())
            kept["logits"] = logits_of(self.model.output)[:, -1].float()
        by_site: dict[Site, list[torch.Tensor]] = {site: [layer[site] for layer in layers] for site in wanted}
        return Runs(stream, by_site, kept["logits"], None if recorder is None else recorder.past)

    def resume(
        self,
        ids: torch.Tensor,
        start: int,
        enter: Callable[[int, torch.Tensor | None], torch.Tensor],
        write: Plan,
        *,
        gradients: bool = False,
    ) -> torch.Tensor:
        """Run the model from layer `start` on, with rows that join and sites that change on the way.

        Args:
            ids: prompts, (row, position), which give the positions; their streams are replaced. One row if the batch
                may grow, else as many as run.
            start: the first layer to run.
            enter: called at each layer with the stream that arrives, None at `start`; returns the stream to go on with.
            write: not asked for resid_pre, which `enter` is about. Asked for everything before the run.
            gradients: whether the logits keep the graph of how they came about, as long as they are kept.

        Returns:
            float32 logits at the last position, (row, d_vocab).

        Raises:
            SiteError: a site that the architecture does not have.
        """
        changes = self._changes(write, start, SITES[1:])
        first = enter(start, None)
        kept: dict[str, torch.Tensor] = {}
        options = self.options(self._prefix)
        with exclusive(self.opened.module, gradients=gradients), self.model.trace(input_ids=ids, **options):
            for number in range(start):
                self.blocks[number].skip(self.block_output(first))
            for number in range(start, self.n_layers):
                layer = self.layers[number]
                stream = first if number == start else enter(number, layer.block.input)
                layer.block.input = stream
                layer.write(changes[number], stream, trim=self.trims and number == self.n_layers - 1)
            kept["logits"] = logits_of(self.model.output)[:, -1].float()
        return kept["logits"]

    def run(self, ids: torch.Tensor, write: Plan, *, gradients: bool = False) -> torch.Tensor:
        """Run prompts, (row, position) token ids, from their tokens on, with sites that change on the way.

        Returns:
            float32 logits at the last position, (row, d_vocab).

        Raises:
            SiteError: a site that the architecture does not have.
        """
        changes = self._changes(write, 0, SITES)
        kept: dict[str, torch.Tensor] = {}
        with exclusive(self.opened.module, gradients=gradients), self.model.trace(input_ids=ids, **self.options()):
            for number, layer in enumerate(self.layers):
                stream = layer.block.input
                if "resid_pre" in changes[number]:
                    stream = changes[number]["resid_pre"](stream)
                    layer.block.input = stream
                layer.write(changes[number], stream)
            kept["logits"] = logits_of(self.model.output)[:, -1].float()
        return kept["logits"]

    def _changes(self, write: Plan, start: int, sites: Sequence[Site]) -> dict[int, dict[Site, Write]]:
        """Ask what to write at each layer, before a trace begins: looking for heads would run the model."""
        changes: dict[int, dict[Site, Write]] = {}
        for layer in range(start, self.n_layers):
            asked = {site: write((site, layer)) for site in sites}
            changes[layer] = {site: change for site, change in asked.items() if change is not None}
        for site in {site for layer in changes.values() for site in layer}:
            self.check_site(site)
        return changes

    def options(self, cache: Recorder | Prefix | None = None) -> dict[str, Any]:
        """Return what a run is asked for: the last position's logits alone where it can be, and a cache if any."""
        options: dict[str, Any] = {"use_cache": cache is not None}
        if cache is not None:
            options["past_key_values"] = cache
        return options | ({"logits_to_keep": 1} if self.anatomy.last_only else {})

    def block_output(self, stream: torch.Tensor) -> Any:
        """Return what a block that leaves this stream hands over, for a block that is skipped."""
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

    def envoy_of(self, module: nn.Module) -> Any:
        """Return a module of the model as nnsight knows it.

        Raises:
            ModelError: nnsight does not know it.
        """
        return self._envoy(module)

    def _layer(self, block: nn.Module) -> Layer:
        parts = self.anatomy.parts
        paths = (parts.attn, parts.mlp) if parts else ("", "")
        attn, mlp = (self._envoy(block.get_submodule(path)) if path else None for path in paths)
        return Layer(self._envoy(block), attn, mlp, self.scale, self.anatomy.mlp_first)

    def _head_places(self, layout: HeadLayout, block: nn.Module) -> HeadPlaces:
        attention = block.get_submodule(layout.where.attention)
        projections = {path: self._envoy(attention.get_submodule(path)) for path in layout.where.qkv}
        out = self._envoy(attention.get_submodule(layout.where.out))
        return HeadPlaces(layout, self._envoy(attention), projections, out)


@dataclass
class _Found:
    """What was found of a model, as long as it is made of the same modules and computes attention in the same way."""

    modules: tuple[nn.Module, ...]
    implementation: str | None
    anatomy: Anatomy
    shortcuts: tuple[bool, bool, int] | None = None
    inside: Inside | None = None
    entrance: str | None = None


_found: weakref.WeakKeyDictionary[nn.Module, _Found] = weakref.WeakKeyDictionary()


def resolve(opened: Opened) -> Access:
    """Find a model's sites. The probe runs are made once for each module, and again when a part of it was replaced
    or its attention is computed in another way.

    Raises:
        ModelError: an architecture in which a stream alone does not determine what follows.
    """
    module = opened.module
    modules = tuple(module.modules())[1:]  # without the key itself, which the cache must not keep alive
    found = _found.get(module)
    implementation = getattr(opened.config, "_attn_implementation", None)
    if found is None or (found.modules, found.implementation) != (modules, implementation):
        with exclusive(module):
            found = _found[module] = _Found(modules, implementation, examine(module, opened.config))
    access = Access(opened, found.anatomy, partial(_look_inside, opened, found), partial(_look_before, opened, found))
    if access.edited:  # every row will run from its tokens, and edits inside a skipped block would fail
        return access
    if found.shortcuts is None:
        found.shortcuts = (*probe_shortcuts(access), probe_prefix(access))
    access.grows, access.trims, access.cached = found.shortcuts
    return access


def _look_inside(opened: Opened, found: _Found) -> Inside:
    if found.inside is None:
        with exclusive(opened.module):
            found.inside = examine_inside(opened.module, opened.config, found.anatomy)
    return found.inside


def _look_before(opened: Opened, found: _Found) -> str:
    if found.entrance is None:
        down = _look_inside(opened, found).down
        with exclusive(opened.module):
            found.entrance = find_entrance(opened.module, found.anatomy, down)
    return found.entrance
