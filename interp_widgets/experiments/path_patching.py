"""Path patching: send one component's change to chosen receivers alone, and see how far the answer moves."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from interp_widgets.experiments.cells import plan_panels
from interp_widgets.experiments.contrast import PromptContrast
from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.gridrun import GridRun
from interp_widgets.experiments.metrics import Metric
from interp_widgets.experiments.over import over
from interp_widgets.experiments.path_contrast import PathContrast
from interp_widgets.experiments.receivers import ReceiversLike, check_receivers, parse_receivers
from interp_widgets.experiments.remote import Steps, runs_remotely
from interp_widgets.experiments.request import Grouping, Reader, Request, chosen_numbers, parse_options
from interp_widgets.models.answers import Answers
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompts
from interp_widgets.results.errors import SiteError, unknown_name
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.story import patching_story
from interp_widgets.results.terms import Direction, parse_direction

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

Sender: TypeAlias = Literal["z", "attn_out", "mlp_out"]
"""What sends: each head, what all heads of a layer add together, or each MLP."""

SENDERS: tuple[Sender, ...] = get_args(Sender)


@runs_remotely
def path_patching(
    model: ModelLike,
    clean: Prompts,
    corrupt: Prompts,
    *,
    receivers: ReceiversLike,
    answer: Answers = None,
    wrong_answer: Answers = None,
    senders: Sender | Sequence[Sender] = ("z", "mlp_out"),
    direction: Direction = "denoising",
    metric: Metric = "logit_diff",
    layers: Sequence[int] | int | None = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    by: Literal["pos"] | None = None,
    receiver_positions: Sequence[int] | int | None = None,
    top_k: int = 5,
    max_rows: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[PatchingResult, None, PatchingResult]:
    """Check the arguments at once, and return a generator that computes the cells chunk by chunk.

    Arguments and errors are those of `run_path_patching`; partial results come as from `patching`.

    Yields:
        The result so far.
    """
    direction = parse_direction(direction)
    options = parse_options(metric, top_k, max_rows, preview=False)  # a gradient follows all paths, not one
    if by not in (None, "pos"):
        raise unknown_name("by", by, ("pos",))
    grouping = Grouping(parse_senders(senders), layers=layers, positions=positions, heads=heads, by=by)
    reader = Reader(model, tokenizer)
    listed = parse_receivers(receivers, reader.opened.config.num_hidden_layers)
    pairs = reader.pairs(clean, corrupt, aligned=True)
    length = len(pairs[0].clean)
    to = None if receiver_positions is None else chosen_numbers(receiver_positions, "receiver_positions", length)
    request = reader.request(pairs, answer, wrong_answer, grouping, options, host=patching_story(direction).host)
    if by is None:
        request = _in_one_column(request)
    prompts = PromptContrast(request.access, pairs, direction)
    contrast = PathContrast(prompts, check_receivers(listed, request.access, to, length), max_rows)
    return GridRun(request, contrast).steps()


@over(path_patching)
def run_path_patching(steps: Steps) -> PatchingResult:
    """Send each head's and each MLP's change straight into some receivers, and measure how far the answer moves.

    A cell takes two runs of the host prompt (corrupt in denoising, clean in noising). In the first the sender's
    activation is that of the other prompt, every other head and MLP adds what it adds in the host's own run, and norms
    are recomputed, so that the stream differs by the sender's direct contribution alone; what the receivers read there
    is kept. In the second, the receivers get exactly that, and everything else is computed as usual. So an effect is
    what flows from the sender to the receivers with nothing in between, and from the receivers on by any way. A sender
    that comes after all receivers has an effect of exactly 0.

    Args:
        model: as for `run_patching`.
        clean: a prompt, or a list of prompts: text, or token ids.
        corrupt: as many prompts, each with as many tokens as its clean one. All pairs have the same length.
        receivers: what receives the change, one `Receiver` or several that receive together: `Receiver("q", 9, 6)` for
            the queries of head 6 in layer 9, likewise "k" and "v" by key-value head, `Receiver("mlp_in", 10)` for what
            an MLP reads, before its norm, or `Receiver("final")` for the stream that the final norm and the
            unembedding read, which gives the direct effect on the answer. Negative layers count from the end.
        answer: the token that the clean prompt calls for, as text or id; one for all pairs, or one for each. The
            model's own top prediction where not given.
        wrong_answer: the same for the corrupt prompt.
        senders: what sends: "z" for each head, "mlp_out" for each MLP, "attn_out" for all heads of a layer together.
        direction: "denoising" sends the clean activation into the corrupt run, "noising" the corrupt into the clean
            run, as the papers do.
        metric: as for `run_patching`.
        layers: layers of the senders; all by default.
        positions: positions at which senders send, together in one cell; all by default.
        heads: heads that send; all by default.
        by: "pos" for a cell for each position of each sender; one cell for each sender by default.
        receiver_positions: positions at which queries, keys, values and MLPs receive; all by default.
        top_k: how many of the likeliest next tokens to keep for each cell.
        max_rows: most runs in one batch; chosen from the prompt's length and the device by default.
        tokenizer: for models that come without one.
        remote: where to run, as for `run_patching`.

    Returns:
        A panel for each kind of sender: layers by heads for z; layers in one column for mlp_out and attn_out. With
        `by="pos"` columns are positions, and rows of z are single heads. `effect` is the share of the gap between the
        two baselines that a cell closes: 0 is the host run unchanged, 1 the other run in full; it may be negative or
        above 1 and is not clipped.

    Raises:
        AnswerError: an answer that is not one token, or is the same as the wrong one.
        NoGapError: both prompts score the same.
        NonFiniteError: NaN or infinity in a run.
        PromptError: prompts that cannot be compared.
        MetricError: a metric of your own that failed or returned something other than one number a row.
        ModelError: a model that cannot be patched.
        SelectionError: a receiver, layer, position or head that does not exist.
        SiteError: a model whose heads or parts were not found.
        UnknownNameError: a sender, receiver, direction or metric that does not exist.

    Example:
        >>> from interp_widgets import Receiver, run_path_patching, teaching
        >>> pair = teaching.prompts("ioi", n=1)[0]
        >>> names = {"answer": pair.answer, "wrong_answer": pair.wrong_answer}
        >>> model = teaching.load()
        >>> result = run_path_patching(model, pair.clean, pair.corrupt, receivers=Receiver("q", 2, 0), **names)
        >>> float(abs(result.effect()[0, 0, 2:]).max())  # heads of layer 2 and later come too late for its queries
        0.0

    References:
        Wang et al. 2022, "Interpretability in the Wild", arXiv:2211.00593 (path patching, into heads by their inputs).
        Goldowsky-Dill et al. 2023, "Localizing Model Behavior with Path Patching", arXiv:2304.05969 (paths in general).
    """
    return finish(steps)


def parse_senders(senders: Sender | Iterable[Sender]) -> tuple[Sender, ...]:
    """Return kinds of senders by name, each once.

    Raises:
        SiteError: no names.
        UnknownNameError: a kind that does not exist.
    """
    if not isinstance(senders, Iterable):
        raise SiteError(f"senders={senders!r} is {kind_of(senders)}. Name them, for instance senders=('z', 'mlp_out').")
    named = tuple(dict.fromkeys([senders] if isinstance(senders, str) else senders))
    if not named:
        raise SiteError("senders is empty. Name at least one, for instance senders=('z',).")
    for name in named:
        if name not in SENDERS:
            raise unknown_name("sender", name, SENDERS)
    return named


def _in_one_column(request: Request) -> Request:
    """Make one cell of each layer where senders are no heads."""
    panels = [
        panel
        if panel.site == "z"
        else plan_panels(request.access, (panel.site,), panel.layers, by="layer", heads=None, neurons=None, roles=())[0]
        for panel in request.cells.panels
    ]
    return replace(request, cells=replace(request.cells, panels=tuple(panels)))
