"""How a number read from the logits changes with the activations at a site, to first order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import product

import torch

from interp_widgets.models.access import Access, Write
from interp_widgets.models.memory import out_of_memory
from interp_widgets.results.errors import ModelError
from interp_widgets.results.terms import Site

Place = tuple[Site, int]
"""A site of a layer."""


def gradients(
    access: Access,
    ids: torch.Tensor,
    entering: torch.Tensor,
    places: Collection[Place],
    measure: Callable[[torch.Tensor], torch.Tensor],
) -> dict[Place, torch.Tensor]:
    """Run prompts once, forth and back, and return the gradient of a number with respect to the activations at places.

    Nothing of the model changes: parameters get no gradients, and their `requires_grad` and the model's mode stay as
    they are. Until the run is over it takes the memory of a training step's forward pass of these prompts: in GPT-2
    small a megabyte a token.

    Args:
        access: the model.
        ids: prompts, (row, position) token ids.
        entering: what enters the first layer, (row, position, d_model).
        places: the sites of layers; each gets the gradient that it has when all else runs on from it.
        measure: from float32 logits at the last position, (row, d_vocab), to one number a row, (row,). It says so
            itself when it has no derivative.

    Returns:
        For each place a tensor of the shape of its activations, (row, position, ...), without a graph.

    Raises:
        ModelError: a part of the model has none.
    """
    patterns = [layer for site, layer in places if site == "pattern"]
    heads: list[Site] = ["z", "v"]  # from which the gradient by a pattern follows
    watched = {place for place in places if place[0] != "pattern"} | set(product(heads, patterns))
    added: dict[Place, torch.Tensor] = {}
    values: dict[int, torch.Tensor] = {}

    def watch(place: Place) -> Write | None:
        if place not in watched:
            return None

        def add_nothing(activations: torch.Tensor) -> torch.Tensor:
            if place[0] == "v":
                values[place[1]] = activations.detach()
            # The derivative by what is added is that by the activations, and works the same where a site is no tensor
            # of the model's own, such as the stream between attention and MLP.
            added[place] = torch.zeros_like(activations, requires_grad=True)
            return activations + added[place]

        return add_nothing

    def enter(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
        stream = entering if arriving is None else arriving
        change = watch(("resid_pre", layer))
        return change(stream) if change else stream

    def write(place: Place) -> Write | None:
        return (lambda _stream: enter(0, None)) if place == ("resid_pre", 0) else watch(place)

    with torch.inference_mode(False), torch.enable_grad():
        ids, entering = ids.clone(), entering.clone()  # what comes from inference mode cannot be part of a graph
        try:
            if access.edited:  # anywhere, so that prompts run from their tokens
                logits = access.run(ids, write, gradients=True)
            else:
                logits = access.resume(ids, 0, enter, write, gradients=True)
            numbers = measure(logits)
            # Not `backward`, which would fill the gradients of the model's parameters.
            found = torch.autograd.grad(numbers.sum(), list(added.values()), allow_unused=True, materialize_grads=True)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            raise ModelError(
                f"{access.opened.name} cannot be run back for gradients: {error}. Compute exact values only, with "
                "preview=False."
            ) from error
    slopes = dict(zip(added, found, strict=True))
    for layer in patterns:
        assert access.inside.heads is not None  # else there is no z
        slopes["pattern", layer] = access.inside.heads.pattern_slope(slopes["z", layer], values[layer])
    return {place: slopes[place] for place in places}
