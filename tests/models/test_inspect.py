"""What a model is said to be."""

from __future__ import annotations

import dataclasses

import pytest
import transformers

from interp_widgets import inspect, teaching
from interp_widgets.results.errors import ModelError
from tests.experiments import zoo

LLAMA = """\
LlamaForCausalLM: LlamaForCausalLM, family llama
  3 layers, stream of width 32
  4 heads of width 8 on 2 key-value heads, each shared by 2
  48 neurons a layer
  vocabulary of 61, context of 64
Sites:
  resid_pre  the stream entering the layer (input of model.layers[layer])
  resid_mid  the stream between attention and MLP (resid_pre + attn_out)
  resid_post the stream leaving the layer (output of model.layers[layer])
  attn_out   what attention adds (output of self_attn)
  mlp_out    what the MLP adds (output of mlp)
  z          what each head hands to the output projection: its values, weighted by its pattern (input of self_attn.o_proj)
  q          each head's queries, before any rotation or norm of single heads (output of self_attn.q_proj)
  k          each key-value head's keys, before any rotation or norm of single heads (output of self_attn.k_proj)
  v          each key-value head's values as projected (output of self_attn.v_proj)
  pattern    how much each head's query position takes from each key position (from values to z in self_attn)
  mlp_post   the MLP's neurons, after nonlinearity and gate (input of mlp.down_proj)"""  # noqa: E501


def test_a_report_reads_as_it_should() -> None:
    assert str(inspect(zoo.model("llama"))) == LLAMA


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("gpt2", ["4 heads of width 8", "part of the output of attn.c_attn", "context of 64"]),
        ("bloom", ["context of any length", "output of self_attention.dense)", "input of mlp.dense_4h_to_h"]),
        ("falcon_alibi", ["4 heads of width 8 on 1 key-value head, each shared by 4"]),
        ("gemma", ["4 heads of width 16 on 2", "stream of width 32"]),
        ("granite", ["output of self_attn, times 0.3", "output of mlp, times 0.3"]),
        ("gpt_neox", ["Not in this model:\n  resid_mid  attention and MLP run in parallel"]),
        ("mixtral", ["no neurons found", "  mlp_post   its MLP is a mixture of experts"]),
        ("olmo2", ["(output of self_attn.q_norm)", "(output of self_attn.k_norm)", "(output of self_attn.v_proj)"]),
    ],
)
def test_reports_say_what_is_special(name: str, lines: list[str]) -> None:
    printed = str(inspect(zoo.model(name)))
    for line in lines:
        assert line in printed
    assert ("Not in this model" in printed) == (name in ("gpt_neox", "mixtral"))


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_numbers_are_those_of_the_model(name: str) -> None:
    family, model = zoo.FAMILIES[name], zoo.model(name)
    report = inspect(model)
    assert (report.n_layers, report.d_model) == (len(model.get_submodule(family.blocks)), 32)
    assert (report.n_heads, report.n_kv_heads, report.d_head) == (family.heads, family.kv_heads, family.d_head)
    assert report.n_vocab == zoo.VOCAB
    assert report.family == model.config.model_type
    assert not set(report.sites) & set(report.missing)
    assert all(reason.endswith(".") for reason in report.missing.values())


def test_a_report_of_a_named_model_is_a_plain_frozen_value() -> None:
    report = inspect(teaching.load())
    assert report.name == "interp_widgets.teaching"
    assert report == inspect(teaching.load())
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.name = "another"  # type: ignore[misc]


def test_what_experiments_cannot_use_is_refused_by_name() -> None:
    config = transformers.BertConfig(vocab_size=61, hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
    with pytest.raises(ModelError, match="BertForMaskedLM does not predict the next token"):
        inspect(transformers.BertForMaskedLM(config))
