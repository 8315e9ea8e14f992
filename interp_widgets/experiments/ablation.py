"""Ablation: take one activation away, and see how much of the answer is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch

from interp_widgets.experiments.cells import Target
from interp_widgets.experiments.code import Averaged, Copied, Recipe, Zeroed
from interp_widgets.experiments.contrast import Edited, Scene, Side, Source, copies, likeliest
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.gridrun import GridRun
from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import Steps, runs_remotely
from interp_widgets.experiments.request import (
    By,
    Grouping,
    LayersLike,
    Reader,
    RolesLike,
    parse_options,
    parse_seed,
    parse_sites,
)
from interp_widgets.experiments.sweep import Hosts, default_rows
from interp_widgets.models.access import Access
from interp_widgets.models.answers import Answers
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import PromptPair, Prompts, check_equal_lengths
from interp_widgets.results.errors import PromptError
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.story import Story, ablation_story
from interp_widgets.results.terms import Ablation, Site, parse_ablation
from interp_widgets.results.tokens import Tokens, shared_prefix

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_BATCH_BYTES = 2**28
"""Activations of reference prompts that are held at a time while their mean is taken."""


@runs_remotely
def ablation(
    model: ModelLike,
    prompts: Prompts,
    *,
    how: Ablation = "zero",
    reference: Prompts | None = None,
    answer: Answers = None,
    wrong_answer: Answers = None,
    sites: Site | Sequence[Site] = ("z", "mlp_out"),
    metric: Metric = "logit_diff",
    layers: LayersLike = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    neurons: Sequence[int] | int | None = None,
    by: By = None,
    window: int = 1,
    roles: RolesLike = None,
    seed: int = 0,
    top_k: int = 5,
    max_rows: int | None = None,
    preview: bool | None = None,
    exact: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[PatchingResult, None, PatchingResult]:
    """Check the arguments at once, and return a generator that computes the grid chunk by chunk.

    Arguments and errors are those of `run_ablation`; partial results are as those of `patching`.

    Yields:
        The result so far.
    """
    how = parse_ablation(how)
    options = parse_options(metric, top_k, max_rows, preview, exact)
    seed = parse_seed(seed)
    grouping = Grouping(
        sites=parse_sites(sites),
        layers=layers,
        positions=positions,
        heads=heads,
        neurons=neurons,
        by=by,
        window=window,
        roles=roles,
    )
    reader = Reader(model, tokenizer)
    intact = reader.prompts(prompts, "intact")
    references = intact if reference is None else reader.prompts(reference, "reference")
    if how == "zero" and reference is not None:
        raise ValueError("how='zero' takes no reference prompts. Leave `reference` out, or ablate by 'mean'.")
    if how == "mean":
        _check_mean(intact, references, grouping.sites)
    drawn = _draw(intact, references, seed) if how == "resample" else []
    pairs = tuple(PromptPair(tokens, Tokens((), ())) for tokens in intact)
    request = reader.request(pairs, answer, wrong_answer, grouping, options, host=ablation_story(how).host)
    if positions is not None or any(panel.columns == "pos" for panel in request.cells.panels):
        check_equal_lengths(intact, "prompt")
    filling: Filling
    if how == "mean":
        filling = Means(request.access, intact, references, parse_sites(sites))
    elif how == "resample":
        filling = Drawn(request.access, intact, references, drawn, seed)
    else:
        filling = Zeros()
    return GridRun(request, AblationContrast(request.access, intact, how, filling)).steps()


@over(ablation)
def run_ablation(steps: Steps) -> PatchingResult:
    """Take one activation away, one cell at a time, and measure how much of the answer is lost.

    The two ends of the scale are the intact run, an effect of 0, and a model that knows nothing and predicts every
    token alike, an effect of 1. Below 0 the model answers better without the activation; above 1 it is worse than
    knowing nothing. `PatchingResult.effect` defines the share, which is not clipped.

    Args:
        model: as for `run_patching`.
        prompts: a prompt, or a list of prompts: text, or token ids. Where columns are positions, all have the same
            number of tokens.
        how: what is put in place. "zero" puts zeros. "mean" puts the mean of the reference prompts' activations at that
            site and layer: position by position for a prompt that is as long as all of them, else over all their
            positions together. "resample" puts what one reference prompt has there, another prompt of the same length
            drawn for each prompt; with a single one given that is `run_patching(direction="noising")` in all but
            the scale of effects.
        reference: prompts to take the mean of (at least two) or to draw from; `prompts` themselves by default. A mean
            is summed up as they run, so there may be many.
        answer: the token that a prompt calls for, as text or id; one for all prompts, or one for each. The model's own
            top prediction where not given.
        wrong_answer: the token that logit_diff compares it with; the likeliest other one where not given.
        sites: what is ablated, one or more, named as for `run_patching`; `z` by head and `mlp_out` by position as
            default.
        metric: as for `run_patching`. `kl` is the divergence from the intact run's predictions.
        layers: layers to ablate, as for `run_patching`; all by default.
        positions: positions to ablate; all by default.
        heads: heads to ablate; all by default.
        neurons: neurons to ablate; by default the 32 of each layer with the largest estimates, as for `run_patching`.
        by: what the columns are, as for `run_patching`.
        window: how many layers a cell ablates together, around its own and clipped at both ends.
        roles: for each prompt, names of places with their position or (start, stop), where they are to be columns.
        seed: of the draw of "resample".
        top_k: how many of the likeliest next tokens to keep for each cell.
        max_rows: most cells that run in one batch; chosen to suit the device by default.
        preview: whether all cells are estimated before they are run, as for `run_patching`: the gradient of `metric` in
            the intact run, times what is put in minus what was there. Not for "kl", which is at its minimum there.
        exact: how many cells of each layer and site to run, as for `run_patching`; all by default.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`.

    Returns:
        The complete grid, with the axes (prompt, site, row, column). Its pairs have no second prompt, and the second of
        the two baselines is the uniform prediction. `provenance.settings` says what was put in.

    Raises:
        UnknownNameError: a `how`, site or metric that does not exist.
        PromptError: prompts that are empty, too long or of unequal token counts, too few reference prompts, or none of
            the same length to draw from.
        NoGapError: the intact run scores as a uniform prediction does.
        ValueError: reference prompts for zeros, or a seed that is none.
        InterpWidgetsError: other arguments, as for `run_patching`.

    Example:
        >>> from interp_widgets import run_ablation, teaching
        >>> prompt = "When Mary and John went to the store, John gave a drink to"
        >>> result = run_ablation(teaching.load(), prompt, sites="resid_pre", by="layer", metric="prob")
        >>> bool((result.effect() > 0.9).all())  # without its stream, the model knows nothing
        True

    References:
        Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593 (mean ablation over prompts of one kind).
        Chan et al. 2022, "Causal Scrubbing" (resampling; zeros and means take a model off its distribution).
        Zhang and Nanda 2023, "Towards Best Practices of Activation Patching", arXiv:2309.16042.
    """
    return finish(steps)


class Filling(Protocol):
    """What an ablation puts in the place of an activation."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What a result says of it."""

    @property
    def recipe(self) -> Recipe:
        """How a few lines put it in."""

    def read(self, pairs: Sequence[int], sites: Sequence[Site], intact: Sequence[Side]) -> list[Filled]:
        """Return what is put into each of some prompts, whose intact runs are given."""


@dataclass(frozen=True)
class Filled:
    """What is put into one prompt."""

    source: Source
    shared: int = 0
    """Leading positions at which it is sure to be what is there already."""
    passes: int = 0
    """Forward passes that it took."""


@dataclass(frozen=True)
class AblationContrast:
    """Intact runs, on the one side, and a model that knows nothing on the other."""

    access: Access
    prompts: Sequence[Tokens]
    how: Ablation
    filling: Filling

    @property
    def story(self) -> Story:
        """The words for it."""
        return ablation_story(self.how)

    @property
    def settings(self) -> Mapping[str, str]:
        """What is put in."""
        return self.filling.settings

    @property
    def recipe(self) -> Recipe:
        """Find what is put in, and run the prompt with it."""
        return self.filling.recipe

    def sizes(self) -> list[tuple[int, int]]:
        """Return the token count of each prompt; the other side has none."""
        return [(len(tokens), 0) for tokens in self.prompts]

    def read(self, pairs: Sequence[int], sites: Sequence[Site]) -> list[Scene]:
        """Run some prompts of one length, and find what is to be put into them."""
        ids = _ids(self.access, [self.prompts[pair] for pair in pairs])
        runs = self.access.read(ids, sites)
        hosts = Hosts(ids, runs.stream, runs.past)
        intact = [Side(runs, row) for row in range(len(pairs))]
        return [
            Scene(
                hosts=hosts,
                row=side.row,
                host=side,
                donor=filled.source,
                logits=torch.stack([runs.logits[side.row], torch.zeros_like(runs.logits[side.row])]),
                shared=self.access.agreeing(filled.shared),
                passes=1 + filled.passes,
                closes=False,
            )
            for side, filled in zip(intact, self.filling.read(pairs, sites, intact), strict=True)
        ]

    def own_answers(self, logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
        """What the model says to the prompt, and what it would say next."""
        return likeliest(logits[0], given)

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Edited:
        """Put in what the activations are replaced by."""
        return Edited([copies(scene, target) for target in targets])


class Zeros:
    """Nothing at all."""

    settings: Mapping[str, str] = {"put in": "zeros"}
    recipe = Recipe("clean", Zeroed(), "Run the prompt with zeros in one place.")

    def read(self, pairs: Sequence[int], sites: Sequence[Site], intact: Sequence[Side]) -> list[Filled]:
        """Zeros of the shape of what is there."""
        return [Filled(partial(self._source, side)) for side in intact]

    @staticmethod
    def _source(side: Side, site: Site, layer: int) -> torch.Tensor:
        return torch.zeros_like(side(site, layer))


@dataclass(frozen=True)
class Drawn:
    """What another prompt has in the same place."""

    access: Access
    prompts: Sequence[Tokens]
    references: Sequence[Tokens]
    drawn: Sequence[int]
    """For each prompt, which of the references."""
    seed: int

    @property
    def settings(self) -> Mapping[str, str]:
        """The draws."""
        draws = ", ".join(f"{reference} for prompt {prompt}" for prompt, reference in enumerate(self.drawn))
        return {"put in": f"the activation of another prompt: reference {draws}", "seed": str(self.seed)}

    @property
    def recipe(self) -> Recipe:
        """Run the prompt that was drawn first."""
        drawn = [str(list(self.references[number].ids)) for number in self.drawn]
        deed = "Run the prompt with that in the same place."
        return Recipe("clean", Copied("other"), deed, fills={"other_ids": drawn})

    def read(self, pairs: Sequence[int], sites: Sequence[Site], intact: Sequence[Side]) -> list[Filled]:
        """Run the prompts that were drawn."""
        others = [self.references[self.drawn[pair]] for pair in pairs]
        runs = self.access.read(_ids(self.access, others), sites)
        return [
            Filled(Side(runs, row), shared_prefix(self.prompts[pair].ids, other.ids), passes=1)
            for row, (pair, other) in enumerate(zip(pairs, others, strict=True))
        ]


class Means:
    """The mean over reference prompts, for each site and layer.

    Their activations are summed up batch by batch, so that memory does not grow with how many there are.
    """

    def __init__(
        self, access: Access, prompts: Sequence[Tokens], references: Sequence[Tokens], sites: Sequence[Site]
    ) -> None:
        self._access = access
        self._lengths = {len(tokens) for tokens in prompts}
        self._references = references
        self._sites = sites
        self._length = _common_length(references)
        self._means: dict[tuple[Site, int], torch.Tensor] = {}

    @property
    def settings(self) -> Mapping[str, str]:
        """What the mean is taken over."""
        number = len(self._references)
        whole = f"the mean over all {sum(map(len, self._references))} positions of {number} reference prompts"
        if self._length not in self._lengths:
            return {"put in": whole}
        by_position = f"the mean over {number} reference prompts, position by position"
        if len(self._lengths) > 1:
            by_position += f", for prompts of {self._length} tokens as theirs; else {whole}"
        return {"put in": by_position}

    @property
    def recipe(self) -> Recipe:
        """Take the mean first."""
        by_position = self._length in self._lengths
        mixed = "prompts as long as the references get the mean position by position, the others that over all."
        return Recipe(
            host="clean",
            donor=Averaged(self._references, by_position),
            deed="Run the prompt with that in one place.",
            refused=mixed if by_position and len(self._lengths) > 1 else "",
        )

    def read(self, pairs: Sequence[int], sites: Sequence[Site], intact: Sequence[Side]) -> list[Filled]:
        """Return the means, which are taken when they are first asked for."""
        passes = 0
        if not self._means:
            self._means = self._take()
            passes = len(self._references)
        filled = [Filled(self._source(side("resid_pre", 0).shape[0])) for side in intact]
        return [Filled(filled[0].source, passes=passes), *filled[1:]]

    def _source(self, length: int) -> Source:
        def source(site: Site, layer: int) -> torch.Tensor:
            mean = self._means[_place(site, layer)]
            if self._length == length:
                return mean
            over_all = mean.mean(0) if self._length is not None else mean
            return over_all.expand(length, *over_all.shape)

        return source

    def _take(self) -> dict[tuple[Site, int], torch.Tensor]:
        places = dict.fromkeys(_place(site, layer) for site in self._sites for layer in range(self._access.n_layers))
        if {"resid_pre", "resid_post"} & set(self._sites):  # the stream, also after the last layer
            places |= dict.fromkeys(("resid_pre", layer) for layer in range(self._access.n_layers + 1))
        sums: dict[tuple[Site, int], torch.Tensor] = {}
        dtypes: dict[tuple[Site, int], torch.dtype] = {}
        for batch in self._batches():
            runs = self._access.read(_ids(self._access, batch), self._sites)
            for site, layer in places:
                values = runs.stream[layer] if site == "resid_pre" else runs.site(site, layer)
                dtypes[site, layer] = values.dtype
                # Sums of many halves would lose what they are sums of; Apple's GPUs have no doubles.
                wide = values.to(torch.float32 if values.device.type == "mps" else torch.float64)
                added = wide.sum(0) if self._length is not None else wide.sum((0, 1))
                sums[site, layer] = sums[site, layer] + added if (site, layer) in sums else added
        count = len(self._references) if self._length is not None else sum(map(len, self._references))
        return {place: (total / count).to(dtypes[place]) for place, total in sums.items()}

    def _batches(self) -> Iterator[list[Tokens]]:
        """Group the references by length, and cut the groups so that their activations fit in memory."""
        by_length: dict[int, list[Tokens]] = defaultdict(list)
        for tokens in self._references:
            by_length[len(tokens)].append(tokens)
        config = self._access.opened.config
        width = max(config.hidden_size, self._access.d_mlp or 0) * self._access.opened.module.dtype.itemsize
        for length, alike in by_length.items():
            row_bytes = length * self._access.n_layers * width * (1 + len(self._sites))
            most = max(1, min(default_rows(self._access, length), _BATCH_BYTES // row_bytes))
            for first in range(0, len(alike), most):
                yield alike[first : first + most]


def _place(site: Site, layer: int) -> tuple[Site, int]:
    """Name the stream between two layers in one way."""
    return ("resid_pre", layer + 1) if site == "resid_post" else (site, layer)


def _ids(access: Access, prompts: Sequence[Tokens]) -> torch.Tensor:
    return torch.tensor([tokens.ids for tokens in prompts], device=access.opened.device)


def _common_length(prompts: Sequence[Tokens]) -> int | None:
    """Return how many tokens all prompts have, or None where they differ."""
    lengths = {len(tokens) for tokens in prompts}
    return lengths.pop() if len(lengths) == 1 else None


def _check_mean(prompts: Sequence[Tokens], references: Sequence[Tokens], sites: Site | Sequence[Site]) -> None:
    if len(references) < 2:
        raise PromptError(
            "how='mean' needs at least two reference prompts to take a mean of, but there is 1. Pass `reference=`, "
            "prompts of the same kind that call for different answers."
        )
    lengths = sorted({len(tokens) for tokens in (*prompts, *references)})
    if "pattern" in sites and len(lengths) > 1:
        raise PromptError(
            "A mean of patterns needs prompts of one length, since their rows and columns are positions, but these "
            f"have {', '.join(map(str, lengths))} tokens. Choose prompts of equal length, or ablate z."
        )


def _draw(prompts: Sequence[Tokens], references: Sequence[Tokens], seed: int) -> list[int]:
    """Draw for each prompt another one of its length, and return their numbers among the references."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for number, tokens in enumerate(prompts):
        others = [at for at, other in enumerate(references) if len(other) == len(tokens) and other.ids != tokens.ids]
        if not others:
            lengths = ", ".join(map(str, sorted({len(other) for other in references})))
            raise PromptError(
                f"Prompt {number} has {len(tokens)} tokens, and there is no other reference prompt of that length to "
                f"take activations from: theirs are {lengths}. Pass `reference=` with prompts that have the same "
                "number of tokens."
            )
        drawn.append(others[int(torch.randint(len(others), (), generator=generator))])
    return drawn
