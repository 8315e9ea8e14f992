"""The patching grid as a matplotlib figure: read back from what is drawn."""

import io
import warnings

import numpy as np
import pytest

from interp_widgets.results.patching import Pair
from interp_widgets.results.tokens import Tokens
from interp_widgets.views.patching_grid import PatchingGrid
from tests import made


def test_the_figure_draws_each_cell_in_its_place():
    """Not square, and read back from the drawn image: a flipped or transposed panel shows."""
    whole = made.result(sites=("resid_pre", "mlp_out"))
    view = PatchingGrid(whole)
    panels = [axis for axis in view.figure().axes if axis.images]
    assert len(panels) == 2
    for number, axis in enumerate(panels):
        np.testing.assert_allclose(axis.images[0].get_array(), whole.mean_effect()[number], atol=1e-6)
        assert axis.images[0].origin == "lower"
        assert axis.images[0].get_clim() == (-1, 1)
    labels = [label.get_text() for label in panels[0].get_xticklabels()]
    assert labels == list(made.CLEAN)


@pytest.mark.parametrize(
    "maker", [made.heads, made.heads_by_position, made.neurons, made.by_role, made.path, made.noise, made.ablation]
)
def test_the_figure_of_any_kind_draws_every_panel_without_its_padding(maker):
    whole = maker()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = PatchingGrid(whole).figure()
        figure.canvas.draw()
    panels = [axis for axis in figure.axes if axis.images]
    for axis, panel, effect in zip(panels, whole.panels, whole.mean_effect(), strict=True):
        rows, columns = len(panel.lines), panel.width(whole.length)
        drawn = axis.images[0].get_array()
        assert axis.images[0].get_extent() == [-0.5, columns - 0.5, -0.5, rows - 0.5]
        if columns < 800:
            np.testing.assert_allclose(drawn, effect[:rows, :columns], atol=1e-6)
        assert np.nanmax(np.abs(drawn)) == pytest.approx(np.nanmax(np.abs(effect)))


@pytest.mark.parametrize("maker", [lambda: made.heads(n_heads=4), made.path, made.ablation])
def test_names_of_panels_that_stand_side_by_side_do_not_overlap(maker):
    figure = PatchingGrid(maker()).figure()
    figure.canvas.draw()
    names = [text.get_window_extent() for axis in figure.axes if axis.images for text in axis.texts]
    assert len(names) >= 4
    for number, box in enumerate(names):
        assert not any(box.overlaps(other) for other in names[:number])


def test_panels_of_a_figure_have_cells_of_one_size():
    figure = PatchingGrid(made.path()).figure()
    heads, one = (axis.get_position() for axis in figure.axes if axis.images)
    assert heads.width / 12 == pytest.approx(one.width)
    assert (heads.y0, heads.height) == pytest.approx((one.y0, one.height))


def test_one_hot_neuron_among_14_000_is_in_the_picture():
    import matplotlib.image

    whole = made.neurons(layers=28, count=14336)
    picture = matplotlib.image.imread(io.BytesIO(PatchingGrid(whole).figure()._repr_png_()))
    grid = picture[:, : int(picture.shape[1] * 0.9)]  # without the colour bar
    assert ((grid[..., 0] - grid[..., 2]) > 0.4).any()


def test_the_words_of_an_experiment_head_its_figure():
    texts = [text.get_text() for text in PatchingGrid(made.noise()).figure().texts]
    assert texts == [
        "Where does the model recall Mary?",
        "causal trace: noise of 3 standard deviations, mean of 10 samples",
    ]


def test_many_panels_wrap_and_a_figure_is_the_picture_of_its_cell():
    labels = tuple(f"t{n}" for n in range(40))
    sites = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
    figure = PatchingGrid(made.result(sites=sites, pairs=(made.pair(labels),))).figure()
    width, height = figure.get_size_inches()
    assert width < 20
    assert height > 5
    assert len([axis for axis in figure.axes if axis.images]) == 5
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_mean_over_pairs_claims_a_token_only_where_all_pairs_have_it():
    first, second = made.pair(), made.pair(labels=("␣When", "␣Ann", *made.CLEAN[2:]))
    view = PatchingGrid(made.result(pairs=(first, second)))
    axis = view.figure().axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()][:3] == ["␣When", "≠", "␣and"]


def test_a_figure_of_hostile_tokens_is_drawn_as_text():
    """A dollar sign would start a formula, and `$$` an invalid one."""
    labels = ("$", "$x_1$", "<script>", "␣'\"", "↵", "⟨E2 80⟩", "a$b", "\\", "%")
    view = PatchingGrid(made.result(pairs=(made.pair(labels, corrupt_label="$$"),)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data, _ = view._output()
    assert data["image/png"].startswith(b"\x89PNG")


def test_a_prompt_of_one_token_and_a_model_of_one_layer_are_drawn():
    one = Pair(Tokens((1,), ("a",)), Tokens((2,), ("b",)), made.MARY, made.JOHN)
    view = PatchingGrid(made.result(layers=1, pairs=(one,)))
    assert view.figure().axes
