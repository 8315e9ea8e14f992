"""The causal trace of ROME: drown the subject in noise, restore one activation, and see how much of the answer returns.

Meng et al. 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from numpy.typing import NDArray

from interp_widgets.experiments.cells import Span, Target
from interp_widgets.experiments.code import Copied, Recipe
from interp_widgets.experiments.code_sites import written
from interp_widgets.experiments.contrast import Edited, Scene, Side, copies, likeliest
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
    chosen_numbers,
    parse_options,
    parse_seed,
    parse_sites,
)
from interp_widgets.experiments.sweep import Edit, Hosts
from interp_widgets.models.access import Access
from interp_widgets.models.adapted import embedding_weight
from interp_widgets.models.answers import Answer
from interp_widgets.models.labels import Labels
from interp_widgets.models.numbers import as_plain, is_whole
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.prompts import Prompt, PromptPair
from interp_widgets.models.spans import occurrences
from interp_widgets.results.errors import PromptError, SelectionError
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.story import Story, causal_trace_story
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

Subject: TypeAlias = "str | int | Span | Sequence[int] | torch.Tensor | NDArray[Any]"
"""Text that occurs once in the prompt; or a position, a tuple (start, stop), or a list of positions."""


@runs_remotely
def causal_trace(
    model: ModelLike,
    prompt: Prompt,
    *,
    subject: Subject,
    answer: Answer | None = None,
    wrong_answer: Answer | None = None,
    noise: float = 3.0,
    samples: int = 10,
    seed: int = 0,
    sites: Site | Sequence[Site] = ("resid_post",),
    window: int = 1,
    metric: Metric = "prob",
    layers: LayersLike = None,
    positions: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    neurons: Sequence[int] | int | None = None,
    by: By = None,
    roles: RolesLike = None,
    top_k: int = 5,
    max_rows: int | None = None,
    preview: bool | None = None,
    exact: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[PatchingResult, None, PatchingResult]:
    """Check the arguments at once, and return a generator that computes the trace chunk by chunk.

    Arguments and errors are those of `run_causal_trace`; partial results are as those of `patching`.

    Yields:
        The result so far.
    """
    options = parse_options(metric, top_k, max_rows, preview, exact)
    noise = _parse_noise(noise)
    if not (is_whole(samples) and samples >= 1):
        raise ValueError(f"samples={samples!r} must be a whole number from 1 on.")
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
    prompts = reader.prompts(prompt, "clean")
    if len(prompts) > 1:
        raise PromptError(f"A causal trace is of one prompt, but {len(prompts)} were given. Run one for each.")
    tokens = prompts[0]
    noised = _parse_subject(subject, tokens, reader.opened.tokenizer)
    pairs = (PromptPair(tokens, tokens, noised),) * int(samples)
    host = causal_trace_story().host
    request = reader.request(pairs, answer, wrong_answer, grouping, options, host=host)
    deviation = request.access.embedding_std()
    contrast = NoiseContrast(request.access, tokens, noised, noise, deviation, int(samples), seed)
    return GridRun(request, contrast).steps()


@over(causal_trace)
def run_causal_trace(steps: Steps) -> PatchingResult:
    """Add noise to the subject's embeddings, restore one activation of the clean run, and see how much comes back.

    Each sample is a draw of the noise, and an entry of the result's axis `prompt`: its clean side is the prompt, its
    other side the same prompt with noise. In the terms of Meng et al., with `ends = result.baselines[metric]`,
    (sample, 2), and `value = result.value(metric)`, the total effect is `(ends[:, 0] - ends[:, 1]).mean()`, how much of
    the answer the noise takes away; the indirect effect of a cell is `(value - ends[:, 1, None, None, None]).mean(0)`,
    how much its restoring brings back, in the metric's unit; and `result.mean_effect()` is the second as a share of the
    first.

    Args:
        model: as for `run_patching`.
        prompt: one prompt, as text or token ids.
        subject: what carries the noise: text that occurs once in the prompt, a position, a tuple (start, stop) as in
            `teaching.prompts`, or a list of positions.
        answer: the token that the prompt calls for, as text or id; the model's own top prediction where not given.
        wrong_answer: the token that logit_diff compares it with; the likeliest other one where not given.
        noise: how much, in standard deviations of all entries of what the token embedding hands over. Gaussian,
            independent for each entry.
        samples: how many draws of the noise.
        seed: of the noise, which is drawn on the CPU and so the same on every device. More samples begin with the same
            draws.
        sites: what is restored, one or more, named as for `run_patching`. ROME's three figures are `resid_post`, and
            with `window=10` `mlp_out` and `attn_out`.
        window: how many layers a cell restores together, around its own and clipped at both ends.
        metric: as for `run_patching`.
        layers: layers to restore, as for `run_patching`; all by default.
        positions: positions to restore; all by default.
        heads: heads to restore, of sites that have them; all by default.
        neurons: neurons to restore, of mlp_post; by default the 32 of each layer with the largest estimates.
        by: what the columns are, as for `run_patching`.
        roles: names of places in the prompt, each with its position or (start, stop), where they are to be columns.
        top_k: how many of the likeliest next tokens to keep for each cell.
        max_rows: most cells that run in one batch; chosen to suit the device by default.
        preview: whether all cells are estimated before they are run, as for `run_patching`: the gradient of `metric` in
            the run with noise, times the clean activation minus the one with noise.
        exact: how many cells of each layer and site to run, as for `run_patching`; all by default.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run, as for `run_patching`.

    Returns:
        The complete grid. `mean_effect` is the share of the mean gap that restoring a cell closes: 1 when the answer is
        wholly back, 0 when nothing is, and not clipped. `effect` has the shares of single samples, NaN for one whose
        noise changed nothing. `provenance.settings` says what was added where.

    Raises:
        SelectionError: a subject that does not occur in the prompt or occurs more than once, or a layer, position,
            head, neuron or role that does not exist.
        PromptError: no prompt, several, or one that is too long.
        NoGapError: the noise changes nothing, so that there is nothing to restore.
        ValueError: a noise, a number of samples or a seed that is none.
        InterpWidgetsError: other arguments, as for `run_patching`.

    Example:
        >>> from interp_widgets import run_causal_trace, teaching
        >>> model = teaching.load()
        >>> prompt = "When Mary and John went to the store, John gave a drink to"
        >>> result = run_causal_trace(model, prompt, subject="Mary", samples=4)
        >>> result.pairs[0].noised
        (1,)
        >>> float(result.mean_effect()[0, -1, -1])  # the last layer at the last token is all that the answer is read of
        1.0

    References:
        Meng et al. 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262.
        Zhang and Nanda 2023, "Towards Best Practices of Activation Patching", arXiv:2309.16042 (noise or prompts).
    """
    return finish(steps)


@dataclass(frozen=True)
class NoiseContrast:
    """A prompt, and the same prompt with noise on some of its embeddings; each pair is one draw."""

    access: Access
    prompt: Tokens
    noised: tuple[int, ...]
    """Positions that carry noise."""
    noise: float
    """In standard deviations."""
    deviation: float
    """One standard deviation of the embedding's entries."""
    samples: int
    seed: int

    @property
    def story(self) -> Story:
        """The words for it."""
        return causal_trace_story()

    @property
    def settings(self) -> Mapping[str, str]:
        """The noise, and where it was put."""
        where = ", ".join(f"{self.prompt.labels[position]} (position {position})" for position in self.noised)
        return {
            "noise": f"Gaussian, {self.noise:g} standard deviations of the token embedding "
            f"({self.noise * self.deviation:.4g})",
            "noised": where,
            "samples": str(self.samples),
            "seed": str(self.seed),
        }

    @property
    def recipe(self) -> Recipe:
        """Run the prompt, and run it again with the noise of each sample."""
        embedding = written(self.access, self.access.embedding)
        width = embedding_weight(self.access.opened.module).shape[-1]
        return Recipe(
            host="clean",
            donor=Copied("clean"),
            deed="Run the prompt with each sample's noise, and with that in the same place.",
            setup=(
                "samples = $samples  # which draws of the noise",
                f"generator = torch.Generator().manual_seed({self.seed})",
                f"shape = {len(self.noised)}, {width}  # noised positions, width of the embedding",
                f"draws = [torch.randn(shape, generator=generator) for _ in range({self.samples})]",
                f"noise = {self.noise * self.deviation} * torch.stack([draws[sample] for sample in samples])",
            ),
            inside=(
                f"embedded = {embedding}.output.clone()",
                f"embedded[:, {list(self.noised)}] += noise.to(embedded)",
                f"{embedding}.output = embedded",
            ),
            samples=self.samples,
            fills={"samples": [f"[{sample}]" for sample in range(self.samples)]},
        )

    def sizes(self) -> list[tuple[int, int]]:
        """Return the token counts of both sides of each sample."""
        return [(len(self.prompt), len(self.prompt))] * self.samples

    def read(self, pairs: Sequence[int], sites: Sequence[Site]) -> list[Scene]:
        """Run the prompt as it is, and with the noise of each sample, in one batch."""
        ids = torch.tensor([self.prompt.ids] * (1 + len(pairs)), device=self.access.opened.device)

        def embed(embedded: torch.Tensor) -> torch.Tensor:
            changed = embedded.clone()
            changed[1:, list(self.noised)] += self._draw(pairs, embedded.shape[-1]).to(embedded)
            return changed

        runs = self.access.read(ids, sites, embed=embed)
        hosts = Hosts(ids, runs.stream, runs.past)
        clean = Side(runs, 0)
        return [
            Scene(
                hosts=hosts,
                row=row,
                host=Side(runs, row),
                donor=clean,
                logits=runs.logits[[0, row]],
                shared=self.access.agreeing(min(self.noised)),
                passes=1 if row > 1 else 2,  # the clean run is made once
            )
            for row in range(1, 1 + len(pairs))
        ]

    def own_answers(self, logits: torch.Tensor, given: tuple[int | None, int | None]) -> tuple[int, int]:
        """What the model says to the prompt, and what it would say next."""
        return likeliest(logits[0], given)

    def edits(self, scene: Scene, targets: Sequence[Target]) -> Edited:
        """Restore the clean activations."""
        noised: tuple[Edit, ...] = ()
        if self.access.edited:
            # Such a model runs from its tokens, which know nothing of the noise; what restores the first layer is last.
            entering = scene.host("resid_pre", 0)
            noised = tuple(Edit("resid_pre", 0, position, entering[position]) for position in self.noised)
        return Edited([(*noised, *copies(scene, target)) for target in targets])

    def _draw(self, pairs: Sequence[int], width: int) -> torch.Tensor:
        """Return the noise of some samples, (sample, noised position, width)."""
        generator = torch.Generator().manual_seed(self.seed)
        draws = [torch.randn(len(self.noised), width, generator=generator) for _ in range(max(pairs) + 1)]
        return self.noise * self.deviation * torch.stack([draws[pair] for pair in pairs])


def _parse_noise(noise: object) -> float:
    plain = as_plain(noise)
    if isinstance(plain, (int, float)) and not isinstance(plain, bool) and 0 < plain < math.inf:
        return float(plain)
    raise ValueError(
        f"noise={noise!r} must be a number above 0: how many standard deviations of the embedding to add, such as 3.0."
    )


def _parse_subject(subject: Subject, tokens: Tokens, tokenizer: Any | None) -> tuple[int, ...]:
    """Return the positions of the subject."""
    if isinstance(subject, str):
        return _find_subject(subject, tokens, tokenizer)
    plain = as_plain(subject)
    if isinstance(plain, tuple):
        if len(plain) == 2 and all(map(is_whole, plain)) and 0 <= plain[0] < plain[1] <= len(tokens):
            return tuple(range(*plain))
        raise SelectionError(
            f"subject={subject!r} is no span of the prompt. Give (start, stop) with 0 <= start < stop <= "
            f"{len(tokens)}, the length of the prompt, or a list of positions."
        )
    if plain is None:
        raise SelectionError("subject=None names nothing to add noise to. Give text that occurs in the prompt.")
    return chosen_numbers(plain, "subject", len(tokens))


def _find_subject(subject: str, tokens: Tokens, tokenizer: Any | None) -> tuple[int, ...]:
    if tokenizer is None:
        raise SelectionError(
            f"subject={subject!r} is text, but this model comes without a tokenizer. Pass `tokenizer=`, or positions, "
            "such as subject=(1, 3)."
        )
    if not subject.strip():
        raise SelectionError(f"subject={subject!r} is empty. Give text that occurs in the prompt.")
    found = occurrences(subject, tokens, Labels(tokenizer))
    if not found:
        raise SelectionError(
            f"subject={subject!r} does not occur in the prompt {' '.join(tokens.labels)}. Write it as the prompt does, "
            "or give positions, such as subject=(1, 3)."
        )
    if len(found) > 1:
        spans = [f"({places[0]}, {places[-1] + 1})" for places in found]
        raise SelectionError(
            f"subject={subject!r} occurs {len(found)} times in the prompt, at {', '.join(spans)}. Say which, for "
            f"instance subject={spans[0]}, or give a list of positions for several."
        )
    return found[0]
