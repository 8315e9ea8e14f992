"""Circuit checks: ablate all but some heads and MLPs, and see whether they stand for the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interp_widgets.experiments.ablation import AblationContrast, Drawn, Filling, Means
from interp_widgets.experiments.bench import Bench
from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.grid import frozen
from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.named_cells import CellName, cell_name, parse_cells
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Grouping, Reader, parse_options, parse_seed
from interp_widgets.experiments.trials import Trials
from interp_widgets.models.access import Access
from interp_widgets.models.answers import Answers
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import PromptPair, Prompts
from interp_widgets.results.circuit import CircuitResult, Subset
from interp_widgets.results.errors import NoGapError, PromptError, SelectionError, unknown_name
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.terms import Site, metric_term
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

Component: TypeAlias = Literal["z", "mlp_out"]
Nodes: TypeAlias = "frozenset[Target]"

COMPONENTS: tuple[Component, ...] = ("z", "mlp_out")
_WAYS = ("mean", "resample")


@runs_remotely
def circuit_check(
    model: ModelLike,
    circuit: Iterable[CellName],
    prompts: Prompts,
    reference: Prompts,
    *,
    how: Literal["mean", "resample"] = "mean",
    components: Component | Sequence[Component] = ("z", "mlp_out"),
    answer: Answers = None,
    wrong_answer: Answers = None,
    metric: Metric = "logit_diff",
    subsets: int = 10,
    greedy: int = 3,
    minimality: Literal["greedy"] | Iterable[CellName] = (),
    seed: int = 0,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[CircuitResult, None, CircuitResult]:
    """Check the arguments at once, and return a generator that runs the sets of components batch by batch.

    Arguments and errors are those of `run_circuit_check`. The first partial result has the intact model; each later one
    adds a batch.

    Yields:
        The result so far.
    """
    if how not in _WAYS:
        raise unknown_name("how", how, _WAYS)
    for name, number in (("subsets", subsets), ("greedy", greedy)):
        if not is_whole(number) or number < 0:
            raise ValueError(f"{name}={number!r} must be a whole number from 0 on.")
    seed = parse_seed(seed)
    options = parse_options(metric, 1, max_rows)
    sites = _parse_components(components)
    reader = Reader(model, tokenizer)
    intact, references = reader.prompts(prompts, "intact"), reader.prompts(reference, "reference")
    _check_references(intact, references, how)
    pairs = [PromptPair(tokens, Tokens((), ())) for tokens in intact]
    request = reader.request(pairs, answer, wrong_answer, Grouping(sites), options, host=0)
    whole = _all_components(request.access, sites)
    parts = _parse_parts(circuit, "circuit", request.access, whole)
    without = None
    if minimality != "greedy":
        without = _parse_parts(minimality, "minimality", request.access, parts)
    filling: Filling
    if how == "mean":
        filling = Means(request.access, intact, references, sites)
    else:
        filling = Drawn(request.access, intact, references, range(len(intact)), seed)
    bench = Bench(request, AblationContrast(request.access, intact, how, filling), sites)
    plan = _Plan(how, whole, parts, subsets, greedy, without, seed)
    return bench.steps(_work(bench, plan), _Check.result)


@over(circuit_check)
def run_circuit_check(steps: Generator[CircuitResult, None, CircuitResult]) -> CircuitResult:
    """Ablate every head and MLP outside a circuit, and measure how faithful, complete and minimal the circuit is.

    F(X) is the metric when all components outside X are ablated at all positions, M the whole model, and C the circuit.
    C is faithful if F(C) is F(M), as a difference or as a share of F(M) - F(nothing). It is complete if it breaks as
    the model does: F(C without K) is F(M without K) for subsets K of C. It is minimal if every component v is needed:
    F(C without K and v) is not F(C without K), for a K that makes up for other components doing the same.

    Args:
        model: as for `run_patching`.
        circuit: heads {"site": "z", "layer": 9, "head": 6} and MLPs {"site": "mlp_out", "layer": 10}; z without a head
            stands for all heads of its layer.
        prompts: one or more prompts whose answer the circuit is to give.
        reference: prompts that ablated activations are taken from: for "mean" at least two, of the kind whose mean
            leaves out what matters, averaged position by position where all have the length of `prompts`; for
            "resample" one for each of `prompts`, with as many tokens.
        how: "mean" or "resample".
        components: what can be ablated, heads ("z"), MLPs ("mlp_out") or both. With one kind, the other is part of
            every circuit: Wang et al. ablate heads alone.
        answer: the token that the prompt calls for, as text or id; one for all prompts, or one for each. The model's
            own top predictions stand in for what is not given.
        wrong_answer: the token that it is told apart from.
        metric: as for `run_patching`.
        subsets: how many subsets K to try for completeness: all where there are no more, else drawn with `seed`, each
            component with a chance of one half.
        greedy: most components in a K that is searched for, one by one, for the largest difference; 0 for no search.
        minimality: "greedy" to search a K for each component that makes it matter most, or the components that are
            left out while the others are judged; none by default.
        seed: of the drawn subsets.
        max_rows: most runs in one batch; chosen from the prompt's length and the device by default.
        tokenizer: for models that come without one.
        remote: where to run, as for `run_patching`.

    Returns:
        The values of every prompt, and what follows from them; `summary()` says it in words. After an interrupt or an
        error, `sys.last_value.partial` is what was computed until then.

    Raises:
        NoGapError: the model with everything ablated scores as it does intact.
        PromptError: reference prompts that are too few, or of other lengths than they need to be.
        SelectionError: a component that does not exist or cannot be ablated.
        UnknownNameError: a `how`, component or metric that does not exist.
        ValueError: `subsets`, `greedy` or `seed` that is no whole number from 0 on.
        InterpWidgetsError: other arguments, as for `run_patching`.

    Example:
        >>> from interp_widgets import run_circuit_check, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> names = {"answer": pair.answer, "wrong_answer": pair.wrong_answer, "how": "resample"}
        >>> model = teaching.load()
        >>> heads = [{"site": "z", "layer": layer} for layer in range(4)]
        >>> result = run_circuit_check(
        ...     model, heads, pair.clean, pair.corrupt, components="z", subsets=0, greedy=0, **names
        ... )
        >>> result.faithfulness()  # the whole model as a circuit
        array([1.])

    References:
        Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593 (the three criteria, mean ablation).
        Marks et al. 2024, "Sparse Feature Circuits", arXiv:2403.19647 (faithfulness as a share).
        Conmy et al. 2023, "Towards Automated Circuit Discovery", arXiv:2304.14997 (resample ablation of circuits).
    """
    return finish(steps)


@dataclass(frozen=True)
class _Plan:
    """What a circuit is checked for."""

    how: Literal["mean", "resample"]
    whole: tuple[Target, ...]
    """The components of the model."""
    parts: tuple[Target, ...]
    """The circuit."""
    subsets: int
    greedy: int
    without: tuple[Target, ...] | None
    """What is left out while components are judged; None to search for it."""
    seed: int


def _work(bench: Bench, plan: _Plan) -> Generator[_Check, None, _Check]:
    check = _Check(Trials(bench), plan, bench.request.options.metrics.front)
    for _ in check.run():
        yield check
    check.complete = True
    return check


class _Check:
    """A check on its way: the sets of components that were ablated together by now, and what came of it.

    What runs the model yields wherever it can be left.
    """

    def __init__(self, trials: Trials, plan: _Plan, metric: str) -> None:
        self.complete = False
        self._trials = trials
        self._plan = plan
        self._metric = metric
        self._seen: dict[Nodes, Mapping[str, NDArray[np.float32]]] = {}
        """For each ablated set, the values of every metric, (prompt,); none is run twice."""
        self._subsets: list[Subset] = []
        self._knockouts: list[tuple[int, ...]] = [()] * len(plan.parts)

    def run(self) -> Iterator[None]:
        """Do all that is planned.

        Raises:
            NoGapError: nothing scores as the model does.
        """
        yield from self._ablate(self._ends())
        self._check_gap()
        yield from self._choose_subsets()
        yield from self._choose_knockouts()
        yield from self._ablate(chain(self._completeness(), self._minimality()))

    def result(self, provenance: Provenance) -> CircuitResult:
        """Freeze what there is by now."""
        put_in = provenance.settings["put in"]
        return CircuitResult(
            circuit=tuple(map(cell_name, self._plan.parts)),
            n_components=len(self._plan.whole),
            how=self._plan.how,
            pairs=self._trials.sides.pairs,
            metric=self._metric,
            ends=self._table(self._ends()),
            subsets=tuple(self._subsets),
            completeness=self._table(self._completeness(), 2),
            knockouts=tuple(self._knockouts),
            minimality=self._table(self._minimality(), 2),
            provenance=replace(provenance, settings={"put in": put_in, "seed of subsets": str(self._plan.seed)}),
            complete=self.complete,
        )

    def _ends(self) -> list[Nodes]:
        """What is ablated for the whole model, the circuit, and nothing."""
        return [frozenset(), self._circuit_without(()), frozenset(self._plan.whole)]

    def _completeness(self) -> Iterator[Nodes]:
        return chain.from_iterable(self._incompleteness(subset.removed) for subset in self._subsets)

    def _minimality(self) -> Iterator[Nodes]:
        return chain.from_iterable(self._contribution(at, out) for at, out in enumerate(self._knockouts))

    def _circuit_without(self, removed: Iterable[int]) -> Nodes:
        """What is ablated where the circuit without some components is left."""
        return frozenset(self._plan.whole).difference(self._plan.parts) | self._model_without(removed)

    def _model_without(self, removed: Iterable[int]) -> Nodes:
        """What is ablated where the model without some components of the circuit is left."""
        return frozenset(self._plan.parts[number] for number in removed)

    def _incompleteness(self, out: tuple[int, ...]) -> tuple[Nodes, Nodes]:
        return self._model_without(out), self._circuit_without(out)

    def _contribution(self, at: int, out: tuple[int, ...]) -> tuple[Nodes, Nodes]:
        return self._circuit_without(out), self._circuit_without((*out, at))

    def _ablate(self, sets: Iterable[Nodes]) -> Iterator[None]:
        """Run what was not run yet."""
        new = [nodes for nodes in dict.fromkeys(sets) if nodes not in self._seen]
        if not new:
            return
        order = {target: number for number, target in enumerate(self._plan.whole)}
        for values in self._trials.run([sorted(nodes, key=order.__getitem__) for nodes in new]):
            for number, nodes in enumerate(new):
                self._seen[nodes] = {metric: array[:, number] for metric, array in values.items()}
            yield

    def _table(self, sets: Iterable[Nodes], width: int = 0) -> dict[str, NDArray[np.float32]]:
        """Return the values for some sets, (prompt, set), cut into rows of `width` where one is given."""
        whole = self._seen[frozenset()]
        tables: dict[str, NDArray[np.float32]] = {}
        listed = list(sets)
        for metric, intact in whole.items():
            pending = np.full_like(intact, np.nan)
            columns = [self._seen[nodes][metric] if nodes in self._seen else pending for nodes in listed]
            table = np.stack(columns, axis=1) if columns else np.empty((len(intact), 0), dtype=np.float32)
            tables[metric] = frozen(table.reshape(len(intact), -1, width) if width else table)
        return tables

    def _check_gap(self) -> None:
        full, _, empty = (float(self._seen[nodes][self._metric].mean()) for nodes in self._ends())
        if math.isclose(full, empty, rel_tol=1e-5):  # equal but for rounding
            unit = metric_term(self._metric).unit
            raise NoGapError(
                f"The model scores the same {self._metric}, {full:.4g} {unit}".rstrip()
                + ", with every component ablated, so no circuit can keep a share of it. Choose reference prompts that "
                "call for something else, or another metric."
            )

    def _choose_subsets(self) -> Iterator[None]:
        """Choose the subsets of the circuit to try completeness on."""
        size, count = len(self._plan.parts), self._plan.subsets
        if not size:
            return
        if 2**size - 1 <= count:
            every = chain.from_iterable(combinations(range(size), taken) for taken in range(1, size + 1))
            self._subsets = [Subset(removed, "every") for removed in every]
            return
        random, drawn = np.random.default_rng(self._plan.seed), dict[tuple[int, ...], None]()
        while len(drawn) < count:
            removed = tuple(np.flatnonzero(random.random(size) < 0.5).tolist())
            if removed:
                drawn[removed] = None
        self._subsets = [Subset(removed, "random") for removed in drawn]
        found = yield from self._search(range(size), self._incompleteness)
        if found and found not in drawn:
            self._subsets.append(Subset(found, "greedy"))

    def _choose_knockouts(self) -> Iterator[None]:
        """Choose for each component what else is out while it is judged, by a search where it is not given."""
        numbers = range(len(self._plan.parts))
        if self._plan.without is not None:
            out = [self._plan.parts.index(target) for target in self._plan.without]
            self._knockouts = [tuple(sorted(number for number in out if number != at)) for at in numbers]
            return
        for at in numbers:
            others = [number for number in numbers if number != at]
            self._knockouts[at] = yield from self._search(others, partial(self._contribution, at))

    def _search(
        self, numbers: Iterable[int], pair: Callable[[tuple[int, ...]], tuple[Nodes, Nodes]]
    ) -> Generator[None, None, tuple[int, ...]]:
        """Add components one by one so that two sets differ most, and return the best set on the way."""
        left, out = list(numbers), tuple[int, ...]()
        yield from self._ablate(pair(out))
        best, best_size = out, self._apart(*pair(out))
        for _ in range(min(self._plan.greedy, len(left))):
            tried = {at: pair((*out, at)) for at in left}
            yield from self._ablate(chain.from_iterable(tried.values()))
            at = max(tried, key=lambda number: self._apart(*tried[number]))
            out = (*out, at)
            left.remove(at)
            if self._apart(*tried[at]) > best_size:
                best, best_size = out, self._apart(*tried[at])
        return tuple(sorted(best))

    def _apart(self, one: Nodes, other: Nodes) -> float:
        """By how much the mean over prompts differs between two sets."""
        difference = self._seen[one][self._metric] - self._seen[other][self._metric]
        return abs(float(difference.mean(dtype=np.float64)))


def _parse_components(components: Component | Iterable[Component]) -> tuple[Site, ...]:
    listed = (components,) if isinstance(components, str) else tuple(components)
    if not listed:
        raise SelectionError("components is empty. Name what can be ablated: ('z', 'mlp_out'), or one of them.")
    for name in listed:
        if name not in COMPONENTS:
            raise unknown_name("component", name, COMPONENTS)
    return tuple(site for site in COMPONENTS if site in listed)


def _all_components(access: Access, sites: Sequence[Site]) -> tuple[Target, ...]:
    """List the components of a model, layer by layer in the order in which they add to the stream."""
    heads = range(access.head_count("z")) if "z" in sites else ()
    return tuple(
        Target(site, (layer,), None, None, unit)
        for layer in range(access.n_layers)
        for site in sites
        for unit in (heads if site == "z" else (None,))
    )


def _parse_parts(cells: Iterable[CellName], what: str, access: Access, among: Sequence[Target]) -> tuple[Target, ...]:
    """Return components by their names, in the order of those among which they are."""
    parts: set[Target] = set()
    for target in parse_cells(cells, what, access, None):
        alike = {one for one in among if (one.site, one.layers) == (target.site, target.layers)}
        found = alike if target.unit is None else {target} & alike
        if not found:
            of = "that can be ablated" if what == "circuit" else "of the circuit"
            raise SelectionError(
                f"{what} holds {cell_name(target)!r}, which is no component {of}. Name heads, "
                "{'site': 'z', 'layer': 9, 'head': 6}, and MLPs, {'site': 'mlp_out', 'layer': 10}, as far as "
                "`components` has them."
            )
        parts |= found
    return tuple(target for target in among if target in parts)


def _check_references(intact: Sequence[Tokens], references: Sequence[Tokens], how: str) -> None:
    if how == "mean" and len(references) < 2:
        raise PromptError(
            "how='mean' needs at least two reference prompts to take a mean of, but there is 1. Pass more, or ablate "
            "by 'resample'."
        )
    if how == "resample":
        if len(intact) != len(references):
            raise PromptError(
                f"{len(intact)} prompts but {len(references)} reference prompts. For how='resample' pass one for each."
            )
        for number, (tokens, other) in enumerate(zip(intact, references, strict=True)):
            if len(tokens) != len(other):
                raise PromptError(
                    f"Prompt {number} has {len(tokens)} tokens, but its reference prompt has {len(other)}, so their "
                    "positions cannot be matched. Write prompts of equal length."
                )
            if tokens.ids == other.ids:
                raise PromptError(
                    f"Prompt {number} and its reference prompt are the same, so that ablation would change nothing. "
                    "Change what the circuit is about in one of them."
                )
