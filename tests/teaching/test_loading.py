import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from interp_widgets import teaching
from interp_widgets.results.errors import ModelError
from interp_widgets.teaching import network
from interp_widgets.teaching.data import FOLDER
from interp_widgets.teaching.loading import read_network
from interp_widgets.teaching.measure import Lab
from interp_widgets.teaching.saving import save

CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPT = "When Mary and John went to the store, Mary gave a drink to"


def last_logits(model, prompt):
    with torch.no_grad(), model.trace(prompt):
        logits = model.output.logits[0, -1].save()
    return logits  # noqa: RET504 (a traced body cannot hold the return)


@pytest.mark.parametrize(("prompt", "answer"), [(CLEAN, " Mary"), (CORRUPT, " John")])
def test_the_readme_prompt(prompt, answer):
    model = teaching.load()
    assert model.tokenizer.decode(last_logits(model, prompt).argmax()) == answer


def test_loading_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert teaching.load().tokenizer.decode([5]) != ""


def test_loading_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    teaching.load()
    assert torch.equal(torch.rand(4), expected)


def test_each_load_is_a_fresh_model():
    edited, other = teaching.load(), teaching.load()
    with torch.no_grad():
        edited._module.transformer.wte.weight.zero_()
    assert other._module.transformer.wte.weight.abs().sum() > 0


def test_the_model_is_fp32_in_evaluation_mode_with_tied_embeddings():
    module = teaching.load()._module
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert not module.training
    assert module.lm_head.weight is module.transformer.wte.weight


def test_nnsight_and_plain_torch_agree():
    lab = Lab(FOLDER)
    model = teaching.load()
    assert torch.allclose(last_logits(model, CLEAN), lab.last_logits([CLEAN])[0], atol=1e-4)


def test_a_padded_batch_gives_what_single_prompts_give():
    model = teaching.load()
    short = "The picnic was terrible, so I"
    with torch.no_grad(), model.trace([CLEAN, CLEAN]):
        batch = model.output.logits[:, -1].save()
    assert torch.allclose(batch[1], last_logits(model, CLEAN), atol=1e-4)
    assert model.tokenizer([CLEAN, short], padding=True).attention_mask[1][0] == 0


def test_generation():
    model = teaching.load()
    inputs = model.tokenizer(CLEAN, return_tensors="pt")
    out = model._module.generate(**inputs, max_new_tokens=2, do_sample=False)
    assert model.tokenizer.decode(out[0, -2:]) == " Mary."


def printed_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    return done.stdout.strip()


def test_transformers_model_classes_come_with_the_import_and_not_in_the_call():
    code = (
        "import sys; from interp_widgets import teaching; "
        "print([m for m in ('transformers.modeling_utils', 'safetensors.torch') if m not in sys.modules]); "
        "before = set(sys.modules); teaching.load(); "
        "print([m for m in ('torch._dynamo', 'torch.distributed.tensor') if m in set(sys.modules) - before])"
    )
    assert printed_by(code).split("\n") == ["[]", "[]"]


def test_what_is_saved_is_read_back(tmp_path):
    lab = Lab(FOLDER)
    save(lab.network, lab.tokenizer, tmp_path)
    again = read_network(tmp_path)
    for (name, one), (_, other) in zip(lab.network.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_files_of_another_network_are_refused(tmp_path):
    lab = Lab(FOLDER)
    save(network.build(network.config(300, n_layer=1, n_embd=32), seed=0), lab.tokenizer, tmp_path)
    (tmp_path / "config.json").write_text(network.config(300, n_layer=2, n_embd=32).to_json_string())
    with pytest.raises(ModelError, match=r"does not hold this network: missing .*h\.1"):
        read_network(tmp_path)


def test_everything_shipped_fits_five_megabytes():
    folder = Path(teaching.__file__).parent
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert total <= 5_000_000
