"""What writes to the stream: embeddings, heads, MLPs and biases, which together add up to the last stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from interp_widgets.models.access import Access, Runs
from interp_widgets.models.straight import Ending, Straight
from interp_widgets.results.attribution import Component
from interp_widgets.results.terms import Site

_OFFSETS = range(4)
"""By how many rows a table of positions may be shifted; OPT leaves out its first two."""


@dataclass(frozen=True)
class Written:
    """What a component adds to the stream at some positions."""

    component: Component
    added: torch.Tensor
    """(position, d_model), float32."""


class Writers:
    """The components of one model."""

    def __init__(self, access: Access, straight: Straight) -> None:
        self._access = access
        attn, mlp = (access.missing(site) is None for site in ("attn_out", "mlp_out"))
        if access.anatomy.parts is None:
            access.check_site("attn_out")
        self._parts = [part for part, there in (("attn", attn), ("mlp", mlp)) if there]
        if access.anatomy.mlp_first:
            self._parts.reverse()
        has_z, has_neurons = (access.missing(site) is None for site in ("z", "mlp_post"))
        layers = range(access.n_layers)
        self._attention = [straight.ending("attn", layer) if attn and has_z else None for layer in layers]
        self._mlps = [straight.ending("mlp", layer) if mlp and has_neurons else None for layer in layers]
        self._straight = straight
        self._wte = access.opened.module.get_input_embeddings()  # type: ignore[operator]

    @property
    def sites(self) -> list[Site]:
        """The sites that a run must keep."""
        sites: list[Site] = ["attn_out" if part == "attn" else "mlp_out" for part in self._parts]
        if any(ending is not None for ending in self._attention):
            sites.append("z")
        if any(self._apart(ending) for ending in self._mlps):
            sites.append("mlp_post")
        return sites

    @torch.no_grad()
    def written(self, runs: Runs, ids: torch.Tensor, row: int, positions: Sequence[int]) -> Iterator[Written]:
        """Yield what each component adds at some positions of a prompt, in the order in which the model adds it up.

        Args:
            runs: with all of `sites`.
            ids: the prompts, (row, position).
            row: which of them.
            positions: where to look.
        """
        yield from self._embedded(runs.stream[0][row].float(), ids[row], positions)
        for layer in range(self._access.n_layers):
            for part in self._parts:
                if part == "attn":
                    yield from self._by_attention(runs, layer, row, positions)
                else:
                    yield from self._by_mlp(runs, layer, row, positions)

    def _embedded(self, stream: torch.Tensor, ids: torch.Tensor, positions: Sequence[int]) -> Iterator[Written]:
        token = self._wte(ids[None])[0].float()
        if token.shape == stream.shape and not self._access.edited:
            token = token.to(stream.device)
            place = stream - token
            if self._is_table(place, float(stream.abs().max())):
                yield Written(Component("token embedding", "token"), token[positions])
                yield Written(Component("position embedding", "position"), place[positions])
                return
        yield Written(Component("embedding", "embedding"), stream[positions])

    def _is_table(self, places: torch.Tensor, size: float) -> bool:
        """Whether rows, (position, d_model), of a stream of some size are those of a table of positions."""
        tokens = {id(weight) for weight in self._wte.parameters()}
        for table in self._access.opened.module.parameters():
            if (
                table.ndim != 2
                or table.shape[1] != places.shape[-1]
                or table.is_meta
                or id(table) in tokens
                or not table.is_floating_point()
            ):
                continue
            for first in _OFFSETS:
                rows = table[first : first + len(places)].float().to(places.device)
                allowed = max(1e-6, 4 * torch.finfo(table.dtype).eps) * size
                if rows.shape == places.shape and float((rows - places).abs().max()) <= allowed:
                    return True
        return False

    def _by_attention(self, runs: Runs, layer: int, row: int, positions: Sequence[int]) -> Iterator[Written]:
        whole = runs.site("attn_out", layer)[row, positions].float()
        ending = self._attention[layer]
        if ending is None:
            yield Written(Component(f"attention {layer}", "attention", layer), whole)
            return
        z = runs.site("z", layer)[row, positions].float()
        size = ending.size(z.flatten(1)).repeat_interleave(z.shape[1], dim=0)
        heads = self._straight.by_head(ending, z, size).to(whole.device)
        for head, added in enumerate(heads.unbind(1)):
            yield Written(Component(f"head {layer}.{head}", "head", layer, head), added)
        if self._apart(ending):
            yield Written(Component(f"attention {layer} bias", "bias", layer), whole - heads.sum(1))

    def _by_mlp(self, runs: Runs, layer: int, row: int, positions: Sequence[int]) -> Iterator[Written]:
        whole = runs.site("mlp_out", layer)[row, positions].float()
        ending = self._mlps[layer]
        component = Component(f"MLP {layer}", "mlp", layer)
        if ending is None or not self._apart(ending):
            yield Written(component, whole)
            return
        neurons = runs.site("mlp_post", layer)[row, positions].float()
        added = ending.carried(neurons, ending.size(neurons)).to(whole.device)
        yield Written(component, added)
        yield Written(Component(f"MLP {layer} bias", "bias", layer), whole - added)

    def _apart(self, ending: Ending | None) -> bool:
        """Whether something is added behind a projection that is none of its rows': a bias, or a user's edit."""
        return ending is not None and (ending.adds or self._access.edited)
