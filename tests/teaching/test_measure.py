"""Known answers for the bench that the card's figures come from."""

import pytest
import torch

from interp_widgets import teaching
from interp_widgets.teaching import card, choose
from interp_widgets.teaching.data import FOLDER
from interp_widgets.teaching.measure import Figure, Lab
from interp_widgets.teaching.measure.heads import moved
from interp_widgets.teaching.measure.lab import Place, differences, put


@pytest.fixture(scope="module")
def lab():
    return Lab(FOLDER)


@pytest.fixture(scope="module")
def pairs():
    return teaching.prompts("ioi", n=6).pairs


def effect(lab, pairs, place, tokens):
    clean, corrupt = lab.ids([pair.clean for pair in pairs]), lab.ids([pair.corrupt for pair in pairs])
    donor = lab.record(clean, [place])[place]
    scores = [
        differences(lab, lab.all_logits(ids, edits)[:, -1], pairs)
        for ids, edits in ((corrupt, {}), (clean, {}), (corrupt, {place: put(donor, tokens)}))
    ]
    return moved(*scores)


def test_restoring_the_changed_token_before_the_first_block_restores_everything(lab, pairs):
    changed = pairs[0].roles["S2"][0]
    assert effect(lab, pairs, Place("stream", 0), changed) == pytest.approx(1.0, abs=1e-4)
    assert effect(lab, pairs, Place("stream", 0), changed - 1) == pytest.approx(0.0, abs=1e-4)


def test_restoring_the_end_after_the_last_block_restores_everything(lab, pairs):
    assert effect(lab, pairs, Place("stream", lab.layers), -1) == pytest.approx(1.0, abs=1e-4)
    assert effect(lab, pairs, Place("stream", lab.layers), 0) == pytest.approx(0.0, abs=1e-4)


def test_heads_side_by_side_are_all_of_attention(lab, pairs):
    ids = lab.ids([pairs[0].clean])
    heads, attention = Place("heads", 1), Place("attention", 1)
    values = lab.record(ids, [heads, attention])
    projection = lab.network.transformer.h[1].attn.c_proj
    with torch.no_grad():
        assert torch.allclose(projection(values[heads]), values[attention], atol=1e-5)
    assert [lab.head(head) for head in range(lab.heads)] == [slice(i, i + 32) for i in range(0, 128, 32)]


def test_an_edit_is_gone_after_its_run(lab, pairs):
    ids = lab.ids([pairs[0].clean])
    before = lab.all_logits(ids)
    assert not torch.equal(lab.all_logits(ids, {Place("mlp", 2): torch.zeros_like}), before)
    assert torch.equal(lab.all_logits(ids), before)


def test_patterns_are_causal_distributions(lab, pairs):
    patterns = lab.patterns(lab.ids([pair.clean for pair in pairs]))
    tokens = patterns.shape[-1]
    assert patterns.shape == (lab.layers, len(pairs), lab.heads, tokens, tokens)
    assert torch.allclose(patterns.sum(-1), torch.ones(()), atol=1e-5)
    assert patterns.triu(1).abs().max() == 0


def test_prompts_of_unequal_length_keep_their_order(lab):
    prompts = ["The picnic was terrible, so I", "The farmers near the tables", "The dinner was lovely, so I"]
    together = lab.last_logits(prompts)
    for row, prompt in zip(together, prompts, strict=True):
        assert torch.allclose(row, lab.last_logits([prompt])[0], atol=1e-4)


def candidate(folder, movers, facts, refusal, below=()):
    marks = dict(zip(choose.BARS, (movers, facts, refusal), strict=True))
    return choose.Candidate(folder, {}, marks, below)


def test_behaviour_comes_before_circuits_and_circuits_before_their_size(tmp_path):
    ranked = [
        candidate(tmp_path, 0.6, 0.6, 0.95),
        candidate(tmp_path, 1.0, 1.0, 0.5),
        candidate(tmp_path, 0.9, 0.1, 0.1),
        candidate(tmp_path, 1.0, 1.0, 1.0, below=("agreement.held_out.accuracy",)),
    ]
    assert sorted(ranked, key=lambda each: each.rank, reverse=True) == ranked


def test_only_heads_that_do_something_are_claimed():
    figures = [
        Figure("induction.prefix_matching.L2H1", 0.9, ""),
        Figure("induction.prefix_matching.L2H2", 0.1, ""),
        Figure("induction.accuracy", 0.2, ""),
        Figure("facts.city.stream.END.L2", -0.1, ""),
    ]
    assert [figure.name for figure in card.claimed(figures)] == [
        "induction.prefix_matching.L2H1",
        "induction.accuracy",
        "facts.city.stream.END.L2",
    ]


def test_a_page_cannot_name_a_figure_that_was_not_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(card, "TEMPLATE", tmp_path / "template.md")
    figure = Figure("induction.accuracy", 0.987, "how")
    data = card.make({figure.name: figure}, counts={"tokens": 20_480}, compared=[])
    card.TEMPLATE.write_text("{{induction.accuracy}} after {{tokens}}\n{{table:induction.*}}")
    assert card.page(data).splitlines() == [
        "0.99 after 20,480",
        "| figure | value | ± | how |",
        "|---|---|---|---|",
        "| `induction.accuracy` | 0.987 | 0.02 | how |",
    ]
    card.TEMPLATE.write_text("{{induction.something}}")
    with pytest.raises(KeyError, match=r"induction\.something"):
        card.page(data)
