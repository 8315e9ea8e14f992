"""What writes to latents on a text, by direct attribution: each part of the stream, read with the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from interp_widgets.models.access import Access, Runs
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.direct import Term, whole
from interp_widgets.models.reading import batch_tokens, read
from interp_widgets.models.straight import Straight
from interp_widgets.models.texts import Batch, Cutter, Window
from interp_widgets.results.dictionary import Place
from interp_widgets.results.latent import Link
from interp_widgets.results.terms import Site

_SITES = ("resid_pre", "resid_mid", "resid_post", "mlp_in", "attn_out")
"""Places that are sums of what components add, or a norm of such a sum."""


@dataclass(frozen=True)
class Writing:
    """What writes to a latent, and where: the number of the text and the position in it."""

    links: tuple[Link, ...]
    place: tuple[int, int]


@dataclass(frozen=True)
class _Peak:
    """Where a latent is strongest on the texts."""

    activation: float
    window: Window
    place: int
    there: torch.Tensor
    """(d_in,): what it was encoded from."""


@dataclass(frozen=True)
class _Sum:
    """The stream at one token, taken apart."""

    terms: list[Term]
    stream: torch.Tensor
    """(d_model,): what the MLP of the place's layer reads, before its norm."""


def written_by(
    access: Access,
    cutter: Cutter,
    dictionary: Dictionary,
    straight: Straight,
    texts: Sequence[tuple[int, ...]],
    latents: Sequence[int],
    n: int,
) -> dict[int, Writing | None]:
    """Say what writes to latents where each is strongest on all of the texts.

    A component's weight is the dot product of what it adds to the stream there with the latent's encoder direction,
    with the sizes of norms on the way, and of the dictionary's own normalisation, held at what they are at that token.
    The n largest come first, then the sum of all others, then the biases: whatever no component of the text adds. All
    of them together are the activation.

    Returns:
        For each latent, None where it does not fire on the texts, or where that cannot be said: its encoder is no
        matrix, or it reads what is no sum of components.
    """
    found: dict[int, Writing | None] = dict.fromkeys(latents)
    if dictionary.encoder is None or dictionary.info.reads.site not in _SITES or access.anatomy.parts is None:
        return found
    seen: dict[tuple[Window, int], _Sum] = {}
    for latent, peak in zip(latents, _peaks(access, cutter, dictionary, texts, latents), strict=True):
        if not peak.activation:
            continue
        key = peak.window, peak.place
        if key not in seen:
            seen[key] = _apart(access, straight, dictionary.info.reads, *key)
        links = _links(access, straight, dictionary, latent, peak, seen[key], n)
        if links is not None:
            found[latent] = Writing(links, (peak.window.document, peak.window.offset + peak.place))
    return found


def _peaks(
    access: Access, cutter: Cutter, dictionary: Dictionary, texts: Sequence[tuple[int, ...]], latents: Sequence[int]
) -> list[_Peak]:
    chosen = torch.tensor(latents)
    best: list[_Peak | None] = [None] * len(latents)

    def use(batch: Batch, there: torch.Tensor) -> None:
        encoded = dictionary.encode_some(there, chosen)
        sizes = encoded.abs().masked_fill(~batch.taken.to(there.device)[..., None], -1).flatten(0, 1)
        for number, token in enumerate(sizes.argmax(0).tolist()):
            row, place = divmod(token, there.shape[1])
            activation, before = float(encoded[row, place, number]), best[number]
            if before is None or abs(activation) > abs(before.activation):
                best[number] = _Peak(activation, batch.windows[row], place, there[row, place].clone())

    windows = (window for number, ids in enumerate(texts) for window in cutter.windows(ids, number))
    tokens = batch_tokens(access, dictionary.info.n_latents)
    for _ in read(access, dictionary.info.reads, windows, use, tokens=tokens):
        pass
    return [peak for peak in best if peak is not None]


def _apart(access: Access, straight: Straight, place: Place, window: Window, at: int) -> _Sum:
    """Take the stream at a token apart, as far as it is read at a place."""
    ids = window.ids[: at + 1] if access.causal else window.ids
    sites: tuple[Site, ...] = ("z", "attn_out", "mlp_out")
    wanted = [site for site in sites if access.missing(site) is None]
    runs = access.read(torch.tensor([ids], device=access.opened.device), wanted)
    terms = []
    if place.site != "attn_out":
        terms.append(Term("embedding", (), runs.stream[0][0, at].float()))
    for layer in range(access.n_layers):
        attends, computes = _takes_part(access, place, layer)
        if attends and "attn_out" in runs.kept:
            terms += _heads(access, straight, runs, layer, at)
        if computes and "mlp_out" in runs.kept:
            terms.append(whole("mlp_out", layer, runs.site("mlp_out", layer)[0, at]))
    between = _before_mlp(access) and "attn_out" in runs.kept
    stream = runs.site("resid_mid" if between else "resid_pre", place.layer)[0, at].float()
    return _Sum(terms, stream)


def _before_mlp(access: Access) -> bool:
    """Whether attention adds to the stream before the MLP reads it."""
    return not access.anatomy.parallel and not access.anatomy.mlp_first


def _takes_part(access: Access, place: Place, layer: int) -> tuple[bool, bool]:
    """Whether attention and the MLP of a layer add to what is read at a place."""
    if place.site == "attn_out":
        return layer == place.layer, False
    if layer != place.layer:
        return (layer < place.layer,) * 2
    attends = place.site in ("resid_post", "resid_mid") or (place.site == "mlp_in" and _before_mlp(access))
    return attends, place.site == "resid_post" or (place.site == "resid_mid" and access.anatomy.mlp_first)


def _heads(access: Access, straight: Straight, runs: Runs, layer: int, at: int) -> list[Term]:
    ending = straight.ending("attn", layer) if "z" in runs.kept else None
    if ending is None:
        return [whole("attn_out", layer, runs.site("attn_out", layer)[0, at])]
    z = runs.site("z", layer)[:, at].float()
    by_head = straight.by_head(ending, z, ending.size(z.flatten(1)))[0]
    return [
        Term(f"head {layer}.{head}", (("site", "z"), ("layer", layer), ("head", head)), added)
        for head, added in enumerate(by_head)
    ]


def _links(
    access: Access,
    straight: Straight,
    dictionary: Dictionary,
    latent: int,
    peak: _Peak,
    apart: _Sum,
    n: int,
) -> tuple[Link, ...] | None:
    assert dictionary.encoder is not None
    place = dictionary.info.reads
    reader = dictionary.encoder[latent].detach().float().to(peak.there.device)
    reader = reader / dictionary.scale(peak.there[None])[0]
    if place.site == "mlp_in":
        norm = straight.before("mlp", place.layer)
        if norm is None:
            return None
        reader = norm.back(reader) / norm.size(apart.stream.to(reader.device))
    terms = apart.terms
    weights = [float(term.added.to(reader.device) @ reader) for term in terms]
    order = sorted(range(len(terms)), key=lambda number: -abs(weights[number]))
    links = [Link(terms[number].component, terms[number].cell, weights[number]) for number in order[:n]]
    if len(order) > n:
        links.append(Link(f"{len(order) - n} others", (), sum(weights[number] for number in order[n:])))
    return (*links, Link("biases", (), peak.activation - sum(weights)))


def readers(
    access: Access, straight: Straight, place: Place, rows: torch.Tensor, n: int
) -> list[tuple[Link, ...] | None]:
    """Say what reads rows of the stream, (row, d_model), that are written at a place, by weights alone.

    A head's weight is the length of what it makes of a row by way of its values, where it attends to nothing else. A
    neuron's is the dot product with its input weights; of one with a gate the larger of its two. The sizes of norms are
    left at 1. First come the n heads, then the n neurons with the largest weights.

    Returns:
        For each row, None where neither heads nor neurons of any later layer can be told.
    """
    heads, neurons = [], []
    for layer in range(access.n_layers):
        attends, computes = _comes_after(access, place, layer)
        if attends and (made := straight.heads(layer, rows)) is not None:
            heads.append((layer, made.norm(dim=-1)))
        if computes and (read_by := straight.neurons(layer, rows)) is not None:
            neurons.append((layer, read_by))
    if not heads and not neurons:
        return [None] * len(rows)
    return [
        _largest(heads, row, n, "head", "z") + _largest(neurons, row, n, "neuron", "mlp_post")
        for row in range(len(rows))
    ]


def _comes_after(access: Access, place: Place, layer: int) -> tuple[bool, bool]:
    """Whether attention and the MLP of a layer read what is written at a place."""
    if layer != place.layer:
        return (layer > place.layer,) * 2
    first = place.site == "resid_pre"
    by_attention = place.site in ("resid_mid", "attn_out", "z")
    by_mlp = place.site in ("mlp_out", "mlp_post")
    return (
        first or (by_mlp and access.anatomy.mlp_first and not access.anatomy.parallel),
        first or (by_attention and _before_mlp(access)),
    )


def _largest(weights: list[tuple[int, torch.Tensor]], row: int, n: int, noun: str, site: str) -> tuple[Link, ...]:
    """The components with the largest weights for a row, given those of each layer, (row, component)."""
    if not weights:
        return ()
    every = torch.stack([of_layer[row].cpu() for _, of_layer in weights])
    top = every.abs().flatten().topk(min(n, every.numel())).indices
    links = []
    for place in top.tolist():
        number, component = divmod(place, every.shape[1])
        layer = weights[number][0]
        cell = (("site", site), ("layer", layer), ("head" if noun == "head" else "neuron", component))
        links.append(Link(f"{noun} {layer}.{component}", cell, float(every[number, component])))
    return tuple(links)
