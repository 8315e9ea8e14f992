"""What a model is called, and what is no model."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from interp_widgets import teaching
from interp_widgets.models.opening import open_model
from interp_widgets.results.errors import ModelError


def test_a_folder_is_called_by_its_own_name(tmp_path, monkeypatch):
    """A saved page must not tell its readers where on whose machine the model was."""
    bundled = teaching.load()
    folder = tmp_path / "my-model"
    bundled._module.save_pretrained(folder)
    assert isinstance(bundled.tokenizer, PreTrainedTokenizerFast)
    bundled.tokenizer.save_pretrained(folder)
    assert open_model(folder, None).name == "my-model"
    monkeypatch.chdir(folder)
    assert open_model(".", None).name == "my-model"


def test_a_repository_and_a_bare_class_keep_their_names():
    model = teaching.load()
    assert open_model(model, None).name == "interp_widgets.teaching"
    model._module.config._name_or_path = ""
    assert open_model(model, None).name == "GPT2LMHeadModel"


@pytest.mark.parametrize("path", ["./nope", "~/nope", "a/b/nope", Path("nope"), "/nope"])
def test_what_can_only_be_a_folder_is_not_asked_of_the_hub(path):
    with pytest.raises(ModelError, match=r"There is no folder .*nope.*Pass one that `save_pretrained` wrote"):
        open_model(path, None)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is a file\. Pass the folder around it"):
        open_model(tmp_path / "config.json", None)
