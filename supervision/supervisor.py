"""The supervisor: carries out what restart.py decides, through ChildPort. Semantics: OTP 25.

It does one thing at a time, as OTP's does: an operation (start all, handle an exit, a call) is a
generator that yields while it waits for its children; what comes meanwhile waits in line. Only
`shutdown` does not wait: it abandons the operation at hand, since starting a child may take long.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervision.children import Child, Children, Steps
from supervision.port import ChildPort, Handle, Ignored, Started, StartFailed, StartOutcome, Timers
from supervision.reason import SHUTDOWN, ExitKind, ExitReason, error_reason
from supervision.report import (
    DONE,
    CallResult,
    ChildCounts,
    ChildInfo,
    ChildState,
    Done,
    RefusalCode,
    Refused,
    ReportKind,
    SupervisorReport,
)
from supervision.restart import RestartWindow, affected, should_restart
from supervision.spec import AutoShutdown, ChildSpec, Restart, SpecError, SupervisorSpec

OPERATIONS_WAITING_MAX = 10_000
"""Calls beyond are refused as BUSY. Exits always find room: at most one waits for each child."""

Answer = Callable[[CallResult], None]


@dataclass(slots=True)
class _Operation:
    steps: Steps
    abandon: Callable[[], None] | None  # answers the caller if the operation never ends


class Supervisor:
    """A supervisor over one ChildPort. All calls from one thread; callbacks may call back in."""

    def __init__(
        self,
        spec: SupervisorSpec,
        port: ChildPort,
        clock: Callable[[], int],
        timers: Timers,
        on_report: Callable[[SupervisorReport], None],
        on_give_up: Callable[[ExitReason], None],
    ) -> None:
        """`clock` is monotonic, in ns. `on_give_up` is called when the supervisor has ended by
        itself (too many restarts, auto_shutdown) and all its children are gone."""
        self.spec = spec
        self._clock = clock
        self._timers = timers
        self._on_give_up = on_give_up
        self._window = RestartWindow(spec)
        self._children = Children(
            spec, port, clock, timers, on_report, self._wake, self.child_exited
        )
        self._waiting: deque[_Operation] = deque()
        self._current: _Operation | None = None
        self._is_driving = False
        self._shutdown: _Operation | None = None  # asked for, not yet begun
        self._is_ending = False
        self.is_over = False

    # ------------------------------------------------------------------ life

    def start(self, done: Callable[[StartOutcome], None]) -> None:
        """Start the children in order; `done` is told when all run, or StartFailed when one did
        not: those before it are stopped again, nothing is tried twice, the supervisor is over."""
        self._submit(self._start_all(done), lambda: done(StartFailed(SHUTDOWN)))

    def shutdown(self, done: Callable[[], None]) -> None:
        """Stop the children in reverse order, abandoning what is under way, then call `done`.

        If the supervisor is already ending, `done` follows that end.
        """
        if self._is_ending:
            self._submit(self._tell(done), done)
            return
        self._is_ending = True
        self._shutdown = _Operation(self._shut_down(done), None)
        self._wake()

    def child_exited(self, handle: Handle | None, reason: ExitReason) -> None:
        """A child has ended. Repeated notices and those of unknown handles are ignored."""
        child = self._children.by_handle.get(handle)
        if child is None or child.exit_reason is not None:
            return
        child.exit_reason = reason
        if child.state is ChildState.RUNNING:
            self._waiting.append(_Operation(self._exited(child, handle), None))
        self._wake()

    # ------------------------------------------------------------------ calls

    def start_child(self, child: ChildSpec | tuple[object, ...], done: Answer) -> None:
        """Add a child: a spec; for simple_one_for_one the arguments behind the template's.

        If the start fails the spec is not kept.
        """
        if isinstance(child, ChildSpec):
            self._submit_call(self._add_child(child, done), done)
        else:
            self._submit_call(self._add_dynamic(child, done), done)

    def terminate_child(self, child_id: Handle, done: Answer) -> None:
        """Stop a child and keep its spec, unless temporary. simple_one_for_one: by its handle."""
        self._submit_call(self._terminate_child(child_id, done), done)

    def restart_child(self, child_id: str, done: Answer) -> None:
        """Start a child that was terminated or has ended. If that fails its spec is kept."""
        self._submit_call(self._restart_child(child_id, done), done)

    def delete_child(self, child_id: str, done: Answer) -> None:
        """Forget the spec of a child that has no process."""
        self._submit_call(self._delete_child(child_id, done), done)

    def which_children(self) -> list[ChildInfo]:
        """Return the children as they are now, in reverse start order."""
        return self._children.which()

    def count_children(self) -> ChildCounts:
        """Count as OTP does. simple_one_for_one: in constant time."""
        return self._children.count()

    def get_childspec(self, child_id: Handle) -> ChildSpec | Refused:
        child = self._children.find(child_id)
        return Refused(RefusalCode.NOT_FOUND) if child is None else child.spec

    def restarts_in_window(self) -> int:
        """Return how many restarts count now, to be shown beside spec.restarts_max."""
        return self._window.count(self._clock())

    # ------------------------------------------------------------------ one operation at a time

    def _wake(self) -> None:
        """Go on as far as possible. Called whenever something that may be waited for happened."""
        if self._is_driving:
            return
        self._is_driving = True
        try:
            while self._step():
                pass
        finally:
            self._is_driving = False

    def _step(self) -> bool:
        """Run one operation up to its end or its next wait; return whether to go on."""
        if self._shutdown is not None:
            self._abandon_all()
            self._current, self._shutdown = self._shutdown, None
        if self._current is None:
            if self.is_over:
                self._abandon_all()
            if not self._waiting:
                return False
            self._current = self._waiting.popleft()
        try:
            next(self._current.steps)
        except StopIteration:
            self._current = None
            return True
        return self._shutdown is not None

    def _submit(self, steps: Steps, abandon: Callable[[], None] | None) -> None:
        self._waiting.append(_Operation(steps, abandon))
        self._wake()

    def _submit_call(self, steps: Steps, done: Answer) -> None:
        if self._is_ending:
            done(Refused(RefusalCode.NOPROC))
        elif len(self._waiting) >= OPERATIONS_WAITING_MAX + len(self._children.by_handle):
            done(Refused(RefusalCode.BUSY))
        else:
            self._submit(steps, lambda: done(Refused(RefusalCode.NOPROC)))

    def _abandon_all(self) -> None:
        """Close what is under way or waits; callers are told that there is no supervisor."""
        operations = list(self._waiting)
        self._waiting.clear()
        if self._current is not None:
            operations.insert(0, self._current)
            self._current = None
        for operation in operations:
            operation.steps.close()
            if operation.abandon is not None:
                operation.abandon()

    # ------------------------------------------------------------------ operations

    def _start_all(self, done: Callable[[StartOutcome], None]) -> Steps:
        for child in list(self._children.by_id.values()):
            outcome = yield from self._children.start(child)
            if isinstance(outcome, StartFailed):
                self._is_ending = True
                yield from self._children.stop_all()
                self.is_over = True
                detail = ("failed_to_start_child", child.child_id, outcome.reason)
                done(StartFailed(ExitReason(ExitKind.SHUTDOWN, detail)))
                return
            if isinstance(outcome, Ignored):
                self._children.drop_if_temporary(child)
        done(Started())

    def _shut_down(self, done: Callable[[], None]) -> Steps:
        yield from self._children.stop_all()
        self.is_over = True
        done()

    def _tell(self, done: Callable[[], None]) -> Steps:
        """Answer in turn, that is after the ending that is under way."""
        done()
        return
        yield

    def _exited(self, child: Child, handle: Handle | None) -> Steps:
        reason = child.exit_reason
        if self._children.by_handle.get(handle) is not child or reason is None:
            return  # stopped meanwhile, perhaps started again
        del self._children.by_handle[handle]
        child.state = ChildState.STOPPED
        restart = child.spec.restart
        if restart is Restart.PERMANENT or not reason.is_normal:
            self._children.report(ReportKind.CHILD_TERMINATED, child, reason)
        if should_restart(restart, reason):
            yield from self._restart(child)
            return
        self._children.drop_if_temporary(child)
        if child.spec.significant and self._should_auto_shutdown():
            yield from self._give_up()

    def _retried(self, child: Child) -> Steps:
        if child.state is ChildState.RESTARTING:
            yield from self._restart(child)

    def _restart(self, child: Child) -> Steps:
        """One attempt to restart `child` and those that depend on it. Every attempt counts."""
        if not self._window.add(self._clock()):
            reason = error_reason("reached_max_restart_intensity")
            self._children.report(ReportKind.SHUTDOWN, child, reason)
            self._children.mark_stopped(child)
            yield from self._give_up()
            return
        group: Sequence[Child] = (child,)
        if not self._children.is_simple:
            children = list(self._children.by_id.values())
            group = affected(self.spec.strategy, children, child.child_id)
        for member in reversed(group):
            yield from self._children.stop(member)
        for member in [each for each in group if not self._children.drop_if_temporary(each)]:
            handle_before = member.handle
            outcome = yield from self._children.start(member)
            if isinstance(outcome, StartFailed):
                self._retry(member, handle_before)
                return  # the rest of the group starts with the next attempt

    def _retry(self, child: Child, handle_before: Handle | None) -> None:
        self._children.mark_restarting(child, handle_before)
        # A message to itself rather than a loop: calls and shutdown come in between. It need not
        # be taken back: when it comes too late it finds the child in another state.
        self._timers.after(0, lambda: self._submit(self._retried(child), None))

    def _give_up(self) -> Steps:
        self._is_ending = True
        yield from self._children.stop_all()
        self.is_over = True
        self._on_give_up(SHUTDOWN)

    def _should_auto_shutdown(self) -> bool:
        if self.spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
            return True
        return not self._children.has_live_significant()

    # ------------------------------------------------------------------ operations: calls

    def _add_child(self, spec: ChildSpec, done: Answer) -> Steps:
        if self._children.is_simple:
            done(Refused(RefusalCode.SIMPLE_ONE_FOR_ONE))
            return
        try:
            self.spec.check_child(spec)
        except SpecError as error:
            done(Refused(RefusalCode.BAD_SPEC, error))
            return
        by_id = self._children.by_id
        present = by_id.get(spec.child_id)
        if present is not None:
            if present.state is ChildState.RUNNING:
                done(Refused(RefusalCode.ALREADY_STARTED, present.handle))
            else:
                done(Refused(RefusalCode.ALREADY_PRESENT))
            return
        child = by_id[spec.child_id] = Child(spec, spec.arguments)
        outcome = yield from self._children.start(child)
        if isinstance(outcome, StartFailed):
            del by_id[spec.child_id]
        self._answer_start(child, outcome, done)

    def _add_dynamic(self, arguments: tuple[object, ...], done: Answer) -> Steps:
        if not self._children.is_simple:
            done(Refused(RefusalCode.BAD_SPEC, SpecError("children", "takes a ChildSpec")))
            return
        template = self.spec.children[0]
        child = Child(template, template.arguments + arguments)
        outcome = yield from self._children.start(child)
        self._answer_start(child, outcome, done)

    def _answer_start(self, child: Child, outcome: StartOutcome, done: Answer) -> None:
        if isinstance(outcome, StartFailed):
            done(Refused(RefusalCode.START_FAILED, outcome.reason))
        elif isinstance(outcome, Ignored):
            self._children.drop_if_temporary(child)
            done(DONE)
        else:
            done(Done(child.handle, outcome.extra))

    def _terminate_child(self, child_id: Handle, done: Answer) -> Steps:
        child = self._children.find(child_id)
        if child is None:
            is_id = self._children.is_simple and isinstance(child_id, str)
            code = RefusalCode.SIMPLE_ONE_FOR_ONE if is_id else RefusalCode.NOT_FOUND
            done(Refused(code))
            return
        yield from self._children.stop(child)
        self._children.drop_if_temporary(child)
        done(DONE)

    def _restart_child(self, child_id: str, done: Answer) -> Steps:
        child = self._stopped_child(child_id, done)
        if child is not None:
            outcome = yield from self._children.start(child)
            self._answer_start(child, outcome, done)

    def _delete_child(self, child_id: str, done: Answer) -> Steps:
        if self._stopped_child(child_id, done) is not None:
            del self._children.by_id[child_id]
            done(DONE)
        return
        yield

    def _stopped_child(self, child_id: str, done: Answer) -> Child | None:
        """Return the child if it has no process; else tell the caller what is the matter."""
        child = self._children.by_id.get(child_id)
        if self._children.is_simple:
            done(Refused(RefusalCode.SIMPLE_ONE_FOR_ONE))
        elif child is None:
            done(Refused(RefusalCode.NOT_FOUND))
        elif child.state is ChildState.RESTARTING:
            done(Refused(RefusalCode.RESTARTING))
        elif child.state is not ChildState.STOPPED:
            done(Refused(RefusalCode.RUNNING))
        else:
            return child
        return None
