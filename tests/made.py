"""Results made by hand, for tests of what shows and saves them: every number is known without a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np

from interp_widgets.results.panel import Line, Panel
from interp_widgets.results.patching import CellCode, Pair, PatchingResult, Prediction, Status
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.story import patching_story
from interp_widgets.results.terms import Site
from interp_widgets.results.tokens import Token, Tokens

CLEAN = ("␣When", "␣Mary", "␣and", "␣John", ",", "␣John", "␣gave", "␣it", "␣to")
METRICS = ("logit_diff", "prob", "logprob", "kl", "rank", "loss")
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
    ends = {  # clean, corrupt
        "logit_diff": (3.5, -3.5),
        "prob": (0.7, 0.02),
        "logprob": (-0.36, -3.9),
        "kl": (0.0, 2.4),
        "rank": (0.0, 8.0),
        "loss": (0.36, 3.9),
    }
    baselines = {name: np.tile(np.array(ends[name]), (n_pairs, 1)) for name in METRICS}
    values = {}
    for name in METRICS:
        clean, corrupt = baselines[name].T[:, :, None, None, None]
        host, donor = (corrupt, clean) if direction == "denoising" else (clean, corrupt)
        values[name] = (host + effect * (donor - host)).astype(np.float32)
    top_ids = np.tile(np.array([MARY.id, JOHN.id], dtype=np.int32), (*shape, 1))
    top_probs = np.tile(np.array([0.6, 0.2], dtype=np.float32), (*shape, 1))
    return PatchingResult(
        pairs=tuple(pairs),
        panels=tuple(Panel(site, tuple(map(Line, range(layers))), "pos") for site in sites),
        story=patching_story(direction),  # type: ignore[arg-type]
        metric="logit_diff",
        values=values,
        baselines=baselines,
        status=status,
        top_ids=top_ids,
        top_probs=top_probs,
        vocab={MARY.id: MARY.label, JOHN.id: JOHN.label},
        provenance=Provenance(model, "0123abcd", "float32", {"nnsight": "0.8.1"}, 12.0, 1.5),
        code=CellCode(
            {site: f"import torch\n# {site} $layer $pos\nclean = $clean_ids\nprint($metric)\n" for site in sites},
            dict.fromkeys(METRICS, "logits[$answer] - logits[$wrong_answer]"),
        ),
    )


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
    """Reveal a result layer by layer, the last layer first; optionally fail at a step."""
    hidden = blank(whole)
    yield hidden
    for done in range(1, len(whole.layers) + 1):
        if done == fail_at:
            raise RuntimeError("the model broke")
        shown = np.zeros(whole.status.shape, dtype=bool)
        shown[:, :, len(whole.layers) - done :] = True
        yield replace(
            whole,
            status=np.where(shown, whole.status, hidden.status),
            values={name: np.where(shown, whole.values[name], hidden.values[name]) for name in whole.metrics},
            top_ids=np.where(shown[..., None], whole.top_ids, hidden.top_ids),
            top_probs=np.where(shown[..., None], whole.top_probs, hidden.top_probs),
        )
    return whole
