"""Results made by hand, for tests of what shows and saves them: every number is known without a model."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.estimates import Estimates
from interp_widgets.results.panel import Line, Panel
from interp_widgets.results.patching import CellCode, Pair, PatchingResult, Prediction, Status
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.story import Story, patching_story
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Token, Tokens

CLEAN = ("␣When", "␣Mary", "␣and", "␣John", ",", "␣John", "␣gave", "␣it", "␣to")
METRICS = ("logit_diff", "prob", "logprob", "kl", "rank", "loss")
ENDS = {  # clean, corrupt
    "logit_diff": (3.5, -3.5),
    "prob": (0.7, 0.02),
    "logprob": (-0.36, -3.9),
    "kl": (0.0, 2.4),
    "rank": (0.0, 8.0),
    "loss": (0.36, 3.9),
}
MARY, JOHN = Token(1, "␣Mary"), Token(3, "␣John")


def pair(labels: Sequence[str] = CLEAN, changed: int = 5, corrupt_label: str = "␣Mary") -> Pair:
    """A clean prompt and one that differs from it at one position."""
    clean = Tokens(tuple(range(len(labels))), tuple(labels))
    corrupt = Tokens(
        tuple(100 if n == changed else n for n in range(len(labels))),
        tuple(corrupt_label if n == changed else label for n, label in enumerate(labels)),
    )
    said = (Prediction(MARY, 0.7), Prediction(JOHN, 0.1))
    return Pair(clean, corrupt, MARY, JOHN, "given", said, said[::-1])


def result(
    sites: Sequence[Site] = ("resid_pre",),
    layers: int = 4,
    pairs: Sequence[Pair] = (pair(),),
    direction: str = "denoising",
    model: str = "made by hand",
) -> PatchingResult:
    """A complete result: the changed token is hot below the middle layer, the last token above it, the prefix known.

    Not square and with different numbers in every cell, so that a transposition or a shift cannot go unseen.
    """
    n_pairs, n_tokens, changed = len(pairs), len(pairs[0].clean), pairs[0].differs[0]
    shape = (n_pairs, len(sites), layers, n_tokens)
    effect = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) / np.prod(shape) / 10
    effect[..., : layers // 2 + 1, changed] += 0.9
    effect[..., layers // 2 + 1 :, n_tokens - 1] += 0.8
    effect[..., changed + 1 if changed + 1 < n_tokens - 1 else changed] -= 0.15
    effect[..., :changed] = 0
    effect[:, :, 0] = np.where(np.arange(n_tokens) == changed, 1, 0)
    status = np.full(shape, Status.COMPUTED, dtype=np.uint8)
    status[..., :changed] = Status.KNOWN
    panels = tuple(Panel(site, tuple(map(Line, range(layers))), "pos") for site in sites)
    return filled(pairs, panels, patching_story(direction), effect, status, model)  # type: ignore[arg-type]


def filled(
    pairs: Sequence[Pair],
    panels: Sequence[Panel],
    story: Story,
    effect: NDArray[np.float64],
    status: NDArray[np.uint8] | None = None,
    model: str = "made by hand",
) -> PatchingResult:
    """A result whose every metric has the given effects; cells beyond a panel are left out."""
    inside = np.zeros(effect.shape, dtype=bool)
    for number, panel in enumerate(panels):
        inside[:, number, : len(panel.lines), : panel.width(len(pairs[0].clean))] = True
    status = np.where(inside, Status.COMPUTED if status is None else status, Status.LEFT_OUT).astype(np.uint8)
    baselines = {name: np.tile(np.array(ENDS[name]), (len(pairs), 1)) for name in METRICS}
    values = {}
    for name in METRICS:
        ends = baselines[name].T[:, :, None, None, None]
        host, donor = ends[story.host], ends[story.donor]
        values[name] = np.where(inside, host + effect * (donor - host), np.nan).astype(np.float32)
    top_ids = np.where(inside[..., None], np.array([MARY.id, JOHN.id]), -1).astype(np.int32)
    top_probs = np.where(inside[..., None], np.array([0.6, 0.2]), np.nan).astype(np.float32)
    names = ("layer", "head", "pos", "neuron", "role")
    templates = {
        panel.site: f"import torch\n# {panel.site} {' '.join(f'${name}' for name in names if name in panel.axes)}\n"
        "clean = $clean_ids\nprint($metric)\n"
        for panel in panels
    }
    return PatchingResult(
        pairs=tuple(pairs),
        panels=tuple(panels),
        story=story,
        metric="logit_diff",
        values=values,
        baselines=baselines,
        status=status,
        top_ids=top_ids,
        top_probs=top_probs,
        vocab={MARY.id: MARY.label, JOHN.id: JOHN.label},
        provenance=Provenance(model, "0123abcd", "float32", {"nnsight": "0.8.1"}, 12.0, 1.5),
        code=CellCode(templates, dict.fromkeys(METRICS, "logits[$answer] - logits[$wrong_answer]")),
    )


def _by_layer(layers: int) -> tuple[Line, ...]:
    return tuple(map(Line, range(layers)))


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _scattered(pairs: int, panels: Sequence[Panel], length: int) -> NDArray[np.float64]:
    """Small effects that differ from cell to cell, as long as the longest panel; a maker adds its hot cells."""
    rows = max(len(panel.lines) for panel in panels)
    columns = max(panel.width(length) for panel in panels)
    shape = (pairs, len(panels), rows, columns)
    # Steps of an irrational part of a circle are never the same twice.
    return 0.06 * np.sin(np.arange(np.prod(shape)) * 2.4).reshape(shape)


def heads(layers: int = 6, n_heads: int = 8, n_shared: int = 2, pairs: Sequence[Pair] = (pair(),)) -> PatchingResult:
    """Layers by heads, where keys and values belong to fewer heads than queries do."""
    each = n_heads // n_shared
    notes = tuple(f"key-value head shared by query heads {each * n} to {each * (n + 1) - 1}" for n in range(n_shared))
    lines = _by_layer(layers)
    panels = (
        *(Panel(site, lines, "head", _numbers(n_heads)) for site in ("z", "q")),
        *(Panel(site, lines, "head", _numbers(n_shared), notes) for site in ("k", "v")),
    )
    effect = _scattered(len(pairs), panels, len(pairs[0].clean))
    effect[:, 0, layers - 2, n_heads - 2] += 0.7
    effect[:, 1, layers - 2, n_heads - 2] += 0.5
    effect[:, 0, layers - 1, 1] -= 0.6
    effect[:, 2, 1, 1] += 0.4
    return filled(pairs, panels, patching_story("denoising"), effect)


def heads_by_position(layers: int = 3, n_heads: int = 4, pairs: Sequence[Pair] = (pair(),)) -> PatchingResult:
    """A row for each head, a column for each token."""
    lines = tuple(Line(layer, head) for layer in range(layers) for head in range(n_heads))
    panels = (Panel("z", lines, "pos"),)
    effect = _scattered(len(pairs), panels, len(pairs[0].clean))
    effect[:, 0, len(lines) - 3, -1] += 0.8
    effect[:, 0, n_heads + 1, pairs[0].differs[0]] += 0.5
    return filled(pairs, panels, patching_story("denoising"), effect)


def strip(cell: Mapping[str, Any], pairs: Sequence[Pair] = (pair(),)) -> PatchingResult:
    """One head by position. Every head has numbers of its own, and its last position is hot."""
    panel = Panel(cell["site"], (Line(cell["layer"], cell["head"]),), "pos")
    effect = _scattered(len(pairs), (panel,), len(pairs[0].clean)) * (1 + cell["layer"]) / (2 + cell["head"])
    effect[..., -1] += 0.6
    return filled(pairs, (panel,), patching_story("denoising"), effect)


def neurons(layers: int = 4, count: int = 3072) -> PatchingResult:
    """More columns than pixels, and one neuron that matters."""
    panels = (Panel("mlp_post", _by_layer(layers), "neuron", _numbers(count)),)
    effect = _scattered(1, panels, len(CLEAN)) / 2
    effect[0, 0, 2, count // 3] = 0.9
    return filled((pair(),), panels, patching_story("denoising"), effect)


def by_role(pairs: Sequence[Pair] = (pair(), pair(), pair())) -> PatchingResult:
    """Columns are places that have a name in every pair; pairs disagree about one of them."""
    names = ("S1", "IO", "S2", "S2+1", "END")
    panels = tuple(Panel(site, _by_layer(6), "role", names) for site in ("resid_pre", "mlp_out"))
    effect = _scattered(len(pairs), panels, len(pairs[0].clean))
    effect[:, 0, :3, 2] += 0.9
    effect[:, 0, 3:, 4] += 0.8
    effect[-1, 0, 2, 2] -= 0.6
    return filled(pairs, panels, patching_story("denoising"), effect)


def path(layers: int = 12, n_heads: int = 12) -> PatchingResult:
    """Senders: heads, and beside them the MLP of each layer as one column."""
    panels = (Panel("z", _by_layer(layers), "head", _numbers(n_heads)), Panel("mlp_out", _by_layer(layers), "layer"))
    effect = _scattered(1, panels, len(CLEAN))
    effect[0, 0, layers - 3, n_heads - 3] += 0.7
    effect[0, 0, layers - 2, 7 % n_heads] -= 0.4
    effect[0, 1, 0, 0] += 0.3
    story = replace(
        patching_story("noising"),
        question="Which heads does head 9 of layer 9 read $answer from?",
        label="path patching into z of layer 9, head 9",
        deed="Sending $what of the corrupt run to z of layer 9, head 9",
    )
    return filled((pair(),), panels, story, effect)


NOISE_STORY = Story(
    question="Where does the model recall $answer?",
    question_of_several="Where does the model recall the answer?",
    cell="Each cell is one run with noise on the subject and one activation restored. "
    "1 = as without noise, 0 = no change.",
    label="causal trace: noise of 3 standard deviations",
    deed="Restoring $what",
    negative="worse than noise alone",
    positive="restores the answer",
    sides=("clean", "noised"),
    host=1,
    averaging="values",
    noun="sample",
)


def noise(samples: int = 10) -> PatchingResult:
    """One prompt under several samples of noise, one of which hardly does anything."""
    first = replace(pair(), corrupt=pair().clean, noised=(3, 4, 5))
    panels = tuple(Panel(site, _by_layer(6), "pos") for site in ("resid_pre", "mlp_out"))
    effect = _scattered(samples, panels, len(CLEAN))
    effect[:, 0, :4, 5] += 0.8
    effect[:, 0, 3:, 8] += 0.7
    whole = filled((first,) * samples, panels, NOISE_STORY, effect)
    gaps = np.linspace(0.02, 1.0, samples)  # the noise of the first sample is next to nothing
    for name, ends in whole.baselines.items():
        ends[:, 1] = ends[:, 0] + gaps * (ENDS[name][1] - ENDS[name][0])
        host, donor = ends.T[::-1, :, None, None, None]
        whole.values[name][:] = host + effect * (donor - host)
    return whole


ABLATION_STORY = Story(
    question="What does the model need to say $answer?",
    question_of_several="What does the model need to say the answer?",
    cell="Each cell is one run with one activation replaced by its mean. "
    "1 = as if all tokens were equally likely, 0 = no change.",
    label="mean ablation",
    deed="Replacing $what by its mean",
    negative="strengthens the answer",
    positive="breaks the answer",
    sides=("clean", "uniform prediction"),
    host=0,
    noun="prompt",
)


def ablation(layers: int = 6, n_heads: int = 8) -> PatchingResult:
    """One prompt only; the other baseline is a prediction that no run made."""
    alone = replace(pair(), corrupt=Tokens((), ()), corrupt_top=())
    panels = (
        Panel("z", _by_layer(layers), "head", _numbers(n_heads)),
        *(Panel(site, _by_layer(layers), "layer") for site in ("attn_out", "mlp_out")),
    )
    effect = _scattered(1, panels, len(CLEAN))
    effect[0, 0, 4, 6] += 0.8
    effect[0, 2, 0, 0] += 0.6
    return filled((alone,), panels, ABLATION_STORY, effect)


def estimated(whole: PatchingResult, rows: slice = slice(None)) -> PatchingResult:
    """The result while some of its rows are estimates, which exact values will replace."""
    asked = whole.status == Status.COMPUTED
    estimates = Estimates(whole.metric, np.where(asked, whole.values[whole.metric], np.nan), asked.any(axis=0))
    status = whole.status.copy()
    status[:, :, rows][asked[:, :, rows]] = Status.ESTIMATED
    return replace(whole, status=status, estimates=estimates)


def blank(whole: PatchingResult) -> PatchingResult:
    """The result before anything but what is known without a run."""
    pending = whole.status == Status.COMPUTED
    return replace(
        whole,
        status=np.where(pending, Status.PENDING, whole.status).astype(np.uint8),
        values={name: np.where(pending, np.nan, array).astype(np.float32) for name, array in whole.values.items()},
        top_ids=np.where(pending[..., None], -1, whole.top_ids).astype(np.int32),
        top_probs=np.where(pending[..., None], np.nan, whole.top_probs).astype(np.float32),
    )


def steps(whole: PatchingResult, fail_at: int | None = None) -> Generator[PatchingResult, None, PatchingResult]:
    """Reveal a result row by row, the last row first; optionally fail at a step."""
    hidden = blank(whole)
    yield hidden
    rows = whole.status.shape[2]
    for done in range(1, rows + 1):
        if done == fail_at:
            raise RuntimeError("the model broke")
        shown = np.zeros(whole.status.shape, dtype=bool)
        shown[:, :, rows - done :] = True
        yield replace(
            whole,
            status=np.where(shown, whole.status, hidden.status),
            values={name: np.where(shown, whole.values[name], hidden.values[name]) for name in whole.metrics},
            top_ids=np.where(shown[..., None], whole.top_ids, hidden.top_ids),
            top_probs=np.where(shown[..., None], whole.top_probs, hidden.top_probs),
        )
    return whole


KINDS = {
    "heads": (heads, {"site": "k", "layer": 1, "head": 1}),
    "heads by position": (heads_by_position, {"site": "z", "layer": 2, "head": 1, "pos": 8}),
    "neurons": (neurons, {"site": "mlp_post", "layer": 2, "neuron": 1024}),
    "roles": (by_role, {"site": "resid_pre", "layer": 2, "role": "S2"}),
    "path": (path, {"site": "mlp_out", "layer": 0}),
    "noise": (noise, {"site": "resid_pre", "layer": 2, "pos": 5}),
    "ablation": (ablation, {"site": "z", "layer": 4, "head": 6}),
}
"""Grids of every kind: what makes one, and a cell of it."""
