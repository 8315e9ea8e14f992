"""Heads and neurons of every family, read and written, against plain hooks on the model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from nnsight import NNsight

from interp_widgets.experiments.patching import run_patching
from interp_widgets.models import families
from interp_widgets.models.access import Access, Runs, Write, resolve
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import ModelError, SelectionError, SiteError
from interp_widgets.results.terms import HEAD_SITES, NEURON_SITES, STREAM_SITES, Site
from tests.experiments import zoo
from tests.models.heads_reference import Positions, Reference, Softmax, eager

CLEAN = [5, 9, 13, 22, 40, 7, 3, 3, 18, 50]  # longer than a head is wide
CORRUPT = [5, 9, 31, 22, 2, 7, 60, 3, 41, 8]
EXPERTS = tuple(name for name, family in zoo.FAMILIES.items() if not family.down)


def of(name: str) -> tuple[Access, Reference]:
    return resolve(open_model(zoo.model(name))), Reference(zoo.FAMILIES[name], zoo.model(name))


def logits_both_ways(
    access: Access, layer: int, n_rows: int, plan: dict[tuple[Site, int], Write]
) -> Iterator[torch.Tensor]:
    """The corrupt prompt in some rows, written at some sites: resumed at a layer, and run from its tokens."""
    ids = torch.tensor([CORRUPT])
    stream = access.read(ids, ()).stream[layer].expand(n_rows, -1, -1)
    hosts = ids if access.grows else ids.expand(n_rows, -1)
    yield access.resume(hosts, layer, lambda _layer, arriving: stream if arriving is None else arriving, plan.get)
    yield access.run(ids.expand(n_rows, -1), plan.get)


def check(found: torch.Tensor, expected: torch.Tensor, host: torch.Tensor) -> None:
    changes = (expected - host).abs()
    assert changes.max() > 0.01  # patches that do next to nothing would prove nothing
    torch.testing.assert_close(found, expected, atol=1e-5 * max(1.0, float(changes.max())), rtol=0)


@pytest.mark.parametrize("site", ["z", "q", "k", "v", "mlp_post"])
@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_each_head_and_the_neurons_are_read_and_written_as_with_plain_hooks(name: str, site: Site) -> None:
    access, reference = of(name)
    if site == "mlp_post" and name in EXPERTS:
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
        for found in logits_both_ways(access, layer, len(cells), {(site, layer): write}):
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

        for found in logits_both_ways(access, layer, len(cells), {("pattern", layer): write}):
            check(found, torch.stack(expected), host)


def put(value: torch.Tensor) -> Write:
    return lambda activations: value.expand_as(activations).clone()


def all_of(runs: Runs, layer: int, *sites: Site) -> dict[tuple[Site, int], Write]:
    """Write the clean run's activations, all heads at all positions."""
    return {(site, layer): put(runs.site(site, layer)[:1]) for site in sites}


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_what_makes_up_an_activation_does_as_much_as_it(name: str) -> None:
    """All heads' z are what attention adds; all patterns and values are z; queries and keys are the pattern."""
    access, _ = of(name)
    ids = torch.tensor([CLEAN, CORRUPT])
    runs = access.read(ids, [site for site in access.sites if site != "resid_mid"])
    equal: list[tuple[tuple[Site, ...], Site]] = [(("pattern", "v"), "z"), (("z",), "attn_out")]
    equal += [(("q", "k"), "pattern")] if "q" in access.sites else []
    equal += [(("mlp_post",), "mlp_out")] if "mlp_post" in access.sites else []
    for layer in range(access.n_layers):
        for parts, whole in equal:
            found = logits_both_ways(access, layer, 2, all_of(runs, layer, *parts))
            for left, right in zip(found, logits_both_ways(access, layer, 2, all_of(runs, layer, whole)), strict=True):
                check(left, right, runs.logits[1])


@pytest.mark.parametrize("site", ["z", "q", "v", "pattern", "mlp_post"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon", "gpt_neox", "opt"])
def test_rows_that_join_on_the_way_are_written_like_the_others(name: str, site: Site) -> None:
    access, _ = of(name)
    assert access.grows
    ids = torch.tensor([CLEAN, CORRUPT])
    runs = access.read(ids, (site,))
    host = [stream[1:] for stream in runs.stream]

    def first_row(layer: int) -> Write:
        return lambda activations: torch.cat([runs.site(site, layer)[:1], activations[1:]])

    def last_row(layer: int) -> Write:
        return lambda activations: torch.cat([activations[:-1], runs.site(site, layer)[:1]])

    def enter(layer: int, arriving: torch.Tensor | None) -> torch.Tensor:
        return host[layer] if arriving is None else torch.cat([arriving, host[layer]]) if layer == 1 else arriving

    together = access.resume(ids[1:], 0, enter, {(site, 0): first_row(0), (site, 1): last_row(1)}.get)
    for row, layer in enumerate((0, 1)):
        check(together[row], access.run(ids[1:], all_of(runs, layer, site).get)[0], runs.logits[1])


@pytest.mark.parametrize("name", ["gpt2", "llama", "mpt", "bloom"])
def test_what_is_not_changed_stays_as_it_is_to_the_last_bit(name: str) -> None:
    access, _ = of(name)
    ids = torch.tensor([CORRUPT])
    calm = access.run(ids, lambda _place: None)
    for site in ("z", "q", "k", "v", "pattern", "mlp_post"):
        assert torch.equal(access.run(ids, lambda place, site=site: torch.clone if place[0] == site else None), calm)


def test_queries_written_with_a_pattern_count_in_it() -> None:
    """The pattern that a write gets is that of its own run, and what it leaves alone follows the queries."""
    access, _ = of("llama")
    runs = access.read(torch.tensor([CLEAN, CORRUPT]), ("q", "k", "pattern"))
    got = []

    def keep(pattern: torch.Tensor) -> torch.Tensor:
        got.append(pattern)
        return pattern.clone()

    plan = all_of(runs, 1, "q", "k")
    alone = access.run(torch.tensor([CORRUPT]), plan.get)
    both = access.run(torch.tensor([CORRUPT]), (plan | {("pattern", 1): keep}).get)
    torch.testing.assert_close(got[0], runs.site("pattern", 1)[:1], atol=1e-5, rtol=1e-5)
    assert torch.equal(both, alone)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_half_precision_has_the_same_sites(name: str, dtype: torch.dtype) -> None:
    access = resolve(open_model(zoo.build(name).to(dtype)))
    assert access.sites == of(name)[0].sites
    runs = access.read(torch.tensor([CLEAN, CORRUPT]), ("pattern", "v", "z"))
    layout = access.inside.heads
    assert layout is not None
    plan = all_of(runs, 1, "pattern", "v")
    torch.testing.assert_close(
        access.run(torch.tensor([CORRUPT]), plan.get),
        access.run(torch.tensor([CORRUPT]), all_of(runs, 1, "z").get),
        atol=20 * torch.finfo(dtype).eps * float(runs.logits.abs().max()),
        rtol=0,
    )


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_heads_are_found_where_the_source_has_them(name: str) -> None:
    family, (access, _) = zoo.FAMILIES[name], of(name)
    layout = access.inside.heads
    assert layout is not None
    assert (layout.where.attention, layout.where.qkv, layout.where.out) == (family.attention, family.qkv, family.out)
    assert (access.n_heads, access.n_kv_heads, access.d_head) == (family.heads, family.kv_heads, family.d_head)
    assert [access.head_count(site) for site in ("z", "pattern", "v")] == [family.heads] * 2 + [family.kv_heads]
    assert access.inside.down == family.down
    assert (access.d_mlp is None) == (name in EXPERTS)
    assert set(HEAD_SITES + NEURON_SITES) - set(access.sites) == ({"mlp_post"} if name in EXPERTS else set())
    shared = [access.shared_by(head) for head in range(family.kv_heads)]
    assert sum(shared, ()) == tuple(range(family.heads))


@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "gpt_neox", "falcon", "falcon_alibi", "phi3", "opt", "starcoder2", "olmoe"]
)
def test_without_its_row_a_familys_heads_are_found_by_search(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_widgets.models.families.FAMILIES", {})
    searched, known = resolve(open_model(zoo.build(name))), of(name)[0]
    assert searched.sites == known.sites
    assert searched.inside.down == known.inside.down
    assert searched.inside.heads is not None
    assert known.inside.heads is not None
    if name != "falcon_alibi":  # of one key-value head, both layouts are the same
        assert searched.inside.heads == known.inside.heads


def test_a_wrong_row_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    row = families.FAMILIES["gpt_neox"]
    assert row.heads is not None
    monkeypatch.setitem(families.FAMILIES, "gpt_neox", replace(row, heads=replace(row.heads, by_group=False)))
    access = resolve(open_model(zoo.build("gpt_neox")))
    assert not {"q", "k", "v", "z"} & set(access.sites)
    assert access.n_heads is None
    with pytest.raises(SiteError, match=r"z does not exist in GPTNeoXForCausalLM: its heads do not take their values"):
        access.check_site("z")


@pytest.mark.parametrize(
    ("qkv", "expected"),
    [
        (("q_proj", "v_proj", "k_proj"), {"q"}),
        (("k_proj", "q_proj", "v_proj"), {"z", "v", "pattern"}),
        (("v_proj", "k_proj", "q_proj"), set()),
    ],
    ids=["v and k", "q and k", "q and v"],
)
def test_a_row_that_swaps_two_projections_is_not_believed(
    qkv: tuple[str, str, str], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them moves its own heads alone, so that wiring does not tell them apart."""
    row = families.FAMILIES["gptj"]
    assert row.heads is not None
    monkeypatch.setitem(families.FAMILIES, "gptj", replace(row, heads=replace(row.heads, qkv=qkv)))
    sites = resolve(open_model(zoo.build("gptj"))).sites
    assert not set(HEAD_SITES) & set(sites) - expected, sites


@pytest.mark.parametrize("name", ["olmo2", "olmoe"])
def test_projections_that_a_norm_over_all_heads_follows_are_not_heads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = families.FAMILIES[name]
    assert row.heads is not None
    split = replace(row.heads, qkv=("q_proj", "k_proj", "v_proj"))
    monkeypatch.setitem(families.FAMILIES, name, replace(row, heads=split))
    access = resolve(open_model(zoo.build(name)))
    with pytest.raises(SiteError, match=r"changing a query head there does not .* read it: .*a norm over all of them"):
        access.check_site("q")
    with pytest.raises(SiteError, match=r"changing a key-value head there .* Use resid_pre, .*z, v(,| or) pattern"):
        access.check_site("k")


def test_silenced_heads_are_found_all_the_same() -> None:
    model = zoo.build("llama")
    for layer in model.model.layers:
        for projection in (layer.self_attn.v_proj, layer.self_attn.q_proj):
            projection.weight.data[:8] = 0
    assert resolve(open_model(model)).sites == of("llama")[0].sites


def test_looking_at_streams_does_not_look_for_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a first grid starts as fast as it can."""

    def fail(*_: object) -> None:
        raise AssertionError("looked for heads")

    monkeypatch.setattr("interp_widgets.models.access.examine_inside", fail)
    run_patching(zoo.build("gpt2"), CLEAN, CORRUPT, sites=STREAM_SITES, answer=11, wrong_answer=27)


@pytest.mark.parametrize(
    ("name", "site", "expected"),
    [
        (
            "mixtral",
            "mlp_post",
            r"mlp_post does not exist in MixtralForCausalLM: its MLP is a mixture of experts.* Use",
        ),
        ("gpt_oss", "mlp_post", r"each position goes through some of many MLPs, not through one\. Use resid_pre,"),
    ],
)
def test_missing_sites_are_refused_with_their_reason(name: str, site: Site, expected: str) -> None:
    access, _ = of(name)
    ids = torch.tensor([CORRUPT])
    with pytest.raises(SiteError, match=expected):
        access.check_site(site)
    with pytest.raises(SiteError, match=expected):
        access.read(ids, (site,))
    with pytest.raises(SiteError, match=expected):
        access.run(ids, lambda place: torch.clone if place == (site, 0) else None)


def test_what_has_no_heads_is_refused() -> None:
    access, _ = of("llama")
    with pytest.raises(SiteError, match=r"attn_out has no heads\. The sites with heads are z, q, k, v, pattern\."):
        access.head_count("attn_out")
    with pytest.raises(SelectionError, match=r"There is no key-value head 2: LlamaForCausalLM has 2, counted from 0\."):
        access.shared_by(2)


def test_layers_of_unequal_heads_are_refused() -> None:
    model = zoo.build("llama")
    config = copy.deepcopy(model.config)
    config.num_key_value_heads = 4
    model.model.layers[1].self_attn = type(model.model.layers[1].self_attn)(config, 1)
    access = resolve(open_model(model))
    assert not set(HEAD_SITES) & set(access.sites)
    with pytest.raises(SiteError, match=r"z does not exist .* its layers differ in the number or the width of their"):
        access.shared_by(0)


def test_stored_edits_apply() -> None:
    model = zoo.build("llama")
    wrapped = NNsight(model)
    with wrapped.edit(inplace=True):
        wrapped.model.layers[0].mlp.output[:] = 0
    access = resolve(open_model(wrapped))
    assert access.edited
    silenced = zoo.build("llama")
    silenced.model.layers[0].mlp.down_proj.weight.data.zero_()
    plain = resolve(open_model(silenced))
    ids = torch.tensor([CLEAN, CORRUPT])
    sites: list[Site] = ["pattern", "z", "q", "mlp_post"]
    runs, expected = access.read(ids, sites), plain.read(ids, sites)
    for site in sites:
        torch.testing.assert_close(runs.site(site, 1), expected.site(site, 1), atol=1e-5, rtol=1e-5)
        found = access.run(ids[1:], all_of(runs, 1, site).get)
        check(found, plain.run(ids[1:], all_of(expected, 1, site).get), expected.logits[1])


def test_a_pattern_that_a_stored_edit_contradicts_is_refused() -> None:
    wrapped = NNsight(zoo.build("llama"))
    with wrapped.edit(inplace=True):
        wrapped.model.layers[1].self_attn.o_proj.input[:] = 0
    access = resolve(open_model(wrapped))
    ids = torch.tensor([CLEAN])
    assert float(access.read(ids, ("z",)).site("z", 1).abs().max()) == 0
    expected = (
        r"z of model\.model\.layers\.1\.self_attn is not its values weighted by its pattern, .* clear it, or use z"
    )
    with pytest.raises(ModelError, match=expected):
        access.run(ids, lambda place: torch.zeros_like if place == ("pattern", 1) else None)
    with pytest.raises(ModelError, match=expected):
        access.read(ids, ("pattern",))


@pytest.mark.parametrize("name", ["gpt2", "gemma", "granite"])
def test_noise_on_the_embedding(name: str) -> None:
    access, reference = of(name)
    embedding = reference.model.get_input_embeddings()
    noise = torch.randn(len(CLEAN), 32, generator=torch.Generator().manual_seed(0))
    runs = access.read(torch.tensor([CLEAN]), ("z",), embed=lambda embedded: embedded + noise)
    handle = embedding.register_forward_hook(lambda _module, _args, output: output + noise)
    try:
        expected, z = reference.logits(CLEAN), reference.activations(CLEAN, "z")
    finally:
        handle.remove()
    check(runs.logits[0], expected, reference.logits(CLEAN))
    torch.testing.assert_close(runs.site("z", 1)[0], z[1], atol=1e-5, rtol=1e-5)
    handed_over = embedding(torch.arange(zoo.VOCAB))  # which Gemma multiplies
    assert access.embedding_std() == pytest.approx(handed_over.std(correction=0).item(), rel=1e-6)


def test_an_error_in_a_write_leaves_no_hook_behind() -> None:
    access, reference = of("llama")

    def fail(_pattern: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("of the caller's own")

    with pytest.raises(RuntimeError, match="of the caller's own"):
        access.run(torch.tensor([CLEAN]), lambda place: fail if place == ("pattern", 1) else None)
    access.read(torch.tensor([CLEAN]), ("pattern",))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in reference.model.modules())
