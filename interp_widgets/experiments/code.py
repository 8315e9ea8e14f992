"""The few lines of nnsight that compute one cell of a grid, written for the model at hand."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from interp_widgets.experiments.cells import Cells
from interp_widgets.experiments.metrics import Metrics
from interp_widgets.models.access import Access
from interp_widgets.models.probe import Form
from interp_widgets.results.patching import CellCode
from interp_widgets.results.terms import Direction, Site

_METRICS: Mapping[str, str] = {
    "logit_diff": "logits[$answer] - logits[$wrong_answer]",
    "prob": "logits.softmax(-1)[$answer]",
    "logprob": "logits.log_softmax(-1)[$answer]",
    "kl": "(clean_logits.softmax(-1) * (clean_logits.log_softmax(-1) - logits.log_softmax(-1))).sum()",
    "rank": "(logits > logits[$answer]).sum() + ((logits == logits[$answer]).sum() - 1) / 2",
    "loss": "-logits.log_softmax(-1)[$answer]",
}

_WHAT: dict[Site, str] = {
    "resid_pre": "the stream that enters layer $layer",
    "resid_mid": "the stream between attention and MLP of layer $layer",
    "resid_post": "the stream that leaves layer $layer",
    "attn_out": "what attention adds in layer $layer",
    "mlp_out": "what the MLP adds in layer $layer",
}


_NAMES = frozenset(
    {"torch", "model", "lm", "clean", "corrupt", "block", "donor", "stream", "added", "logits", "context"}
)
"""What the printed lines call things: a function of one of these names goes by another."""


def cell_code(access: Access, cells: Cells, direction: Direction, metrics: Metrics) -> CellCode:
    """Write the templates for every site of a grid."""
    sites = [panel.site for panel in cells.panels]
    printed = {name: f"print(float({expression}))" for name, expression in _METRICS.items()}
    printed["kl"] = f"{_unedited(access, 'clean')}\n{printed['kl']}"
    if metrics.own is not None:
        printed[metrics.front] = _own(access, metrics)
    return CellCode({site: _lines(access, site, direction) for site in sites}, printed)


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


def _lines(access: Access, site: Site, direction: Direction) -> str:
    opened = access.opened
    model = opened.handle
    host, donor = ("corrupt", "clean") if direction == "denoising" else ("clean", "corrupt")
    block = f"{model}{access.blocks[0].path.removeprefix(access.model.path).removesuffix('.0')}[$layer]"
    read, write = _access(access, site)
    training = any(part.training for part in opened.module.modules())
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # the grid is measured with dropout off"] if training else []),
        "",
        "clean = torch.tensor([$clean_ids])",
        "corrupt = torch.tensor([$corrupt_ids])",
        f"block = {block}",
        "",
        "with torch.no_grad():",
        f"    # Keep {_WHAT[site]} in the {donor} run, at position $pos.",
        f"    with {model}.trace({donor}):",
        *(f"        {line}" for line in read),
        "",
        f"    # Run the {host} prompt with that in the same place.",
        f"    with {model}.trace({host}):",
        *(f"        {line}" for line in write),
        f"        logits = {_logits(access)}",
        "",
        "$metric",
    ]
    return "\n".join(lines) + "\n"


def _access(access: Access, site: Site) -> tuple[list[str], list[str]]:
    """Return the lines that keep the donor's activation and those that put it in."""
    anatomy = access.anatomy
    if site == "resid_pre":
        return (
            ["donor = block.input[:, $pos].save()"],
            ["stream = block.input.clone()", "stream[:, $pos] = donor", "block.input = stream"],
        )
    if site == "resid_post" or anatomy.parts is None:
        return _output("block", "stream", Form(bool(anatomy.tuple_length), flat=False))
    attn = f"block.{anatomy.parts.attn}"
    if site == "attn_out":
        return _output(attn, "added", anatomy.attn)
    if site == "mlp_out":
        return _output(f"block.{anatomy.parts.mlp}", "added", anatomy.mlp)
    item = "[0]" if anatomy.attn.in_tuple else ""
    times, over = (f" * {access.scale}", f" / {access.scale}") if access.scale != 1 else ("", "")
    return (
        [
            "stream = block.input[:, $pos]",
            f"donor = (stream + {attn}.output{item}[:, $pos]{times}).save()",
        ],
        [
            "stream = block.input[:, $pos]",
            f"added = {attn}.output{item}.clone()",
            "added[:, $pos] = " + (f"(donor - stream){over}" if over else "donor - stream"),
            f"{attn}.output = " + (f"(added, *{attn}.output[1:])" if item else "added"),
        ],
    )


def _output(module: str, name: str, form: Form) -> tuple[list[str], list[str]]:
    item = "[0]" if form.in_tuple else ""
    at = "[$pos]" if form.flat else "[:, $pos]"
    return (
        [f"donor = {module}.output{item}{at}.clone().save()"],
        [
            f"{name} = {module}.output{item}.clone()",
            f"{name}{at} = donor",
            f"{module}.output = " + (f"({name}, *{module}.output[1:])" if item else name),
        ],
    )
