"""Whether heads make more likely what they attend to, read off their weights: the OV circuit."""

from __future__ import annotations

from functools import cached_property

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.harvest import harvest
from interp_widgets.models.straight import Straight
from interp_widgets.results.dictionary import Place

_ENTRANCE = Place("resid_pre", 0)
_PLACES = 4
"""Positions of one token that are looked at to see whether they matter."""
_TOKENS = 4096
_ROWS = 32
_TOP = 5


class Copying:
    """The OV circuits of one model."""

    def __init__(self, access: Access, straight: Straight) -> None:
        self._access = access
        self._straight = straight
        self._embeddings: torch.Tensor | None = None
        self._through: tuple[torch.Tensor, dict[bool, torch.Tensor]] | None = None
        """The sizes of the embeddings, and by whether tokens are shuffled what leads from the stream's end back to
        its beginning: see `_circle`."""

    def missing(self, layers: tuple[int, ...]) -> str | None:
        """Why circuits cannot be read off the weights, None if they can be."""
        if not hasattr(self._access.opened.module, "get_input_embeddings"):
            return "the token embedding of this model was not found."
        if self.embedded(torch.tensor([0])).shape[-1] != int(self._access.opened.config.hidden_size):
            return "the token embedding is not as wide as the stream."
        if self._straight.logits(torch.zeros(1, int(self._access.opened.config.hidden_size))) is None:
            return "the final norm or the unembedding was not found."
        if any(
            self._straight.ending("attn", layer) is None or self._straight.before("attn", layer) is None
            for layer in layers
        ):
            return "the norm before attention or its output projection was not found."
        return None

    @torch.no_grad()
    def embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what tokens hand to the first layer, (token, d_model), float32, without what positions add.

        A norm right after the embedding (BLOOM's) and a multiplier (Granite's) are in it. Where positions are added to
        embeddings, it is what the token embedding hands over.
        """
        if not self.adds_positions:
            return harvest(self._access, tokens[:, None], _ENTRANCE, lambda there: there[:, 0].clone())
        opened = self._access.opened
        module = opened.module.get_input_embeddings()  # type: ignore[operator]
        handed: torch.Tensor = module(tokens[None].to(opened.device))[0]
        return handed.float()

    @cached_property
    def adds_positions(self) -> bool:
        """Whether what a token hands to the first layer depends on where it stands."""
        ids = torch.zeros(1, _PLACES, dtype=torch.long)
        with torch.no_grad():
            entering = harvest(self._access, ids, _ENTRANCE, lambda there: there[0].clone())
        return bool((entering - entering[:1]).abs().max() > 1e-6 * entering.abs().max())

    @torch.no_grad()
    def among_top(self, layer: int, rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Say of rows of the stream, (row, d_model), whether attending to them makes their token likely, (row, head).

        That is whether its logit rises above the mean by what the head hands straight to the logits, and those of fewer
        than 5 other tokens rise more.
        """
        found = []
        for some, own in zip(torch.split(rows, _ROWS), torch.split(tokens, _ROWS), strict=True):
            added = self._straight.heads(layer, some)
            if added is None:
                raise AssertionError("`missing` has seen to it")
            by_head = []
            for head in range(added.shape[1]):
                logits = self._straight.logits(added[:, head])
                if logits is None:
                    raise AssertionError("`missing` has seen to it")
                mine = logits.gather(1, own[:, None].to(logits.device))
                by_head.append((((logits > mine).sum(1) < _TOP) & (mine[:, 0] > 0)).cpu())
            found.append(torch.stack(by_head, dim=1))
        return torch.cat(found)

    @torch.no_grad()
    def eigenvalue_scores(self, layer: int, *, shuffled: bool = False) -> torch.Tensor:
        """Return the sum of the eigenvalues of each head's OV circuit over the sum of their sizes, (head,), -1 to 1.

        0 where all of them are 0.
        """
        eigenvalues = self.eigenvalues(layer, shuffled=shuffled)
        scores: torch.Tensor = eigenvalues.sum(-1).real / eigenvalues.abs().sum(-1)
        return scores.nan_to_num(0.0)

    @torch.no_grad()
    def eigenvalues(self, layer: int, *, shuffled: bool = False) -> torch.Tensor:
        """Return the eigenvalues of each head's OV circuit, (head, d_head), complex.

        The circuit, (token, token), has at most as many that are not zero as the head is wide: those of W_O W_U W_E
        W_V, which is what is looked at.
        """
        layout, ending = self._access.inside.heads, self._straight.ending("attn", layer)
        if layout is None or ending is None:
            raise AssertionError("`missing` has seen to it")
        written = ending.carried(torch.eye(layout.n_heads * layout.d_head, device=self._access.opened.device))
        back = written @ self._circle(layer, shuffled).to(written.device)
        values = self._straight.values(layer, back)
        if values is None:
            raise AssertionError("`missing` has seen to it")
        own = values.unflatten(0, (layout.n_heads, layout.d_head))  # type: ignore[no-untyped-call]
        circuits = torch.stack([own[head, :, head] for head in range(layout.n_heads)]).double().cpu()
        found: torch.Tensor = torch.linalg.eigvals(circuits)
        return found

    def _circle(self, layer: int, shuffled: bool) -> torch.Tensor:
        """Return W_U W_E, (d_model, d_model): the unembedding, and the embeddings of the tokens that it raises.

        Each embedding is divided by its size at the norm before attention. Layers whose norms find the same sizes share
        it.
        """
        norm = self._straight.before("attn", layer)
        if norm is None:
            raise AssertionError("`missing` has seen to it")
        if self._embeddings is None:
            tokens = torch.split(torch.arange(self._access.n_vocab), _TOKENS)
            self._embeddings = torch.cat([self.embedded(some) for some in tokens])
        sizes = norm.size(self._embeddings)
        if self._through is None or not torch.allclose(sizes, self._through[0].to(sizes.device), rtol=1e-4):
            self._through = sizes, {}
        made = self._through[1]
        if shuffled not in made:
            entering = self._embeddings.to(sizes.device) / sizes
            if shuffled:
                order = torch.randperm(len(entering), generator=torch.Generator().manual_seed(0))
                entering = entering[order.to(entering.device)]
            width = entering.shape[1]
            rows = []
            for some in torch.split(torch.eye(width, device=entering.device), 512):
                logits = self._straight.logits(some)
                if logits is None:
                    raise AssertionError("`missing` has seen to it")
                rows.append(logits[:, : len(entering)] @ entering.to(logits.device))
            made[shuffled] = torch.cat(rows)
        return made[shuffled]
