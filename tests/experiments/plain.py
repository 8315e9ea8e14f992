"""A model read and changed with plain PyTorch hooks, which know nothing of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from tests.experiments import zoo

Act = Callable[[torch.Tensor], torch.Tensor]
"""Gets a site's activations, (position, width), and returns them, changed or not."""


@dataclass(frozen=True)
class Put:
    """Put a value at positions (one or a slice) and columns of a site of a layer."""

    site: str
    layer: int
    positions: int | slice
    value: torch.Tensor | float
    columns: slice | int | None = None
    """All of them where not given."""


class Plain:
    """One family's model on one prompt at a time."""

    def __init__(self, name: str, model: Any | None = None) -> None:
        self.family = zoo.FAMILIES[name]
        self.model = zoo.model(name) if model is None else model
        self.blocks = list(self.model.get_submodule(self.family.blocks))

    def run(self, ids: Sequence[int], puts: Sequence[Put] = (), noise: torch.Tensor | None = None) -> torch.Tensor:
        """Logits at the last position, with values put in, and `noise` (position, d_embed) added to the embedding."""
        places: dict[tuple[str, int], list[Put]] = {}
        for put in puts:
            places.setdefault((put.site, put.layer), []).append(put)

        def changing(listed: list[Put]) -> Act:
            def act(values: torch.Tensor) -> torch.Tensor:
                changed = values.clone()
                for put in listed:
                    changed[put.positions, slice(None) if put.columns is None else put.columns] = put.value
                return changed

            return act

        with ExitStack() as hooks, torch.no_grad():
            if noise is not None:
                embedding = self.model.get_input_embeddings()
                hooks.callback(embedding.register_forward_hook(lambda _m, _a, output: output + noise).remove)
            for (site, layer), listed in places.items():
                hooks.enter_context(self._at(site, layer, changing(listed)))
            return self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]

    def read(self, ids: Sequence[int], site: str) -> list[torch.Tensor]:
        """What is at a site of every layer, (position, width)."""
        kept: list[torch.Tensor] = []

        def keep(values: torch.Tensor) -> torch.Tensor:
            kept.append(values.clone())
            return values

        with ExitStack() as hooks, torch.no_grad():
            for layer in range(len(self.blocks)):
                hooks.enter_context(self._at(site, layer, keep))
            self.model(input_ids=torch.tensor([list(ids)]), use_cache=False)
        return kept

    @contextmanager
    def _at(self, site: str, layer: int, act: Act) -> Iterator[None]:
        family, block = self.family, self.blocks[layer]
        scale = family.multiplier if site in ("attn_out", "mlp_out") else 1.0

        def on_output(_module: Any, _args: Any, output: Any) -> Any:
            raw = output[0] if isinstance(output, tuple) else output
            changed = (act(raw.reshape(-1, raw.shape[-1]) * scale) / scale).reshape(raw.shape)
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        def on_input(_module: Any, args: Any, kwargs: Any) -> Any:
            raw = args[0] if args else kwargs["hidden_states"]
            changed = act(raw.reshape(-1, raw.shape[-1])).reshape(raw.shape)
            return ((changed, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": changed})

        paths = {"resid_pre": "", "resid_post": "", "attn_out": family.attn, "mlp_out": family.mlp}
        if site in ("z", "mlp_post"):
            paths |= {"z": f"{family.attention}.{family.out}", "mlp_post": family.down}
        module = block.get_submodule(paths[site])
        if site in ("resid_pre", "z", "mlp_post"):
            handle = module.register_forward_pre_hook(on_input, with_kwargs=True)
        else:
            handle = module.register_forward_hook(on_output)
        try:
            yield
        finally:
            handle.remove()
