"""Find the direction between two sets of prompts: the difference of their mean activations."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.grid import frozen
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.request import Reader, chosen_numbers
from interp_widgets.experiments.sweep import default_rows
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.finite import check_finite
from interp_widgets.models.memory import Portions
from interp_widgets.models.numbers import as_plain, is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.directions import Directions
from interp_widgets.results.errors import SelectionError, SiteError
from interp_widgets.results.terms import Site, parse_site
from interp_widgets.results.tokens import Tokens


def difference_of_means(
    model: ModelLike,
    positive: Prompts,
    negative: Prompts,
    *,
    site: Site = "resid_post",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int = -1,
    tokenizer: Any | None = None,
) -> Directions:
    """Return the direction from the mean activation over one set of prompts to that over another.

    Args:
        model: as for `run_patching`.
        positive: prompts that the directions point to, of any lengths: text, or token ids.
        negative: prompts that they point away from. The sets need not be of one size.
        site: where activations are read.
        layers: of that site; all by default.
        positions: positions in the prompts, one or more; negative ones count from the end of each. The last by default.
        tokenizer: of a model that comes without one. It is needed for text only.

    Returns:
        A direction for each layer and position, with how well it tells the two sets apart. One of them goes to
        `run_steering` as `direction`, all of them as `features=directions.matrix`.

    Raises:
        PromptError: empty prompts, or none.
        SelectionError: a layer that does not exist, or a position that some prompt does not have.
        SiteError: a site that the architecture does not have, or without numbers of single tokens.
        NonFiniteError: NaN or infinity, with the layer where it appears.

    Example:
        >>> from interp_widgets import difference_of_means, teaching
        >>> pairs = teaching.prompts("refusal", n=8)
        >>> found = difference_of_means(teaching.load(), [p.clean for p in pairs], [p.corrupt for p in pairs])
        >>> found.vector(layer=2).shape, float(found.accuracy[2, 0])
        ((128,), 1.0)

    References:
        Arditi et al. 2024, "Refusal in Language Models Is Mediated by a Single Direction", arXiv:2406.11717.
        Marks and Tegmark 2023, "The Geometry of Truth", arXiv:2310.06824 (difference of means against other probes).
    """
    started = time.perf_counter()
    reader = Reader(model, tokenizer)
    sides = [reader.prompts(prompts, name) for prompts, name in ((positive, "positive"), (negative, "negative"))]
    named = parse_site(site)
    if named == "pattern":
        raise SiteError("pattern has no numbers of single tokens, so that it has no direction. Use z.")
    access = resolve(reader.opened)
    access.check_site(named)
    chosen = chosen_numbers(layers, "layers", access.n_layers)
    at = positions_of_all(positions, min(len(tokens) for side in sides for tokens in side))
    ledger = Ledger(reader.opened, {"positive prompts": str(len(sides[0])), "negative prompts": str(len(sides[1]))})
    there = [_read(access, side, named, chosen, at) for side in sides]
    ledger.passes = float(sum(map(len, sides)))
    vectors, separation, accuracy = _compared(*there)
    ledger.seconds = time.perf_counter() - started
    return Directions(
        site=named,
        layers=chosen,
        positions=at,
        vectors=frozen(vectors),
        separation=frozen(separation),
        accuracy=frozen(accuracy),
        counts=(len(sides[0]), len(sides[1])),
        provenance=ledger.provenance(),
    )


def positions_of_all(positions: Sequence[int] | int, shortest: int) -> tuple[int, ...]:
    """Return positions that every prompt has, as they were asked for.

    Raises:
        SelectionError: the shortest prompt, of so many tokens, lacks one; or none was named.
    """
    plain = as_plain(positions)
    listed = [as_plain(each) for each in plain] if isinstance(plain, Sequence) else [plain]
    if not listed:
        raise SelectionError("positions is empty. Name at least one, such as -1 for the last.")
    for position in listed:
        if not is_whole(position) or not -shortest <= position < shortest:
            raise SelectionError(
                f"positions holds {position!r}, but the shortest prompt has {shortest} tokens: positions that all "
                f"prompts have run from 0 to {shortest - 1} (or -{shortest} to -1)."
            )
    return tuple(dict.fromkeys(int(position) for position in listed))


@torch.no_grad()
def _read(
    access: Access, prompts: Sequence[Tokens], site: Site, layers: Sequence[int], positions: Sequence[int]
) -> NDArray[np.float64]:
    """Return the activations of prompts, (prompt, layer, position, d)."""
    opened = access.opened
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, tokens in enumerate(prompts):
        by_length[len(tokens)].append(number)
    found: dict[int, torch.Tensor] = {}

    def read(numbers: Sequence[int]) -> torch.Tensor:
        runs = access.read(torch.tensor([prompts[number].ids for number in numbers], device=opened.device), [site])
        check_finite(runs.stream, runs.logits, opened.name, opened.dtype)
        kept = [runs.site(site, layer)[:, list(positions)].flatten(2).double().cpu() for layer in layers]
        return torch.stack(kept, 1)

    for length, numbers in by_length.items():
        for some, there in Portions(max(1, default_rows(access, length) // access.n_layers))(numbers, read):
            found |= dict(zip(some, there, strict=True))
    whole: NDArray[np.float64] = torch.stack([found[number] for number in range(len(prompts))]).numpy()
    return whole


def _compared(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return directions, (layer, position, d), their d', and how well those made without a prompt tell it apart."""
    means = positive.mean(0), negative.mean(0)
    direction = means[0] - means[1]
    told = [_told(positive, means[1]), _told(negative, means[0])]
    with np.errstate(divide="ignore", invalid="ignore"):
        spreads = [
            ((side - mean) * direction).sum(-1).var(0, ddof=1) if len(side) > 1 else np.nan
            for side, mean in zip((positive, negative), means, strict=True)
        ]
        separation = (direction**2).sum(-1) / np.sqrt((spreads[0] + spreads[1]) / 2)
    return direction.astype(np.float32), separation.astype(np.float32), ((told[0] + told[1]) / 2).astype(np.float32)


def _told(own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of prompts of a set, (layer, position), that are nearer to the mean of the others of it."""
    count = len(own)
    if count < 2:
        return np.full(own.shape[1:3], np.nan)
    without = (own.sum(0) - own) / (count - 1)
    direction = without - other
    share: NDArray[np.float64] = (((own - (without + other) / 2) * direction).sum(-1) > 0).mean(0)
    return share
