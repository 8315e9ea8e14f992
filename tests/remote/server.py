"""A server that speaks nnsight's protocol, for a process in which interp_widgets cannot be imported.

Run as `python -I -S server.py SITE_PACKAGES FOLDER`: without `site` no .pth file is read, so an editable install is not
found. It prints its port. The API key of a request says how it is to go wrong.
"""

import asyncio
import contextlib
import importlib
import io
import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

sys.path.append(sys.argv[1])

import torch
from nnsight import TransformersModel
from nnsight.intervention.serialization import CustomCloudUnpickler
from nnsight.schema.request import RequestModel
from nnsight.schema.response import ResponseModel, Status
from nnsight.tracing.tracer import _saves, dec, inc
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

PACKAGE = "interp_widgets"


def check_package_is_missing():
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(PACKAGE)
        raise AssertionError(f"{PACKAGE} can be imported here")
    assert not any(name.partition(".")[0] == PACKAGE for name in sys.modules)


class Apart(CustomCloudUnpickler):
    """Like a server that runs requests in a process of their own: the model's modules are elsewhere."""

    def persistent_load(self, pid):
        return super().persistent_load(pid) if pid == "Interleaver" else None


class Lines(io.TextIOBase):
    """Standard output of a job: each line is an update."""

    def __init__(self, job):
        self.job, self.rest = job, ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.job.tell(Status.LOG, line)
        return len(text)


class Job:
    def __init__(self, request, blob, key):
        self.id, self.request, self.blob, self.key = uuid.uuid4().hex, request, blob, key
        self.socket = sockets[request.session_id]
        self.lines = 0

    def tell(self, status, description="", **rest):
        self.lines += status is Status.LOG
        if self.lines == 3 and self.key in ("drop", "close"):
            gone = self.socket.ws_connection.stream if self.key == "drop" else self.socket
            loop.call_soon_threadsafe(gone.close)
            raise ConnectionError
        response = ResponseModel(id=self.id, status=status, description=description, **rest)
        message = response.pickle() if isinstance(response.data, bytes) else response.model_dump_json()
        loop.call_soon_threadsafe(self.socket.write_message, message, isinstance(message, bytes))

    def run(self):
        for status, words in ((Status.QUEUED, "You are number 2."), (Status.QUEUED, "You are number 1.")):
            self.tell(status, words)
        self.tell(Status.RUNNING, "Your job has started running.")
        try:
            result = self.execute()
            check_package_is_missing()
            self.tell(Status.COMPLETED, data=result)
        except ConnectionError:
            return
        except Exception as error:
            self.tell(Status.ERROR, f"Traceback (most recent call last):\n{type(error).__name__}: {error}")

    def execute(self):
        if self.key == "break":
            raise RuntimeError("CUDA out of memory on the server")
        unpickler = Apart if self.key == "model apart" else CustomCloudUnpickler
        objects = model._remoteable_persistent_objects()
        tracer = RequestModel.deserialize(self.blob, objects, self.request.compress, unpickler)
        half = self.key == "half precision"  # as a server does that holds its model so
        torch.set_default_dtype(torch.bfloat16 if half else torch.float32)
        inc()
        try:
            with contextlib.redirect_stdout(Lines(self)), torch.autocast("cpu", torch.bfloat16, enabled=half):
                tracer.execute(tracer.info.code)
            names = tracer.info.frame.f_locals
            saved = {name: value for name, value in names.items() if id(value) in _saves()}
        finally:
            dec()
            torch.set_default_dtype(torch.float32)
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        content = buffer.getvalue()
        if self.request.compress:
            content = importlib.import_module("zstandard").ZstdCompressor().compress(content)
        return content


class Subscribe(WebSocketHandler):
    def open(self):
        session = uuid.uuid4().hex
        sockets[session] = self
        self.write_message(json.dumps({"session_id": session}))


class Request(RequestHandler):
    def post(self):
        key = self.request.headers.get("ndif-api-key", "")
        if key == "unknown":
            self.set_status(401)
            self.finish({"detail": "This API key is not known."})
            return
        request = RequestModel.model_validate_json(self.get_argument("data"))
        job = Job(request, self.request.files["blob"][0]["body"], key)
        self.finish(ResponseModel(id=job.id, status=Status.RECEIVED).model_dump_json())
        loop.run_in_executor(one_at_a_time, job.run)


class Env(RequestHandler):
    def get(self):
        self.finish({"python_version": "3.10.1 (main)", "packages": {"nnsight": "0.8.0", "torch": torch.__version__}})


async def main():
    app = Application([("/subscribe", Subscribe), ("/request", Request), ("/env", Env)])
    server = app.listen(0, "127.0.0.1")
    print(next(iter(server._sockets.values())).getsockname()[1], flush=True)
    await asyncio.Event().wait()


check_package_is_missing()
torch.set_num_threads(1)
model = TransformersModel(sys.argv[2], task="text-generation", dispatch=True)
sockets = {}
one_at_a_time = ThreadPoolExecutor(1)
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
