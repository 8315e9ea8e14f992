"""Open whatever a user holds as an nnsight model, its tokenizer and a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from nnsight import Envoy, NNsight, TransformersModel
from torch import nn

from interp_widgets.models.adapted import Adapted, embedding_weight
from interp_widgets.models.described import Described
from interp_widgets.models.hook_points import adapt_hook_points
from interp_widgets.models.labels import Labels, Names
from interp_widgets.models.numbers import kind_of
from interp_widgets.results.errors import ModelError

ModelLike: TypeAlias = "Envoy | nn.Module | Described | str | Path"
"""nnsight's TransformersModel, LanguageModel or NNsight, a Hugging Face model, a local folder, a repository id, a
module with TransformerLens' hook points, or any module by way of `describe`."""

_LOAD = "AutoModelForCausalLM.from_pretrained"


@dataclass(frozen=True)
class Spelling:
    """How printed lines of Python say on a model what all models have."""

    ids: str = ""
    """Name of the parameter that takes token ids; empty if that is the first one."""
    logits: str = ".logits[0, -1]"
    """What is read of the output of one prompt."""
    inside: str = ""
    """The module that those lines call the model, where it is inside of what is traced."""


@dataclass(frozen=True)
class Opened:
    """An nnsight model of a causal language model, with what belongs to it."""

    envoy: Any
    tokenizer: Any | None
    name: str
    setup: str
    """The lines of Python that make the nnsight model from what the user passed; empty if that was an nnsight model."""
    handle: str
    """What those lines call the nnsight model."""
    spelling: Spelling = Spelling()
    names: Names | None = None
    """Names of token ids, where a user gave some in place of a tokenizer."""
    answer_names: Names | None = None
    """Names of what the model predicts, where that is not tokens."""

    @property
    def module(self) -> nn.Module:
        """The model that nnsight wraps."""
        module: nn.Module = self.envoy._module
        return module

    @property
    def device(self) -> torch.device:
        """Where the model takes its tokens."""
        return embedding_weight(self.module).device

    @property
    def labels(self) -> Labels:
        """Labels of the tokens that go in."""
        return Labels(self.tokenizer, self.names)

    @property
    def n_answers(self) -> int:
        """How many answers the model tells apart: tokens, or classes."""
        return self.module.n_answers if isinstance(self.module, Adapted) else len(embedding_weight(self.module))

    @property
    def answer_labels(self) -> Labels:
        """Labels of what the model predicts: tokens, or classes where it has another number of them."""
        if self.answer_names is None and self.n_answers == len(embedding_weight(self.module)):
            return self.labels
        return Labels(None, self.answer_names)

    @property
    def dtype(self) -> str:
        """Name of the weights' type, such as float32."""
        return str(self.module.dtype).removeprefix("torch.")

    @property
    def config(self) -> Any:
        """The language model's configuration, without what a multimodal model adds around it."""
        config: Any = self.module.config
        return config.get_text_config() if hasattr(config, "get_text_config") else config


def open_model(model: ModelLike, tokenizer: Any | None = None) -> Opened:
    """Open a model, loading its weights if they are not there yet.

    Raises:
        ModelError: not a causal language model of transformers, with the way to pass one.
    """
    if tokenizer is not None and not (callable(tokenizer) and hasattr(tokenizer, "convert_ids_to_tokens")):
        raise ModelError(
            f"tokenizer is {kind_of(tokenizer)}. Pass one that transformers made: "
            "AutoTokenizer.from_pretrained(folder or id), or PreTrainedTokenizerFast(tokenizer_object=...) "
            "around one of the tokenizers library."
        )
    if isinstance(model, (str, Path)):
        opened = _open_path(model, tokenizer)
    elif isinstance(model, Described):
        opened = _open_described(model, tokenizer)
    elif (hooked := adapt_hook_points(model)) is not None:
        opened = _open_described(hooked, tokenizer)
    elif isinstance(model, Envoy):
        opened = _open_envoy(model, tokenizer)
    elif isinstance(model, nn.Module):
        # Not TransformersModel: its pipeline needs a tokenizer, and moves the model to a default device.
        _check(model)
        opened = Opened(NNsight(model), tokenizer, _name(model), _SETUP_MODULE, "lm")
    else:
        raise ModelError(
            f"model is {kind_of(model)}. Pass nnsight's TransformersModel, a Hugging Face model with "
            "`tokenizer=`, a local folder, or a repository id; any other module by way of `describe`."
        )
    # What accelerate keeps on disk looks like meta too; it is loaded when its module runs.
    offloaded = bool(getattr(opened.module, "hf_device_map", None))
    if offloaded and opened.device.type == "meta":
        raise ModelError(
            f"{opened.name} keeps its token embedding on disk, and nnsight then has no device to put tokens on. Give "
            "the embedding a place in memory in `device_map`."
        )
    if not offloaded and any(parameter.is_meta for parameter in opened.module.parameters()):
        raise ModelError(f"{opened.name} has no weights: it lives on the meta device. Load it with {_LOAD}.")
    return opened


_SETUP_MODULE = """\
from nnsight import NNsight

lm = NNsight(model)  # `model` is your Hugging Face model
"""

_SETUP_PATH = """\
from nnsight import TransformersModel

model = TransformersModel({path!r}, task="text-generation", dispatch=True)
"""


def _open_path(path: str | Path, tokenizer: Any | None) -> Opened:
    folder = Path(path).expanduser()
    if folder.is_file():
        raise ModelError(f"{str(path)!r} is a file. Pass the folder around it, which `save_pretrained` wrote.")
    # A repository's id has one slash at most and no dots before it: anything else can only be a folder.
    if not folder.is_dir() and (
        folder.is_absolute() or isinstance(path, Path) or len(folder.parts) > 2 or str(path)[:1] in ".~"
    ):
        raise ModelError(f"There is no folder {str(path)!r}. Pass one that `save_pretrained` wrote.")
    path = str(folder if folder.is_dir() else path)
    try:
        envoy = TransformersModel(path, task="text-generation", dispatch=True)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path!r} could not be loaded as a causal language model: {str(error).splitlines()[0]} "
            f"{'' if folder.is_dir() else 'There is no folder of this name either. '}Pass a folder that "
            "`save_pretrained` wrote, the id of a repository on the Hugging Face hub, or a model that you loaded."
        ) from error
    _check(envoy._module)
    return Opened(envoy, tokenizer or envoy.tokenizer, _name(envoy._module), _SETUP_PATH.format(path=path), "model")


def _open_described(model: Described, tokenizer: Any | None) -> Opened:
    adapted, lm = model.adapted, model.nnsight
    edited = any(envoy._edits for envoy in (lm, *lm.interleaver.envoys.values()))
    spelling = Spelling(adapted.description.ids or "", adapted.spelled, "net")
    return Opened(
        envoy=lm,
        tokenizer=tokenizer or model.tokenizer,
        name=adapted.config.name_or_path,
        setup="lm = model.nnsight  # of your described model, with its edits\n" if edited else model.setup,
        handle="lm" if edited else model.handle,
        spelling=Spelling() if edited else spelling,
        names=model.labels,
        answer_names=model.answers,
    )


def _open_envoy(envoy: Any, tokenizer: Any | None) -> Opened:
    _check(envoy._module)
    if not getattr(envoy, "dispatched", True):
        envoy.dispatch()
    own = envoy.tokenizer if isinstance(envoy, TransformersModel) else None
    return Opened(envoy, tokenizer or own, _name(envoy._module), "", "model")


def _name(module: nn.Module) -> str:
    """Repository id, or a folder's own name without the folders around it, which say nothing to other readers."""
    config = getattr(module, "config", None)
    name = str(getattr(config, "name_or_path", "") or type(module).__name__)
    return Path(name).resolve().name if Path(name).is_dir() else name


def _check(module: nn.Module) -> None:
    name = type(module).__name__
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "model_type"):
        raise ModelError(
            f"{name} is no model of transformers, so its blocks cannot be found. Say where they are, with "
            "describe(model, Description(blocks=...)), or pass a Hugging Face causal language model, for instance from "
            f"{_LOAD}."
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{name} is an encoder-decoder: it has two streams, and patching needs one. Pass a decoder-only model, for "
            f"instance from {_LOAD}."
        )
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    if not getattr(text_config, "num_hidden_layers", 1):
        raise ModelError(f"{name} has no layers (its config says 0), so there is nothing to patch. Load one that has.")
    if not getattr(module, "can_generate", lambda: False)():
        raise ModelError(
            f"{name} does not predict the next token, so a patch has no answer to change. Pass the causal language "
            f"model, for instance from {_LOAD}, or say what it predicts with `describe`."
        )
