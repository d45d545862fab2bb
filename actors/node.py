"""Start, stop and ask a node, from outside of it.

`run_node` is all that a composition root needs. The starter keeps out of trading: it starts
Thespian, hands the tree to the node supervisor, watches it, and in the end leaves no process.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from thespian.actors import ActorSystem, ActorSystemException

from actors.control import load_program, run_dir
from actors.node_actor import NodeActor
from actors.node_door import connect_in
from actors.node_lock import POLL_S, NodeBusyError, NodeLock, is_locked
from actors.node_messages import (
    MESSAGE_BYTES_MAX,
    Beat,
    FromNode,
    HostAnswer,
    HostQuery,
    NodeEnded,
    NodeEvent,
    NodeOptions,
    NodeStatus,
    StartNode,
    StatusQuery,
    StopNode,
    ToNode,
    decode_from_node,
    encode_node,
)
from actors.thespian_patch import create_cookie, install
from config.logging import get_logger

log = get_logger(__name__)

OnEvent = Callable[[dict[str, Any]], None]

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # could not start, gave up, or was killed
BEAT_PERIOD_S: Final = 0.5
PAUSE_S_MIN: Final = 1.0  # we ourselves were stopped this long: nobody else is to blame
STOP_MARGIN_S: Final = 5.0  # beyond the hosts' own deadlines


class NodeStartError(Exception):
    """The node cannot start; the message is one sentence for the operator."""


class NodeUnreachableError(Exception):
    """No node runs on this data directory, or it does not answer."""


def run_node(options: NodeOptions, on_event: OnEvent = lambda event: None) -> int:
    """Run a node until SIGTERM, SIGINT, SIGHUP or `stop_node`; return the exit code.

    `on_event` is told of progress: {"event": "ready"}, supervisors' reports, reports of hosts.
    A second signal ends the node hard.

    Raises:
        NodeStartError: in one sentence, before anything was started.
    """
    node = RunningNode(options, on_event)
    with _signals(node.request_stop):
        return node.run()


def start_node(options: NodeOptions, on_event: OnEvent = lambda event: None) -> "RunningNode":
    """Start a node and return when all its hosts are ready.

    Raises:
        NodeStartError: it did not become ready; nothing of it is left.
    """
    node = RunningNode(options, on_event)
    node.start()
    return node


def stop_node(data_dir: str | Path, timeout_s: float = 120.0) -> bool:
    """Stop the node on `data_dir` in order; return False if none was running.

    Raises:
        NodeUnreachableError: it does not answer, or not all of it ended in time.
    """
    deadline = time.monotonic() + timeout_s
    directory = run_dir(data_dir)
    if not is_locked(directory):
        return False
    _ask(data_dir, StopNode(), timeout_s)
    while is_locked(directory):
        if time.monotonic() > deadline:
            raise NodeUnreachableError(f"The node on {data_dir} did not stop in {timeout_s:.0f} s.")
        time.sleep(POLL_S)
    return True


def node_status(data_dir: str | Path, timeout_s: float = 5.0) -> NodeStatus:
    """Return what the node supervisor on `data_dir` knows.

    Raises:
        NodeUnreachableError: no node, or no answer in time.
    """
    answer = _ask(data_dir, StatusQuery(), timeout_s)
    if not isinstance(answer, NodeStatus):
        raise NodeUnreachableError(f"The node on {data_dir} gave no status.")
    return answer


def ask_host(
    data_dir: str | Path, host: str, name: str, body: bytes = b"", timeout_s: float = 5.0
) -> HostAnswer:
    """Return the answer of one host's program to the request `name`.

    Raises:
        NodeUnreachableError: no node, or no answer in time.
    """
    answer = _ask(data_dir, HostQuery(host, name, body), timeout_s)
    if not isinstance(answer, HostAnswer):
        raise NodeUnreachableError(f"The node on {data_dir} gave no answer of {host}.")
    return answer


def _ask(data_dir: str | Path, message: ToNode, timeout_s: float) -> FromNode:
    try:
        with connect_in(run_dir(data_dir), timeout_s) as connection:
            connection.send(encode_node(message))
            data = connection.recv(MESSAGE_BYTES_MAX)
    except OSError as error:
        sentence = f"No node answers on {data_dir}: {error}."
        raise NodeUnreachableError(sentence) from error
    if not data:
        raise NodeUnreachableError(f"The node on {data_dir} closed the connection.")
    return decode_from_node(data)


class RunningNode:
    """A node as its starter holds it."""

    def __init__(self, options: NodeOptions, on_event: OnEvent) -> None:
        self._options = options
        self._on_event = on_event
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stops_asked = 0
        self._is_ready = False
        self._ended: NodeEnded | None = None
        self._lock: NodeLock | None = None
        self._socket: socket.socket | None = None
        self._group = 0
        self._node_pidfd = -1
        self._beats = 0
        self._beat_at_s = 0.0  # when the last beat was sent
        self._heard_at_s = 0.0

    def request_stop(self) -> None:
        """Ask for the orderly stop; a second time: for the hard one. Safe in a signal handler."""
        os.eventfd_write(self._stop_fd, 1)

    def run(self) -> int:
        """Start if needed, run until told to stop or ended, and return the exit code.

        Raises:
            NodeStartError: in one sentence, before anything was started.
        """
        if self._lock is None:
            self._begin()
        deadline_s: float | None = None
        while self._ended is None:
            if self._stops_asked and deadline_s is None:
                stop_s = (len(self._options.hosts) + 1) * self._options.stop_timeout_ms / 1000
                deadline_s = time.monotonic() + stop_s + STOP_MARGIN_S
                self._send(StopNode())
            if self._stops_asked > 1 or (deadline_s and time.monotonic() > deadline_s):
                self._ended = NodeEnded(EXIT_FAILED, "killed: it did not stop in time")
                break
            self._turn()
        return self._end()

    def start(self) -> None:
        """Return when all hosts are ready.

        Raises:
            NodeStartError: they did not become ready; nothing of the node is left.
        """
        self._begin()
        while not self._is_ready and self._ended is None and not self._stops_asked:
            self._turn()
        if not self._is_ready:
            reason = self._ended.reason if self._ended else "stopped before it was ready"
            self.run()
            raise NodeStartError(f"The node did not start: {reason}.")

    # ------------------------------------------------------------------ start

    def _begin(self) -> None:
        options = self._options
        directory = run_dir(options.data_dir)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        for host in options.hosts:
            try:
                load_program(host.kind)  # here, once: forks share it, restarts are quick
            except KeyError:
                sentence = f"Host {host.name} is of an unknown kind: {host.kind}."
                raise NodeStartError(sentence) from None
        try:
            self._lock = NodeLock.take(directory)
        except NodeBusyError as error:
            raise NodeStartError(str(error)) from error
        try:
            _check_port(options)
            cookie = options.cookie_file or str(Path(options.data_dir) / "cookie")
            install(create_cookie(cookie), options.bind_address, directory / "thespian.log")
            self._start_actors()
        except BaseException:
            self._clean_up()
            raise

    def _start_actors(self) -> None:
        options = self._options
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._socket = ours
        starter_pidfd = os.pidfd_open(os.getpid())  # taken here: nobody else can have our pid
        start = StartNode(options, theirs.fileno(), starter_pidfd)
        gc.collect()
        gc.freeze()  # what exists now is shared with all forks: collecting would copy its pages
        try:
            system = ActorSystem(
                "multiprocTCPBase", {"Admin Port": options.admin_port}, transientUnique=True
            )
            system.tell(system.createActor(NodeActor), encode_node(start))
        except ActorSystemException as error:
            raise NodeStartError(f"Thespian did not start: {error}.") from error
        finally:
            theirs.close()
            os.close(starter_pidfd)
        self._heard_at_s = self._beat_at_s = time.monotonic()

    # ------------------------------------------------------------------ life

    def _turn(self) -> None:
        """Wait for the next thing to happen, and see to it."""
        assert self._socket is not None
        watched = [self._socket.fileno(), self._stop_fd]
        if self._node_pidfd >= 0:
            watched.append(self._node_pidfd)
        ready, _, _ = select.select(watched, [], [], BEAT_PERIOD_S / 2)
        if self._stop_fd in ready:
            self._stops_asked += os.eventfd_read(self._stop_fd)
        if self._socket.fileno() in ready:
            self._receive()
        if self._ended is None and self._node_pidfd in ready:
            self._ended = NodeEnded(EXIT_FAILED, "the node supervisor died")
        self._beat()

    def _receive(self) -> None:
        assert self._socket is not None
        while True:
            try:
                data = self._socket.recv(MESSAGE_BYTES_MAX)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                self._ended = self._ended or NodeEnded(EXIT_FAILED, "the node supervisor died")
                return
            self._heard_at_s = time.monotonic()
            message = decode_from_node(data)
            if isinstance(message, NodeEvent):
                self._event(message.event)
            elif isinstance(message, NodeEnded):
                self._ended = message
                return

    def _event(self, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            self._group = event["group"]
            # A pid that is used again in this instant would be seen by the missing beats.
            with contextlib.suppress(ProcessLookupError):
                self._node_pidfd = os.pidfd_open(event["pid"])
        elif event["event"] == "ready":
            self._is_ready = True
        self._on_event(event)

    def _beat(self) -> None:
        now_s = time.monotonic()
        if now_s - self._beat_at_s > BEAT_PERIOD_S + PAUSE_S_MIN:
            self._heard_at_s = now_s
        elif now_s - self._heard_at_s > self._options.hang_deadline_ms / 1000:
            self._ended = self._ended or NodeEnded(EXIT_FAILED, "the node supervisor hung")
            return
        if now_s - self._beat_at_s >= BEAT_PERIOD_S:
            self._beat_at_s = now_s
            self._beats += 1
            self._send(Beat(self._beats))

    def _send(self, message: ToNode) -> None:
        """Best effort: a full buffer means that the node supervisor hangs, which is noticed."""
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.send(encode_node(message))

    # ------------------------------------------------------------------ end

    def _end(self) -> int:
        assert self._ended is not None
        ended = self._ended
        if not self._clean_up():
            ended = NodeEnded(EXIT_FAILED, "some of its processes did not end")
        if ended.exit_code == EXIT_OK:
            log.info("node_stopped")
        else:
            log.error("node_failed", reason=ended.reason)
        self._on_event({"event": "ended", "exit_code": ended.exit_code, "reason": ended.reason})
        return ended.exit_code

    def _clean_up(self) -> bool:
        """Kill what is left of the node; return whether all is gone."""
        if self._group > 0 and self._group != os.getpgid(0):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)
        is_gone = True
        if self._lock is not None:
            is_gone = self._lock.wait_until_alone()
            self._lock.close()
        if self._socket is not None:
            self._socket.close()
        for descriptor in (self._stop_fd, self._node_pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self._stop_fd = self._node_pidfd = -1
        return is_gone


def _check_port(options: NodeOptions) -> None:
    """Thespian would take any program on that port for its Admin, and wait 14 s for its answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.bind_address, options.admin_port))
        except OSError as error:
            raise NodeStartError(
                f"Port {options.admin_port} on {options.bind_address} cannot be used: "
                f"{error.strerror}."
            ) from error


@contextlib.contextmanager
def _signals(request_stop: Callable[[], None]) -> Iterator[None]:
    before = {
        number: signal.signal(number, lambda *_: request_stop())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
