"""What direct paths carry: a sender's change in the stream, and what receivers make of it while all else is frozen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch

from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.code import Recipe
from interp_widgets.experiments.contrast import Edited, PromptContrast, Scene, copies
from interp_widgets.experiments.receivers import Receiver, Receivers
from interp_widgets.experiments.sweep import Edit, Row, default_rows, plan
from interp_widgets.models.access import Access, Write
from interp_widgets.models.branching import branch
from interp_widgets.models.memory import Portions
from interp_widgets.results.story import Story, path_story
from interp_widgets.results.terms import Site


@dataclass(frozen=True)
class PathContrast:
    """Two prompts: receivers in one run get what they would if one sender alone were as in the other run.

    A cell takes two steps. In the first a sender's activation is replaced, and all other heads and MLPs keep what they
    add in the host's own run. The stream then differs by the change in what the sender adds and by nothing else, so
    that only the receivers' own layers need be run. In the second, which is the cell's run, the receivers get what the
    first one gave them, and everything else is computed.
    """

    prompts: PromptContrast
    receivers: Receivers
    max_rows: int | None

    @property
    def story(self) -> Story:
        """The words for it."""
        return path_story(self.prompts.direction, str(self.receivers))

    @property
    def settings(self) -> Mapping[str, str]:
        """Which receivers, and where they receive."""
        at = self.receivers.positions
        where = "all positions" if at is None else ", ".join(map(str, at))
        return {"receivers": str(self.receivers), "receiver positions": where}

    @property
    def recipe(self) -> Recipe:
        """As for the prompts, but that only the receivers get the change."""
        recipe = self.prompts.recipe
        deed = f"Run the {recipe.host} prompt, where the receivers get that."
        return replace(recipe, deed=deed, receivers=self.receivers)

    def sizes(self) -> Sequence[tuple[int, int]]:
        """Return the token counts of both sides of each pair."""
        return self.prompts.sizes()

    def read(self, pairs: Sequence[int], sites: Sequence[Site]) -> list[Scene]:
        """Run both prompts of some pairs."""
        scenes = self.prompts.read(pairs, sites)
        return [replace(scene, idle=self._idle, cell_bytes=self._cell_bytes(scene)) for scene in scenes]

    def own_answers(self, logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
        """What the model says to either prompt."""
        return self.prompts.own_answers(logits, given)

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Edited:
        """Put in what the receivers get from each sender alone."""
        access = self.prompts.access
        by_sender: dict[tuple[Site, int], list[int]] = defaultdict(list)
        for number, target in enumerate(targets):
            by_sender[target.site, target.layers[0]].append(number)
        edits: list[tuple[Edit, ...]] = [()] * len(targets)
        layer_passes = 0
        portions = Portions(self.max_rows or default_rows(access, scene.hosts.ids.shape[1]))
        for (site, layer), numbers in by_sender.items():

            def run(some: Sequence[int], site: Site = site, layer: int = layer) -> tuple[list[tuple[Edit, ...]], int]:
                return self._received(scene, [targets[number] for number in some], site, layer)

            for some, (found, layers) in portions(numbers, run):
                layer_passes += layers
                for number, received in zip(some, found, strict=True):
                    edits[number] = received
        return Edited(edits, layer_passes / access.n_layers)

    def _received(
        self, scene: Scene, targets: Sequence[Target], site: Site, layer: int
    ) -> tuple[list[tuple[Edit, ...]], int]:
        """Return for each sender what the receivers get, and how many layers that took, each counted for each row."""
        frozen = _Frozen(self.prompts.access, scene)
        sent = frozen.sent(targets, site, layer)
        heard = {receiver: self._place(receiver) for receiver in self.receivers.after(site, layer)}
        values = {place: frozen.received(sent, *place) for place in set(heard.values())}
        edits = [
            tuple(
                edit
                for receiver, place in heard.items()
                for edit in self._put(receiver, *place, values[place][row], scene.shared)
            )
            for row in range(len(targets))
        ]
        return edits, frozen.layer_passes

    def _place(self, receiver: Receiver) -> tuple[Site, int]:
        """Where a receiver's input is put in: an MLP's as what it makes of that input, which comes to the same."""
        if receiver.layer is None:
            return "resid_post", self.prompts.access.n_layers - 1
        return cast("Site", "mlp_out" if receiver.input == "mlp_in" else receiver.input), receiver.layer

    def _put(self, receiver: Receiver, site: Site, layer: int, value: torch.Tensor, shared: int) -> Iterator[Edit]:
        if receiver.head is not None:
            value = value[:, receiver.head]
        if self.receivers.positions is None:
            yield Edit(site, layer, None, value, receiver.head, shared)
            return
        for position in self.receivers.positions:
            yield Edit(site, layer, position, value[position], receiver.head)

    def _idle(self, target: Target) -> bool:
        """Whether no receiver reads the stream after the sender has added to it, where it has."""
        at, to = target.positions, self.receivers.positions
        apart = at is not None and to is not None and not set(at).intersection(to)
        return apart or not self.receivers.after(target.site, target.layers[0])

    def _cell_bytes(self, scene: Scene) -> int:
        stream = scene.hosts.stream[0]
        wide = sum(receiver.head is None for receiver in self.receivers.listed)
        narrow = (len(self.receivers.listed) - wide) * (self.prompts.access.d_head or 0)
        return int(stream.shape[1] * (wide * stream.shape[2] + narrow) * stream.element_size())


@dataclass
class _Frozen:
    """The host's run of one pair, in which all but what is asked for keeps what it adds to the stream."""

    access: Access
    scene: Scene
    layer_passes: int = 0
    """Layers that were run, in part or as a whole, each counted once for each row."""

    def sent(self, targets: Sequence[Target], site: Site, layer: int) -> torch.Tensor:
        """Return by how much each change of a sender moves the stream, (target, position, d_model)."""
        replaced = [copies(self.scene, target) for target in targets]
        if site == "z":
            # One row as it is beside the changed ones, so that all are computed alike.
            rows = [Row(0, edits) for edits in ((), *replaced)]
            stream = self._stream(layer).expand(len(rows), -1, -1)
            change: dict[Site, Write] = {site: plan(rows)[site, layer]}
            added = self._branch(layer, stream, ["attn_out"], change)["attn_out"]
            return added[1:] - added[0]
        own = self.scene.host(site, layer)
        sent = own.new_zeros(len(targets), *own.shape)
        for row, edits in enumerate(replaced):
            for edit in edits:
                at = edit.place(0)
                place = (row, *at)
                sent[place] = edit.part - own[at]
        return sent

    def received(self, sent: torch.Tensor, site: Site, layer: int) -> torch.Tensor:
        """Return what a layer reads of changed streams at a site, one row for each of them."""
        if site == "resid_post":
            return _moved(self._stream(layer + 1), sent)
        stream = self._stream(layer)
        if site == "mlp_out" and not self.access.anatomy.parallel:
            # The layer's own attention keeps what it adds, so only the stream behind it moves.
            stream = stream.expand(len(sent), -1, -1)
            changes: dict[Site, Write] = {"resid_mid": lambda middle: _moved(middle, sent)}
            return self._branch(layer, stream, (site,), changes)[site]
        return self._branch(layer, _moved(stream, sent), (site,))[site]

    def _branch(
        self, layer: int, stream: torch.Tensor, sites: Sequence[Site], changes: Mapping[Site, Write] | None = None
    ) -> dict[Site, torch.Tensor]:
        found = branch(self.access, layer, self._ids, stream, sites, changes)
        self.layer_passes += len(stream) * (self.access.n_layers if self.access.edited else 1)
        return found

    @property
    def _ids(self) -> torch.Tensor:
        return self.scene.hosts.ids[self.scene.row][None]

    def _stream(self, layer: int) -> torch.Tensor:
        """The stream that enters a layer, or behind the last one leaves it, (1, position, d_model)."""
        return self.scene.hosts.stream[layer][self.scene.row][None]


def _moved(stream: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
    return stream + sent.to(stream)
