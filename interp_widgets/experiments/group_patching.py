"""Group patching: copy several activations together, and see how far the answer moves."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from interp_widgets.experiments.bench import Bench, Sides
from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.contrast import PromptContrast
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.grid import frozen
from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.named_cells import CellName, cell_name, parse_cells
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import Grouping, Reader, parse_options
from interp_widgets.experiments.trials import Trials, Values
from interp_widgets.models.answers import Answers
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.errors import SelectionError
from interp_widgets.results.groups import GroupResult
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.story import patching_story
from interp_widgets.results.terms import Direction, parse_direction

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_Measured: TypeAlias = "tuple[Sides, Values]"
"""Both sides of the pairs, and what the groups do to them as far as they are run."""


@runs_remotely
def group_patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    groups: Mapping[str, Iterable[CellName]],
    *,
    answer: Answers = None,
    wrong_answer: Answers = None,
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    max_rows: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[GroupResult, None, GroupResult]:
    """Check the arguments at once, and return a generator that runs the groups batch by batch.

    Arguments and errors are those of `run_group_patching`. The first partial result has the baselines and the groups
    without cells, which change nothing; each later one adds a batch.

    Yields:
        The result so far.
    """
    direction = parse_direction(direction)
    options = parse_options(metric, 1, max_rows)
    if not isinstance(groups, Mapping) or not groups:
        raise SelectionError(
            f"groups is {'empty' if groups == {} else kind_of(groups)}. Map names to lists of cells, such as "
            "{'name movers': [{'site': 'z', 'layer': 9, 'head': 6}]}."
        )
    reader = Reader(model, tokenizer)
    pairs = reader.pairs(clean, corrupt, aligned=True)
    request = reader.request(pairs, answer, wrong_answer, Grouping(), options, host=patching_story(direction).host)
    sets = {
        str(name): parse_cells(cells, f"group {name!r}", request.access, len(pairs[0].clean))
        for name, cells in groups.items()
    }
    sites = dict.fromkeys(target.site for targets in sets.values() for target in targets)
    bench = Bench(request, PromptContrast(request.access, pairs, direction), list(sites))
    return _GroupRun(bench, sets).steps()


@over(group_patching)
def run_group_patching(steps: Generator[GroupResult, None, GroupResult]) -> GroupResult:
    """Copy each group's activations from one run into another in one go, and measure how far the answer moves.

    Args:
        model: as for `run_patching`.
        clean: a prompt, or a list of prompts: text, or token ids.
        corrupt: as many prompts, each with as many tokens as its clean one. All pairs have the same length.
        groups: for each name the cells that are patched together, as `view.selected` names them: a site and a layer,
            where the site has them a head or neuron (all of them when not said), and `pos` if not all positions are
            meant. {"name movers": [{"site": "z", "layer": 9, "head": 9}, {"site": "z", "layer": 9, "head": 6}]}.
        answer: the token that the clean prompt calls for, as text or id; one for all pairs, or one for each. The
            model's own top prediction where not given.
        wrong_answer: the same for the corrupt prompt.
        direction: "denoising" copies clean into corrupt, "noising" corrupt into clean.
        metric: as for `run_patching`.
        max_rows: most runs in one batch; chosen from the prompt's length and the device by default.
        tokenizer: for models that come without one.
        remote: where to run, as for `run_patching`.

    Returns:
        One effect for each group and pair: 0 is the host run unchanged, 1 the other run in full, not clipped. After an
        interrupt or an error, `sys.last_value.partial` is what was computed until then.

    Raises:
        NoGapError: both prompts score the same.
        SelectionError: no groups, or a cell that does not exist.
        SiteError: a site that the architecture does not have.
        InterpWidgetsError: other arguments, as for `run_patching`.

    Example:
        >>> from interp_widgets import run_group_patching, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> names = {"answer": pair.answer, "wrong_answer": pair.wrong_answer}
        >>> groups = {"all of the first stream": [{"site": "resid_pre", "layer": 0}]}
        >>> result = run_group_patching(teaching.load(), pair.clean, pair.corrupt, groups, **names)
        >>> round(float(result.effect()[0, 0]), 3)
        1.0
    """
    return finish(steps)


@dataclass(frozen=True)
class _GroupRun:
    """Groups on their way through the pairs."""

    bench: Bench
    groups: Mapping[str, Sequence[Target]]

    def steps(self) -> Generator[GroupResult, None, GroupResult]:
        """Yield the result so far after every batch, and return the complete one."""
        return self.bench.steps(self._work(), self._result)

    def _work(self) -> Generator[_Measured, None, _Measured]:
        trials = Trials(self.bench)
        self.bench.check_gaps(trials.sides)
        values: Values = {}
        for values in trials.run(list(self.groups.values())):
            yield trials.sides, values
        return trials.sides, values

    def _result(self, measured: _Measured, provenance: Provenance) -> GroupResult:
        sides, values = measured
        baselines = {name: [scores.values[name] for scores in sides.baselines] for name in values}
        return GroupResult(
            groups={name: tuple(map(cell_name, targets)) for name, targets in self.groups.items()},
            pairs=sides.pairs,
            story=self.bench.contrast.story,
            metric=self.bench.request.options.metrics.front,
            values={name: frozen(array) for name, array in values.items()},
            baselines={name: frozen(np.array(ends, dtype=np.float64)) for name, ends in baselines.items()},
            provenance=provenance,
        )
