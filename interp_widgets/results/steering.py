"""What a model says when one coordinate of its activations is turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import unknown_name
from interp_widgets.results.packing import by_metric, of_metrics
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.terms import metric_term
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Mode = Literal["add", "clamp", "scale", "ablate", "project_out"]
"""What is done with a coordinate: a strength is added to it, or takes its place, or multiplies it; or so much of it is
taken out, where 1 is all of it. `project_out` is what `ablate` is called for a direction."""

MODES: tuple[Mode, ...] = get_args(Mode)

_ARRAYS = ("strengths", "top_ids", "top_probs", "continuations")


@dataclass(frozen=True, eq=False, repr=False)
class SteeringResult(Saved):
    """Prompts, each run as it is and with a coordinate turned by each of some strengths.

    The arrays have the axes (prompt, run): the first run is the one in which nothing is turned.
    """

    prompts: tuple[Tokens, ...]
    answers: tuple[Token, ...]
    """What metrics are about, for each prompt."""
    wrong_answers: tuple[Token, ...]
    what: str
    """What was turned, and where, in words."""
    mode: Mode
    strengths: NDArray[np.float64]
    """(run,): NaN for the first."""
    metric: str
    """The metric in front."""
    values: Mapping[str, NDArray[np.float32]]
    """For every metric, (prompt, run), NaN where not computed; "kl" is KL(as it is || turned)."""
    top_ids: NDArray[np.int32]
    """(prompt, run, k): the likeliest next tokens, -1 where not computed."""
    top_probs: NDArray[np.float32]
    """(prompt, run, k): their probabilities."""
    continuations: NDArray[np.int32]
    """(prompt, run, token): what the model goes on with, greedily; -1 where not computed and after the text's end."""
    vocab: Mapping[int, str]
    """Labels of all these tokens."""
    texts: tuple[tuple[str, ...], ...]
    """For each prompt and run, the continuation as text; without a tokenizer, its labels."""
    provenance: Provenance

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, SteeringResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(self.values)

    @property
    def complete(self) -> bool:
        """Whether every run was made."""
        return bool((self.top_ids[..., 0] >= 0).all())

    def change(self, metric: str | None = None) -> NDArray[np.float32]:
        """Return by how much each strength changes a metric, (prompt, strength); the one in front by default.

        Raises:
            UnknownNameError: the result holds no such metric.
        """
        values = self.values[self._metric(metric)]
        return values[:, 1:] - values[:, :1]

    def to_frame(self) -> pd.DataFrame:
        """One row for each prompt and run (needs pandas).

        Columns: `prompt` (its number), `strength` (NaN where nothing is turned), `token` (the likeliest next one) and
        `prob`, one for every metric, `continuation`.
        """
        import pandas as pd

        prompt, run = (axis.ravel() for axis in np.indices(self.top_ids.shape[:2]))
        tops = self.top_ids[prompt, run, 0]
        columns = {
            "prompt": prompt,
            "strength": self.strengths[run],
            "token": [self.vocab.get(int(token), "") for token in tops],
            "prob_of_token": self.top_probs[prompt, run, 0],
            **{metric: values[prompt, run] for metric, values in self.values.items()},
            "continuation": [self.texts[number][at] for number, at in zip(prompt, run, strict=True)],
        }
        table: pd.DataFrame = pd.DataFrame(columns)
        return table

    def summary(self) -> str:
        """Say in words what was turned and what came of it."""
        term = metric_term(self.metric)
        count = f"{len(self.prompts)} prompt{'s' * (len(self.prompts) > 1)}"
        lines = [f"{self.what} of {self.provenance.model}, on {count}."]
        if not self.complete:
            lines.append("Not all of it is computed yet.")
        tops = self.top_ids[..., 0]
        for run, strength in enumerate(self.strengths):
            deed = "as it is" if run == 0 else f"{self.mode} {strength:g}"
            mean = float(self.values[self.metric][:, run].mean())
            said = f"{deed}: {term.label} {mean:.3g}{f' {term.unit}' * bool(term.unit)}"
            if run:
                same = int((tops[:, run] == tops[:, 0]).sum())
                kl = float(self.values["kl"][:, run].mean())
                said += f", KL {kl:.3g} nats, the same next token in {same} of {len(self.prompts)}"
            lines.append(f"{said}.")
            if self.texts[0][run]:
                lines.append(f"  {''.join(self.prompts[0].labels[-3:])} … {self.texts[0][run]!r}")
        return "\n".join(lines)

    def figure(self) -> Figure:
        """Draw the metric in front and the KL by strength: thin lines for prompts, a thick one for their mean (needs
        matplotlib)."""
        from interp_widgets.results.steering_figure import draw_steering

        return draw_steering(self)

    def __repr__(self) -> str:
        runs = len(self.strengths) - 1
        return (
            f"SteeringResult({len(self.prompts)} prompt{'s' * (len(self.prompts) > 1)} x {runs} "
            f"strength{'s' * (runs > 1)}, {self.mode}, {self.metric}{', not complete' * (not self.complete)})"
        )

    def _metric(self, metric: str | None) -> str:
        name = self.metric if metric is None else metric
        if name not in self.values:
            raise unknown_name("metric", name, self.metrics)
        return name

    def _contents(self) -> Contents:
        header = {
            "prompts": [asdict(tokens) for tokens in self.prompts],
            "answers": [asdict(token) for token in self.answers],
            "wrong_answers": [asdict(token) for token in self.wrong_answers],
            "vocab": {str(token): label for token, label in self.vocab.items()},
            "provenance": asdict(self.provenance),
            "metrics": list(self.metrics),
            **{name: getattr(self, name) for name in ("what", "mode", "metric", "texts")},
        }
        return header, {name: getattr(self, name) for name in _ARRAYS} | by_metric("values", self.values)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> SteeringResult:
        plain: dict[str, Any] = {name: header[name] for name in ("what", "mode", "metric")}
        return cls(
            prompts=tuple(Tokens(tuple(each["ids"]), tuple(each["labels"])) for each in header["prompts"]),
            answers=tuple(Token(**each) for each in header["answers"]),
            wrong_answers=tuple(Token(**each) for each in header["wrong_answers"]),
            vocab={int(token): label for token, label in header["vocab"].items()},
            provenance=Provenance(**header["provenance"]),
            values=of_metrics("values", arrays, header["metrics"]),
            texts=tuple(map(tuple, header["texts"])),
            **plain | {name: arrays[name] for name in _ARRAYS},
        )
