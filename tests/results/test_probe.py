"""Probes as a result: measures, intervals, controls, mistakes, directions, words, files."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets import Directions, ProbeResult
from interp_widgets.results.errors import ResultError, SelectionError, UnknownNameError
from interp_widgets.results.proportions import of_mean_share, of_share, wilson, worth
from tests.made_probes import N, partial, probes, right


def test_accuracy_is_the_share_that_was_counted_out_and_nan_where_nothing_is_tested():
    values = probes().value()
    for kind, row, column in np.ndindex(values.shape):
        expected = np.nan if column == 0 else right(kind, row, column) / N
        np.testing.assert_allclose(values[kind, row, column], expected)
    assert np.isnan(partial(1).value()[:, :, :2]).all()
    assert partial(1).computed.tolist() == [[False, False, True]] * 3


def test_wilson_is_that_of_the_book():
    """Newcombe 1998, table I: 81 of 263 and 15 of 148, 0 of 20 and 1 of 29, to four places."""
    counts = np.array([263.0, 148.0, 20.0, 29.0])
    low, high = wilson(np.array([81, 15, 0, 1]) / counts, counts)
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)


def test_trials_that_go_together_are_worth_as_many_as_their_groups():
    alike = np.repeat([True, False, True, False, True, True], 10)
    groups = np.repeat(np.arange(6), 10)
    assert 4.5 < worth(alike, groups) < 6.5
    rng = np.random.default_rng(0)
    apart = rng.random(600) < 0.7
    assert worth(apart, np.arange(600)) == 600
    assert 350 < worth(apart, np.arange(600) // 2) <= 600, "groups that do not matter"
    assert worth(np.ones(60, bool), groups) == 6, "nothing is seen of how groups vary"
    low, high = of_share(alike, groups)
    assert high - low > 2 * np.subtract(*of_share(alike, np.arange(60))[::-1])


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        chances = np.clip(rng.normal(0.8, 0.15, 30), 0, 1)  # groups differ
        correct = rng.random((30, 8)) < chances[:, None]
        low, high = of_share(correct.ravel(), np.repeat(np.arange(30), 8))
        covered.append(low <= np.clip(rng.normal(0.8, 0.15, 100_000), 0, 1).mean() <= high)
    assert 0.91 < np.mean(covered) < 0.99


def test_the_interval_of_balanced_accuracy_is_made_of_those_of_classes():
    result = probes()
    low, high = result.interval("balanced")
    own = result.predicted[0, 1, 2] == result.examples.labels
    parts = [(own[result.examples.labels == each], np.arange(N // 2)) for each in (0, 1)]
    expected = of_mean_share(parts)
    assert (low[0, 1, 2], high[0, 1, 2]) == pytest.approx(expected)
    assert low[0, 1, 2] < result.value("balanced")[0, 1, 2] < high[0, 1, 2]
    assert np.isnan(low[:, :, 0]).all()
    assert np.isnan(result.interval("auroc")[0]).all()


def test_chance_control_and_selectivity():
    result = probes()
    assert [result.chance(measure) for measure in ("accuracy", "balanced", "auroc")] == [0.5, 0.5, 0.5]
    control = result.control_value()
    assert control[1, 2, 2] == pytest.approx(0.5 + 17 / 1000)
    np.testing.assert_allclose(result.selectivity(), result.value() - control)


def test_confusion_counts_and_mistakes_come_with_the_most_confident_first():
    result = probes()
    confusion = result.confusion(2, 3, kind="means")
    count = right(1, 1, 1)
    assert confusion.tolist() == [[(count + 1) // 2, 20 - (count + 1) // 2], [20 - count // 2, count // 2]]
    mistakes = result.mistakes(2, 3, kind="means", n=4)
    assert [mistake.example for mistake in mistakes] == sorted(
        np.flatnonzero(result.predicted[1, 1, 1] != result.examples.labels), reverse=True
    )[:4]
    assert mistakes[0].text.labels[-1] == f"␣word{mistakes[0].example}"
    assert (mistakes[0].label, mistakes[0].predicted, mistakes[0].position) == ("good", "bad", None)
    assert mistakes[0].margin > mistakes[1].margin > 1


def test_the_best_cell_and_how_cells_are_found():
    result = probes()
    assert result.best() == {"site": "resid_post", "layer": 3, "pos": None}
    assert result.find(3, None) == (2, 2)
    assert result.find(0, 3, "resid_post") == (0, 1)
    with pytest.raises(
        SelectionError, match=r"no probe at site 'resid_post', layer 1 and position 3\. There are resid_"
    ):
        result.find(1, 3)
    with pytest.raises(SelectionError, match=r"nothing is known of resid_post of layer 0, position 1: all texts are"):
        result.confusion(0, 1)
    with pytest.raises(ResultError, match="no cell is computed yet"):
        partial(0).best()
    with pytest.raises(UnknownNameError, match="unknown measure 'acuracy': did you mean 'accuracy'"):
        result.value("acuracy")
    with pytest.raises(UnknownNameError, match="unknown transfer 'song'"):
        result.transferred("song")


def test_transfer_is_measured_on_the_other_set():
    result = probes()
    assert result.transferred("songs")[0, 1, 1] == pytest.approx(0.9)
    assert result.transferred("songs", "auroc")[0, 0, 1] == pytest.approx(0.71)
    low, high = result.transfer_interval("songs")
    assert low[0, 1, 1] < 0.9 < high[0, 1, 1]
    assert np.isnan(result.transferred("songs")[:, :, 0]).all()
    assert result.transfer_chance("songs") == 0.5


def test_directions_are_those_of_the_second_class_and_turn_round_for_the_first():
    result = probes()
    found = result.directions("means")
    assert found.positions == (1, 3, None)
    assert found.layers == (0, 2, 3)
    np.testing.assert_array_equal(found.vector(2, 3), result.vectors[1][1, 1, 0])
    np.testing.assert_array_equal(result.directions("means", label="bad").vector(2, 3), -found.vector(2, 3))
    np.testing.assert_allclose(found.accuracy, result.value("balanced")[1], rtol=1e-6)
    assert found.best() == {"layer": 3, "position": None}
    assert "Directions of difference of means to [good] at resid_post" in found.summary()
    one = found.at(2, 3)
    assert (one.layers, one.positions, one.vectors.shape) == ((2,), (3,), (1, 1, 4))
    np.testing.assert_array_equal(one.vector(2), found.vector(2, 3))
    assert found.to_frame()["position"].isna().sum() == 3
    with pytest.raises(UnknownNameError, match="unknown class 'nice'"):
        result.directions(label="nice")


def test_directions_with_a_method_are_saved_and_older_files_are_read(tmp_path):
    found = probes().directions("means")
    assert Directions.load(found.save(tmp_path / "found.safetensors")) == found
    header, arrays = found._contents()
    older = {name: value for name, value in header.items() if name != "method"}
    assert Directions._of_contents(older, arrays).method == "Differences of means"


def test_it_is_saved_and_is_the_same(tmp_path):
    for number, result in enumerate((probes(), partial(1))):
        assert ProbeResult.load(result.save(tmp_path / f"{number}.safetensors")) == result
    assert probes() != partial(1)


def test_the_frame_is_tidy():
    result = probes()
    frame = result.to_frame()
    assert len(frame) == 3 * 2 * 3 * 3
    row = frame.query("measure == 'accuracy' and kind == 'means' and layer == 2 and pos == 3").iloc[0]
    assert row["value"] == pytest.approx(right(1, 1, 1) / N)
    assert row["selectivity"] == pytest.approx(row["value"] - row["control"])
    assert row["transfer: songs"] == pytest.approx(0.9)
    assert frame["pos"].isna().sum() == 18


def test_words_say_what_was_found_and_what_could_not_be():
    words = probes().summary()
    assert "Probes for 2 classes (bad, good) on 40 texts, at 3 places and 3 positions of made by hand" in words
    assert "logistic regression: best at resid_post of layer 3, mean over tokens: accuracy 0.95 [0.83, 0.99]" in words
    assert "control 0.51, selectivity 0.44" in words
    assert "on songs: 0.90" in words
    assert "not tested position 1: all texts are the same up to here" in words


def test_lines_are_filled_in_for_a_cell():
    result = probes()
    folds = (np.arange(N) % 5).tolist()
    assert result.script((1, 1), "means") == f"means 2 [3] position 3 1 {folds}\n"
    assert result.script((2, 2)) == f"logistic 3 .mean(0) mean over tokens 2 {folds}\n"
    with pytest.raises(SelectionError, match="nothing is fitted position 1: all texts are the same"):
        result.script((0, 0))
