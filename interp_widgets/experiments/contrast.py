"""What a grid lies between: the runs that cells start from, and what is put into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.code import Copied, PromptName, Recipe
from interp_widgets.experiments.latent_difference import LatentDifference
from interp_widgets.experiments.sweep import Edit, Hosts, site_index
from interp_widgets.models.access import Access, Runs
from interp_widgets.models.prompts import PromptPair
from interp_widgets.results.story import Story, patching_story
from interp_widgets.results.terms import Direction, Site
from interp_widgets.results.tokens import Tokens, shared_prefix

Source: TypeAlias = "Callable[[Site, int], torch.Tensor]"
"""Gives the activations at a site of a layer, as one row of `Runs.site`."""


@dataclass(frozen=True)
class Side:
    """One prompt's run, among others that were read with it."""

    runs: Runs
    row: int

    def __call__(self, site: Site, layer: int) -> torch.Tensor:
        """Return the activations at a site of a layer, without the axis of rows."""
        return self.runs.site(site, layer)[self.row]


def _never(_target: Target) -> bool:
    return False


@dataclass(frozen=True)
class Scene:
    """What was read of one pair."""

    hosts: Hosts
    """The runs that rows start from, of all pairs that were read together."""
    row: int
    """Which of the hosts is this pair's."""
    host: Source
    donor: Source
    """What is put in."""
    logits: torch.Tensor
    """(2, d_vocab): of both sides, which are the baselines."""
    shared: int
    """How many leading positions are sure to agree."""
    passes: float
    """Forward passes that reading it took."""
    aligned: bool = True
    """Whether both sides have the same positions; where prompts differ in length only their roles correspond."""
    closes: bool = True
    """Whether putting in everything that differs gives the other baseline, as it does between two runs."""
    idle: Callable[[Target], bool] = _never
    """Tells of a target that it changes nothing, whatever is put in."""
    latents: LatentDifference | None = None
    """How latents differ between host and donor, where cells are about latents."""
    cell_bytes: int = 0
    """Memory that the edits of one cell take, where they are no views of what was read."""


@dataclass(frozen=True)
class Edited:
    """What each of some targets changes in the host's run."""

    edits: Sequence[tuple[Edit, ...]]
    passes: float = 0.0
    """Forward passes that it took to find out."""


class Contrast(Protocol):
    """A way to make the two sides of pairs."""

    @property
    def story(self) -> Story:
        """The words for it."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What a result says of how its sides were made."""

    @property
    def recipe(self) -> Recipe:
        """How printed lines compute a cell."""

    def sizes(self) -> Sequence[tuple[int, int]]:
        """Return the token counts of both sides of each pair; pairs of one size are read together."""

    def read(self, pairs: Sequence[int], sites: Sequence[Site]) -> list[Scene]:
        """Run both sides of some pairs of one size, keeping the activations at some sites."""

    def own_answers(self, logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
        """Return the token ids that stand in for an answer and a wrong answer where they were not given."""

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Edited:
        """Return for each target what its cell changes in the host's run."""


@dataclass(frozen=True)
class PromptContrast:
    """Two prompts: one run is patched with activations of the other."""

    access: Access
    pairs: Sequence[PromptPair]
    direction: Direction

    @property
    def story(self) -> Story:
        """The words for it."""
        return patching_story(self.direction)

    @property
    def settings(self) -> Mapping[str, str]:
        """Nothing besides the prompts, which the result has."""
        return {}

    @property
    def recipe(self) -> Recipe:
        """Run both prompts, the patched one last."""
        host: PromptName = "corrupt" if self.direction == "denoising" else "clean"
        donor: PromptName = "clean" if self.direction == "denoising" else "corrupt"
        return Recipe(host, Copied(donor), f"Run the {host} prompt with that in the same place.")

    def sizes(self) -> list[tuple[int, int]]:
        """Return the token counts of both sides of each pair."""
        return [(len(pair.clean), len(pair.corrupt)) for pair in self.pairs]

    def read(self, pairs: Sequence[int], sites: Sequence[Site]) -> list[Scene]:
        """Run both prompts of some pairs, in one batch where they are equally long."""
        clean, corrupt = ([side(self.pairs[pair]) for pair in pairs] for side in (_clean, _corrupt))
        if len(clean[0]) == len(corrupt[0]):
            alternating = [tokens for both in zip(clean, corrupt, strict=True) for tokens in both]
            runs, ids = self._run(alternating, sites)
            sides = [(Side(runs, row), Side(runs, row + 1)) for row in range(0, len(alternating), 2)]
            all_ids = (ids, ids)
        else:
            (first, first_ids), (second, second_ids) = (self._run(side, sites) for side in (clean, corrupt))
            sides = [(Side(first, row), Side(second, row)) for row in range(len(pairs))]
            all_ids = (first_ids, second_ids)
        host = self.story.host
        runs = sides[0][host].runs
        hosts = Hosts(all_ids[host], runs.stream, runs.past)
        return [
            Scene(
                hosts=hosts,
                row=both[host].row,
                host=both[host],
                donor=both[1 - host],
                logits=torch.stack([side.runs.logits[side.row] for side in both]),
                shared=self.access.agreeing(shared_prefix(self.pairs[pair].clean.ids, self.pairs[pair].corrupt.ids)),
                passes=2,
                aligned=len(clean[0]) == len(corrupt[0]),
            )
            for pair, both in zip(pairs, sides, strict=True)
        ]

    def own_answers(self, logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
        """What the model says to either prompt."""
        answer, wrong_answer = logits.argmax(-1).tolist()
        return answer, wrong_answer

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Edited:
        """Copy the donor's activations."""
        return Edited([copies(scene, target) for target in targets])

    def _run(self, prompts: Sequence[Tokens], sites: Sequence[Site]) -> tuple[Runs, torch.Tensor]:
        ids = torch.tensor([tokens.ids for tokens in prompts], device=self.access.opened.device)
        return self.access.read(ids, sites), ids


def copies(scene: Scene, target: Target) -> tuple[Edit, ...]:
    """Return the edits that put the donor's activations where a target says."""
    first = 0 if target.site == "pattern" else scene.shared
    edits = []
    for layer in target.layers:
        values = scene.donor(target.site, layer)
        if target.positions is None or target.sources is None:
            value = values[site_index(target.site, slice(None), target.unit)]
            edits.append(Edit(target.site, layer, None, value, target.unit, first))
            continue
        for to, at in zip(target.positions, target.sources, strict=True):
            edits.append(Edit(target.site, layer, to, values[site_index(target.site, at, target.unit)], target.unit))
    return tuple(edits)


def likeliest(logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
    """Return two tokens of one prediction, (d_vocab,): those given, and the likeliest others in place of the rest."""
    others = (token for token in logits.topk(min(3, len(logits))).indices.tolist() if token not in given)
    answer, wrong_answer = (next(others) if token is None else token for token in given)
    return answer, wrong_answer


def _clean(pair: PromptPair) -> Tokens:
    return pair.clean


def _corrupt(pair: PromptPair) -> Tokens:
    return pair.corrupt
