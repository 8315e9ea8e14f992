"""Residual streams seen from a few sides: principal components, your own directions, or a map of who is near whom."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.code_projection import projection_code, reads_of
from interp_widgets.experiments.directions import positions_of_all
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.grid import frozen
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.moments import SCREE, Axes, Moments
from interp_widgets.experiments.named_directions import NamedDirections, parse_directions
from interp_widgets.experiments.neighbours import WIDTH, Map, mapping, settings_of
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import chosen_numbers, parse_seed
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries.places import width_of
from interp_widgets.models.numbers import as_plain, is_nan, is_whole
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts
from interp_widgets.models.reading import batch_tokens, read_layers
from interp_widgets.models.texts import Batch, Cutter, Window
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import PromptError, SelectionError, SiteError, unknown_name
from interp_widgets.results.projection import METHODS, NAMES, Method, ProjectionResult
from interp_widgets.results.terms import Site, parse_site
from interp_widgets.results.words import counted

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

T = TypeVar("T")

MOST_AXES = 10
BUDGET = 2**30
"""Bytes of activations, or of covariances, that are held at a time."""
_LARGE = 3.0
"""From how many times the size of others on first tokens are left out by default."""
_SAMPLE, _SAMPLE_TOKENS = 32, 64
"""Of how many prompts, and of how many tokens of each, sizes are looked at to decide that."""
_PART = 8192
"""Points whose products are computed at a time."""
_LEAST = 512
"""Tokens that are run together at least."""


@runs_remotely
def projection(
    model: ModelLike,
    prompts: Prompts,
    *,
    labels: Sequence[object] | None = None,
    method: Method = "pca",
    directions: NamedDirections | None = None,
    n_components: int = 2,
    site: Site = "resid_post",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    first: bool | None = None,
    seed: int = 0,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[ProjectionResult, None, ProjectionResult]:
    """Check the arguments at once, and return a generator that reads prompts and then places layer by layer.

    Arguments and errors are those of `run_projection`.

    Yields:
        The result so far.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if not (is_whole(n_components) and 2 <= n_components <= MOST_AXES):
        raise ValueError(f"n_components={n_components!r} must be a whole number from 2 to {MOST_AXES}.")
    if directions is not None and method != "pca":
        raise SelectionError(
            f"{NAMES[method]} has no axes that directions could be. Leave out method=, or directions=."
        )
    seed = parse_seed(seed)
    mapped = None if method == "pca" else mapping(method, n_components, seed)
    opened = open_model(model, tokenizer)
    named = parse_site(site)
    if named == "pattern":
        raise SiteError("pattern has no numbers of single tokens, so that they lie nowhere. Use z.")
    if not (first is None or isinstance(first, bool)):
        raise ValueError(f"first={first!r} must be True, False or None.")
    chosen = chosen_numbers(layers, "layers", opened.config.num_hidden_layers)
    cutter = Cutter(opened)
    texts = list(cutter.documents(prompts, "prompt"))
    names = _labels(labels, len(texts))
    access = resolve(opened)
    access.check_site(named)
    width = width_of(access, Place(named, chosen[0]))
    given = parse_directions(directions, access, named, chosen)
    if len(given) > MOST_AXES:
        raise SelectionError(f"{len(given)} directions were given, and {MOST_AXES} axes are the most.")
    n_axes = max(n_components, len(given))
    if n_axes > width:
        raise ValueError(f"n_components={n_axes} axes, but {named} of {opened.name} is {width} wide.")
    asked = _Asked(access, cutter, method, mapped, given, n_axes, tuple(Place(named, layer) for layer in chosen))
    points = _choose(asked, texts, positions, first)
    if len(points.tokens) <= (n_axes if method == "pca" else max(4, n_axes)):
        raise PromptError(
            f"{len(points.tokens)} point{'s' * (len(points.tokens) != 1)} would be too few for {n_axes} axes. Pass "
            "more or longer prompts."
        )
    settings = {} if method == "pca" else {"map": settings_of(method, len(points.tokens)), "seed": str(seed)}
    return _Projecting(asked, points, names, Ledger(opened, {"site": named, **settings})).steps()


@over(projection)
def run_projection(steps: Generator[ProjectionResult, None, ProjectionResult]) -> ProjectionResult:
    """Find where tokens lie in the residual stream, layer by layer, seen along a few axes.

    Each layer has axes of its own. Principal components are those of the chosen tokens, centred and not scaled, as
    scikit-learn has them, also its signs: of each component the number that is largest in size is positive. Directions
    that you give come first, and principal components of what is left at right angles to them fill up the rest.
    Activations are reduced as they are read: at most a gigabyte of them, or of their covariances, is held at a time,
    and coordinates alone are kept.

    Args:
        model: as for `run_patching`.
        prompts: a prompt, or a list of prompts or documents of any lengths: text, or token ids. What is longer than the
            model's context is read in windows.
        labels: what to call each prompt, one for each: a class, a topic.
        method: "pca"; or "tsne" (scikit-learn) or "umap" (umap-learn), which keep neighbours together and neither
            distances nor directions. Both are made of 50 principal components.
        directions: names of directions, and for each a vector, what `difference_of_means` returns (every layer then has
            its own), two tokens such as `(" Mary", " John")` (along it the stream raises one logit above the other, by
            way of the last norm's gain), or a dictionary and one of its latents, `(sae, 12)`. Coordinates are
            components along unit vectors, from 0, not from the mean.
        n_components: how many axes, 2 to 10. More if there are more directions.
        site: where activations are read.
        layers: of that site; all by default.
        positions: positions of each prompt that become points, negative ones counted from its end; all by default.
        first: whether the first token of each prompt is among all positions. By default it is, unless it is an
            attention sink: in some layer typically 3 times larger than other tokens, so that it alone would make the
            first axis.
        seed: of t-SNE and UMAP.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`; coordinates come back.

    Returns:
        Coordinates of every point in every layer, with the axes and the variance along them. After an interrupt or an
        error, `sys.last_value.partial` is what was placed until then.

    Raises:
        PromptError: an empty prompt, too few points for so many components, not one label for each prompt, or NaN among
            labels.
        SelectionError: a layer or position that does not exist, or directions that cannot be axes.
        FeatureError: a direction of another width, zero, NaN or infinite.
        MissingPackageError: the library for t-SNE or UMAP is not installed.
        SiteError: a site that the architecture does not have.
        NonFiniteError: NaN or infinity, with the place where it appears.
        UnknownNameError: a site or method that does not exist.

    Example:
        >>> from interp_widgets import run_projection, teaching
        >>> pairs = teaching.prompts("refusal", n=8)
        >>> prompts = [*(p.clean for p in pairs), *(p.corrupt for p in pairs)]
        >>> found = run_projection(teaching.load(), prompts, labels=["harmful"] * 8 + ["harmless"] * 8, positions=-1)
        >>> found.axes, found.coordinates(layer=2).shape
        (('PC 1', 'PC 2'), (16, 2))

    References:
        Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", arXiv:2309.17453; Sun et al. 2024,
            "Massive Activations in Large Language Models", arXiv:2402.17762 (first tokens).
        Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem" (`result.turns`).
    """
    return finish(steps)


def _labels(labels: Sequence[object] | None, n_prompts: int) -> tuple[str, ...]:
    if labels is None:
        return ()
    plain = as_plain(labels)
    many = isinstance(plain, Iterable) and not isinstance(plain, (str, bytes))
    listed = [as_plain(label) for label in plain] if many else [plain]
    if len(listed) != n_prompts:
        raise PromptError(
            f"{counted(len(listed), 'label')} for {counted(n_prompts, 'prompt')}. Pass one for each, in the same order."
        )
    for number, label in enumerate(listed):
        if label is None or is_nan(label):
            raise PromptError(
                f"Label {number} is {'None' if label is None else 'NaN'}, which names no class. Name one, such as "
                '"unknown", or leave out prompts that have none.'
            )
    return tuple(map(str, listed))


@dataclass(frozen=True)
class _Asked:
    """Which axes are looked for, and where."""

    access: Access
    cutter: Cutter
    method: Method
    map: Map | None
    """Makes t-SNE or UMAP of leading components."""
    given: Mapping[str, NDArray[np.float64]]
    """Directions, (layer, d)."""
    n_axes: int
    places: tuple[Place, ...]

    @property
    def width(self) -> int:
        return width_of(self.access, self.places[0])

    @property
    def names(self) -> tuple[str, ...]:
        """What axes are called."""
        short = "PC" if self.method == "pca" else NAMES[self.method]
        return (*self.given, *(f"{short} {number + 1}" for number in range(self.n_axes - len(self.given))))


@dataclass(frozen=True)
class _Points:
    """Prompts one after the other, and which of their tokens become points."""

    texts: Sequence[tuple[int, ...]]
    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    taken: NDArray[np.bool_]
    written: str
    """An index that takes them from one prompt, as printed lines have it."""
    outlier: float | None = None

    @property
    def tokens(self) -> NDArray[np.int64]:
        """(point): which token of all it is."""
        tokens: NDArray[np.int64] = np.flatnonzero(self.taken)
        return tokens

    def of(self, batch: Batch) -> tuple[torch.Tensor, NDArray[np.int64]]:
        """Return which positions of a batch are points, (row, position), and which token of all each of those is."""
        begins = torch.tensor([int(self.starts[window.document]) + window.offset for window in batch.windows])
        # Padding may reach beyond the last token of all.
        index = (begins[:, None] + torch.arange(batch.ids.shape[1])).clamp_max(len(self.ids) - 1)
        wanted = batch.taken & torch.from_numpy(self.taken)[index]
        return wanted, index[wanted].numpy()


def _choose(
    asked: _Asked, texts: Sequence[tuple[int, ...]], positions: Sequence[int] | int | None, first: bool | None
) -> _Points:
    """Choose the tokens that become points."""
    lengths = np.array([len(text) for text in texts])
    starts = np.cumsum(lengths) - lengths
    ids = np.concatenate([np.array(text, np.int32) for text in texts])
    if positions is not None:
        if first is not None:
            raise SelectionError("first= is about all positions. Leave out first=, or positions=.")
        at = positions_of_all(positions, int(lengths.min()))
        taken = np.zeros(len(ids), bool)
        for position in at:
            taken[starts + np.where(position < 0, position + lengths, position)] = True
        written = f"[{list(at)}]" if len(at) == 1 else f"[sorted({{p % len(x) for p in {list(at)}}})]"
        return _Points(texts, ids, starts, taken, written)
    outlier = None
    if first is None and lengths.max() > 1:
        ratio = _size_of_first(asked, texts)
        outlier = ratio if ratio > _LARGE else None
    taken = np.ones(len(ids), bool)
    if first is False or outlier is not None:
        taken[starts] = False
    return _Points(texts, ids, starts, taken, "" if taken.all() else "[1:]", outlier)


def _size_of_first(asked: _Asked, texts: Sequence[tuple[int, ...]]) -> float:
    """Return how many times larger first tokens are than others, at the layer where most, by medians over a sample."""
    sample = [text[:_SAMPLE_TOKENS] for text in texts[:_SAMPLE]]
    windows = [Window(number, text, 0, 0, len(text)) for number, text in enumerate(sample)]
    own: list[list[torch.Tensor]] = [[] for _ in asked.places]
    others: list[list[torch.Tensor]] = [[] for _ in asked.places]

    def norms(batch: Batch, _number: int, there: torch.Tensor) -> torch.Tensor:
        size: torch.Tensor = there.norm(dim=-1).cpu()
        return size.masked_fill(~batch.taken, torch.nan)

    with torch.no_grad():
        for found in read_layers(asked.access, asked.places, windows, norms, tokens=_SAMPLE * _SAMPLE_TOKENS):
            for row, there in enumerate(found.made):
                own[row].append(there[:, 0])
                others[row].append(there[:, 1:].flatten())
    return max(
        float(torch.cat(first).nanmedian() / torch.cat(rest).nanmedian().clamp_min(1e-12))
        for first, rest in zip(own, others, strict=True)
    )


class _Projecting:
    """Prompts on their way to coordinates."""

    def __init__(self, asked: _Asked, points: _Points, labels: tuple[str, ...], ledger: Ledger) -> None:
        self._asked, self._points, self._labels, self._ledger = asked, points, labels, ledger
        rows, width, n_axes = len(asked.places), asked.width, asked.n_axes
        self._tokens = points.tokens
        self._number = np.cumsum(points.taken) - 1
        n = len(self._tokens)
        kept = n_axes if asked.map is None else 0
        self._coords = np.full((rows, n, n_axes), np.nan, np.float32)
        self._variance = np.full((rows, n_axes), np.nan)
        self._total = np.full(rows, np.nan)
        self._scree = np.full((rows, min(SCREE, width)), np.nan, np.float32)
        self._basis = np.full((rows, kept, width), np.nan, np.float32)
        self._offsets = np.full((rows, kept), np.nan, np.float32)
        self._portions = _portions(rows, n, width)
        self._done, self._todo = 0, n * (rows + sum(1 if whole else 2 for _, whole in self._portions))
        labeller = asked.access.opened.labels
        self._vocab = {int(token): labeller(int(token)) for token in np.unique(points.ids)}
        self._code = ""
        if asked.map is None and not asked.given:
            self._code = projection_code(asked.access, asked.cutter, points.texts, points.written, n_axes)
        self._reads = reads_of(asked.access, asked.places, width)

    def steps(self) -> Generator[ProjectionResult, None, ProjectionResult]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        for rows, whole in self._portions:
            yield from self._whole(rows) if whole else self._twice(rows)

    def _whole(self, rows: range) -> Generator[None, None, None]:
        """Read activations, and place one layer after the other."""
        shape = (len(self._tokens), self._asked.width)
        store = {row: np.empty(shape, np.float32) for row in rows}
        for numbers, made in self._read(rows, lambda _row, there: there.cpu().numpy()):
            for row, there in zip(rows, made, strict=True):
                store[row][numbers] = there
            yield
        for row in rows:
            parts = [torch.from_numpy(part) for part in np.array_split(store.pop(row), -(-shape[0] // _PART))]
            moments = Moments(shape[1])
            for part in parts:
                moments.add(part)
            axes = self._axes(row, moments)
            self._place(row, axes, np.concatenate([axes.place(part) for part in parts]))
            yield

    def _twice(self, rows: range) -> Generator[None, None, None]:
        """Read once for the covariances, and once for the coordinates."""
        moments = {row: Moments(self._asked.width) for row in rows}
        for _, made in self._read(rows, lambda _row, there: there.cpu()):
            for row, there in zip(rows, made, strict=True):
                moments[row].add(there)
            yield
        axes = {row: self._axes(row, moments.pop(row)) for row in rows}
        placed = {row: np.empty((len(self._tokens), len(axes[row].basis))) for row in rows}
        for numbers, coords in self._read(rows, lambda row, there: axes[row].place(there)):
            for row, own in zip(rows, coords, strict=True):
                placed[row][numbers] = own
            yield
        for row in rows:
            self._place(row, axes[row], placed.pop(row))
            yield

    def _read(
        self, rows: range, use: Callable[[int, torch.Tensor], T]
    ) -> Generator[tuple[NDArray[np.int64], list[T]], None, None]:
        """Run all prompts, and yield the numbers of points with what `use` makes of them in each of the rows."""
        access, cutter, points = self._asked.access, self._asked.cutter, self._points
        windows = (window for number, text in enumerate(points.texts) for window in cutter.windows(text, number))
        tokens = max(_LEAST, batch_tokens(access, self._asked.width) // len(rows))

        def made(batch: Batch, number: int, there: torch.Tensor) -> T:
            return use(rows[number], there[points.of(batch)[0].to(there.device)])

        with torch.no_grad():
            for found in read_layers(access, [self._asked.places[row] for row in rows], windows, made, tokens=tokens):
                _, index = points.of(found.batch)
                self._ledger.passes += found.passes
                self._done += len(index)
                yield self._number[index], found.made

    def _axes(self, row: int, moments: Moments) -> Axes:
        width = self._asked.width
        given = np.array([vectors[row] for vectors in self._asked.given.values()]).reshape(-1, width)
        few = min(WIDTH, width, len(self._tokens) - 1)
        return moments.axes(self._asked.n_axes if self._asked.map is None else few, given)

    def _place(self, row: int, axes: Axes, coords: NDArray[np.float64]) -> None:
        self._total[row], self._scree[row] = axes.total, axes.scree
        if self._asked.map is None:
            self._coords[row], self._variance[row] = coords, axes.variance
            self._basis[row], self._offsets[row] = axes.basis, axes.offsets
        else:
            self._coords[row] = self._asked.map(coords)
        self._done += len(self._tokens)

    def _result(self) -> ProjectionResult:
        site = self._asked.places[0].site
        assert site != "mlp_in"
        return ProjectionResult(
            method=self._asked.method,
            site=site,
            layers=tuple(place.layer for place in self._asked.places),
            axes=self._asked.names,
            n_given=len(self._asked.given),
            ids=self._points.ids,
            starts=self._points.starts,
            vocab=self._vocab,
            labels=self._labels,
            points=self._tokens,
            coords=frozen(self._coords),
            variance=frozen(self._variance),
            total=frozen(self._total),
            scree=frozen(self._scree),
            basis=frozen(self._basis),
            offsets=frozen(self._offsets),
            outlier=self._points.outlier,
            done=self._done,
            todo=self._todo,
            provenance=self._ledger.provenance(),
            code=self._code,
            reads=self._reads,
        )


def _portions(rows: int, n_points: int, width: int) -> list[tuple[range, bool]]:
    """Say which layers are read at a time, and whether their activations are kept until they are placed."""
    activations, covariance = n_points * width * 4, width**2 * 8
    whole = activations * rows <= BUDGET or activations <= covariance
    step = max(1, BUDGET // (activations if whole else covariance))
    return [(range(at, min(at + step, rows)), whole) for at in range(0, rows, step)]
