"""Read attention patterns of a whole model, one layer and some keys at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.finite import check_finite
from interp_widgets.models.guard import exclusive
from interp_widgets.models.heads import Columns
from interp_widgets.models.probe import first_tensor
from interp_widgets.models.straight import projected
from interp_widgets.results.errors import ModelError, NonFiniteError

Use = Callable[[int, Columns], None]
"""Gets a layer's number and some of its pattern's columns."""


def scan(access: Access, ids: torch.Tensor, layers: Sequence[int], use: Use) -> Iterator[int]:
    """Run prompts, (row, position) token ids, from layer to layer, and yield the number of each that was read.

    Nothing is kept but the stream between two layers. Layers in between run once, and those after the last do not. A
    pattern is what the model's own attention computes, in whichever implementation: see `Attention.pattern_of`.

    Args:
        access: the model.
        ids: prompts of equal length.
        layers: which to read, in rising order.
        use: called with parts of each of their patterns.

    Raises:
        SiteError: the architecture has no patterns.
        ModelError: z of a layer is not its values weighted by its pattern.
        NonFiniteError: NaN or infinity, with the layer where it first appears.
    """
    access.check_site("pattern")
    entering: torch.Tensor | None = None
    start = 0
    for layer in layers:
        leaving = _step(access, ids, (start, entering), layer, use)
        if not torch.isfinite(leaving).all():
            _refuse(access, ids, layer)
        yield layer
        # Edits that a user stored on the model would be skipped with their layers: there all of it runs again.
        start, entering = (0, None) if access.edited else (layer + 1, leaving)


def _step(
    access: Access, ids: torch.Tensor, arrived: tuple[int, torch.Tensor | None], layer: int, use: Use
) -> torch.Tensor:
    """Run from the layer that was arrived at to the end of another, and read that one's pattern."""
    start, entering = arrived
    left: list[torch.Tensor] = []
    shape = (ids.shape[0], ids.shape[1])
    heads, block = access.layers[layer].heads, access.layers[layer].block
    if heads is None:
        raise AssertionError("a pattern exists without heads")

    def checked(part: Columns) -> None:
        if not torch.isfinite(part.weights).all():
            raise NonFiniteError("")
        use(layer, part)

    try:
        with exclusive(access.opened.module), access.model.trace(input_ids=ids, **access.options()) as tracer:
            if entering is not None:
                for number in range(start):
                    access.blocks[number].skip(access.block_output(entering))
                access.blocks[start].input = entering
            heads.scan(shape, checked)
            left.append(first_tensor(block.output).clone())
            tracer.stop()
    except NonFiniteError:
        _refuse(access, ids, layer)
    return left[0]


def _refuse(access: Access, ids: torch.Tensor, layer: int) -> None:
    opened = access.opened
    check_finite(access.read(ids, ()).stream, None, opened.name, opened.dtype)
    raise NonFiniteError(
        f"{opened.name} gives NaN or infinity in the attention of layer {layer}, though its stream is finite. Check "
        f"the weights there and their dtype ({opened.dtype})."
    )


class ValueNorms:
    """How long the vectors are that the heads of a layer hand over, for each token that they may take."""

    def __init__(self, access: Access, layer: int) -> None:
        layout = access.inside.heads
        if layout is None:
            raise AssertionError("a pattern exists without heads")
        attention = access.anatomy.blocks[layer].get_submodule(layout.where.attention)
        self._layout = layout
        self._scale = abs(access.scale)
        unit = torch.eye(layout.n_heads * layout.d_head, device=access.opened.device)
        written = projected(attention.get_submodule(layout.where.out), unit)
        if written.shape == unit.shape and torch.equal(written, unit):  # a hook point, which hands on what it gets
            raise ModelError(
                f"The output projection of {access.opened.name} is not a module of its own, so how long the vectors "
                "are that heads hand over is not known. Pass value_weighted=False."
            )
        self._written = written.reshape(layout.n_heads, layout.d_head, -1)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return |v W_O| of each head, (row, head, key), float32, where v are (row, key, key-value head, d_head)."""
        each = self._layout.shared(values).float()
        lengths = [
            (each[:, :, head] @ written.to(each.device)).norm(dim=-1) for head, written in enumerate(self._written)
        ]
        return torch.stack(lengths, dim=1) * self._scale
