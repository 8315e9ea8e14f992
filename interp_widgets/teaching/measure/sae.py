"""What the SAE that ships does, in plain PyTorch: how well it stands for the model, and what its latents mean.

Everything is measured on documents made of combinations that training never saw, each run by itself, without its first
token. A latent is named on one half of them and judged on the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional

from interp_widgets.teaching.corpus.passage import Passage
from interp_widgets.teaching.rows import RowMaker

from .concepts import CONCEPTS, Concept
from .figure import Figure
from .held_out import documents
from .lab import Edit, Lab, Place

_DOCUMENTS: Final = 1400
_FLOOR: Final = 0.9
"""F1 on the half where latents are chosen, from which on a latent is named."""
_DEAD_BATCHES: Final = 50


class PlainSae:
    """The weights of a folder, and nothing of the package's own code for them.

    Args:
        folder: In SAELens' format, architecture "topk", at the residual stream.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "cfg.json").read_text())
        self.k: int = config["k"]
        block = int(config["metadata"]["hook_name"].split(".")[1])
        self.place = Place("stream", block + 1)
        self._weights = {name: weight.float() for name, weight in load_file(folder / "sae_weights.safetensors").items()}

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents, (..., latents)."""
        w = self._weights
        pre = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
        top = pre.topk(self.k)
        latents: torch.Tensor = torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
        return latents

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Reconstructions, (..., width)."""
        reconstruction: torch.Tensor = latents @ self._weights["W_dec"] + self._weights["b_dec"]
        return reconstruction


@dataclass(frozen=True)
class Named:
    """A latent that stands for a concept where it is above a threshold."""

    concept: str
    latent: int
    threshold: float


@dataclass(frozen=True)
class Half:
    """One half of the documents, token by token."""

    latents: NDArray[np.float32]
    """(token, latent)."""
    concepts: dict[str, NDArray[np.bool_]]
    """(token) for each concept: whether the token is one."""


def halves(lab: Lab, sae: PlainSae) -> tuple[Half, Half]:
    """Read the documents: those that latents are chosen on, and those that they are judged on."""
    drawn = documents("latents", _DOCUMENTS)
    return _half(lab, sae, drawn[: _DOCUMENTS // 2]), _half(lab, sae, drawn[_DOCUMENTS // 2 :])


def _half(lab: Lab, sae: PlainSae, drawn: Sequence[Passage]) -> Half:
    latents: list[NDArray[np.float32]] = []
    found: dict[str, list[bool]] = {concept.key: [] for concept in CONCEPTS}
    for group in _of_equal_length(lab, drawn):
        stream = lab.record(lab.ids([passage.text for passage in group]), [sae.place])[sae.place]
        latents.append(sae.encode(stream[:, 1:]).flatten(0, 1).numpy())
        for passage in group:
            offsets = lab.tokenizer.encode(passage.text).offsets[1:]
            for concept in CONCEPTS:
                found[concept.key] += concept.at(passage, offsets)
    return Half(np.concatenate(latents), {key: np.array(tokens) for key, tokens in found.items()})


def _of_equal_length(lab: Lab, drawn: Sequence[Passage]) -> Iterator[list[Passage]]:
    def length(passage: Passage) -> int:
        return len(lab.tokenizer.encode(passage.text))

    for _, group in groupby(sorted(drawn, key=length), key=length):
        yield list(group)


def name_latents(half: Half) -> list[Named]:
    """Give each concept the latent and the threshold with the best F1, where that is good enough.

    A latent has one name, that of the concept it fits best.
    """
    fits: list[tuple[float, Named]] = []
    for key, tokens in half.concepts.items():
        # Whatever its precision, a latent that fires on fewer of the tokens than this has an F1 below the floor.
        fires = (half.latents[tokens] > 0).sum(axis=0)
        often = np.flatnonzero(fires >= max(1.0, tokens.sum() * _FLOOR / (2 - _FLOOR)))
        if not len(often):
            continue
        scores, thresholds = _best_thresholds(half.latents[:, often], tokens)
        best = int(scores.argmax())
        fits.append((float(scores[best]), Named(key, int(often[best]), round(float(thresholds[best]), 2))))
    named: dict[int, Named] = {}
    for score, fit in sorted(fits, key=lambda one: -one[0]):
        if score >= _FLOOR:
            named.setdefault(fit.latent, fit)
    return list(named.values())


def _best_thresholds(
    latents: NDArray[np.float32], tokens: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each latent the best F1 that a threshold gives, and that threshold, halfway between two activations."""
    order = np.argsort(-latents, axis=0, kind="stable")
    falling = np.take_along_axis(latents, order, 0)
    below = np.vstack([falling[1:], np.zeros((1, latents.shape[1]), np.float32)])
    right = np.cumsum(tokens[order], axis=0)
    above = np.arange(1, len(latents) + 1)[:, None]
    scores = 2 * right / (above + tokens.sum())
    scores[falling <= below] = 0  # no threshold lies between the two
    best, every = scores.argmax(axis=0), np.arange(latents.shape[1])
    return scores[best, every], (falling[best, every] + below[best, every]) / 2


def measure(lab: Lab, sae: PlainSae, named: Sequence[Named]) -> dict[str, Figure]:
    """Every figure that the SAE's card claims, given its named latents."""
    figures = [*_fit(lab, sae), *_dead(lab, sae), *_meanings(halves(lab, sae)[1], named)]
    return {figure.name: figure for figure in figures}


def _fit(lab: Lab, sae: PlainSae) -> Iterator[Figure]:
    drawn = documents("latents", _DOCUMENTS)
    stream: list[torch.Tensor] = []
    written: list[torch.Tensor] = []
    fires: list[torch.Tensor] = []
    sums = {"loss": 0.0, "loss_with": 0.0, "loss_without": 0.0}
    tokens = 0

    def instead(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :1], sae.decode(sae.encode(x[:, 1:]))], 1)

    def nothing(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], 1)

    edits: dict[str, dict[Place, Edit]] = {
        "loss": {},
        "loss_with": {sae.place: instead},
        "loss_without": {sae.place: nothing},
    }
    for group in _of_equal_length(lab, drawn):
        ids = lab.ids([passage.text for passage in group])
        x = lab.record(ids, [sae.place])[sae.place][:, 1:].flatten(0, 1)
        latents = sae.encode(x)
        stream.append(x)
        written.append(sae.decode(latents))
        fires.append((latents > 0).sum(1).float())
        tokens += ids[:, 1:].numel()
        for name, edit in edits.items():
            logits = lab.all_logits(ids, edit)[:, :-1].flatten(0, 1)
            sums[name] += functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="sum").item()
    x, error = torch.cat(stream), torch.cat(stream) - torch.cat(written)
    explained = 1 - (error.square().sum() / (x - x.mean(0)).square().sum()).item()
    loss, loss_with, loss_without = (total / tokens for total in sums.values())
    on = f"{_DOCUMENTS} documents of held-out combinations, {len(x):,} tokens"
    yield Figure("sae.variance_explained", explained, f"1 - squared error / squared distance from the mean; {on}")
    yield Figure("sae.l0", torch.cat(fires).mean().item(), f"latents that fire on a token, mean; {on}")
    yield Figure("sae.loss", loss, "the model's mean cross-entropy on those documents, in nats", 0.01)
    yield Figure(
        "sae.loss_with", loss_with, "the same with the reconstruction in the stream's place, but for the first token"
    )
    yield Figure(
        "sae.loss_without", loss_without, "the same with zeros in the stream's place, but for the first token", 0.1
    )
    recovered = (loss_without - loss_with) / (loss_without - loss)
    yield Figure("sae.loss_recovered", recovered, "share of the loss between zeros and the model that comes back")


def _dead(lab: Lab, sae: PlainSae) -> Iterator[Figure]:
    maker = RowMaker(lab.tokenizer)
    fired: torch.Tensor | None = None
    for step in range(_DEAD_BATCHES):
        ids = maker.batch(-1, step).ids
        on = (sae.encode(lab.record(ids, [sae.place])[sae.place][:, 1:]) > 0).flatten(0, 1).any(0)
        fired = on if fired is None else fired | on
    assert fired is not None
    tokens = _DEAD_BATCHES * maker.batch(-1, 0).ids[:, 1:].numel()
    how = f"share of latents that never fire on {tokens:,} tokens drawn as for training, with another seed"
    yield Figure("sae.dead_share", 1 - fired.float().mean().item(), how)


def _meanings(half: Half, named: Sequence[Named]) -> Iterator[Figure]:
    concepts: dict[str, Concept] = {concept.key: concept for concept in CONCEPTS}
    for each in named:
        fires, tokens = half.latents[:, each.latent] > each.threshold, half.concepts[each.concept]
        right, above, there = int((fires & tokens).sum()), int(fires.sum()), int(tokens.sum())
        name, where = concepts[each.concept].name, f"latent {each.latent} is above {each.threshold:g}"
        yield Figure(
            f"sae.latent.{each.concept}.precision",
            right / max(1, above),
            f"of {above} tokens where {where}, the share that is: {name}",
            0.03,
        )
        yield Figure(
            f"sae.latent.{each.concept}.recall",
            right / max(1, there),
            f"of {there} tokens that are: {name}, the share where {where}",
            0.03,
        )
