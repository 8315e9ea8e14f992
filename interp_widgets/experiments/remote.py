"""Run an experiment beside a model on a server: it runs there as it is, and its partial results are followed from here.

Everything that needs the model happens there, in one job: the probe runs, reading both sides, the sweep and its
metrics. What comes back are the numbers of cells, never logits or activations.
"""

from __future__ import annotations

import functools
import importlib
import json
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias

import torch

from interp_widgets.experiments.baselines import CALLER
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.shipping import say
from interp_widgets.results import errors
from interp_widgets.results.changes import changed, changes
from interp_widgets.results.errors import InterpWidgetsError, ModelError
from interp_widgets.results.patching import PatchingResult

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

P = ParamSpec("P")
Steps: TypeAlias = Generator[PatchingResult, None, PatchingResult]


def runs_remotely(experiment: Callable[Concatenate[ModelLike, P], Steps]) -> Callable[Concatenate[ModelLike, P], Steps]:
    """Make an experiment, whose first argument is the model, run where its argument `remote` says.

    The experiment itself need not look at `remote`. It must be found in its module under its own name.
    """

    @functools.wraps(experiment)
    def start(model: ModelLike, /, *args: P.args, **kwargs: P.kwargs) -> Steps:
        remote: Any = kwargs.pop("remote", None)
        if remote is None or remote is False:
            return experiment(model, *args, **kwargs)
        return _follow(model, remote, f"{experiment.__module__}:{experiment.__name__}", args, kwargs)

    return start


def _follow(model: Any, remote: Remote, experiment: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Steps:
    # Not at the top: most people never go anywhere, and the server has no need to be able to.
    from interp_widgets.models.remote import run_there

    partial: PatchingResult | None = None
    with closing(run_there(model, remote, f"{__name__}:{serve.__name__}", experiment, args, kwargs)) as messages:
        while True:
            try:
                line = next(messages)
            except StopIteration as stop:
                answer: dict[str, Any] = stop.value
                break
            if line is not None:
                partial = _read(partial, json.loads(line))
            if partial is not None:  # also without news, so that whoever drives this gets a turn
                yield partial
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return PatchingResult.from_bytes(answer["result"])


def _read(partial: PatchingResult | None, message: Mapping[str, str]) -> PatchingResult | None:
    if "warning" in message:
        warnings.warn(message["warning"], UserWarning, **CALLER)
    elif "whole" in message:
        return PatchingResult.from_bytes(b64decode(message["whole"]))
    elif partial is not None:
        return changed(partial, b64decode(message["next"]))
    return partial


def serve(model: Any, experiment: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Run an experiment, `module:name`, on the server, and say each partial result to whoever asked for it.

    Returns:
        Plain values, since there is no such package where they are unpacked: the result, or an error of ours by name.
    """
    module, _, name = experiment.partition(":")
    try:
        if getattr(model, "_module", None) is None:
            raise ModelError(
                "This server runs requests in a process apart from the model's weights, where its parts cannot be "
                "found and checked. Ask those who run it for a key that is trusted to run beside the model."
            )
        with _plain_torch():
            return {"result": _run(getattr(importlib.import_module(module), name)(model, *args, **kwargs)).to_bytes()}
    except InterpWidgetsError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _run(steps: Steps) -> PatchingResult:
    before: PatchingResult | None = None
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            try:
                partial = next(steps)
            except StopIteration as stop:
                result: PatchingResult = stop.value
                return result
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                say(json.dumps({"warning": str(warning.message)}))
        # The estimates of all cells come at once, and are none of the changes that follow one by one.
        if before is None or before.estimates != partial.estimates:
            news = {"whole": partial.to_bytes()}
        else:
            news = {"next": changes(before, partial)}
        say(json.dumps({kind: b64encode(packed).decode() for kind, packed in news.items()}))
        before = partial


@contextmanager
def _plain_torch() -> Iterator[None]:
    """Compute as at home: servers set defaults for models in half precision."""
    dtype = torch.get_default_dtype()
    with ExitStack() as settings:
        settings.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        for device in ("cpu", "cuda"):
            settings.enter_context(torch.autocast(device, enabled=False))
        yield
