"""What is found out about single latents, against the weights of many families read by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets import run_features, run_latent_cards, run_top_examples, teaching
from interp_widgets.experiments.latent_cards import latent_cards
from interp_widgets.results.dictionary import Place
from interp_widgets.results.equality import same_content
from interp_widgets.results.errors import PromptError, ResultError, SelectionError
from interp_widgets.results.latent import LatentCard
from tests.experiments import zoo
from tests.latents import Sparse, hooked

MODEL = teaching.load()
NET = MODEL._module
IDS = [5, 9, 17, 3, 22, 40, 8]
N = 16

FAMILIES = [
    *("gpt2", "llama", "gemma", "gemma2", "olmo", "olmo2", "cohere", "phi", "gpt_neox", "gptj", "opt", "bloom"),
    *("falcon", "mpt", "stablelm", "granite", "glm4", "phi3", "starcoder2", "qwen3", "mixtral", "gpt_bigcode"),
]


def gain_of(norm: nn.Module) -> tuple[torch.Tensor, bool]:
    """What a norm multiplies by, and whether it takes the mean off, by what its source says."""
    kind = type(norm).__name__
    weight = getattr(norm, "weight", None)
    gain = torch.ones(32) if weight is None else weight.detach()
    return (1 + gain if kind.startswith("Gemma") else gain), "LayerNorm" in kind


def last_norm(model: nn.Module) -> nn.Module:
    paths = (
        "model.norm",
        "transformer.ln_f",
        "model.final_layernorm",
        "gpt_neox.final_layer_norm",
        "transformer.norm_f",
    )
    parts = dict(model.named_modules())
    return next(parts[path] for path in (*paths, "model.decoder.final_layer_norm") if path in parts)


def through(norm: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    gain, centres = gain_of(norm)
    return gain * (rows - rows.mean(-1, keepdim=True) if centres else rows)


def card_of(name: str, sae: Sparse, latent: int, **options: Any) -> LatentCard:
    (card,) = run_latent_cards(zoo.model(name), sae, latent, **options)
    return card


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_are_promoted_by_final_norm_and_unembedding(name: str) -> None:
    model, sae = zoo.model(name), Sparse(32, N)
    with torch.no_grad():
        logits = through(last_norm(model), sae.rows[4]) @ model.get_output_embeddings().weight.T
    logits = logits - logits.mean()
    card = card_of(name, sae, 4, n=5)
    assert card.promotes is not None
    assert card.suppresses is not None
    order = logits.argsort(descending=True).tolist()
    assert [word.token.id for word in card.promotes] == order[:5]
    assert [word.token.id for word in card.suppresses] == order[::-1][:5]
    found = [word.logit for word in (*card.promotes, *card.suppresses)]
    np.testing.assert_allclose(found, logits[order[:5] + order[::-1][:5]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("site", ["z", "mlp_post"])
@pytest.mark.parametrize("name", ["gpt2", "gemma2", "granite", "qwen3", "olmo2", "bloom", "mpt", "opt"])
def test_what_is_written_inside_is_carried_into_the_stream(name: str, site: Any) -> None:
    model, family = zoo.model(name), zoo.FAMILIES[name]
    block = model.get_submodule(family.blocks)[1]
    if site == "z":
        path, part = f"{family.attention}.{family.out}", family.attn
    else:
        path, part = family.down, family.mlp
    projection = block.get_submodule(path)
    weight = projection.weight if type(projection).__name__ == "Conv1D" else projection.weight.T
    sae = Sparse(len(weight), N, place=Place(site, 1))
    with torch.no_grad():
        row = sae.rows[4] @ weight
        if "layernorm" in part:  # a norm that follows
            row = through(block.get_submodule(part), row)
        logits = through(last_norm(model), row * family.multiplier) @ model.get_output_embeddings().weight.T
    logits = logits - logits.mean()
    card = card_of(name, sae, 4, n=3)
    assert card.promotes is not None
    top = logits.topk(3)
    assert [word.token.id for word in card.promotes] == top.indices.tolist()
    np.testing.assert_allclose([word.logit for word in card.promotes], top.values, rtol=1e-3, atol=1e-4)


def test_queries_say_nothing_straight() -> None:
    card = card_of("gpt2", Sparse(32, N, place=Place("q", 1)), 4, text=IDS)
    assert (card.promotes, card.suppresses, card.feeds, card.written_by) == (None,) * 4
    assert card.nearest is not None


def test_nearest_are_those_with_the_largest_cosine() -> None:
    sae = Sparse(n=50)
    unit = sae.rows / sae.rows.norm(dim=1, keepdim=True)
    for card in run_latent_cards(MODEL, sae, [0, 7, 49], n=6):
        cosines = (unit @ unit[card.latent]).tolist()
        order = sorted((n for n in range(50) if n != card.latent), key=lambda n: -cosines[n])
        assert card.nearest is not None
        assert [one.latent for one in card.nearest] == order[:6]
        assert [one.cosine for one in card.nearest] == pytest.approx([cosines[n] for n in order[:6]], abs=1e-5)
    (few,) = run_latent_cards(MODEL, Sparse(n=3, k=2), 1)
    assert few.nearest is not None
    assert len(few.nearest) == 2


def firing(name: str, sae: Sparse) -> int:
    """A latent that fires on the ids."""
    result = run_features(zoo.model(name), IDS, sae, fit=False)
    return result.ranked()[0][0]


# In these neither projections nor norms have biases, so that the dictionary's are all that is left.
@pytest.mark.parametrize("site", ["resid_pre", "resid_post", "resid_mid", "mlp_in", "attn_out"])
@pytest.mark.parametrize(
    "name", ["llama", "gemma", "gemma2", "olmo", "olmo2", "cohere", "granite", "glm4", "qwen3", "mixtral"]
)
def test_parts_and_biases_are_the_activation(name: str, site: Any) -> None:
    if name == "cohere" and site == "resid_mid":
        pytest.skip("its attention and its MLP run side by side")
    sae = Sparse(32, N, k=None, place=Place(site, 1))
    latent = firing(name, sae)
    activation = run_features(zoo.model(name), IDS, sae, fit=False).ranked()[0][1]
    for n in (3, 100):
        links = card_of(name, sae, latent, text=IDS, n=n).written_by
        assert links is not None
        assert sum(link.weight for link in links) == pytest.approx(activation, abs=1e-4)
        assert links[-1].component == "biases"
        own = float(sae.bias_in[latent] - sae.bias @ sae.weight[latent])
        assert links[-1].weight == pytest.approx(own, abs=1e-4 * max(1, abs(activation)))
        sizes = [abs(link.weight) for link in links[: min(n, len(links) - 1)]]
        assert sizes == sorted(sizes, reverse=True)
    heads = 4 * {"resid_pre": 1, "attn_out": 1}.get(site, 1 if name == "cohere" and site == "mlp_in" else 2)
    assert sum(link.component.startswith("head") for link in links) == heads
    assert any(link.component == "embedding" for link in links) == (site != "attn_out")


def test_each_part_is_what_a_hook_and_the_weights_make_of_it() -> None:
    sae = Sparse(k=None)
    ids = MODEL.tokenizer("When Mary and John went to the store")["input_ids"]
    result = run_features(MODEL, ids, sae, fit=False)
    latent, activation = result.ranked()[0]
    token = int(np.nanargmax(result.column(latent)))
    (card,) = run_latent_cards(MODEL, sae, latent, text=ids, n=100)
    assert card.written_by is not None
    links = {link.component: link for link in card.written_by}
    reader = sae.weight[latent]
    tensor = torch.tensor([ids])
    embedded = hooked(NET, "transformer.h.0", tensor, entering=True)[0, token]
    assert links["embedding"].weight == pytest.approx(float(embedded @ reader), abs=1e-4)
    biases = float(sae.bias_in[latent] - sae.bias @ reader)
    for layer in range(2):
        mlp = hooked(NET, f"transformer.h.{layer}.mlp", tensor)[0, token]
        assert links[f"MLP {layer}"].weight == pytest.approx(float(mlp @ reader), abs=1e-4)
        assert links[f"MLP {layer}"].cell == (("site", "mlp_out"), ("layer", layer))
        output = NET.transformer.h[layer].attn.c_proj
        z = hooked(NET, f"transformer.h.{layer}.attn.c_proj", tensor, entering=True)[0, token]
        for head in range(4):
            part = slice(32 * head, 32 * head + 32)
            expected = float((z[part] @ output.weight[part] @ reader).detach())
            assert links[f"head {layer}.{head}"].weight == pytest.approx(expected, abs=1e-4)
            assert links[f"head {layer}.{head}"].cell == (("site", "z"), ("layer", layer), ("head", head))
        biases += float((output.bias @ reader).detach())
    assert links["biases"].weight == pytest.approx(biases, abs=1e-4)
    assert activation == pytest.approx(sum(link.weight for link in card.written_by), abs=1e-4)


def test_what_never_fires_has_no_writers() -> None:
    sae = Sparse()
    sae.bias_in[5] = -1000.0
    (card,) = run_latent_cards(MODEL, sae, 5, text="When Mary and John")
    assert card.written_by is None


@pytest.mark.parametrize("name", ["llama", "gemma", "gemma2", "qwen3", "granite", "olmo2"])
def test_later_heads_and_neurons_read_it_by_their_weights(name: str) -> None:
    model, sae = zoo.model(name), Sparse(32, N, place=Place("resid_mid", 1))
    family = zoo.FAMILIES[name]
    heads, neurons = {}, {}
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            row = sae.rows[4]
            before_attention = row if name == "olmo2" else through(block.input_layernorm, row)
            values = block.self_attn.v_proj(before_attention).reshape(-1, family.d_head)
            out = block.self_attn.o_proj.weight.T.reshape(4, family.d_head, 32)
            if layer > 1:
                for head in range(4):
                    made = values[head // 2] @ out[head]
                    if "layernorm" in family.attn:
                        made = through(block.get_submodule(family.attn), made)
                    heads[layer, head] = float(made.norm()) * family.multiplier
            if layer >= 1:
                norm = getattr(block, "pre_feedforward_layernorm", None) or block.post_attention_layernorm
                before = row if name == "olmo2" else through(norm, row)
                each = torch.stack([block.mlp.gate_proj(before), block.mlp.up_proj(before)])
                for neuron, pair in enumerate(each.T.tolist()):
                    neurons[layer, neuron] = max(pair, key=abs)
    feeds = card_of(name, sae, 4, n=5).feeds
    assert feeds is not None
    found = [(dict(link.cell), link.weight) for link in feeds]
    top = sorted(heads, key=lambda key: -heads[key])[:4]
    assert [(cell["layer"], cell["head"]) for cell, _ in found[:4]] == top
    assert [weight for _, weight in found[:4]] == pytest.approx([heads[key] for key in top], rel=1e-3)
    best = sorted(neurons, key=lambda key: -abs(neurons[key]))[:5]
    assert [(cell["layer"], cell["neuron"]) for cell, _ in found[4:]] == best
    assert [weight for _, weight in found[4:]] == pytest.approx([neurons[key] for key in best], rel=1e-3)


def test_cards_arrive_part_by_part_and_have_the_examples_of_a_search() -> None:
    corpus = ["When Mary and John went to the store", "Then Tom had a long day", "Anna gave a drink to Tom"] * 3
    sae = Sparse(n=32)
    steps = list(latent_cards(MODEL, sae, [9, 3], text=corpus[0], corpus=corpus, k=2, called="three texts"))
    assert [card.latent for card in steps[0].cards] == [3, 9]
    assert steps[0].cards[0].promotes is not None
    assert (steps[0].cards[0].written_by, steps[0].cards[0].examples) == (None, None)
    cards = run_latent_cards(MODEL, sae, [9, 3], text=corpus[0], corpus=iter(corpus), k=2, called="three texts")
    searched = run_top_examples(MODEL, sae, corpus, k=2, called="three texts")
    for card in cards:
        plain = searched.card(card.latent)
        assert (card.examples, card.histogram, card.density, card.corpus) == (
            plain.examples,
            plain.histogram,
            plain.density,
            "three texts",
        )


def test_what_was_found_in_a_corpus_before_is_put_on_cards() -> None:
    corpus = ["When Mary and John went to the store", "Then Tom had a long day"]
    sae = Sparse(n=32)
    found = run_top_examples(MODEL, sae, corpus, k=2, latents=[3, 9], called="two texts")
    with_corpus = run_latent_cards(MODEL, sae, [3, 9], corpus=corpus, k=2, called="two texts")
    for card, searched in zip(run_latent_cards(MODEL, sae, [3, 9], corpus=found), with_corpus, strict=True):
        assert same_content(card, searched)
        assert card.examples
    (other,) = run_latent_cards(MODEL, sae, 4, corpus=found)
    assert other.promotes
    assert other.examples is None  # nobody looked for them
    with pytest.raises(ResultError, match=r"These examples are of random latents.* and not of neurons of layer 1"):
        run_latent_cards(MODEL, "neurons", 3, layer=1, corpus=found)


def test_of_several_texts_writers_are_those_of_the_one_where_a_latent_is_strongest() -> None:
    texts = ["When Mary and John went to the store", "Then Tom had a long day", "Anna gave a drink to Tom"]
    sae = Sparse(n=32, k=None)
    read = run_features(MODEL, texts, sae, fit=False)
    seen = set()
    for card in run_latent_cards(MODEL, sae, range(32), text=texts):
        column = read.column(card.latent)
        if not column.any():
            assert card.written_at is None
            continue
        strongest = int(np.abs(column).argmax())
        assert card.written_at == read.place(strongest)
        assert card.written_by is not None
        assert sum(link.weight for link in card.written_by) == pytest.approx(column[strongest], abs=1e-3)
        seen.add(card.written_at[0])
    assert seen == {0, 1, 2}


def test_an_interrupt_keeps_the_cards_that_were_found() -> None:
    def handed() -> Any:
        raise KeyboardInterrupt
        yield ""

    with pytest.raises(KeyboardInterrupt) as caught:
        run_latent_cards(MODEL, Sparse(n=32), 3, corpus=handed())
    (card,) = caught.value.partial  # type: ignore[attr-defined]
    assert (card.latent, card.examples) == (3, None)
    assert card.promotes


def test_neurons_have_cards_too() -> None:
    (card,) = run_latent_cards(MODEL, "neurons", 7, layer=2, text="When Mary and John")
    down = NET.transformer.h[2].mlp.c_proj.weight[7].detach()
    logits = through(NET.transformer.ln_f, down) @ NET.lm_head.weight.detach().T
    assert card.promotes is not None
    assert card.promotes[0].token.id == int(logits.argmax())
    assert card.promotes[0].logit == pytest.approx(float(logits.max() - logits.mean()), rel=1e-3)
    assert card.written_by is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"latents": 96}, SelectionError, "latents holds 96"),
        ({"latents": []}, SelectionError, "latents is empty"),
        ({"text": ""}, PromptError, "The text is empty"),
        ({"n": 0}, ValueError, "n=0 must be a whole number from 1 on"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"latents": 3} | options
    with pytest.raises(error, match=message):
        run_latent_cards(MODEL, Sparse(), given.pop("latents"), **given)
