"""The few lines of nnsight that compute one cell of a lens, written for the model at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interp_widgets.experiments.code_sites import site_lines, traced, written
from interp_widgets.models.access import Access
from interp_widgets.models.tuned_lens import TunedLensLike
from interp_widgets.results.dictionary import Place
from interp_widgets.results.terms import SITE_TERMS, Site


def lens_code(access: Access, rows: Sequence[Place], tuned: TunedLensLike | None) -> dict[str, str]:
    """Write templates of a lens by site, with `$ids`, `$layer` and `$pos` to be filled in; "last" is the last row's.

    Args:
        access: the model.
        rows: the places that are read.
        tuned: the translators as the user passed them.
    """
    sites: dict[str, str] = {
        place.site: _template(access, place.site, _translated(place.site, tuned)) for place in rows[:-1]
    }
    return {**sites, "last": _template(access, "resid_post", [])}


def _template(access: Access, site: str, translated: Sequence[str]) -> str:
    assert site != "mlp_in"  # no row is one
    place: Site = site  # type: ignore[assignment]  # a site, since it is not the other thing that a place may be
    opened = access.opened
    stack = [written(access, block) for block in access.blocks]
    listed = stack[0].removesuffix("[0]")
    alike = stack == [f"{listed}[{layer}]" for layer in range(len(stack))]
    blocks = listed if alike else f"({', '.join(stack)},)"
    read = site_lines(access, place, ":", "blocks[$layer]")
    put = site_lines(access, "resid_post", ":", "blocks[-1]")
    training = any(part.training for part in opened.module.modules())
    logits = f"{opened.handle}.output{opened.spelling.logits}.float().save()"
    trace = traced(access, "ids")
    lines = [
        "import torch",
        *opened.setup.splitlines(),
        *(["model.eval()  # the lens is read with dropout off"] if training else []),
        "",
        "ids = torch.tensor([$ids])",
        f"blocks = {blocks}",
        "",
        "with torch.no_grad():",
        f"    # {site} of layer $layer at position $pos: {SITE_TERMS[place].meaning}.",
        f"    with {trace}:",
        f"        here = {read.read('$pos')}.clone().save()",
        *(f"    {line}" for line in translated),
        "    # Let it leave the last layer, for the model's own norm and unembedding to read.",
        f"    with {trace}:",
        *(f"        {line}" for line in put.write("-1", value="here")),
        f"        logits = {logits}",
        "",
        "top = logits.softmax(-1).topk(5)",
        "print(dict(zip(top.indices.tolist(), top.values.tolist())))",
    ]
    return "\n".join(lines) + "\n"


def _translated(site: str, tuned: TunedLensLike | None) -> list[str]:
    """Lines that move the stream to the basis of the last layer's."""
    if tuned is None:
        return []
    layer = "$layer + 1" if site == "resid_post" else "$layer"
    if not isinstance(tuned, (str, Path)):
        about = "# `tuned` is your tuned lens, as you passed it."
        return [about, f"here = here + tuned.layer_translators[{layer}](here)"]
    return [
        f"state = torch.load({str(Path(tuned) / 'params.pt')!r}, weights_only=True)",
        f'weight, bias = state[f"{{{layer}}}.weight"], state.get(f"{{{layer}}}.bias")',
        "here = here + torch.nn.functional.linear(here, weight, bias)",
    ]
