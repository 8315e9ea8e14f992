"""Shapes of features: known arrangements have known dimensionalities and names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from interp_widgets.results.shapes import LANDMARKS, dimensionality, in_words, interference, shapes
from tests.made_toys import orthogonal, pairs, polygon


def tetrahedron():
    return np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T / np.sqrt(3)


def antiprism():
    """The square antiprism that is stretched until all of its corners have the same share of the three dimensions."""
    turn = np.pi / 2 * np.arange(4)
    upper = np.stack([np.cos(turn), np.sin(turn), np.full(4, np.sqrt(0.5))])
    lower = np.stack([np.cos(turn + np.pi / 4), np.sin(turn + np.pi / 4), np.full(4, -np.sqrt(0.5))])
    return np.concatenate([upper, lower], axis=1) / np.sqrt(1.5)


KNOWN = {
    "feature on its own": (orthogonal(1, 1, 1), 1),
    "antipodal pair": (pairs(1, 2), 1 / 2),
    "triangle": (polygon(3, 3), 2 / 3),
    "pentagon": (polygon(5), 2 / 5),
    "tetrahedron": (tetrahedron(), 3 / 4),
    "square antiprism": (antiprism(), 3 / 8),
}


@pytest.mark.parametrize(("name", "directions", "share"), [(name, *known) for name, known in KNOWN.items()], ids=KNOWN)
def test_a_regular_shape_shares_its_dimensions_out_evenly_and_is_named(name, directions, share):
    np.testing.assert_allclose(dimensionality(directions), share, atol=1e-12)
    (shape,) = shapes(directions)
    assert shape.name == name
    assert shape.features == tuple(range(directions.shape[1]))
    assert next(landmark.name for landmark in LANDMARKS if abs(landmark.share - share) < 1e-9) == name


def test_sticky_fractions_are_those_of_the_paper():
    assert [str(landmark.share) for landmark in LANDMARKS] == ["1", "3/4", "2/3", "1/2", "2/5", "3/8"]


@given(arrays(np.float32, (3, 7), elements=st.floats(-2, 2, width=32)))
def test_dimensionalities_are_shares_and_add_up_to_no_more_than_there_are_dimensions(directions):
    share = dimensionality(directions)
    assert (share >= 0).all()
    assert (share <= 1 + 1e-9).all()
    assert share.sum() <= 3 + 1e-6


@given(arrays(np.float64, (2, 5), elements=st.floats(-2, 2).map(lambda value: round(value, 2))))
def test_dimensionality_and_interference_are_as_the_paper_writes_them(directions):
    for feature, direction in enumerate(directions.T):
        length = np.linalg.norm(direction)
        if length == 0:
            assert dimensionality(directions)[feature] == 0
            assert interference(directions)[feature] == 0
            continue
        along = [(direction / length @ other) ** 2 for other in directions.T]
        assert dimensionality(directions)[feature] == pytest.approx(length**2 / sum(along))
        others = sum(along[:feature] + along[feature + 1 :])
        assert interference(directions)[feature] == pytest.approx(others, abs=1e-9)


def test_shapes_that_are_orthogonal_to_each_other_are_told_apart():
    directions = np.zeros((4, 9))
    directions[:2, 2:5] = polygon(3, 3)
    directions[2, :2] = (1, -1)
    directions[3, 5] = 1
    found = shapes(directions)
    assert [(shape.name, shape.features) for shape in found] == [
        ("triangle", (2, 3, 4)),
        ("antipodal pair", (0, 1)),
        ("feature on its own", (5,)),
    ]
    assert in_words(found, 9) == "triangle, antipodal pair, 1 on its own, 3 not kept"


def test_a_crooked_shape_gets_no_name_it_does_not_deserve():
    directions = polygon(5)
    directions[:, 4] = directions[:, 0] * 0.9  # two corners in one place
    (shape,) = shapes(directions)
    assert shape.name == "5 features in 2 dimensions"


def test_words_count_what_there_is():
    assert in_words(shapes(pairs(3, 6)), 6) == "3 antipodal pairs"
    assert in_words(shapes(orthogonal(3, 3, 4)), 4) == "3 on their own, 1 not kept"
    assert in_words(shapes(np.zeros((2, 3))), 3) == "3 not kept"
    two = np.zeros((6, 8))
    two[:3, :4] = two[3:, 4:] = tetrahedron()
    assert in_words(shapes(two), 8) == "2 tetrahedra"
