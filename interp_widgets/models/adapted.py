"""A module of any kind behind the interface that language models of transformers have, so that all else knows but one.

Token ids go in as `input_ids`, logits come out as `.logits` with the axes (row, position, class) and the one position
that is read, and `config` says what a configuration would.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from interp_widgets.models.description import Description
from interp_widgets.models.families import Parts
from interp_widgets.models.guard import exclusive, share_lock
from interp_widgets.models.numbers import kind_of
from interp_widgets.results.errors import ModelError


@dataclass(frozen=True)
class Config:
    """What is known of a described model without running it, by the names of transformers."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int | None
    num_key_value_heads: int | None
    max_position_embeddings: int | None
    parts: tuple[Parts, ...]
    """Where to look for what blocks add."""
    name_or_path: str
    model_type: str = "described"


@dataclass(frozen=True)
class Output:
    """What a described model returns."""

    logits: torch.Tensor
    """(row, 1, class): at the position that is read."""


class Adapted(nn.Module):
    """A module as its description says it is.

    Args:
        net: the module.
        description: what its owner says about it.
        name: what results call it.
        options: arguments besides token ids that every call gets.
    """

    config: Config
    probe_ids: torch.Tensor
    """Two short prompts that agree in their first half, (2, position)."""
    n_answers: int
    """How many classes or tokens its logits are for."""
    reads_last: bool
    """Whether the logits come from the last position alone."""
    spelled: str
    """How one reads the logits of one prompt off what the module returns, as Python."""

    def __init__(
        self, net: nn.Module, description: Description, name: str, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.training = net.training
        share_lock(self, net)
        self.net = net
        self.description = description
        self.blocks = _blocks(net, description)
        description = _as_named(self.blocks, description)
        for field in ("norm", "unembedding"):
            _named(net, getattr(description, field), field)
        self._options = dict(options or ({"use_cache": False} if _may_cache(net) else {}))
        with exclusive(net):
            self._survey(description, name)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(weight.dtype for weight in self.net.parameters() if weight.is_floating_point())

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self._embedding

    def get_output_embeddings(self) -> nn.Module | None:
        """Return the unembedding, None where it was not named."""
        return _named(self.net, self.description.unembedding, "unembedding")

    def token_weight(self) -> torch.Tensor:
        """Return the embedding matrix, (id, d_embed)."""
        weight = _matrix(self._embedding)
        assert weight is not None
        return weight.T if self._transposed else weight

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> Output:
        """Run the module on token ids, (row, position); nothing here is ever cached."""
        description = self.description
        ids = ([input_ids], {}) if description.ids is None else ([], {description.ids: input_ids})
        output = self.net(*ids[0], **ids[1], **self._options)
        logits, _ = _find_logits(output, description.logits)
        return Output((logits[:, description.read_at] if logits.ndim == 3 else logits)[:, None])

    def logits_in(self, output: Any) -> torch.Tensor:
        """Return the logits of all positions, in what the module that was described returns."""
        return _find_logits(output, self.description.logits)[0]

    def _survey(self, description: Description, name: str) -> None:
        """Find the embedding, the sizes, and how many tokens the module takes, by running it."""
        self._embedding, ids, others = self._find_embedding(description)
        self.probe_ids = ids
        with _recorded((self.net, self._embedding, self.blocks[0], self.blocks[-1], *self._ends())) as seen:
            output = self(ids)
        logits, where = _find_logits(seen[self.net][1], description.logits)
        self.reads_last = logits.ndim == 3 and description.read_at == -1
        self.spelled = f"{where}[0, {description.read_at}]" if logits.ndim == 3 else f"{where}[0]"
        if not isinstance(seen.get(self.blocks[0], (None,))[0], torch.Tensor):
            raise ModelError(
                f"{_class(self.net)} does not call {_path(self.net, self.blocks[0])} with the stream as its first "
                "argument. Give `blocks=` the modules that hand the stream on to each other."
            )
        stream, embedded = seen[self.blocks[0]][0], seen[self._embedding][1]
        matrix = _matrix(self._embedding)
        assert matrix is not None
        self._transposed = matrix.shape[1] != embedded.shape[-1]
        self.n_answers = int(output.logits.shape[-1])
        self._check_ends(seen, output)
        contexts = [description.context, *others, *((ids.shape[1],) if ids.shape[1] < _LENGTHS[0] else ())]
        self.config = Config(
            num_hidden_layers=len(self.blocks),
            hidden_size=int(stream.shape[-1]),
            num_attention_heads=description.n_heads,
            num_key_value_heads=description.n_kv_heads,
            max_position_embeddings=next((length for length in contexts if length), None),
            parts=tuple(description.parts()),
            name_or_path=name,
        )

    def _find_embedding(self, description: Description) -> tuple[nn.Module, torch.Tensor, list[int]]:
        """Return the token embedding, probe prompts, and the sizes of embeddings that get positions."""
        named = _named(self.net, description.embedding, "embedding")
        if named is not None and _matrix(named) is None:
            raise ModelError(
                f"embedding={description.embedding!r} is {kind_of(named)} without a single matrix of weights, one row "
                "for each token id. Name the module that holds it."
            )
        found = [part for part in self.net.modules() if isinstance(part, nn.Embedding)] if named is None else [named]
        if not found:
            raise ModelError(
                f"{_class(self.net)} has no nn.Embedding, so it is not known how many token ids there are. Name the "
                "module that embeds them as `embedding=`."
            )
        failure: Exception | None = None
        lengths = [*_LENGTHS[:1], *filter(None, [description.context]), *_LENGTHS[1:]]
        for embedding in found:
            weight = _matrix(embedding)
            assert weight is not None
            for length in dict.fromkeys(min(length, description.context or length) for length in lengths):
                # Ids that the embedding has in either case, until it is known how its matrix lies.
                ids = probe_prompts(min(weight.shape), length).to(weight.device)
                try:
                    with _recorded((embedding, *_embeddings(self.net))) as seen:
                        self(ids)
                except ModelError:
                    raise
                except Exception as error:  # whatever a module may say to prompts of another length
                    failure = failure or error
                    continue
                if named is not None or _is(seen.get(embedding), ids):
                    places = torch.arange(length, device=ids.device).expand_as(ids)
                    others = [
                        part.num_embeddings
                        for part in _embeddings(self.net)
                        if part is not embedding and part in seen and _is(seen[part], places)
                    ]
                    return embedding, ids, others
                break
        if failure is not None:
            raise ModelError(
                f"{_class(self.net)} could not be run on token ids of shape (2, {_LENGTHS[0]}): "
                f"{type(failure).__name__}: {failure}. Say how ids go in (`ids=`), and how many it takes (`context=`); "
                "where it needs more than ids, wrap it in a module that takes ids alone."
            ) from failure
        raise ModelError(
            f"No nn.Embedding of {_class(self.net)} gets the token ids. Name the module that embeds them as "
            "`embedding=`."
        )

    def _ends(self) -> tuple[nn.Module, ...]:
        named = (_named(self.net, getattr(self.description, field), field) for field in ("norm", "unembedding"))
        return tuple(part for part in named if part is not None)

    def _check_ends(self, seen: Recorded, output: Output) -> None:
        """Check that norm and unembedding are what they are said to be."""
        said, read_at = self.description, self.description.read_at
        norm = _named(self.net, said.norm, "norm")
        if norm is not None:
            last = seen[self.blocks[-1]][1]
            if norm not in seen or not _same(seen[norm][0], last, read_at):
                raise ModelError(f"norm={said.norm!r} does not get what the last block returns. Leave it out.")
        unembedding = _named(self.net, said.unembedding, "unembedding")
        if unembedding is not None and (
            unembedding not in seen or not _same(seen[unembedding][1], output.logits[:, 0], read_at)
        ):
            raise ModelError(f"unembedding={said.unembedding!r} does not return the logits. Leave it out.")


_LENGTHS = (4, 3, 2, 1)
"""Lengths of probe prompts: the first that the module takes."""

Recorded = dict[nn.Module, tuple[Any, Any]]


def probe_prompts(n_vocab: int, length: int = 4) -> torch.Tensor:
    """Return two short prompts that agree in their first half, (2, position)."""
    first = [(3 + 7 * position) % n_vocab for position in range(length)]
    agree = length // 2
    second = [*first[:agree], *((token + 1 + place) % n_vocab for place, token in enumerate(first[agree:]))]
    return torch.tensor([first, second])


def model_class(module: nn.Module) -> str:
    """Return the name of the class that a user knows a model by."""
    return _class(module.net if isinstance(module, Adapted) else module)


def embedding_weight(module: Any) -> torch.Tensor:
    """Return a model's embedding matrix, (id, d_embed)."""
    weight: torch.Tensor = (
        module.token_weight() if isinstance(module, Adapted) else module.get_input_embeddings().weight
    )
    return weight


def _may_cache(net: nn.Module) -> bool:
    """Whether it must be told to keep no keys and values, which attention would take for tokens when called again."""
    return "use_cache" in inspect.signature(net.forward).parameters


def _class(module: nn.Module) -> str:
    return type(module).__name__


def _path(net: nn.Module, module: nn.Module) -> str:
    return next(str(name) for name, part in net.named_modules() if part is module)


def _embeddings(net: nn.Module) -> list[nn.Embedding]:
    return [part for part in net.modules() if isinstance(part, nn.Embedding)]


def _matrix(module: nn.Module) -> torch.Tensor | None:
    """Return the only matrix that a module holds."""
    matrices = [weight for weight in module.parameters() if weight.ndim == 2]
    return matrices[0] if len(matrices) == 1 else None


def _blocks(net: nn.Module, description: Description) -> tuple[nn.Module, ...]:
    if isinstance(description.blocks, str):
        stack = _named(net, description.blocks, "blocks")
        if not isinstance(stack, (nn.ModuleList, nn.Sequential)) or not len(stack):
            raise ModelError(
                f"blocks={description.blocks!r} is {kind_of(stack)}, not a ModuleList with blocks in it. Give the path "
                "of the list, or the paths of all blocks."
            )
        return tuple(stack)
    return tuple(part for path in description.blocks if (part := _named(net, path, "blocks")) is not None)


def _named(root: nn.Module, path: str | None, what: str, inside: str = "") -> nn.Module | None:
    """Return the module at a path that was named, None where none was.

    Raises:
        ModelError: there is none, with the nearest paths that there are.
    """
    if path is None:
        return None
    try:
        return root.get_submodule(path)
    except AttributeError:
        paths = [name for name, _ in root.named_modules() if name]
        ends = {name.rpartition(".")[2]: name for name in reversed(paths)}
        near = difflib.get_close_matches(path, paths, n=3, cutoff=0.5)
        near += [ends[end] for end in difflib.get_close_matches(path.rpartition(".")[2], list(ends), n=2, cutoff=0.6)]
        listed = list(dict.fromkeys(near)) or [name for name in paths if "." not in name]
        hint = f"Did you mean {' or '.join(map(repr, listed[:3]))}?" if near else f"It has {', '.join(listed)}."
        raise ModelError(f"{what}={path!r} is no module of {inside or _class(root)}. {hint}") from None


def _as_named(blocks: Sequence[nn.Module], description: Description) -> Description:
    """Check the paths inside blocks, and write them as `named_modules` does: modules may answer to other names too."""
    written: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        paths = {part: name for name, part in block.named_modules()}
        for what, path in description.in_block.items():
            module = _named(block, path, what, f"block {number}, {kind_of(block)}")
            assert module is not None
            if number == 0:
                written[what] = paths.get(module, path)
    projections = tuple(written.pop(what) for what in list(written) if what.startswith("qkv"))
    return replace(description, **written, qkv=projections[0] if len(projections) == 1 else projections or None)


def _find_logits(output: Any, where: str | int | None) -> tuple[torch.Tensor, str]:
    """Return the logits in what a module returns, and how one writes that."""
    said = where
    if where is None and not isinstance(output, torch.Tensor):
        where = "logits" if hasattr(output, "logits") else 0
    if where is None:
        logits, spelled = output, ""
    elif isinstance(where, str) and not isinstance(output, dict):
        logits, spelled = getattr(output, where, None), f".{where}"
    else:
        try:
            logits, spelled = output[where], f"[{where!r}]"
        except (TypeError, LookupError):
            logits, spelled = None, ""
    if not isinstance(logits, torch.Tensor) or logits.ndim not in (2, 3):
        what = f"of shape {tuple(logits.shape)}" if isinstance(logits, torch.Tensor) else "not to be found"
        given = f" with logits={where!r}" if said is not None else ""
        raise ModelError(
            f"The module returns {kind_of(output)}, and logits are {what}{given}. Say with `logits=` which "
            "attribute or which item of a tuple has them, with the axes (row, position, class) or (row, class)."
        )
    return logits, spelled


def _is(call: tuple[Any, Any] | None, ids: torch.Tensor) -> bool:
    """Whether a module was called with these ids, or with one row of them for all."""
    given = None if call is None else call[0]
    if not isinstance(given, torch.Tensor) or given.shape[-1:] != ids.shape[-1:] or given.is_floating_point():
        return False
    return torch.equal(given.expand_as(ids), ids) if given.numel() in (ids.numel(), ids.shape[-1]) else False


def _same(given: Any, wanted: Any, read_at: int) -> bool:
    given, wanted = (value[0] if isinstance(value, (tuple, list)) else value for value in (given, wanted))
    if not isinstance(given, torch.Tensor) or not isinstance(wanted, torch.Tensor):
        return False
    if given.ndim == 3 and wanted.ndim == 2:
        given = given[:, read_at]
    if given.ndim == 2 and wanted.ndim == 3:
        wanted = wanted[:, read_at]
    return given.shape == wanted.shape and torch.allclose(given, wanted, rtol=1e-4, atol=1e-5)


@contextmanager
def _recorded(modules: Sequence[nn.Module]) -> Iterator[Recorded]:
    """Keep the first argument and the output of modules that are called."""
    seen: Recorded = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        seen[module] = args[0] if args else next(iter(kwargs.values()), None), output

    handles = [module.register_forward_hook(keep, with_kwargs=True) for module in dict.fromkeys(modules)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
