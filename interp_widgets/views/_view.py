"""The base of all views: a page that shows one result, follows its job, and can be saved."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import traitlets

from interp_widgets.results.errors import ResultError
from interp_widgets.views._job import Job
from interp_widgets.views._kernel import watching_loop
from interp_widgets.views._opens import Opens
from interp_widgets.views._page import Frozen, Snapshot, page
from interp_widgets.views.protocol.common import JobStatus, ReplyMessage

R = TypeVar("R")
V = TypeVar("V", bound="View[Any]")

STATIC = Path(__file__).parent.parent / "static"

_FLUSH = 0.05
"""Seconds between two messages to the page; what comes sooner is sent together."""


def _job_to_json(job: Job[Any], _view: object) -> JobStatus:
    return job.status()


class View(Opens, Generic[R]):
    """A live view of one result, which may still be computed.

    A subclass says which bundle draws it (`_esm`), how its result becomes synchronised state, and how to draw it on
    paper. Closing a view (or leaving a `with` block over it) frees what it holds in the kernel and in the page.
    """

    theme = traitlets.Enum(["auto", "light", "dark"], "auto", help="Colours; `auto` follows the notebook.").tag(
        sync=True
    )
    job = traitlets.Instance(Job, help="The work behind the view.").tag(sync=True, to_json=_job_to_json)
    _page_state: tuple[str, ...] = ("theme", "job")
    """The traits that a saved page needs."""
    _page_writes: frozenset[str] = frozenset({"theme"})
    """The traits that the page may write."""

    def __init__(self, steps: Generator[Any, None, Any], **state: object) -> None:
        """Start the work and follow it.

        Args:
            steps: yields partial results and returns the whole; errors of its first step are raised here. Where steps
                are taken on a server, and somebody watches, the view opens before the first, and is filled when it is
                there.
            state: traits of the subclass that hold whatever the result is.
        """
        self._displays: list[str] = []
        self._flushed = 0.0
        self._noted: str | None = None
        self._loop = watching_loop()
        job: Job[Any] = Job(steps, self._measure, on_step=self._on_step, on_end=self._on_end)
        if self._loop is None:
            job.begin()
        opened = {} if job.partial is None else self._open(job.partial)
        self._opened = job.partial is not None
        super().__init__(job=job, **opened, **state)
        self.on_msg(self._on_message)
        if self._loop is None:
            job.finish()
        else:
            job.start(self._loop)

    @abstractmethod
    def _measure(self, result: Any) -> tuple[int, int]:
        """How much of a result is computed, out of how much."""

    @abstractmethod
    def _open(self, result: Any) -> dict[str, object]:
        """Traits for the first partial result."""

    @abstractmethod
    def _stream(self, result: Any) -> None:
        """Send the page what is new in a partial result."""

    @abstractmethod
    def _commit(self, result: Any) -> None:
        """Bring the traits up to date with a result, so that new and saved pages have all of it."""

    @abstractmethod
    def figure(self) -> Any:
        """The view as a matplotlib figure, for print, which shows itself as the value of a cell."""

    @property
    def result(self) -> R:
        """The complete result, with what was added to it in the view: finishes the work if there is some left.

        After `job.cancel()` or an interrupt it is what was computed until then. If the experiment failed, its error is
        raised; `partial` still has what was computed.
        """
        return self._enriched(self.job.finish())

    @property
    def partial(self) -> R:
        """What is computed so far, without computing more.

        Raises:
            ResultError: nothing has come from the server yet.
        """
        return self._enriched(self._raw)

    def _enriched(self, result: Any) -> R:
        """A result with what was written or asked for in the view since. A view where that can be says what it is."""
        whole: R = result
        return whole

    @property
    def _raw(self) -> R:
        """What the work has come to, as it is."""
        if self.job.partial is None:
            how = self.job.note or self.job.error or self.job.state
            raise ResultError(f"there is no result yet ({how}). `view.result` waits for it.")
        raw: R = self.job.partial
        return raw

    def snapshot(self) -> Snapshot:
        """The view as it is now, frozen: shows in any notebook as a picture that still answers, without a kernel.

        Finishes the work first; if it fails, the page has what was computed and says so.
        """
        self._drain()
        return Snapshot(self._page())

    def to_html(self, path: str | Path) -> Path:
        """Write the view as one page that needs neither kernel nor network, with all hovering and switching.

        Finishes the work first; if it fails, the page has what was computed and says so. Returns the path.
        """
        path = Path(path)
        self._drain()
        path.write_text(self._page(), encoding="utf-8")
        return path

    def close(self) -> None:
        """Stop the work and free the view and what was opened from it, here and in the page."""
        if self.trait_has_value("job"):  # not so when the first step refused its arguments
            self.job.cancel()
        super().close()

    def __enter__(self: V) -> V:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what the page wrote; what it may not write, or is no valid value, is refused and the page set right."""
        allowed = {name: value for name, value in sync_data.items() if name in self._page_writes}
        refused = set(sync_data) - set(allowed)
        try:
            super().set_state(allowed)
        except (traitlets.TraitError, ResultError):
            refused |= set(allowed)
        if refused & set(self.keys):
            self.send_state(sorted(refused & set(self.keys)))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._output()

    def _output(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a cell shows: the live view while it is open, and its picture once the work has ended."""
        data: dict[str, Any] = {"text/plain": repr(self)}
        metadata: dict[str, Any] = {}
        if self.comm is not None:
            data, metadata = super()._repr_mimebundle_() or (data, metadata)
        if self.job.state != "running" and self.job.partial is not None:
            data["image/png"] = self.figure()._repr_png_()
        return data, metadata

    def _ipython_display_(self) -> None:
        from IPython.display import display

        data, metadata = self._output()
        handle = display(data, metadata=metadata, raw=True, display_id=True)
        if handle is not None:
            self._displays.append(handle.display_id)

    def _page(self) -> str:
        return page(self._frozen(), title=self._title(), opened=self._all_opened())

    def _frozen(self) -> Frozen:
        return Frozen(self._state_at_rest(), bundle=str(self._esm))

    def _all_opened(self) -> dict[str, Frozen]:
        """Views that were opened from this one or from one of them, by their models' ids."""
        every: dict[str, Frozen] = {}
        for view in self.opened:
            every |= {view.model_id: view._frozen(), **view._all_opened()}
        return every

    def _state_at_rest(self) -> dict[str, Any]:
        """The state for a page to which nothing more will come."""
        state: dict[str, Any] = self.get_state([*self._page_state, "links", "ways", "no_ways", "opened"])
        at_rest(state["job"])
        return state

    def _drain(self) -> None:
        """Do all the work that is left, whatever becomes of it."""
        self.job.drain()
        for view in self.opened:
            view._drain()

    @abstractmethod
    def _title(self) -> str:
        """The question that the view answers, as plain text."""

    def _on_step(self, result: Any) -> None:
        if result is None:
            if self.job.note != self._noted:  # a server says how the job stands, which may be so for hours
                self._noted = self.job.note
                self.send_state("job")
            return
        self._show(result)
        if time.monotonic() - self._flushed >= _FLUSH:
            self._stream(result)
            self.send_state("job")
            self._flushed = time.monotonic()

    def _on_end(self) -> None:
        # First, so that the page hears of the end even if somebody who observes the result fails.
        self.send_state("job")
        if self.job.partial is not None:
            self._show(self.job.partial)
            self._commit(self.job.partial)
            self._add_picture()

    def _show(self, result: Any) -> None:
        """Give a page that was opened before there was a result what it needs to show one."""
        if self._opened:
            return
        self._opened = True
        with self.hold_sync():
            for name, value in self._open(result).items():
                self.set_trait(name, value)

    def _add_picture(self) -> None:
        """Give outputs that were shown while the work went on the picture for places where no script runs."""
        if not self._displays:
            return
        from IPython.display import update_display

        data, metadata = self._output()
        for display_id in self._displays:
            update_display(data, metadata=metadata, raw=True, display_id=display_id)

    def _on_message(self, _widget: object, content: object, _buffers: object) -> None:
        """Answer the page. It may run on another thread: it sets flags and reads results, and never runs the model."""
        match content:
            case {"kind": "cancel"}:
                self.job.cancel()
            case {"kind": "resync"}:
                if self.job.partial is not None:
                    self._commit(self.job.partial)
            case {"kind": "request", "id": str(request), "name": "html"}:
                self._reply(request, self._page)
            case {"kind": "request", "id": str(request), "name": "open", "way": str(way), "place": dict(place)}:
                self._on_loop(lambda: self._reply(request, lambda: self._request_open(way, place)))
            case {"kind": "close", "model": str(model)}:
                self._on_loop(lambda: self._close_opened(model))
            case _:
                self.log.warning("interp_widgets: refused an unknown message from the page")

    def _request_open(self, way: str, place: Mapping[str, Any]) -> str:
        """Open what the page asks for; it runs where the work is done. The answer is the id of its model."""
        if self._loop is None:
            raise ResultError("nothing runs between cells here. Call drill on the view.")
        return str(self.drill(way, place).model_id)

    def _close_opened(self, model: str) -> None:
        for view in self.opened:
            if view.model_id == model:
                view.close()

    def _reply(self, request: str, answer: Callable[[], str]) -> None:
        reply: ReplyMessage
        try:
            reply = {"kind": "reply", "id": request, "ok": True, "value": answer()}
        except Exception as error:  # whatever it is, the page waits for an answer
            reply = {"kind": "reply", "id": request, "ok": False, "value": f"{type(error).__name__}: {error}"}
        self.send(reply)

    def _on_loop(self, action: Callable[[], object]) -> None:
        """Do something where the work is done, which a message may not be: between two steps, on the loop's thread."""
        if self._loop is None:
            action()
        else:
            self._loop.call_soon_threadsafe(action)


def at_rest(job: JobStatus) -> None:
    """Say of a job that nothing more will come of it."""
    if job["state"] == "running":
        job["state"], job["note"] = "cancelled", None
