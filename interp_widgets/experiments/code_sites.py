"""How printed lines read a site of a block, and put something in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from interp_widgets.models.access import Access
from interp_widgets.models.probe import Form
from interp_widgets.results.terms import HEAD_SITES, Site


class SiteLines(Protocol):
    """The lines for one site of one block. Positions are written as what stands between brackets, or as a name."""

    @property
    def disturbs(self) -> bool:
        """Whether a run in which it is read goes on otherwise than it would, so that it tells of one block only."""

    def ahead(self) -> list[str]:
        """Lines in the run that is read, before `read`."""

    def read(self, at: str) -> str:
        """An expression for what is there at some positions."""

    def write(self, at: str, rows: str = "1", value: str = "donor") -> list[str]:
        """Lines that put a value there, in a batch of so many rows."""


def site_lines(access: Access, site: Site, unit: str, block: str = "block") -> SiteLines:
    """Return the lines for a site of the block that goes by some name.

    Args:
        access: the model.
        site: the site.
        unit: the head or neuron; ":" for all of them.
        block: what the lines call the block.
    """
    if site == "pattern":
        return _pattern(access, unit, block)
    if site in HEAD_SITES:
        return heads_at(access, site, unit, block)
    if site == "mlp_post":
        place = f"{module(block, access.inside.down)}.input"
        return Held(place, "inner", (unit,), str(access.d_mlp))
    if site == "resid_pre":
        return Held(f"{block}.input", "stream")
    anatomy = access.anatomy
    if site == "resid_post" or anatomy.parts is None:
        return _output(access, block, "stream", Form(bool(anatomy.tuple_length), flat=False))
    if site == "mlp_out":
        return _output(access, module(block, anatomy.parts.mlp), "added", anatomy.mlp)
    attn = _output(access, module(block, anatomy.parts.attn), "added", anatomy.attn)
    return attn if site == "attn_out" else _Middle(block, attn, access.scale)


def module(root: str, path: str) -> str:
    """Write the module at a path: numbers are items of a list."""
    return root + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".") if part)


def written(access: Access, envoy: Any) -> str:
    """Write a module of the model."""
    opened = access.opened
    inside = f"{access.model.path}.{opened.spelling.inside}".removesuffix(".")
    return module(opened.handle, envoy.path.removeprefix(inside))


def blocks_at(access: Access, chosen: str) -> str:
    """Write one block or a slice of them."""
    blocks = [written(access, block) for block in access.blocks]
    stack = blocks[0].removesuffix("[0]")
    if blocks == [f"{stack}[{layer}]" for layer in range(len(blocks))]:
        return f"{stack}[{chosen}]"
    return f"({', '.join(blocks)},)[{chosen}]"


def traced(access: Access, prompt: str) -> str:
    """Write the call that traces a prompt, the name of a tensor of ids."""
    ids = access.opened.spelling.ids
    return f"{access.opened.handle}.trace({f'{ids}={prompt}' if ids else prompt})"


def index(*parts: str) -> str:
    """Write an index without what selects everything behind its last part; empty if that is all."""
    while parts and parts[-1] == ":":
        parts = parts[:-1]
    return f"[{', '.join(parts)}]" if parts else ""


@dataclass(frozen=True)
class Held:
    """What a module takes in or hands over."""

    place: str
    name: str
    """What a changed copy of it is called."""
    part: tuple[str, ...] = ()
    """Which part of it, behind the axes of rows and positions."""
    shape: str = ""
    """Its shape behind those axes, where it has to be seen in another one."""
    item: str = ""
    """Which item of what is at the place, where that is a tuple."""
    disturbs = False

    def ahead(self) -> list[str]:
        """Nothing is needed."""
        return []

    def read(self, at: str) -> str:
        """Read it where it is."""
        return f"{self.place}{self.item}{self.seen('1')}{index(':', at, *self.part)}"

    def write(self, at: str, rows: str = "1", value: str = "donor") -> list[str]:
        """Change a copy of it."""
        where = index(":", at, *self.part) or "[:]"
        return [
            f"{self.name} = {self.place}{self.item}.clone()",
            f"{self.name}{self.seen(rows)}{where} = {value}",
            f"{self.place} = " + (f"({self.name}, *{self.place}[1:])" if self.item else self.name),
        ]

    def seen(self, rows: str) -> str:
        """The call that brings it into its shape."""
        return f".view({rows}, -1, {self.shape})" if self.shape else ""


@dataclass(frozen=True)
class _Middle:
    """The stream between attention and MLP, which is no module's input: what attention adds is set to make it up."""

    block: str
    attn: Held
    scale: float
    disturbs = False

    def ahead(self) -> list[str]:
        return []

    def read(self, at: str) -> str:
        times = f" * {self.scale}" if self.scale != 1 else ""
        return f"({self.block}.input{index(':', at)} + {self.attn.read(at)}{times})"

    def write(self, at: str, rows: str = "1", value: str = "donor") -> list[str]:
        change = f"({value} - stream) / {self.scale}" if self.scale != 1 else f"{value} - stream"
        return [f"stream = {self.block}.input{index(':', at)}", *self.attn.write(at, rows, change)]


@dataclass(frozen=True)
class _Pattern:
    """The pattern of a head: values that are unit vectors show it, and values weighted by it are z."""

    z: Held
    values: Held
    """Of all key-value heads."""
    shared: Held
    """Of the one that the head reads, or of all."""
    unit: str
    d_head: int
    group: int
    limit: float | None
    disturbs = True

    def ahead(self) -> list[str]:
        size = "" if self._size == 1 else f"{self._size} * "
        return [
            "# Values that are unit vectors, one direction for each key position, make z the pattern itself.",
            f"inner = {self.values.place}.clone()",
            f"units = inner{self.values.seen('1')}{index(':', ':', *self.values.part)}",
            f"units[:] = {size}torch.eye(units.shape[1], {self.d_head})[:, None]",
            f"{self.values.place} = inner",
        ]

    def read(self, at: str) -> str:
        whole = Held(self.z.place, self.z.name, (self.unit, ":units.shape[1]"), self.z.shape)
        read = whole.read(self._listed(at))
        return read if self._size == 1 else f"({read} / {self._size})"

    def write(self, at: str, rows: str = "1", value: str = "donor") -> list[str]:
        heads = "h" if self.unit == ":" else ""
        values = f"{self.shared.place}{self.shared.seen(rows)}{index(':', ':', *self.shared.part)}"
        if self.limit is not None:
            values += f".clamp(-{self.limit}, {self.limit})"
        if heads and self.group > 1:
            values += f".repeat_interleave({self.group}, 2)"
        weighed = f'torch.einsum("rq{heads}k,rk{heads}d->rq{heads}d", {value}, values)'
        return [f"values = {values}", *self.z.write(self._listed(at), rows, weighed)]

    @property
    def _size(self) -> float:
        """Length of those vectors, which clipping must leave as they are."""
        return min(1.0, self.limit or 1.0)

    @staticmethod
    def _listed(at: str) -> str:
        return "[$pos]" if at == "$pos" else at  # the axis of query positions is kept


def _output(access: Access, place: str, name: str, form: Form) -> Held:
    shape = str(access.opened.config.hidden_size) if form.flat else ""
    return Held(f"{place}.output", name, (), shape, "[0]" if form.in_tuple else "")


def heads_at(access: Access, site: Site, unit: str, block: str) -> Held:
    """Return where modules hand over z, queries, keys or values of one head of a block, or of all with ":"."""
    layout = access.inside.heads
    assert layout is not None, "sites of heads exist where heads were found"
    where = layout.where
    attention = module(block, where.attention)
    if site == "z":
        return Held(f"{module(attention, where.out)}.input", "inner", (unit,), f"{layout.n_heads}, {layout.d_head}")
    heads = layout.n_heads if site == "q" else layout.n_kv_heads
    if len(where.qkv) == 3:
        place = f"{module(attention, where.qkv[('q', 'k', 'v').index(site)])}.output"
        return Held(place, "inner", (unit,), f"{heads}, {layout.d_head}")
    place = f"{module(attention, where.qkv[0])}.output"
    if not where.by_group:
        first = {"q": 0, "k": layout.n_heads, "v": layout.n_heads + layout.n_kv_heads}[site]
        head = f"{first}:{first + heads}" if unit == ":" else f"{first} + {unit}" if first else unit
        return Held(place, "inner", (head,), f"{layout.n_heads + 2 * layout.n_kv_heads}, {layout.d_head}")
    # Of each key-value head its queries, its key and its value.
    group = layout.group
    shape = f"{layout.n_kv_heads}, {group + 2}, {layout.d_head}"
    if site != "q":
        return Held(place, "inner", (unit, str(group + (site == "v"))), shape)
    part = (":", f":{group}") if unit == ":" else (f"{unit} // {group}", f"{unit} % {group}")
    return Held(place, "inner", part, shape)


def _pattern(access: Access, unit: str, block: str) -> _Pattern:
    layout = access.inside.heads
    assert layout is not None, "patterns exist where heads were found"
    shared = unit if unit == ":" or layout.group == 1 else f"{unit} // {layout.group}"
    return _Pattern(
        z=heads_at(access, "z", unit, block),
        values=heads_at(access, "v", ":", block),
        shared=heads_at(access, "v", shared, block),
        unit=unit,
        d_head=layout.d_head,
        group=layout.group,
        limit=layout.limit,
    )
