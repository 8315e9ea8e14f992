"""Load the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from nnsight import TransformersModel
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from interp_widgets.models.dictionaries.topk import TopKSAE
from interp_widgets.results.errors import ModelError

from .data import FOLDER, SAE_FOLDER
from .tokenizer import END_OF_TEXT

NAME = "interp_widgets.teaching"


def load(device: str | torch.device = "cpu") -> TransformersModel:
    """Load the bundled teaching model, ready for nnsight: a GPT-2 of 4 layers, 4 heads and width 128. Works offline.

    What it can do, and which circuits were measured in it, is written in ``MODEL_CARD.md`` beside this file.

    Args:
        device: Where to put it.

    Returns:
        A fresh model on each call, so that edits to one are not seen by another: ``nnsight.TransformersModel`` over a
        ``GPT2LMHeadModel`` in fp32 (stored in fp16) and evaluation mode, with its tokenizer. Prompts may have up to 64
        tokens.

    Example:
        >>> from interp_widgets import teaching
        >>> model = teaching.load()
        >>> with model.trace("When Mary and John went to the store, John gave a drink to"):
        ...     token = model.output.logits[0, -1].argmax().save()
        >>> model.tokenizer.decode(token)
        ' Mary'
    """
    network = read_network(FOLDER).to(device)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(FOLDER / "tokenizer.json"),
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        model_max_length=network.config.n_positions,
    )
    return TransformersModel(network, tokenizer=tokenizer, task="text-generation", device=network.device)


def sae() -> TopKSAE:
    """Load the bundled sparse autoencoder of the teaching model's stream, as it leaves layer 1. Works offline.

    How well it stands for the model, and what some of its 1024 latents mean, is written in ``SAE_CARD.md`` beside this
    file; ``concepts`` has the names.

    Returns:
        A fresh one on each call, in fp32 (stored in fp16).

    Example:
        >>> from interp_widgets import teaching
        >>> sae = teaching.sae()
        >>> sae.info.reads
        Place(site='resid_post', layer=1)
        >>> sae.concepts.latent("a season") in range(1024)
        True
    """
    return TopKSAE.load(SAE_FOLDER)


def read_network(folder: Path, attention: str | None = None) -> GPT2LMHeadModel:
    """Read a network that ``saving.save`` wrote, in fp32 and evaluation mode.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
        attention: transformers' name of an attention implementation; ``"eager"`` gives patterns.
    """
    settings = json.loads((folder / "config.json").read_text())
    if attention is not None:
        settings["attn_implementation"] = attention
    # Initial weights are drawn and then overwritten: the caller's random state must not notice.
    with torch.random.fork_rng(devices=[]):
        network = GPT2LMHeadModel(GPT2Config(**settings))
    # The unembedding is the embedding and is not stored twice, hence strict=False and the check.
    missing, unexpected = network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    missing = [name for name in missing if not name.endswith(("lm_head.weight", ".attn.bias", ".attn.masked_bias"))]
    if missing or unexpected:
        raise ModelError(f"{folder} does not hold this network: missing {missing}, unexpected {unexpected}.")
    network.config._name_or_path = NAME
    network.generation_config.pad_token_id = settings["eos_token_id"]
    return network.eval()
