"""supervision.ChildPort over Thespian: a child is a host (an OS process), or a supervisor of hosts.

ChildSpec.start is a HostSpec or a SupervisorSpec. The same supervisor code that runs light
processes thereby runs the node.
"""

from collections.abc import Callable

from actors.control import HostSpec
from actors.host_processes import HostHandle, HostProcesses
from supervision.port import (
    STARTED,
    Handle,
    Started,
    StartFailed,
    StartOutcome,
    StopHow,
    Timers,
)
from supervision.reason import NOPROC, SHUTDOWN, ExitReason
from supervision.report import SupervisorReport
from supervision.spec import ChildSpec, SupervisorSpec
from supervision.supervisor import Supervisor

OnExit = Callable[[Handle, ExitReason], None]


class HostPort:
    """The children of one supervisor are hosts."""

    def __init__(self, processes: HostProcesses) -> None:
        self._processes = processes
        self.on_exit: OnExit = _nobody

    def start(
        self,
        spec: ChildSpec,
        arguments: tuple[object, ...],
        done: Callable[[StartOutcome], None],
    ) -> Handle:
        """Fork the host. How long it may take to become ready is bounded only by its answering
        pings: a recovery may be long, a hang may not."""
        assert isinstance(spec.start, HostSpec)
        start = _Start(done)

        def exited(reason: ExitReason) -> None:
            start.finish(StartFailed(reason))
            self.on_exit(handle, reason)

        handle = self._processes.launch(spec.start, lambda: start.finish(STARTED), exited)
        return handle

    def stop(self, handle: Handle, how: StopHow) -> None:
        assert isinstance(handle, HostHandle)
        if how is StopHow.KILL:
            is_there = self._processes.kill(handle, "supervisor")
        else:
            is_there = self._processes.ask_to_stop(handle)
        if not is_there:
            self.on_exit(handle, NOPROC)


class SupervisorPort:
    """The children of one supervisor are supervisors of hosts."""

    def __init__(
        self,
        processes: HostProcesses,
        clock_ns: Callable[[], int],
        timers: Timers,
        on_report: Callable[[SupervisorReport], None],
    ) -> None:
        self._processes = processes
        self._clock_ns, self._timers, self._on_report = clock_ns, timers, on_report
        self._children: dict[Handle, Supervisor] = {}
        self._started = 0
        self.on_exit: OnExit = _nobody

    def start(
        self,
        spec: ChildSpec,
        arguments: tuple[object, ...],
        done: Callable[[StartOutcome], None],
    ) -> Handle:
        assert isinstance(spec.start, SupervisorSpec)
        self._started += 1
        handle = (spec.child_id, self._started)
        port = HostPort(self._processes)
        child = Supervisor(
            spec.start,
            port,
            self._clock_ns,
            self._timers,
            self._on_report,
            lambda reason: self._ended(handle, reason),
        )
        port.on_exit = child.child_exited
        self._children[handle] = child

        def started(outcome: StartOutcome) -> None:
            if not isinstance(outcome, Started):
                self._children.pop(handle, None)
            done(outcome)

        child.start(started)
        return handle

    def stop(self, handle: Handle, how: StopHow) -> None:
        """Stop a supervisor with its hosts, each with its own deadline.

        KILL does the same: a supervisor is not a process here, and its hosts are killed at their
        deadlines.
        """
        child = self._children.get(handle)
        if child is None:
            self.on_exit(handle, NOPROC)
        else:
            child.shutdown(lambda: self._ended(handle, SHUTDOWN))

    def _ended(self, handle: Handle, reason: ExitReason) -> None:
        self._children.pop(handle, None)
        self.on_exit(handle, reason)


class _Start:
    """Tells the outcome of one start once: ready, or ended before."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[StartOutcome], None]) -> None:
        self._done: Callable[[StartOutcome], None] | None = done

    def finish(self, outcome: StartOutcome) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


def _nobody(handle: Handle, reason: ExitReason) -> None:
    """Before the supervisor of a port is known: it has started nothing yet."""
