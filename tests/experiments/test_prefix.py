"""Rows that start late, after the keys and values of their host, against the same rows run from their first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel, LlamaForCausalLM

from interp_widgets.experiments.patching import run_patching
from interp_widgets.experiments.sweep import Done, Edit, Hosts, Row, site_index, sweep
from interp_widgets.models.access import Access, Runs, resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.terms import HEAD_SITES, Site
from tests.experiments import zoo

# Longer than the sliding windows of the zoo, and the same for 4 of 10 tokens.
CLEAN = [5, 9, 13, 22, 40, 7, 3, 18, 44, 2]
CORRUPT = [5, 9, 13, 22, 41, 7, 30, 18, 6, 52]
THIRD = [8, 9, 50, 12, 33, 7, 31, 1, 6, 20]
SHARED = 4
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}


class Case:
    """Runs of three prompts, of which each may be host or donor."""

    def __init__(self, name: str) -> None:
        self.access = resolve(open_model(zoo.model(name)))
        self.ids = torch.tensor([CLEAN, CORRUPT, THIRD])
        # Patterns weigh every value, so that their rows start at the first token.
        self.sites = [site for site in self.access.sites if site != "pattern"]
        self.runs = self.access.read(self.ids, self.sites)

    def edit(self, site: Site, layer: int, position: int | None, donor: int, first: int = 0) -> Edit:
        unit = 0 if site in HEAD_SITES else None
        value = self.runs.site(site, layer)[donor]
        at = slice(None) if position is None else position
        return Edit(site, layer, position, value[site_index(site, at, unit)], unit, first)

    def sweep(self, rows: Sequence[Row], *, late: bool = True, max_rows: int | None = None) -> torch.Tensor:
        hosts = Hosts(self.ids, self.runs.stream, self.runs.past if late else None)
        return together(sweep(self.access, hosts, rows, max_rows=max_rows), len(rows))


def together(batches: Any, count: int) -> torch.Tensor:
    """The logits of all rows in their order, each computed once."""
    logits: dict[int, torch.Tensor] = {}
    for done in batches:
        assert isinstance(done, Done)
        for row, result in zip(done.rows, done.logits, strict=True):
            assert row not in logits
            logits[row] = result
    assert sorted(logits) == list(range(count))
    return torch.stack([logits[row] for row in range(count)])


def assert_agree(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many positions each batch ran."""
    resume, seen = Access.resume, []

    def spied(self: Access, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        seen.append(ids.shape[1])
        return resume(self, ids, *args)

    monkeypatch.setattr(Access, "resume", spied)
    return seen


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_every_kind_of_row_agrees_with_its_run_from_the_first_token(name: str, lengths: list[int]) -> None:
    case = Case(name)
    layers, last = range(case.access.n_layers), len(CLEAN) - 1
    rows = [
        Row(host, (case.edit(site, layer, position, donor),))
        for site in case.sites
        for layer in layers
        for position in range(SHARED, len(CLEAN))
        for host, donor in ((1, 0), (0, 2))
    ]
    rows += [Row(1, (case.edit(site, layer, None, 0, SHARED),)) for site in case.sites for layer in layers]
    rows += [Row(2, (case.edit("resid_pre", 0, last, 0), case.edit("resid_pre", layers[-1], 6, 1)))]
    rows += [Row(2, (case.edit("resid_post", 0, 8, 0), case.edit("resid_pre", 1, None, 1, 5)))]

    found = case.sweep(rows)

    assert max(lengths) == len(CLEAN) - SHARED
    assert min(lengths) < max(lengths)
    lengths.clear()
    expected = case.sweep(rows, late=False)
    assert set(lengths) == {len(CLEAN)}
    assert float((expected - case.runs.logits[1]).abs().max()) > 0.1  # rows that change nothing would prove nothing
    assert_agree(found, expected)


@pytest.mark.parametrize("max_rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("name", ["gpt2", "gemma3", "bloom"])
def test_batches_of_any_size_agree(name: str, max_rows: int) -> None:
    case = Case(name)
    rows = [
        Row(host, (case.edit("resid_pre", layer, position, 2 - host),))
        for position in (9, 0, 5, 4)
        for layer in range(case.access.n_layers)
        for host in (0, 2)
    ]
    assert_agree(case.sweep(rows, max_rows=max_rows), case.sweep(rows, late=False))


def test_all_positions_after_a_shared_prefix_give_the_donor(lengths: list[int]) -> None:
    case = Case("llama")
    sites: tuple[Site, ...] = ("resid_pre", "resid_mid", "resid_post")
    rows = [Row(1, (case.edit(site, layer, None, 0, SHARED),)) for site in sites for layer in range(3)]
    assert_agree(case.sweep(rows), case.runs.logits[:1].expand(len(rows), -1))
    assert set(lengths) == {len(CLEAN) - SHARED}


def test_positions_before_an_edit_begins_keep_the_hosts_values() -> None:
    """Whether or not the row is run from there on."""
    case = Case("gpt2")
    edit = case.edit("resid_pre", 1, None, 2, 6)
    mixed = torch.cat([case.runs.stream[1][1, :6], case.runs.stream[1][2, 6:]])
    expected = case.sweep([Row(1, (Edit("resid_pre", 1, None, mixed),))], late=False)
    assert_agree(case.sweep([Row(1, (edit,))]), expected)
    assert_agree(case.sweep([Row(1, (edit,))], late=False), expected)
    other = Row(1, (case.edit("resid_pre", 1, 2, 2),))
    assert_agree(case.sweep([Row(1, (edit,)), other])[:1], expected)


def test_edits_that_begin_after_the_prompt_change_nothing() -> None:
    case = Case("gpt2")
    row = Row(1, (case.edit("resid_pre", 1, None, 2, len(CLEAN)),))
    assert_agree(case.sweep([row]), case.runs.logits[1:2])


def test_positions_may_be_counted_from_the_end() -> None:
    case = Case("gpt2")
    edit = case.edit("attn_out", 1, 9, 0)
    assert_agree(case.sweep([Row(1, (replace(edit, position=-1),))]), case.sweep([Row(1, (edit,))]))


def test_the_hosts_keys_and_values_stay_as_they_are() -> None:
    case = Case("qwen3")
    assert case.runs.past is not None
    before = {layer: [kept.clone() for kept in pair] for layer, pair in case.runs.past.items()}
    case.sweep([Row(1, (case.edit("resid_pre", layer, 6, 0),)) for layer in range(3)])
    assert len(before) == 3
    for layer, pair in before.items():
        for kept, copy in zip(case.runs.past[layer], pair, strict=True):
            torch.testing.assert_close(kept, copy, atol=0, rtol=0)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_a_grid_runs_no_position_that_its_prompts_share(direction: Any, lengths: list[int]) -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    sites = [site for site in access.sites if site != "pattern"]  # which weighs all values
    found = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites=sites, direction=direction, **GIVEN)
    assert found.complete
    assert max(lengths) <= len(CLEAN) - SHARED


def test_rows_are_batched_so_that_few_positions_are_run_in_vain(
    lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions that are run beside the needed ones cost less than the batches that they save."""
    monkeypatch.setattr("interp_widgets.experiments.sweep._BATCH_COST_CPU", 4)
    model = zoo.model("gpt2")
    access = resolve(open_model(model))
    length = 40
    ids = torch.randint(0, zoo.VOCAB, (2, length), generator=torch.Generator().manual_seed(0))
    runs = access.read(ids, ())
    rows = [
        Row(1, (Edit("resid_pre", layer, position, runs.stream[layer][0, position]),))
        for layer in range(3)
        for position in range(length)
    ]
    batches = list(sweep(access, Hosts(ids, runs.stream, runs.past), rows))
    done = [row for batch in batches for row in batch.rows]
    assert sorted(done) == list(range(len(rows)))
    assert [rows[row].first for row in done] == sorted((row.first for row in rows), reverse=True)
    needed = sum((length - row.first) * (3 - row.start) for row in rows)
    run = sum(
        size * sum(3 - rows[row].start for row in batch.rows) for size, batch in zip(lengths, batches, strict=True)
    )
    assert needed < run < 1.15 * needed
    assert 4 * 3 * len(batches) < 0.25 * needed


def test_memory_that_runs_out_at_long_rows_leaves_short_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    case, resume, sizes = Case("gpt2"), Access.resume, []

    def starved(self: Access, ids: torch.Tensor, start: int, enter: Any, write: Any) -> torch.Tensor:
        rows = 0

        def counted(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
            nonlocal rows
            stream = enter(layer, arriving)
            rows = len(stream)
            if stream.shape[0] * stream.shape[1] > 24:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return stream

        logits = resume(self, ids, start, counted, write)
        sizes.append((rows, ids.shape[1]))
        return logits

    rows = [Row(1, (case.edit("resid_pre", layer, pos, 0),)) for pos in range(10) for layer in range(3)]
    expected = case.sweep(rows)
    monkeypatch.setattr(Access, "resume", starved)
    assert_agree(case.sweep(rows), expected)
    assert all(count * length <= 24 for count, length in sizes)
    assert sizes[0][0] >= 6
    assert sizes[-1] in ((1, 10), (2, 10))


class Forgetful(GPT2LMHeadModel):
    """Takes keys and values, and makes no use of them."""

    def forward(
        self, input_ids: torch.Tensor, past_key_values: Any = None, use_cache: bool = False, **rest: Any
    ) -> Any:
        return super().forward(input_ids, use_cache=False, **rest)


class Strict(GPT2LMHeadModel):
    """Does not know of keys and values."""

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False, logits_to_keep: int = 0) -> Any:
        return super().forward(input_ids, use_cache=False, logits_to_keep=logits_to_keep)


class Rewound(LlamaForCausalLM):
    """Begins to count positions again after cached ones."""

    def forward(self, input_ids: torch.Tensor, **rest: Any) -> Any:
        return super().forward(input_ids, position_ids=torch.arange(input_ids.shape[1])[None], **rest)


@pytest.mark.parametrize(("kind", "name"), [(Forgetful, "gpt2"), (Strict, "gpt2"), (Rewound, "llama")])
def test_a_model_that_does_not_run_on_from_keys_and_values_runs_whole_rows(
    kind: Any, name: str, lengths: list[int]
) -> None:
    model = kind(zoo.model(name).config).eval()
    model.load_state_dict(zoo.model(name).state_dict())
    access = resolve(open_model(model))
    assert access.cached == 0
    assert access.read(torch.tensor([CLEAN, CORRUPT]), ()).past is None
    lengths.clear()
    found = run_patching(model, CLEAN, CORRUPT, **GIVEN)
    assert set(lengths) == {len(CLEAN)}
    expected = run_patching(zoo.model(name), CLEAN, CORRUPT, **GIVEN).value()
    np.testing.assert_allclose(found.value(), expected, atol=1e-5 * np.abs(expected).max())


def test_cached_keys_and_values_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    read, sizes = Access.read, []

    def spied(self: Access, ids: torch.Tensor, sites: Any) -> Runs:
        sizes.append(len(ids) // 2)
        return read(self, ids, sites)

    monkeypatch.setattr(Access, "read", spied)
    access = resolve(open_model(zoo.model("gpt2")))
    assert access.cached == 2 * 32  # keys and values of four heads of eight
    stream = 32
    a_pair = 2 * len(CLEAN) * access.n_layers * (stream + access.cached) * 4
    monkeypatch.setattr("interp_widgets.experiments.bench._CACHE_BYTES", 2 * a_pair)
    sizes.clear()
    run_patching(zoo.model("gpt2"), [CLEAN, CLEAN, CORRUPT], [CORRUPT, THIRD, THIRD], **GIVEN)
    assert sizes == [2, 1, 2, 1]
