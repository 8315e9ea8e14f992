"""The few lines of nnsight that compute one cell of a grid, written for the model at hand."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from interp_widgets.experiments.cells import Cells
from interp_widgets.experiments.metrics import Metrics
from interp_widgets.models.access import Access
from interp_widgets.models.probe import Form
from interp_widgets.results.panel import Panel
from interp_widgets.results.patching import CellCode
from interp_widgets.results.terms import HEAD_SITES, SITE_TERMS, Site

_METRICS: Mapping[str, str] = {
    "logit_diff": "logits[$answer] - logits[$wrong_answer]",
    "prob": "logits.softmax(-1)[$answer]",
    "logprob": "logits.log_softmax(-1)[$answer]",
    "kl": "(clean_logits.softmax(-1) * (clean_logits.log_softmax(-1) - logits.log_softmax(-1))).sum()",
    "rank": "(logits > logits[$answer]).sum() + ((logits == logits[$answer]).sum() - 1) / 2",
    "loss": "-logits.log_softmax(-1)[$answer]",
}

_NAMES = frozenset(
    {
        *("torch", "model", "lm", "clean", "corrupt", "block", "donor", "stream", "added", "inner", "logits"),
        *("context", "sample", "generator", "draws", "noise", "embedded"),
    }
)
"""What the printed lines call things: a function of one of these names goes by another."""


@dataclass(frozen=True)
class Recipe:
    """How the printed lines make the two runs of a cell."""

    host: str
    """The prompt that is run with the change, `clean` or `corrupt`."""
    donor: str
    """The prompt whose run the activation comes from; empty where `setup` says what `donor` is."""
    deed: str
    """What the second run is, as a comment."""
    setup: tuple[str, ...] = ()
    """Lines before both runs."""
    inside: tuple[str, ...] = ()
    """Lines in the host's run, before anything else in it."""


def cell_code(access: Access, cells: Cells, recipe: Recipe, metrics: Metrics) -> CellCode:
    """Write the templates for the sites of a grid, as far as a few lines can say what a cell does."""
    if metrics.context_argument and {recipe.host, recipe.donor} != {"clean", "corrupt"}:
        return CellCode({}, {})  # the other side, which the metric may look at, is no run of a prompt
    printed = {name: f"print(float({expression}))" for name, expression in _METRICS.items()}
    printed["kl"] = f"{_unedited(access, 'clean')}\n{printed['kl']}"
    if metrics.own is not None:
        printed[metrics.front] = _own(access, metrics)
    written = {panel.site: _lines(access, cells, panel, recipe) for panel in cells.panels}
    return CellCode({site: lines for site, lines in written.items() if lines}, printed)


def _own(access: Access, metrics: Metrics) -> str:
    """Write the call of a user's function, which must be in scope where the lines are pasted."""
    name = getattr(metrics.own, "__name__", "")
    lines = []
    if not (inspect.isfunction(metrics.own) and name.isidentifier() and name not in _NAMES):
        name = "metric"
        lines.append("# metric: your own function")
    if metrics.context_argument:
        lines += [
            "from interp_widgets.experiments.metrics import MetricContext",
            "",
            _unedited(access, "clean", "corrupt"),
            "context = MetricContext(",
            "    pair=0,  # its number, where there are several",
            "    answer=$answer,",
            "    wrong_answer=$wrong_answer,",
            "    clean_logits=clean_logits,",
            "    corrupt_logits=corrupt_logits,",
            ")",
        ]
    arguments = ", ".join(filter(None, ["logits[None]", metrics.context_argument]))
    return "\n".join([*lines, f"print(float({name}({arguments})[0]))"])


def _unedited(access: Access, *prompts: str) -> str:
    """Write the runs of prompts as they are, for metrics that compare with them."""
    lines = ["with torch.no_grad():"]
    for prompt in prompts:
        lines += [
            f"    with {access.opened.handle}.trace({prompt}):",
            f"        {prompt}_logits = {_logits(access)}",
        ]
    return "\n".join([*lines, ""])


def _logits(access: Access) -> str:
    return f"{access.opened.handle}.output.logits[0, -1].float().save()"


def _lines(access: Access, cells: Cells, panel: Panel, recipe: Recipe) -> str:
    if cells.window > 1 or panel.columns == "role":
        return ""
    every = ":" if cells.positions is None else str(list(cells.positions))
    at = "$pos" if panel.columns == "pos" else every
    unit = "$neuron" if panel.columns == "neuron" else ":"
    if panel.columns == "head" or panel.lines[0].head is not None:
        unit = "$head"
    found = _access(access, panel.site, at, unit)
    if found is None:
        return ""
    read, write = found
    opened = access.opened
    model = opened.handle
    block = f"{model}{access.blocks[0].path.removeprefix(access.model.path).removesuffix('.0')}[$layer]"
    training = any(part.training for part in opened.module.modules())
    kept = [
        f"    # Keep {panel.site} of the {recipe.donor} run: {SITE_TERMS[panel.site].meaning}.",
        f"    with {model}.trace({recipe.donor}):",
        *(f"        {line}" for line in read),
        "",
    ]
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # the grid is measured with dropout off"] if training else []),
        "",
        "clean = torch.tensor([$clean_ids])",
        *(["corrupt = torch.tensor([$corrupt_ids])"] if "corrupt" in (recipe.host, recipe.donor) else []),
        f"block = {block}",
        *recipe.setup,
        "",
        "with torch.no_grad():",
        *(kept if recipe.donor else []),
        f"    # {recipe.deed}",
        f"    with {model}.trace({recipe.host}):",
        *(f"        {line}" for line in (*recipe.inside, *write)),
        f"        logits = {_logits(access)}",
        "",
        "$metric",
    ]
    return "\n".join(lines) + "\n"


Lines = tuple[list[str], list[str]]
"""Those that keep the donor's activation, and those that put it in."""


def _access(access: Access, site: Site, at: str, unit: str) -> Lines | None:
    """Return the lines for a site at some positions and units; None where a few lines do not do."""
    if site in HEAD_SITES:
        return _heads(access, site, at, unit)
    anatomy = access.anatomy
    if site == "mlp_post":
        return _inner(f"block.{access.inside.down}.input", "1, -1, " + str(access.d_mlp), f":, {at}, {unit}")
    if site == "resid_pre":
        return (
            [f"donor = block.input[:, {at}].save()"],
            ["stream = block.input.clone()", f"stream[:, {at}] = donor", "block.input = stream"],
        )
    if site == "resid_post" or anatomy.parts is None:
        return _output("block", "stream", Form(bool(anatomy.tuple_length), flat=False), at)
    attn = f"block.{anatomy.parts.attn}"
    if site == "attn_out":
        return _output(attn, "added", anatomy.attn, at)
    if site == "mlp_out":
        return _output(f"block.{anatomy.parts.mlp}", "added", anatomy.mlp, at)
    item = "[0]" if anatomy.attn.in_tuple else ""
    times, over = (f" * {access.scale}", f" / {access.scale}") if access.scale != 1 else ("", "")
    return (
        [
            f"stream = block.input[:, {at}]",
            f"donor = (stream + {attn}.output{item}[:, {at}]{times}).save()",
        ],
        [
            f"stream = block.input[:, {at}]",
            f"added = {attn}.output{item}.clone()",
            f"added[:, {at}] = " + (f"(donor - stream){over}" if over else "donor - stream"),
            f"{attn}.output = " + (f"(added, *{attn}.output[1:])" if item else "added"),
        ],
    )


def _heads(access: Access, site: Site, at: str, unit: str) -> Lines | None:
    layout = access.inside.heads
    if layout is None or site == "pattern":  # a pattern takes more than a few lines
        return None
    where = layout.where
    attention = f"block.{where.attention}"
    if site == "z":
        return _inner(f"{attention}.{where.out}.input", f"1, -1, {layout.n_heads}, {layout.d_head}", f":, {at}, {unit}")
    if len(where.qkv) == 3:
        count = layout.n_heads if site == "q" else layout.n_kv_heads
        projection = where.qkv[("q", "k", "v").index(site)]
        return _inner(f"{attention}.{projection}.output", f"1, -1, {count}, {layout.d_head}", f":, {at}, {unit}")
    if unit == ":":
        return None
    group, step = layout.group, layout.group + 2
    if where.by_group:  # of each key-value head its queries, its key and its value
        index = {
            "q": f"{unit} // {group} * {step} + {unit} % {group}",
            "k": f"{unit} * {step} + {group}",
            "v": f"{unit} * {step} + {group + 1}",
        }[site]
    else:
        first = {"q": 0, "k": layout.n_heads, "v": layout.n_heads + layout.n_kv_heads}[site]
        index = f"{first} + {unit}" if first else unit
    total = layout.n_heads + 2 * layout.n_kv_heads
    return _inner(f"{attention}.{where.qkv[0]}.output", f"1, -1, {total}, {layout.d_head}", f":, {at}, {index}")


def _inner(place: str, shape: str, index: str) -> Lines:
    """Lines for what a module takes in or hands over, seen in another shape."""
    return (
        [f"donor = {place}.view({shape})[{index}].clone().save()"],
        [
            f"inner = {place}.clone()",
            f"inner.view({shape})[{index}] = donor",
            f"{place} = inner",
        ],
    )


def _output(module: str, name: str, form: Form, at: str) -> Lines:
    item = "[0]" if form.in_tuple else ""
    place = f"[{at}]" if form.flat else f"[:, {at}]"
    return (
        [f"donor = {module}.output{item}{place}.clone().save()"],
        [
            f"{name} = {module}.output{item}.clone()",
            f"{name}{place} = donor",
            f"{module}.output = " + (f"({name}, *{module}.output[1:])" if item else name),
        ],
    )
