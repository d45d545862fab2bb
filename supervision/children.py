"""The children of one supervisor: their table, and how one is started and stopped.

Steps that wait are generators; supervisor.py runs them one at a time and resumes them whenever
something happened that they may be waiting for.
"""

from collections.abc import Callable, Generator
from typing import TypeAlias

from supervision.port import (
    ChildPort,
    Handle,
    Started,
    StartFailed,
    StartOutcome,
    StopHow,
    Timers,
)
from supervision.reason import NORMAL, ExitKind, ExitReason
from supervision.report import ChildCounts, ChildInfo, ChildState, ReportKind, SupervisorReport
from supervision.spec import ChildKind, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec

Steps: TypeAlias = Generator[None, None, None]

_HAS_PROCESS = (ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING)


class Child:
    """One child and how it is. The same object through all its restarts."""

    __slots__ = ("arguments", "exit_reason", "handle", "spec", "state")

    def __init__(self, spec: ChildSpec, arguments: tuple[object, ...]) -> None:
        self.spec = spec
        self.arguments = arguments
        self.state = ChildState.STOPPED
        self.handle: Handle | None = None  # of its process, or of the last one
        self.exit_reason: ExitReason | None = None  # of that process, once told

    @property
    def child_id(self) -> str:
        return self.spec.child_id

    def info(self, child_id: str | None) -> ChildInfo:
        handle = self.handle if self.state in _HAS_PROCESS else None
        return ChildInfo(child_id, handle, self.state, self.spec.kind)


class _Starting:
    """The `done` of one start: keeps the outcome and wakes the step that waits for it."""

    __slots__ = ("child", "exited", "outcome", "wake")

    def __init__(
        self,
        child: Child,
        wake: Callable[[], None],
        exited: Callable[[Handle, ExitReason], None],
    ) -> None:
        self.child = child
        self.wake = wake
        self.exited = exited
        self.outcome: StartOutcome | None = None

    def __call__(self, outcome: StartOutcome) -> None:
        if self.outcome is not None:
            return
        self.outcome = outcome
        child = self.child
        if child.state is ChildState.STOPPING and not isinstance(outcome, Started):
            # The start was abandoned by a shutdown, which now waits for the end of the child.
            reason = outcome.reason if isinstance(outcome, StartFailed) else NORMAL
            self.exited(child.handle, reason)
        else:
            self.wake()


class Children:
    """The table, and the steps that need the port. Decides nothing about restarts."""

    def __init__(
        self,
        spec: SupervisorSpec,
        port: ChildPort,
        clock: Callable[[], int],
        timers: Timers,
        on_report: Callable[[SupervisorReport], None],
        wake: Callable[[], None],
        exited: Callable[[Handle, ExitReason], None],
    ) -> None:
        self._spec = spec
        self._port = port
        self._clock = clock
        self._timers = timers
        self._on_report = on_report
        self._wake = wake
        self._exited = exited
        self.is_simple = spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
        # In start order. Empty for simple_one_for_one: its children are in the other two only.
        self.by_id: dict[str, Child] = {}
        if not self.is_simple:
            self.by_id = {child.child_id: Child(child, child.arguments) for child in spec.children}
        self.by_handle: dict[Handle | None, Child] = {}  # those that have a process
        self.restarting: dict[Handle | None, Child] = {}  # simple: by the handle of the last one

    # ------------------------------------------------------------------ the table

    def find(self, child_id: Handle) -> Child | None:
        if self.is_simple:
            return self.by_handle.get(child_id) or self.restarting.get(child_id)
        return self.by_id.get(child_id) if isinstance(child_id, str) else None

    def has_live_significant(self) -> bool:
        if self.restarting:
            return True
        children = self.by_handle if self.is_simple else self.by_id
        return any(
            child.spec.significant and child.state is not ChildState.STOPPED
            for child in children.values()
        )

    def which(self) -> list[ChildInfo]:
        if not self.is_simple:
            return [child.info(child_id) for child_id, child in reversed(self.by_id.items())]
        live = [child.info(None) for child in self.by_handle.values()]
        return live + [child.info(None) for child in self.restarting.values()]

    def count(self) -> ChildCounts:
        active = len(self.by_handle)
        if self.is_simple:
            is_worker = self._spec.children[0].kind is ChildKind.WORKER
            total = active + len(self.restarting)
            return ChildCounts(1, active, 0 if is_worker else total, total if is_worker else 0)
        kinds = [child.spec.kind for child in self.by_id.values()]
        supervisors = kinds.count(ChildKind.SUPERVISOR)
        return ChildCounts(len(kinds), active, supervisors, len(kinds) - supervisors)

    def drop_if_temporary(self, child: Child) -> bool:
        """Forget a child without process if its spec goes with it; return whether it did."""
        if child.spec.restart is not Restart.TEMPORARY:
            return False
        self.by_id.pop(child.child_id, None)
        return True

    def mark_stopped(self, child: Child) -> None:
        if child.state is ChildState.RESTARTING:
            self.restarting.pop(child.handle, None)
        child.state = ChildState.STOPPED

    def mark_restarting(self, child: Child, handle: Handle | None) -> None:
        """The last attempt failed, another follows; the child had `handle` when it last ran."""
        child.state = ChildState.RESTARTING
        child.handle = handle
        if self.is_simple:
            self.restarting[handle] = child

    def report(
        self, kind: ReportKind, child: Child, reason: ExitReason | None, count: int = 1
    ) -> None:
        self._on_report(
            SupervisorReport(
                kind, self._spec.name, self._clock(), child.spec, child.handle, reason, count
            )
        )

    # ------------------------------------------------------------------ steps

    def start(self, child: Child) -> Generator[None, None, StartOutcome]:
        """Start a child that has no process, wait until it is known whether it runs."""
        child.state = ChildState.STARTING
        child.exit_reason = None
        starting = _Starting(child, self._wake, self._exited)
        handle = child.handle = self._port.start(child.spec, child.arguments, starting)
        if starting.outcome is None:
            self.by_handle[handle] = child
            while starting.outcome is None and child.exit_reason is None:
                yield
        outcome = starting.outcome
        if outcome is None:
            assert child.exit_reason is not None
            outcome = starting.outcome = StartFailed(child.exit_reason)
        if not isinstance(outcome, Started):
            self.by_handle.pop(handle, None)
            child.state = ChildState.STOPPED
            if isinstance(outcome, StartFailed):
                self.report(ReportKind.START_ERROR, child, outcome.reason)
            return outcome
        self.by_handle[handle] = child
        child.state = ChildState.RUNNING
        if not self.is_simple:
            self.report(ReportKind.PROGRESS, child, None)
        return outcome

    def stop(self, child: Child) -> Steps:
        """Stop a child and wait for its end; one without process is only marked."""
        if child.state not in _HAS_PROCESS:
            self.mark_stopped(child)
            return
        if child.exit_reason is None:
            yield from self._stop_together([child])
        self._stopped(child)
        if not _is_expected(child):
            self.report(ReportKind.SHUTDOWN_ERROR, child, child.exit_reason)

    def stop_all(self) -> Steps:
        """Stop in reverse start order, one after the other; simple_one_for_one: all at once, with
        one time-out, and one report for all that ended with the same wrong reason."""
        if not self.is_simple:
            for child in reversed(list(self.by_id.values())):
                yield from self.stop(child)
            return
        for child in list(self.restarting.values()):
            self.mark_stopped(child)
        children = list(self.by_handle.values())
        yield from self._stop_together([child for child in children if child.exit_reason is None])
        wrong: dict[str, list[Child]] = {}
        for child in children:
            self._stopped(child)
            if not _is_expected(child):
                wrong.setdefault(str(child.exit_reason), []).append(child)
        for same in wrong.values():
            self.report(ReportKind.SHUTDOWN_ERROR, same[0], same[0].exit_reason, len(same))

    def _stop_together(self, waiting: list[Child]) -> Steps:
        """Tell children of one spec to end, kill those that do not in time, wait for all."""
        if not waiting:
            return
        shutdown = waiting[0].spec.shutdown
        expired: list[bool] = []
        timer: object = None
        if not isinstance(shutdown, Shutdown):
            assert shutdown is not None  # ChildSpec has put the default in

            def expire() -> None:
                expired.append(True)
                self._wake()

            timer = self._timers.after(shutdown, expire)
        how = StopHow.KILL if shutdown is Shutdown.BRUTAL_KILL else StopHow.SHUTDOWN
        for child in waiting:
            child.state = ChildState.STOPPING
            self._port.stop(child.handle, how)
        try:
            while True:
                while waiting and waiting[-1].exit_reason is not None:
                    waiting.pop()
                if not waiting:
                    return
                if expired and how is StopHow.SHUTDOWN:
                    how = StopHow.KILL
                    for child in [child for child in waiting if child.exit_reason is None]:
                        self._port.stop(child.handle, how)
                else:
                    yield
        finally:
            if timer is not None:
                self._timers.cancel(timer)

    def _stopped(self, child: Child) -> None:
        self.by_handle.pop(child.handle, None)
        self.mark_stopped(child)


def _is_expected(child: Child) -> bool:
    """Return whether a stopped child ended as a child that is stopped should."""
    reason = child.exit_reason
    assert reason is not None
    if child.spec.shutdown is Shutdown.BRUTAL_KILL:
        return reason.kind is ExitKind.KILLED
    if reason.kind is ExitKind.NORMAL:
        return child.spec.restart is not Restart.PERMANENT
    return reason.kind is ExitKind.SHUTDOWN
