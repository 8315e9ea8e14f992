"""Patterns made by hand: what their result says of them."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.attention import pooled
from interp_widgets.results.errors import SelectionError
from tests.made_attention import attention


def test_lines_are_a_row_and_a_column() -> None:
    result = attention(8, second=6, layers=3)
    for weighted in (False, True):
        whole = result.pattern(2, 1, side=1, weighted=weighted)
        looks, seen = result.lines(2, 1, 4, side=1, weighted=weighted)
        np.testing.assert_array_equal(looks, whole[4])
        np.testing.assert_array_equal(seen, whole[:, 4])
    np.testing.assert_array_equal(result.lines(0, 0, -1)[0], result.pattern(0, 0)[7])
    with pytest.raises(SelectionError, match="There is no position 6"):
        result.lines(0, 0, 6, side=1)


def test_lines_of_blocks_are_those_of_the_block_of_a_token() -> None:
    result = attention(10, block=3)
    np.testing.assert_array_equal(result.lines(0, 1, 7)[0], result.pattern(0, 1)[2])


def test_the_leading_head_looks_hardest_at_something_from_the_last_token() -> None:
    result = attention(8)
    # Head 0.0 looks one token back from the last with 0.75, the others further back with as much: the first wins.
    assert result.leading() == (0, 0)
    dull = result.parts[0].pattern.copy()
    dull[:, -1] = 0
    dull[:, -1, -1] = 1  # at itself
    assert attention(1).leading() == (0, 0)
    assert attention(8, read=0).leading() is None
    assert attention(9, block=2).leading() == (0, 0)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint16])
def test_pooling_takes_the_largest_of_each_block(step: int, dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (2, 13, 13)).astype(dtype)
    found = pooled(values, step)
    for row, column in np.ndindex(*found.shape[1:]):
        block = values[:, row * step : (row + 1) * step, column * step : (column + 1) * step]
        np.testing.assert_array_equal(found[:, row, column], block.max(axis=(1, 2)))
    assert found.dtype == dtype
    assert found.shape[1] == -(-13 // step)
