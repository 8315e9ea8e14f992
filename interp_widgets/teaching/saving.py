"""Write a trained network the way ``teaching.load`` reads it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

_TIED = "lm_head.weight"


def save(model: GPT2LMHeadModel, words: Tokenizer, folder: Path) -> None:
    """Write weights (fp16), configuration and tokenizer to a folder.

    Args:
        model: The trained network; its precision is left as it is.
        words: Its tokenizer.
        folder: Where to write; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The unembedding is the embedding, so it is not written twice.
    weights = {
        name: tensor.detach().to(torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != _TIED and tensor.is_floating_point()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = model.config.to_diff_dict()
    settings["activation_function"] = "gelu_new"
    settings["architectures"] = ["GPT2LMHeadModel"]
    for volatile in ("transformers_version", "torch_dtype", "dtype", "_name_or_path"):
        settings.pop(volatile, None)
    (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    # save_file leaves a file that only its owner may read, which a wheel would carry along.
    (folder / "model.safetensors").chmod(0o644)
    words.save(str(folder / "tokenizer.json"), pretty=False)
