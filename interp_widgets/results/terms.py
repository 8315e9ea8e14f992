"""The vocabulary: sites, directions and metrics, each with the words that explain it to a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from interp_widgets.results.errors import unknown_name

StreamSite = Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"]
"""A place in a transformer block where an activation is as wide as the stream: (position, d_model)."""

HeadSite = Literal["z", "q", "k", "v", "pattern"]
"""A place inside attention with a part for each head: (position, head, d_head), `pattern` (head, query, key).

`k` and `v` have the key-value heads, of which several query heads may share one.
"""

NeuronSite = Literal["mlp_post"]
"""A place inside the MLP with a number for each neuron: (position, d_mlp)."""

Site = Literal[StreamSite, HeadSite, NeuronSite]
"""A place in a transformer block where an activation is read or written."""

Direction = Literal["denoising", "noising"]
"""Which run is patched: `denoising` copies clean into corrupt, `noising` copies corrupt into clean."""

Ablation = Literal["zero", "mean", "resample"]
"""What an ablated activation is replaced by: zeros, a mean over other prompts, or what one other prompt has there."""

MetricName = Literal["logit_diff", "prob", "logprob", "kl", "rank", "loss"]
"""A number read from the logits at the last position."""

STREAM_SITES: tuple[StreamSite, ...] = get_args(StreamSite)
HEAD_SITES: tuple[HeadSite, ...] = get_args(HeadSite)
NEURON_SITES: tuple[NeuronSite, ...] = get_args(NeuronSite)
SITES: tuple[Site, ...] = (*STREAM_SITES, *HEAD_SITES, *NEURON_SITES)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
METRICS: tuple[MetricName, ...] = get_args(MetricName)


@dataclass(frozen=True)
class Term:
    """A name of the vocabulary, with the words a person reads."""

    name: str
    label: str
    meaning: str
    unit: str = ""


SITE_TERMS: dict[Site, Term] = {
    "resid_pre": Term("resid_pre", "resid_pre", "the stream entering the layer"),
    "resid_mid": Term("resid_mid", "resid_mid", "the stream between attention and MLP"),
    "resid_post": Term("resid_post", "resid_post", "the stream leaving the layer"),
    "attn_out": Term("attn_out", "attn_out", "what attention adds"),
    "mlp_out": Term("mlp_out", "mlp_out", "what the MLP adds"),
    "z": Term("z", "z", "what each head hands to the output projection: its values, weighted by its pattern"),
    "q": Term("q", "q", "each head's queries, before any rotation or norm of single heads"),
    "k": Term("k", "k", "each key-value head's keys, before any rotation or norm of single heads"),
    "v": Term("v", "v", "each key-value head's values as projected"),
    "pattern": Term("pattern", "pattern", "how much each head's query position takes from each key position"),
    "mlp_post": Term("mlp_post", "mlp_post", "the MLP's neurons, after nonlinearity and gate"),
}

METRIC_TERMS: dict[MetricName, Term] = {
    "logit_diff": Term(
        "logit_diff", "logit difference", "logit of the answer minus logit of the wrong answer", "logits"
    ),
    "prob": Term("prob", "probability", "probability of the answer", ""),
    "logprob": Term("logprob", "log probability", "natural log of the answer's probability", "nats"),
    "kl": Term("kl", "KL", "KL divergence of the predictions from those of the clean run", "nats"),
    "rank": Term(
        "rank", "rank", "number of tokens more likely than the answer, ties half; 0 is the top prediction", "places"
    ),
    "loss": Term("loss", "loss", "cross-entropy of the answer; lower is better", "nats"),
}


def parse_site(name: object) -> Site:
    """Return `name` as a site, or raise `UnknownNameError` naming the nearest ones."""
    if name not in SITES:
        raise unknown_name("site", name, SITES)
    return name


def parse_direction(name: object) -> Direction:
    """Return `name` as a direction, or raise `UnknownNameError` naming the nearest ones."""
    if name not in DIRECTIONS:
        raise unknown_name("direction", name, DIRECTIONS)
    return name


def parse_ablation(name: object) -> Ablation:
    """Return `name` as an ablation, or raise `UnknownNameError` naming the nearest ones."""
    if name not in ABLATIONS:
        raise unknown_name("ablation", name, ABLATIONS)
    return name


def parse_metric(name: object) -> MetricName:
    """Return `name` as a metric, or raise `UnknownNameError` naming the nearest ones."""
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)
    return name


def metric_term(name: str) -> Term:
    """Describe a metric; one that a user wrote is described by its own name."""
    known = METRIC_TERMS.get(cast("MetricName", name))
    return known or Term(name, name, "your own metric of the logits at the last position")


def site_term(name: str) -> Term:
    """Describe a site; one without a description goes by its name."""
    return SITE_TERMS.get(cast("Site", name)) or Term(name, name, "")
