"""Features on text as a matplotlib figure."""

import io
from dataclasses import replace

import numpy as np

from interp_widgets.views.features import FeatureView
from tests import made_features as made

NAMES, COMMA = made.NAMES, made.COMMA


def test_the_figure_has_every_token_and_a_bar_wherever_a_pinned_latent_fires():
    view = FeatureView(made.result(two=True))
    view.pinned, view.names = [COMMA], {NAMES: "costs $5 to $6"}
    figure = view.figure()
    (axes,) = figure.axes
    said = [text.get_text() for text in axes.texts]
    for label in (*made.TEXT, *made.OTHER):
        assert label.replace("␣", " ") in said
    assert any("latent 7 (costs" in text for text in said)
    fills = [patch for patch in axes.patches if patch.get_height() == 0.2]
    assert len(fills) == 4 + 3  # tokens on which the shown latent fires
    assert len(axes.patches) - len(fills) == 2 + 2
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_the_figure_of_a_long_text_is_cut_around_the_strongest_token_and_says_so():
    whole = made.long(2000, 64, 8)
    view = FeatureView(whole)
    peak = int(np.abs(whole.column(view._shown())).argmax())
    (axes,) = view.figure().axes
    said = [text.get_text() for text in axes.texts]
    (cut,) = [text for text in said if "tokens " in text and " of 2,000" in text and "fires" not in text]
    first, last = (int(number) for number in cut.split("tokens ")[1].split(" of")[0].split(" to "))
    assert first <= peak <= last
    assert last - first == 239


def test_of_many_texts_those_are_drawn_on_which_the_latent_is_strongest():
    random = np.random.default_rng(0)
    texts = {f"text {number}": ("␣a", "␣b", "␣c") for number in range(40)}
    dense = np.abs(random.normal(size=(120, made.N_LATENTS))).astype(np.float32)
    result = replace(made.from_dense(texts, dense), sides=("text",) * 40)
    view = FeatureView(result)
    view.selected = {"latent": 2, "token": None}
    strongest = sorted(np.argsort(-dense[:, 2].reshape(40, 3).max(1))[:12].tolist())
    said = [text.get_text() for text in view.figure().axes[0].texts]
    assert any("drawn are the 12 of 40 texts on which it is strongest" in text for text in said)
    assert [text for text in said if text.startswith("text ")] == [f"text {number}" for number in strongest]
