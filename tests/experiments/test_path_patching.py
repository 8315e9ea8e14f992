"""Path patching against its definition with plain hooks, known answers, and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight

from interp_widgets.experiments.patching import run_patching
from interp_widgets.experiments.path_patching import path_patching, run_path_patching
from interp_widgets.experiments.receivers import Receiver
from interp_widgets.models import families
from interp_widgets.models.access import Access
from interp_widgets.results.errors import SelectionError, SiteError, UnknownNameError
from interp_widgets.results.patching import PatchingResult, Status
from tests.experiments import zoo
from tests.experiments.path_reference import WIRING, Model, path_patched

CLEAN = [5, 9, 13, 22, 40, 7]
CORRUPT = [5, 9, 31, 22, 2, 7]
ANSWER, WRONG = 11, 27
GIVEN: dict[str, Any] = {"answer": ANSWER, "wrong_answer": WRONG}
SENDERS = ("z", "attn_out", "mlp_out")

RECEIVERS = {
    "queries": [("q", 2, 1)],
    "keys": [("k", 1, 0)],
    "values": [("v", 2, 1)],
    "mlp": [("mlp_in", 1, None)],
    "last mlp": [("mlp_in", 2, None)],
    "final": [("final", None, None)],
    "several": [("k", 1, 1), ("q", 2, 0), ("v", 2, 0), ("mlp_in", 1, None), ("mlp_in", 2, None)],
}


def expected(name: str, receivers: list[Any], direction: str, **at: Any) -> dict[str, np.ndarray]:
    """The logit difference for every sender, by site: (layer, head) or (layer,)."""
    model = Model(name)
    host, donor = (CORRUPT, CLEAN) if direction == "denoising" else (CLEAN, CORRUPT)

    def difference(sender: tuple[str, int, int | None]) -> float:
        logits = path_patched(model, host, donor, sender, receivers, **at)
        return float(logits[ANSWER] - logits[WRONG])

    layers = range(len(model.blocks))
    return {
        "z": np.array([[difference(("z", layer, head)) for head in range(model.n_heads)] for layer in layers]),
        "attn_out": np.array([[difference(("attn_out", layer, None))] for layer in layers]),
        "mlp_out": np.array([[difference(("mlp_out", layer, None))] for layer in layers]),
    }


def made(receivers: list[Any]) -> list[Receiver]:
    return [Receiver(*receiver) for receiver in receivers]


def panels(result: PatchingResult) -> dict[str, np.ndarray]:
    return {
        panel.site: result.value()[0, number, : len(panel.lines), : panel.width(result.length)]
        for number, panel in enumerate(result.panels)
    }


@pytest.mark.parametrize("receivers", RECEIVERS)
@pytest.mark.parametrize("name", WIRING)
def test_every_cell_equals_two_plain_forwards(name: str, receivers: str) -> None:
    direction = "noising" if receivers in ("keys", "several") else "denoising"
    wanted = expected(name, RECEIVERS[receivers], direction)
    found = run_path_patching(
        zoo.model(name),
        CLEAN,
        CORRUPT,
        receivers=made(RECEIVERS[receivers]),
        senders=SENDERS,
        direction=direction,
        **GIVEN,
    )
    assert found.complete
    assert max(np.ptp(values) for values in wanted.values()) > 1e-3  # paths that carry nothing would prove nothing
    for site, values in panels(found).items():
        np.testing.assert_allclose(values, wanted[site], atol=1e-5 * max(1, np.abs(wanted[site]).max()), rtol=0)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gptj"])
def test_chosen_positions_send_and_receive(name: str) -> None:
    receivers = RECEIVERS["several"]
    wanted = expected(name, receivers, "denoising", positions=[2, 4], receiver_positions=[2, 3, 5])
    found = run_path_patching(
        zoo.model(name),
        CLEAN,
        CORRUPT,
        receivers=made(receivers),
        senders=SENDERS,
        positions=[2, 4],
        receiver_positions=[2, 3, -1],
        **GIVEN,
    )
    for site, values in panels(found).items():
        np.testing.assert_allclose(values, wanted[site], atol=1e-5 * max(1, np.abs(wanted[site]).max()), rtol=0)


def test_by_position_each_position_of_each_sender_is_a_cell() -> None:
    receivers = RECEIVERS["several"]
    model = Model("llama")
    found = run_path_patching(zoo.model("llama"), CLEAN, CORRUPT, receivers=made(receivers), by="pos", **GIVEN)
    z, mlp = found.panels
    assert [(line.layer, line.head) for line in z.lines] == list(product(range(3), range(4)))
    for line, row in zip(z.lines[:8], found.value()[0, 0], strict=False):
        for pos in (2, 4, 5):
            logits = path_patched(model, CORRUPT, CLEAN, ("z", line.layer, line.head), receivers, positions=[pos])
            assert float(row[pos]) == pytest.approx(float(logits[ANSWER] - logits[WRONG]), abs=3e-5)
    assert mlp.columns == "pos"
    assert (found.effect()[0, :, :3, :2] == 0).all()  # the prompts agree there


def test_the_direct_effect_is_the_final_norm_and_unembedding_of_the_stream_and_the_change() -> None:
    module = zoo.model("gpt2")
    kept: dict[str, list[torch.Tensor]] = {"z": [], "final": []}
    hooks = [
        module.transformer.h[1].attn.c_proj.register_forward_pre_hook(
            lambda _m, args: kept["z"].append(args[0][0, -1])
        ),
        module.transformer.ln_f.register_forward_pre_hook(lambda _m, args: kept["final"].append(args[0][0, -1])),
    ]
    with torch.no_grad():
        for ids in (CLEAN, CORRUPT):
            module(torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    weight = module.transformer.h[1].attn.c_proj.weight.detach()  # (z, d_model)
    found = run_path_patching(module, CLEAN, CORRUPT, receivers=Receiver("final"), senders="z", **GIVEN)
    for head in range(4):
        part = slice(8 * head, 8 * head + 8)
        change = (kept["z"][0] - kept["z"][1])[part] @ weight[part]
        with torch.no_grad():
            logits = module.lm_head(module.transformer.ln_f(kept["final"][1] + change))
        assert float(found.value()[0, 0, 1, head]) == pytest.approx(float(logits[ANSWER] - logits[WRONG]), abs=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_senders_that_come_too_late_are_known_to_do_nothing(name: str) -> None:
    receivers = [Receiver("q", 1, 0), Receiver("mlp_in", 1)]
    result = run_path_patching(zoo.model(name), CLEAN, CORRUPT, receivers=receivers, senders=SENDERS, **GIVEN)
    status, effect = result.status[0], result.effect()[0]
    same_layer = Status.COMPUTED if name == "gpt2" else Status.KNOWN  # attention reaches the MLP of its own layer
    for number, late in enumerate(([2], [2], [1, 2])):
        width = result.panels[number].width(6)
        assert (status[number, late, :width] == Status.KNOWN).all()
        assert (effect[number, late, :width] == 0).all()
    assert (status[0, 1] == same_layer).all()
    assert (status[1, 1, 0], status[2, 0, 0]) == (same_layer, Status.COMPUTED)


def test_positions_apart_from_the_receivers_are_known_to_do_nothing() -> None:
    model = zoo.model("gpt2")
    final = run_path_patching(model, CLEAN, CORRUPT, receivers=Receiver("final"), by="pos", **GIVEN)
    for number, rows in enumerate((12, 3)):
        assert (final.status[0, number, :rows, :-1] == Status.KNOWN).all()
        assert not final.effect()[0, number, :rows, :-1].any()
        assert (final.status[0, number, :rows, -1] == Status.COMPUTED).all()
    apart = run_path_patching(
        model, CLEAN, CORRUPT, receivers=Receiver("k", 2, 0), positions=[2], receiver_positions=[4], **GIVEN
    )
    assert not apart.effect()[0, 0].any()


def test_edits_that_are_stored_on_the_model_stay_in_force_in_every_run() -> None:
    silenced, edited = zoo.build("gpt2"), NNsight(zoo.build("gpt2"))
    with torch.no_grad():
        silenced.transformer.h[1].mlp.c_proj.weight.zero_()
        silenced.transformer.h[1].mlp.c_proj.bias.zero_()
    with edited.edit(inplace=True):
        edited.transformer.h[1].mlp.output = edited.transformer.h[1].mlp.output * 0
    receivers = made(RECEIVERS["several"])
    wanted = run_path_patching(silenced, CLEAN, CORRUPT, receivers=receivers, **GIVEN)
    found = run_path_patching(edited, CLEAN, CORRUPT, receivers=receivers, **GIVEN)
    np.testing.assert_allclose(found.value(), wanted.value(), atol=2e-5)


def test_several_pairs_in_small_batches_are_as_each_alone() -> None:
    others = ([8, 9, 13, 1, 4, 7], [8, 9, 3, 1, 4, 7])
    model, receivers = zoo.model("bloom"), made(RECEIVERS["several"])
    both = run_path_patching(model, [CLEAN, others[0]], [CORRUPT, others[1]], receivers=receivers, max_rows=3, **GIVEN)
    for number, (clean, corrupt) in enumerate(((CLEAN, CORRUPT), others)):
        alone = run_path_patching(model, clean, corrupt, receivers=receivers, **GIVEN)
        np.testing.assert_allclose(both.value()[number], alone.value()[0], atol=2e-5)


@pytest.mark.parametrize(
    ("name", "entry", "edited"), [("gpt2", "ln_1", False), ("llama", "input_layernorm", False), ("gpt2", "ln_1", True)]
)
def test_forward_passes_count_every_layer_that_a_row_enters(name: str, entry: str, edited: bool) -> None:
    module = zoo.build(name)
    model = NNsight(module)
    blocks = module.get_submodule(zoo.FAMILIES[name].blocks)
    if edited:
        with model.edit(inplace=True):
            model.transformer.h[1].mlp.output = 0.5 * model.transformer.h[1].mlp.output
    asked: dict[str, Any] = {"receivers": made(RECEIVERS["several"]), **GIVEN}
    run_path_patching(model, CLEAN, CORRUPT, **asked)  # its probe runs are made
    rows: list[int] = []
    for block in blocks:
        block.get_submodule(entry).register_forward_pre_hook(lambda _m, args: rows.append(len(args[0])))
    found = run_path_patching(model, CLEAN, CORRUPT, **asked)
    assert found.provenance.forward_passes == pytest.approx(sum(rows) / len(blocks))
    runs = run_patching(model, CLEAN, CORRUPT, sites=("z", "mlp_out"), preview=False, **GIVEN)
    assert found.provenance.forward_passes > runs.provenance.forward_passes + 1  # the first step of each cell


def test_running_out_of_memory_halves_the_first_step_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from interp_widgets.experiments import path_contrast

    model, receivers = zoo.model("gpt2"), made(RECEIVERS["several"])
    whole = run_path_patching(model, CLEAN, CORRUPT, receivers=receivers, **GIVEN)
    sizes: list[int] = []
    branch = path_contrast.branch

    def starved(access: Access, layer: int, ids: torch.Tensor, stream: torch.Tensor, *rest: Any) -> Any:
        sizes.append(len(stream))
        if len(stream) > 3:  # as many rows as there are heads, and the host's own
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return branch(access, layer, ids, stream, *rest)

    monkeypatch.setattr(path_contrast, "branch", starved)
    found = run_path_patching(model, CLEAN, CORRUPT, receivers=receivers, **GIVEN)
    assert sizes.count(5) == 1  # what did not fit once is not tried again
    np.testing.assert_allclose(found.value(), whole.value(), atol=1e-5)

    monkeypatch.setattr(path_contrast, "branch", lambda *_: starved(_[0], _[1], _[2], torch.empty(9), *_[4:]))
    with pytest.raises(torch.OutOfMemoryError):
        run_path_patching(model, CLEAN, CORRUPT, receivers=receivers, **GIVEN)


def test_edits_beyond_the_memory_budget_are_made_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    from interp_widgets.experiments.path_contrast import PathContrast

    model, receivers = zoo.model("gpt2"), made(RECEIVERS["several"])
    whole = run_path_patching(model, CLEAN, CORRUPT, receivers=receivers, **GIVEN)
    sizes: list[int] = []
    edits = PathContrast.edits

    def counted(self: Any, scene: Any, targets: Any) -> Any:
        sizes.append(len(targets))
        return edits(self, scene, targets)

    monkeypatch.setattr(PathContrast, "edits", counted)
    # Three heads of width 8 and two MLPs of width 32, in six positions of four bytes.
    monkeypatch.setattr("interp_widgets.experiments.bench._CACHE_BYTES", 5 * 6 * 4 * (3 * 8 + 2 * 32))
    parts = run_path_patching(model, CLEAN, CORRUPT, receivers=receivers, **GIVEN)
    assert sizes == [5, 5, 4]  # all but the last MLP have someone to send to
    np.testing.assert_allclose(parts.value(), whole.value(), atol=1e-5)


def test_the_story_names_both_ends() -> None:
    receivers = [Receiver("q", -1, 1), Receiver("mlp_in", 1)]
    result = run_path_patching(zoo.model("gpt2"), CLEAN, CORRUPT, receivers=receivers, direction="noising", **GIVEN)
    assert result.summary().startswith(
        "Sending z, mlp_out of the corrupt run into q of head 2.1 and MLP 1, in the clean run of GPT2LMHeadModel."
    )
    assert "by way of q of head 2.1 and MLP 1?" in result.story.title({("a", "b")})
    assert result.provenance.settings["receivers"] == "q of head 2.1 and MLP 1"
    assert result.provenance.settings["receiver positions"] == "all positions"
    assert result.strongest()["site"] in ("z", "mlp_out")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"receivers": []}, SelectionError, r'receivers is empty. Name at least one: Receiver\("q", layer=9, head=6\)'),
        ({"receivers": "q"}, SelectionError, "receivers holds 'q', a str. Write Receiver"),
        ({"receivers": 9}, SelectionError, "receivers=9 is an int. Write Receiver"),
        ({"receivers": [("q", 9, 6)]}, SelectionError, r"receivers holds \('q', 9, 6\), a tuple. Write Receiver"),
        ({"receivers": Receiver("kk", 1, 0)}, UnknownNameError, "unknown receiver 'kk': .* Valid receivers: q, k"),
        ({"receivers": Receiver("q", 1)}, SelectionError, "needs its head as a whole number"),
        ({"receivers": Receiver("mlp_in")}, SelectionError, "needs its layer as a whole number"),
        ({"receivers": Receiver("mlp_in", 1, 0)}, SelectionError, "has a head, but an MLP's input has none. Leave it"),
        ({"receivers": Receiver("final", 2)}, SelectionError, "has a layer, but the final stream has none"),
        ({"receivers": Receiver("q", 3, 0)}, SelectionError, r"is in layer 3, but layers run from 0 to 2 \(or -3"),
        ({"receivers": Receiver("q", 2, 4)}, SelectionError, "does not exist: q has heads 0 to 3\\."),
        (
            {"receivers": Receiver("k", 2, 2)},
            SelectionError,
            "k has heads 0 to 1, the key-value heads that 4 query heads share",
        ),
        (
            {"receivers": [Receiver("final"), Receiver("q", 1, 0)]},
            SelectionError,
            "other receivers beside it would change nothing. Run it apart",
        ),
        (
            {"receivers": Receiver("final"), "receiver_positions": [1]},
            SelectionError,
            "read at the last position alone, 5, which is not among receiver_positions. Leave them out",
        ),
        ({"receiver_positions": [9]}, SelectionError, "receiver_positions holds 9, but they run from 0 to 5"),
        ({"senders": ()}, SiteError, "senders is empty. Name at least one"),
        ({"senders": 3}, SiteError, "senders=3 is an int. Name them"),
        ({"senders": "mlp_ou"}, UnknownNameError, "unknown sender 'mlp_ou': did you mean 'mlp_out'"),
        ({"senders": "resid_pre"}, UnknownNameError, "Valid senders: z, attn_out, mlp_out"),
        ({"heads": [4]}, SelectionError, "heads holds 4, but those of z run from 0 to 3"),
        ({"by": "head"}, UnknownNameError, "unknown by 'head'"),
        ({"direction": "denoise"}, UnknownNameError, "did you mean 'denoising'"),
    ],
)
def test_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    model = zoo.model("llama")
    run_path_patching(model, CLEAN, CORRUPT, receivers=Receiver("q", 1, 0), **GIVEN)  # its probe runs are made

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Access, "read", fail)
    with pytest.raises(error, match=text):
        path_patching(model, CLEAN, CORRUPT, **{"receivers": Receiver("q", 1, 0)} | GIVEN | options)


def test_heads_that_mix_before_they_are_read_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    row = families.FAMILIES["olmo2"]
    assert row.heads is not None
    split = replace(row.heads, qkv=("q_proj", "k_proj", "v_proj"))  # all heads are normed together behind these
    monkeypatch.setitem(families.FAMILIES, "olmo2", replace(row, heads=split))
    with pytest.raises(SiteError, match="q does not exist in Olmo2ForCausalLM"):
        run_path_patching(zoo.build("olmo2"), CLEAN, CORRUPT, receivers=Receiver("q", 1, 0), **GIVEN)
