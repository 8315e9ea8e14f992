"""Activation patching: copy one activation from one run into another and see how far the answer moves."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import torch

from interp_widgets.experiments.baselines import check_gap, choose_answers
from interp_widgets.experiments.code import cell_code
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.grid import Cell, Grid, Scores, predictions, score
from interp_widgets.experiments.known import known_cells
from interp_widgets.experiments.metrics import Metric, MetricContext
from interp_widgets.experiments.request import Request, parse_request
from interp_widgets.experiments.sweep import Done, Edit, Hosts, Row, sweep
from interp_widgets.models.access import Runs
from interp_widgets.models.answers import Answers
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.finite import check_finite
from interp_widgets.models.labels import Labels
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.errors import NonFiniteError
from interp_widgets.results.patching import Pair, PatchingResult, Status
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.terms import Direction, Site
from interp_widgets.results.tokens import shared_prefix

_CACHE_BYTES = 2**30
"""Activations of both runs that are kept at a time; pairs beyond that wait for their turn."""


def run_patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    *,
    answer: Answers = None,
    wrong_answer: Answers = None,
    sites: Site | Sequence[Site] = ("resid_pre",),
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
) -> PatchingResult:
    """Copy activations from one run into another, one cell at a time, and measure how far the answer moves.

    Denoising runs the corrupt prompt and copies in one activation of the clean run: an effect of 1 says that this
    activation alone brings the whole answer back, 0 that it does nothing. Noising runs the clean prompt and copies in
    the corrupt activation: 1 says that this activation alone breaks the answer (what is necessary, rather than what is
    enough). `PatchingResult.effect` defines the share, which is not clipped.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        clean: a prompt, or a list of prompts: text, or token ids. Text is tokenised as the tokenizer does by default,
            so with a beginning-of-text token where that is its habit.
        corrupt: as many prompts, each with as many tokens as its clean one. All pairs have the same length.
        answer: the token that the clean prompt calls for, as text or id; one for all pairs, or one for each. The
            model's own top prediction where not given.
        wrong_answer: the same for the corrupt prompt.
        sites: where to patch, one or more of resid_pre, resid_mid, resid_post, attn_out and mlp_out. `attn_out` and
            `mlp_out` are what is added to the stream, after any norm or multiplier on the way.
        direction: "denoising" copies clean into corrupt, "noising" corrupt into clean.
        metric: the number in front: "logit_diff", "prob", "logprob", "kl", "rank" or "loss" (all six are kept), or a
            function from logits (row, d_vocab) at the last position to (row,), with a `MetricContext` as its second
            argument if it takes two.
        layers: layers to patch, one or more, negative ones counted from the end; all by default.
        positions: positions to patch, one or more; all by default. Cells of other positions have the status `LEFT_OUT`.
        top_k: how many of the likeliest next tokens to keep for each cell.
        max_rows: most patches that run in one batch; chosen to suit the device by default, and halved when memory
            runs out.
        tokenizer: of a model that comes without one. It is needed for text only.

    Returns:
        The complete grid, with the axes (prompt, site, layer, pos). After an interrupt or an error,
        `sys.last_value.partial` is what was computed until then.

    Raises:
        PromptError: prompts that cannot be compared: empty, identical, too long, or of unequal token counts.
        AnswerError: an answer that is not one token.
        NoGapError: both runs score the same, so that there is no gap to take a share of.
        NonFiniteError: NaN or infinity, with the layer where it appears.
        MetricError: a metric of your own that failed or returned something other than one number a row.
        ModelError: a model that cannot be patched.
        SiteError: a site that its architecture does not have.
        SelectionError: a layer or position out of range.
        UnknownNameError: a site, direction or metric that does not exist.

    Example:
        >>> from interp_widgets import run_patching, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> names = {"answer": pair.answer, "wrong_answer": pair.wrong_answer}
        >>> result = run_patching(teaching.load(), pair.clean, pair.corrupt, **names)
        >>> float(result.effect()[0, 0, 0, pair.roles["S2"][0]])  # the only token that differs, in the first layer
        1.0

    References:
        Meng et al. 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262 (causal tracing).
        Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593 (logit difference, indirect objects).
        Zhang and Nanda 2023, "Towards Best Practices of Activation Patching", arXiv:2309.16042 (which metric).
        Heimersheim and Nanda 2024, "How to Use and Interpret Activation Patching", arXiv:2404.15255 (both directions).
    """
    steps = patching(
        model,
        clean,
        corrupt,
        answer=answer,
        wrong_answer=wrong_answer,
        sites=sites,
        direction=direction,
        metric=metric,
        layers=layers,
        positions=positions,
        top_k=top_k,
        max_rows=max_rows,
        tokenizer=tokenizer,
    )
    return finish(steps)


def patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    *,
    answer: Answers = None,
    wrong_answer: Answers = None,
    sites: Site | Sequence[Site] = ("resid_pre",),
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
) -> Generator[PatchingResult, None, PatchingResult]:
    """Check the arguments at once, and return a generator that computes the grid chunk by chunk.

    Arguments and errors are those of `run_patching`. The first partial result has the baselines, what the model says to
    both prompts, and every cell that is certain without a run. Each later one adds a batch, the deepest layers first.
    All are frozen, and the last is returned. Closing the generator, or raising where it waits, leaves the model as it
    was. How far it is can be read from `status`.

    Yields:
        The result so far.
    """
    request = parse_request(
        model,
        clean,
        corrupt,
        answer=answer,
        wrong_answer=wrong_answer,
        sites=sites,
        direction=direction,
        metric=metric,
        layers=layers,
        positions=positions,
        top_k=top_k,
        max_rows=max_rows,
        tokenizer=tokenizer,
    )
    return _Run(request).steps()


class _Run:
    """One grid on its way: what was read of the model, and the clock."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.labels = Labels(request.access.opened.tokenizer)
        self.passes = 0.0
        self.seconds = 0.0

    def steps(self) -> Generator[PatchingResult, None, PatchingResult]:
        """Yield the result so far after every chunk, and return the complete one."""
        work = self._work()
        while True:
            started = time.perf_counter()
            try:
                grid = next(work)
            except StopIteration as stop:
                self.seconds += time.perf_counter() - started
                complete: Grid = stop.value
                return complete.result(self._provenance())
            self.seconds += time.perf_counter() - started
            yield grid.result(self._provenance())

    def _work(self) -> Generator[Grid, None, Grid]:
        request = self.request
        self._fingerprint = fingerprint(request.access.opened.module)
        blocks = list(_blocks(request))
        known, logits, runs = [], [], None
        for block in blocks:
            runs = self._read(block)
            logits.append(runs.logits)
            known += [self._known(runs, number, pair) for number, pair in enumerate(block)]
        grid, contexts = self._grid(torch.cat(logits))
        for prompt, cells in enumerate(known):
            grid.fill_known(prompt, cells)
        yield grid
        for block in blocks:
            if runs is None or len(blocks) > 1:
                runs = None  # before the next block is read, so that only one is ever kept
                runs = self._read(block)
            rows, cells_of = self._rows(grid, runs, block)
            hosts = Hosts(self._ids(block), runs.stream, runs.past)
            for done in sweep(request.access, hosts, rows, max_rows=request.max_rows):
                self._record(grid, contexts, done, [cells_of[row] for row in done.rows])
                yield grid
        return grid

    def _ids(self, block: Sequence[int]) -> torch.Tensor:
        ids = [
            side.ids for pair in block for side in (self.request.pairs[pair].clean, self.request.pairs[pair].corrupt)
        ]
        return torch.tensor(ids, device=self.request.access.opened.device)

    def _read(self, block: Sequence[int]) -> Runs:
        """Run both prompts of some pairs; rows alternate between clean and corrupt."""
        access = self.request.access
        runs = access.read(self._ids(block), parts=not {"resid_pre", "resid_post"}.issuperset(self.request.sites))
        self.passes += 2 * len(block)
        check_finite(runs.stream, runs.logits, access.opened.name, access.opened.dtype)
        return runs

    def _known(self, runs: Runs, number: int, pair: int) -> Any:
        request = self.request
        prompts = request.pairs[pair]
        return known_cells(
            runs,
            2 * number,
            2 * number + 1,
            shared_prefix(prompts.clean.ids, prompts.corrupt.ids),
            request.sites,
            request.layers,
            causal=not request.access.edited,
        )

    def _grid(self, logits: torch.Tensor) -> tuple[Grid, list[MetricContext]]:
        """Measure the baselines. `logits` alternate between the clean and the corrupt run of each pair."""
        request = self.request
        pairs: list[Pair] = []
        contexts: list[MetricContext] = []
        baselines: list[Scores] = []
        for number, prompts in enumerate(request.pairs):
            both = logits[2 * number : 2 * number + 2]
            answers = choose_answers(request, number, both, self.labels)
            context = MetricContext(number, *answers, clean_logits=both[0], corrupt_logits=both[1])
            scores = score(both, request.metrics, context, request.top_k)
            check_gap(request, number, scores.values[request.metrics.front], both, self.labels, context)
            given = request.answers[number] is not None and request.wrong_answers[number] is not None
            pairs.append(
                Pair(
                    clean=prompts.clean,
                    corrupt=prompts.corrupt,
                    answer=self.labels.token(context.answer),
                    wrong_answer=self.labels.token(context.wrong_answer),
                    answer_source="given" if given else "model",
                    clean_top=predictions(scores, 0, self.labels),
                    corrupt_top=predictions(scores, 1, self.labels),
                )
            )
            contexts.append(context)
            baselines.append(scores)
        grid = Grid(
            pairs=tuple(pairs),
            baselines=baselines,
            sites=request.sites,
            layers=request.layers,
            positions=request.positions,
            direction=request.direction,
            metrics=request.metrics,
            labels=self.labels,
            code=cell_code(request.access, request.sites, request.direction, request.metrics),
        )
        return grid, contexts

    def _rows(self, grid: Grid, runs: Runs, block: Sequence[int]) -> tuple[list[Row], list[list[Cell]]]:
        """Write the rows of some pairs, each with the cells that it fills."""
        request = self.request
        host = 1 if request.direction == "denoising" else 0
        last = request.access.n_layers - 1
        cells_of: dict[tuple[int, Site, int, int], list[Cell]] = defaultdict(list)
        for cell in grid.pending():
            pair, site, layer, pos = cell[0], request.sites[cell[1]], request.layers[cell[2]], cell[3]
            if pair not in block:
                continue
            if site == "resid_post" and layer < last:  # the same place, one layer cheaper
                site, layer = "resid_pre", layer + 1
            cells_of[pair, site, layer, pos].append(cell)
        rows = []
        for pair, site, layer, pos in cells_of:
            at = 2 * block.index(pair)
            value = runs.site(site, layer)[at + 1 - host, pos]
            rows.append(Row(at + host, (Edit(site, layer, pos, value),)))
        return rows, list(cells_of.values())

    def _record(self, grid: Grid, contexts: Sequence[MetricContext], done: Done, cells: Sequence[list[Cell]]) -> None:
        request = self.request
        self.passes += done.layer_passes / request.access.n_layers
        finite = torch.isfinite(done.logits).all(-1).tolist()
        if not all(finite):
            _, site, layer, pos = cells[finite.index(False)][0]
            raise NonFiniteError(
                f"Patching {request.sites[site]} at layer {request.layers[layer]}, position {pos} gives NaN or "
                f"infinity, though both runs are finite. Try a wider dtype than {request.access.opened.dtype}."
            )
        by_pair: dict[int, list[int]] = defaultdict(list)
        for number, filled in enumerate(cells):
            by_pair[filled[0][0]].append(number)
        for pair, numbers in by_pair.items():
            scores = score(done.logits[numbers], request.metrics, contexts[pair], request.top_k)
            for row, number in enumerate(numbers):
                for cell in cells[number]:
                    grid.put(cell, scores, row, Status.COMPUTED)

    def _provenance(self) -> Provenance:
        opened = self.request.access.opened
        return Provenance(
            model=opened.name,
            fingerprint=self._fingerprint,
            dtype=opened.dtype,
            versions=_versions(),
            forward_passes=self.passes,
            seconds=self.seconds,
        )


@cache
def _versions() -> dict[str, str]:
    # Read where it is loaded already: importing the root from here would turn the direction of imports around.
    own = str(sys.modules[__name__.partition(".")[0]].__version__)
    return {"interp_widgets": own} | {name: version(name) for name in ("nnsight", "torch", "transformers")}


def _blocks(request: Request) -> Iterator[range]:
    """Cut the pairs into blocks whose cached activations fit in memory."""
    access = request.access
    length = len(request.pairs[0].clean)
    kept = 1 if {"resid_pre", "resid_post"}.issuperset(request.sites) else 3
    width = access.opened.config.hidden_size * kept + access.cached
    size = max(1, _CACHE_BYTES // (2 * length * access.n_layers * width * access.opened.module.dtype.itemsize))
    for first in range(0, len(request.pairs), size):
        yield range(first, min(first + size, len(request.pairs)))
