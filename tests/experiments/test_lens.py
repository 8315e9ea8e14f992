"""The lens, against plain hooks that put each stream in place of the last one, in every family."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets import LensResult, describe, run_lens, teaching
from interp_widgets.experiments.lens import lens
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import (
    AnswerError,
    ModelError,
    NonFiniteError,
    PromptError,
    ResultError,
    SelectionError,
    SiteError,
    UnknownNameError,
)
from tests.experiments import zoo
from tests.experiments.plain import Plain, Put
from tests.models.test_describe import JUDGE, judge

IDS = [5, 9, 17, 3, 22, 40, 8]
OTHER = [5, 9, 30, 3, 22, 40, 8]


def run_script(lines: str, folder: Path, model: Any) -> dict[int, float]:
    """What lines print that were saved as a script."""
    script = folder / f"cell{len(list(folder.iterdir()))}.py"  # nnsight reads the source of a file once
    script.write_text(lines)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(script), init_globals={"model": model})
    found: dict[int, float] = ast.literal_eval(printed.getvalue())
    return found


def said(plain: Plain, stream: torch.Tensor, ids: Sequence[int] = IDS) -> torch.Tensor:
    """Log probabilities where a stream, (d_model,), is put in place of the last one."""
    return plain.run(ids, [Put("resid_post", len(plain.blocks) - 1, -1, stream)]).float().log_softmax(-1)


def own(name: str, ids: Sequence[int] = IDS) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = zoo.model(name)(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return logits.float().log_softmax(-1)


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_the_last_row_is_what_the_model_says_and_the_others_what_it_would(name: str) -> None:
    result = run_lens(zoo.model(name), IDS, [4, 33])
    plain = Plain(name)
    final = own(name)
    np.testing.assert_allclose(result.logprobs[0, -1], final[:, [4, 33]].numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result.kl[0, -1], 0, atol=1e-5)
    streams = plain.read(IDS, "resid_post")
    assert len(result.rows) == len(streams) + 1
    for row, stream in enumerate(streams, 1):
        for position in (1, len(IDS) - 1):
            wanted = said(plain, stream[position])
            cell = (0, row, position)
            np.testing.assert_allclose(result.logprobs[cell], wanted[[4, 33]].numpy(), rtol=1e-4, atol=1e-4)
            assert result.top(*cell)[0][0].id == int(wanted.argmax())
            probs = wanted.exp()
            np.testing.assert_allclose(result.entropy[cell], float(-(probs * wanted).sum()), rtol=1e-4, atol=1e-4)
            divergence = float((final[position].exp() * (final[position] - wanted)).sum())
            np.testing.assert_allclose(result.kl[cell], divergence, rtol=1e-4, atol=1e-4)
            ahead = [int((wanted > wanted[token]).sum()) for token in (4, 33)]
            np.testing.assert_allclose(result.ranks[cell], ahead, atol=1)  # where two are all but equal


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "granite", "bloom"])
def test_rows_are_places_in_the_order_of_the_run(name: str) -> None:
    result = run_lens(zoo.model(name), IDS, 4, sites=("resid_pre", "resid_mid", "resid_post"))
    assert [str(place) for place in result.rows[:4]] == [
        "resid_pre of layer 0",
        "resid_mid of layer 0",
        "resid_post of layer 0",
        "resid_mid of layer 1",
    ]
    assert result.row("resid_pre", 1) == result.row("resid_post", 0) == 2
    plain = Plain(name)
    added, entered = plain.read(IDS, "attn_out"), plain.read(IDS, "resid_pre")
    wanted = [said(plain, (entered[layer] + added[layer])[2])[4] for layer in range(len(added))]
    rows = [result.row("resid_mid", layer) for layer in range(len(added))]
    np.testing.assert_allclose(result.logprobs[0, rows, 2, 0], wanted, rtol=1e-4, atol=1e-4)


def test_chosen_layers_come_with_both_ends() -> None:
    result = run_lens(zoo.model("llama"), IDS, layers=-2)
    assert result.rows == (Place("resid_pre", 0), Place("resid_post", 1), Place("resid_post", 2))
    assert result.labels == ("embedding", "resid_post 1", "resid_post 2")
    assert result.answers[0].id == int(own("llama")[-1].argmax())
    with pytest.raises(SelectionError, match="No row shows resid_post of layer 0"):
        result.row("resid_post", 0)


def test_two_prompts_and_their_difference() -> None:
    both = run_lens(zoo.model("gpt2"), IDS, 4, corrupt=OTHER)
    alone = [run_lens(zoo.model("gpt2"), ids, 4) for ids in (IDS, OTHER)]
    for prompt, single in enumerate(alone):
        np.testing.assert_allclose(both.logprobs[prompt], single.logprobs[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(both.difference("logprob")[:, :2], 0)
    wanted = alone[0].value("prob")[0] - alone[1].value("prob")[0]
    np.testing.assert_allclose(both.difference("prob"), wanted, atol=1e-6)
    with pytest.raises(ResultError, match="one prompt only"):
        alone[0].difference("prob")


def test_how_far_two_prompts_are_apart_in_each_cell() -> None:
    both = run_lens(zoo.model("gemma2"), IDS, 4, corrupt=OTHER)
    plain = Plain("gemma2")
    clean, corrupt = (plain.read(ids, "resid_post")[1] for ids in (IDS, OTHER))
    for position in (1, 2, 6):
        said_of = [said(plain, clean[position]), said(plain, corrupt[position], OTHER)]
        wanted = float((said_of[0].exp() * (said_of[0] - said_of[1])).sum())
        np.testing.assert_allclose(both.divergence()[2, position], wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(both.divergence()[:, :2], 0, atol=1e-6)
    with pytest.raises(ResultError, match="one prompt only"):
        run_lens(zoo.model("gemma2"), IDS).divergence()


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_logits_are_those_of_the_model(name: str) -> None:
    with torch.no_grad():
        logits = zoo.model(name)(input_ids=torch.tensor([IDS]), use_cache=False).logits[0]
    found = run_lens(zoo.model(name), IDS, [4, 33]).value("logit", 1)[0, -1]
    np.testing.assert_allclose(found, logits[:, 33].numpy(), rtol=1e-4, atol=1e-5)


def test_tokens_can_be_followed_later() -> None:
    whole = run_lens(zoo.model("llama"), IDS, [4, 5, 9], corrupt=OTHER)
    parts = [run_lens(zoo.model("llama"), IDS, tokens, corrupt=OTHER) for tokens in ([4, 5], [5, 9])]
    joined = parts[0].following(parts[1])
    assert joined.answers == whole.answers
    np.testing.assert_allclose(joined.logprobs, whole.logprobs, atol=1e-6)
    np.testing.assert_allclose(joined.value("rank", 2), whole.value("rank", 2))
    with pytest.raises(ResultError, match="other prompts or places"):
        parts[0].following(run_lens(zoo.model("llama"), OTHER, 4))


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "granite", "bloom", "qwen3"])
def test_printed_lines_compute_the_cell(name: str, tmp_path: Path) -> None:
    result = run_lens(zoo.model(name), IDS, 4, sites=("resid_mid", "resid_post"))
    for row, position in ((0, 1), (1, 3), (4, 6), (len(result.rows) - 1, 2)):
        printed = run_script(result.script(0, row, position), tmp_path, zoo.model(name))
        wanted = {token.id: prob for token, prob in result.top(0, row, position)}
        assert printed.keys() == wanted.keys()
        np.testing.assert_allclose([printed[token] for token in wanted], list(wanted.values()), rtol=1e-4, atol=1e-5)
    with pytest.raises(SelectionError, match="no position 7: they run from 0 to 6"):
        result.script(0, 0, 7)


def test_printed_lines_translate_with_a_tuned_lens(tmp_path: Path) -> None:
    tuned_folder(tmp_path)
    result = run_lens(zoo.model("gpt2"), IDS, 4, tuned=tmp_path)
    for row in (0, 1, 3):
        printed = run_script(result.script(0, row, 3), tmp_path, zoo.model("gpt2"))
        wanted = {token.id: prob for token, prob in result.top(0, row, 3)}
        np.testing.assert_allclose([printed[token] for token in wanted], list(wanted.values()), rtol=1e-4, atol=1e-5)


def test_without_answers_the_predictions_of_both_prompts_are_followed() -> None:
    pair = teaching.prompts("ioi", n=1)[0]
    result = run_lens(teaching.load(), pair.clean, corrupt=pair.corrupt)
    assert [token.label.strip("␣") for token in result.answers] == [pair.answer.strip(), pair.wrong_answer.strip()]
    first = result.settles(0, -1, 0)
    assert first is not None
    ranks = result.value("rank", 0)[0, :, -1]
    assert (ranks[first:] == 0).all()
    assert ranks[first - 1] > 0
    assert result.settles(1, -1, 0) is None
    assert f"{result.answers[0]} is the top prediction from {result.labels[first]} on" in result.summary()


def test_ties_count_half() -> None:
    model = zoo.build("gpt2")
    model.lm_head.weight = nn.Parameter(torch.zeros_like(model.lm_head.weight))
    result = run_lens(model, IDS, 4)
    np.testing.assert_array_equal(result.ranks, (zoo.VOCAB - 1) / 2)
    np.testing.assert_allclose(result.entropy, np.log(zoo.VOCAB), rtol=1e-6)


def test_in_portions_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_lens(zoo.model("llama"), IDS, [4, 5], corrupt=OTHER)
    monkeypatch.setattr("interp_widgets.experiments.lens._LOGITS_CPU", 9 * zoo.VOCAB)
    steps = lens(zoo.model("llama"), IDS, [4, 5], corrupt=OTHER)
    partials = list(steps)
    left = [partial.remaining for partial in partials]
    apart = partials[-1]
    assert apart.complete
    assert left[0] == 2 * 4 * len(IDS)
    assert left == sorted(left, reverse=True)
    assert len(left) > 4
    for name in ("logprobs", "ranks", "entropy", "kl", "top_probs"):
        np.testing.assert_allclose(getattr(apart, name), getattr(whole, name), atol=1e-5)
    np.testing.assert_array_equal(apart.top_ids, whole.top_ids)


def test_a_long_prompt_of_a_deep_model_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_widgets.experiments.lens._BYTES", 1120)
    result = run_lens(zoo.model("llama"), IDS)  # 28 cells: 40 bytes each
    assert result.top_ids.shape[-1] == 2
    arrays = [value for value in vars(result).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 1120
    assert run_lens(zoo.model("llama"), IDS, top_k=7).top_ids.shape[-1] == 7


def test_edits_of_the_user_apply() -> None:
    model = NNsight(zoo.build("gpt2"))
    plain = Plain("gpt2")
    with model.edit(inplace=True):
        model.transformer.h[1].mlp.output[:, 4] = 0
    result = run_lens(model, IDS, 4)
    put = Put("mlp_out", 1, 4, 0.0)
    assert not np.allclose(result.logprobs[0, -1, -1, 0], own("gpt2")[-1, 4], atol=1e-3)
    np.testing.assert_allclose(
        result.logprobs[0, -1, -1, 0], plain.run(IDS, [put]).log_softmax(-1)[4], rtol=1e-4, atol=1e-4
    )


def test_an_interrupt_keeps_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interp_widgets.experiments.lens._LOGITS_CPU", 8 * zoo.VOCAB)
    from interp_widgets.experiments import lens as module

    calls: list[int] = []
    reduced = module._reduced

    def tired(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return reduced(*args)

    monkeypatch.setattr(module, "_reduced", tired)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_lens(zoo.model("llama"), IDS)
    partial = stopped.value.partial  # type: ignore[attr-defined]
    assert 0 < partial.remaining < 4 * len(IDS)
    assert not partial.complete
    assert "still to be computed" in partial.summary()


def test_nan_is_refused_where_it_comes_from() -> None:
    model = zoo.build("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="first in the output of layer 1"):
        run_lens(model, IDS)


def test_saved_and_read_again(tmp_path: Path) -> None:
    result = run_lens(zoo.model("llama"), IDS, [4, 5], corrupt=OTHER)
    read = LensResult.load(result.save(tmp_path / "lens.safetensors"))
    assert read == result
    assert read != run_lens(zoo.model("llama"), IDS, [4, 6], corrupt=OTHER)
    frame = read.to_frame()
    assert len(frame) == result.logprobs.size
    one = frame[(frame["prompt"] == 1) & (frame["layer"] == 2) & (frame["position"] == 6) & (frame["answer"] == "#5")]
    assert one["prob"].item() == pytest.approx(float(own("llama", OTHER)[-1, 5].exp()), rel=1e-4)
    data = read.to_xarray()
    assert data["rank"].sel(row="embedding", answer=5).shape == (2, 7)


def tuned_folder(folder: Path, depth: int = 3, width: int = 32) -> dict[str, torch.Tensor]:
    """A lens as `TunedLens.save` of tuned_lens 0.2 writes it: the state of a ModuleList of nn.Linear."""
    torch.manual_seed(0)
    state = nn.ModuleList(nn.Linear(width, width) for _ in range(depth)).state_dict()
    torch.save(state, folder / "params.pt")
    config = {"base_model_name_or_path": "made", "d_model": width, "num_hidden_layers": depth, "bias": True}
    (folder / "config.json").write_text(json.dumps(config | {"lens_type": "linear_tuned_lens"}), encoding="utf-8")
    return state


def test_a_tuned_lens_translates_what_enters_each_layer(tmp_path: Path) -> None:
    state = tuned_folder(tmp_path)
    result = run_lens(zoo.model("gpt2"), IDS, 4, tuned=tmp_path)
    plain = Plain("gpt2")
    for layer, stream in enumerate(plain.read(IDS, "resid_pre")):
        there = stream[3]
        moved = there + state[f"{layer}.weight"] @ there + state[f"{layer}.bias"]
        np.testing.assert_allclose(result.logprobs[0, layer, 3, 0], said(plain, moved)[4], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(result.logprobs[0, -1, :, 0], own("gpt2")[:, 4], rtol=1e-5, atol=1e-5)
    assert result.lens == f"tuned lens {tmp_path.name}"


def test_a_tuned_lens_in_memory_is_the_same(tmp_path: Path) -> None:
    state = tuned_folder(tmp_path)
    own_lens = nn.Module()
    own_lens.layer_translators = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))
    own_lens.layer_translators.load_state_dict(state)
    np.testing.assert_array_equal(
        run_lens(zoo.model("gpt2"), IDS, 4, tuned=own_lens).logprobs,
        run_lens(zoo.model("gpt2"), IDS, 4, tuned=tmp_path).logprobs,
    )


def test_a_lens_that_makes_nan_is_refused_with_the_place(tmp_path: Path) -> None:
    state = tuned_folder(tmp_path)
    state["1.bias"][0] = torch.nan
    torch.save(state, tmp_path / "params.pt")
    with pytest.raises(NonFiniteError, match="of the finite stream at resid_post of layer 0, position 0"):
        run_lens(zoo.model("gpt2"), IDS, tuned=tmp_path)


def test_classes_of_a_whole_prompt_are_refused() -> None:
    with pytest.raises(ModelError, match="Judge does not predict something at each position"):
        run_lens(describe(judge(), JUDGE), [3, 5, 9, 2])


def test_a_tuned_lens_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = zoo.model("gpt2")
    with pytest.raises(ModelError, match=r"no config\.json in"):
        run_lens(model, IDS, tuned=tmp_path)
    tuned_folder(tmp_path, depth=2)
    with pytest.raises(ModelError, match=r"has no 2\.weight, but GPT2LMHeadModel has 3 layers"):
        run_lens(model, IDS, tuned=tmp_path)
    tuned_folder(tmp_path, depth=4)
    with pytest.raises(ModelError, match="has more layers, but GPT2LMHeadModel has 3 layers"):
        run_lens(model, IDS, tuned=tmp_path)
    tuned_folder(tmp_path, width=16)
    with pytest.raises(ModelError, match=r"maps of shape \(16, 16\)"):
        run_lens(model, IDS, tuned=tmp_path)
    tuned_folder(tmp_path)
    with pytest.raises(SiteError, match="no translator for resid_mid"):
        run_lens(model, IDS, tuned=tmp_path, sites="resid_mid")
    (tmp_path / "config.json").write_text('{"lens_type": "mlp"}', encoding="utf-8")
    with pytest.raises(ModelError, match="holds a mlp, but only linear_tuned_lens"):
        run_lens(model, IDS, tuned=tmp_path)
    with pytest.raises(ModelError, match="tuned is an int"):
        run_lens(model, IDS, tuned=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sites": "attn_out"}, SiteError, "attn_out is not the stream"),
        ({"sites": "resid_end"}, UnknownNameError, "resid_end"),
        ({"layers": 7}, SelectionError, "run from 0 to 2"),
        ({"answers": []}, AnswerError, "answers is empty"),
        ({"answers": [4, 900]}, AnswerError, "answers=900 is no token id"),
        ({"top_k": 0}, ValueError, "top_k=0 must be a whole number from 1 to 61"),
        ({"corrupt": [5, 9]}, PromptError, "7 and 2 tokens"),
        ({"prompt": [IDS, OTHER]}, PromptError, "2 prompts were given, but a lens reads one"),
    ],
)
def test_what_cannot_be_read_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        lens(zoo.model("llama"), **{"prompt": IDS, **arguments})


def test_resid_mid_of_parallel_blocks_is_refused_by_name() -> None:
    with pytest.raises(SiteError, match="attention and MLP run in parallel"):
        lens(zoo.model("gptj"), IDS, sites="resid_mid")


def test_numbers_that_do_not_exist_are_refused() -> None:
    result = run_lens(zoo.model("llama"), IDS, 4)
    with pytest.raises(UnknownNameError, match="entropy"):
        result.value("entrpy")
    with pytest.raises(SelectionError, match=r"The tokens that are: 0 \[#4\]"):
        result.value("prob", "#5")
