"""The OS processes of a node's hosts: started, pinged, and killed when they do not answer.

Exits are noticed through a pidfd, which cannot be lost, repeated, or mistaken for another process;
Thespian's own notice is only a second hint. Runs on the actor thread of the node supervisor.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from thespian.actors import Actor, ActorAddress

from actors.control import (
    FromHost,
    HostSpec,
    Ping,
    Pong,
    Ready,
    Reply,
    Report,
    Request,
    Start,
    Started,
    Stop,
    encode_control,
    read_exit_record,
)
from config.logging import get_logger
from supervision.port import Timers
from supervision.reason import SHUTDOWN, ExitKind, ExitReason, error_reason

log = get_logger(__name__)

PINGS_WAITING_MAX: Final = 10  # far below the number at which Thespian's send() blocks
FORK_RETRY_MS: Final = 500  # the restart window would be used up in no time otherwise
PAUSE_NS_MIN: Final = 1_000_000_000  # we ourselves were stopped this long: nobody else is to blame


class HostForkError(Exception):
    """No process could be started."""


class ChildProcess(Protocol):
    """What is needed of a multiprocessing.Process."""

    @property
    def pid(self) -> int | None: ...

    @property
    def exitcode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""


class HostActors(Protocol):
    """What is needed of the Thespian actor that is the hosts' parent."""

    def create(self, actor_class: type[Actor]) -> tuple[ActorAddress, ChildProcess]:
        """Fork a child actor; return its address and process.

        Raises:
            HostForkError: the operating system has no process for us now.
        """

    def send(self, targetAddr: ActorAddress, msg: object) -> None: ...  # noqa: N803


@dataclass(frozen=True, slots=True)
class HostHandle:
    """One incarnation of a host."""

    name: str
    incarnation: int


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """One host as the node supervisor sees it."""

    name: str
    kind: str
    phase: str  # "starting", "ready", "stopping"
    pid: int
    incarnation: int
    silent_ms: int  # since its last answer
    starts: int  # of this host in this run of the node; more than 1: it was restarted
    frames_refused: int


@dataclass(slots=True)
class _Host:
    spec: HostSpec
    handle: HostHandle
    address: ActorAddress
    process: ChildProcess
    pid: int
    pidfd: int
    on_ready: Callable[[], None]
    on_exit: Callable[[ExitReason], None]
    heard_at_ns: int
    phase: str = "starting"
    pings_sent: int = 0
    pong_number: int = 0
    frames_refused: int = 0
    killed_for: ExitReason | None = None


class HostProcesses:
    """All live hosts of this node. Bounded by the number of host specs."""

    def __init__(
        self,
        actors: HostActors,
        actor_class: type[Actor],
        timers: Timers,
        clock_ns: Callable[[], int],
        *,
        hang_deadline_ms: int,
        ping_period_ms: int,
        stop_timeout_ms: int,
        on_report: Callable[[str, dict[str, object]], None],
        on_reply: Callable[[Reply], None],
    ) -> None:
        self._actors, self._actor_class = actors, actor_class
        self._timers, self._clock_ns = timers, clock_ns
        self._hang_deadline_ns = hang_deadline_ms * 1_000_000
        self._ping_period_ms = ping_period_ms
        self._stop_timeout_ms = stop_timeout_ms
        self._on_report, self._on_reply = on_report, on_reply
        self._hosts: dict[int, _Host] = {}  # by incarnation
        self._by_pidfd: dict[int, _Host] = {}
        self._starts: dict[str, int] = {}  # by name
        self._incarnation = 0
        self._checked_at_ns = clock_ns()
        timers.after(ping_period_ms, self._check)

    def launch(
        self,
        spec: HostSpec,
        on_ready: Callable[[], None],
        on_exit: Callable[[ExitReason], None],
    ) -> HostHandle:
        """Start a host. `on_ready` is called once if it becomes ready, `on_exit` once for sure."""
        # Unix time, so that a later run of the node has higher ones; strictly rising within it.
        self._incarnation = max(self._incarnation + 1, time.time_ns())
        spec = msgspec.structs.replace(spec, incarnation=self._incarnation)
        self._starts[spec.name] = self._starts.get(spec.name, 0) + 1
        handle = HostHandle(spec.name, spec.incarnation)
        try:
            address, process = self._actors.create(self._actor_class)
        except HostForkError as error:
            failed = error_reason(str(error))
            self._timers.after(FORK_RETRY_MS, lambda: on_exit(failed))
            return handle
        pid = process.pid
        assert pid is not None
        host = _Host(
            spec=spec,
            handle=handle,
            address=address,
            process=process,
            pid=pid,
            pidfd=os.pidfd_open(pid),  # our own child, not reaped yet: certainly this process
            on_ready=on_ready,
            on_exit=on_exit,
            heard_at_ns=self._clock_ns(),
        )
        self._hosts[spec.incarnation] = self._by_pidfd[host.pidfd] = host
        self._actors.send(address, encode_control(Start(spec, self._stop_timeout_ms)))
        log.info("host_started", name=spec.name, pid=pid, incarnation=spec.incarnation)
        return handle

    def ask_to_stop(self, handle: HostHandle) -> bool:
        """Ask a host to drain and end; False if there is no such host (any more)."""
        host = self._hosts.get(handle.incarnation)
        if host is None:
            return False
        host.phase = "stopping"
        self._actors.send(host.address, encode_control(Stop(handle.incarnation)))
        return True

    def kill(self, handle: HostHandle, why: str) -> bool:
        """SIGKILL a host; False if there is no such host (any more)."""
        host = self._hosts.get(handle.incarnation)
        if host is None:
            return False
        if host.killed_for is None:
            host.killed_for = ExitReason(ExitKind.KILLED, why)
            log.warning("host_killed", name=host.spec.name, pid=host.pid, why=why)
        signal.pidfd_send_signal(host.pidfd, signal.SIGKILL)
        return True

    def request(self, name: str, request: Request) -> bool:
        """Send an operator's request to the host called `name`; False if it does not run."""
        for host in self._hosts.values():
            if host.spec.name == name:
                self._actors.send(host.address, encode_control(request))
                return True
        return False

    def receive(self, message: FromHost) -> None:
        """Take a message of a host; one of a former incarnation is dropped."""
        if isinstance(message, Reply):
            self._on_reply(message)
            return
        host = self._hosts.get(message.incarnation)
        if host is None:
            return
        if isinstance(message, Report):
            self._on_report(host.spec.name, message.event)
            return
        host.heard_at_ns = self._clock_ns()
        match message:
            case Pong():
                host.pong_number = message.number
                host.frames_refused = message.frames_refused
            case Ready() if host.phase == "starting":
                host.phase = "ready"
                log.info("host_ready", name=host.spec.name, pid=host.pid)
                host.on_ready()
            case Ready() | Started():
                pass  # heard of, which is all there is to it

    def pidfds(self) -> list[int]:
        """Return the descriptors to watch: readable when their process has ended."""
        return list(self._by_pidfd)

    def close_in_child(self) -> None:
        """Close what a host just forked inherited of its siblings."""
        for pidfd in self._by_pidfd:
            os.close(pidfd)

    def reap(self) -> None:
        """Notice every host that has ended."""
        for host in list(self._hosts.values()):
            how = _exit_of(host.process)
            if how is not None:
                self._ended(host, how)

    def states(self) -> list[HostState]:
        now_ns = self._clock_ns()
        return [
            HostState(
                name=host.spec.name,
                kind=host.spec.kind,
                phase=host.phase,
                pid=host.pid,
                incarnation=host.spec.incarnation,
                silent_ms=(now_ns - host.heard_at_ns) // 1_000_000,
                starts=self._starts[host.spec.name],
                frames_refused=host.frames_refused,
            )
            for host in self._hosts.values()
        ]

    def _check(self) -> None:
        now_ns = self._clock_ns()
        late_ns = now_ns - self._checked_at_ns - self._ping_period_ms * 1_000_000
        self._checked_at_ns = now_ns
        for host in list(self._hosts.values()):
            if late_ns > PAUSE_NS_MIN:
                host.heard_at_ns = now_ns
            if now_ns - host.heard_at_ns > self._hang_deadline_ns:
                self.kill(host.handle, "hang")
            elif host.pings_sent - host.pong_number < PINGS_WAITING_MAX:
                host.pings_sent += 1
                self._actors.send(host.address, encode_control(Ping(host.pings_sent)))
        self._timers.after(self._ping_period_ms, self._check)

    def _ended(self, host: _Host, how: str) -> None:
        del self._hosts[host.spec.incarnation], self._by_pidfd[host.pidfd]
        os.close(host.pidfd)
        reason = host.killed_for or self._recorded_reason(host, how)
        log.info("host_exited", name=host.spec.name, pid=host.pid, reason=str(reason))
        host.on_exit(reason)

    def _recorded_reason(self, host: _Host, how: str) -> ExitReason:
        record = read_exit_record(host.spec.data_dir, host.spec.name, host.spec.incarnation)
        if record is None:
            return ExitReason(ExitKind.KILLED, how)
        if record.reason == "shutdown":
            return SHUTDOWN
        if record.traceback:
            log.error("host_crashed", name=host.spec.name, traceback=record.traceback)
        return error_reason(record.error or record.reason)


def _exit_of(process: ChildProcess) -> str | None:
    """Return how our child ended, or None while it runs."""
    code = process.exitcode  # reaps it; Thespian reads the same object later
    if code is None:
        return None
    return f"signal {-code}" if code < 0 else f"exit code {code}"
