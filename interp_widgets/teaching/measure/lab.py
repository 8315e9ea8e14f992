"""A bench to measure a network on: plain PyTorch hooks, no interpretability library.

What the package's experiments find in the teaching model can so be checked against figures that were obtained without
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.utils.hooks import RemovableHandle

from interp_widgets.teaching.loading import read_network
from interp_widgets.teaching.pairs import PromptPair

Kind = Literal["stream", "attention", "mlp", "heads"]


@dataclass(frozen=True)
class Place:
    """An activation of the network.

    Attributes:
        kind: ``"stream"``: the residual stream before block ``layer`` (``layer`` may be the number of blocks, for the
            stream after the last). ``"attention"``, ``"mlp"``: what that part of block ``layer`` adds. ``"heads"``: the
            heads' outputs before the output projection, heads side by side.
        layer: Index of the block.
    """

    kind: Kind
    layer: int


Edit = Callable[[torch.Tensor], torch.Tensor]
"""Takes an activation, (prompts, tokens, width), and gives what to put in its place."""


class Lab:
    """A network, its tokenizer, and ways to run and edit it.

    Args:
        folder: Holds the files that ``saving.save`` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.network = read_network(folder, attention="eager")
        self.layers: int = self.network.config.n_layer
        self.heads: int = self.network.config.n_head
        self.head_width: int = self.network.config.n_embd // self.heads

    def ids(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids, (prompts, tokens). All prompts must have the same number of tokens."""
        return torch.tensor([encoding.ids for encoding in self.tokenizer.encode_batch(list(prompts))])

    def token(self, text: str) -> int:
        """The id of a text that is one token."""
        (token,) = self.tokenizer.encode(text).ids
        return int(token)

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """The ids of texts that are one token each, (texts,)."""
        return torch.tensor([self.token(text) for text in texts])

    @torch.no_grad()
    def last_logits(self, prompts: Sequence[str], edits: dict[Place, Edit] | None = None) -> torch.Tensor:
        """Logits at the end of each prompt, (prompts, vocabulary). Prompts of unequal length are run apart."""
        lengths = [len(encoding) for encoding in self.tokenizer.encode_batch(list(prompts))]
        rows: dict[int, torch.Tensor] = {}
        for length in sorted(set(lengths)):
            chosen = [i for i, this in enumerate(lengths) if this == length]
            logits = self.all_logits(self.ids([prompts[i] for i in chosen]), edits)[:, -1]
            rows.update(zip(chosen, logits, strict=True))
        return torch.stack([rows[i] for i in range(len(prompts))])

    @torch.no_grad()
    def all_logits(self, ids: torch.Tensor, edits: dict[Place, Edit] | None = None) -> torch.Tensor:
        """Logits at every position, (prompts, tokens, vocabulary), under some edits."""
        with self._edited(edits or {}):
            logits: torch.Tensor = self._run(ids).logits
            return logits

    @torch.no_grad()
    def patterns(self, ids: torch.Tensor) -> torch.Tensor:
        """Attention patterns, (layers, prompts, heads, queries, keys)."""
        return torch.stack(self._run(ids, output_attentions=True).attentions)

    @torch.no_grad()
    def record(self, ids: torch.Tensor, places: Sequence[Place]) -> dict[Place, torch.Tensor]:
        """Activations of one run, each (prompts, tokens, width)."""
        seen: dict[Place, torch.Tensor] = {}

        def keep(place: Place) -> Edit:
            def edit(value: torch.Tensor) -> torch.Tensor:
                seen[place] = value.clone()
                return value

            return edit

        with self._edited({place: keep(place) for place in places}):
            self._run(ids)
        return seen

    def head(self, head: int) -> slice:
        """Where a head's output lies along the width of a ``"heads"`` activation."""
        return slice(head * self.head_width, (head + 1) * self.head_width)

    def _run(self, ids: torch.Tensor, **options: Any) -> Any:
        return self.network(ids, attention_mask=torch.ones_like(ids), use_cache=False, **options)

    @contextmanager
    def _edited(self, edits: dict[Place, Edit]) -> Iterator[None]:
        with ExitStack() as stack:
            for place, edit in edits.items():
                stack.callback(self._attach(place, edit).remove)
            yield

    def _attach(self, place: Place, edit: Edit) -> RemovableHandle:
        if place.kind in ("stream", "heads"):
            return self._module(place).register_forward_pre_hook(lambda _, inputs: (edit(inputs[0]), *inputs[1:]))
        return self._module(place).register_forward_hook(lambda _, __, output: edit(output))

    def _module(self, place: Place) -> nn.Module:
        """The module whose input (streams, heads) or output (attention, MLP) the place is."""
        body = self.network.transformer
        if place.kind == "stream" and place.layer == self.layers:
            module: nn.Module = body.ln_f
            return module
        block = body.h[place.layer]
        modules: dict[Kind, nn.Module] = {
            "stream": block,
            "heads": block.attn.c_proj,
            "attention": block.attn.c_proj,
            "mlp": block.mlp,
        }
        return modules[place.kind]


def put(donor: torch.Tensor, tokens: slice | int = slice(None), width: slice = slice(None)) -> Edit:
    """An edit that copies some positions, and some of the width, from another run's activation."""

    def edit(value: torch.Tensor) -> torch.Tensor:
        changed = value.clone()
        changed[:, tokens, width] = donor[:, tokens, width]
        return changed

    return edit


def differences(lab: Lab, logits: torch.Tensor, pairs: Sequence[PromptPair]) -> torch.Tensor:
    """Logit of the answer less that of the wrong answer, (pairs,)."""
    rows = torch.arange(len(pairs))
    right = lab.tokens([pair.answer for pair in pairs])
    wrong = lab.tokens([pair.wrong_answer for pair in pairs])
    return logits[rows, right] - logits[rows, wrong]
