"""How well a dictionary fits, against plain hooks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from nnsight import NNsight
from torch import nn

from interp_widgets import Description, describe, teaching
from interp_widgets.models import losses
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.dictionaries import fit as fitting
from interp_widgets.models.dictionaries.activations import ReLU
from interp_widgets.models.dictionaries.coder import Coder, Weights
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.dictionaries.fit import measure_fit
from interp_widgets.models.dictionaries.matrix import directions
from interp_widgets.models.dictionaries.neurons import Neurons
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Fit, Kind, Place
from interp_widgets.results.errors import FeatureError, PromptError
from tests.experiments import zoo
from tests.models.hooked import HookedTransformer
from tests.models.own_modules import VOCAB, Judge, weighty

IDS = torch.randint(1, zoo.VOCAB, (3, 7), generator=torch.Generator().manual_seed(0))
Change = Callable[[torch.Tensor], torch.Tensor]


def coder(reads: Place, writes: Place, width: int = 32, kind: Kind = "sae", scale: float = 0.5) -> Coder:
    generator = torch.Generator().manual_seed(2)
    encoder = torch.randn(48, width, generator=generator) * scale
    decoder = torch.randn(48, width, generator=generator) * scale
    bias = torch.randn(48, generator=generator)
    weights = Weights(encoder=encoder, decoder=decoder, encoder_bias=bias, decoder_bias=decoder[0])
    return Coder(weights, ReLU(), name="random", kind=kind, reads=reads, writes=writes)


def measured(access: Access, dictionary: Dictionary, batches: list[torch.Tensor]) -> Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return measure_fit(access, dictionary, batches)


class Hooked:
    """A model run with plain hooks at the two places of a dictionary."""

    def __init__(self, model: Any, reads: tuple[nn.Module, bool], writes: tuple[nn.Module, bool], scale: float = 1):
        self.model, self.reads, self.writes, self.scale = model, reads, writes, scale

    def losses(self, ids: torch.Tensor, change: Change | None = None) -> torch.Tensor:
        """Cross-entropy of all tokens but the first."""
        read: list[torch.Tensor] = []

        def keep(_module: Any, args: Any, kwargs: Any, output: Any = None) -> None:
            value = output if output is not None else (args[0] if args else next(iter(kwargs.values())))
            read.append((value[0] if isinstance(value, tuple) else value).reshape(*ids.shape, -1))

        def put(_module: Any, args: Any, output: Any) -> Any:
            there = output[0] if isinstance(output, tuple) else output
            self.there = there.reshape(*ids.shape, -1) * self.scale
            if change is None:
                return None
            changed = torch.cat([self.there[:, :1], change(read[0])[:, 1:]], 1).reshape(there.shape) / self.scale
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        module, entering = self.reads
        register = module.register_forward_pre_hook if entering else module.register_forward_hook
        handles = [register(keep, with_kwargs=True), self.writes[0].register_forward_hook(put)]  # type: ignore[operator]
        try:
            with torch.no_grad():
                logits = self.model(input_ids=ids, use_cache=False).logits
        finally:
            for handle in handles:
                handle.remove()
        self.read = read[0]
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    def fit(self, dictionary: Dictionary, ids: torch.Tensor) -> Fit:
        clean = self.losses(ids)
        x, y = self.read[:, 1:], self.there[:, 1:].flatten(0, 1)
        latents = dictionary.encode(x)
        missed = (y - dictionary.decode(latents, x).flatten(0, 1)).double().square().sum()
        spread = (y - y.mean(0)).double().square().sum()
        return Fit(
            variance_explained=float(1 - missed / spread),
            l0=float((latents != 0).sum(-1).float().mean()),
            loss=float(clean),
            loss_with=float(self.losses(ids, lambda read: dictionary.decode(dictionary.encode(read), read))),
            loss_without=float(self.losses(ids, lambda read: torch.zeros_like(self.there))),
            n_tokens=ids[:, 1:].numel(),
        )


def agree(found: Fit, wanted: Fit) -> None:
    for field, value in vars(wanted).items():
        assert getattr(found, field) == pytest.approx(value, rel=1e-5, abs=1e-5), field


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_a_transcoder_is_measured_where_it_writes(name: str) -> None:
    family, model = zoo.FAMILIES[name], zoo.model(name)
    access = resolve(open_model(model))
    dictionary = coder(Place("mlp_in", 1), Place("mlp_out", 1), kind="transcoder")
    block = model.get_submodule(family.blocks)[1]
    entrance = block.fc1 if name == "opt" else block.get_submodule(ENTRANCES.get(name, family.mlp))
    hooked = Hooked(model, (entrance, True), (block.get_submodule(family.mlp), False), family.multiplier)
    agree(measured(access, dictionary, [IDS[:2], IDS[2:]]), hooked.fit(dictionary, IDS))


ENTRANCES = {
    "gemma2": "mlp",
    "gemma3": "mlp",
    "olmo2": "mlp",
    "olmo3": "mlp",
    "glm4": "mlp",
    "bloom": "mlp",
    "mpt": "ffn",
}
"""Where what the MLP adds comes from another module than the one that gets what the MLP gets."""


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_an_sae_of_the_stream_is_measured_in_the_stream(name: str) -> None:
    family, model = zoo.FAMILIES[name], zoo.model(name)
    access = resolve(open_model(model))
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1))
    block = model.get_submodule(family.blocks)[1]
    hooked = Hooked(model, (block, False), (block, False))
    agree(measured(access, dictionary, [IDS]), hooked.fit(dictionary, IDS))


def at(site: Any, model: Any) -> tuple[nn.Module, bool]:
    """Where a reader of GPT-2 finds a site of layer 1, and whether it is what that module gets."""
    block = model.transformer.h[1]
    return {
        "resid_pre": (model.transformer.h[0], False),
        "attn_out": (block.attn, False),
        "mlp_out": (block.mlp, False),
        "z": (block.attn.c_proj, True),
        "mlp_in": (block.ln_2, False),
    }[site]


@pytest.mark.parametrize("site", ["resid_pre", "attn_out", "mlp_out", "mlp_in"])
def test_every_site_of_gpt2(site: Any) -> None:
    model = zoo.model("gpt2")
    dictionary = coder(Place(site, 1), Place(site, 1))
    hooked = Hooked(model, at(site, model), at(site, model))
    agree(measured(resolve(open_model(model)), dictionary, [IDS]), hooked.fit(dictionary, IDS))


def test_heads_lie_side_by_side() -> None:
    """What replaces z reaches attn_out through the output projection."""
    model = zoo.model("gpt2")
    access, projection = resolve(open_model(model)), model.transformer.h[1].attn.c_proj
    dictionary = coder(Place("z", 1), Place("z", 1))
    found: list[torch.Tensor] = []

    def swap(_module: Any, args: Any) -> Any:
        found.append(args[0])
        changed = dictionary.decode(dictionary.encode(args[0]), args[0])
        return (torch.cat([args[0][:, :1], changed[:, 1:]], 1),)

    handle = projection.register_forward_pre_hook(swap)
    with torch.no_grad():
        logits = model(input_ids=IDS).logits
    handle.remove()
    wanted = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
    assert measured(access, dictionary, [IDS]).loss_with == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "granite", "bloom"])
def test_neurons_reconstruct_the_mlp(name: str) -> None:
    access = resolve(open_model(zoo.model(name)))
    fit = measure_fit(access, Neurons(access, 1), [IDS])
    assert fit.variance_explained == pytest.approx(1, abs=1e-6)
    assert fit.loss_with == pytest.approx(fit.loss, abs=1e-5)
    assert fit.l0 <= access.d_mlp  # type: ignore[operator]
    assert fit.loss_without != pytest.approx(fit.loss, abs=1e-3)


def test_batches_and_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1))
    whole = measured(access, dictionary, [IDS])
    monkeypatch.setattr(losses, "_CHUNK", 2 * zoo.VOCAB)
    monkeypatch.setattr(losses, "_BATCH", 8 * zoo.VOCAB)
    monkeypatch.setattr(fitting, "_CHUNK", 3 * 48)
    agree(measured(access, dictionary, [IDS[:2], IDS[2:], IDS[:1, :1]]), whole)


def test_texts_of_unequal_lengths_count_by_their_tokens() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1))
    long, short = (measured(access, dictionary, [ids]) for ids in (IDS, IDS[:1, :3]))
    both = measured(access, dictionary, [IDS, IDS[:1, :3]])
    assert both.n_tokens == 18 + 2
    assert both.loss == pytest.approx((long.loss * 18 + short.loss * 2) / 20, rel=1e-6)


def test_one_that_does_not_fit_is_warned_about() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1), scale=3)
    with pytest.warns(UserWarning, match="does not fit") as caught:
        measure_fit(access, dictionary, [IDS])
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("random does not fit GPT2LMHeadModel at resid_post of layer 1: it explains -")
    assert "model, the layer and the site" in text
    assert "(BOS)" in text
    assert text.endswith("here they are encoded as they are.")


def test_of_a_few_tokens_the_loss_alone_tells() -> None:
    """Two tokens hardly vary around their mean: the bundled dictionary explains less than nothing there."""
    access = resolve(open_model(teaching.load()))
    fit = measure_fit(access, teaching.sae(), [torch.tensor([access.opened.tokenizer("   ")["input_ids"]])])
    assert fit.variance_explained < 0
    assert fit.loss_recovered > 0.8


def test_one_that_fits_is_not() -> None:
    """Two latents for each number, one for each sign: they reconstruct all."""
    access = resolve(open_model(zoo.model("gpt2")))
    both = torch.cat([torch.eye(32), -torch.eye(32)])
    place = Place("resid_post", 1)
    perfect = Coder(Weights(both, both), ReLU(), name="both signs", kind="sae", reads=place, writes=place)
    fit = measure_fit(access, perfect, [IDS])
    assert fit.variance_explained == pytest.approx(1, abs=1e-6)
    assert fit.l0 == pytest.approx(32)
    assert fit.loss_recovered == pytest.approx(1, abs=1e-4)


def test_directions_are_not_warned_about() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    assert measure_fit(access, directions(torch.ones(1, 32), Place("resid_post", 1)), [IDS]).variance_explained < 0.3


def test_half_precision_is_measured_in_single_precision() -> None:
    model = zoo.build("llama").to(torch.bfloat16)
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1))
    fit = measured(resolve(open_model(model)), dictionary, [IDS])
    with torch.no_grad():
        logits = model(input_ids=IDS).logits.float()
    wanted = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
    assert fit.loss == pytest.approx(float(wanted), rel=1e-6)


def test_the_teaching_model() -> None:
    access = resolve(open_model(teaching.load()))
    d_model = access.opened.config.hidden_size
    both = torch.cat([torch.eye(d_model), -torch.eye(d_model)])
    place = Place("resid_post", 2)
    perfect = Coder(Weights(both, both), ReLU(), name="both signs", kind="sae", reads=place, writes=place)
    text = "<|endoftext|>When Mary and John went to the store, John gave the bag to Mary."
    fit = measure_fit(access, perfect, [access.opened.tokenizer(text, return_tensors="pt").input_ids])
    assert fit.loss_with == pytest.approx(fit.loss, abs=1e-4)
    assert fit.loss_recovered == pytest.approx(1, abs=1e-4)
    assert fit.loss_without > fit.loss + 1


@pytest.mark.parametrize("site", ["resid_post", "mlp_in"])
def test_a_model_with_hook_points(site: Any) -> None:
    """Its logits at all positions count, though patches read those of the last."""
    model = HookedTransformer()
    ids = IDS % 31
    place, point = Place(site, 1), model.blocks[1].hook_resid_post if site == "resid_post" else model.blocks[1].ln2
    dictionary = coder(place, place, width=16)
    found: list[torch.Tensor] = []

    def swap(_module: Any, _args: Any, there: torch.Tensor) -> torch.Tensor:
        found.append(dictionary.decode(dictionary.encode(there), there))
        return torch.cat([there[:, :1], found[0][:, 1:]], 1)

    def mean_loss() -> float:
        with torch.no_grad():
            logits = model(ids)
        return float(nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()))

    clean = mean_loss()
    handle = point.register_forward_hook(swap)
    with_it = mean_loss()
    handle.remove()
    fit = measured(resolve(open_model(NNsight(model))), dictionary, [ids])
    assert (fit.loss, fit.loss_with) == pytest.approx((clean, with_it), rel=1e-5)


def test_neurons_behind_a_hook_point_are_found_by_running_the_model() -> None:
    model = HookedTransformer()
    access = resolve(open_model(NNsight(model)))
    neurons = Neurons(access, 1)
    torch.testing.assert_close(neurons.decoder, model.blocks[1].mlp.W_out.detach(), rtol=1e-4, atol=1e-5)
    assert measure_fit(access, neurons, [IDS % 31]).variance_explained == pytest.approx(1, abs=1e-5)


def test_neurons_whose_sum_a_norm_changes_are_read_and_not_acted_on() -> None:
    model = HookedTransformer()
    for block in model.blocks:
        block.hook_mlp_out = nn.Sequential(nn.LayerNorm(16))
    neurons = Neurons(resolve(open_model(NNsight(model))), 1)
    assert neurons.encode(torch.ones(1, 24)).sum() == 24
    with pytest.raises(FeatureError, match=r"not linear in the neurons of mlp_post of layer 1: something else"):
        neurons.decoder  # noqa: B018


def test_a_model_that_answers_once_has_no_loss() -> None:
    """A classifier's reconstruction is measured, and its loss is not a number rather than a wrong one."""
    access = resolve(open_model(describe(weighty(Judge()), Description(blocks="layers", logits=1, causal=False))))
    fit = measured(access, coder(Place("resid_post", 1), Place("resid_post", 1), width=16), [IDS % VOCAB])
    assert math.isfinite(fit.variance_explained)
    assert math.isnan(fit.loss)
    assert math.isnan(fit.loss_recovered)


def test_no_tokens_to_measure_on() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1))
    for batches in ([], [IDS[:, :1]]):
        with pytest.raises(PromptError, match="texts of at least two tokens"):
            measure_fit(access, dictionary, batches)
    with pytest.raises(PromptError, match=r"axes \(row, position\), and have 1"):
        measure_fit(access, dictionary, [IDS[0]])


def test_a_reconstruction_that_is_not_finite() -> None:
    access = resolve(open_model(zoo.model("gpt2")))
    dictionary = coder(Place("resid_post", 1), Place("resid_post", 1), scale=1e30)
    with pytest.raises(FeatureError, match="reconstruction by random has NaN or infinity"):
        measure_fit(access, dictionary, [IDS])
    measured(access, coder(Place("resid_post", 1), Place("resid_post", 1)), [IDS])  # and the model is still usable
