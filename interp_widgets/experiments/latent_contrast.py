"""Two runs that differ in latents: each of them, or the rest, is carried from one run into the other by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.code import Recipe
from interp_widgets.experiments.contrast import Edited, PromptContrast, Scene
from interp_widgets.experiments.latent_difference import LatentDifference
from interp_widgets.experiments.sweep import Edit
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.harvest import harvest
from interp_widgets.results.story import Story, latent_story
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Tokens
from interp_widgets.results.words import counted


@dataclass(frozen=True)
class LatentContrast:
    """Two prompts: one run gets the latents of the other, each by itself, and keeps the dictionary's error.

    A latent's activation in the host's run is set to that of the donor's. All other latents and the error stay, so
    that the stream changes by what this latent writes more or less.
    """

    prompts: PromptContrast
    dictionary: Dictionary

    @property
    def story(self) -> Story:
        """The words for it."""
        return latent_story(self.prompts.direction, self.dictionary.info.name)

    @property
    def settings(self) -> Mapping[str, str]:
        """Which dictionary."""
        info = self.dictionary.info
        read = "" if info.reads == info.writes else f", read from {info.reads}"
        return {"dictionary": f"{info.name} ({info.fingerprint}), {counted(info.n_latents, 'latent')}{read}"}

    @property
    def recipe(self) -> Recipe:
        """The runs of the prompts, of which printed lines could not say how a latent is found in them."""
        return replace(self.prompts.recipe, refused="a latent takes the dictionary that finds it.")

    def sizes(self) -> Sequence[tuple[int, int]]:
        """Return the token counts of both sides of each pair."""
        return self.prompts.sizes()

    @torch.no_grad()
    def read(self, pairs: Sequence[int], sites: Sequence[Site]) -> list[Scene]:
        """Run both prompts of some pairs, and encode what their latents are read from."""
        access, info = self.prompts.access, self.dictionary.info
        scenes = self.prompts.read(pairs, sites)
        listed = [tokens.ids for pair in pairs for tokens in self._sides(pair)]
        found = harvest(access, torch.tensor(listed), info.reads, lambda there: there)
        return [
            self._scene(scene, *found[2 * number : 2 * number + 2], passes=2 * (info.reads.layer + 1) / access.n_layers)
            for number, scene in enumerate(scenes)
        ]

    def own_answers(self, logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
        """What the model says to either prompt."""
        return self.prompts.own_answers(logits, given)

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Edited:
        """Add what each latent writes more in the donor's run."""
        return Edited([_added(scene, target) for target in targets])

    def _sides(self, pair: int) -> Sequence[Tokens]:
        """Both prompts of a pair, the host's first."""
        both = self.prompts.pairs[pair].clean, self.prompts.pairs[pair].corrupt
        return both[:: -1 if self.story.host else 1]

    def _scene(self, scene: Scene, host: torch.Tensor, donor: torch.Tensor, *, passes: float) -> Scene:
        writes = self.dictionary.info.writes
        by = self.dictionary.encode(donor) - self.dictionary.encode(host)
        by[: scene.shared] = 0
        there = scene.host(writes.site, writes.layer).float()  # type: ignore[arg-type]  # nothing writes to mlp_in
        written = scene.donor(writes.site, writes.layer).float() - there  # type: ignore[arg-type]
        written[: scene.shared] = 0
        latents = LatentDifference(self.dictionary, host, by, written)

        def idle(target: Target) -> bool:
            changes = latents.by[:, target.latent] if isinstance(target.latent, int) else latents.written
            return not bool((changes if target.positions is None else changes[list(target.positions)]).any())

        return replace(
            scene,
            passes=scene.passes + passes,
            idle=idle,
            latents=latents,
            cell_bytes=there.numel() * there.element_size(),
        )


def _added(scene: Scene, target: Target) -> tuple[Edit, ...]:
    assert scene.latents is not None
    assert target.latent is not None
    (layer,) = target.layers
    value = scene.host(target.site, layer).float()
    value = value + scene.latents.moved(target.latent).to(value.device)
    if target.positions is None:
        return (Edit(target.site, layer, None, value, first=scene.shared),)
    return tuple(Edit(target.site, layer, position, value[position]) for position in target.positions)
