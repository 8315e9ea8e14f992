"""The few lines of nnsight that compute one head's attention pattern, written for the model at hand."""

from __future__ import annotations

from interp_widgets.experiments.code_sites import blocks_at, heads_at, index, traced
from interp_widgets.models.access import Access


def pattern_code(access: Access) -> str:
    """Write the template of the lines, with `$ids`, `$layer`, `$head` and `$pos` to be filled in.

    Args:
        access: the model, which has patterns.
    """
    layout = access.inside.heads
    assert layout is not None, "patterns exist where heads were found"
    opened, wide = access.opened, layout.d_head
    values, z = heads_at(access, "v", ":", "block"), heads_at(access, "z", "$head", "block")
    training = any(part.training for part in opened.module.modules())
    size = min(1.0, layout.limit or 1.0)  # which clipping leaves as it is
    scaled, unscaled = (f"{size} * ", f" / {size}") if size != 1 else ("", "")
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # patterns are read with dropout off"] if training else []),
        "",
        f"block = {blocks_at(access, '$layer')}",
        "ids = torch.tensor($ids)",
        "n = ids.shape[1]",
        "",
        "# Values that are unit vectors, one direction for each key, make what the head hands over the pattern itself;",
        f"# a head is {wide} wide, so that many keys are read at a time.",
        "parts = []",
        "with torch.no_grad():",
        f"    for first in range(0, n, {wide}):",
        f"        with {traced(access, 'ids')}:",
        f"            inner = {values.place}.clone()",
        f"            values = inner{values.seen('len(ids)')}{index(':', ':', *values.part)}",
        "            values[:] = 0",
        f"            units = {scaled}torch.eye({wide})[: n - first, None].to(values)",
        f"            values[:, first : first + {wide}] = units",
        f"            {values.place} = inner",
        f"            z = {z.place}{z.seen('len(ids)')}{index(':', ':', *z.part)}.clone().save()",
        f"        parts.append(z.float(){unscaled})",
        "",
        "pattern = torch.cat(parts, dim=-1)[..., :n].mean(0)  # (query, key), the mean over the prompts in `ids`",
        "print(pattern[$pos].tolist())",
    ]
    return "\n".join(lines) + "\n"
