"""What stands out among latents on text, in words."""

from __future__ import annotations

import numpy as np

from interp_widgets.results.dictionary import Fit
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.words import counted

_NAMED = 3
"""Latents that are named."""


def summary(result: FeatureResult) -> str:
    """Return what `FeatureResult.summary` does."""
    info = result.dictionary
    lines = [
        f"{info.name} ({counted(info.n_latents, 'latent')}, reading {info.reads}) on "
        f"{counted(result.n_tokens, 'token')} in {result.provenance.model}."
    ]
    read = int(result.computed.sum())
    if read < result.n_tokens:
        lines.append(f"{result.n_tokens - read:,} of {counted(result.n_tokens, 'token')} not read.")
    if read and not result.fires.any():
        lines.append(_silent(result))
    elif read:
        lines.append(f"{result.fires.sum() / read:.3g} latents fire on a token, in the mean.")
        strongest = (_strongest(result, latent) for latent, _ in result.ranked("max", _NAMED))
        lines.append(f"Strongest: {'; '.join(strongest)}.")
        lines += _different(result)
    if result.fit is not None:
        lines.append(fit_in_words(result.fit))
    return "\n".join(lines)


def fit_in_words(fit: Fit) -> str:
    """Say how well a dictionary stands for the activations."""
    recovered = "" if np.isnan(fit.loss_recovered) else f" and recovers {fit.loss_recovered:.1%} of the loss"
    return (
        f"With {fit.l0:.3g} latents a token it explains {fit.variance_explained:.1%} of the variance{recovered} "
        f"({counted(fit.n_tokens, 'token')})."
    )


def _silent(result: FeatureResult) -> str:
    sizes = result.statistic("max")
    latent = int(np.abs(sizes).argmax())
    return (
        f"No latent fires above {result.threshold:g}: the largest activation is {sizes[latent]:.3g}, of "
        f"{result.name(latent)}."
    )


def _strongest(result: FeatureResult, latent: int) -> str:
    value = result.statistic("max")[latent]
    column = result.column(latent)
    token = int(np.nanargmax(np.abs(column)))
    if column[token] != np.float32(value):  # not among the strongest that were kept where it is largest
        return f"{result.name(latent)} {value:.3g}"
    text, position = result.place(token)
    where = f" of text {text}" if len(result.texts) > 1 else ""
    return f"{result.name(latent)} {value:.3g} at {result.texts[text].labels[position]} (position {position}{where})"


def _different(result: FeatureResult) -> list[str]:
    names = list(dict.fromkeys(result.sides))
    if len(names) < 2 or not result.complete:
        return []
    apart = (f"{result.name(latent)} {value:+.3g}" for latent, value in result.ranked("difference", _NAMED))
    return [f"Most apart in the mean, {names[0]} minus {names[1]}: {'; '.join(apart)}."]
