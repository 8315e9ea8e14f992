"""A prediction as a sum, as a picture."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pytest
from matplotlib import image

from interp_widgets import MemoriesFigure, show_memories, teaching
from interp_widgets.results.tokens import Tokens
from tests.results.test_memories import PARIS, made


def test_bars_stand_where_the_sum_is_and_say_what_the_model_would() -> None:
    figure = MemoriesFigure(made()).figure()
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [part.component for part in made().parts]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in left.patches]
    assert bars == [(0, 0.5), (0.5, 1.5), (1.5, -0.5), (-0.5, 2.5), (2.5, 7.0), (7.0, 6.5)]
    low, high = left.get_xlim()
    assert low < -0.5
    assert high > 7
    colors = [bar.get_facecolor() for bar in left.patches]
    assert colors[2] == colors[5] != colors[0] == colors[1]
    assert "␣Paris  50%" in [text.get_text() for text in left.texts]
    assert [label.get_text() for label in right.get_yticklabels()] == ["1.0", "0.0"]
    assert [bar.get_width() for bar in right.patches] == [4, -3]
    said = [text.get_text() for text in right.texts]
    assert "␣Rome  ␣Paris   (␣of  in)" in said
    assert "␣Rome  ␣Paris" in said
    title, prompt = (text.get_text() for text in figure.texts)
    assert title == "Logit of ␣Rome above the mean over the vocabulary: 6.5"
    assert prompt == "after  The␣of"


def test_long_prompts_and_signs_of_formulas_are_shown_as_they_are() -> None:
    tokens = Tokens(tuple(range(40)), tuple(f"${number}$" for number in range(40)))
    figure = MemoriesFigure(replace(made(), tokens=tokens, wrong_answer=PARIS)).figure()
    title, prompt = figure.texts
    assert "above that of ␣Paris" in title.get_text()
    assert prompt.get_text().startswith("after  … $16$$17$")
    assert not prompt.get_parse_math()


def test_a_notebook_gets_a_picture_and_the_words() -> None:
    view = show_memories(teaching.load(), "The Silver Tower is in the city of", " Madrid", top=3)
    picture = image.imread(BytesIO(view._repr_png_()))
    assert picture.shape[1] > 800
    assert repr(view) == view.result.summary()
    assert len(view.result.memories) == 3


@pytest.mark.parametrize("top", [1, 30])
def test_the_picture_is_as_high_as_its_longer_list(top: int) -> None:
    view = show_memories(teaching.load(), "The Silver Tower is in", top=top)
    bars = max(top, len(view.result.parts))
    assert view.figure().get_figheight() == pytest.approx(0.27 * bars + 1.25)
