"""The few lines of nnsight that find principal components in one layer, written for the model at hand."""

from __future__ import annotations

from collections.abc import Sequence

from interp_widgets.experiments.code_features import read_place
from interp_widgets.experiments.code_sites import traced
from interp_widgets.models.access import Access
from interp_widgets.models.texts import Cutter
from interp_widgets.results.dictionary import Place

_TOKENS = 4000
"""So many tokens at most are printed."""


def projection_code(access: Access, cutter: Cutter, texts: Sequence[tuple[int, ...]], taken: str, n_axes: int) -> str:
    """Write the template of the lines, with `$there` to be filled in; nothing where a few lines do not do.

    Args:
        access: the model.
        cutter: cuts texts into what is run at once.
        texts: what is read, all of it.
        taken: which positions of each text become points, as an index.
        n_axes: how many components.
    """
    opened = access.opened
    if any(len(text) > (cutter.context or len(text)) for text in texts):
        return ""
    short = sum(map(len, texts)) <= _TOKENS
    prompts = [f"    {list(text)}," for text in texts] if short else []
    training = any(part.training for part in opened.module.modules())
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # activations are read with dropout off"] if training else []),
        "",
        *(["prompts = [", *prompts, "]"] if short else ["prompts = [list(p.ids) for p in view.result.prompts]"]),
        "",
        "rows = []",
        "with torch.no_grad():",
        "    for prompt in prompts:",
        "        ids = torch.tensor([prompt])",
        f"        with {traced(access, 'ids')}:",
        "            x = $there.clone().save()  # (token, number)",
        f"        rows.append(x{taken}.double().cpu())",
        "",
        "x = torch.cat(rows)",
        "x = x - x.mean(0)",
        f"axes = torch.linalg.svd(x, full_matrices=False).Vh[:{n_axes}]",
        "axes *= axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()  # the largest number of each is positive",
        "print((x @ axes.T).tolist())",
    ]
    return "\n".join(lines) + "\n"


def reads_of(access: Access, places: Sequence[Place], width: int) -> tuple[str, ...]:
    """Write what is at each of some places, (token, number)."""
    return tuple(read_place(access, place, width) for place in places)
