"""What a model would say of its stream at each layer and position: the logit lens and the tuned lens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.dictionary import Place
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name
from interp_widgets.results.features_packing import tokens_of
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents, Saved
from interp_widgets.results.tokens import Token, Tokens

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_ARRAYS = ("logprobs", "ranks", "entropy", "kl", "log_sums", "apart", "top_ids", "top_probs")
OF_ANSWERS = ("prob", "logprob", "logit", "rank")
"""Numbers about one of the tokens that are followed."""
OF_CELLS = ("entropy", "kl")
"""Numbers about the whole prediction of a cell."""


@dataclass(frozen=True, eq=False, repr=False)
class LensResult(Saved):
    """What the model would say if its stream at a layer and position went straight to its last norm and unembedding.

    All arrays have the axes (prompt, row, position): rows are places in the order in which the model reaches them, the
    embedding first and the model's own prediction last. Of what is said in a cell only these few numbers are kept.
    """

    prompts: tuple[Tokens, ...]
    """One prompt, or a clean and a corrupt one with as many tokens."""
    answers: tuple[Token, ...]
    """The tokens that are followed."""
    rows: tuple[Place, ...]
    lens: str
    """How streams are read, in words: "logit lens", or which tuned lens."""
    logprobs: NDArray[np.float32]
    """(prompt, row, position, answer): natural log of an answer's probability; NaN where not computed yet."""
    ranks: NDArray[np.float32]
    """(prompt, row, position, answer): number of tokens more likely than it, ties half; 0 is the top prediction."""
    entropy: NDArray[np.float32]
    """Entropy of the prediction, in nats: 0 is certain, the log of the vocabulary's size uniform."""
    kl: NDArray[np.float32]
    """KL divergence of the cell's prediction from the model's own at this position, KL(own || cell), in nats."""
    log_sums: NDArray[np.float32]
    """Log of the sum of e^logit over the vocabulary: a log probability plus this is a logit."""
    apart: NDArray[np.float32]
    """(comparison, row, position): KL divergence of the corrupt prompt's prediction in a cell from the clean one's,
    KL(clean || corrupt), in nats. One comparison where there are two prompts, else none."""
    top_ids: NDArray[np.int32]
    """(prompt, row, position, k): the most probable tokens, -1 where not computed yet."""
    top_probs: NDArray[np.float32]
    """(prompt, row, position, k): their probabilities."""
    vocab: Mapping[int, str]
    """Label of every token id in `top_ids`."""
    provenance: Provenance
    code: Mapping[str, str]
    """Lines of nnsight that compute a cell, templates by site with `$ids`, `$layer` and `$pos`; that of the last row,
    the model's own prediction, is called "last". Empty where there are none."""

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, LensResult) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by value and holds arrays

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows as people read them: "embedding", then such as "resid_mid 3"."""
        return tuple(_label(place) for place in self.rows)

    @property
    def remaining(self) -> int:
        """Number of cells that are still to be computed."""
        return int(np.isnan(self.entropy).sum())

    @property
    def complete(self) -> bool:
        """Whether every cell is computed."""
        return self.remaining == 0

    def row(self, site: str, layer: int) -> int:
        """Return the number of the row that shows a site of a layer, which may be called by another of its names.

        Raises:
            SelectionError: there is no such row.
        """
        depth = self.rows[-1].layer + 1
        wanted = _at(site, layer % depth if -depth <= layer < depth else layer)
        for number, place in enumerate(self.rows):
            if _at(place.site, place.layer) == wanted:
                return number
        raise SelectionError(f"No row shows {site} of layer {layer}. The rows are {', '.join(self.labels)}.")

    def value(self, metric: str, answer: int | str = 0) -> NDArray[np.float32]:
        """Return a number of every cell, with the axes (prompt, row, position).

        Args:
            metric: "prob", "logprob", "logit" or "rank" of an answer, or "entropy" or "kl" of the whole prediction.
            answer: which of `answers`, by number or label.

        Raises:
            UnknownNameError: there is no such metric.
            SelectionError: no such token is followed.
        """
        if metric == "entropy":
            return self.entropy
        if metric == "kl":
            return self.kl
        if metric not in OF_ANSWERS:
            raise unknown_name("metric", metric, (*OF_ANSWERS, *OF_CELLS))
        number = self._answer(answer)
        if metric == "rank":
            return self.ranks[..., number]
        logprobs: NDArray[np.float32] = self.logprobs[..., number]
        if metric == "logit":
            return logprobs + self.log_sums
        return logprobs if metric == "logprob" else np.exp(logprobs)

    def difference(self, metric: str, answer: int | str = 0) -> NDArray[np.float32]:
        """Return the number of each cell of the clean prompt less that of the corrupt one, (row, position).

        Raises:
            ResultError: there is one prompt only.
            UnknownNameError: there is no such metric.
            SelectionError: no such token is followed.
        """
        if len(self.prompts) == 1:
            raise ResultError("there is one prompt only. Pass `corrupt=` to compare it with another.")
        clean, corrupt = self.value(metric, answer)
        return np.asarray(clean - corrupt, np.float32)

    def divergence(self) -> NDArray[np.float32]:
        """Return how far what is said of the corrupt prompt is from the clean one, in nats, (row, position).

        Raises:
            ResultError: there is one prompt only.
        """
        if not len(self.apart):
            raise ResultError("there is one prompt only. Pass `corrupt=` to compare it with another.")
        divergence: NDArray[np.float32] = self.apart[0]
        return divergence

    def following(self, other: LensResult) -> LensResult:
        """Return this result with the tokens that another one follows beside its own.

        Raises:
            ResultError: the other reads other prompts or places.
        """
        if (self.prompts, self.rows, self.lens) != (other.prompts, other.rows, other.lens):
            raise ResultError("these results read other prompts or places, and cannot be put together.")
        known = {token.id for token in self.answers}
        new = [number for number, token in enumerate(other.answers) if token.id not in known]
        return replace(
            self,
            answers=(*self.answers, *(other.answers[number] for number in new)),
            logprobs=np.concatenate([self.logprobs, other.logprobs[..., new]], axis=-1),
            ranks=np.concatenate([self.ranks, other.ranks[..., new]], axis=-1),
        )

    def script(self, prompt: int, row: int, position: int) -> str:
        """The lines of nnsight that compute a cell and print what is said there; they run as they are printed.

        Raises:
            SelectionError: there is no such cell.
            ResultError: the result came without code.
        """
        shape = self.entropy.shape
        place = {"prompt": prompt, "row": row, "position": position}
        for (name, number), size in zip(place.items(), shape, strict=True):
            if not -size <= number < size:
                raise SelectionError(f"There is no {name} {number}: they run from 0 to {size - 1}.")
        prompt, row, position = (number % size for number, size in zip(place.values(), shape, strict=True))
        where = self.rows[row]
        template = self.code.get("last" if row == shape[1] - 1 else where.site)
        if template is None:
            raise ResultError("There are no lines for this cell: the result came without code.")
        ids = list(self.prompts[prompt].ids)
        return Template(template).safe_substitute(ids=ids, layer=where.layer, pos=position)

    def top(self, prompt: int, row: int, position: int) -> tuple[tuple[Token, float], ...]:
        """Return the most probable tokens of a cell with their probabilities; none where it is not computed yet."""
        ids, probs = self.top_ids[prompt, row, position], self.top_probs[prompt, row, position]
        return tuple(
            (Token(token, self.vocab[token]), prob)
            for token, prob in zip(ids.tolist(), probs.tolist(), strict=True)
            if token >= 0
        )

    def settles(self, prompt: int = 0, position: int = -1, answer: int | str = 0) -> int | None:
        """Return the first row from which on an answer stays the top prediction; None if it is not that in the end."""
        is_top = self.value("rank", answer)[prompt, :, position] == 0
        if not is_top[-1]:
            return None
        return int(len(is_top) - np.argmin(is_top[::-1])) if not is_top.all() else 0

    def to_frame(self) -> pd.DataFrame:
        """One row for each cell and each token that is followed (needs pandas).

        Columns: `prompt`, `site`, `layer`, `position`, `token` (what stands there), `answer`, `prob`, `logprob`,
        `logit`, `rank`, `entropy`, `kl`, `top` and `top_prob`.
        """
        import pandas as pd

        shape = self.logprobs.shape
        prompt, row, position, answer = (index.ravel() for index in np.indices(shape))
        cells = (prompt, row, position)
        best = self.top_ids[..., 0][cells]
        columns = {
            "prompt": prompt,
            "site": np.array([place.site for place in self.rows])[row],
            "layer": np.array([place.layer for place in self.rows])[row],
            "position": position,
            "token": np.array([tokens.labels for tokens in self.prompts], dtype=object)[prompt, position],
            "answer": np.array([token.label for token in self.answers], dtype=object)[answer],
            "prob": np.exp(self.logprobs).ravel(),
            "logprob": self.logprobs.ravel(),
            "logit": (self.logprobs + self.log_sums[..., None]).ravel(),
            "rank": self.ranks.ravel(),
            "entropy": self.entropy[cells],
            "kl": self.kl[cells],
            "top": [self.vocab.get(token, "") for token in best.tolist()],
            "top_prob": self.top_probs[..., 0][cells],
        }
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame

    def to_xarray(self) -> xr.Dataset:
        """The numbers with named axes: prompt, row, position and answer (needs xarray)."""
        import xarray as xr

        cell = ("prompt", "row", "position")
        return xr.Dataset(
            {
                "prob": ((*cell, "answer"), np.exp(self.logprobs)),
                "logprob": ((*cell, "answer"), self.logprobs),
                "logit": ((*cell, "answer"), self.logprobs + self.log_sums[..., None]),
                "rank": ((*cell, "answer"), self.ranks),
                "entropy": (cell, self.entropy),
                "kl": (cell, self.kl),
            },
            coords={
                "row": list(self.labels),
                "site": ("row", [place.site for place in self.rows]),
                "layer": ("row", [place.layer for place in self.rows]),
                "answer": [token.id for token in self.answers],
                "answer_label": ("answer", [token.label for token in self.answers]),
            },
        )

    def summary(self) -> str:
        """Say in words what the model says at the last position, and from which layer on."""
        lines = [f"{self.provenance.model} through the {self.lens}, {_count(self)}."]
        for number, name in enumerate(_names(self)):
            top = self.top(number, -1, -1)
            if not top:
                continue
            lines.append(f"At the end of {name} the model says {top[0][0]} ({top[0][1]:.0%}).")
            lines += [self._about(number, answer) for answer in range(len(self.answers))]
        if not self.complete:
            lines.append(f"{self.remaining} cells are still to be computed.")
        return "\n".join(lines)

    def _about(self, prompt: int, answer: int) -> str:
        label, first = self.answers[answer].label, self.settles(prompt, -1, answer)
        prob, rank = (float(self.value(metric, answer)[prompt, -1, -1]) for metric in ("prob", "rank"))
        if first is None:
            return f"{label} ends at {prob:.0%}, behind {rank:g} other token{'s' * (rank != 1)}."
        return f"{label} is the top prediction from {self.labels[first]} on, and ends at {prob:.0%}."

    def __repr__(self) -> str:
        more = "" if self.complete else f", {self.remaining} cells to compute"
        return f"LensResult({self.lens}, {_count(self)}{more})"

    def _answer(self, answer: int | str) -> int:
        labels = [token.label for token in self.answers]
        if isinstance(answer, str):
            if answer in labels:
                return labels.index(answer)
        elif -len(labels) <= answer < len(labels):
            return answer % len(labels)
        raise SelectionError(
            f"answer={answer!r} is not followed. The tokens that are: "
            + ", ".join(f"{number} [{label}]" for number, label in enumerate(labels))
            + "."
        )

    def _contents(self) -> Contents:
        header = {
            "prompts": [asdict(tokens) for tokens in self.prompts],
            "answers": [asdict(token) for token in self.answers],
            "rows": [asdict(place) for place in self.rows],
            "lens": self.lens,
            "vocab": {str(token): label for token, label in self.vocab.items()},
            "provenance": asdict(self.provenance),
            "code": dict(self.code),
        }
        return header, {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _of_contents(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LensResult:
        return cls(
            prompts=tuple(map(tokens_of, header["prompts"])),
            answers=tuple(Token(**token) for token in header["answers"]),
            rows=tuple(Place(**place) for place in header["rows"]),
            lens=header["lens"],
            **{name: arrays[name] for name in _ARRAYS},
            vocab={int(token): label for token, label in header["vocab"].items()},
            provenance=Provenance(**header["provenance"]),
            code=header["code"],
        )


def _at(site: str, layer: int) -> tuple[str, int]:
    """Where a site is: what leaves a layer is what enters the next."""
    return ("resid_pre", layer + 1) if site == "resid_post" else (site, layer)


def _label(place: Place) -> str:
    return "embedding" if _at(place.site, place.layer) == ("resid_pre", 0) else f"{place.site} {place.layer}"


def _names(result: LensResult) -> tuple[str, ...]:
    return ("the prompt",) if len(result.prompts) == 1 else ("the clean prompt", "the corrupt prompt")


def _count(result: LensResult) -> str:
    prompts = "2 prompts of " if len(result.prompts) == 2 else ""
    return f"{prompts}{len(result.prompts[0])} tokens at {len(result.rows)} places"
