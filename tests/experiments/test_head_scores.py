"""Scores of heads: those written into weights by hand, those of the teaching model's card, and plain linear algebra."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets import HeadScores, describe, run_head_scores, teaching
from interp_widgets.experiments.head_scores import head_scores
from interp_widgets.models.access import resolve
from interp_widgets.models.copying import Copying
from interp_widgets.models.opening import open_model
from interp_widgets.models.straight import Straight
from interp_widgets.results.errors import AnswerError, PromptError, ResultError, SelectionError, UnknownNameError
from interp_widgets.results.head_scores import SCORES
from tests.experiments import induction_by_hand, zoo
from tests.models.own_modules import Stack, weighty
from tests.models.test_describe import STACK

MODEL = teaching.load()
NET = MODEL._module
IOI = teaching.prompts("ioi", n=64)
CARD = json.loads((Path(teaching.__file__).parent / "card.json").read_text())


def figures(prefix: str) -> dict[str, float]:
    """Figures of the model card by the rest of their names."""
    found: dict[str, float] = {}

    def look(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            own = value.get("name", name)
            if "value" in value and isinstance(own, str) and own.startswith(prefix):
                found[own.removeprefix(prefix)] = float(value["value"])
            for key, inside in value.items():
                look(inside, key)
        elif isinstance(value, list):
            for inside in value:
                look(inside)

    look(CARD)
    return found


@pytest.fixture(scope="module")
def scores() -> HeadScores:
    return run_head_scores(MODEL, IOI.clean, answer=IOI.answers, wrong_answer=IOI.wrong_answers)


def test_heads_written_by_hand_are_found_and_no_others() -> None:
    found = run_head_scores(induction_by_hand.build(), length=5)
    # Head 1.3 looks one position back too, though nothing reads what it writes.
    assert {(layer, head) for layer, head, _ in found.named("previous_token")} == {induction_by_hand.PREVIOUS, (1, 3)}
    assert [(layer, head) for layer, head, _ in found.named("induction")] == [induction_by_hand.INDUCTION]
    assert found.named("duplicate_token") == []
    # The only head whose output the unembedding reads puts the token that it sees there.
    assert found.named("copying") == [(*induction_by_hand.INDUCTION, pytest.approx(1))]
    assert found.named("copying_top") == [(*induction_by_hand.INDUCTION, 1.0)]
    assert found.score("copying")[0].tolist() == [0, 0, 0, 0]
    assert "head 1.1 is an induction head: induction 0.99, baseline 0.13" in found.summary()


@pytest.mark.parametrize(
    ("score", "prefix"),
    [("previous_token", "induction.previous_token."), ("induction", "induction.prefix_matching.")],
)
def test_scores_agree_with_the_model_card(scores: HeadScores, score: str, prefix: str) -> None:
    told = figures(prefix)
    assert told
    for name, value in told.items():
        assert scores.score(score)[int(name[1]), int(name[3])] == pytest.approx(value, abs=0.02), name


def test_name_movers_agree_with_the_model_card(scores: HeadScores) -> None:
    io, subject = (
        {name.split(".")[0]: value for name, value in figures("ioi.attention.").items() if name.endswith(role)}
        for role in (".IO", ".S1")
    )
    assert "L3H3" in io
    for name in io.keys() & subject.keys():
        gap = scores.score("name_attention")[int(name[1]), int(name[3])]
        assert gap == pytest.approx(io[name] - subject[name], abs=0.02), name
    assert scores.score("name_attention").max() == pytest.approx(figures("ioi.name_mover_gap")[""], abs=0.01)
    assert [place[:2] for place in scores.named("name_mover")] == [(3, 3)]
    moved = scores.samples["name_attention"] * scores.samples["name_copying"]
    np.testing.assert_allclose(scores.samples["name_mover"], moved, atol=1e-6)


def test_baselines_are_what_looking_evenly_would_score(scores: HeadScores) -> None:
    model = zoo.build("gpt2")
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight[:, :64] = 0
            block.attn.c_attn.bias[:64] = 0
    even = run_head_scores(model, [[5, 9, 5, 7, 8]], answer=5, wrong_answer=7, length=20, n_sequences=3)
    for name in ("previous_token", "duplicate_token", "induction", "name_attention"):
        np.testing.assert_allclose(even.score(name), even.baselines[name], atol=1e-6)
        assert even.named(name) == []
    assert even.baselines["name_attention"] == pytest.approx(1 / 5)
    for name in ("previous_token", "duplicate_token", "induction"):
        assert even.baselines[name] == pytest.approx(scores.baselines[name])


def test_eigenvalues_are_those_of_the_whole_circuit() -> None:
    """Against the circuit written out, (token, token), for layer norm and for RMS norm with shared values."""
    for name, layer in (("gpt2", 1), ("llama", 2)):
        model = zoo.model(name)
        access = resolve(open_model(model))
        copying = Copying(access, Straight(access))
        found = copying.eigenvalue_scores(layer)
        with torch.no_grad():
            embedding = model.get_input_embeddings().weight.double()
            unembedding = model.get_output_embeddings().weight.double()
            if name == "gpt2":
                block = model.transformer.h[layer]
                centred = embedding - embedding.mean(-1, keepdim=True)
                entering = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * block.ln_1.weight
                values = entering @ block.attn.c_attn.weight[:, 64:].double()
                out = block.attn.c_proj.weight.double()
                gain, centre = model.transformer.ln_f.weight.double(), 1.0
            else:
                block = model.model.layers[layer]
                size = (embedding.square().mean(-1, keepdim=True) + model.config.rms_norm_eps).sqrt()
                entering = embedding / size * block.input_layernorm.weight
                own = (entering @ block.self_attn.v_proj.weight.T.double()).reshape(-1, 2, 8)
                values = own.repeat_interleave(2, dim=1).reshape(-1, 32)
                out = block.self_attn.o_proj.weight.T.double()
                gain, centre = model.model.norm.weight.double(), 0.0
            for head in range(4):
                width = slice(head * 8, head * 8 + 8)
                added = values[:, width] @ out[width]
                logits = (added - centre * added.mean(-1, keepdim=True)) * gain @ unembedding.T
                logits = logits - logits.mean(-1, keepdim=True)
                eigenvalues = torch.linalg.eigvals(logits)
                expected = (eigenvalues.sum().real / eigenvalues.abs().sum()).item()
                assert found[head].item() == pytest.approx(expected, abs=1e-3)
                tokens = torch.arange(len(logits))
                mine = logits.diagonal()
                above = ((logits > mine[:, None]).sum(1) < 5) & (mine > 0)
                direct = copying.among_top(layer, copying.embedded(tokens), tokens)[:, head]
                assert (direct == above).float().mean() > 0.98  # ties may fall either way


def test_intervals_cover_the_mean_and_shrink(scores: HeadScores) -> None:
    low, high = scores.interval("induction")
    assert ((low <= scores.score("induction")) & (scores.score("induction") <= high)).all()
    few = run_head_scores(MODEL, n_sequences=4, copying=False)
    narrow, wide = (np.subtract(*result.interval("previous_token")[::-1]) for result in (scores, few))
    assert narrow[0, 2] < wide[0, 2]
    assert np.isnan(scores.interval("copying")[0]).all()


def test_the_seed_decides_and_layers_choose() -> None:
    one, again, other = (run_head_scores(MODEL, n_sequences=4, copying=False, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    some = run_head_scores(MODEL, n_sequences=4, copying=False, seed=1, layers=[2, 3])
    np.testing.assert_allclose(some.score("induction"), one.score("induction")[2:], atol=1e-5)
    assert [place[:2] for place in some.named("induction")] == [(3, 3), (2, 0)]


def test_a_result_is_the_same_from_a_file_and_has_a_table(scores: HeadScores, tmp_path: Path) -> None:
    again = HeadScores.load(scores.save(tmp_path / "scores.safetensors"))
    assert again == scores
    assert again.names == tuple(SCORES)
    frame = scores.to_frame()
    assert len(frame) == len(SCORES) * 16
    row = frame[(frame["score"] == "induction") & (frame["layer"] == 3) & (frame["head"] == 3)].iloc[0]
    assert row["value"] == pytest.approx(scores.top("induction", 1)[0][2])
    assert row["low"] < row["value"] < row["high"]
    assert (frame["value"] <= [SCORES[name].high + 1e-6 for name in frame["score"]]).all()
    assert (frame["value"] >= [SCORES[name].low - 1e-6 for name in frame["score"]]).all()


def test_layers_are_scored_one_by_one_and_stay_after_an_interrupt() -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = NET.transformer.h[2].mlp.register_forward_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            run_head_scores(MODEL, n_sequences=4, copying=False)
    finally:
        handle.remove()
    kept = caught.value.partial  # type: ignore[attr-defined]
    whole = run_head_scores(MODEL, n_sequences=4, copying=False)
    np.testing.assert_array_equal(kept.score("previous_token")[:2], whole.score("previous_token")[:2])
    assert np.isnan(kept.score("previous_token")[2:]).all()
    assert kept.top("previous_token", 1)[0][:2] == (0, 2)
    assert len(list(head_scores(MODEL, n_sequences=4, copying=False))) == 5


def test_what_cannot_be_scored_is_said_in_words(scores: HeadScores) -> None:
    with pytest.raises(AnswerError, match="prompts=, answer= and wrong_answer= belong together"):
        run_head_scores(MODEL, IOI.clean)
    with pytest.raises(PromptError, match="Prompt 0 does not hold its answer"):
        run_head_scores(MODEL, IOI.clean[0], answer=5, wrong_answer=IOI.wrong_answers[0])
    with pytest.raises(AnswerError, match="The answer and the wrong answer are the same token"):
        run_head_scores(MODEL, IOI.clean[0], answer=IOI.answers[0], wrong_answer=IOI.answers[0])
    with pytest.raises(ValueError, match="copying='no' must be True or False"):
        run_head_scores(MODEL, copying="no")  # type: ignore[arg-type]
    with pytest.raises(PromptError, match=r"length=40 tokens said twice do not fit: .* allow 32\."):
        run_head_scores(MODEL, length=40)
    assert "of 20 random tokens said twice" in str(run_head_scores(MODEL, n_sequences=1).provenance.settings)
    small = describe(weighty(Stack()), STACK)
    assert "of 6 random tokens said twice" in str(run_head_scores(small, n_sequences=1).provenance.settings)
    small = describe(weighty(Stack(length=3)), replace(STACK, context=3))
    with pytest.raises(PromptError, match=r"^2 or more tokens said twice do not fit: .* allow 1\.$"):
        run_head_scores(small)
    with pytest.raises(ValueError, match="n_sequences=0 must be a whole number from 1 on"):
        run_head_scores(MODEL, n_sequences=0)
    with pytest.raises(SelectionError, match="layers holds 4"):
        run_head_scores(MODEL, layers=4)
    with pytest.raises(UnknownNameError, match="did you mean 'induction'"):
        scores.top("inductoin")
    few = run_head_scores(MODEL, n_sequences=2, copying=False, layers=0)
    with pytest.raises(ResultError, match="copying was not computed: copying=False was passed"):
        few.score("copying")
    assert "name_mover was not computed: it takes prompts=, answer= and wrong_answer=." in few.summary()
