import pytest

from interp_widgets.teaching import card, choose
from interp_widgets.teaching.data import CARD_PAGE, FOLDER
from interp_widgets.teaching.measure import measure_all

CARD = card.read()


@pytest.fixture(scope="module")
def measured():
    return measure_all(FOLDER)


@pytest.mark.parametrize("figure", CARD["figures"], ids=lambda figure: figure["name"])
def test_a_claimed_figure_is_measured_again(figure, measured):
    assert measured[figure["name"]].value == pytest.approx(figure["value"], abs=figure["tolerance"])


def test_figures_say_how_they_were_measured_in_the_words_of_the_measurement(measured):
    for figure in CARD["figures"]:
        assert figure["tolerance"] == measured[figure["name"]].tolerance
        assert figure["how"] == measured[figure["name"]].how


def test_the_page_shows_the_figures_of_the_card():
    assert CARD_PAGE.read_text() == card.page(CARD)


def test_the_shipped_seed_ranks_first_among_those_compared():
    first = CARD["compared"][0]
    assert first["seed"] == CARD["seed"]
    shown = [sum(each["marks"][name] >= bar for name, bar in choose.BARS.items()) for each in CARD["compared"]]
    eligible = [shown[i] for i, each in enumerate(CARD["compared"]) if not each["behaviours_below_floor"]]
    assert not eligible or shown[0] == max(eligible)


def test_the_shipped_behaviours_reach_their_floors(measured):
    assert {name for name, floor in choose.FLOORS.items() if measured[name].value < floor} == set(
        CARD["compared"][0]["behaviours_below_floor"]
    )
