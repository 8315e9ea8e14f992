"""Attribution patching against plain autograd, known answers, and the exact grid that follows it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets.experiments import bench, gridrun
from interp_widgets.experiments import estimate as estimate_module
from interp_widgets.experiments.ablation import run_ablation
from interp_widgets.experiments.causal_trace import run_causal_trace
from interp_widgets.experiments.metrics import MetricContext
from interp_widgets.experiments.patching import patching, run_patching
from interp_widgets.models import gradients as gradients_module
from interp_widgets.models.access import Access
from interp_widgets.results.errors import MetricError
from interp_widgets.results.patching import PatchingResult, Status
from tests.experiments import zoo

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
ANSWER, WRONG = 11, 27
GIVEN: dict[str, Any] = {"answer": ANSWER, "wrong_answer": WRONG}
ALL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def streams(model: Any, ids: list[int]) -> tuple[dict[tuple[str, int], torch.Tensor], torch.Tensor]:
    """GPT-2's own tensors at every place, with their graph, (position, d_model), and its last logits."""
    kept: dict[tuple[str, int], torch.Tensor] = {}
    with ExitStack() as hooks, torch.enable_grad():
        for layer, block in enumerate(model.transformer.h):
            for site, module in (("attn_out", block.attn), ("mlp_out", block.mlp), ("resid_post", block)):

                def keep(_m: Any, _a: Any, output: Any, place: Any = (site, layer)) -> None:
                    kept[place] = first(output)

                hooks.callback(module.register_forward_hook(keep).remove)
            hooks.callback(
                block.register_forward_pre_hook(
                    lambda _m, args, layer=layer: kept.__setitem__(("resid_pre", layer), args[0])
                ).remove
            )
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    return kept, logits


def reference(model: Any, host: list[int], donor: list[int], measure: Any) -> dict[tuple[str, int], torch.Tensor]:
    """Gradient times difference, (position,), by the tensors of GPT-2 itself."""
    here, logits = streams(model, host)
    there, _ = streams(model, donor)
    slopes = torch.autograd.grad(measure(logits), list(here.values()))
    found = {
        place: (slope * (there[place] - here[place]))[0].sum(-1).detach()
        for place, slope in zip(here, slopes, strict=True)
    }
    for place in list(found):
        if place[0] == "attn_out":  # what is read after it is the stream between, so its slope is that one's
            layer = place[1]
            change = there["resid_pre", layer] + there[place] - here["resid_pre", layer] - here[place]
            found["resid_mid", layer] = (slopes[list(here).index(place)] * change)[0].sum(-1).detach()
    return found


def drain(steps: Any) -> tuple[list[PatchingResult], PatchingResult]:
    partial: list[PatchingResult] = []
    try:
        while True:
            partial.append(next(steps))
    except StopIteration as stop:
        return partial, stop.value


def kl(logits: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    return (clean.softmax(-1) * (clean.log_softmax(-1) - logits.log_softmax(-1))).sum()


MEASURES: dict[str, Any] = {
    "logit_diff": lambda logits, _clean: logits[ANSWER] - logits[WRONG],
    "prob": lambda logits, _clean: logits.softmax(-1)[ANSWER],
    "logprob": lambda logits, _clean: logits.log_softmax(-1)[ANSWER],
    "loss": lambda logits, _clean: -logits.log_softmax(-1)[ANSWER],
    "kl": kl,
}


@pytest.mark.parametrize(
    ("metric", "direction"),
    [*((metric, "denoising") for metric in MEASURES), ("logit_diff", "noising"), ("prob", "noising")],
)
def test_estimates_are_gradient_times_difference(metric: str, direction: str) -> None:
    model = zoo.model("gpt2")
    host, donor = (CORRUPT, CLEAN) if direction == "denoising" else (CLEAN, CORRUPT)
    with torch.no_grad():
        clean = model(input_ids=torch.tensor([CLEAN]), use_cache=False).logits[0, -1]
        value = float(MEASURES[metric](model(input_ids=torch.tensor([host])).logits[0, -1], clean))
    expected = reference(model, host, donor, lambda logits: MEASURES[metric](logits, clean))

    found = run_patching(
        model, CLEAN, CORRUPT, sites=ALL, metric=metric, direction=direction, preview=True, **GIVEN
    ).estimates

    assert found is not None
    assert found.metric == metric
    asked = np.isfinite(found.values[0])
    assert asked.sum() > 40
    whole = np.stack([np.stack([value + expected[site, layer].numpy() for layer in range(3)]) for site in ALL])
    scale = float(np.abs(whole - value).max())
    np.testing.assert_allclose(found.values[0][asked], whole[asked], atol=1e-4 * scale)


def test_windows_and_roles_sum_what_they_replace() -> None:
    model = zoo.model("gpt2")
    expected = reference(model, CORRUPT, CLEAN, lambda logits: logits[ANSWER] - logits[WRONG])
    options: dict[str, Any] = {"sites": "mlp_out", "preview": True, **GIVEN}
    layers = [expected["mlp_out", layer].numpy() for layer in range(3)]

    windows = run_patching(model, CLEAN, CORRUPT, window=2, **options)
    host = windows.baselines["logit_diff"][0, 1]
    for row, sums in enumerate((layers[0], layers[0] + layers[1], layers[1] + layers[2])):
        asked = np.isfinite(windows.estimates.values[0, 0, row])  # type: ignore[union-attr]
        assert asked[2:].any()
        found = windows.estimates.values[0, 0, row]  # type: ignore[union-attr]
        np.testing.assert_allclose(found[asked] - host, sums[asked], atol=1e-4)

    whole = run_patching(model, CLEAN, CORRUPT, by="layer", positions=[2, 4], **options)
    found = whole.estimates.values[0, 0, :, 0]  # type: ignore[union-attr]
    np.testing.assert_allclose(found[:2] - host, [layer[[2, 4]].sum() for layer in layers[:2]], atol=1e-4)
    assert np.isnan(found[2])  # nothing reads the last layer there, which is certain

    roles = {"changed": (2, 5)}
    spans = run_patching(model, CLEAN, CORRUPT, roles=roles, **options)
    found = spans.estimates.values[0, 0, :, 0]  # type: ignore[union-attr]
    np.testing.assert_allclose(found[:2] - host, [layer[2:5].sum() for layer in layers[:2]], atol=1e-4)


def test_a_role_that_is_elsewhere_takes_the_difference_from_there() -> None:
    model = zoo.model("gpt2")
    longer = [5, 9, 1, 13, 22, 40, 7]
    here, logits = streams(model, CORRUPT)
    there, _ = streams(model, longer)
    slopes = torch.autograd.grad(logits[ANSWER] - logits[WRONG], list(here.values()))
    slope = dict(zip(here, slopes, strict=True))
    roles, corrupt_roles = {"changed": (3, 6)}, {"changed": (2, 5)}
    found = run_patching(
        model, longer, CORRUPT, sites="attn_out", roles=roles, corrupt_roles=corrupt_roles, preview=True, **GIVEN
    )
    host = found.baselines["logit_diff"][0, 1]
    for layer in range(3):
        change = (there["attn_out", layer][0, 3:6] - here["attn_out", layer][0, 2:5]) * slope["attn_out", layer][0, 2:5]
        assert found.estimates is not None
        assert found.estimates.values[0, 0, layer, 0] - host == pytest.approx(change.sum().item(), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "norm", "sites"),
    [("gpt2", "transformer.ln_f", ["mlp_out"]), ("gpt_neox", "gpt_neox.final_layer_norm", ["attn_out", "mlp_out"])],
)
def test_where_the_model_is_linear_an_estimate_is_exact(name: str, norm: str, sites: Any) -> None:
    """The last layer's parts reach the logits by additions and one matrix when there is no final norm."""
    model = zoo.build(name)
    model.set_submodule(norm, nn.Identity())
    result = run_patching(model, CLEAN, CORRUPT, sites=sites, layers=-1, preview=True, **GIVEN)
    for site in sites:
        cells = result.compare(site)
        assert len(cells.exact) == 1  # no other position of the last layer is read
        assert abs(cells.exact[0]) > 1e-2
        np.testing.assert_allclose(cells.estimated, cells.exact, rtol=1e-4)
    # With its norm the same model bends.
    bent = run_patching(zoo.build(name), CLEAN, CORRUPT, sites=sites, layers=-1, preview=True, **GIVEN)
    assert not np.allclose(bent.compare("mlp_out").estimated, bent.compare("mlp_out").exact, rtol=2e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_error_shrinks_with_the_difference(name: str) -> None:
    """First order: a difference a quarter as large leaves a quarter of the relative error."""
    errors = []
    for size in (0.08, 0.02):
        model = zoo.build(name).double()
        embedding = model.get_input_embeddings().weight
        with torch.no_grad():
            noise = torch.randn(embedding.shape[1], generator=torch.Generator().manual_seed(3)).double()
            embedding[31] = embedding[13] + size * noise
        result = run_patching(model, CLEAN, [5, 9, 31, 22, 40, 7], sites=ALL, preview=True, **GIVEN)
        sides = [result.compare(site) for site in ALL]
        estimated, exact = (np.concatenate([getattr(side, name) for side in sides]) for name in ("estimated", "exact"))
        errors.append(float(np.abs(estimated - exact).mean() / np.abs(exact).mean()))
    assert errors[1] < 0.1
    assert 0.1 < errors[1] / errors[0] < 0.4


def test_estimates_come_second_and_exact_values_replace_them() -> None:
    model = zoo.model("gpt2")
    plain = run_patching(model, CLEAN, CORRUPT, sites=ALL, preview=False, **GIVEN)
    assert plain.estimates is None
    partial, complete = drain(patching(model, CLEAN, CORRUPT, sites=ALL, preview=True, max_rows=4, **GIVEN))

    assert partial[0].estimates is None
    pending = partial[0].status == Status.PENDING
    second = partial[1]
    assert second.estimates is not None
    assert (second.status[pending] == Status.ESTIMATED).all()
    np.testing.assert_array_equal(second.value()[pending], second.estimates.values[pending])
    assert np.isnan(second.value("prob")[pending]).all()
    assert second.remaining == pending.sum()
    assert not second.complete

    left = [result.remaining for result in partial[1:]]
    assert left == sorted(left, reverse=True)
    assert complete.complete
    assert complete.estimates == second.estimates
    np.testing.assert_array_equal(complete.status, plain.status)
    for metric in plain.metrics:
        np.testing.assert_allclose(complete.value(metric), plain.value(metric), atol=2e-5, rtol=1e-4)
    assert complete.provenance.forward_passes == pytest.approx(plain.provenance.forward_passes + 3, abs=3)


def test_an_interrupt_keeps_the_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    run = Access.resume

    def interrupted(self: Access, *args: Any, **kwargs: Any) -> torch.Tensor:
        batches.append(kwargs.get("gradients", False))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return run(self, *args, **kwargs)

    model = zoo.model("gpt2")
    run_patching(model, CLEAN, CORRUPT, **GIVEN)  # so that the model is known, and its probe runs are over
    monkeypatch.setattr(Access, "resume", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_patching(model, CLEAN, CORRUPT, preview=True, max_rows=2, **GIVEN)
    assert batches == [True, False, False]
    kept = stopped.value.partial  # type: ignore[attr-defined]
    assert (kept.status == Status.COMPUTED).sum() == 2
    assert (kept.status == Status.ESTIMATED).sum() > 2
    assert np.isfinite(kept.effect()[kept.status == Status.ESTIMATED]).all()


def test_pairs_are_estimated_together_or_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = [CLEAN, [5, 9, 14, 22, 41, 7], [4, 9, 13, 23, 40, 7]]
    corrupt = [CORRUPT, [5, 9, 32, 22, 3, 7], [4, 9, 31, 23, 2, 8]]
    model = zoo.model("llama")
    together = run_patching(model, clean, corrupt, sites=ALL, preview=True, **GIVEN)
    alone = [run_patching(model, *pair, sites=ALL, preview=True, **GIVEN) for pair in zip(clean, corrupt, strict=True)]
    for number, single in enumerate(alone):
        np.testing.assert_allclose(together.estimates.values[number], single.estimates.values[0], atol=2e-5)  # type: ignore[union-attr]

    monkeypatch.setattr(estimate_module, "default_rows", lambda *_: 6)  # two hosts of three layers
    again = run_patching(model, clean, corrupt, sites=ALL, preview=True, **GIVEN)
    np.testing.assert_allclose(again.estimates.values, together.estimates.values, atol=2e-5)  # type: ignore[union-attr]
    monkeypatch.setattr(bench, "_CACHE_BYTES", 1)  # so that pairs are read one at a time, and again for their rows
    again = run_patching(model, clean, corrupt, sites=ALL, preview=True, **GIVEN)
    np.testing.assert_allclose(again.estimates.values, together.estimates.values, atol=2e-5)  # type: ignore[union-attr]


def test_running_out_of_memory_halves_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    whole = gradients_module.gradients

    def small(access: Access, ids: torch.Tensor, *rest: Any) -> Any:
        sizes.append(len(ids))
        if len(ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(access, ids, *rest)

    monkeypatch.setattr(estimate_module, "gradients", small)
    pairs = ([CLEAN] * 3, [CORRUPT, [5, 9, 32, 22, 3, 7], [4, 9, 31, 22, 40, 7]])
    result = run_patching(zoo.model("gpt2"), *pairs, preview=True, **GIVEN)
    assert sizes == [3, 1, 1, 1]
    assert np.isfinite(result.estimates.values).any(axis=(1, 2, 3)).all()  # type: ignore[union-attr]


def test_only_the_cells_with_the_largest_estimates_are_run() -> None:
    model = zoo.model("gpt2")
    clean, corrupt = [CLEAN, CLEAN], [CORRUPT, [5, 9, 32, 22, 3, 7]]
    sites = ("resid_pre", "mlp_out")
    result = run_patching(model, clean, corrupt, sites=sites, exact=2, **GIVEN)
    whole = run_patching(model, clean, corrupt, sites=sites, preview=True, **GIVEN)

    assert result.complete
    np.testing.assert_array_equal(result.estimates.values, whole.estimates.values)  # type: ignore[union-attr]
    run = result.status == Status.COMPUTED
    np.testing.assert_array_equal(run[0], run[1])  # the same cells of every pair
    strengths = np.abs(whole.estimated_effect()).mean(axis=0)
    for site in range(2):
        for layer in range(3):
            asked = np.isfinite(strengths[site, layer])
            wanted = set(np.argsort(-np.where(asked, strengths[site, layer], -1))[: min(2, asked.sum())].tolist())
            assert set(np.flatnonzero(run[0, site, layer]).tolist()) == wanted
    np.testing.assert_allclose(result.value()[run], whole.value()[run], atol=2e-5)
    kept = result.status == Status.ESTIMATED
    assert kept.sum() > 4
    np.testing.assert_array_equal(result.value()[kept], whole.estimates.values[kept])  # type: ignore[union-attr]
    assert f"{kept.sum()} of {kept.size} cells are estimates only" in result.summary()


def test_more_exact_cells_than_there_are_means_all() -> None:
    result = run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, exact=6, **GIVEN)
    assert result.estimates is None
    assert result.complete
    assert not (result.status == Status.ESTIMATED).any()


def test_a_preview_comes_by_itself_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.model("gpt2")
    assert run_patching(model, CLEAN, CORRUPT, sites=ALL, **GIVEN).estimates is None  # a few dozen short passes
    # 6 tokens x 3 layers differ from the first token on: 17 cells of resid_pre take about 11 passes.
    monkeypatch.setattr(gridrun, "_WORTH", 5)
    corrupt = [6, 9, 31, 22, 2, 7]
    assert run_patching(model, CLEAN, corrupt, **GIVEN).estimates is not None
    assert run_patching(model, CLEAN, corrupt, preview=False, **GIVEN).estimates is None
    assert run_patching(model, CLEAN, corrupt, metric="rank", **GIVEN).estimates is None
    monkeypatch.setattr(gridrun, "_WORTH", 12)
    assert run_patching(model, CLEAN, corrupt, **GIVEN).estimates is None


def test_a_function_of_the_logits_is_estimated_if_it_has_a_derivative() -> None:
    model = zoo.model("gpt2")

    def gap(logits: torch.Tensor, context: MetricContext) -> torch.Tensor:
        return logits[:, context.answer] - logits[:, context.wrong_answer]

    def cut_off(logits: torch.Tensor) -> Any:
        return logits.detach().numpy()[:, ANSWER]

    own = run_patching(model, CLEAN, CORRUPT, metric=gap, preview=True, **GIVEN)
    named = run_patching(model, CLEAN, CORRUPT, preview=True, **GIVEN)
    assert own.estimates is not None
    assert named.estimates is not None
    assert own.estimates.metric == "gap"
    np.testing.assert_array_equal(own.estimates.values, named.estimates.values)

    with pytest.raises(MetricError, match=r"metric cut_off has no derivative: .* cut off from the logits\. Compute it"):
        run_patching(model, CLEAN, CORRUPT, metric=cut_off, preview=True, **GIVEN)


def test_without_derivative_a_grid_that_was_not_to_be_estimated_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gridrun, "_WORTH", 0)
    result = run_patching(
        zoo.model("gpt2"), CLEAN, CORRUPT, metric=lambda logits: logits.detach().numpy()[:, 3], **GIVEN
    )
    assert result.estimates is None
    assert result.complete


@pytest.mark.parametrize("asked", [{"preview": True}, {"exact": 1}])
def test_metrics_that_cannot_be_estimated_are_refused_where_estimates_are_asked_for(asked: Any) -> None:
    with pytest.raises(MetricError, match=r"metric rank has no derivative.*Use metric='logit_diff'"):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, metric="rank", **asked, **GIVEN)
    with pytest.raises(MetricError, match="kl is at its minimum in the clean run"):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, metric="kl", direction="noising", **asked, **GIVEN)


def test_a_grid_that_is_certain_needs_no_gradients() -> None:
    result = run_patching(zoo.model("gpt2"), CLEAN, [5, 9, 31, 22, 40, 7], layers=0, preview=True, **GIVEN)
    assert (result.status == Status.KNOWN).all()
    assert result.provenance.forward_passes == 2
    assert np.isnan(result.rank_correlation("resid_pre"))


@pytest.mark.parametrize("edited", [False, True])
def test_noised_and_ablated_runs_are_estimated_from_what_they_are(
    edited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact where the model is linear, which it would not be from another run: one with other noise, or none."""
    monkeypatch.setattr(gridrun, "_WORTH", 0)
    module = zoo.build("gpt2")
    module.transformer.ln_f = nn.Identity()
    model = NNsight(module)
    if edited:
        with model.edit(inplace=True):
            model.transformer.h[0].mlp.output[:] = 0
    last: dict[str, Any] = {"sites": "mlp_out", "layers": -1, "metric": "logit_diff", **GIVEN}
    trace = run_causal_trace(model, CLEAN, subject=(2, 4), samples=3, **last)
    ablation = run_ablation(model, CLEAN, how="zero", **last)
    for result, count in ((trace, 3), (ablation, 1)):
        cells = result.compare("mlp_out")
        strong = np.abs(cells.exact) > 1e-3
        assert strong.sum() == count
        np.testing.assert_allclose(cells.estimated, cells.exact, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
def test_what_an_ablation_takes_away_is_estimated_as_gradient_times_what_is_put_in(how: Any) -> None:
    model, sites = zoo.model("gpt2"), ("resid_pre", "attn_out", "mlp_out")
    others = [CORRUPT] if how == "resample" else [CORRUPT, [5, 19, 3, 22, 44, 7]]
    asked: dict[str, Any] = {} if how == "zero" else {"reference": others}
    found = run_ablation(model, CLEAN, how=how, sites=sites, by="pos", preview=True, **asked, **GIVEN)
    assert found.complete
    assert found.estimates is not None

    here, logits = streams(model, CLEAN)
    slopes = dict(zip(here, torch.autograd.grad(logits[ANSWER] - logits[WRONG], list(here.values())), strict=True))
    runs = [streams(model, ids)[0] for ids in others]
    value = (logits[ANSWER] - logits[WRONG]).item()
    for number, site in enumerate(sites):
        for layer in range(3):
            place = (site, layer)
            put_in = 0 * here[place] if how == "zero" else sum(run[place] for run in runs) / len(runs)
            wanted = value + (slopes[place] * (put_in - here[place]))[0].sum(-1).detach().numpy()
            estimated = found.estimates.values[0, number, layer]
            asked_for = np.isfinite(estimated)
            assert asked_for.any()
            np.testing.assert_allclose(estimated[asked_for], wanted[asked_for], atol=1e-4 * np.abs(wanted).max())


def test_what_a_trace_restores_is_estimated_from_the_run_with_noise() -> None:
    model, noised, samples = zoo.model("gpt2"), [1, 2], 2
    found = run_causal_trace(
        model, CLEAN, subject=noised, samples=samples, sites=("resid_post", "mlp_out"), preview=True, exact=1,
        metric="logprob", **GIVEN,
    )  # fmt: skip
    assert found.estimates is not None
    assert (found.status == Status.COMPUTED).sum(axis=-1).max() == 1
    clean, _ = streams(model, CLEAN)
    table = model.transformer.wte.weight.detach()
    generator = torch.Generator().manual_seed(0)
    for sample in range(samples):
        noise = 3 * float(table.std(correction=0)) * torch.randn(2, table.shape[1], generator=generator)

        def add(_m: Any, _a: Any, output: torch.Tensor, noise: torch.Tensor = noise) -> torch.Tensor:
            changed = output.clone()
            changed[0, noised] += noise
            return changed

        hook = model.transformer.wte.register_forward_hook(add)
        here, logits = streams(model, CLEAN)
        hook.remove()
        logprob = logits.log_softmax(-1)[ANSWER]
        slopes = dict(zip(here, torch.autograd.grad(logprob, list(here.values())), strict=True))
        for number, site in enumerate(("resid_post", "mlp_out")):
            for layer in range(3):
                place = (site, layer)
                change = (slopes[place] * (clean[place] - here[place]))[0].sum(-1).detach().numpy()
                estimated = found.estimates.values[sample, number, layer] - logprob.item()
                asked = np.isfinite(estimated)
                assert asked.any() or (site, layer) == ("resid_post", 2)
                np.testing.assert_allclose(estimated[asked], change[asked], atol=1e-3 * max(1, np.abs(change).max()))


def test_metrics_at_their_best_in_the_intact_run_have_no_estimates_of_ablations() -> None:
    with pytest.raises(MetricError, match="kl is at its minimum in the clean run"):
        run_ablation(zoo.model("gpt2"), CLEAN, metric="kl", preview=True, **GIVEN)
    assert run_causal_trace(zoo.model("gpt2"), CLEAN, subject=1, samples=1, metric="kl", preview=True, **GIVEN).complete
    with pytest.raises(ValueError, match=r"exact=2 runs the cells with the largest estimates, so it needs preview"):
        run_ablation(zoo.model("gpt2"), CLEAN, exact=2, preview=False, **GIVEN)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"exact=0 must be a whole number from 1 on"):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, exact=0, **GIVEN)
    with pytest.raises(
        ValueError, match=r"exact=2 runs the cells with the largest estimates, so it needs preview=True"
    ):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, exact=2, preview=False, **GIVEN)
    with pytest.raises(ValueError, match=r"preview='yes' must be True, False, or None"):
        run_patching(zoo.model("gpt2"), CLEAN, CORRUPT, preview="yes", **GIVEN)  # type: ignore[arg-type]
