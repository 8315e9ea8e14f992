"""Run an experiment beside a model on a server: it runs there as it is, and its partial results are followed from here.

Everything that needs the model happens there, in one job: the probe runs, reading both sides, the sweep and its
metrics. What comes back are the numbers of cells, never logits or activations.
"""

from __future__ import annotations

import functools
import importlib
import json
import warnings
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

import torch

from interp_widgets.experiments.baselines import CALLER
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.opening import ModelLike
from interp_widgets.models.shipping import say
from interp_widgets.results import errors
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.attribution import AttributionResult
from interp_widgets.results.cards import CardSet
from interp_widgets.results.changes import changed, changes
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.errors import InterpWidgetsError, ModelError, PromptError
from interp_widgets.results.examples import ExamplesResult
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.groups import GroupResult
from interp_widgets.results.head_circuits import HeadCircuits
from interp_widgets.results.head_scores import HeadScores
from interp_widgets.results.lens import LensResult
from interp_widgets.results.memories import MemoriesResult
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.probe import ProbeResult
from interp_widgets.results.projection import ProjectionResult
from interp_widgets.results.saved import Saved
from interp_widgets.results.steering import SteeringResult

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

P = ParamSpec("P")
R = TypeVar("R", bound=Saved)
Steps: TypeAlias = Generator[PatchingResult, None, PatchingResult]

_RESULTS: dict[str, type[Saved]] = {
    kind.__name__: kind
    for kind in (
        AttentionResult,
        AttributionResult,
        CardSet,
        CircuitResult,
        ExamplesResult,
        FeatureResult,
        GroupResult,
        HeadCircuits,
        HeadScores,
        LensResult,
        MemoriesResult,
        PatchingResult,
        ProbeResult,
        ProjectionResult,
        SteeringResult,
    )
}
"""What experiments return, by the name under which it travels."""


def runs_remotely(
    experiment: Callable[Concatenate[ModelLike, P], Generator[R, None, R]],
) -> Callable[Concatenate[ModelLike, P], Generator[R, None, R]]:
    """Make an experiment, whose first argument is the model, run where its argument `remote` says.

    The experiment itself need not look at `remote`. It must be found in its module under its own name.
    """

    @functools.wraps(experiment)
    def start(model: ModelLike, /, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, R]:
        remote: Any = kwargs.pop("remote", None)
        if remote is None or remote is False:
            return experiment(model, *args, **kwargs)
        _leave_tokenizer(model, kwargs)
        for name, value in kwargs.items():
            _check_travels(name, value)
        for number, value in enumerate(args):
            _check_travels(f"argument {number + 1} after the model", value)
        return RemoteSteps(model, remote, f"{experiment.__module__}:{experiment.__name__}", args, kwargs)

    return start


def _leave_tokenizer(model: Any, kwargs: dict[str, Any]) -> None:
    """Leave at home a tokenizer that the model has there too.

    Raises:
        PromptError: it is another one.
    """
    tokenizer = kwargs.pop("tokenizer", None)
    if tokenizer is not None and tokenizer is not getattr(model, "tokenizer", None):
        raise PromptError(
            "tokenizer= cannot travel to a server: the model there comes with its own. Leave it out; what another "
            "tokenizer makes of a text goes along as token ids."
        )


def _check_travels(name: str, value: object) -> None:
    if isinstance(value, Iterator):
        raise PromptError(f"{name} is {kind_of(value)}, which cannot travel to a server. Pass a list.")
    if isinstance(value, Mapping):
        for key, one in value.items():
            _check_travels(f"{name}[{key!r}]", one)
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            if not isinstance(one, (int, str)):  # nearly all that there is in long lists
                _check_travels(f"{name}[{number}]", one)


class RemoteSteps(Generator[R, None, R]):
    """The steps of an experiment on a server.

    `next` waits for the first partial result; whoever has something else to do meanwhile calls `wait` until there is
    one.
    """

    def __init__(
        self, model: Any, remote: Remote, experiment: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.note: str | None = None
        """How the job stands on the server, in words."""
        self._steps: Generator[R | None, None, R] = self._follow(model, remote, experiment, args, kwargs)
        self._first: R | None = None

    def wait(self) -> bool:
        """Listen to the server for a moment, and return whether there is a first partial result."""
        if self._first is None:
            self._first = next(self._steps)
        return self._first is not None

    def send(self, value: None, /) -> R:
        """Take a step."""
        while not self.wait():
            pass
        partial, self._first = cast("R", self._first), None
        return partial

    def throw(self, *error: Any) -> R:
        """Raise an error where the steps wait."""
        return cast("R", self._steps.throw(*error))

    def close(self) -> None:
        """Hang up."""
        self._steps.close()

    def _tell(self, note: str) -> None:
        self.note = note

    def _follow(
        self, model: Any, remote: Remote, experiment: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Generator[R | None, None, R]:
        # Not at the top: most people never go anywhere, and the server has no need to be able to.
        from interp_widgets.models.remote import run_there

        partial: R | None = None
        place = f"{__name__}:{serve.__name__}"
        with closing(run_there(model, remote, self._tell, place, experiment, args, kwargs)) as messages:
            while True:
                try:
                    line = next(messages)
                except StopIteration as stop:
                    answer: dict[str, Any] = stop.value
                    break
                if line is not None:
                    partial = _read(partial, json.loads(line))
                yield partial  # also without news, so that whoever drives this gets a turn
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return cast("R", _RESULTS[answer["kind"]].from_bytes(answer["result"]))


def _read(partial: R | None, message: Mapping[str, str]) -> R | None:
    if "warning" in message:
        warnings.warn(message["warning"], UserWarning, **CALLER)
    elif "kind" in message:
        return cast("R", _RESULTS[message["kind"]].from_bytes(zlib.decompress(b64decode(message["whole"]))))
    elif isinstance(partial, PatchingResult):
        return cast("R", changed(partial, b64decode(message["next"])))
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
            result = _run(getattr(importlib.import_module(module), name)(model, *args, **kwargs))
    except InterpWidgetsError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"kind": type(result).__name__, "result": result.to_bytes()}


def _run(steps: Generator[R, None, R]) -> R:
    before: R | None = None
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            try:
                partial = next(steps)
            except StopIteration as stop:
                result: R = stop.value
                return result
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                say(json.dumps({"warning": str(warning.message)}))
        say(json.dumps(_news(before, partial)))
        before = partial


def _news(before: Saved | None, partial: Saved) -> dict[str, str]:
    """Write down a partial result: what it adds to the one before, or for other kinds and at first the whole."""
    # The estimates of all cells come at once, and are none of the changes that follow one by one.
    if (
        isinstance(before, PatchingResult)
        and isinstance(partial, PatchingResult)
        and before.estimates == partial.estimates
    ):
        return {"next": b64encode(changes(before, partial)).decode()}
    return {"kind": type(partial).__name__, "whole": b64encode(zlib.compress(partial.to_bytes())).decode()}


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
