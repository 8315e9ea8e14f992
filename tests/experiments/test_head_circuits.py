"""QK and OV circuits against plain matrix products, against the model's own attention, and of heads made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import MambaConfig, MambaForCausalLM

from interp_widgets import HeadCircuits, run_head_circuits, teaching
from interp_widgets.experiments.head_circuits import head_circuits
from interp_widgets.models.access import resolve
from interp_widgets.models.circuits import Circuits
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import ModelError, NonFiniteError, PromptError, SelectionError, UnknownNameError
from tests.experiments import zoo

IDS = [5, 9, 13, 22, 40, 9]
ONCE = IDS[:5]


def rotated(x: torch.Tensor, position: int, base: float = 10000.0) -> torch.Tensor:
    """What rotary positions make of (token, head, d_head) at a position, in the halves of Llama."""
    half = x.shape[-1] // 2
    angles = position * base ** (-torch.arange(half) / half)
    one, two = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)


def by_hand(name: str, layer: int, offset: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The two circuits of a layer's heads as products of its weights, (head, token, token)."""
    model = zoo.model(name)
    if name == "gpt2":
        block, embed = model.transformer.h[layer], model.transformer.wte.weight
        norm = functional.layer_norm(embed, (32,), block.ln_1.weight, block.ln_1.bias, block.ln_1.eps)
        made = norm @ block.attn.c_attn.weight + block.attn.c_attn.bias
        q, k, _ = made.split(32, dim=-1)
        std = (embed.var(-1, unbiased=False, keepdim=True) + block.ln_1.eps).sqrt()
        centred = (embed - embed.mean(-1, keepdim=True)) / std * block.ln_1.weight
        v = centred @ block.attn.c_attn.weight[:, 64:]
        out, n_heads, n_kv = block.attn.c_proj.weight, 4, 4
        last, centre = model.transformer.ln_f.weight, True
    else:
        block, embed = model.model.layers[layer], model.model.embed_tokens.weight
        eps = block.input_layernorm.variance_epsilon
        norm = embed / (embed.square().mean(-1, keepdim=True) + eps).sqrt() * block.input_layernorm.weight
        attn = block.self_attn
        q, k, v = (norm @ part.weight.T for part in (attn.q_proj, attn.k_proj, attn.v_proj))
        out, n_heads = attn.o_proj.weight.T, 4
        n_kv = k.shape[-1] // (q.shape[-1] // 4)
        last, centre = model.model.norm.weight, False
    d_head = q.shape[-1] // n_heads
    q = q.unflatten(-1, (n_heads, d_head))
    k, v = (x.unflatten(-1, (n_kv, d_head)).repeat_interleave(n_heads // n_kv, dim=1) for x in (k, v))
    k = k - k.mean(0)
    if name != "gpt2":
        q, k = rotated(q, 7), rotated(k, 7 - offset)
    qk = torch.einsum("qhd,khd->hqk", q[ONCE], k[ONCE]) / d_head**0.5
    written = torch.einsum("shd,hdm->hsm", v[ONCE], out.unflatten(0, (n_heads, d_head)))
    if centre:
        written = written - written.mean(-1, keepdim=True)
    logits = (written * last) @ model.lm_head.weight.T
    return qk, (logits - logits.mean(-1, keepdim=True))[..., ONCE]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_both_circuits_are_products_of_the_weights(name: str, offset: int) -> None:
    result = run_head_circuits(zoo.model(name), IDS, offset=offset, copying=False)
    assert result.tokens.ids == tuple(ONCE)
    for layer in range(2):
        with torch.no_grad():
            qk, ov = by_hand(name, layer, offset)
        np.testing.assert_allclose(result.qk[layer], qk, rtol=1e-3, atol=2e-5 * float(qk.abs().max()) + 1e-6)
        np.testing.assert_allclose(result.ov[layer], ov, rtol=1e-3, atol=1e-5 * float(ov.abs().max()))
    assert result.positions == ("added" if name == "gpt2" else "rotary")


@pytest.mark.parametrize(
    "name", ["llama", "gpt_neox", "gptj", "falcon", "phi3", "granite", "bloom", "gpt_bigcode", "stablelm", "gemma"]
)
def test_scores_are_those_of_the_models_own_attention(name: str) -> None:
    """Of the first layer without learned positions: there the stream is the embedding."""
    access = resolve(open_model(zoo.model(name)))
    circuits = Circuits(access)
    assert circuits.missing((0,)) is None
    ids = torch.tensor([[5, 9, 13, 22]])
    runs = access.read(ids, ("pattern",))
    pattern = runs.site("pattern", 0)[0]
    rows = runs.stream[0][0].float()
    queries, keys = circuits.queries_and_keys(0, rows)
    found = circuits.meeting(0)
    assert found is not None
    zero = torch.zeros(len(pattern), 4)
    for offset in range(4):
        zero[:, 3 - offset] = torch.einsum("hi,ij,hj->h", queries[3], found.at(offset), keys[3 - offset])
    if name in ("bloom", "falcon"):  # ALiBi, which the circuit leaves out: the same for every head's pair at an offset
        flat = access.read(torch.tensor([[9, 9, 9, 9]]), ("pattern",)).site("pattern", 0)[0][:, 3].log()
        own, other = circuits.queries_and_keys(0, access.read(torch.tensor([[9, 9, 9, 9]]), ()).stream[0][0].float())
        same = [torch.einsum("hi,ij,hj->h", own[3], found.at(offset), other[3 - offset]) for offset in range(4)]
        zero += flat - torch.stack(same[::-1], 1)
    np.testing.assert_allclose(zero.softmax(-1), pattern[:, 3], atol=2e-4)


@torch.no_grad()
def test_a_norm_behind_the_embedding_is_part_of_it_and_distance_alone_adds_no_position() -> None:
    model = zoo.model("bloom")
    block, core = model.transformer.h[0], model.transformer
    norm, last = block.input_layernorm, core.ln_f
    everything = core.word_embeddings_layernorm(core.word_embeddings.weight)
    q, k, _ = block.self_attention.query_key_value(norm(everything)).unflatten(-1, (4, 3, 8)).unbind(2)
    qk = torch.einsum("qhd,khd->hqk", q, k - k.mean(0)) / 8**0.5
    # The norm before attention with its size and without its bias, and so on to the logits.
    normed = norm(everything) - norm.bias
    rows = block.self_attention.query_key_value.weight.unflatten(0, (4, 3, 8))[:, 2]
    out = block.self_attention.dense.weight.unflatten(1, (4, 8))
    written = torch.einsum("sd,hvd,mhv->hsm", normed, rows, out)
    ov = ((written - written.mean(-1, keepdim=True)) * last.weight) @ model.lm_head.weight.T
    result = run_head_circuits(model, IDS, layers=0)
    assert result.positions == "none"
    np.testing.assert_allclose(result.qk[0], qk[:, ONCE][..., ONCE], rtol=1e-3, atol=1e-4)
    ov = ov - ov.mean(-1, keepdim=True)
    np.testing.assert_allclose(result.ov[0], ov[:, ONCE][..., ONCE], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(result.by_offset[0], 0, atol=1e-4)
    values = torch.linalg.eigvals(ov.double())
    np.testing.assert_allclose(result.copying[0], values.sum(-1).real / values.abs().sum(-1), atol=1e-3)


def test_norms_over_all_keys_of_shared_heads_leave_the_other_circuit() -> None:
    result = run_head_circuits(zoo.model("olmo2"), IDS, layers=0, copying=False)
    assert np.isnan(result.qk).all()
    assert np.isfinite(result.ov).all()
    assert "a score is no product of a query and a key" in result.missing["qk"]


def test_a_copying_head_made_by_hand_has_the_copying_circuit() -> None:
    model = zoo.build("gpt2")
    block = model.transformer.h[1].attn
    with torch.no_grad():
        # Head 2 hands on eight directions of the stream as they are, and head 3 turned around.
        basis = torch.linalg.qr(torch.randn(32, 8, generator=torch.Generator().manual_seed(0))).Q
        for head, sign in ((2, 1.0), (3, -1.0)):
            block.c_attn.weight[:, 64 + 8 * head : 72 + 8 * head] = basis
            block.c_proj.weight[8 * head : 8 * head + 8] = sign * basis.T
    result = run_head_circuits(model, list(range(20)))
    assert result.copying[1, 2] > 0.99
    assert result.copying[1, 3] < -0.99
    assert np.trace(result.ov[1, 2]) > 0 > np.trace(result.ov[1, 3])
    assert result.diagonal[1, 2] > 0.5 > result.diagonal[1, 3]
    assert "Most copying (eigenvalues of OV, -1 to 1): 1.2" in result.summary()


def test_eigenvalues_are_those_of_the_whole_circuit() -> None:
    result = run_head_circuits(zoo.model("llama"), IDS, layers=0)
    model = zoo.model("llama")
    everything = run_head_circuits(model, list(range(model.config.vocab_size)), layers=0, copying=False)
    for head in range(4):
        # What the eigenvalue is of a circuit whose norms are held at each embedding's own size.
        whole = np.linalg.eigvals(everything.ov[0, head].astype(np.float64))
        found = np.linalg.norm(result.eigenvalues[0, head], axis=-1)
        largest = np.sort(np.abs(whole))[::-1][: len(found)]
        assert np.sort(found)[::-1].sum() == pytest.approx(largest.sum(), rel=0.1)
        trace = result.eigenvalues[0, head, :, 0].sum()
        assert trace == pytest.approx(np.trace(everything.ov[0, head]), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_largest_entries_of_the_vocabulary_are_those_that_sorting_all_finds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp_widgets.models.circuits._UNITS", 7)
    model = zoo.model(name)
    n_vocab = model.config.vocab_size
    everything = run_head_circuits(model, list(range(n_vocab)), layers=1, copying=False)
    result = run_head_circuits(model, IDS, layers=1, copying=False, vocabulary=(1, 2))
    for found in result.extremes:
        values = everything.circuit(found.circuit, 1, 2)
        order = np.argsort(-values, axis=None)
        for entries, wanted in ((found.highest, order[:20]), (found.lowest, order[::-1][:20])):
            np.testing.assert_allclose([pair.value for pair in entries], values.ravel()[wanted], rtol=1e-3, atol=1e-5)
            first = entries[0]
            assert values[first.first.id, first.second.id] == pytest.approx(first.value, rel=1e-3, abs=1e-5)
    assert [found.circuit for found in result.extremes] == ["qk", "ov"]


def test_a_head_of_the_token_before_is_seen_by_offset() -> None:
    """Each position holds a code of its own and the code before; queries read the second and keys the first."""
    model = zoo.build("gpt2")
    block = model.transformer.h[0]
    generator = torch.Generator().manual_seed(1)
    codes = functional.normalize(torch.randn(65, 8, generator=generator), dim=-1)
    flat = torch.ones(32, 1)  # which the norm takes away, so that the rest is at right angles to it
    own, before = torch.linalg.qr(torch.cat([flat, torch.randn(32, 16, generator=generator)], 1)).Q[:, 1:].split(8, 1)
    with torch.no_grad():
        block.ln_1.weight.fill_(1)
        block.ln_1.bias.zero_()
        model.transformer.wpe.weight.copy_(100 * (codes[1:] @ own.T + codes[:-1] @ before.T))
        block.attn.c_attn.bias.zero_()
        block.attn.c_attn.weight[:, :8] = before
        block.attn.c_attn.weight[:, 32:40] = own
    result = run_head_circuits(model, IDS, layers=0, copying=False)
    found = result.by_offset[0, 0]
    assert len(found) == 16
    assert found.argmax() == 1
    # A position's length of 2**0.5 becomes 32**0.5, so that each code is 4 long: 16 / 8**0.5 is the score of a match.
    matches = codes[:-1] @ codes[1:].T
    wanted = torch.stack([torch.stack([matches[at, at - back] for at in range(16, 32)]).mean() for back in range(16)])
    np.testing.assert_allclose(found, (wanted - wanted.mean()) * 16 / 8**0.5, atol=0.02)
    assert found[1] > 2 * np.sort(found)[-2]
    assert abs(result.by_offset[0, 1:, 1]).max() < found[1] / 4  # other heads are as they were


def test_it_is_saved_told_and_listed(tmp_path: Any) -> None:
    model = teaching.load()
    result = run_head_circuits(model, " Mary John Tom", layers=[2, 3], vocabulary=[(3, 1)])
    assert HeadCircuits.load(result.save(tmp_path / "circuits.safetensors")) == result
    assert result.complete
    (best, *_) = result.top("ov", 3, 1)
    values = result.circuit("ov", 3, 1)
    assert best.value == values.max()
    frame = result.to_frame()
    assert len(frame) == result.qk.size + result.ov.size
    one = frame[(frame.circuit == "ov") & (frame["layer"] == 3) & (frame["head"] == 1)]
    assert one.value.max() == values.max()
    assert "OV of head 3.1, whole vocabulary:" in result.summary()
    with pytest.raises(SelectionError, match="There is no layer 0 here: 2, 3 were asked for"):
        result.circuit("ov", 0, 0)
    with pytest.raises(UnknownNameError, match="unknown circuit 'vo'"):
        result.circuit("vo", 2, 0)  # type: ignore[arg-type]


def test_partial_results_grow_layer_by_layer() -> None:
    steps = list(head_circuits(zoo.model("gpt2"), IDS))
    assert not steps[0].complete
    known = [int(np.isfinite(step.ov[:, 0, 0, 0]).sum()) for step in steps]
    assert known == sorted(known)
    assert steps[-1].complete


def test_where_scores_are_no_product_the_other_circuit_is_still_there() -> None:
    result = run_head_circuits(zoo.model("qwen3"), IDS, copying=False)
    assert np.isnan(result.qk).all()
    assert np.isfinite(result.ov).all()
    assert "in layers 0, 1, 2 a score is no product of a query and a key" in result.missing["qk"]
    assert "No qk: in layers 0" in result.summary()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tokens": ""}, PromptError, "The prompt is empty"),
        ({"tokens": [99999]}, PromptError, "holds token id 99999"),
        ({"tokens": list(range(1000))}, PromptError, r"1000 different tokens in 16 heads .* Pass at most \d+ tokens"),
        ({"layers": 9}, SelectionError, "layers holds 9"),
        ({"offset": -1}, ValueError, "offset=-1 must be a whole number from 0 on"),
        ({"offset": 10**6}, ValueError, "farther than tokens of .* can be apart: its context holds"),
        ({"copying": "no"}, ValueError, "copying='no' must be True or False"),
        ({"vocabulary": 3}, SelectionError, r"vocabulary=3 is no list of heads. Name them, such as \[\(3, 1\)\]"),
        ({"vocabulary": (9, 0)}, SelectionError, r"There is no head \(9, 0\) here: layers are 0, 1, 2, 3"),
        ({"vocabulary": ["a"]}, SelectionError, "vocabulary holds 'a'. Name heads"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"tokens": " Mary"} | options
    with pytest.raises(error, match=message):
        run_head_circuits(teaching.load(), given.pop("tokens"), **given)


def test_a_model_without_heads_and_one_with_nan_are_refused() -> None:
    size = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 1, "state_size": 4}
    mamba = MambaForCausalLM(MambaConfig(**size, bos_token_id=0, eos_token_id=0, pad_token_id=0)).eval()
    with pytest.raises(ModelError, match="The circuits of MambaForCausalLM cannot be read off its weights"):
        run_head_circuits(mamba, IDS)
    broken = zoo.build("gpt2")
    with torch.no_grad():
        broken.transformer.h[1].attn.c_proj.weight[0, 0] = float("nan")
    with pytest.raises((NonFiniteError, ModelError)):
        run_head_circuits(broken, IDS)
