"""Activation patching: copy one activation from one run into another and see how far the answer moves."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.experiments.contrast import PromptContrast
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.gridrun import GridRun
from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import Steps, runs_remotely
from interp_widgets.experiments.request import By, Grouping, LayersLike, Reader, RolesLike, parse_options, parse_sites
from interp_widgets.models.answers import Answers
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.story import patching_story
from interp_widgets.results.terms import Direction, Site, parse_direction

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


@runs_remotely
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
    layers: LayersLike = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    neurons: Sequence[int] | int | None = None,
    by: By = None,
    window: int = 1,
    roles: RolesLike = None,
    corrupt_roles: RolesLike = None,
    top_k: int = 5,
    max_rows: int | None = None,
    preview: bool | None = None,
    exact: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[PatchingResult, None, PatchingResult]:
    """Check the arguments at once, and return a generator that computes the grid chunk by chunk.

    Arguments and errors are those of `run_patching`. The first partial result has the baselines, what the model says to
    both prompts, and every cell that is certain without a run; the second, with `preview`, an estimate of all others.
    Each later one adds a batch, the deepest layers first.
    All are frozen, and the last is returned. Closing the generator, or raising where it waits, leaves the model as it
    was. How far it is can be read from `status`.

    Yields:
        The result so far.
    """
    direction = parse_direction(direction)
    options = parse_options(metric, top_k, max_rows, preview, exact)
    grouping = Grouping(
        sites=parse_sites(sites),
        layers=layers,
        positions=positions,
        heads=heads,
        neurons=neurons,
        by=by,
        window=window,
        roles=roles,
        corrupt_roles=corrupt_roles,
    )
    reader = Reader(model, tokenizer)
    pairs = reader.pairs(clean, corrupt, aligned=roles is None)
    request = reader.request(pairs, answer, wrong_answer, grouping, options, host=patching_story(direction).host)
    return GridRun(request, PromptContrast(request.access, pairs, direction)).steps()


@over(patching)
def run_patching(steps: Steps) -> PatchingResult:
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
        sites: where to patch, one or more of resid_pre, resid_mid, resid_post, attn_out, mlp_out; z, q, k, v, pattern;
            and mlp_post. `attn_out` and `mlp_out` are what is added to the stream, after any norm or multiplier on the
            way; `z` is what a head reads, before the output projection; with grouped queries, `k` and `v` are patched
            by key-value head.
        direction: "denoising" copies clean into corrupt, "noising" corrupt into clean.
        metric: the number in front: "logit_diff", "prob", "logprob", "kl", "rank" or "loss" (all six are kept), or a
            function from logits (row, d_vocab) at the last position to (row,), with a `MetricContext` as its second
            argument if it takes two.
        layers: layers to patch, one or more, negative ones counted from the end; all by default. Or a mapping from
            sites to these, for those of them that are not to have all.
        positions: positions to patch, one or more; all by default. Cells of other positions have the status `LEFT_OUT`;
            where columns are no positions, a cell replaces these positions together.
        heads: heads to patch; all by default.
        neurons: neurons to patch; by default the 32 of each layer with the largest estimates, while the others stay
            estimates.
        by: what the columns are: "pos" (default of the stream's sites; rows of a site with heads are then heads),
            "head" (default of z, q, k, v and pattern: all positions of a head together), "neuron" (default of
            mlp_post), "role" (default where `roles` are given), or "layer" (all of a layer together, in one column);
            or a mapping from sites to these, for those of them that are not to have their default.
        window: how many layers a cell replaces together, around its own and clipped at both ends; ROME uses 10.
        roles: for each pair, names of places in the clean prompt with their position or (start, stop); a cell replaces
            the whole span. Prompts may then have different lengths.
        corrupt_roles: the same places in the corrupt prompt, where they are elsewhere.
        top_k: how many of the likeliest next tokens to keep for each cell.
        max_rows: most patches that run in one batch; chosen to suit the device by default, and halved when memory
            runs out.
        preview: whether all cells are estimated before they are run, from the gradient of `metric` (attribution
            patching). Exact values replace the estimates as they arrive, and both are kept in `estimates`. By default
            where the grid takes over a hundred forward passes for each pair; the estimate takes about three, with the
            memory of a training step's forward pass. Not for "rank", which has no derivative, for "kl" when noising,
            where it is 0, nor for a function that leaves torch.
        exact: how many cells of each layer and site to run: those with the largest estimates, in a mean over pairs.
            The others stay estimates, with the status `ESTIMATED`. All by default.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run: here by default, True for NDIF, the address of another server such as "https://host", or
            an nnsight `RemoteBackend`. The whole grid is one job there, its numbers come back batch by batch, and the
            model's weights are not needed here.

    Returns:
        The complete grid, with the axes (prompt, site, row, column). After an interrupt or an error,
        `sys.last_value.partial` is what was computed until then.

    Raises:
        PromptError: prompts that cannot be compared: empty, identical, too long, or of unequal token counts.
        AnswerError: an answer that is not one token.
        NoGapError: both runs score the same, so that there is no gap to take a share of.
        NonFiniteError: NaN or infinity, with the layer where it appears.
        MetricError: a metric of your own that failed or returned something other than one number a row; or estimates
            that were asked for of a metric without a derivative.
        ModelError: a model that cannot be patched.
        SiteError: a site that its architecture does not have.
        SelectionError: a layer, position, head, neuron or role that does not exist.
        UnknownNameError: a site, direction or metric that does not exist.
        RemoteRunError: a server that cannot be reached, a connection that is lost, or the server's own error.

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
        Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale" (the estimates).
        Syed et al. 2023, "Attribution Patching Outperforms Automated Circuit Discovery", arXiv:2310.10348.
        Kramár et al. 2024, "AtP*: An efficient and scalable method for localizing LLM behaviour to components",
            arXiv:2403.00745 (where estimates mislead).
    """
    return finish(steps)
