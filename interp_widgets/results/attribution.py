"""Direct logit attribution: a logit difference as a sum over the components that write to the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from string import Template
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.attribution_parts import Neurons, Sources, arrays_of, parts_of
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.features_packing import tokens_of
from interp_widgets.results.intervals import interval
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Kind = Literal["embedding", "token", "position", "head", "attention", "mlp", "bias"]
"""What a component is. The embedding is "token" and "position" where a model adds the two; attention is its heads where
they can be told apart, and "attention" as a whole where not."""

KINDS: tuple[Kind, ...] = get_args(Kind)
_ARRAYS = ("targets", "contributions", "logits", "scales")
_NAMED = 3
"""Components that a summary names on either side."""


@dataclass(frozen=True)
class Component:
    """One of the parts whose outputs add up to the last stream."""

    name: str
    """As people read it: "token embedding", "head 9.6", "attention 0 bias", "MLP 3", "last biases"."""
    kind: Kind
    layer: int | None = None
    head: int | None = None

    @property
    def place(self) -> dict[str, str | int]:
        """Its site, layer and head, as far as it has them; no two components of a model have the same.

        Sites are those of other results, and "embed", "pos_embed", "attn_bias", "mlp_bias" and "bias", the last biases.
        """
        sites = {"head": "z", "attention": "attn_out", "mlp": "mlp_out", "position": "pos_embed"}
        site = sites.get(self.kind, "embed")
        if self.kind == "bias":
            site = "bias" if self.layer is None else "mlp_bias" if self.name.startswith("MLP") else "attn_bias"
        return {"site": site} | {
            name: number for name, number in (("layer", self.layer), ("head", self.head)) if number is not None
        }

    @property
    def cell(self) -> dict[str, str | int]:
        """Its place as a cell of other results, such as {"site": "z", "layer": 9, "head": 6}; empty if it has none."""
        site = {"head": "z", "attention": "attn_out", "mlp": "mlp_out"}.get(self.kind)
        if site is None or self.layer is None:
            return {}
        place: dict[str, str | int] = {"site": site, "layer": self.layer}
        return place if self.head is None else place | {"head": self.head}


@dataclass(frozen=True, eq=False, repr=False)
class AttributionResult(Saved):
    """What each component adds to a logit difference directly, by way of the last norm and the unembedding.

    The last norm is held at what it divides by in this run at the target's position, and so is a norm behind attention
    or an MLP; what is left is linear, so that the contributions of all components add up to the model's own difference.
    What later components make of a component's output counts as theirs.
    """

    prompts: tuple[Tokens, ...]
    answers: tuple[Token, ...]
    """For each prompt the token whose logit is taken apart."""
    wrong_answers: tuple[Token | None, ...]
    """The token whose logit is taken off; None: the mean over the vocabulary."""
    components: tuple[Component, ...]
    """In the order in which the model adds them up, the biases of the last norm and the unembedding at the end."""
    targets: NDArray[np.int32]
    """(prompt, target): the positions whose predictions are taken apart."""
    contributions: NDArray[np.float32]
    """(prompt, target, component): in logits; NaN where not computed yet."""
    logits: NDArray[np.float64]
    """(prompt, target): the model's own logit of the answer less that of the wrong answer."""
    scales: NDArray[np.float64]
    """(prompt, target): what the last norm divides by there, which is held fixed; 1 where there is no norm."""
    provenance: Provenance
    sources: Sources = field(default_factory=dict)
    """By layer and head: what the heads that were asked for bring from each token."""
    neurons: Neurons = field(default_factory=dict)
    """By layer: what each neuron does of the MLPs that were asked for."""
    code: Mapping[str, str] = field(default_factory=dict, compare=False)
    """By kind of component: lines of nnsight that compute one, as templates; see `script`."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, AttributionResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def complete(self) -> bool:
        """Whether every prompt is computed."""
        return not np.isnan(self.logits).any()

    @property
    def total(self) -> NDArray[np.float64]:
        """The sum of all contributions, (prompt, target)."""
        total: NDArray[np.float64] = self.contributions.sum(-1, dtype=np.float64)
        return total

    @property
    def unexplained(self) -> NDArray[np.float64]:
        """The model's own logit difference less that sum, (prompt, target): rounding, in float32 below 1e-4."""
        return self.logits - self.total

    @property
    def accumulated(self) -> NDArray[np.float64]:
        """The sum of all contributions up to and with each component, (prompt, target, component)."""
        return self.contributions.cumsum(-1, dtype=np.float64)

    @property
    def after_layers(self) -> NDArray[np.float64]:
        """The accumulated contributions after the embedding and after each layer, (prompt, target, 1 + layer)."""
        layers = np.array([-1 if part.layer is None else part.layer for part in self.components[:-1]])
        ends = [int(np.flatnonzero(layers <= layer)[-1]) for layer in range(-1, int(layers.max()) + 1)]
        reached: NDArray[np.float64] = self.accumulated[..., ends]
        return reached

    def heads(self) -> NDArray[np.float32]:
        """The contributions of heads, (prompt, target, layer, head); NaN where heads cannot be told apart."""
        places = [(n, part.layer, part.head) for n, part in enumerate(self.components) if part.kind == "head"]
        n_layers = 1 + max((part.layer for part in self.components if part.layer is not None), default=-1)
        n_heads = 1 + max((head for _, _, head in places if head is not None), default=-1)
        found = np.full((*self.logits.shape, n_layers, n_heads), np.nan, np.float32)
        for number, layer, head in places:
            found[..., layer, head] = self.contributions[..., number]
        return found

    def of(self, kind: Kind, layer: int | None = None) -> NDArray[np.float64]:
        """The sum over all components of a kind, and of a layer where one is given, (prompt, target).

        Raises:
            UnknownNameError: there is no such kind.
        """
        if kind not in KINDS:
            raise unknown_name("kind", kind, KINDS)
        chosen = [part.kind == kind and layer in (None, part.layer) for part in self.components]
        total: NDArray[np.float64] = self.contributions[..., chosen].sum(-1, dtype=np.float64)
        return total

    def mean(self) -> NDArray[np.float64]:
        """The mean contribution over the prompts computed so far, (target, component)."""
        mean: NDArray[np.float64] = self._computed.mean(axis=0, dtype=np.float64)
        return mean

    def interval(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The 95% confidence interval of that mean, (low, high), each (target, component); NaN for one prompt.

        By Student's t, so it takes prompts as independent draws whose contributions are roughly normal.
        """
        return interval(self._computed)

    def spread(self) -> NDArray[np.float64]:
        """Standard deviation between prompts (n - 1 in the denominator), (target, component); NaN for one prompt."""
        computed = self._computed
        if len(computed) < 2:
            return np.full(computed.shape[1:], np.nan)
        spread: NDArray[np.float64] = computed.std(axis=0, ddof=1, dtype=np.float64)
        return spread

    def strongest(self, n: int = 10, target: int = -1) -> tuple[tuple[Component, float], ...]:
        """Return the n components with the largest mean contributions by size, with those, the largest first."""
        mean = self.mean()[target]
        order = np.argsort(-np.abs(mean), kind="stable")[:n]
        return tuple((self.components[number], float(mean[number])) for number in order)

    def to_frame(self) -> pd.DataFrame:
        """One row for each prompt, target and component (needs pandas).

        Columns: `prompt`, `position`, `component`, `kind`, `layer`, `head`, `contribution` and `accumulated`.
        """
        import pandas as pd

        prompt, target, number = (index.ravel() for index in np.indices(self.contributions.shape))
        own = {name: self._column(name) for name in ("name", "kind")}
        numbers = {name: pd.array(self._column(name), dtype="Int64") for name in ("layer", "head")}
        columns = {
            "prompt": prompt,
            "position": self.targets[prompt, target],
            "component": np.array(own["name"], dtype=object)[number],
            "kind": np.array(own["kind"], dtype=object)[number],
            "layer": numbers["layer"][number],
            "head": numbers["head"][number],
            "contribution": self.contributions.ravel(),
            "accumulated": self.accumulated.ravel(),
        }
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame

    def to_xarray(self) -> xr.Dataset:
        """The numbers with named axes: prompt, target and component (needs xarray)."""
        import xarray as xr

        axes = ("prompt", "target")
        return xr.Dataset(
            {
                "contribution": ((*axes, "component"), self.contributions),
                "logit_diff": (axes, self.logits),
                "scale": (axes, self.scales),
            },
            coords={
                "component": self._column("name"),
                "kind": ("component", self._column("kind")),
                "position": (axes, self.targets),
            },
        )

    def find(self, place: Mapping[str, Any]) -> Component:
        """Return the component at a place: its `site`, `layer` and `head`, as far as they are needed to tell it.

        Raises:
            SelectionError: there is none, or there are several.
        """
        given = {name: value for name, value in place.items() if value is not None}
        unknown = given.keys() - {"site", "layer", "head"}
        if unknown or not given:
            raise SelectionError(
                f'A component is named by its place, such as {{"site": "z", "layer": 9, "head": 6}} for a head or '
                f'{{"site": "mlp_out", "layer": 3}} for an MLP, not by {dict(place)!r}.'
            )
        found = [part for part in self.components if given.items() <= part.place.items()]
        if len(found) == 1:
            return found[0]
        sites = dict.fromkeys(str(part.place["site"]) for part in self.components)
        problem = f"{len(found)} components are" if found else "No component is"
        raise SelectionError(
            f"{problem} at {given}. There are the sites {', '.join(sites)}"
            f"{', each with its layer and heads (z) with their number' if found else ''}."
        )

    def script(self, component: int, prompt: int = 0, target: int = -1) -> str:
        """The lines of nnsight that compute one contribution and print it; they run as they are printed.

        Args:
            component: its number in `components`.
            prompt: in which prompt.
            target: at which of its targets.

        Raises:
            ResultError: the result came without code.
        """
        place = self.components[component].place
        template = self.code.get(str(place["site"]))
        if template is None:
            raise ResultError(
                f"There are no lines for {self.components[component].name}: the result is older than they are, or a "
                "norm of the model takes more than a few lines to hold."
            )
        return Template(template).safe_substitute({**place, **self.fills(prompt, target)})

    def fills(self, prompt: int, target: int) -> dict[str, str]:
        """What fills in the templates of `code` for one prompt and target."""
        wrong = self.wrong_answers[prompt]
        return {
            "ids": str(list(self.prompts[prompt].ids)),
            "pos": str(int(self.targets[prompt, target])),
            "answer": f"[{self.answers[prompt].id}]",
            "wrong_answer": ".mean(0)" if wrong is None else f"[{wrong.id}]",
        }

    def summary(self) -> str:
        """Say in words what adds up to the logit difference at the last target, in a mean over prompts."""
        done = ~np.isnan(self.logits[:, -1])
        if not done.any():
            return f"{self.provenance.model}: nothing is computed yet."
        over = f", in a mean over {done.sum()} prompts" if done.sum() > 1 else ""
        lines = [f"{self.provenance.model}: {self._asked()} is {self.logits[done, -1].mean():.3g}{over}."]
        mean = self.mean()[-1]
        groups = {"the embedding": ("embedding", "token", "position"), "attention": ("head", "attention")}
        groups |= {"MLPs": ("mlp",), "biases": ("bias",)}
        kinds = self._column("kind")
        sums = [
            f"{mean[[kind in wanted for kind in kinds]].sum():+.3g} from {words}" for words, wanted in groups.items()
        ]
        lines.append(f"{', '.join(sums[:-1])} and {sums[-1]}.")
        order = np.argsort(-mean, kind="stable")
        for verb, numbers in (("for", order[:_NAMED]), ("against", order[::-1][:_NAMED])):
            named = [n for n in numbers if (mean[n] > 0) == (verb == "for") and mean[n]]
            if named:
                parts = ", ".join(f"{self.components[n].name} ({mean[n]:+.3g})" for n in named)
                lines.append(f"Most {verb} it: {parts}.")
        scale, rest = self.scales[done, -1], float(np.abs(self.unexplained[done, -1]).max())
        held = f"{scale[0]:.3g}" if len(scale) == 1 else f"{scale.min():.3g} to {scale.max():.3g}"
        lines.append(
            f"The scale of the last norm is held at what it is in this run ({held}). The sum misses the model's own "
            f"difference by {rest:.1g} at most."
        )
        if not self.complete:
            left = int((~done).sum())
            lines.append(f"{left} prompt{'s are' if left != 1 else ' is'} still to be computed.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        prompts = f"{len(self.prompts)} prompt{'s' * (len(self.prompts) != 1)}"
        more = "" if self.complete else ", more to compute"
        return f"AttributionResult({prompts}, {self.targets.shape[1]} x {len(self.components)} components{more})"

    @property
    def _computed(self) -> NDArray[np.float32]:
        return self.contributions[~np.isnan(self.logits).any(-1)]

    def _column(self, name: str) -> list[Any]:
        return [getattr(part, name) for part in self.components]

    def _asked(self) -> str:
        """What is taken apart, in words."""
        answers, wrong = set(self.answers), set(self.wrong_answers)
        right = f"the logit of {self.answers[0]}" if len(answers) == 1 else "the answer's logit"
        if wrong == {None}:
            return f"{right} above the mean over the vocabulary"
        return f"{right} above that of {self.wrong_answers[0] if len(wrong) == 1 else 'the wrong answer'}"

    def _contents(self) -> Contents:
        header = {
            "prompts": [asdict(tokens) for tokens in self.prompts],
            "answers": [asdict(token) for token in self.answers],
            "wrong_answers": [token and asdict(token) for token in self.wrong_answers],
            "components": [asdict(part) for part in self.components],
            "provenance": asdict(self.provenance),
            "code": dict(self.code),
        }
        return header, {name: getattr(self, name) for name in _ARRAYS} | arrays_of(self.sources, self.neurons)

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> AttributionResult:
        sources, neurons = parts_of(arrays)
        return cls(
            prompts=tuple(map(tokens_of, header["prompts"])),
            answers=tuple(Token(**token) for token in header["answers"]),
            wrong_answers=tuple(token and Token(**token) for token in header["wrong_answers"]),
            components=tuple(Component(**part) for part in header["components"]),
            **{name: arrays[name] for name in _ARRAYS},
            provenance=Provenance(**header["provenance"]),
            sources=sources,
            neurons=neurons,
            code=header.get("code", {}),  # of a result that was saved without
        )
