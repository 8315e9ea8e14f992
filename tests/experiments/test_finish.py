"""What an experiment leaves behind when it is cut short."""

from __future__ import annotations

import pytest

from interp_widgets.experiments.finish import finish


def counting(stop_at=None, error=None):
    for number in range(3):
        if number == stop_at:
            raise error
        yield number
    return "whole"


def test_the_whole_is_returned():
    assert finish(counting()) == "whole"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of luck")])
def test_what_was_computed_comes_with_whatever_ended_it(error):
    with pytest.raises(type(error)) as ended:
        finish(counting(2, error))
    assert ended.value is error
    assert error.partial == 1
    assert error.__notes__ == ["What was computed until then: sys.last_value.partial"]


def test_an_error_before_the_first_partial_result_has_none():
    error = ValueError("no gap")
    with pytest.raises(ValueError, match="no gap"):
        finish(counting(0, error))
    assert error.partial is None
    assert getattr(error, "__notes__", ["Nothing was computed by then."]) == ["Nothing was computed by then."]
