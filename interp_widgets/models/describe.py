"""Make a model for experiments of any module, from what its owner says about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnsight import Envoy
from torch import nn

from interp_widgets.models.access import Access, resolve
from interp_widgets.models.adapted import Adapted
from interp_widgets.models.described import Described
from interp_widgets.models.description import Description
from interp_widgets.models.guard import exclusive
from interp_widgets.models.inside import count_heads
from interp_widgets.models.inspect import inspect
from interp_widgets.models.labels import Names
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import ModelError
from interp_widgets.results.terms import HEAD_SITES


def describe(
    model: nn.Module | Envoy,
    description: Description,
    *,
    labels: Names | None = None,
    answers: Names | None = None,
    tokenizer: Any | None = None,
    name: str = "",
) -> Described:
    """Say where the parts of a module of your own are, and get a model that every `run_*` and `show_*` takes.

    The module is run on a few token ids at once, and whatever the description says is checked: that the stream grows
    by what attention and MLP add, that heads are wired as they are counted, that nothing passes besides the stream.
    Prompts are lists of token ids. What a position sees may come after it (`causal=False`), and what is predicted may
    be classes.

    Args:
        model: any `nn.Module` that takes token ids, or nnsight's `NNsight` around one.
        description: where its parts are.
        labels: names of token ids, as grids show them: a list, a mapping, or a function from id to name.
        answers: names of what it predicts, the same way, where that is not tokens.
        tokenizer: one of transformers, if prompts shall be text.
        name: what results call it; its class by default.

    Returns:
        The model. Printing it says which sites were found.

    Raises:
        ModelError: a path that does not exist, with the nearest that do; a part that is not what it is said to be, such
            as a wrong number of heads; a module that cannot be run on token ids.
        NonFiniteError: NaN or infinity in its stream.

    Example:
        >>> import torch
        >>> from interp_widgets import Description, describe, run_patching
        >>> class Block(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.attention = torch.nn.Linear(8, 8)  # no attention at all: it mixes nothing
        ...     def forward(self, stream):
        ...         return stream + self.attention(stream)
        >>> net = torch.nn.Sequential(torch.nn.Embedding(5, 8), torch.nn.Sequential(Block(), Block()))
        >>> net.append(torch.nn.Linear(8, 5)).requires_grad_(False)[0].weight.shape
        torch.Size([5, 8])
        >>> model = describe(net, Description(blocks="1", attention="attention"))
        >>> grid = run_patching(model, [0, 1, 2], [0, 1, 3], answer=0, wrong_answer=1)
        >>> float(grid.effect()[0, 0, 1, 2])  # nothing moves between positions
        1.0
    """
    if not isinstance(description, Description):
        raise ModelError(
            f"description is {kind_of(description)}. Pass a Description(blocks=...), which says where the parts are."
        )
    if isinstance(model, Envoy):
        if any(envoy._edits for envoy in (model, *model.interleaver.envoys.values())):
            raise ModelError(
                "This nnsight model has edits stored on it, which would be lost. Describe the module itself, and store "
                "the edits on `nnsight` of what comes back."
            )
        model = model._module
    if not isinstance(model, nn.Module):
        raise ModelError(f"model is {kind_of(model)}. Pass an nn.Module, or NNsight around one.")
    adapted = Adapted(model, description, name or type(model).__name__)
    described = Described(adapted, labels, answers, tokenizer)
    access = resolve(open_model(described))
    _check(access, description)
    return replace(described, found=str(inspect(described)))


def _check(access: Access, said: Description) -> None:
    """Refuse parts that were named and are not what they are said to be."""
    parts = access.anatomy.parts
    adding = ("attention", "attn_out", "mlp", "mlp_out")
    given = " and ".join(f"{name}={path!r}" for name, path in said.in_block.items() if name in adding)
    if parts is None and given:
        raise ModelError(
            f"{given}: what these return is not what a block adds to the stream. Name the modules whose outputs are "
            "added as they are: `attn_out` and `mlp_out` where a norm or a projection comes after; leave out a part "
            "that your blocks do not have, or that has no module."
        )
    inside = access.inside
    if said.n_heads is not None and said.o_proj is not None:
        _check_heads(access, said)
    if said.down_proj is not None and not inside.down:
        raise ModelError(f"down_proj={said.down_proj!r} is not what reads the neurons: {inside.missing['mlp_post']}")


def _check_heads(access: Access, said: Description) -> None:
    layout, missing, opened = access.inside.heads, access.inside.missing, access.opened
    if "z" in missing or (said.qkv is not None and any(site in missing for site in HEAD_SITES)):
        with exclusive(opened.module):
            count = count_heads(opened.module, opened.config, access.anatomy)
        if count is not None:
            raise ModelError(
                f"n_heads={said.n_heads} is not how the heads are wired: what attention computes falls into {count} "
                f"heads. Say n_heads={count}, if that is what you expect."
            )
    if "z" in missing:
        raise ModelError(
            f"n_heads={said.n_heads}, qkv={said.qkv!r}, o_proj={said.o_proj!r} do not fit together: {missing['z']} "
            "Check the count of heads and the paths, and `by_group` for a fused projection; or leave out `o_proj` and "
            "`qkv`, and go without heads."
        )
    if said.n_kv_heads is not None and layout is not None and said.n_kv_heads != layout.n_kv_heads:
        raise ModelError(
            f"n_kv_heads={said.n_kv_heads}, but keys are as wide as {layout.n_kv_heads} heads of width "
            f"{layout.d_head}. Say n_kv_heads={layout.n_kv_heads}, or another n_heads."
        )
