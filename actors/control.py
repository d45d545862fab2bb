"""Between the node supervisor and its hosts: what they say, and what a host's program sees.

A program is `async def run(spec: HostSpec, control: HostControl) -> None`. It runs on the loop
thread of its host, calls `control.ready()` once recovered, and returns after `control.stopping` is
set. One that raises, or returns unasked, ends its host with a non-zero code and an exit record.
"""

import asyncio
import collections
import importlib
import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from config.logging import get_logger

log = get_logger(__name__)

REPORTS_WAITING_MAX: Final = 1_000  # beyond: a further report is dropped and counted
TRACEBACK_CHARS_MAX: Final = 16_000  # the end of it is kept

Program = Callable[["HostSpec", "HostControl"], Coroutine[Any, Any, None]]
RequestHandler = Callable[[bytes], bytes | Awaitable[bytes]]

HOST_PROGRAMS: dict[str, str] = {
    "shards": "actors.shard_host:run",
    "projection": "actors.projection:run",
    "gateway": "actors.gateway.host:run",
}


class HostSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One host of a node: an OS process. Given by the composition root."""

    name: str  # unique in the node, such as "accounts-1"
    kind: str  # a key of HOST_PROGRAMS
    data_dir: str  # of the node
    config: bytes = b""  # encoded settings, for the program alone
    incarnation: int = 0  # Unix time in ns of this start; assigned by the node supervisor


class Start(msgspec.Struct, frozen=True, array_like=True, tag=1):
    spec: HostSpec
    stop_timeout_ms: int


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Answered by the loop thread through the actor thread: a Pong proves that both are alive."""

    number: int


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """For one incarnation: recorded by a stranger and sent again, it stops nothing."""

    incarnation: int


class Request(msgspec.Struct, frozen=True, array_like=True, tag=4):
    request_id: int
    name: str
    body: bytes


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=11):
    incarnation: int
    number: int
    frames_refused: int  # by this process, since its start


class Started(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The process is there, its program is about to run."""

    incarnation: int
    pid: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=13):
    incarnation: int


class Report(msgspec.Struct, frozen=True, array_like=True, tag=14):
    incarnation: int
    event: dict[str, Any]


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=15):
    request_id: int
    body: bytes
    error: str = ""  # empty: answered


ToHost = Start | Ping | Stop | Request
FromHost = Pong | Started | Ready | Report | Reply

encode_control: Final = msgspec.msgpack.Encoder().encode
decode_to_host: Final[Callable[[bytes], ToHost]] = msgspec.msgpack.Decoder(ToHost).decode
decode_from_host: Final[Callable[[bytes], FromHost]] = msgspec.msgpack.Decoder(FromHost).decode


class ExitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Why a host ended, by its own hand. Exits carry no reason in Thespian, so a file does.

    No record of an incarnation: it was killed, or died without a word.
    """

    name: str
    incarnation: int
    pid: int
    reason: str  # "shutdown", "error", "returned", "stop_timeout"
    error: str = ""
    traceback: str = ""


def run_dir(data_dir: str | Path) -> Path:
    """Return where a node keeps what concerns only its present run: records, pids, the lock."""
    return Path(data_dir) / "run"


def write_exit_record(spec: HostSpec, reason: str, error: str = "", traceback: str = "") -> None:
    """Replace the exit record of this host. One per host name, so bounded.

    Raises:
        OSError: it cannot be written; the exit then reads as a kill.
    """
    record = ExitRecord(
        name=spec.name,
        incarnation=spec.incarnation,
        pid=os.getpid(),
        reason=reason,
        error=error,
        traceback=traceback[-TRACEBACK_CHARS_MAX:],
    )
    path = run_dir(spec.data_dir) / f"exit-{spec.name}.json"
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(record))
    draft.replace(path)


def read_exit_record(data_dir: str | Path, name: str, incarnation: int) -> ExitRecord | None:
    """Return the record of this incarnation, or None if it left none."""
    try:
        content = (run_dir(data_dir) / f"exit-{name}.json").read_bytes()
        record = msgspec.json.decode(content, type=ExitRecord)
    except (OSError, msgspec.MsgspecError):
        return None
    return record if record.incarnation == incarnation else None


def load_program(kind: str, programs: Mapping[str, str] = HOST_PROGRAMS) -> Program:
    """Return the program of `kind`.

    Raises:
        KeyError: no such kind.
        ImportError, AttributeError: its module does not have it: a bug.
    """
    module, _, function = programs[kind].partition(":")
    program: Program = getattr(importlib.import_module(module), function)
    return program


class HostControl:
    """What a program has of its host. For the loop thread alone."""

    def __init__(self, spec: HostSpec, outlet: "Outlet") -> None:
        self.spec = spec
        self.stopping = asyncio.Event()
        self._outlet = outlet
        self._handlers: dict[str, RequestHandler] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ready(self) -> None:
        """Tell the node supervisor that recovery is done: the next host may start."""
        self._outlet.put(encode_control(Ready(self.spec.incarnation)))

    def report(self, event: dict[str, Any]) -> None:
        """Send the node supervisor a fact about this host; best effort."""
        self._outlet.put_report(encode_control(Report(self.spec.incarnation, event)))

    def on(self, name: str, handler: RequestHandler) -> None:
        """Answer requests called `name`, such as "status", with what `handler` returns.

        A handler that raises is answered with its error; it does not end the host, because an
        operator's question must not.
        """
        self._handlers[name] = handler

    def handle_request(self, request: Request) -> None:
        """Run the handler and send its answer. Called by the host."""
        task = asyncio.get_running_loop().create_task(self._answer(request))
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        handler = self._handlers.get(request.name)
        if handler is None:
            reply = Reply(request.request_id, b"", f"no request {request.name!r} here")
        else:
            try:
                answer = handler(request.body)
                body = await answer if inspect.isawaitable(answer) else answer
                reply = Reply(request.request_id, body)
            except Exception as error:  # see `on`
                log.warning("request_failed", request=request.name, exc_info=True)
                reply = Reply(request.request_id, b"", f"{type(error).__name__}: {error}")
        self._outlet.put(encode_control(reply))


class Outlet:
    """Messages from the loop thread to the actor thread, which alone may send them.

    Appending to a deque is atomic in CPython; the eventfd wakes the actor thread once for many.
    """

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.reports_dropped = 0
        self._waiting: collections.deque[bytes] = collections.deque()
        self._is_armed = False

    def put(self, message: bytes) -> None:
        """For answers: there are never more of them than questions."""
        self._waiting.append(message)
        if not self._is_armed:
            self._is_armed = True
            os.eventfd_write(self.descriptor, 1)

    def put_report(self, message: bytes) -> None:
        """For reports: refused and counted while too many messages wait."""
        if len(self._waiting) >= REPORTS_WAITING_MAX:
            self.reports_dropped += 1
        else:
            self.put(message)

    def take(self) -> list[bytes]:
        """Return all that waits. For the actor thread, when the descriptor is readable."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return []
        self._is_armed = False  # before draining: what comes later writes to the eventfd again
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken
