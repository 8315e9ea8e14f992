"""Latents on text as a live view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp_widgets.experiments.cards_on_request import cards_on_request
from interp_widgets.experiments.dial import dial_on_request
from interp_widgets.experiments.features import features as features_steps
from interp_widgets.models.access import resolve
from interp_widgets.models.dictionaries.opening import Features, open_dictionary
from interp_widgets.models.opening import ModelLike, open_model
from interp_widgets.models.prompts import Prompts, listed
from interp_widgets.models.texts import Corpus
from interp_widgets.results.concepts import Concepts
from interp_widgets.results.examples import ExamplesResult
from interp_widgets.views.features import FeatureView

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote


def show_features(
    model: ModelLike,
    text: Prompts,
    features: Features,
    *,
    against: Prompts | None = None,
    corpus: Corpus | ExamplesResult | None = None,
    called: str = "your corpus",
    site: str | None = None,
    layer: int | None = None,
    threshold: float = 0.0,
    latents: Sequence[int] | int | None = None,
    keep: int | None = None,
    fit: bool = True,
    names: Mapping[int, str] | Concepts | None = None,
    stride: int | None = None,
    max_tokens: int | None = None,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> FeatureView:
    """Show which latents fire on a text, and where: tokens coloured by the latent that you choose, and its card.

    Arguments beside these are those of `run_features`, which returns the numbers without a view. They are checked
    before the call returns; tokens then fill in batch by batch while other cells run. `view.result` waits for the whole
    and holds the names and notes that you write, `view.job.cancel()` stops and keeps what is there.

    Args:
        model: as for `run_features`.
        text: as for `run_features`.
        features: as for `run_features`.
        corpus: documents in which to look for a latent's strongest examples when its card is opened, as for
            `run_latent_cards`. They are read for each card; of more than some thousand tokens pass what
            `run_top_examples` found in them, which read them once for all latents.
        called: what the corpus is called.

    Returns:
        The view. Colour is a latent's activation, from 0 to its maximum on the text; pinned latents are rows below it.
        The card of the latent that is chosen is found out then; of a model on a server there are none.

    Raises:
        InterpWidgetsError: see `run_features`.

    Example:
        >>> from interp_widgets import show_features, teaching
        >>> view = show_features(teaching.load(), "When Mary and John went to the store,", "neurons", layer=1)
        >>> latent, strongest = view.result.ranked("max", 1)[0]
        >>> view.selected = {"latent": latent, "token": None}
        >>> view.names = {latent: "to be found out"}
        >>> view.result.names == {latent: "to be found out"}
        True
        >>> len(view.card().promotes)
        10
    """
    steps = features_steps(
        model,
        text,
        features,
        against=against,
        site=site,
        layer=layer,
        threshold=threshold,
        latents=latents,
        keep=keep,
        fit=fit,
        names=names,
        stride=stride,
        max_tokens=max_tokens,
        tokenizer=tokenizer,
        remote=remote,
    )
    if remote:
        return FeatureView(steps)
    access = resolve(open_model(model, tokenizer))
    dictionary = open_dictionary(features, access, site=site, layer=layer)
    texts = [*listed(text, "text"), *([] if against is None else listed(against, "against text"))]
    cards_of = cards_on_request(
        model, dictionary, text=texts, corpus=corpus, called=called, site=None, layer=None, tokenizer=tokenizer
    )
    return FeatureView(steps, cards_of=cards_of, turned=dial_on_request(access, dictionary))
