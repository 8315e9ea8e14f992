"""What `examples/08_probes.ipynb` says in words, asked of the values that its own cells leave."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest

from interp_widgets import run_projection

NOTEBOOK = Path(__file__).parent.parent / "examples" / "08_probes.ipynb"


@pytest.fixture(scope="module")
def said():
    names: dict = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, str(NOTEBOOK), "exec"), names)
    return names


def test_the_first_axis_parts_the_kinds_and_weighs_more_from_layer_to_layer(said):
    result = run_projection(said["model"], said["texts"], labels=said["labels"], positions=-1)
    harmful = np.array([result.label(point) == "harmful" for point in range(len(result))])
    for layer in result.layers:
        first = result.coordinates(layer)[:, 0]
        one, other = sorted([first[harmful], first[~harmful]], key=np.mean)
        assert one.max() < other.min(), f"layer {layer}"
    assert (np.diff([result.shares(layer)[0] for layer in result.layers]) > 0).all()


def test_probes_are_right_everywhere_and_their_control_is_not(said):
    result = said["probes"].result
    assert (result.value() == 1).all()
    assert (result.transferred("new requests") == 1).all()
    assert (np.abs(result.control_value() - result.chance()) < 0.15).all()


def test_only_the_difference_of_means_of_layer_1_is_what_refuses(said):
    refused, result = said["still_refused"], said["probes"].result
    probes = [result.directions().vectors[row].reshape(-1) for row in range(4)]
    means = [said["means"].vector(layer, -1) for layer in range(4)]
    assert [refused(vector) for vector in probes] == [1, 1, 1, 1]
    assert refused(means[1]) == 0
    for probe, mean in zip(probes, means, strict=True):
        assert 0.1 < abs(probe @ mean) / np.linalg.norm(probe) / np.linalg.norm(mean) < 0.95
