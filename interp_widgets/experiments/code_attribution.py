"""The few lines of nnsight that compute what one component adds to a logit difference, for the model at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from interp_widgets.experiments.code_sites import blocks_at, site_lines, traced, written
from interp_widgets.models.access import Access
from interp_widgets.models.straight import Ending, Norm, Straight
from interp_widgets.results.attribution import Component
from interp_widgets.results.terms import Site


@dataclass(frozen=True)
class _Formula:
    """How printed lines write a norm whose size is held."""

    centres: bool
    gain: str
    """What is multiplied; empty if nothing is."""
    eps: str
    """What is added to the mean square."""


def attribution_code(
    access: Access, straight: Straight, components: Sequence[Component], factor: float
) -> dict[str, str]:
    """Write a template for each kind of component, by `Component.place`'s site; none where a few lines do not do.

    Args:
        access: the model.
        straight: its straight paths.
        components: of the model.
        factor: what the unembedding's output is multiplied by.
    """
    last, unembedding = straight.last, straight.unembedding
    if last is None or unembedding is None or not _is_matrix(unembedding, access):
        return {}
    norm = _formula(last)
    if norm is None:
        return {}
    writer = _Writer(access, straight, last, norm, unembedding, factor)
    kinds = {str(part.place["site"]): part for part in components}
    made = {site: writer.lines(site, part) for site, part in kinds.items()}
    return {site: lines for site, lines in made.items() if lines}


def _is_matrix(unembedding: nn.Module, access: Access) -> bool:
    """Whether rows of its weight are the tokens."""
    weight = getattr(unembedding, "weight", None)
    width = access.opened.config.hidden_size
    return isinstance(weight, torch.Tensor) and weight.shape == (access.opened.n_answers, width)


@torch.no_grad()
def _formula(norm: Norm) -> _Formula | None:
    """Find how a norm is written; None where it is written otherwise."""
    module = norm.module
    if module is None:
        return _Formula(False, "", "") if norm.apply is None else None
    name = next((name for name in ("eps", "variance_epsilon") if isinstance(getattr(module, name, None), float)), None)
    eps = getattr(module, name) if name else 1e-5  # what it is where a family says none
    weight = getattr(module, "weight", None)
    gains = {"": torch.ones_like(norm.gain)}
    if isinstance(weight, torch.Tensor) and weight.shape == norm.gain.shape and not weight.is_meta:
        gains = {"norm.weight": weight.float(), "(1 + norm.weight)": 1 + weight.float()}
    x = torch.randn(2, len(norm.gain), generator=torch.Generator().manual_seed(0)).to(norm.gain.device)
    centred = x - x.mean(-1, keepdim=True) if norm.centres else x
    size = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    for gain, numbers in gains.items():
        if torch.allclose(numbers.to(norm.gain), norm.gain, rtol=1e-2, atol=1e-3) and torch.allclose(
            norm.size(x), size, rtol=1e-2
        ):
            return _Formula(norm.centres, gain, f"norm.{name}" if name else str(eps))
    return None


@dataclass(frozen=True)
class _Writer:
    """Writes the lines of one model's components."""

    access: Access
    straight: Straight
    last: Norm
    norm: _Formula
    unembedding: nn.Module
    factor: float

    def lines(self, site: str, part: Component) -> str:
        """Write the template of a kind of component; empty where a few lines do not do."""
        if site == "bias":
            return self._whole([], [*self._said()], reads_last=False)
        found = self._embedded(part) if part.layer is None else self._added(site, part.layer)
        if found is None:
            return ""
        reads, adds = found
        return self._whole(reads, [*adds, *self._read()], reads_last=True, block=part.layer is not None)

    def _whole(self, reads: list[str], after: list[str], *, reads_last: bool, block: bool = False) -> str:
        access, opened = self.access, self.access.opened
        training = any(module.training for module in opened.module.modules())
        last = site_lines(access, "resid_post", ":", blocks_at(access, str(access.n_layers - 1))).read("at")
        trace = [
            f"    with {traced(access, 'ids')}:",
            *(f"        {line}" for line in reads),
            f"        last = {last}.clone().save()",
            "",
        ]
        lines = [
            "import torch",
            *opened.setup.splitlines(),
            *(["model.eval()  # contributions are those with dropout off"] if training else []),
            "",
            "# The prompt, and the position whose prediction is taken apart.",
            "ids, at = torch.tensor([$ids]), $pos",
            *([f"block = {blocks_at(access, '$layer')}"] if block else []),
            *([f"norm = {written(access, access.envoy_of(self.last.module))}"] if self.last.module else []),
            f"unembedding = {written(access, access.envoy_of(self.unembedding))}",
            "",
            *(self._held() if reads_last else []),
            "with torch.no_grad():",
            *(trace if reads_last else []),
            *(f"    {line}" if line else "" for line in after),
        ]
        return "\n".join(lines) + "\n"

    def _held(self) -> list[str]:
        """The function that holds a norm; nothing where there is none."""
        if self.last.module is None:
            return []
        centre = ["    added, x = (rows - rows.mean(-1, keepdim=True) for rows in (added, x))"]
        gain = f" * {self.norm.gain}" if self.norm.gain else ""
        return [
            "",
            "def held(norm, added, x):",
            '    """What a norm makes of what is added, where it divides by what it does for x."""',
            "    added, x = added.float(), x.float()",
            *(centre if self.norm.centres else []),
            f"    return added{gain} / (x.square().mean(-1, keepdim=True) + {self.norm.eps}).sqrt()",
            "",
            "",
        ]

    def _read(self) -> list[str]:
        """What the answer's logit, less the other, makes of `added`."""
        through = "held(norm, added, last)" if self.last.module else "added.float()"
        factor = f" * {self.factor}" if self.factor != 1 else ""
        return [
            "",
            "# What that does to the logit difference, with the last norm held at what it divides by here.",
            "direction = unembedding.weight.float()$answer - unembedding.weight.float()$wrong_answer",
            f"print(float({through} @ direction{factor}))",
        ]

    def _said(self) -> list[str]:
        """What the biases behind the stream say."""
        biased = getattr(self.last.module, "bias", None) is not None
        start = "norm.bias[None]" if biased else "torch.zeros_like(unembedding.weight[:1])"
        factor = f" * {self.factor}" if self.factor != 1 else ""
        return [
            "# What is said of an empty stream: the biases of the last norm and of the unembedding.",
            f"said = unembedding({start})[0].float(){factor}",
            "print(float(said$answer - said$wrong_answer))",
        ]

    def _embedded(self, part: Component) -> tuple[list[str], list[str]] | None:
        access = self.access
        stream = site_lines(access, "resid_pre", ":", blocks_at(access, "0")).read("at")
        row = f"row = {written(access, access.embedding)}.output[:, at].clone().save()"
        if part.kind == "token":
            return [row], ["# The row of the token.", "added = row"]
        reads = [f"stream = {stream}.clone().save()"]
        if part.kind == "position":
            return [row, *reads], ["# What is in the stream beside the row of the token.", "added = stream - row"]
        return reads, ["# All that enters the first block.", "added = stream"]

    def _added(self, site: str, layer: int) -> tuple[list[str], list[str]] | None:
        """Lines in the trace and behind it that find what a component of a layer adds."""
        access = self.access
        attention = site in ("z", "attn_out", "attn_bias")
        out: Site = "attn_out" if attention else "mlp_out"
        times = f" * {access.scale}" if access.scale != 1 else ""
        whole = f"whole = {site_lines(access, out, ':').read('at')}.clone().save()"
        ending = self.straight.ending("attn" if attention else "mlp", layer)
        apart = ending is not None and (ending.adds or access.edited)
        if site in ("attn_out", "mlp_out") and not (site == "mlp_out" and apart):
            noun = "attention" if attention else "the MLP"
            return [whole], [f"# What {noun} adds.", f"added = whole{times}"]
        inside: Site = "z" if attention else "mlp_post"
        if ending is None or access.missing(inside) is not None:
            return None
        held = self._ended(ending)
        if held is None:
            return None
        about, carry = held
        read = site_lines(access, inside, ":").read("at")
        reads = [f"rows = {read}.clone().save()"]
        lines = [
            f"out = {written(access, access.envoy_of(ending.projection)).replace(_block(access, layer), 'block', 1)}"
        ]
        lines += about
        if site == "z":
            lines += [
                "# What the head adds: its part of the output projection's input, sent through alone.",
                "alone = torch.zeros_like(rows)",
                "alone[:, $head] = rows[:, $head]",
                "rows, alone = rows.flatten(1), alone.flatten(1)",
                f"added = {carry.format('alone')}{times}",
            ]
            return reads, lines
        flat = "rows.flatten(1)" if attention else "rows"
        lines += [f"rows = {flat}"] if attention else []
        carried = f"{carry.format('rows')}{times}"
        if site == "mlp_out":
            return reads, [*lines, "# What the neurons add.", f"added = {carried}"]
        noun = "heads" if attention else "neurons"
        return [*reads, whole], [
            *lines,
            f"# What is added beside that of the {noun}.",
            f"added = whole{times} - ({carried})",
        ]

    def _ended(self, ending: Ending) -> tuple[list[str], str] | None:
        """Lines that name the norm behind a projection, and how rows go through both, without their biases."""
        bare = "out({0}) - out(torch.zeros_like({0}))"
        module = ending.norm.module
        if module is None:
            return [], f"({bare})" if self.access.scale != 1 else bare
        if _formula(ending.norm) != self.norm:
            return None
        path = written(self.access, self.access.envoy_of(module))
        layer = next(n for n, block in enumerate(self.access.anatomy.blocks) if module in set(block.modules()))
        after = path.replace(_block(self.access, layer), "block", 1)
        return [f"after = {after}  # the norm behind it"], f"held(after, {bare}, out(rows))"


def _block(access: Access, layer: int) -> str:
    return written(access, access.blocks[layer])
