"""What tests of a server share: the model on either side, a backend that remembers what it is told, and prompts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import RemoteBackend
from nnsight.schema.config import CONFIG
from nnsight.schema.response import ResponseModel, Status
from transformers import PreTrainedTokenizerFast

from interp_widgets import teaching
from interp_widgets.results.errors import ResultError
from interp_widgets.views._view import View

PAIR = teaching.prompts("ioi", n=1)[0]
PROMPTS = (PAIR.clean, PAIR.corrupt)
GIVEN: dict[str, Any] = {"answer": PAIR.answer, "wrong_answer": PAIR.wrong_answer}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """nnsight draws its status line whether somebody looks or not."""
    before, CONFIG.APP.REMOTE_LOGGING = CONFIG.APP.REMOTE_LOGGING, False
    yield
    CONFIG.APP.REMOTE_LOGGING = before


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = teaching.load()
    model._module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def host(folder: Path) -> Iterator[str]:
    site_packages = Path(torch.__file__).parents[1]
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("server.py")), str(site_packages), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture(scope="package")
def far(folder: Path) -> TransformersModel:
    """The model as one has it who has no room for its weights."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TransformersModel(str(folder), task="text-generation", tokenizer=tokenizer)


@pytest.fixture(scope="package")
def near(folder: Path) -> TransformersModel:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TransformersModel(str(folder), task="text-generation", tokenizer=tokenizer, dispatch=True)


class Watching(RemoteBackend):
    """A backend of one's own, which remembers what it was told."""

    def __init__(self, host: str, key: str = "") -> None:
        super().__init__("the server has one model:only", host=host, api_key=key)
        self.seen: list[tuple[Status, str]] = []

    def note(self, response: ResponseModel) -> bool:
        self.seen.append((response.status, response.description))
        return bool(super().note(response))


def unique(steps: Any) -> list[Any]:
    """The steps of a run without those in between that only give the caller a turn."""
    found: list[Any] = []
    for partial in steps:
        if not found or partial is not found[-1]:
            found.append(partial)
    return found


V = TypeVar("V", bound=View[Any])


def watch(monkeypatch: pytest.MonkeyPatch, show: Callable[[], V]) -> V:
    """Show a view where somebody watches, look at it while it waits, and let it go on to its end."""

    async def notebook() -> V:
        monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
        view = show()
        state = view.get_state(["spec", "arrays"])
        assert (state["spec"] or None, state["arrays"]) == (None, None)
        with pytest.raises(ResultError, match=r"no result yet \(.* at http.*\). `view.result` waits for it"):
            _ = view.partial
        assert " at http" in repr(view)
        assert view.job._task is not None
        await view.job._task
        return view

    return asyncio.run(notebook())
