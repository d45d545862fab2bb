"""The node supervisor: a Thespian actor that keeps the hosts of one node running.

Its parent is Thespian's Admin, its children are the hosts; all are linked by the parent-death
signal. It ends its whole process group when whoever started the node has died: nobody would ever
stop it otherwise.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import msgspec
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from actors.control import (
    HostSpec,
    Reply,
    Request,
    decode_from_host,
    run_dir,
)
from actors.host import HostActor
from actors.host_processes import ChildProcess, HostForkError, HostProcesses
from actors.node_door import NodeDoor, Visitor
from actors.node_messages import (
    Beat,
    HostAnswer,
    HostQuery,
    NodeEnded,
    NodeEvent,
    NodeStatus,
    StartNode,
    StatusQuery,
    StopNode,
    ToNode,
    decode_start,
)
from actors.thespian_patch import child_process, keep_logging, refused_by_node
from actors.thespian_port import SupervisorPort
from actors.timers import ActorTimers
from actors.tree import node_tree
from config.logging import get_logger
from supervision.port import Started, StartFailed, StartOutcome
from supervision.reason import ExitReason
from supervision.report import ReportKind, SupervisorReport
from supervision.supervisor import Supervisor

log = get_logger(__name__)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1  # a host could not be started, or the supervisors gave up
QUERIES_WAITING_MAX: Final = 100  # requests to hosts; beyond: refused
END_RETRY_MS: Final = 100  # the last message must arrive: told again while the buffer is full
REFUSED_LOG_PERIOD_MS: Final = 10_000  # a flood of bad frames is one line in this time


class NodeActor(Actor):
    """Thespian's side of the node supervisor: hands everything to `Node`, watches descriptors."""

    def __init__(self) -> None:
        super().__init__()
        keep_logging()
        self._node: Node | None = None

    def receiveMessage(self, msg: object, sender: ActorAddress) -> ThespianWatch | None:  # noqa: N802
        """Never raises: Thespian would deliver the message again. A supervisor that fails has no
        one above it in this node, so the node ends, hard, and its starter says so."""
        try:
            if self._node is not None:
                self._node.receive(msg)
            elif isinstance(msg, bytes):
                self._node = Node(self, decode_start(msg))
        except Exception:
            log.exception("node_supervisor_failed")
            end_process_group()
        return None if self._node is None else ThespianWatch(self._node.descriptors())

    def create(self, actor_class: type[Actor]) -> tuple[ActorAddress, ChildProcess]:
        address = self.createActor(actor_class)
        try:
            return address, child_process(self, address)
        except LookupError as error:
            raise HostForkError(str(error)) from error

    def wake_after_ms(self, delay_ms: int) -> None:
        self.wakeupAfter(timedelta(milliseconds=delay_ms))


class Node:
    """The supervision tree of this node, and what is said about it."""

    def __init__(self, actor: NodeActor, start: StartNode) -> None:
        self._options = options = start.options
        self._starter_pidfd = start.starter_pidfd
        self._started_at_ns = time.monotonic_ns()
        self._phase = "starting"
        self._exits = 0
        self._refused_logged = 0
        self._reports: dict[str, dict[str, Any]] = {}  # one for each host
        self._queries: dict[int, Visitor] = {}
        self._queries_asked = 0
        self._timers = ActorTimers(time.monotonic_ns, actor.wake_after_ms)
        self._door = NodeDoor(
            run_dir(options.data_dir), socket.socket(fileno=start.starter_socket), self._asked
        )
        self._processes = HostProcesses(
            actor,
            HostActor,
            self._timers,
            time.monotonic_ns,
            hang_deadline_ms=options.hang_deadline_ms,
            ping_period_ms=options.ping_period_ms,
            stop_timeout_ms=options.stop_timeout_ms,
            on_report=self._host_reported,
            on_reply=self._host_replied,
        )
        port = SupervisorPort(
            self._processes, time.monotonic_ns, self._timers, self._supervisor_reported
        )
        self._supervisor = Supervisor(
            node_tree(options),
            port,
            time.monotonic_ns,
            self._timers,
            self._supervisor_reported,
            self._gave_up,
        )
        port.on_exit = self._supervisor.child_exited
        self._timers.after(REFUSED_LOG_PERIOD_MS, self._log_refused)
        os.register_at_fork(after_in_child=self._close_in_child)
        self._tell_starter({"event": "started", "pid": os.getpid(), "group": os.getpgid(0)})
        self._supervisor.start(self._tree_started)

    def descriptors(self) -> list[int]:
        return [self._starter_pidfd, *self._processes.pidfds(), *self._door.descriptors()]

    def receive(self, message: object) -> None:
        """Take one message of Thespian's."""
        if isinstance(message, bytes):
            try:
                decoded = decode_from_host(message)
            except msgspec.MsgspecError:
                log.warning("control_message_unreadable")
            else:
                self._processes.receive(decoded)
        elif isinstance(message, WatchMessage):
            if self._starter_pidfd in message.ready:
                log.error("node_starter_died")
                end_process_group()
            self._processes.reap()
            self._door.ready(message.ready)
        elif isinstance(message, ChildActorExited):
            self._processes.reap()
        elif isinstance(message, ActorExitRequest):
            # SIGTERM, or Thespian's own shutdown, which would not wait for our order of stopping.
            log.error("node_supervisor_told_to_exit")
            end_process_group()
        self._timers.run_due(is_wakeup=isinstance(message, WakeupMessage))

    def _tree_started(self, outcome: StartOutcome) -> None:
        if isinstance(outcome, Started):
            if self._phase == "starting":
                self._phase = "ready"
                self._tell_starter({"event": "ready"})
        elif isinstance(outcome, StartFailed) and self._phase == "starting":
            self._end(EXIT_FAILED, f"start failed: {_plain(outcome.reason)}")

    def _gave_up(self, reason: ExitReason) -> None:
        self._end(EXIT_FAILED, "a host crashes again and again")

    def _stop(self) -> None:
        if self._phase != "stopping":
            self._phase = "stopping"
            self._tell_starter({"event": "stopping"})
            self._supervisor.shutdown(lambda: self._end(EXIT_OK, "stopped"))

    def _end(self, exit_code: int, reason: str) -> None:
        """All hosts are gone. The starter ends the process group, Admin and ourselves included."""
        self._phase = "stopping"
        if not self._door.starter.send(NodeEnded(exit_code, reason)):
            self._timers.after(END_RETRY_MS, lambda: self._end(exit_code, reason))

    def _close_in_child(self) -> None:
        """In a host just forked: visitors must see their end when we close it, not when it ends."""
        self._door.close()
        self._processes.close_in_child()
        os.close(self._starter_pidfd)

    def _asked(self, visitor: Visitor, message: ToNode) -> None:
        match message:
            case Beat():
                visitor.send(message)
            case StatusQuery():
                visitor.send(self._status())
            case StopNode():
                self._stop()
                if visitor is not self._door.starter:
                    visitor.send(self._status())
            case HostQuery():
                self._ask_host(visitor, message)

    def _ask_host(self, visitor: Visitor, query: HostQuery) -> None:
        if len(self._queries) >= QUERIES_WAITING_MAX:
            # The oldest has waited longest and its host may be gone: it makes room.
            oldest = next(iter(self._queries))
            self._queries.pop(oldest).send(HostAnswer(b"", "no answer"))
        self._queries_asked += 1
        number = self._queries_asked
        if self._processes.request(query.host, Request(number, query.name, query.body)):
            self._queries[number] = visitor
        else:
            visitor.send(HostAnswer(b"", f"host {query.host!r} does not run"))

    def _host_replied(self, reply: Reply) -> None:
        visitor = self._queries.pop(reply.request_id, None)
        if visitor is not None:
            visitor.send(HostAnswer(reply.body, reply.error))

    def _host_reported(self, name: str, event: dict[str, Any]) -> None:
        self._reports[name] = event
        self._tell_starter({"event": "report", "host": name, "report": event})

    def _supervisor_reported(self, report: SupervisorReport) -> None:
        reason = None if report.reason is None else _plain(report.reason)
        child = report.spec.child_id
        if report.kind is ReportKind.CHILD_TERMINATED and isinstance(report.spec.start, HostSpec):
            self._exits += 1
        if report.kind is not ReportKind.PROGRESS:
            log.error(report.kind.value, supervisor=report.supervisor, child=child, reason=reason)
        self._tell_starter(
            {
                "event": report.kind.value,
                "supervisor": report.supervisor,
                "child": child,
                "reason": reason,
            }
        )

    def _tell_starter(self, event: dict[str, Any]) -> None:
        self._door.starter.send(NodeEvent(event))

    def _log_refused(self) -> None:
        refused = refused_by_node.count()
        if refused > self._refused_logged:
            log.warning("frames_refused", total=refused, new=refused - self._refused_logged)
            self._refused_logged = refused
        self._timers.after(REFUSED_LOG_PERIOD_MS, self._log_refused)

    def _status(self) -> NodeStatus:
        return NodeStatus(
            name=self._options.name,
            phase=self._phase,
            pid=os.getpid(),
            uptime_ms=(time.monotonic_ns() - self._started_at_ns) // 1_000_000,
            hosts=self._processes.states(),
            exits=self._exits,
            frames_refused=refused_by_node.count(),
            reports=self._reports,
        )


def end_process_group(end: Callable[[int, int], None] = os.killpg) -> None:
    """Kill all processes of this node at once, this one included.

    Admin has called setsid(), so the group is the node's alone.
    """
    end(os.getpgid(0), signal.SIGKILL)


def _plain(reason: ExitReason) -> str:
    """The innermost cause: OTP nests reasons, an operator wants the last one."""
    detail = reason.detail
    while isinstance(detail, tuple) and detail and isinstance(detail[-1], ExitReason):
        child = detail[1] if len(detail) > 2 else ""
        inner = detail[-1]
        if not isinstance(inner.detail, tuple):
            return f"{child}: {inner}"
        detail = inner.detail
    return str(reason)
