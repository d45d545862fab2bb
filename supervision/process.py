"""The light process: a mailbox and a behaviour, in the spirit of gen_server.

A behaviour never waits: what would block in Erlang has a callback here. It runs on the thread of
its scheduler, one message at a time, so its state needs no lock.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NewType, NoReturn, TypeAlias

from supervision.reason import ExitKind, ExitReason
from supervision.timers import Timer

if TYPE_CHECKING:
    from supervision.scheduler import Scheduler

Pid = NewType("Pid", int)  # unique within a scheduler, never used again
Target: TypeAlias = Pid | str  # a process, or a registered name
Ref = NewType("Ref", int)  # of a monitor or a call; unique like pids

CALL_TIMEOUT_MS_DEFAULT = 5_000


class ProcessExit(Exception):  # noqa: N818 - not an error: how a process ends itself
    """Raised by Context.exit, caught by the scheduler."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ExitSignal:
    """A linked process has ended, told to one that traps exits."""

    sender: Pid
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Down:
    """A monitored process has ended or never was (noproc); once for each monitor."""

    ref: Ref
    target: Target  # as it was given to monitor
    reason: ExitReason


class Caller(NamedTuple):
    """Who asked, and which question it was; for Context.reply."""

    pid: Pid
    ref: Ref


class Behaviour:
    """What a process does. Subclass it; `ctx` is set before `started` is called."""

    __slots__ = ("ctx",)
    ctx: "Context"

    def started(self, ctx: "Context") -> None:
        """Called once, within spawn. To fail, raise or ctx.exit: then there is no process."""

    def handle(self, message: object) -> None:
        """Called for every message that was sent. An exception ends this process only."""
        raise NotImplementedError(f"{type(self).__name__} takes no messages")

    def handle_call(self, request: object, caller: Caller) -> None:
        """Called for every Context.call; answer now or later with ctx.reply(caller, ...)."""
        raise NotImplementedError(f"{type(self).__name__} takes no calls")

    def exited(self, signal: ExitSignal) -> None:
        """A linked process has ended; only while trapping exits, and not for the parent."""

    def parent_exited(self, signal: ExitSignal) -> None:
        """The process that this one was linked to at spawn has ended or wants it to; only while
        trapping exits. As in gen_server: it ends with the same reason, terminate is called."""
        raise ProcessExit(signal.reason)

    def down(self, down: Down) -> None:
        """A monitored process has ended."""

    def terminate(self, reason: ExitReason) -> None:
        """Called before this process ends by itself: exit, crash, or parent_exited. Not called
        when an untrapped exit signal ends it, nor when `started` fails, as in OTP."""

    def get_state(self) -> object:
        """What sys get_state shows; by default the behaviour itself."""
        return self


class PendingCall:
    """A question that was asked and neither answered nor given up."""

    __slots__ = ("on_down", "on_reply", "on_timeout", "target", "timer")

    def __init__(
        self,
        target: Target,
        on_reply: Callable[[object], None],
        on_timeout: Callable[[], None] | None,
        on_down: Callable[[ExitReason], None] | None,
    ) -> None:
        self.target = target
        self.on_reply = on_reply
        self.on_timeout = on_timeout
        self.on_down = on_down
        self.timer: Timer | None = None

    def timed_out(self) -> None:
        if self.on_timeout is None:
            raise ProcessExit(ExitReason(ExitKind.TIMEOUT, f"call to {self.target}"))
        self.on_timeout()

    def failed(self, reason: ExitReason) -> None:
        """The process asked is gone. The caller ends, also if that one ended normally."""
        if self.on_down is None:
            kind = ExitKind.ERROR if reason.is_normal else reason.kind
            raise ProcessExit(ExitReason(kind, f"call to {self.target}: {reason}"))
        self.on_down(reason)


class Process:
    """What the scheduler keeps of one process. Only the scheduler writes it."""

    __slots__ = (
        "behaviour",
        "calls",
        "exit_reason",
        "handle",
        "handled",
        "is_alive",
        "is_parked",
        "is_queued",
        "is_suspended",
        "links",
        "mailbox",
        "mailbox_max",
        "monitors",
        "name",
        "parent",
        "pid",
        "refused",
        "suspends_on_crash",
        "timers",
        "traps_exits",
        "watchers",
    )

    def __init__(
        self, pid: Pid, behaviour: Behaviour, mailbox_max: int, suspends_on_crash: bool
    ) -> None:
        self.pid = pid
        self.behaviour = behaviour
        self.handle = behaviour.handle  # bound once: the hot path calls it for every message
        self.mailbox: deque[object] = deque()
        self.mailbox_max = mailbox_max
        self.suspends_on_crash = suspends_on_crash
        self.is_alive = True
        self.is_queued = False  # in the run queue, or parked: sending must not queue it
        self.is_suspended = False
        self.is_parked = False  # suspended and taken out of the run queue
        self.traps_exits = False
        self.handled = 0
        self.refused = 0
        self.name: str | None = None
        self.parent: Pid | None = None
        self.exit_reason: ExitReason | None = None
        # Most processes have none of these, so they are made when needed. Dicts keep an order.
        self.links: dict[Pid, None] | None = None
        self.monitors: dict[Ref, Target] | None = None  # what I watch
        self.watchers: dict[Ref, tuple[Pid, Target]] | None = None  # who watches me
        self.calls: dict[Ref, PendingCall] | None = None
        self.timers: dict[Timer, None] | None = None


class Context:
    """What a behaviour can do; `ctx.send(target, message)` is the scheduler's own send."""

    __slots__ = ("pid", "scheduler", "send")

    def __init__(self, scheduler: "Scheduler", pid: Pid) -> None:
        self.scheduler = scheduler
        self.pid = pid
        self.send = scheduler.send

    def call(
        self,
        target: Target,
        request: object,
        on_reply: Callable[[object], None],
        *,
        timeout_ms: int = CALL_TIMEOUT_MS_DEFAULT,
        on_timeout: Callable[[], None] | None = None,
        on_down: Callable[[ExitReason], None] | None = None,
    ) -> Ref:
        """Ask another process. Exactly one callback follows, unless this process ends first.

        Without on_timeout a late answer ends the caller (reason timeout), without on_down so does
        the end of the one asked, or its full mailbox. Answers after that are dropped.
        """
        pending = PendingCall(target, on_reply, on_timeout, on_down)
        return self.scheduler.call(self.pid, pending, request, timeout_ms)

    def reply(self, caller: Caller, value: object) -> bool:
        """Answer a call; return False if nobody waits for it any more."""
        return self.scheduler.reply(caller, value)

    def send_after(self, delay_ms: int, target: Target, message: object) -> Timer:
        """Send a message later. The timer ends with this process."""
        send = self.send
        return self._add_timer(delay_ms, lambda: send(target, message))

    def after(self, delay_ms: int, callback: Callable[[], None]) -> Timer:
        """Call back later, in a turn of this process."""
        scheduler, pid = self.scheduler, self.pid
        return self._add_timer(delay_ms, lambda: scheduler.callback(pid, callback))

    def cancel_timer(self, timer: Timer) -> bool:
        """Return whether the timer was still to fire."""
        return self.scheduler.cancel_timer(self.pid, timer)

    def link(self, target: Pid) -> None:
        """Tie both together; if `target` is gone, this process gets the signal noproc."""
        self.scheduler.link(self.pid, target)

    def unlink(self, target: Pid) -> None:
        """Untie; a signal of `target` that waits in the mailbox is taken out of it."""
        self.scheduler.unlink(self.pid, target)

    def monitor(self, target: Target) -> Ref:
        """Get one Down when `target` ends; at once, with noproc, if it is gone."""
        return self.scheduler.monitor(self.pid, target)

    def demonitor(self, ref: Ref) -> None:
        """No Down comes any more, not even one that waits in the mailbox."""
        self.scheduler.demonitor(self.pid, ref)

    def exit(self, reason: ExitReason) -> NoReturn:
        """End this process: nothing of its handler runs after this."""
        raise ProcessExit(reason)

    def send_exit(self, target: Pid, reason: ExitReason) -> None:
        """Send an exit signal as if linked; KILL cannot be trapped."""
        self.scheduler.send_exit(target, reason, sender=self.pid)

    def trap_exit(self, traps_exits: bool = True) -> None:
        """Get exit signals as `exited` instead of ending with them."""
        self.scheduler.trap_exit(self.pid, traps_exits)

    def register(self, name: str) -> None:
        """Take a name, unique in this scheduler. Raises NameTakenError."""
        self.scheduler.register(name, self.pid)

    def unregister(self, name: str) -> None:
        self.scheduler.unregister(name)

    def whereis(self, name: str) -> Pid | None:
        return self.scheduler.whereis(name)

    def _add_timer(self, delay_ms: int, callback: Callable[[], object]) -> Timer:
        return self.scheduler.add_timer(self.pid, delay_ms, callback)
