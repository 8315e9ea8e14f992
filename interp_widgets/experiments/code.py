"""The few lines of nnsight that compute one cell of a grid, written for the model at hand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from interp_widgets.experiments.cells import Cells, Span
from interp_widgets.experiments.code_metrics import metric_lines
from interp_widgets.experiments.code_paths import PathLines, Sender, path_lines
from interp_widgets.experiments.code_sites import SiteLines, blocks_at, site_lines, traced
from interp_widgets.experiments.metrics import Metrics
from interp_widgets.experiments.receivers import Receivers
from interp_widgets.models.access import Access
from interp_widgets.results.panel import Panel
from interp_widgets.results.patching import CellCode
from interp_widgets.results.terms import SITE_TERMS
from interp_widgets.results.tokens import Tokens

_REFERENCES = 16
"""Prompts that printed lines may list."""
_ROWS = "len(samples)"
"""Rows of the host's run, where each is a sample."""

PromptName: TypeAlias = Literal["clean", "corrupt", "other"]
"""What printed lines call the ids of a prompt, which fill `$clean_ids`, `$corrupt_ids` or `$other_ids`."""


@dataclass(frozen=True)
class Copied:
    """A cell gets what is in the same place of another run."""

    prompt: PromptName


@dataclass(frozen=True)
class Zeroed:
    """A cell gets zeros."""


@dataclass(frozen=True)
class Averaged:
    """A cell gets the mean over reference prompts."""

    references: Sequence[Tokens]
    by_position: bool
    """Of the same position in each, rather than over all positions of all."""


@dataclass(frozen=True)
class Recipe:
    """How the printed lines make the two runs of a cell."""

    host: PromptName
    """The prompt that is run with the change."""
    donor: Copied | Zeroed | Averaged
    deed: str
    """What the second run is, as a comment."""
    setup: tuple[str, ...] = ()
    """Lines before both runs."""
    inside: tuple[str, ...] = ()
    """Lines in the host's run, before anything else in it."""
    samples: int = 0
    """How many samples there are, of which the host's run has those that `samples` names, one a row; 0 where it is one
    run of the prompt."""
    receivers: Receivers | None = None
    """What gets the change; all that comes after it where they are not given."""
    fills: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What fills in a placeholder for each pair."""
    refused: str = ""
    """Why a few lines do not do, where that is so."""


def cell_code(access: Access, cells: Cells, recipe: Recipe, metrics: Metrics, longest: int) -> CellCode:
    """Write the templates for the sites of a grid, as far as a few lines can say what a cell does.

    Args:
        access: the model.
        cells: the grid's cells.
        recipe: the runs of a cell.
        metrics: what is measured.
        longest: tokens of the longest prompt.
    """
    sites: dict[str, str] = {}
    refused: dict[str, str] = {}
    for panel in cells.panels:
        reason = _refusal(access, panel, recipe, metrics, longest)
        if reason:
            refused[panel.site] = reason
        else:
            sites[panel.site] = _Template(access, cells, panel, recipe).text()
    fills = {**recipe.fills, **_places(cells)}
    return CellCode(
        sites=sites,
        metrics=metric_lines(metrics, partial(_unedited, access), several=bool(recipe.samples)),
        fills={name: list(texts) for name, texts in fills.items()},
        mean={"samples": f"range({recipe.samples})"} if recipe.samples > 1 else {},
        refused=refused,
    )


def _refusal(access: Access, panel: Panel, recipe: Recipe, metrics: Metrics, longest: int) -> str:
    """Say why a few lines do not do; nothing where they do."""
    donor = recipe.donor
    if recipe.refused:
        return recipe.refused
    if metrics.context_argument and not (
        isinstance(donor, Copied) and {recipe.host, donor.prompt} == {"clean", "corrupt"}
    ):
        return "the metric may look at both sides, and the other one is no run of a prompt."
    if isinstance(donor, Averaged) and len(donor.references) > _REFERENCES:
        return f"its mean is over {len(donor.references)} reference prompts, and the lines would list them all."
    if panel.site == "pattern" and not isinstance(donor, Zeroed) and longest > (access.d_head or 0):
        return f"reading a pattern of more than {access.d_head} positions, the width of a head, takes several runs."
    return ""


def _places(cells: Cells) -> dict[str, list[str]]:
    """Write where each pair's roles are: in the host's prompt, and in the donor's."""
    if not cells.roles:
        return {}
    return {
        "places": [_listed(roles.host) for roles in cells.roles],
        "other_places": [_listed(roles.donor) for roles in cells.roles],
    }


def _listed(roles: Mapping[str, Span]) -> str:
    return repr({name: list(range(*span)) for name, span in roles.items()})


def _unedited(access: Access, *prompts: str) -> str:
    """Write the runs of prompts as they are, for metrics that compare with them."""
    lines = ["with torch.no_grad():"]
    for prompt in prompts:
        lines += [f"    with {traced(access, prompt)}:", f"        {prompt}_logits = {_logits(access)}"]
    return "\n".join([*lines, ""])


def _logits(access: Access, *, several: bool = False) -> str:
    spelled = access.opened.spelling.logits
    if several:
        before, _, after = spelled.rpartition("[0")
        spelled = f"{before}[:{after}"
    return f"{access.opened.handle}.output{spelled}.float().save()"


def _indented(lines: Iterable[str]) -> str:
    return textwrap.indent("\n".join(lines), "    ")


@dataclass(frozen=True)
class _Template:
    """The lines of one site's cells."""

    access: Access
    cells: Cells
    panel: Panel
    recipe: Recipe

    def text(self) -> str:
        """Put the parts together: prompts and names, the run that is read, the run that is measured."""
        opened, recipe = self.access.opened, self.recipe
        training = any(part.training for part in opened.module.modules())
        path = self._path()
        sections = [self._kept(), path.runs if path else [], self._measured(path)]
        lines = [
            "import torch",
            *opened.setup.splitlines(),
            *(["model.eval()  # the grid is measured with dropout off"] if training else []),
            "",
            *self._names(),
            *(path.blocks if path else []),
            *recipe.setup,
            "",
            "with torch.no_grad():",
            "\n\n".join(_indented(lines) for lines in sections if lines),
            "",
            "$metric",
        ]
        return "\n".join(lines) + "\n"

    def _names(self) -> list[str]:
        """What the lines work on."""
        donor = self.recipe.donor
        prompts = {self.recipe.host, donor.prompt} if isinstance(donor, Copied) else {self.recipe.host}
        names = [f"{name} = torch.tensor([${name}_ids])" for name in ("clean", "corrupt", "other") if name in prompts]
        if isinstance(donor, Averaged):
            names += ["references = [", *(f"    {list(tokens.ids)}," for tokens in donor.references), "]"]
        if self._window:
            down = self.cells.window // 2
            up = self.cells.window - down
            first = f"max(0, $layer - {down})" if down else "$layer"
            names.append(f"blocks = {blocks_at(self.access, f'{first}:$layer + {up}')}")
        else:
            names.append(f"block = {blocks_at(self.access, '$layer')}")
        if self.panel.columns == "role":
            names.append("at = $places[$role]")
            if self._elsewhere:
                names.append("other_at = $other_places[$role]")
        return names

    def _kept(self) -> list[str]:
        """Find what is put in."""
        donor, name = self.recipe.donor, "donors" if self._window else "donor"
        if isinstance(donor, Zeroed):
            return []
        meaning = SITE_TERMS[self.panel.site].meaning
        if isinstance(donor, Copied):
            about = f"# Keep {self.panel.site} of the {donor.prompt} run: {meaning}."
            at = "other_at" if self._elsewhere else self._at
            return [about, *self._read(donor.prompt, at)]
        mean = "torch.stack({}).mean(0)" if donor.by_position else "torch.cat({}, 1).mean(1, keepdim=True)"
        how = "position by position" if donor.by_position else "over all their positions"
        return [
            f"# Take the mean of {self.panel.site} over the references, {how}: {meaning}.",
            "runs = []",
            "for reference in references:",
            _indented(self._read("torch.tensor([reference])", self._at if donor.by_position else ":")),
            f"    runs.append({name})",
            f"{name} = " + (f"[{mean.format('same')} for same in zip(*runs)]" if self._window else mean.format("runs")),
        ]

    def _read(self, prompt: str, at: str) -> list[str]:
        """The run that is read; a run for each block of a window where reading one changes what the next one gets."""
        site, trace = self._site, f"with {traced(self.access, prompt)}:"
        read = f"{site.read(at)}.clone()"
        alone = [trace, *(f"    {line}" for line in (*site.ahead(), f"donor = {read}.save()"))]
        if not self._window:
            return alone
        if site.disturbs:
            return ["donors = []", "for block in blocks:", _indented(alone), "    donors.append(donor)"]
        each = (*site.ahead(), f"donors.append({read})")
        return [trace, "    donors = [].save()", "    for block in blocks:", *(f"        {line}" for line in each)]

    def _measured(self, path: PathLines | None) -> list[str]:
        """The run with the change."""
        recipe, several = self.recipe, bool(self.recipe.samples)
        prompt = f"{recipe.host}.expand({_ROWS}, -1)" if several else recipe.host
        logits = f"{'all_logits' if several else 'logits'} = {_logits(self.access, several=several)}"
        write = path.write if path else self._write()
        return [
            f"# {recipe.deed}",
            f"with {traced(self.access, prompt)}:",
            *(f"    {line}" for line in (*recipe.inside, *write, logits)),
        ]

    def _write(self) -> list[str]:
        """Lines that put in what was found."""
        zeros = isinstance(self.recipe.donor, Zeroed)
        rows, value = _ROWS if self.recipe.samples else "1", "0.0" if zeros else "donor"
        lines = self._site.write(self._at, rows, value)
        if not self._window:
            return lines
        loop = "for block in blocks:" if zeros else "for block, donor in zip(blocks, donors):"
        return [loop, *(f"    {line}" for line in lines)]

    def _path(self) -> PathLines | None:
        if self.recipe.receivers is None:
            return None
        sender = Sender(self.panel.site, self.panel.layers, self._write())
        trace = traced(self.access, self.recipe.host)
        return path_lines(
            self.access, self.recipe.receivers, sender, trace, lambda layer: blocks_at(self.access, str(layer))
        )

    @property
    def _site(self) -> SiteLines:
        unit = "$neuron" if self.panel.columns == "neuron" else ":"
        if self.panel.columns == "head" or self.panel.lines[0].head is not None:
            unit = "$head"
        # Without any weight on any position z is nothing.
        nothing = self.panel.site == "pattern" and isinstance(self.recipe.donor, Zeroed)
        return site_lines(self.access, "z" if nothing else self.panel.site, unit)

    @property
    def _at(self) -> str:
        """The positions that are replaced."""
        if self.panel.columns in ("pos", "role"):
            return "$pos" if self.panel.columns == "pos" else "at"
        return ":" if self.cells.positions is None else str(list(self.cells.positions))

    @property
    def _elsewhere(self) -> bool:
        """Whether what is put in is from other positions."""
        roles = self.panel.columns == "role" and isinstance(self.recipe.donor, Copied)
        return roles and any(pair.host != pair.donor for pair in self.cells.roles)

    @property
    def _window(self) -> bool:
        return self.cells.window > 1
