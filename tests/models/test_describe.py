"""Modules of one's own: every cell against plain hooks, known answers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets import Description, describe, inspect, run_ablation, run_causal_trace, run_patching
from interp_widgets.results.errors import AnswerError, ModelError, PromptError, SiteError
from interp_widgets.results.patching import Status
from interp_widgets.results.terms import HEAD_SITES, Site
from tests.experiments.test_code import check as check_code
from tests.models.own_modules import VOCAB, Judge, Mixer, Stack, weighty

CLEAN = [3, 17, 5, 9, 11, 2]
CORRUPT = [3, 17, 8, 9, 11, 30]
STACK = Description(
    blocks="tower",
    attention="mixer",
    n_heads=4,
    n_kv_heads=2,
    qkv="mixer.read_all",
    by_group=True,
    o_proj="mixer.send",
    mlp_out="tame",
    down_proj="narrow",
    norm="final",
    unembedding="speak",
    logits="scores",
)
JUDGE = Description(
    blocks="layers",
    attention="look",
    n_heads=4,
    qkv=("look.ask", "look.offer", "look.hold"),
    o_proj="look.send",
    mlp="think",
    down_proj="think.3",
    unembedding="verdict",
    logits=1,
    causal=False,
    context=12,
)
STACK_PARTS = {"attn_out": "mixer", "mlp_out": "tame", "z": "mixer.send", "mlp_post": "narrow"}
STACK_PARTS |= dict.fromkeys("qkv", "mixer.read_all")
JUDGE_PARTS = {"attn_out": "look", "mlp_out": "think", "z": "look.send", "mlp_post": "think.3"}
JUDGE_PARTS |= {"q": "look.ask", "k": "look.offer", "v": "look.hold"}


def stack() -> nn.Module:
    return weighty(Stack())


def judge() -> nn.Module:
    return weighty(Judge())


class Plain:
    """A module, read and patched with plain hooks by one who knows its source."""

    def __init__(self, net: Any, blocks: list[nn.Module], parts: dict[str, str], read: Callable[[Any], Any]) -> None:
        self.net, self.blocks, self.parts, self.read = net, blocks, parts, read

    def logits(self, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.read(self.net(torch.tensor([ids])))

    def at(self, site: str, layer: int, ids: list[int], change: Callable[[torch.Tensor], Any]) -> torch.Tensor:
        """Run with a function that sees, and may change in place, a site of one prompt."""
        block = self.blocks[layer]
        before: list[torch.Tensor] = []
        handles = [block.register_forward_pre_hook(lambda _m, args: before.append(args[0].clone()))]

        def on_input(_module: nn.Module, args: Any) -> Any:
            own = args[0].clone()
            change(own[0])
            return (own, *args[1:])

        def on_output(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
            own = output.clone()
            if site == "resid_mid":
                own += before[0]
            change(own[0])
            return own - before[0] if site == "resid_mid" else own

        module = block if site.startswith("resid_p") else block.get_submodule(self.parts.get(site, "mixer"))
        if site in ("resid_pre", "z", "mlp_post"):
            handles.append(module.register_forward_pre_hook(on_input))
        else:
            handles.append(module.register_forward_hook(on_output))
        try:
            return self.logits(ids)
        finally:
            for handle in handles:
                handle.remove()

    def cell(self, site: str, layer: int, index: Any) -> torch.Tensor:
        """Logits of the corrupt prompt with one part of a site taken from the clean one."""
        kept: list[torch.Tensor] = []
        self.at(site, layer, CLEAN, lambda own: kept.append(own[index].clone()))

        def put(own: torch.Tensor) -> None:
            own[index] = kept[0]

        return self.at(site, layer, CORRUPT, put)


def of_stack() -> tuple[Any, Plain]:
    net = stack()
    return describe(net, STACK), Plain(net, list(net.tower), STACK_PARTS, lambda output: output["scores"][0, -1])


def of_judge() -> tuple[Any, Plain]:
    net = judge()
    return describe(net, JUDGE), Plain(net, list(net.layers), JUDGE_PARTS, lambda output: output[1][0])


def columns(site: str, head: int, *, fused: bool) -> slice:
    """The columns of a head of width 4 in what a module handles."""
    if site == "z" or not fused:
        at = head
    else:  # for each of two key-value heads: two queries, a key, a value
        at = head // 2 * 4 + head % 2 if site == "q" else head * 4 + {"k": 2, "v": 3}[site]
    return slice(4 * at, 4 * at + 4)


SITES = {"stack": ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "k", "v", "mlp_post")}
SITES["judge"] = tuple(site for site in SITES["stack"] if site != "resid_mid")


@pytest.mark.parametrize(("name", "site"), [(name, site) for name, sites in SITES.items() for site in sites])
def test_every_cell_of_every_site_is_that_of_plain_hooks(name: str, site: Site) -> None:
    model, plain = of_stack() if name == "stack" else of_judge()
    by_layer = {"by": "layer"} if site == "mlp_post" else {}
    found = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1, sites=site, **by_layer)
    values = found.value()[0, 0]
    expected = np.empty_like(values)
    for layer, column in np.ndindex(*values.shape):
        index: Any = column
        if site in HEAD_SITES:
            index = (slice(None), columns(site, column, fused=name == "stack"))
        elif site == "mlp_post":
            index = slice(None)
        logits = plain.cell(site, layer, index)
        expected[layer, column] = logits[4] - logits[1]
    assert expected.std() > 0.01
    np.testing.assert_allclose(values, expected, atol=1e-5 * max(1.0, np.abs(expected).max()), rtol=0)


def test_every_head_s_pattern_is_what_its_softmax_gives() -> None:
    model, plain = of_stack()
    found = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1, sites="pattern").value()[0, 0]
    for layer, head in np.ndindex(*found.shape):
        mixer = plain.blocks[layer].mixer
        donor: list[torch.Tensor] = []

        def keep(scores: torch.Tensor, donor: list[torch.Tensor] = donor) -> torch.Tensor:
            donor.append(scores.softmax(-1))
            return donor[0]

        mixer.weigh = keep
        plain.logits(CLEAN)

        def put(scores: torch.Tensor, head: int = head, donor: list[torch.Tensor] = donor) -> torch.Tensor:
            weights = scores.softmax(-1)
            weights[:, head] = donor[0][:, head]
            return weights

        mixer.weigh = put
        logits = plain.logits(CORRUPT)
        mixer.weigh = partial(torch.softmax, dim=-1)
        assert found[layer, head] == pytest.approx(float(logits[4] - logits[1]), abs=1e-4)
    assert found.std() > 0.01


def keep_as(kept: dict[str, torch.Tensor], name: str, own: torch.Tensor) -> None:
    kept[name] = own.clone()


def test_patterns_of_an_encoder_are_those_of_its_queries_and_keys() -> None:
    """Known answer: with one head, queries and keys of the donor make the donor's pattern."""
    net = weighty(Judge(heads=1))
    said = replace(JUDGE, n_heads=1)
    grid = run_patching(describe(net, said), CLEAN, CORRUPT, answer=4, wrong_answer=1, sites="pattern").value()
    plain = Plain(net, list(net.layers), JUDGE_PARTS, lambda output: output[1][0])
    for layer in range(3):
        donor: dict[str, torch.Tensor] = {}
        for site in "qk":
            plain.at(site, layer, CLEAN, partial(keep_as, donor, site))

        def put_keys(own: torch.Tensor, donor: dict[str, torch.Tensor] = donor) -> None:
            own[:] = donor["k"]

        look = net.layers[layer].look
        handle = look.ask.register_forward_hook(lambda _module, _args, _out, donor=donor: donor["q"][None])
        logits = plain.at("k", layer, CORRUPT, put_keys)
        handle.remove()
        assert grid[0, 0, layer, 0] == pytest.approx(float(logits[4] - logits[1]), abs=1e-4)


def test_an_encoder_has_no_prefix_that_is_free() -> None:
    """Both prompts begin alike, but in a bidirectional encoder only layer 0 does not know what comes after."""
    model, _ = of_judge()
    status = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1).status[0, 0]
    assert (
        status[0] == [Status.KNOWN, Status.KNOWN, Status.COMPUTED, Status.KNOWN, Status.KNOWN, Status.COMPUTED]
    ).all()
    assert (status[1:] == Status.COMPUTED).all()
    causal, _ = of_stack()
    status = run_patching(causal, CLEAN, CORRUPT, answer=4, wrong_answer=1).status[0, 0]
    assert (status[:, :2] == Status.KNOWN).all()


def test_all_that_differs_put_back_is_the_clean_run() -> None:
    model, _ = of_judge()
    whole = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1, sites="resid_post", by="layer")
    np.testing.assert_allclose(whole.effect()[0, 0], 1, atol=1e-5)


@pytest.mark.parametrize("name", ["stack", "judge"])
def test_a_head_is_ablated_and_noise_is_added_as_with_plain_hooks(name: str) -> None:
    model, plain = of_stack() if name == "stack" else of_judge()
    given = {"answer": 4, "wrong_answer": 1}
    zero = run_ablation(model, CLEAN, sites="z", layers=1, **given).value()[0, 0, 0]
    for head in range(4):

        def silence(own: torch.Tensor, head: int = head) -> None:
            own[:, columns("z", head, fused=False)] = 0

        logits = plain.at("z", 1, CLEAN, silence)
        assert zero[head] == pytest.approx(float(logits[4] - logits[1]), abs=1e-4)
    trace = run_causal_trace(model, CLEAN, subject=(2, 4), answer=4, samples=1, noise=2.0, layers=0)
    generator = torch.Generator().manual_seed(0)
    words = plain.net.words.weight.detach()
    noise = 2.0 * float(words.std(correction=0)) * torch.randn(2, 16, generator=generator)

    def disturb(_module: nn.Module, _args: Any, embedded: torch.Tensor) -> torch.Tensor:
        changed = embedded.clone()
        changed[:, 2:4] += noise
        return changed

    handle = plain.net.words.register_forward_hook(disturb)
    logits = plain.logits(CLEAN)
    handle.remove()
    assert trace.baselines["prob"][0, 1] == pytest.approx(float(logits.softmax(-1)[4]), abs=1e-5)


def test_labels_name_tokens_and_answers_name_classes() -> None:
    model = describe(judge(), JUDGE, labels=lambda token: f"t{token}", answers=["bad", "poor", "fair", "good", "fine"])
    pair = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1).pairs[0]
    assert pair.clean.labels == ("t3", "t17", "t5", "t9", "t11", "t2")
    assert (pair.answer.label, pair.wrong_answer.label) == ("fine", "poor")
    assert {prediction.token.label for prediction in pair.clean_top} == {"bad", "poor", "fair", "good", "fine"}
    bare = run_patching(describe(judge(), JUDGE, labels={3: "three"}), CLEAN, CORRUPT, answer=4, wrong_answer=1).pairs[
        0
    ]
    assert bare.clean.labels[:2] == ("three", "#17")
    assert bare.answer.label == "#4", "a class is no token"


def test_a_language_model_names_what_it_predicts_as_what_it_reads() -> None:
    model = describe(stack(), STACK, labels=[f"w{token}" for token in range(VOCAB)])
    assert run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1).pairs[0].answer.label == "w4"


def test_what_is_left_out_is_searched_or_missing_with_its_reason() -> None:
    report = inspect(describe(judge(), Description(blocks="layers", logits=1, causal=False)))
    assert report.sites == ("resid_pre", "resid_post")
    assert report.missing["attn_out"].startswith("no modules of its blocks were found")
    some = inspect(describe(stack(), replace(STACK, n_heads=None, n_kv_heads=None, qkv=None, o_proj=None)))
    assert some.sites == ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_post")
    assert some.missing["z"].startswith("no projections of queries")
    z_only = inspect(describe(stack(), replace(STACK, qkv=None, n_kv_heads=None)))
    assert "z" in z_only.sites
    assert z_only.missing["pattern"] == "the projections of queries, keys and values are not known."


def test_the_logits_of_a_chosen_position_are_read() -> None:
    net = stack()
    model = describe(net, replace(STACK, read_at=2))
    found = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1)
    plain = Plain(net, list(net.tower), STACK_PARTS, lambda output: output["scores"][0, 2])
    expected = [[plain.cell("resid_pre", layer, pos) for pos in range(6)] for layer in range(3)]
    numbers = np.array([[float(logits[4] - logits[1]) for logits in row] for row in expected])
    np.testing.assert_allclose(found.value()[0, 0], numbers, atol=1e-5)
    assert (found.effect()[0, 0, :, 3:] == 0).all(), "later positions cannot matter"


class Ids(nn.Module):
    """Takes ids by a name that is not its first parameter's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Stack()

    def forward(self, mask: Any = None, tokens: Any = None) -> torch.Tensor:
        assert mask is None
        return self.inner(tokens)["scores"]


def test_blocks_may_be_a_list_of_paths_and_ids_a_named_parameter() -> None:
    net = Ids()
    weighty(net.inner)
    paths = [f"inner.tower.{layer}" for layer in range(3)]
    said = replace(STACK, blocks=paths, ids="tokens", logits=None, norm=None, unembedding=None)
    found = run_patching(describe(net, said), CLEAN, CORRUPT, answer=4, wrong_answer=1)
    plain = run_patching(describe(net.inner, STACK), CLEAN, CORRUPT, answer=4, wrong_answer=1)
    np.testing.assert_array_equal(found.value(), plain.value())
    with pytest.raises(
        ModelError, match=r"could not be run on token ids of shape \(2, 4\).*Say how ids go in \(`ids=`\)"
    ):
        describe(net, replace(said, ids=None))


@pytest.mark.parametrize("name", ["stack", "judge"])
def test_printed_lines_compute_their_cell(name: str, tmp_path: Path) -> None:
    net, said = (stack(), STACK) if name == "stack" else (judge(), JUDGE)
    sites = SITES[name]
    given: dict[str, Any] = {"answer": 4, "wrong_answer": 1, "sites": sites}
    model = describe(net, said)
    check_code(run_patching(model, CLEAN, CORRUPT, **given), tmp_path, net)
    check_code(run_patching(model, CLEAN, CORRUPT, window=2, **given), tmp_path, net)
    check_code(run_causal_trace(model, CLEAN, subject=2, samples=2, **given), tmp_path, net, "prob")
    check_code(run_ablation(model, CLEAN, how="mean", reference=[CLEAN, CORRUPT], **given), tmp_path, net)


def test_printed_lines_of_blocks_apart_and_of_edits(tmp_path: Path) -> None:
    net = Ids()
    weighty(net.inner)
    paths = [f"inner.tower.{layer}" for layer in (0, 1, 2)]
    said = replace(STACK, blocks=paths, ids="tokens", logits=None, norm=None, unembedding=None)
    model = describe(net, said)
    check_code(run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1), tmp_path, net)
    with model.nnsight.edit(inplace=True):
        model.nnsight.net.inner.tower[0].mixer.output = model.nnsight.net.inner.tower[0].mixer.output * 0
    check_code(run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1), tmp_path, model)


def changed(**said: Any) -> Description:
    return replace(STACK, **said)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (changed(blocks="towers"), r"blocks='towers' is no module of Stack\. Did you mean 'tower'"),
        (changed(blocks="words"), r"blocks='words' is an Embedding, not a ModuleList with blocks in it\."),
        (changed(attention="mixr"), r"attention='mixr' is no module of block 0, a Stage\. Did you mean 'mixer'"),
        (changed(o_proj="mixer.sent"), r"o_proj='mixer.sent' is no module of block 0.*Did you mean 'mixer.send'"),
        (changed(qkv="read_all"), r"qkv\[0\]='read_all' is no module.*'mixer.read_all'"),
        (changed(embedding="speech"), r"embedding='speech' is no module of Stack\. "),
        (changed(embedding="final"), r"embedding='final' is a LayerNorm without a single matrix of weights"),
        (changed(norm="tower.0.calm"), r"norm='tower.0.calm' does not get what the last block returns\."),
        (changed(unembedding="final"), r"unembedding='final' does not return the logits\."),
        (changed(attention="calm"), r"attention='calm' and mlp_out='tame': what these return is not what a block adds"),
        (changed(down_proj="widen"), r"down_proj='widen' is not what reads the neurons: no last projection"),
        (changed(n_heads=8, n_kv_heads=None), r"n_heads=8 .*falls into 4 heads\. Say n_heads=4"),
        (changed(n_heads=2, n_kv_heads=None), r"n_heads=2 .*falls into 4 heads\. Say n_heads=4"),
        (changed(n_heads=3, n_kv_heads=None), r"n_heads=3 .*falls into 4 heads\. Say n_heads=4"),
        (
            changed(by_group=False),
            r"n_heads=4, qkv='mixer.read_all', o_proj='mixer.send' do not fit .*by_group",
        ),
        (changed(n_kv_heads=4), r"n_kv_heads=4, but keys are as wide as 2 heads of width 4\. Say n_kv_heads=2"),
        (changed(logits="score"), r"logits are not to be found with logits='score'\. Say with `logits=`"),
        (changed(ids="tokens"), r"could not be run on token ids of shape \(2, 4\): TypeError: .*Say how ids go in"),
    ],
)
def test_what_is_not_as_it_is_said_is_refused_by_name(said: Description, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        describe(stack(), said)


@pytest.mark.parametrize("count", [1, 2, 8, 16])
def test_a_wrong_count_of_heads_is_refused_where_all_widths_fit(count: int) -> None:
    """Half a head has a pattern and values of its own; only its queries and keys are not."""
    with pytest.raises(ModelError, match=rf"n_heads={count} is not how .* falls into 4 heads\. Say n_heads=4"):
        describe(judge(), replace(JUDGE, n_heads=count))


def test_a_bidirectional_model_must_be_said_to_be_one() -> None:
    with pytest.raises(ModelError, match=r"Judge is described as causal, but .* come after them\. Say causal=False\."):
        describe(judge(), replace(JUDGE, causal=True))


def test_descriptions_that_make_no_sense() -> None:
    for said, text in [
        ({"n_heads": 0}, r"n_heads=0 of the description is an int\. Give a whole number from 1 on\."),
        ({"attention": 3}, r"attention=3 of the description is an int\. Give a path such as 'attn.out'\."),
        ({"qkv": ("q", "k")}, r"Give the path of a fused projection, or the three paths"),
        ({"n_heads": None}, r"n_kv_heads=2 needs n_heads"),
        ({"o_proj": None}, r"qkv='mixer.read_all' needs o_proj"),
        ({"causal": "no"}, r"causal='no' of the description is a str\. Give True or False\."),
    ]:
        with pytest.raises(ModelError, match=text):
            replace(STACK, **said)
    with pytest.raises(ModelError, match=r"description is a dict\. Pass a Description\(blocks=...\)"):
        describe(stack(), {"blocks": "tower"})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"Say where they are, with describe\(model, Description\(blocks=...\)\)"):
        run_patching(stack(), CLEAN, CORRUPT)


def test_prompts_and_answers_are_ids_of_its_own_sizes() -> None:
    model, _ = of_judge()
    with pytest.raises(PromptError, match="text, but this model comes without a tokenizer"):
        run_patching(model, "a", "b")
    with pytest.raises(PromptError, match="token id 31, but the model's ids run from 0 to 30"):
        run_patching(model, [31], [2])
    with pytest.raises(AnswerError, match="its ids run from 0 to 4"):
        run_patching(model, CLEAN, CORRUPT, answer=5, wrong_answer=1)
    with pytest.raises(PromptError, match="13 tokens, but the model's context holds 12"):
        run_patching(model, [1] * 13, [2] * 13)
    with pytest.raises(SiteError, match="resid_mid does not exist in Judge: attention comes after the MLP"):
        run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1, sites="resid_mid")


def test_edits_are_stored_on_the_described_model() -> None:
    net = stack()
    lm = NNsight(net)
    with lm.edit(inplace=True):
        lm.tower[0].mixer.output = lm.tower[0].mixer.output * 0
    with pytest.raises(ModelError, match="has edits stored on it, which would be lost"):
        describe(lm, STACK)
    model = describe(net, STACK)
    with model.nnsight.edit(inplace=True):
        model.nnsight.net.tower[0].mixer.output = model.nnsight.net.tower[0].mixer.output * 0
    edited = run_patching(model, CLEAN, CORRUPT, answer=4, wrong_answer=1).value()
    net.tower[0].mixer.register_forward_hook(lambda _module, _args, output: output * 0)
    stream = replace(STACK, n_heads=None, n_kv_heads=None, qkv=None, o_proj=None)
    hooked = run_patching(describe(net, stream), CLEAN, CORRUPT, answer=4, wrong_answer=1).value()
    np.testing.assert_allclose(edited, hooked, atol=1e-5)


class Pass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mixer = Mixer(16, 4, 4, masked=True)

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        return stream + self.mixer(stream)


class AttentionOnly(nn.Module):
    """Attention alone, on prompts of three tokens at most."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCAB, 16)
        self.places = nn.Parameter(torch.zeros(3, 16))
        self.layers = nn.ModuleList(Pass() for _ in range(2))
        self.speak = nn.Linear(16, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        stream = self.words(ids) + self.places.expand(len(ids), -1, -1)[:, : ids.shape[1]]
        for layer in self.layers:
            stream = layer(stream)
        return self.speak(stream)


def test_attention_alone_and_its_short_context_are_found() -> None:
    said = Description(
        blocks="layers", attention="mixer", n_heads=4, qkv="mixer.read_all", by_group=True, o_proj="mixer.send"
    )
    report = inspect(describe(weighty(AttentionOnly()), said))
    assert report.context == 3
    assert report.sites == ("resid_pre", "resid_post", "attn_out", "z", "q", "k", "v", "pattern")
    assert report.missing["mlp_out"] == "its attention is all that a block adds to the stream."
    assert report.missing["mlp_post"] == "its blocks have no MLP."
