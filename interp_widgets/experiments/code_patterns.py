"""The few lines of nnsight that compute one head's attention pattern, written for the model at hand."""

from __future__ import annotations

from interp_widgets.experiments.code_sites import blocks_at, heads_at, index, module, traced
from interp_widgets.models.access import Access
from interp_widgets.models.heads import HeadLayout


def pattern_code(access: Access, *, weighted: bool = False, block: int = 1) -> str:
    """Write the template of the lines, with `$prompts`, `$shown`, `$layer`, `$head` and `$pos` to be filled in.

    `$prompts` are lines that give names to prompts, and `$shown` is made of calls of `pattern_of` with these names, so
    that one template does for a prompt, for the mean of several, and for the difference of two.

    Args:
        access: the model, which has patterns.
        weighted: whether the pattern is multiplied by the length of what is taken.
        block: how many tokens share a number of the result.
    """
    layout = access.inside.heads
    assert layout is not None, "patterns exist where heads were found"
    opened, wide = access.opened, layout.d_head
    values, z = heads_at(access, "v", ":", "block"), heads_at(access, "z", "$head", "block")
    own = heads_at(access, "v", "$head" if layout.group == 1 else f"$head // {layout.group}", "block")
    training = any(part.training for part in opened.module.modules())
    size = min(1.0, layout.limit or 1.0)  # which clipping leaves as it is
    scaled, unscaled = (f"{size} * ", f" / {size}") if size != 1 else ("", "")
    taken = f"inner{own.seen('len(ids)')}{index(':', ':', *own.part)}"
    said = "the pattern times the length of what is taken" if weighted else "the pattern"
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # patterns are read with dropout off"] if training else []),
        "",
        f"block = {blocks_at(access, '$layer')}",
        "$prompts",
        "",
        "def pattern_of(prompts):",
        f'    """(query, key): {said}, the mean over prompts of one length."""',
        "    ids = torch.tensor(prompts)",
        "    n = ids.shape[1]",
        "    # Values that are unit vectors, one direction for each key, make what the head hands over the pattern",
        f"    # itself; a head is {wide} wide, so that many keys are read at a time.",
        "    parts = []",
        f"    for first in range(0, n, {wide}):",
        f"        with {traced(access, 'ids')}:",
        f"            inner = {values.place}.clone()",
        *([f"            taken = {taken}.clone().save()"] if weighted else []),
        f"            values = inner{values.seen('len(ids)')}{index(':', ':', *values.part)}",
        "            values[:] = 0",
        f"            units = {scaled}torch.eye({wide})[: n - first, None].to(values)",
        f"            values[:, first : first + {wide}] = units",
        f"            {values.place} = inner",
        f"            z = {z.place}{z.seen('len(ids)')}{index(':', ':', *z.part)}.clone().save()",
        f"        parts.append(z.float(){unscaled})",
        "    pattern = torch.cat(parts, dim=-1)[..., :n]",
        *(_weights(access, layout) if weighted else []),
        "    return pattern.mean(0)",
        "",
        *([f"# Each token by itself. The view shows the largest of {block} by {block} tokens."] if block > 1 else []),
        "with torch.no_grad():",
        "    shown = $shown",
        "print(shown[$pos].tolist())",
    ]
    return "\n".join(lines) + "\n"


def _weights(access: Access, layout: HeadLayout) -> list[str]:
    """Lines that multiply a pattern by the length of what the head writes into the stream for each key."""
    out = module(module("block", layout.where.attention), layout.where.out)
    limit = "" if layout.limit is None else f".clamp(-{layout.limit}, {layout.limit})"
    scale = "" if access.scale == 1 else f" * {abs(access.scale)}"
    return [
        "    # W_O, the head's part of the output projection: what it makes of unit vectors, without its bias.",
        f"    units = torch.zeros({layout.d_head}, {layout.n_heads}, {layout.d_head}).to(taken)",
        f"    units[:, $head] = torch.eye({layout.d_head})",
        f"    written = {out}(units.flatten(1)).float() - {out}(torch.zeros_like(units[:1]).flatten(1)).float()",
        f"    lengths = (taken{limit}.float() @ written).norm(dim=-1){scale}  # |v W_O|, (prompt, key)",
        "    pattern = pattern * lengths[:, None]",
    ]
