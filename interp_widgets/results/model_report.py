"""What was found of a model: its sizes, its sites, and why it does not have the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interp_widgets.results.terms import SITE_TERMS, SITES, Site


@dataclass(frozen=True)
class ModelReport:
    """A model as experiments see it. Print it to read it."""

    name: str
    model_class: str
    family: str
    """The architecture, as the model's config calls it."""
    n_layers: int
    d_model: int
    n_heads: int | None
    """Query heads in each layer; None, like the other three, where they were not found."""
    n_kv_heads: int | None
    """Key-value heads, fewer than query heads where several of those share one."""
    d_head: int | None
    d_mlp: int | None
    """Neurons in each layer."""
    n_vocab: int
    context: int | None
    """Tokens that a prompt may have, None where there is no limit."""
    places: Mapping[Site, str]
    """Where in the model each of its sites is."""
    missing: Mapping[Site, str]
    """Why the other sites do not exist."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that experiments can use on this model."""
        return tuple(site for site in SITES if site in self.places)

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.model_class}, family {self.family}",
            f"  {self.n_layers} layers, stream of width {self.d_model}",
            f"  {self._heads()}",
            f"  {f'{self.d_mlp} neurons a layer' if self.d_mlp else 'no neurons found'}",
            f"  vocabulary of {self.n_vocab}, context of {self.context or 'any length'}",
            "Sites:",
            *(f"  {site:<10} {SITE_TERMS[site].meaning} ({self.places[site]})" for site in self.sites),
        ]
        if self.missing:
            lines += ["Not in this model:", *(f"  {site:<10} {reason}" for site, reason in self.missing.items())]
        return "\n".join(lines)

    def _heads(self) -> str:
        if self.n_heads is None or self.n_kv_heads is None:
            return "no heads found"
        heads = f"{self.n_heads} heads of width {self.d_head}"
        if self.n_kv_heads == self.n_heads:
            return heads
        count = f"{self.n_kv_heads} key-value head{'' if self.n_kv_heads == 1 else 's'}"
        return f"{heads} on {count}, each shared by {self.n_heads // self.n_kv_heads}"
