"""What the processes of one scheduler know of each other: names, links, monitors, calls, exits.

Signals wait in the mailbox in line with messages, but beyond its bound: a lost Down or answer would
leave somebody waiting for ever. They are bounded by what asked for them: links, monitors, calls,
timers.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from supervision.process import (
    Caller,
    Down,
    ExitSignal,
    PendingCall,
    Pid,
    Process,
    Ref,
    Target,
)
from supervision.reason import KILLED, NOPROC, ExitKind, ExitReason
from supervision.timers import Timer, TimerHeap

NS_PER_MS = 1_000_000

OVERLOADED = ExitReason(ExitKind.ERROR, "mailbox_full")
"""A call whose target's mailbox is full fails with this."""


class NameTakenError(Exception):
    """The name belongs to another living process, or the process has a name."""


class NoProcessError(Exception):
    """There is no such process (any more)."""


class Signal:
    """Something in a mailbox that is not a message: `deliver(process, argument)`."""

    __slots__ = ("argument", "deliver")

    def __init__(self, deliver: Callable[[Process, Any], None], argument: object) -> None:
        self.deliver = deliver
        self.argument = argument


class ProcessTable:
    """The processes by pid and by name, and what ties them together."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        # Pids and names in one dict: sending looks up once, whichever it was given.
        self._targets: dict[int | str, Process] = {}
        self._names = 0
        self._last_pid = 0
        self._last_ref = 0
        self._run_queue: deque[Process] = deque()
        self._timers = TimerHeap()
        self._ending: deque[tuple[Process, ExitReason]] = deque()
        self._is_ending = False
        self.late_replies = 0

    # ------------------------------------------------------------------ names

    def register(self, name: str, pid: Pid) -> None:
        """Give a process its one name. Raises NameTakenError, NoProcessError."""
        process = self._process(pid)
        if name in self._targets or process.name is not None:
            raise NameTakenError(name)
        process.name = name
        self._targets[name] = process
        self._names += 1

    def unregister(self, name: str) -> None:
        process = self._targets.pop(name, None)
        if process is not None:
            process.name = None
            self._names -= 1

    def whereis(self, name: str) -> Pid | None:
        process = self._targets.get(name)
        return None if process is None else process.pid

    def is_alive(self, target: Target) -> bool:
        return target in self._targets

    def process_count(self) -> int:
        return len(self._targets) - self._names

    # ------------------------------------------------------------------ links and exits

    def link(self, pid: Pid, target: Pid) -> None:
        process = self._process(pid)
        peer = self._targets.get(target)
        if peer is None:
            self._exit_signal(process, target, NOPROC)
        elif peer is not process:
            _tie(process, peer)

    def unlink(self, pid: Pid, target: Pid) -> None:
        process = self._process(pid)
        if process.links is not None:
            process.links.pop(target, None)
        peer = self._targets.get(target)
        if peer is not None and peer.links is not None:
            peer.links.pop(pid, None)
        for waiting in list(process.mailbox):
            if (
                type(waiting) is Signal
                and isinstance(waiting.argument, ExitSignal)
                and waiting.argument.sender == target
            ):
                process.mailbox.remove(waiting)

    def trap_exit(self, pid: Pid, traps_exits: bool) -> None:
        self._process(pid).traps_exits = traps_exits

    def send_exit(self, target: Pid, reason: ExitReason, sender: Pid) -> None:
        """Send an exit signal; KILL ends whoever gets it, with reason killed."""
        process = self._targets.get(target)
        if process is None:
            return
        if reason.kind is ExitKind.KILL:
            self._end(process, KILLED)
        else:
            self._exit_signal(process, sender, reason)

    def _exit_signal(self, process: Process, sender: Pid, reason: ExitReason) -> None:
        if process.traps_exits:
            self._enqueue(process, Signal(_deliver_exit, ExitSignal(sender, reason)))
        elif reason.kind is not ExitKind.NORMAL or sender == process.pid:
            self._end(process, reason)

    def _end(self, process: Process, reason: ExitReason) -> None:
        """End a process and all that its end takes along; one after the other, not recursively,
        since chains of links may be long."""
        self._ending.append((process, reason))
        if self._is_ending:
            return
        self._is_ending = True
        try:
            while self._ending:
                ended, its_reason = self._ending.popleft()
                if ended.is_alive:
                    self._end_one(ended, its_reason)
        finally:
            self._is_ending = False

    def _end_one(self, process: Process, reason: ExitReason) -> None:
        pid = process.pid
        process.is_alive = False
        process.exit_reason = reason
        process.mailbox.clear()  # the turn that is under way sees it and ends
        del self._targets[pid]
        if process.name is not None:
            self.unregister(process.name)
        self._forget_pending(process)
        for ref, target in (process.monitors or {}).items():
            self._unwatch(target, ref)
        for ref, (watcher_pid, target) in (process.watchers or {}).items():
            watcher = self._targets.get(watcher_pid)
            if watcher is not None:
                self._enqueue(watcher, Signal(self._deliver_down, Down(ref, target, reason)))
        for peer_pid in process.links or ():
            peer = self._targets.get(peer_pid)
            if peer is not None and peer.links is not None:
                peer.links.pop(pid, None)
                self._exit_signal(peer, pid, reason)
        process.links = process.monitors = process.watchers = None

    def _forget_pending(self, process: Process) -> None:
        """Cancel the timers of a process and give up its calls."""
        for timer in process.timers or ():
            self._timers.cancel(timer)
        for ref, pending in (process.calls or {}).items():
            self._unwatch(pending.target, ref)
            if pending.timer is not None:
                self._timers.cancel(pending.timer)
        process.timers = process.calls = None

    # ------------------------------------------------------------------ monitors

    def monitor(self, pid: Pid, target: Target) -> Ref:
        process = self._process(pid)
        ref = self._next_ref()
        if process.monitors is None:
            process.monitors = {}
        process.monitors[ref] = self._watch(process, ref, target)
        return ref

    def demonitor(self, pid: Pid, ref: Ref) -> None:
        process = self._process(pid)
        if process.monitors is not None:
            target = process.monitors.pop(ref, None)
            if target is not None:
                self._unwatch(target, ref)

    def _watch(self, watcher: Process, ref: Ref, target: Target) -> Target:
        """Have one Down sent to `watcher`; return the pid that is watched now."""
        watched = self._targets.get(target)
        if watched is None:
            self._enqueue(watcher, Signal(self._deliver_down, Down(ref, target, NOPROC)))
            return target
        if watched.watchers is None:
            watched.watchers = {}
        watched.watchers[ref] = (watcher.pid, target)
        return watched.pid

    def _unwatch(self, target: Target, ref: Ref) -> None:
        watched = self._targets.get(target)
        if watched is not None and watched.watchers is not None:
            watched.watchers.pop(ref, None)

    def _deliver_down(self, process: Process, down: Down) -> None:
        if process.monitors is not None and process.monitors.pop(down.ref, None) is not None:
            process.behaviour.down(down)
        elif process.calls is not None:
            pending = self._take_call(process, down.ref)
            if pending is not None:
                pending.failed(down.reason)

    # ------------------------------------------------------------------ calls

    def call(self, pid: Pid, pending: PendingCall, request: object, timeout_ms: int) -> Ref:
        """Send `request` for process `pid`, which keeps `pending` until an answer or its end."""
        process = self._process(pid)
        ref = self._next_ref()
        if process.calls is None:
            process.calls = {}
        process.calls[ref] = pending
        pending.timer = self._timers.add(
            self.clock() + timeout_ms * NS_PER_MS,
            lambda: self._enqueue(process, Signal(self._deliver_timeout, ref)),
        )
        asked = self._targets.get(pending.target)
        if asked is not None and len(asked.mailbox) >= asked.mailbox_max:
            asked.refused += 1
            down = Down(ref, pending.target, OVERLOADED)
            self._enqueue(process, Signal(self._deliver_down, down))
            return ref
        pending.target = self._watch(process, ref, pending.target)
        if asked is not None:
            self._enqueue(asked, Signal(_deliver_call, (request, Caller(pid, ref))))
        return ref

    def reply(self, caller: Caller, value: object) -> bool:
        """Answer; return False, and count, if nobody waits for it any more."""
        process = self._targets.get(caller.pid)
        if process is None or process.calls is None or caller.ref not in process.calls:
            self.late_replies += 1
            return False
        self._enqueue(process, Signal(self._deliver_reply, (caller.ref, value)))
        return True

    def _deliver_reply(self, process: Process, answer: tuple[Ref, object]) -> None:
        pending = self._take_call(process, answer[0])
        if pending is None:
            self.late_replies += 1
        else:
            pending.on_reply(answer[1])

    def _deliver_timeout(self, process: Process, ref: Ref) -> None:
        pending = self._take_call(process, ref)
        if pending is not None:
            pending.timed_out()

    def _take_call(self, process: Process, ref: Ref) -> PendingCall | None:
        pending = process.calls.pop(ref, None) if process.calls is not None else None
        if pending is not None:
            self._unwatch(pending.target, ref)
            if pending.timer is not None:
                self._timers.cancel(pending.timer)
        return pending

    # ------------------------------------------------------------------ timers

    def add_timer(self, pid: Pid, delay_ms: int, callback: Callable[[], object]) -> Timer:
        """Set a timer that is cancelled when the process ends."""
        process = self._process(pid)

        def fire() -> None:
            if process.timers is not None:
                process.timers.pop(timer, None)
            callback()

        timer = self._timers.add(self.clock() + delay_ms * NS_PER_MS, fire)
        if process.timers is None:
            process.timers = {}
        process.timers[timer] = None
        return timer

    def cancel_timer(self, pid: Pid, timer: Timer) -> bool:
        process = self._targets.get(pid)
        if process is not None and process.timers is not None:
            process.timers.pop(timer, None)
        return self._timers.cancel(timer)

    def callback(self, pid: Pid, callback: Callable[[], None]) -> None:
        """Run `callback` in a turn of the process, if it still lives."""
        process = self._targets.get(pid)
        if process is not None:
            self._enqueue(process, Signal(_deliver_callback, callback))

    def next_timer_at(self) -> int | None:
        """Return when run_timers has to be called next, in ns of the clock."""
        return self._timers.next_at_ns()

    def run_timers(self) -> int:
        """Fire the timers that are due and return how many; then call run."""
        return self._timers.fire_due(self.clock())

    # ------------------------------------------------------------------ helpers

    def _process(self, target: Target) -> Process:
        process = self._targets.get(target)
        if process is None:
            raise NoProcessError(target)
        return process

    def _next_ref(self) -> Ref:
        self._last_ref += 1
        return Ref(self._last_ref)

    def _enqueue(self, process: Process, message: object) -> None:
        """Put something into a mailbox, whatever its bound."""
        if process.is_alive:
            process.mailbox.append(message)
            if not process.is_queued:
                process.is_queued = True
                self._run_queue.append(process)


def _tie(process: Process, peer: Process) -> None:
    if process.links is None:
        process.links = {}
    if peer.links is None:
        peer.links = {}
    process.links[peer.pid] = None
    peer.links[process.pid] = None


def _deliver_exit(process: Process, signal: ExitSignal) -> None:
    if signal.sender == process.parent:
        process.behaviour.parent_exited(signal)
    else:
        process.behaviour.exited(signal)


def _deliver_call(process: Process, question: tuple[object, Caller]) -> None:
    process.behaviour.handle_call(*question)


def is_callback(message: object) -> bool:
    """Return whether it is a callback of a behaviour rather than something sent to the process."""
    return type(message) is Signal and message.deliver is _deliver_callback


def _deliver_callback(_process: Process, callback: Callable[[], None]) -> None:
    callback()
