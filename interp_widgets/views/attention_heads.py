"""Attention heads: a small picture of each, one large and linked to the text, and what they are called."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import traitlets
from numpy.typing import NDArray

from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.head_scores import SCORES, HeadScores
from interp_widgets.results.scored_attention import ScoredAttention
from interp_widgets.views._attention_heads_wire import (
    KEPT,
    SIDES,
    Shown,
    attention_spec,
    has_weights,
    lines_of,
    sides_shown,
    tile_of,
    top_of,
    wire_layer,
    wire_scores,
)
from interp_widgets.views._source import steps_of
from interp_widgets.views._view import STATIC, View
from interp_widgets.views._wire import wire_array
from interp_widgets.views.protocol.attention_heads import (
    AttentionArrays,
    AttentionSpec,
    HeadChoice,
    WireClose,
    WireKept,
    WireLayer,
    WireScores,
)
from interp_widgets.views.protocol.common import Spot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part: TypeAlias = "AttentionResult | ScoredAttention"
Steps: TypeAlias = "Generator[Part, None, Part]"
"""Work under way: yields partial results and returns the whole."""
ReadAnew: TypeAlias = "Callable[[int, int], AttentionResult]"
"""Reads a layer with a number for each token, of as many heads as fit, one of them in any case."""

_RATE = 8e6
"""Bytes a second that go to the page while layers are read."""


class AttentionView(View[AttentionResult]):
    """Where every head looks: small pictures of all, one of them large and linked to the text.

    Rows of a picture are queries, the tokens that look; columns are keys, what they look at. Both Python and the page
    write the traits below, and `view.observe(handler, "selected")` tells of clicks.

    Attributes:
        selected: the head that is large and the query that is held, as `{"layer": 3, "head": 1, "pos": None}`. None
            shows the head that, from the last token, looks hardest at something but the first one and itself.
        side: "clean", and with two prompts "corrupt" or, where they are equally long, "difference".
        weighted: whether each number is multiplied by |v W_O|, the length of what is taken.
        score: what frames of the pictures are coloured by, a name in `interp_widgets.results.head_scores.SCORES`.
        order: how pictures are ordered: "layer", or "score" with the highest first.
        color_scale: where colours end: "shared" for all heads, or at each head's "own" largest number.
        theme: "auto" (follows the notebook), "light" or "dark".
        job: progress, state, time left, `cancel()` and the error if there was one.
    """

    _esm = STATIC / "attention_heads.js"
    _page_writes = frozenset({"selected", "side", "weighted", "score", "order", "color_scale", "theme"})
    _page_state = ("spec", "arrays", "scored", "close_up", "kept", "job", *sorted(_page_writes))

    _called = "attention"
    _shares = ("layer", "head", "pos")

    spec = traitlets.Dict(help="All that is shown apart from numbers.").tag(sync=True)
    arrays = traitlets.Instance(AttentionResult, allow_none=True, help="The result whose numbers the page holds.").tag(
        sync=True, to_json=lambda result, view: None if result is None else view._arrays(result)
    )
    scored = traitlets.Instance(HeadScores, allow_none=True, help="What heads do, as far as it is known.").tag(
        sync=True, to_json=lambda scores, view: None if scores is None else view._wire_scores(scores)
    )
    close_up = traitlets.Instance(AttentionResult, allow_none=True, help="A layer that was read anew.").tag(
        sync=True, to_json=lambda result, _view: _wire_close(result)
    )
    kept: list[Any] = traitlets.List(help="What a saved page keeps of tiles and lines.").tag(sync=True)  # type: ignore[assignment]
    selected = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    side = traitlets.Enum(["clean", "corrupt", "difference"], "clean").tag(sync=True, echo_update=False)
    weighted = traitlets.Bool(False).tag(sync=True, echo_update=False)
    score = traitlets.Unicode(allow_none=True, default_value=None).tag(sync=True, echo_update=False)
    order = traitlets.Enum(["layer", "score"], "layer").tag(sync=True, echo_update=False)
    color_scale = traitlets.Enum(["shared", "own"], "shared").tag(sync=True, echo_update=False)

    def __init__(
        self,
        source: AttentionResult | Steps,
        *,
        scores: HeadScores | None = None,
        read_anew: ReadAnew | None = None,
    ) -> None:
        """Show a result, or the partial results of one that is being computed.

        Args:
            source: a finished result, or the steps of one, with or without scores.
            scores: what heads do, where it is known already.
            read_anew: reads a layer with a number for each token, where the whole was read in blocks.
        """
        self._given = scores
        self._read_anew = read_anew
        self._layers: dict[int, WireLayer] = {}
        self._seen: OrderedDict[str, list[NDArray[np.float32]]] = OrderedDict()
        self._due = 0.0
        super().__init__(steps_of(source, AttentionResult, "AttentionView"))

    @property
    def scores(self) -> HeadScores | None:
        """What every head does: finishes the work if there is some left. None where no scores were asked for."""
        return _whole(self.job.finish()).scores or self._given

    def read(self, layer: int | None = None, head: int | None = None) -> AttentionResult:
        """Read a layer with a number for each token, where the whole was read in blocks, and show it so.

        All heads of the layer are read if they fit, else the one. The view keeps the last layer that was read so.

        Args:
            layer: by default the one that is shown.
            head: likewise.

        Raises:
            ResultError: the view came without a model, or there is a number for each token already.
            SelectionError: a layer or head that there is not.
        """
        shown = self._shown() if layer is None or head is None else None
        layer = shown[0] if layer is None and shown else layer
        head = shown[1] if head is None and shown else head
        choice = _checked(self.partial, {"layer": layer, "head": head})
        if self.partial.block == 1:
            raise ResultError("there is a number for each token already: nothing is to be read anew.")
        if self._read_anew is None:
            raise ResultError(
                "this view came without a model to read a layer with. Call read() on the view that show_attention "
                "returns."
            )
        close = self._read_anew(choice["layer"], choice["head"])
        self._seen.clear()
        self.set_trait("close_up", close)
        return close

    def code(self, layer: int | None = None, head: int | None = None, pos: int | None = None) -> str:
        """The lines of nnsight that compute a head's pattern and print where a token looks; they run as printed.

        They compute what is shown: the clean prompt's pattern, the corrupt one's or the difference of both, weighted
        or not, and the mean over several prompts. Where the view shows the largest of blocks, they print each token.

        Args:
            layer: by default the one that is shown.
            head: likewise.
            pos: the token; by default the one that is held, else the last.

        Raises:
            SelectionError: a layer, head or token that there is not.
            ResultError: the result came without code, or nothing is read yet.
        """
        shown = self._shown()
        if pos is None and self.selected:
            pos = self.selected["pos"]
        layer = shown[0] if layer is None else layer
        head = shown[1] if head is None else head
        return self._source(layer, head).script(
            layer,
            head,
            pos,
            side=int(self.side == "corrupt"),
            weighted=self.weighted,
            difference=self.side == "difference",
        )

    def figure(self) -> Figure:
        """The heads as a matplotlib figure, for print: a small picture of each, and the one that is shown large."""
        from interp_widgets.views._attention_heads_figure import draw

        layer, head = self._shown()
        pos = self.selected["pos"] if self.selected else None
        source = self._source(layer, head)
        figure: Figure = draw(self.partial, source, self._known_scores(), (layer, head, pos), self._look())
        return figure

    def __repr__(self) -> str:
        if self.job.partial is None:
            return f"AttentionView({self.job.note or self.job.state})"
        return f"AttentionView({self.partial!r}, {self.job.state})"

    def _enriched(self, result: Part) -> AttentionResult:
        return _whole(result).attention

    @property
    def _part(self) -> ScoredAttention:
        return _whole(self._raw)

    def _known_scores(self) -> HeadScores | None:
        return self._part.scores or self._given

    def _look(self) -> tuple[Shown, bool, str | None]:
        return cast("Shown", self.side), self.weighted, self.score

    def _shown(self) -> tuple[int, int]:
        if self.selected:
            return int(self.selected["layer"]), int(self.selected["head"])
        leading = self.partial.leading()
        if leading is None:
            raise ResultError("no layer is read yet: wait for view.result, or choose a head.")
        return leading

    def _source(self, layer: int, head: int) -> AttentionResult:
        """The result that knows a head best."""
        close = self.close_up
        return close if close is not None and layer in close.layers and head in close.heads else self.partial

    def _measure(self, result: Part) -> tuple[int, int]:
        whole = _whole(result)
        patterns, scores = whole.attention, whole.scores
        n_layers, n_sides = len(patterns.layers), len(patterns.prompts)
        done, total = len(patterns.parts) // n_sides, n_layers
        if whole.scoring:
            total += n_layers
            if scores is not None:
                known = [np.isfinite(samples).mean() for samples in scores.samples.values()]
                done += round(float(np.mean(known)) * n_layers)
        return done, total

    def _open(self, result: Part) -> dict[str, object]:
        whole = _whole(result)
        patterns = whole.attention
        return {"spec": self._spec(patterns), "arrays": patterns, "scored": whole.scores or self._given}

    def _spec(self, result: AttentionResult) -> AttentionSpec:
        return attention_spec(result, title=question(result), reads=self._read_anew is not None)

    def _stream(self, result: Part) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._bring(_whole(result))
        spent = time.monotonic() - now
        self._due = time.monotonic() + spent + sum(map(_nbytes, self._layers.values())) / _RATE

    def _commit(self, result: Part) -> None:
        self._bring(_whole(result))
        self.send_state(["arrays", "scored"])

    def _bring(self, whole: ScoredAttention) -> None:
        with self.hold_sync():
            if whole.attention.parts and self.spec["weighted"] != has_weights(whole.attention):
                self.set_trait("spec", self._spec(whole.attention))
            if whole.attention is not self.arrays:
                self.set_trait("arrays", whole.attention)
            if whole.scores is not None and whole.scores is not self.scored:
                self.set_trait("scored", whole.scores)

    def _go(self, spot: Spot) -> bool:
        # Of a place that says the layer alone, say, the rest is that of the head that is shown.
        here: dict[str, Any] = dict(self.selected or {})
        if not here and (leading := self.partial.leading()) is not None:
            here = {"layer": leading[0], "head": leading[1]}
        known = {key: value for key, value in spot.items() if key in self._shares}
        try:
            self.set_trait("selected", {**here, **known})
        except traitlets.TraitError:
            return False
        return bool(known)

    def _words(self, pos: int) -> Sequence[str]:
        sides = [self.partial.tokens(side).labels for side in range(len(self.partial.prompts))]
        return list(dict.fromkeys(labels[pos] for labels in sides if pos < len(labels)))

    def _title(self) -> str:
        return question(self.partial)

    def _arrays(self, result: AttentionResult) -> AttentionArrays:
        """What the page holds of a result. A layer that is there does not change, so its pictures are made once."""
        for layer in result.layers:
            if layer not in self._layers and (wired := wire_layer(result, layer)) is not None:
                self._layers[layer] = wired
        leading = result.leading()
        return {
            "layers": [self._layers.get(layer) for layer in result.layers],
            "leading": None if leading is None else list(leading),
        }

    def _wire_scores(self, scores: HeadScores) -> WireScores:
        return wire_scores(scores, self.partial.layers, self.partial.heads)

    def _state_at_rest(self) -> dict[str, Any]:
        # What is shown is kept, with what was looked at before; the oldest goes where that is more than is allowed.
        state = super()._state_at_rest()
        if self.partial.parts and not self.spec["whole"]:
            layer, head = self._shown()
            pos = self.selected["pos"] if self.selected else None
            source = self._source(layer, head)
            side, weighted, _ = self._look()
            number = SIDES.index(side) if side != "difference" else 0
            last = len(source.tokens(number)) - 1
            self._lines(side, layer, head, weighted, last if pos is None else pos)
            self._tile(side, layer, head, weighted, top_of(source, side))
        state["kept"] = [_wire_kept(key, arrays) for key, arrays in self._seen.items()]
        return state

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        match content:
            case {
                "kind": "request",
                "id": str(request),
                "name": "tile",
                "side": "clean" | "corrupt" | "difference" as side,
                "layer": int(layer),
                "head": int(head),
                "weighted": bool(weighted),
                "level": int(level),
                "row": int(row),
                "column": int(column),
            }:
                self._reply_arrays(request, lambda: self._tile(side, layer, head, weighted, (level, row, column)))
            case {
                "kind": "request",
                "id": str(request),
                "name": "lines",
                "side": "clean" | "corrupt" | "difference" as side,
                "layer": int(layer),
                "head": int(head),
                "weighted": bool(weighted),
                "pos": int(pos),
            }:
                self._reply_arrays(request, lambda: self._lines(side, layer, head, weighted, pos))
            case {"kind": "request", "id": str(request), "name": "read", "layer": int(layer), "head": int(head)}:
                self._on_loop(lambda: self._reply(request, lambda: repr(self.read(layer, head))))
            case _:
                super()._on_message(widget, content, buffers)

    def _tile(
        self, side: Shown, layer: int, head: int, weighted: bool, at: tuple[int, int, int]
    ) -> list[NDArray[np.float32]]:
        source = self._source(layer, head)
        return self._remember(
            "/".join(map(str, ("tile", side, layer, head, int(weighted), source.block, *at))),
            lambda: [tile_of(source, side, layer, head, weighted, at)],
        )

    def _lines(self, side: Shown, layer: int, head: int, weighted: bool, pos: int) -> list[NDArray[np.float32]]:
        source = self._source(layer, head)
        n_tokens = len(source.tokens(SIDES.index(side) if side != "difference" else 0))
        if not 0 <= pos < n_tokens:
            raise SelectionError(f"There is no position {pos}: they run from 0 to {n_tokens - 1}.")
        return self._remember(
            "/".join(map(str, ("lines", side, layer, head, int(weighted), source.block, pos // source.block))),
            lambda: lines_of(source, side, layer, head, weighted, pos),
        )

    def _remember(self, key: str, make: Callable[[], list[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
        arrays = self._seen.get(key)
        if arrays is None:
            arrays = self._seen[key] = make()
        self._seen.move_to_end(key)
        held = sum(array.nbytes for some in self._seen.values() for array in some)
        while held > KEPT and len(self._seen) > 1:
            held -= sum(array.nbytes for array in self._seen.popitem(last=False)[1])
        return arrays

    def _reply_arrays(self, request: str, make: Callable[[], list[NDArray[np.float32]]]) -> None:
        """Answer with arrays in buffers; the answer itself is their shapes."""
        try:
            wired = [wire_array(array, "float32") for array in make()]
        except Exception as error:  # whatever it is, the page waits for an answer
            self._reply(request, lambda error=error: _raised(error))  # type: ignore[misc]
            return
        shapes = "/".join(" ".join(map(str, array["shape"])) for array in wired)
        self.send(
            {"kind": "reply", "id": request, "ok": True, "value": shapes}, buffers=[array["data"] for array in wired]
        )

    @traitlets.validate("selected")
    def _valid_selected(self, proposal: Mapping[str, Any]) -> HeadChoice | None:
        if proposal["value"] is None:
            return None
        try:
            return _checked(self.partial, proposal["value"])
        except SelectionError as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.validate("side")
    def _valid_side(self, proposal: Mapping[str, Any]) -> str:
        side = str(proposal["value"])
        there = sides_shown(self.partial)
        if side not in there:
            why = "there is one prompt" if len(there) == 1 else "the prompts have unequal lengths, or are in blocks"
            raise traitlets.TraitError(f"side={side!r} cannot be shown: {why}. There are {', '.join(there)}.")
        return side

    @traitlets.validate("weighted")
    def _valid_weighted(self, proposal: Mapping[str, Any]) -> bool:
        if proposal["value"] and not self.spec["weighted"]:
            raise traitlets.TraitError("weighted patterns were not computed. Pass value_weighted=True.")
        return bool(proposal["value"])

    @traitlets.validate("score")
    def _valid_score(self, proposal: Mapping[str, Any]) -> str | None:
        name = proposal["value"]
        if name is None:
            return None
        if name not in SCORES:
            raise traitlets.TraitError(str(unknown_name("score", name, SCORES)))
        scores = self._known_scores()
        if scores is not None and name in scores.missing:
            raise traitlets.TraitError(f"{name} was not computed: {scores.missing[name]}")
        return str(name)


def question(result: AttentionResult) -> str:
    """The question that a view of attention answers."""
    if len(result.prompts) > 1:
        return "Where do heads look, and where does that differ between the prompts?"
    return "Where does every head look?"


def _checked(result: AttentionResult, given: Mapping[str, Any]) -> HeadChoice:
    """A choice as plain numbers.

    Raises:
        SelectionError: a layer, head or position that there is not, or something that is no choice.
    """
    if not {"layer", "head"} <= set(given) <= {"layer", "head", "pos"}:
        raise SelectionError(f'selected is {{"layer": 3, "head": 1, "pos": None}}, or None, not {dict(given)!r}.')
    layer, head, pos = (given.get(name) for name in ("layer", "head", "pos"))
    for name, number, there in (("layer", layer, result.layers), ("head", head, result.heads)):
        if not _is_number(number) or number not in there:
            raise SelectionError(f"There is no {name} {number!r} here: {', '.join(map(str, there))} were asked for.")
    longest = max(len(side[0]) for side in result.prompts)
    if pos is not None and not (_is_number(pos) and 0 <= pos < longest):
        raise SelectionError(f"There is no position {pos!r}: they run from 0 to {longest - 1}, or None.")
    return {"layer": int(layer), "head": int(head), "pos": None if pos is None else int(pos)}  # type: ignore[arg-type]


def _is_number(number: object) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def _whole(result: Part) -> ScoredAttention:
    return result if isinstance(result, ScoredAttention) else ScoredAttention(result)


def _nbytes(layer: WireLayer) -> int:
    arrays = [array for side in layer["sides"] for array in side.values() if array is not None]
    arrays += [array for picture in layer["pictures"].values() for array in picture.values()]
    return sum(len(cast("Any", array)["data"]) for array in arrays)


def _wire_close(result: AttentionResult | None) -> WireClose | None:
    if result is None:
        return None
    return {"layer": result.layers[0], "heads": list(result.heads), "block": result.block}


def _wire_kept(key: str, arrays: list[NDArray[np.float32]]) -> WireKept:
    return {"key": key, "arrays": [wire_array(array, "float32") for array in arrays]}


def _raised(error: BaseException) -> str:
    raise error
