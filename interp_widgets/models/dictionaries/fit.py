"""Measure how well a dictionary stands for a model's activations on some texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.losses import Replacement, token_losses
from interp_widgets.results.dictionary import DictionaryInfo, Fit
from interp_widgets.results.errors import FeatureError, PromptError

_CHUNK = 1 << 24
"""Most latents that are held at once."""

LEAST_EXPLAINED = 0.3
LEAST_RECOVERED = 0.5
"""Below one of these a dictionary is taken not to fit. Those that people publish explain 60% to 99% of the variance and
recover more than 80% of the loss, on text such as they were trained on; one at a wrong layer, site or scale mostly
explains less than nothing. About half of that is left for text of another kind."""
_COSTS = 0.05
"""Nats that zeros must cost before the loss recovered says anything."""


_TELLS = 8
"""Tokens from which on the variance explained says anything: few tokens hardly vary, least of all around their mean."""


def measure_fit(access: Access, dictionary: Dictionary, batches: Iterable[torch.Tensor]) -> Fit:
    """Reconstruct activations on texts, and run the model with the reconstruction in their place.

    The first token of each text is left as it is and not counted: models use it as a rest for attention, with
    activations unlike all others, and dictionaries are often not trained on it. A transcoder's reconstruction is of
    what is at the place that it writes. Warns if the dictionary does not seem to belong there.

    Args:
        access: the model. The losses are NaN where it does not predict the next token at each position.
        dictionary: the latents.
        batches: token ids, each (row, position), of texts without padding.

    Raises:
        PromptError: no text of two tokens or more.
        FeatureError: the reconstruction is NaN or infinite.
    """
    info = dictionary.info
    tally = _Tally(dictionary, torch.zeros((), dtype=torch.float64))
    zeros = Replacement(info.writes, info.writes, _zeroed)
    loss = loss_with = loss_without = 0.0
    for ids in batches:
        if ids.ndim != 2:
            raise PromptError(f"Token ids should have the axes (row, position), and have {ids.ndim}.")
        if ids.shape[1] < 2:
            continue
        loss_with += token_losses(access, ids, Replacement(info.reads, info.writes, tally.reconstructed))
        loss_without += token_losses(access, ids, zeros)
        loss += token_losses(access, ids)
    if not tally.n_tokens:
        raise PromptError("How well latents fit can be measured on texts of at least two tokens.")
    fit = tally.fit(loss, loss_with, loss_without)
    _warn(fit, info, access.opened.name)
    return fit


def _zeroed(there: torch.Tensor, _same: torch.Tensor) -> torch.Tensor:
    return torch.cat([there[:, :1], torch.zeros_like(there[:, 1:])], dim=1)


@dataclass
class _Tally:
    """Sums over tokens, in float64: a stream has numbers a thousand times larger than what they vary by."""

    dictionary: Dictionary
    total: torch.Tensor
    squares: float = 0.0
    missed: float = 0.0
    fires: int = 0
    n_tokens: int = 0

    def reconstructed(self, read: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Return what is there with its reconstruction in place of all tokens but the first, and count it."""
        x, y = read[:, 1:].flatten(0, 1), there[:, 1:].flatten(0, 1)
        at_once = max(1, _CHUNK // self.dictionary.info.n_latents)
        pairs = zip(torch.split(x, at_once), torch.split(y, at_once), strict=True)
        parts = torch.cat([self._reconstruct(*pair) for pair in pairs])
        return torch.cat([there[:, :1], parts.reshape(there[:, 1:].shape)], dim=1)

    def _reconstruct(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        latents = self.dictionary.encode(x)
        found = self.dictionary.decode(latents, x).to(y.device)
        if not torch.isfinite(found).all():
            raise FeatureError(f"The reconstruction by {self.dictionary.info.name} has NaN or infinity.")
        wide = y.double()
        self.n_tokens += len(y)
        self.fires += int((latents != 0).sum())
        self.missed += float((wide - found).square().sum())
        self.squares += float(wide.square().sum())
        self.total = self.total + wide.sum(0).cpu()
        return found

    def fit(self, loss: float, loss_with: float, loss_without: float) -> Fit:
        """Return the figures, given the sums of losses."""
        spread = self.squares - float(self.total.square().sum()) / self.n_tokens
        return Fit(
            variance_explained=1 - self.missed / spread if spread > 0 else float("nan"),
            l0=self.fires / self.n_tokens,
            loss=loss / self.n_tokens,
            loss_with=loss_with / self.n_tokens,
            loss_without=loss_without / self.n_tokens,
            n_tokens=self.n_tokens,
        )


def _warn(fit: Fit, info: DictionaryInfo, model: str) -> None:
    if info.kind not in ("sae", "transcoder"):
        return  # directions and neurons were not made to reconstruct anything
    tells = fit.loss_without - fit.loss > _COSTS
    unexplained = fit.n_tokens >= _TELLS and fit.variance_explained < LEAST_EXPLAINED
    if not unexplained and not (tells and fit.loss_recovered < LEAST_RECOVERED):
        return
    recovered = f" and recovers {fit.loss_recovered:.0%} of the loss" if tells else ""
    warnings.warn(
        f"{info.name} does not fit {model} at {info.writes}: it explains {fit.variance_explained:.0%} of the variance"
        f"{recovered}, where 60% and 80% are usual. Check that the model, the layer and the site are those that it was "
        "made for, that texts begin with the token (BOS) that they began with then, and how activations were "
        f"normalised then; here they are {info.normalised or 'encoded as they are'}.",
        UserWarning,
        stacklevel=3,
    )
