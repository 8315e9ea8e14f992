"""Known answers, partial results, interruption and memory of patching grids."""

from __future__ import annotations

import doctest
import threading
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnsight import NNsight

from interp_widgets.experiments import patching as patching_module
from interp_widgets.experiments.patching import patching, run_patching
from interp_widgets.experiments.sweep import Edit, Hosts, Row, default_rows, sweep
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.patching import PatchingResult, Status
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
ONE_CHANGED = [5, 9, 31, 22, 40, 7]
GIVEN: dict[str, Any] = {"answer": 11, "wrong_answer": 27}
ALL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def cells(result: PatchingResult) -> np.ndarray:
    return result.effect()[0, 0]


def drain(steps: Any) -> tuple[list[PatchingResult], PatchingResult]:
    """Every partial result, and the complete one."""
    complete: list[PatchingResult] = []

    def forward() -> Any:
        complete.append((yield from steps))

    return list(forward()), complete[0]


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_first_layer_is_one_at_the_changed_token_and_zero_elsewhere(direction: str) -> None:
    result = run_patching(zoo.model("gpt2"), CLEAN, ONE_CHANGED, direction=direction, **GIVEN)
    assert cells(result)[0].tolist() == [0, 0, 1, 0, 0, 0]
    assert (result.status[0, 0, 0] == Status.KNOWN).all()


def test_the_last_layer_ends_at_one_and_other_positions_no_longer_matter() -> None:
    result = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, sites=ALL, **GIVEN)
    last = dict(zip(result.sites, result.effect()[0, :, -1], strict=True))
    assert last["resid_post"].tolist() == [0, 0, 0, 0, 0, 1]
    assert last["resid_mid"].tolist() == [0, 0, 0, 0, 0, 1]
    assert last["attn_out"][:-1].tolist() == [0, 0, 0, 0, 0]


def test_what_is_known_equals_what_the_engine_computes() -> None:
    """Known cells must come from a proof, so running them must change nothing."""
    for name in ("gpt2", "gemma2", "falcon"):
        model = zoo.model(name)
        access = resolve(open_model(model))
        result = run_patching(model, CLEAN, CORRUPT, sites=[s for s in ALL if s in access.sites], **GIVEN)
        ids = torch.tensor([CLEAN, CORRUPT])
        runs = access.read(ids, access.sites)
        known = [tuple(cell) for cell in np.argwhere(result.status[0] == Status.KNOWN)]
        assert len(known) > 10
        rows = [
            Row(1, (Edit(result.sites[site], layer, pos, runs.site(result.sites[site], layer)[0, pos]),))
            for site, layer, pos in known
        ]
        for done in sweep(access, Hosts(ids, runs.stream), rows):
            for number, logits in zip(done.rows, done.logits, strict=True):
                expected = result.value()[0][known[number]]
                assert float(logits[11] - logits[27]) == pytest.approx(float(expected), abs=2e-5)


@pytest.mark.parametrize("name", ["gpt2", "bloom", "granite"])
def test_all_positions_of_any_stream_site_give_the_donor(name: str) -> None:
    access = resolve(open_model(zoo.model(name)))
    ids = torch.tensor([CLEAN, CORRUPT])
    runs = access.read(ids, ["resid_mid"])
    rows = [
        Row(1, (Edit(site, layer, None, runs.site(site, layer)[0]),))
        for site in ("resid_pre", "resid_mid", "resid_post")
        for layer in range(access.n_layers)
    ]
    for done in sweep(access, Hosts(ids, runs.stream), rows, max_rows=4):
        torch.testing.assert_close(done.logits, runs.logits[:1].expand(len(done.rows), -1), atol=1e-4, rtol=0)


def test_rows_may_hold_several_edits() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    ids = torch.tensor([CLEAN, CORRUPT])
    runs = access.read(ids, ["mlp_out"])
    edits = tuple(Edit("resid_pre", 1, pos, runs.stream[1][0, pos]) for pos in range(len(CLEAN)))
    both = (*edits, Edit("mlp_out", 2, None, runs.site("mlp_out", 2)[0]))
    first, second = (
        done.logits for done in sweep(access, Hosts(ids, runs.stream), [Row(1, edits), Row(1, both)], max_rows=1)
    )
    torch.testing.assert_close(first[0], runs.logits[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(second[0], runs.logits[0], atol=1e-4, rtol=0)


def test_partial_results_grow_from_the_deepest_layer() -> None:
    seen, complete = drain(patching(zoo.model("gpt2"), CLEAN, CORRUPT, max_rows=2, **GIVEN))
    first = seen[0]
    assert not first.complete
    assert (first.status != Status.COMPUTED).all()
    assert first.pairs[0].clean_top
    assert first.baselines["logit_diff"].shape == (1, 2)
    computed = [int((partial.status == Status.COMPUTED).sum()) for partial in seen]
    assert computed == sorted(computed)
    assert (seen[1].status[0, 0, -1] == Status.COMPUTED).any()
    assert complete.complete
    assert complete == seen[-1]


def test_partial_results_are_not_changed_later() -> None:
    steps = patching(zoo.model("gpt2"), CLEAN, CORRUPT, max_rows=2, **GIVEN)
    first = next(steps)
    status, values = first.status.copy(), first.value().copy()
    drain(steps)
    np.testing.assert_array_equal(first.status, status)
    np.testing.assert_array_equal(first.value(), values)


def test_pairs_are_kept_apart() -> None:
    model = zoo.model("gpt2")
    batch = run_patching(model, [CLEAN, CORRUPT], [CORRUPT, ONE_CHANGED], answer=[11, 3], wrong_answer=[27, 4])
    alone = run_patching(model, CORRUPT, ONE_CHANGED, answer=3, wrong_answer=4)
    np.testing.assert_allclose(batch.value()[1], alone.value()[0], atol=1e-5)
    assert batch.value().shape == (2, 1, 3, 6)
    assert (batch.pairs[1].clean, batch.pairs[1].answer) == (alone.pairs[0].clean, alone.pairs[0].answer)
    assert [said.token for said in batch.pairs[1].clean_top] == [said.token for said in alone.pairs[0].clean_top]


def test_pairs_beyond_the_cache_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: Any = (zoo.model("gpt2"), [CLEAN, CORRUPT, CLEAN], [CORRUPT, ONE_CHANGED, ONE_CHANGED])
    together = run_patching(*arguments, sites=ALL, **GIVEN)
    monkeypatch.setattr("interp_widgets.experiments.bench._CACHE_BYTES", 1)
    apart = run_patching(*arguments, sites=ALL, **GIVEN)
    np.testing.assert_allclose(apart.value(), together.value(), atol=1e-5)
    assert apart.complete


def test_chosen_layers_and_positions() -> None:
    model = zoo.model("gpt2")
    whole = run_patching(model, CLEAN, CORRUPT, **GIVEN)
    part = run_patching(model, CLEAN, CORRUPT, layers=[-1, 1], positions=[2, -1], **GIVEN)
    assert part.layers == (1, 2)
    assert part.complete
    assert (part.status[..., [0, 1, 3, 4]] == Status.LEFT_OUT).all()
    np.testing.assert_allclose(part.value()[..., [2, 5]], whole.value()[:, :, 1:, [2, 5]], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*differ by only:UserWarning")  # prompts drawn at random may nearly agree
@given(
    tokens=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=7),
    max_rows=st.integers(1, 9),
    name=st.sampled_from(["gpt2", "bloom", "gptj", "gemma2"]),
    site=st.sampled_from(["resid_pre", "resid_post", "attn_out", "mlp_out"]),
)
@settings(max_examples=30, deadline=None)
def test_chunks_and_swapped_roles_do_not_matter(
    tokens: list[tuple[int, int]], max_rows: int, name: str, site: str
) -> None:
    clean, corrupt = ([pair[side] for pair in tokens] for side in (0, 1))
    if clean == corrupt:
        return
    model = zoo.model(name)
    whole = run_patching(model, clean, corrupt, sites=site, metric="kl", **GIVEN)
    cut = run_patching(model, clean, corrupt, sites=site, metric="kl", max_rows=max_rows, **GIVEN)
    swapped = run_patching(
        model, corrupt, clean, sites=site, metric="kl", direction="noising", answer=27, wrong_answer=11
    )
    for metric in ("logit_diff", "kl", "rank"):
        np.testing.assert_allclose(cut.value(metric), whole.value(metric), atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(-swapped.value("logit_diff"), whole.value("logit_diff"), atol=2e-4, rtol=1e-4)
    np.testing.assert_array_equal(cut.status, whole.status)


def test_running_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.model("gpt2")
    expected = run_patching(model, CLEAN, CORRUPT, **GIVEN)
    resume, sizes = Access.resume, []

    def starved(self: Access, ids: torch.Tensor, start: int, enter: Any, write: Any) -> torch.Tensor:
        rows: list[int] = []

        def counted(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
            stream = enter(layer, arriving)
            rows.append(len(stream))
            if len(stream) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return stream

        logits = resume(self, ids, start, counted, write)
        sizes.append(max(rows))
        return logits

    monkeypatch.setattr(Access, "resume", starved)
    found = run_patching(model, CLEAN, CORRUPT, **GIVEN)
    assert max(sizes) <= 3
    np.testing.assert_allclose(found.value(), expected.value(), atol=1e-5)


def test_running_out_of_memory_with_one_row_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    zoo.model("gpt2")
    steps = patching(zoo.model("gpt2"), CLEAN, CORRUPT, **GIVEN)
    monkeypatch.setattr(Access, "resume", starved)
    next(steps)
    with pytest.raises(torch.OutOfMemoryError):
        next(steps)


def test_closing_half_way_leaves_the_model_as_it_was() -> None:
    model = zoo.build("gpt2")
    ids = torch.tensor([CLEAN])
    with torch.no_grad():
        before = model(ids).logits
    steps = patching(model, CLEAN, CORRUPT, max_rows=1, **GIVEN)
    next(steps)
    next(steps)
    steps.close()
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, before, atol=0, rtol=0)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()
    assert run_patching(model, CLEAN, CORRUPT, **GIVEN).complete


def test_an_interrupt_inside_a_chunk_leaves_the_model_usable() -> None:
    model = zoo.build("gpt2")
    steps = patching(model, CLEAN, CORRUPT, max_rows=1, **GIVEN)
    next(steps)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = model.transformer.h[2].mlp.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    hook.remove()
    assert run_patching(model, CLEAN, CORRUPT, **GIVEN).complete


def test_two_grids_in_turns_agree_with_each_alone() -> None:
    model = NNsight(zoo.model("gpt2"))
    arguments: list[Any] = [(model, CLEAN, CORRUPT), (model, CORRUPT, ONE_CHANGED)]
    alone = [run_patching(*each, **GIVEN) for each in arguments]
    steps = [patching(*each, max_rows=2, **GIVEN) for each in arguments]
    last: list[Any] = [None, None]
    for partials in zip_longest(*steps):
        last = [before if partial is None else partial for partial, before in zip(partials, last, strict=True)]
    for found, expected in zip(last, alone, strict=True):
        np.testing.assert_allclose(found.value(), expected.value(), atol=1e-5)


def test_threads_take_turns() -> None:
    model = NNsight(zoo.model("gpt2"))
    expected = run_patching(model, CLEAN, CORRUPT, **GIVEN).value()
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(run_patching(model, CLEAN, CORRUPT, max_rows=2, **GIVEN).value()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for values in found:
        np.testing.assert_allclose(values, expected, atol=1e-5)


def test_a_model_in_training_runs_without_dropout_and_stays_in_training() -> None:
    model = zoo.build("gpt2")
    expected = run_patching(model, CLEAN, CORRUPT, **GIVEN)
    model.train()
    found = run_patching(model, CLEAN, CORRUPT, **GIVEN)
    assert model.training
    assert model.transformer.drop.training
    np.testing.assert_allclose(found.value(), expected.value(), atol=1e-6)


def test_edits_of_the_user_apply() -> None:
    plain = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, **GIVEN)
    model = NNsight(zoo.build("gpt2"))
    with model.edit(inplace=True):
        model.transformer.h[0].mlp.output[:] = 0
    edited = run_patching(model, CLEAN, CORRUPT, sites=ALL, **GIVEN)
    model.clear_edits()

    silenced = zoo.build("gpt2")
    with torch.no_grad():
        silenced.transformer.h[0].mlp.c_proj.weight.zero_()
        silenced.transformer.h[0].mlp.c_proj.bias.zero_()
    expected = run_patching(silenced, CLEAN, CORRUPT, sites=ALL, **GIVEN)
    np.testing.assert_allclose(edited.baselines["logit_diff"], expected.baselines["logit_diff"], atol=1e-5)
    # What the edited module adds is replaced by the edit, after the patch of mlp_out in its layer.
    np.testing.assert_allclose(edited.value()[0, :4], expected.value()[0, :4], atol=1e-5)
    assert not np.allclose(edited.value()[0, 0], plain.value()[0, 0], atol=1e-3)


def test_half_precision_agrees_roughly() -> None:
    whole = run_patching(zoo.model("llama"), CLEAN, CORRUPT, **GIVEN)
    half = run_patching(zoo.build("llama").to(torch.bfloat16), CLEAN, CORRUPT, **GIVEN)
    assert half.provenance.dtype == "bfloat16"
    assert half.provenance.fingerprint != whole.provenance.fingerprint
    np.testing.assert_allclose(half.value(), whole.value(), atol=0.2 * float(np.ptp(whole.value())))


def test_provenance_tells_models_and_work_apart() -> None:
    model = zoo.build("gpt2")
    first = run_patching(model, CLEAN, CORRUPT, **GIVEN).provenance
    again = run_patching(model, CLEAN, CORRUPT, max_rows=1, **GIVEN).provenance
    assert first == again
    assert 2 < first.forward_passes < 2 + 3 * len(CLEAN)
    assert first.seconds > 0
    assert first.versions["nnsight"]
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight += 0.01
    assert run_patching(model, CLEAN, CORRUPT, **GIVEN).provenance.fingerprint != first.fingerprint


def test_a_lambda_is_called_custom() -> None:
    result = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, metric=lambda logits: logits[:, 11] ** 2, **GIVEN)
    assert result.metric == "custom"
    np.testing.assert_allclose(result.effect()[0, 0, -1, 1], 0)


def test_long_prompts_and_large_vocabularies_make_small_batches() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    assert default_rows(access, 15) == 51
    assert default_rows(access, 4000) == 1
    access.n_vocab = 2**25
    assert default_rows(access, 15) == 2


def test_the_example_runs() -> None:
    pytest.importorskip("interp_widgets.teaching")
    failed, tried = doctest.testmod(patching_module, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed
