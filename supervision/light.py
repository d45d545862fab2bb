"""Supervisors as light processes, over light processes.

A ChildSpec's `start` is called with its arguments and returns the behaviour to spawn, or a
LightStart with options, or None to be ignored. A LightSupervisor returned makes a tree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from supervision.port import IGNORED, STARTED, Handle, StartFailed, StartOutcome, StopHow
from supervision.process import Behaviour, Caller, Context, Down, ExitSignal, Pid, ProcessExit
from supervision.reason import KILL, KILLED, SHUTDOWN, ExitReason, error_reason
from supervision.report import RefusalCode, Refused, SupervisorReport
from supervision.scheduler import MAILBOX_MAX_DEFAULT, SystemLimitError
from supervision.spec import ChildSpec, SupervisorSpec
from supervision.supervisor import Supervisor
from supervision.table import NameTakenError
from supervision.timers import Timer


@dataclass(frozen=True, slots=True)
class LightStart:
    """A behaviour and how to spawn it."""

    behaviour: Behaviour
    name: str | None = None
    mailbox_max: int = MAILBOX_MAX_DEFAULT
    on_crash: Literal["exit", "suspend"] = "exit"


# Calls of a LightSupervisor, sent with Context.call. The answers are those of Supervisor.
@dataclass(frozen=True, slots=True)
class StartChild:
    child: ChildSpec | tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TerminateChild:
    child_id: Handle


@dataclass(frozen=True, slots=True)
class RestartChild:
    child_id: str


@dataclass(frozen=True, slots=True)
class DeleteChild:
    child_id: str


@dataclass(frozen=True, slots=True)
class GetChildspec:
    child_id: Handle


@dataclass(frozen=True, slots=True)
class WhichChildren:
    pass


@dataclass(frozen=True, slots=True)
class CountChildren:
    pass


class LightSupervisor(Behaviour):
    """A supervisor that is a process: its parent's exit signal shuts it down, and what it
    supervises is linked to it. `supervisor` may also be called directly, on the same thread."""

    __slots__ = ("_on_report", "_spec", "_when_started", "supervisor")
    supervisor: Supervisor

    def __init__(self, spec: SupervisorSpec, on_report: Callable[[SupervisorReport], None]) -> None:
        self._spec = spec
        self._on_report = on_report
        self._when_started: Callable[[StartOutcome], None] | None = None

    def tell_when_started(self, done: Callable[[StartOutcome], None]) -> None:
        """Call `done` when all children run or one failed; set before spawn. Stopping those that
        had started takes turns, so a failure is known only after spawn has returned."""
        self._when_started = done

    def started(self, ctx: Context) -> None:
        ctx.trap_exit()
        self.supervisor = Supervisor(
            self._spec,
            LightPort(ctx, self._child_exited),
            ctx.scheduler.clock,
            LightTimers(ctx),
            self._on_report,
            self._exit_soon,
        )
        self.supervisor.start(self._has_started)

    def handle(self, message: object) -> None:
        """Unexpected messages are ignored, as in OTP."""

    def handle_call(self, request: object, caller: Caller) -> None:
        ctx, supervisor = self.ctx, self.supervisor

        def answer(result: object) -> None:
            ctx.reply(caller, result)

        match request:
            case StartChild(child):
                supervisor.start_child(child, answer)
            case TerminateChild(child_id):
                supervisor.terminate_child(child_id, answer)
            case RestartChild(child_id):
                supervisor.restart_child(child_id, answer)
            case DeleteChild(child_id):
                supervisor.delete_child(child_id, answer)
            case GetChildspec(child_id):
                answer(supervisor.get_childspec(child_id))
            case WhichChildren():
                answer(supervisor.which_children())
            case CountChildren():
                answer(supervisor.count_children())
            case _:  # OTP's would crash, and take the subtree along for somebody else's mistake
                answer(Refused(RefusalCode.UNKNOWN_CALL, request))

    def exited(self, signal: ExitSignal) -> None:
        self.supervisor.child_exited(signal.sender, signal.reason)

    def down(self, down: Down) -> None:
        self.supervisor.child_exited(down.target, down.reason)

    def parent_exited(self, signal: ExitSignal) -> None:
        self.supervisor.shutdown(lambda: self._exit_soon(signal.reason))

    def get_state(self) -> object:
        return self.supervisor.which_children()

    def _child_exited(self, pid: Pid, reason: ExitReason) -> None:
        self.supervisor.child_exited(pid, reason)

    def _has_started(self, outcome: StartOutcome) -> None:
        if isinstance(outcome, StartFailed):
            self._exit_soon(outcome.reason, outcome)
        elif self._when_started is not None:
            self._when_started(outcome)

    def _exit_soon(self, reason: ExitReason, outcome: StartOutcome | None = None) -> None:
        """Exit in a turn of its own: this may be called from anywhere, and within the steps of the
        supervisor, where nothing must be raised."""

        def exit_now() -> None:
            if outcome is not None and self._when_started is not None:
                self._when_started(outcome)
            self.ctx.exit(reason)

        self.ctx.scheduler.callback(self.ctx.pid, exit_now)


class LightPort:
    """ChildPort over the scheduler of the supervisor's own process."""

    def __init__(self, ctx: Context, exited: Callable[[Pid, ExitReason], None]) -> None:
        self._ctx = ctx
        self._exited = exited

    def start(
        self,
        spec: ChildSpec,
        arguments: tuple[object, ...],
        done: Callable[[StartOutcome], None],
    ) -> Handle:
        assert callable(spec.start), f"{spec.child_id}: start must be callable"
        try:
            made = spec.start(*arguments)
        except ProcessExit as exit_:
            done(StartFailed(exit_.reason))
            return None
        except Exception as error:  # noqa: BLE001 - the child's code: its failure is data here
            done(StartFailed(error_reason(f"{type(error).__name__}: {error}")))
            return None
        if made is None:
            done(IGNORED)
            return None
        start = made if isinstance(made, LightStart) else LightStart(made)
        is_supervisor = isinstance(start.behaviour, LightSupervisor)
        if isinstance(start.behaviour, LightSupervisor):
            start.behaviour.tell_when_started(done)
        try:
            pid, reason = self._ctx.scheduler.start(
                start.behaviour,
                name=start.name,
                link_to=self._ctx.pid,
                mailbox_max=start.mailbox_max,
                on_crash=start.on_crash,
            )
        except (NameTakenError, SystemLimitError) as error:
            done(StartFailed(error_reason(f"{type(error).__name__}: {error}")))
            return None
        if reason is not None:
            done(StartFailed(reason))
        elif not is_supervisor:
            done(STARTED)
        return pid

    def stop(self, handle: Handle, how: StopHow) -> None:
        assert isinstance(handle, int)
        pid = Pid(handle)
        scheduler = self._ctx.scheduler
        was_alive = scheduler.is_alive(pid)
        self._ctx.send_exit(pid, KILL if how is StopHow.KILL else SHUTDOWN)
        if was_alive and not scheduler.is_alive(pid):
            self._exited(pid, KILLED if how is StopHow.KILL else SHUTDOWN)
        else:
            # It traps exits and takes its time, or had ended already: then its exit signal waits,
            # or, had it unlinked itself, a Down with noproc comes.
            self._ctx.monitor(pid)


class LightTimers:
    """Timers whose callbacks run in turns of the supervisor's process."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def after(self, delay_ms: int, callback: Callable[[], None]) -> object:
        if delay_ms > 0:
            return self._ctx.after(delay_ms, callback)
        timer = Timer(0, callback)

        def fire() -> None:
            if timer.callback is not None:
                timer.callback()

        self._ctx.scheduler.callback(self._ctx.pid, fire)
        return timer

    def cancel(self, timer: object) -> None:
        assert isinstance(timer, Timer)
        self._ctx.cancel_timer(timer)
        timer.callback = None
