"""Patching by latent: carry single latents of a dictionary from one run into another."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from interp_widgets.experiments.bench import Bench
from interp_widgets.experiments.concepts_of import concepts_of
from interp_widgets.experiments.contrast import PromptContrast, Scene
from interp_widgets.experiments.estimate import PASSES, check_derivative
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.gridrun import GridRun
from interp_widgets.experiments.latent_contrast import LatentContrast
from interp_widgets.experiments.metrics import Metric, MetricContext
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import Steps, runs_remotely
from interp_widgets.experiments.request import Grouping, Reader, Request, chosen_numbers, parse_options
from interp_widgets.models.access import resolve
from interp_widgets.models.answers import Answers
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.gradients import gradients
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.errors import SelectionError, unknown_name
from interp_widgets.results.panel import Latent, Line, Panel
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.story import patching_story
from interp_widgets.results.terms import Direction, Site, parse_direction

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


@runs_remotely
def feature_patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    features: Features,
    *,
    answer: Answers = None,
    wrong_answer: Answers = None,
    latents: Sequence[int] | int | None = None,
    n_latents: int = 32,
    site: str | None = None,
    layer: int | None = None,
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    positions: Sequence[int] | int | None = None,
    by: Literal["pos"] | None = "pos",
    top_k: int = 5,
    max_rows: int | None = None,
    preview: bool | None = None,
    names: Mapping[int, str] | Concepts | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[PatchingResult, None, PatchingResult]:
    """Check the arguments at once, and return a generator that computes the cells chunk by chunk.

    Arguments and errors are those of `run_feature_patching`; partial results come as from `patching`.

    Yields:
        The result so far.
    """
    direction = parse_direction(direction)
    options = parse_options(metric, top_k, max_rows, preview)
    if by not in (None, "pos"):
        raise unknown_name("by", by, ("pos",))
    if not (is_whole(n_latents) and n_latents >= 1):
        raise ValueError(f"n_latents={n_latents!r} must be a whole number from 1 on.")
    reader = Reader(model, tokenizer)
    pairs = reader.pairs(clean, corrupt, aligned=True)
    dictionary = open_dictionary(features, resolve(reader.opened), site=site, layer=layer)
    _ = dictionary.decoder  # which is refused here where latents cannot be acted on
    host = patching_story(direction).host
    named = None if latents is None else chosen_numbers(latents, "latents", dictionary.info.n_latents)
    if named is None:
        check_derivative(options.metrics, host)
    called = concepts_of(dictionary, names).names
    writes = dictionary.info.writes
    grouping = Grouping((_site(writes.site),), layers=writes.layer, positions=positions, by="layer")
    request = reader.request(pairs, answer, wrong_answer, grouping, options, host=host)
    contrast = LatentContrast(PromptContrast(request.access, pairs, direction), dictionary)
    if named is not None:
        return GridRun(_rows(request, named, by, called), contrast).steps()
    return _strongest_first(_rows(request, (), by, called), contrast, int(n_latents), by, called)


@over(feature_patching)
def run_feature_patching(steps: Steps) -> PatchingResult:
    """Carry single latents of a dictionary from one run into another, and measure how far the answer moves.

    A cell runs the host prompt (corrupt in denoising, clean in noising) with one latent, at one position, as active as
    in the other run: what is at the place that the dictionary writes changes by the latent's decoder row times the
    difference of its activations. All other latents stay, and so does the error, which is whatever the dictionary does
    not account for. Two rows beside those of latents tell how far the dictionary is to be trusted: "all" carries all
    latents together, and "error" carries everything that "all" leaves behind. Both together would be a patch of the
    site itself. Where a dictionary normalises activations, each latent is set in the host's own scale, so that the
    difference of scales is part of the error.

    Args:
        model: as for `run_patching`.
        clean: a prompt, or a list of prompts: text, or token ids.
        corrupt: as many prompts, each with as many tokens as its clean one. All pairs have the same length.
        features: the latents: a sparse autoencoder or a transcoder, as an object or a folder; any object with `encode`
            and `decode`; a matrix of directions, (direction, width); or "neurons". Transcoders and neurons write at
            mlp_out.
        answer: as for `run_patching`.
        wrong_answer: as for `run_patching`.
        latents: which latents. By default those with the largest estimated effect at any position, in a mean over pairs
            (attribution: the gradient of `metric` along what the latent writes).
        n_latents: how many of those.
        site: where latents are read that do not say so themselves.
        layer: of that site, or of the neurons.
        direction: "denoising" carries from clean into corrupt, "noising" from corrupt into clean.
        metric: as for `run_patching`. Those without a derivative need `latents`.
        positions: positions to patch, one or more; all by default.
        by: "pos" for a column for each position; None for one column, in which all of `positions` are patched together.
        top_k: how many of the likeliest next tokens to keep for each cell.
        max_rows: most patches that run in one batch.
        preview: whether cells are estimated before they are run, as for `run_patching`.
        names: what latents are called, as for `run_features`: rows show it.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`. The latents travel there.

    Returns:
        The grid: rows are latents, the strongest last, before them "error" and after them "all". A cell is named
        {"site": "resid_post", "layer": 1, "latent": 532, "pos": 10}.

    Raises:
        FeatureError: no latents, or latents that do not belong to the model.
        SelectionError: a latent, layer or position that does not exist, or no latent that differs between the runs.
        ResultError: names that are about another dictionary.
        InterpWidgetsError: the other errors of `run_patching`.

    Example:
        >>> from interp_widgets import run_feature_patching, teaching
        >>> clean = "When Mary and John went to the store, John gave a drink to"
        >>> corrupt = "When Mary and John went to the store, Mary gave a drink to"
        >>> result = run_feature_patching(teaching.load(), clean, corrupt, teaching.sae(), n_latents=2, by=None)
        >>> [line.latent for line in result.panels[0].lines]
        ['error', 181, 191, 'all']

    References:
        Marks et al. 2024, "Sparse Feature Circuits: Discovering and Editing Interpretable Causal Graphs in Language
            Models", arXiv:2403.19647 (attribution to latents, and the error kept).
    """
    return finish(steps)


def _site(site: str) -> Site:
    assert site != "mlp_in"  # nothing writes there
    return site  # type: ignore[return-value]


def _rows(request: Request, latents: Sequence[int], by: Literal["pos"] | None, called: Mapping[int, str]) -> Request:
    """Lay out a row for each latent, the first at the top of a grid, which is its last row."""
    (panel,) = request.cells.panels
    (layer,) = panel.layers
    rows: tuple[Latent, ...] = ("error", *reversed(latents), "all")
    lines = tuple(
        Line(layer, latent=latent, name=called.get(latent, "") if isinstance(latent, int) else "") for latent in rows
    )
    by_latent = Panel(panel.site, lines, "pos") if by else replace(panel, lines=lines)
    return replace(request, cells=replace(request.cells, panels=(by_latent,)), exact=(None,))


def _strongest_first(
    request: Request, contrast: LatentContrast, most: int, by: Literal["pos"] | None, called: Mapping[int, str]
) -> Steps:
    started = time.perf_counter()
    search = _Search(request, contrast)
    latents = search.strongest(most, at_once=by is None)
    run = GridRun(_rows(request, latents, by, called), contrast)
    run.bench.passes += search.bench.passes
    run.bench.seconds += time.perf_counter() - started
    return (yield from run.steps())


@dataclass
class _Search:
    """Finds the latents that matter most for an answer, from one run forth and back of each pair."""

    request: Request
    contrast: LatentContrast

    def __post_init__(self) -> None:
        self.bench = Bench(self.request, self.contrast, [self._place[0]])

    @property
    def _place(self) -> tuple[Site, int]:
        writes = self.contrast.dictionary.info.writes
        return _site(writes.site), writes.layer

    def strongest(self, most: int, *, at_once: bool) -> tuple[int, ...]:
        """Return the latents with the largest estimated effect, at any position or at all of them at once.

        Raises:
            SelectionError: no latent differs between the runs.
        """
        blocks = list(self.bench.blocks())
        scenes: dict[int, Scene] = {}
        logits: dict[int, torch.Tensor] = {}
        for block in blocks:
            scenes = self.bench.read(block)
            logits |= {pair: scene.logits for pair, scene in scenes.items()}
        contexts = self.bench.sides([logits[pair] for pair in range(len(self.request.pairs))]).contexts
        total = torch.zeros(self.contrast.dictionary.info.n_latents)
        for block in blocks:
            if len(blocks) > 1:
                scenes = self.bench.read(block)
            for pair, scene in scenes.items():
                total += self._effects(scene, contexts[pair], at_once=at_once).cpu()
                self.bench.passes += PASSES
        size = total.abs()
        found = size.topk(min(most, int((size > 0).sum()))).indices.tolist()
        if not found:
            raise SelectionError(
                f"No latent of {self.contrast.dictionary.info.name} differs between the two runs at these positions in "
                "a way that moves the answer. Choose other prompts or positions, or name latents, with latents=[...]."
            )
        return tuple(found)

    def _effects(self, scene: Scene, context: MetricContext, *, at_once: bool) -> torch.Tensor:
        """Return for each latent of a pair what share of the gap it closes, to first order."""
        assert scene.latents is not None
        metrics, story = self.request.options.metrics, self.contrast.story
        ids = scene.hosts.ids[scene.row][None]
        entering = scene.hosts.stream[0][scene.row][None]
        slopes = gradients(
            self.request.access, ids, entering, {self._place}, lambda logits: metrics.of_graph(logits, context)
        )
        ends = metrics.measure(scene.logits, context)[metrics.front]
        gap = float(ends[story.donor] - ends[story.host])
        parts = scene.latents.attribution(slopes[self._place][0]) / (gap or 1.0)
        if self.request.cells.positions is not None:
            parts = parts[list(self.request.cells.positions)]
        return parts.sum(0).abs() if at_once else parts.abs().amax(0)
