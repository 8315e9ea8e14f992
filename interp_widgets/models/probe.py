"""Find a model's blocks and parts by running it once, and check that they are what they are taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from interp_widgets.models.families import Parts, candidates
from interp_widgets.models.finite import check_finite
from interp_widgets.results.errors import ModelError


@dataclass(frozen=True)
class Form:
    """How a module returns its activations."""

    in_tuple: bool
    """First in a tuple, rather than bare."""
    flat: bool
    """As (row times position, d_model), rather than (row, position, d_model)."""


@dataclass(frozen=True)
class Anatomy:
    """What one probe run found out about a model."""

    blocks: tuple[nn.Module, ...]
    tuple_length: int
    """Length of the tuple that a block returns, 0 if it returns the bare stream."""
    last_only: bool
    """Whether the model can be asked for the logits of the last position alone."""
    parts: Parts | None
    """Where attention and MLP hand over what they add, None where no two modules make up the stream's growth."""
    attn: Form = Form(False, False)
    mlp: Form = Form(False, False)
    mlp_first: bool = False
    parallel: bool = False
    """Whether the MLP reads the same stream as attention, so that there is nothing between the two."""


def first_tensor(output: Any) -> Any:
    """Return a module's main output: modules often return it first in a tuple."""
    return output[0] if isinstance(output, (tuple, list)) else output


def n_vocab(module: nn.Module) -> int:
    """Count the token ids that the model can embed."""
    return int(module.get_input_embeddings().weight.shape[0])  # type: ignore[operator]


def probe_ids(module: nn.Module) -> torch.Tensor:
    """Return two short prompts that agree at first, (2, position)."""
    size = n_vocab(module)
    first = [3 % size, 10 % size, 17 % size, 24 % size]
    second = [*first[:2], (first[2] + 1) % size, (first[3] + 2) % size]
    return torch.tensor([first, second], device=module.get_input_embeddings().weight.device)  # type: ignore[operator]


def examine(module: nn.Module, config: Any) -> Anatomy:
    """Run the model on a few tokens and find its blocks and parts.

    Raises:
        ModelError: no stack of blocks, or positions that see what comes after them.
        NonFiniteError: NaN or infinity in its stream.
    """
    name = type(module).__name__
    ids = probe_ids(module)
    last_only = _takes_logits_to_keep(module, ids)
    stacks = [
        tuple(stack)
        for stack in module.modules()
        if isinstance(stack, nn.ModuleList) and len(stack) == config.num_hidden_layers
    ]
    for blocks in stacks:
        outputs = _record(module, ids, blocks)
        if set(outputs) != set(blocks):
            continue
        after = [first_tensor(outputs[block][1]) for block in blocks]
        before = [outputs[block][0] for block in blocks]
        if not all(_is_stream(tensor, ids) for tensor in (*before, *after)):
            continue
        check_finite([*before, after[-1]], None, name, before[0].dtype)
        if not all(close(old, new) for old, new in zip(after[:-1], before[1:], strict=True)):
            continue
        _check_causal(after, name)
        output = outputs[blocks[0]][1]
        length = len(output) if isinstance(output, (tuple, list)) else 0
        for parts in candidates(config.model_type, config):
            watched = _check_parts(module, ids, blocks, parts, config)
            attn, mlp = submodule(blocks[0], parts.attn), submodule(blocks[0], parts.mlp)
            if watched is not None and attn is not None and mlp is not None:
                order = list(watched)
                return Anatomy(
                    blocks,
                    length,
                    last_only,
                    parts,
                    attn=_form(watched[attn][1]),
                    mlp=_form(watched[mlp][1]),
                    mlp_first=order.index(mlp) < order.index(attn),
                    parallel=_is_parallel(module, ids, blocks, parts),
                )
        return Anatomy(blocks, length, last_only, None)
    raise ModelError(
        f"{name} has no stack of {config.num_hidden_layers} blocks that hand one stream on to each other, so there is "
        "nothing to patch. Pass a decoder-only transformer."
    )


def _check_causal(after: list[torch.Tensor], name: str) -> None:
    if any(not close(tensor[0, :2], tensor[1, :2]) for tensor in after):
        raise ModelError(
            f"{name} is not causal: its positions see the tokens that come after them, so a prompt has no next token "
            "to predict. Pass a causal language model, for instance from AutoModelForCausalLM.from_pretrained."
        )


def _check_parts(
    module: nn.Module, ids: torch.Tensor, blocks: tuple[nn.Module, ...], parts: Parts, config: Any
) -> Recorded | None:
    """Run the model and watch its parts; None if they do not make up what each block adds to the stream."""
    pairs = [(submodule(block, parts.attn), submodule(block, parts.mlp)) for block in blocks]
    watched = [part for pair in pairs for part in pair if part is not None]
    if len(watched) < 2 * len(blocks):
        return None
    outputs = _record(module, ids, (*blocks, *watched))
    if any(part not in outputs for part in watched):
        return None
    scale = parts.multiplier(config)
    for number, block in enumerate(blocks):
        before, after = outputs[block][0], first_tensor(outputs[block][1])
        added = [first_tensor(outputs[part][1]) for part in watched[2 * number : 2 * number + 2]]
        if any(not isinstance(tensor, torch.Tensor) or tensor.numel() != before.numel() for tensor in added):
            return None
        terms = [before, *(scale * tensor.reshape(before.shape) for tensor in added)]
        if not adds_up(terms, after, float((after - before).abs().max())):
            return None
    return outputs


def _form(output: Any) -> Form:
    return Form(isinstance(output, (tuple, list)), first_tensor(output).ndim == 2)


def _is_parallel(module: nn.Module, ids: torch.Tensor, blocks: tuple[nn.Module, ...], parts: Parts) -> bool:
    """Whether MLPs stay as they are when what attention adds is disturbed."""

    def disturb(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> Any:
        tensor = first_tensor(output)
        # Not by a constant, which a layer norm would take out again.
        disturbed = tensor + torch.linspace(-1, 1, tensor.shape[-1], device=tensor.device).to(tensor)
        return (disturbed, *output[1:]) if isinstance(output, (tuple, list)) else disturbed

    # Three blocks, in case somebody silenced the MLP of one of them.
    for block in {blocks[0], blocks[len(blocks) // 2], blocks[-1]}:
        attn, mlp = block.get_submodule(parts.attn), block.get_submodule(parts.mlp)
        calm = _record(module, ids, (mlp,))[mlp]
        with _hooked((attn,), disturb):
            disturbed = _record(module, ids, (mlp,))[mlp]
        if not all(torch.equal(first_tensor(a), first_tensor(b)) for a, b in zip(calm, disturbed, strict=True)):
            return False
    return True


def submodule(block: nn.Module, path: str) -> nn.Module | None:
    """Return the module at a dotted path, None where there is none."""
    try:
        return block.get_submodule(path)
    except AttributeError:
        return None


def _takes_logits_to_keep(module: nn.Module, ids: torch.Tensor) -> bool:
    try:
        output = module(input_ids=ids, use_cache=False, logits_to_keep=1)
    except TypeError:  # a model older than the option, or one that never had it
        return False
    return int(logits_of(output).shape[1]) == 1


def logits_of(output: Any) -> torch.Tensor:
    """Return the logits of a model's output, (row, position, d_vocab)."""
    logits: torch.Tensor = output.logits if hasattr(output, "logits") else output[0]
    return logits


Recorded: TypeAlias = "dict[nn.Module, tuple[torch.Tensor, Any]]"


def _record(module: nn.Module, ids: torch.Tensor, watched: tuple[nn.Module, ...]) -> Recorded:
    """Each watched module's first input and its output, in the order in which they finished."""
    seen: dict[nn.Module, tuple[torch.Tensor, Any]] = {}

    def keep(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        first = args[0] if args else next(iter(kwargs.values()), None)
        # Cloned, since some blocks go on to add into these tensors (Falcon's MLP output).
        seen[part] = (clone(first), clone(output))

    with _hooked(watched, keep):
        module(input_ids=ids, use_cache=False)
    return seen


@contextmanager
def _hooked(modules: tuple[nn.Module, ...], hook: Any) -> Iterator[None]:
    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
        yield


def clone(value: Any) -> Any:
    """Copy a module's tensors, which some blocks go on to change."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, (tuple, list)):
        return tuple(clone(item) for item in value)
    return value


def _is_stream(value: Any, ids: torch.Tensor) -> bool:
    return isinstance(value, torch.Tensor) and tuple(value.shape[:2]) == tuple(ids.shape) and value.ndim == 3


def close(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether two tensors agree but for rounding."""
    left, right = left.float(), right.float().to(left.device)
    return float((left - right).abs().max()) <= 1e-4 * float(right.abs().max())


def adds_up(terms: Sequence[torch.Tensor], total: torch.Tensor, change: float = 0.0) -> bool:
    """Whether terms add up to a total but for rounding, or at most an error small beside `change`.

    What rounding allows is reckoned number by number: a few directions of a stream are often a thousand times larger
    than what a block adds, and would hide anything in the rounding of half precision.
    """
    wide = [term.float().to(total.device) for term in terms]
    rounding = 4 * torch.finfo(total.dtype).eps * torch.stack([term.abs() for term in wide]).sum(0)
    error = (torch.stack(wide).sum(0) - total.float()).abs()
    return bool((error <= rounding.clamp(min=1e-3 * change)).all())
