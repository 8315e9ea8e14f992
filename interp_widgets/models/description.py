"""What a user says about a module of their own: where its parts are, and how it is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from interp_widgets.models.families import Heads, Parts, guesses
from interp_widgets.models.numbers import is_whole, kind_of
from interp_widgets.results.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Description:
    """Where the parts of a transformer of your own are, for `describe`.

    Only `blocks` has to be said. Parts that are left out are searched under the names that others use; where they are
    not found, the sites that need them do not exist. Whatever is said is checked on the model before it is used.

    Args:
        blocks: path of the `ModuleList` that holds the blocks, or one path for each block.
        attention: path inside a block of the module that computes attention.
        attn_out: path inside a block of the module whose output is added to the stream, where that is not `attention`:
            a norm after it, or the output projection where the block itself computes attention.
        n_heads: number of query heads; without it there are no sites of heads.
        n_kv_heads: number of key-value heads, if fewer; checked if given.
        qkv: paths inside a block of the projections of queries, keys and values: three, or one of a fused projection.
        by_group: how a fused projection lays out what it returns: all queries, all keys, all values (False), or for
            each key-value head in turn its queries, its key and its value (True).
        o_proj: path inside a block of attention's output projection, whose input is z.
        mlp: path inside a block of the MLP.
        mlp_out: the same as `attn_out`, for the MLP.
        down_proj: path inside a block of the MLP's last projection, whose input are the neurons.
        embedding: path of the token embedding, needed only where it is no `nn.Embedding` that gets the token ids.
        norm: path of the norm after the last block.
        unembedding: path of the module that returns the logits.
        causal: whether a position sees only those before it. If not, nothing is assumed about prompts that begin alike.
        ids: name of the parameter that takes token ids, (row, position); the first one if not given.
        logits: where the logits are in what the model returns: an attribute or a key, or the index in a tuple. Not
            needed for a bare tensor, an attribute `logits`, or the first of a tuple.
        read_at: the position whose logits are read, negative ones counted from the end, where there are logits for
            each position. Logits of shape (row, class) are read as they are.
        context: most tokens that the model takes, where no position embedding tells.
    """

    blocks: str | Sequence[str]
    attention: str | None = None
    attn_out: str | None = None
    n_heads: int | None = None
    n_kv_heads: int | None = None
    qkv: str | Sequence[str] | None = None
    by_group: bool = False
    o_proj: str | None = None
    mlp: str | None = None
    mlp_out: str | None = None
    down_proj: str | None = None
    embedding: str | None = None
    norm: str | None = None
    unembedding: str | None = None
    causal: bool = True
    ids: str | None = None
    logits: str | int | None = None
    read_at: int = -1
    context: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("blocks", "qkv") and isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, field.name, tuple(value))
            _check(field.name, getattr(self, field.name))
        if self.n_kv_heads is not None and self.n_heads is None:
            raise ModelError(f"n_kv_heads={self.n_kv_heads} needs n_heads, the number of query heads.")
        if self.qkv is not None and self.o_proj is None:
            raise ModelError(f"qkv={self.qkv!r} needs o_proj, attention's output projection, whose input is z.")

    @property
    def in_block(self) -> dict[str, str]:
        """The paths inside a block that were given, by what they were given as."""
        named = {
            name: getattr(self, name) for name in ("attention", "attn_out", "o_proj", "mlp", "mlp_out", "down_proj")
        }
        named |= {f"qkv[{number}]": path for number, path in enumerate(self.projections)}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def projections(self) -> tuple[str, ...]:
        """Paths of the projections of queries, keys and values."""
        return (self.qkv,) if isinstance(self.qkv, str) else tuple(self.qkv or ())

    def parts(self) -> Iterator[Parts]:
        """Yield where to look for what a block adds: as it was said, else under the names that others use."""
        attn, mlp = self.attn_out or self.attention, self.mlp_out or self.mlp
        down = self.down_proj or ""
        for guess in guesses(attn, mlp):
            yield Parts(guess.attn, guess.mlp, heads=self._heads(guess.attn), down=down)

    def _heads(self, attn: str) -> Heads | None:
        if self.o_proj is None:
            return None
        attention = attn if self.attention is None else self.attention
        paths = (*self.projections, self.o_proj)
        if attention and all(path.startswith(f"{attention}.") for path in paths):
            paths = tuple(path.removeprefix(f"{attention}.") for path in paths)
        else:  # the block itself computes attention, with modules of its own
            attention = ""
        return Heads(attention, paths[:-1], paths[-1], self.by_group)


_COUNTS = ("n_heads", "n_kv_heads", "context")


def _check(name: str, value: object) -> None:
    """Refuse what can be no such part, before a model is looked at."""
    if value is None and name not in ("blocks", "causal", "by_group", "read_at"):
        return
    if name in ("causal", "by_group"):
        wanted, fits = "True or False", isinstance(value, bool)
    elif name in _COUNTS:
        wanted, fits = "a whole number from 1 on", is_whole(value) and value >= 1
    elif name == "read_at":
        wanted, fits = "a position, such as -1 for the last", is_whole(value)
    elif name == "logits":
        wanted, fits = "the name of an attribute, or an index", is_whole(value) or _is_path(value)
    elif name == "qkv":
        wanted = "the path of a fused projection, or the three paths of queries, keys and values"
        fits = _is_path(value) or (isinstance(value, tuple) and len(value) == 3 and all(map(_is_path, value)))
    elif name == "blocks":
        wanted = "the path of the ModuleList that holds the blocks, or the paths of all blocks"
        fits = _is_path(value) or (isinstance(value, tuple) and bool(value) and all(map(_is_path, value)))
    else:
        wanted, fits = "a path such as 'attn.out'", _is_path(value)
    if not fits:
        raise ModelError(f"{name}={value!r} of the description is {kind_of(value)}. Give {wanted}.")


def _is_path(value: object) -> bool:
    return isinstance(value, str) and bool(value)
