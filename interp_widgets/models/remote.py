"""Run a function of this package beside a model on a server that speaks nnsight's protocol, and hear from it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from typing import Any, TypeAlias

import cloudpickle
import httpx
import nnsight
import websocket
from nnsight.intervention.backends.remote import AsyncRemoteBackend, RemoteBackend, RemoteError
from nnsight.intervention.serialization import dumps
from nnsight.ndif import pull_env
from nnsight.schema.response import ResponseModel, Status

from interp_widgets.models import shipping
from interp_widgets.models.numbers import kind_of
from interp_widgets.models.shipping import pack, run
from interp_widgets.results.errors import ModelError, RemoteRunError

Remote: TypeAlias = "bool | str | RemoteBackend"
"""False to run here, True for NDIF, the address of another server, or an nnsight `RemoteBackend`."""

_TICK = 0.1
"""Seconds without news after which the caller gets a turn."""

_STATES = {
    Status.RECEIVED: "received",
    Status.QUEUED: "in the queue",
    Status.PROVISIONING: "being given a machine",
    Status.DEPLOYING: "waiting for the model to load",
    Status.DISPATCHED: "sent to the model",
    Status.RUNNING: "running",
}
"""Where a job is that goes on."""


class _Submitting(AsyncRemoteBackend):  # type: ignore[misc]  # nnsight has no types
    """Sends a request and leaves the waiting to `run_there`; what a user's own backend does with updates is done."""

    def __init__(self, own: RemoteBackend, tell: Callable[[str], None]) -> None:
        self.__dict__.update(own.__dict__)
        self.own = own
        self.tell = tell
        self.connection: Any = None

    def note(self, response: ResponseModel) -> bool:
        if response.status in _STATES:
            # What a server says of a job that runs is only that.
            more = "" if response.status is Status.RUNNING else response.description
            self.tell(f"{_STATES[response.status]} at {self.host}{f': {more}' if more else ''}")
        completed: bool = self.own.note(response)
        return completed

    def next_update(self) -> ResponseModel | None:
        """Wait a moment for the next update."""
        try:
            message = self.connection.recv()
        except websocket.WebSocketTimeoutException:
            return None
        if not message:
            raise websocket.WebSocketConnectionClosedException("the server closed it")
        return self.parse(message)

    def close(self) -> None:
        """Hang up at once, whoever hung up first."""
        if self.connection is not None:
            self.connection.close(timeout=0)
            self.connection.shutdown()


def run_there(
    model: Any, remote: Remote, tell: Callable[[str], None], place: str, *arguments: Any
) -> Generator[str | None, None, Any]:
    """Call a function beside the model on a server, in one job.

    Args:
        model: nnsight's model, which names the one on the server; its weights are not needed here.
        remote: which server.
        tell: called whenever the job's state changes, with what the server says of it.
        place: the function, as in `shipping.run`; it gets the server's model first.
        arguments: what else it gets.

    Yields:
        Each line that it says (`shipping.say`), and None where it says nothing.

    Returns:
        What it returns, which must not hold anything of this package.

    Raises:
        ModelError: a model that a server cannot know.
        RemoteRunError: no server, a lost connection, or an error on the server.
    """
    backend = _Submitting(_backend(model, remote), tell)
    nnsight.register(shipping.__name__)
    pull_env()  # so that what a user's own files define travels with the arguments
    parcel, packed = pack(), _packed(arguments)
    try:
        with _explained(backend):
            with model.session(backend=backend):
                answer = nnsight.save(run(parcel, place, model, packed))  # noqa: F841 - travels by its name
            backend.connection.settimeout(_TICK)
        return (yield from _follow(backend))
    finally:
        backend.close()


def _packed(arguments: Any) -> bytes:
    """Pickle arguments so that what is ours is named, and found in the parcel.

    nnsight would send along what lies in the working directory, as this package does for those who work on it.

    Raises:
        RemoteRunError: something cannot be pickled, with its name.
    """
    package = sys.modules[shipping.PACKAGE]
    with ExitStack() as after:
        with suppress(ValueError):  # it is installed
            cloudpickle.unregister_pickle_by_value(package)
            after.callback(cloudpickle.register_pickle_by_value, package)
        try:
            packed: bytes = dumps(arguments)
        except Exception as error:  # whatever an object says that cannot be pickled
            name = next((name for name, value in _named(arguments) if not _packs(value)), "An argument")
            raise RemoteRunError(
                f"{name} cannot travel to a server: {error}. Pass plain values, lists, arrays or tensors."
            ) from error
    return packed


def _named(arguments: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for part in arguments:
        if isinstance(part, Mapping):
            yield from ((f"{name}=", value) for name, value in part.items())
        elif isinstance(part, (list, tuple)):
            yield from ((f"Argument {number + 1} after the model", value) for number, value in enumerate(part))


def _packs(value: Any) -> bool:
    try:
        dumps(value)
    except Exception:  # as above
        return False
    return True


def _follow(backend: _Submitting) -> Generator[str | None, None, Any]:
    while True:
        with _explained(backend):
            response = backend.next_update()
        if response is None:
            backend.display.refresh()
            yield None
        elif response.status is Status.LOG and response.description.startswith(shipping.MARK):
            yield response.description.removeprefix(shipping.MARK)
        else:
            with _explained(backend):
                if backend.note(response):
                    return backend.download_result(response.data)["answer"]
            yield None


def _backend(model: Any, remote: Remote) -> RemoteBackend:
    if not hasattr(model, "to_model_key"):
        raise ModelError(
            f"remote= needs a model that a server can know by its name, and this is {kind_of(model)}. Pass "
            "nnsight's TransformersModel of a repository id, for instance "
            'TransformersModel("openai-community/gpt2", task="text-generation").'
        )
    if isinstance(remote, RemoteBackend):
        return remote
    if remote is not True and not (isinstance(remote, str) and remote.startswith(("http://", "https://"))):
        raise RemoteRunError(
            f"remote={remote!r} names no server. Pass True for NDIF, the address of a server such as "
            '"https://host", or an nnsight RemoteBackend.'
        )
    try:
        return model._remote_backend(remote, blocking=True, job_id=None, verbose=False)
    except Exception as error:  # of the hub, which nnsight asks for the model's full name
        raise RemoteRunError(
            f"The model's name on the server could not be found out: {error}. Is the hub in reach? A RemoteBackend "
            "with a `model_key` of your own does not need it."
        ) from error


@contextmanager
def _explained(backend: RemoteBackend) -> Iterator[None]:
    """Say in words what went wrong between here and there."""
    try:
        yield
    except RemoteError as error:
        said = (str(error).strip().splitlines() or ["nothing"])[-1]
        if said.startswith("ModuleNotFoundError"):
            said += '. A module of your own goes along after nnsight.register("its_name").'
        raise RemoteRunError(f"{backend.host} could not do the run. It says: {said}{_drift(backend)}") from error
    except (websocket.WebSocketException, httpx.HTTPError, OSError) as error:
        what = "was lost" if getattr(backend, "connection", None) else "could not be made"
        raise RemoteRunError(
            f"The connection to {backend.host} {what}: {str(error).rstrip('.') or type(error).__name__}. "
            "Check the address and the network, and run again."
        ) from error


def _drift(backend: RemoteBackend) -> str:
    """Say which versions differ on the server, as far as it tells."""
    try:
        there = httpx.get(f"{backend.host}/env", timeout=5).raise_for_status().json()
        python, packages = there["python_version"].split()[0], there["packages"]
    except (httpx.HTTPError, ValueError, KeyError, AttributeError, TypeError):
        return ""
    pairs = {"Python": (python, platform.python_version())}
    pairs |= {
        name: (packages[name], version(name)) for name in ("nnsight", "torch", "transformers") if name in packages
    }
    differing = [f"{name} {far} there and {near} here" for name, (far, near) in pairs.items() if far != near]
    return f"\nVersions differ, which may be the reason: {', '.join(differing)}." if differing else ""
