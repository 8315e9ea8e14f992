"""Heads and neurons of every family, read and written, against plain hooks on the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from interp_widgets.models.access import Access, Write, resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.terms import Site
from tests.experiments import zoo
from tests.models.heads_reference import Positions, Reference, Softmax, eager

CLEAN = [5, 9, 13, 22, 40, 7, 3, 3, 18, 50]  # longer than a head is wide
CORRUPT = [5, 9, 31, 22, 2, 7, 60, 3, 41, 8]
EXPERTS = tuple(name for name, family in zoo.FAMILIES.items() if not family.down)


def of(name: str) -> tuple[Access, Reference]:
    return resolve(open_model(zoo.model(name))), Reference(zoo.FAMILIES[name], zoo.model(name))


def logits_both_ways(access: Access, site: Site, layer: int, n_rows: int, write: Write) -> Iterator[torch.Tensor]:
    """The corrupt prompt in some rows, written at one site: resumed at that layer, and run from its tokens."""
    ids = torch.tensor([CORRUPT])

    def plan(place: tuple[Site, int]) -> Write | None:
        return write if place == (site, layer) else None

    stream = access.read(ids, ()).stream[layer].expand(n_rows, -1, -1)
    hosts = ids if access.grows else ids.expand(n_rows, -1)
    yield access.resume(hosts, layer, lambda _layer, arriving: stream if arriving is None else arriving, plan)
    yield access.run(ids.expand(n_rows, -1), plan)


def check(found: torch.Tensor, expected: torch.Tensor, host: torch.Tensor) -> None:
    changes = (expected - host).abs()
    assert changes.max() > 0.01  # patches that do next to nothing would prove nothing
    torch.testing.assert_close(found, expected, atol=1e-5 * max(1.0, float(changes.max())), rtol=0)


@pytest.mark.parametrize("site", ["z", "q", "k", "v", "mlp_post"])
@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_each_head_and_the_neurons_are_read_and_written_as_with_plain_hooks(name: str, site: Site) -> None:
    access, reference = of(name)
    if site in zoo.FAMILIES[name].missing or (site == "mlp_post" and name in EXPERTS):
        assert site not in access.sites
        return
    donor, host = reference.activations(CLEAN, site), reference.logits(CORRUPT)
    runs = access.read(torch.tensor([CORRUPT, CLEAN]), {site})
    for layer in range(access.n_layers):
        torch.testing.assert_close(runs.site(site, layer)[1], donor[layer], atol=1e-5, rtol=1e-5)
        count = reference.count(site)
        cells: list[tuple[int, Positions]] = [(0, 4), (0, slice(None))]
        if count is not None and count > 1:
            cells += [(count - 1, 4), (count - 1, slice(None))]
        values = [donor[layer][at] if count is None else donor[layer][at, head] for head, at in cells]

        def write(
            heads: torch.Tensor,
            cells: list[tuple[int, Positions]] = cells,
            values: list[torch.Tensor] = values,
            count: int | None = count,
        ) -> torch.Tensor:
            changed = heads.clone()
            for row, ((head, at), value) in enumerate(zip(cells, values, strict=True)):
                changed[row, at] = (
                    value
                    if count is None
                    else torch.where(torch.arange(count)[:, None] == head, value.unsqueeze(-2), changed[row, at])
                )
            return changed

        expected = torch.stack(
            [
                reference.patched(CORRUPT, site, layer, head, at, value)
                for (head, at), value in zip(cells, values, strict=True)
            ]
        )
        for found in logits_both_ways(access, site, layer, len(cells), write):
            check(found, expected, host)


@contextmanager
def comparable(name: str, model: Any) -> Iterator[None]:
    """Falcon's ALiBi is another bias in eager attention (logits differ by 0.8), so there all of it has to be eager."""
    with eager(model) if name == "falcon_alibi" else nullcontext():
        yield


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_patterns_are_those_of_the_models_own_softmax(name: str) -> None:
    with comparable(name, zoo.model(name)):
        check_patterns(*of(name))


def check_patterns(access: Access, reference: Reference) -> None:
    runs = access.read(torch.tensor([CORRUPT, CLEAN]), ("pattern",))
    with eager(reference.model):
        host = reference.logits(CORRUPT)
    for layer in range(access.n_layers):
        seen: list[torch.Tensor] = []
        with (
            eager(reference.model),
            Softmax(reference, layer, lambda weights, seen=seen: seen.append(weights.clone())).watched(),
        ):
            reference.logits(CLEAN)
        (donor,) = seen
        pattern = runs.site("pattern", layer)[1]
        torch.testing.assert_close(pattern, donor, atol=1e-5, rtol=1e-5)
        cells: list[tuple[int, Positions]] = [(0, 9), (3, 9), (0, slice(None)), (2, slice(None))]
        expected = []
        for head, at in cells:

            def put(weights: torch.Tensor, head: int = head, at: Positions = at, donor: torch.Tensor = donor) -> None:
                weights[head, at] = donor[head, at]

            with eager(reference.model), Softmax(reference, layer, put).watched():
                expected.append(reference.logits(CORRUPT))

        def write(
            weights: torch.Tensor, cells: list[tuple[int, Positions]] = cells, donor: torch.Tensor = donor
        ) -> torch.Tensor:
            changed = weights.clone()
            for row, (head, at) in enumerate(cells):
                changed[row, head, at] = donor[head, at]
            return changed

        for found in logits_both_ways(access, "pattern", layer, len(cells), write):
            check(found, torch.stack(expected), host)
