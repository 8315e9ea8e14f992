"""The printed lines that measure a cell, from the logits of its run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from interp_widgets.experiments.metrics import Metrics

_METRICS: Mapping[str, str] = {
    "logit_diff": "logits[$answer] - logits[$wrong_answer]",
    "prob": "logits.softmax(-1)[$answer]",
    "logprob": "logits.log_softmax(-1)[$answer]",
    "kl": "(clean_logits.softmax(-1) * (clean_logits.log_softmax(-1) - logits.log_softmax(-1))).sum()",
    "rank": "(logits > logits[$answer]).sum() + ((logits == logits[$answer]).sum() - 1) / 2",
    "loss": "-logits.log_softmax(-1)[$answer]",
}

_NAMES = frozenset(
    {
        *("torch", "model", "lm", "clean", "corrupt", "other", "references", "reference", "runs", "at", "other_at"),
        *("block", "blocks", "donor", "donors", "before", "sent", "stream", "added", "inner", "units", "values"),
        *("context", "samples", "sample", "generator", "shape", "draws", "noise", "embedded", "logits", "all_logits"),
    }
)
"""What the printed lines call things: a function of one of these names goes by another."""

Unedited = Callable[..., str]
"""Writes the runs of prompts, given by name, as they are."""


def metric_lines(metrics: Metrics, unedited: Unedited, *, several: bool) -> dict[str, str]:
    """Write for each metric the lines that print its value.

    Args:
        metrics: what is measured.
        unedited: writes the runs that some metrics compare with.
        several: whether there are `all_logits`, one row for each sample, of which the mean is taken.
    """
    printed = {name: _print(expression, several=several) for name, expression in _METRICS.items()}
    printed["kl"] = f"{unedited('clean')}\n{printed['kl']}"
    if metrics.own is not None:
        printed[metrics.front] = _own(metrics, unedited, several=several)
    return printed


def _print(expression: str, *, several: bool) -> str:
    if not several:
        return f"print(float({expression}))"
    listed = f"values = [float({expression}) for logits in all_logits]"
    if len(listed) > 100:
        listed = f"values = [\n    float({expression})\n    for logits in all_logits\n]"
    return f"{listed}\nprint(sum(values) / len(values))"


def _own(metrics: Metrics, unedited: Unedited, *, several: bool) -> str:
    """Write the call of a user's function, which must be in scope where the lines are pasted."""
    name = getattr(metrics.own, "__name__", "")
    lines = []
    if not (inspect.isfunction(metrics.own) and name.isidentifier() and name not in _NAMES):
        name = "metric"
        lines.append("# metric: your own function")
    if metrics.context_argument:
        lines += [
            "from interp_widgets.experiments.metrics import MetricContext",
            "",
            unedited("clean", "corrupt"),
            "context = MetricContext(",
            "    pair=0,  # its number, where there are several",
            "    answer=$answer,",
            "    wrong_answer=$wrong_answer,",
            "    clean_logits=clean_logits,",
            "    corrupt_logits=corrupt_logits,",
            ")",
        ]
    arguments = ", ".join(filter(None, ["logits[None]", metrics.context_argument]))
    return "\n".join([*lines, _print(f"{name}({arguments})[0]", several=several)])
