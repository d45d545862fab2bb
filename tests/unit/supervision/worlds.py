"""Two worlds to run a supervisor in: light processes, and children that take their time.

Both offer the same few verbs, so that one table of OTP's semantics runs over both. The children
follow a script: outcomes of their starts, and how they react to being stopped.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from supervision.light import LightSupervisor
from supervision.port import (
    IGNORED,
    STARTED,
    Handle,
    Started,
    StartFailed,
    StartOutcome,
    StopHow,
)
from supervision.process import Behaviour, Context, Down, ExitSignal
from supervision.reason import KILL, KILLED, NOPROC, SHUTDOWN, ExitKind, ExitReason, error_reason
from supervision.report import CallResult, ChildState, SupervisorReport
from supervision.scheduler import Scheduler
from supervision.spec import ChildSpec, SupervisorSpec
from supervision.supervisor import Supervisor
from supervision.timers import Timer, TimerHeap

NS_PER_MS = 1_000_000
BROKEN = error_reason("broken")


@dataclass
class Script:
    """`starts`: by child, the outcomes of its next starts ("ok", "fail", "ignore"), then "ok".
    `stops`: by child, the reason it ends with when stopped, or "stubborn"; else shutdown."""

    starts: dict[str, list[str]] = field(default_factory=dict)
    stops: dict[str, ExitReason | str] = field(default_factory=dict)

    def next_start(self, child_id: str) -> str:
        outcomes = self.starts.get(child_id)
        return outcomes.pop(0) if outcomes else "ok"


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


class World(Protocol):
    """`log` has "+a" for a start of child a, "-a" for an end (but not for a kill)."""

    script: Script
    log: list[str]
    reports: list[SupervisorReport]
    ended: list[ExitReason]  # of the supervisor, at most one
    supervisor: Supervisor

    def child(self, child_id: str, **options: Any) -> ChildSpec:
        """Return the spec of a child that follows the script; options are fields of ChildSpec."""

    def start(self, spec: SupervisorSpec) -> None: ...
    def settle(self) -> None:
        """Let happen what happens without time passing."""

    def advance(self, ms: int) -> None: ...
    def exit_child(self, child: str | Handle, reason: ExitReason) -> None:
        """Let a child end by itself; the supervisor has not yet acted on it."""

    def shut_down(self) -> None: ...
    def alive(self) -> list[str]:
        """Return the ids of the children that have a process, whatever the supervisor thinks."""


def running(world: World) -> list[Handle]:
    """Return the children that run, in start order; the handles if they have no ids."""
    children = [
        info for info in world.supervisor.which_children() if info.state is ChildState.RUNNING
    ]
    if children and children[0].child_id is None:
        return [info.handle for info in children]
    return [info.child_id for info in reversed(children)]


def handle_of(world: World, child_id: str) -> Handle:
    return next(
        info.handle for info in world.supervisor.which_children() if info.child_id == child_id
    )


def call(world: World, method: Callable[..., None], *arguments: object) -> CallResult:
    """Make one of the supervisor's calls and return its answer."""
    answers: list[CallResult] = []
    method(*arguments, answers.append)
    world.settle()
    assert len(answers) == 1
    return answers[0]


# ------------------------------------------------------------------ light processes


class ScriptedChild(Behaviour):
    def __init__(self, child_id: str, outcome: str, world: "LightWorld") -> None:
        self.child_id = child_id
        self.outcome = outcome
        self.world = world

    def started(self, ctx: Context) -> None:
        if self.outcome == "fail":
            ctx.exit(BROKEN)
        ctx.trap_exit()
        self.world.log.append(f"+{self.child_id}")

    def handle(self, message: object) -> None:
        assert isinstance(message, ExitReason)
        self.ctx.exit(message)

    def parent_exited(self, signal: ExitSignal) -> None:
        how = self.world.script.stops.get(self.child_id)
        if how != "stubborn":
            self.ctx.exit(how if isinstance(how, ExitReason) else signal.reason)

    def terminate(self, reason: ExitReason) -> None:
        self.world.log.append(f"-{self.child_id}")


class Watcher(Behaviour):
    def __init__(self, ended: list[ExitReason]) -> None:
        self.ended = ended

    def down(self, down: Down) -> None:
        self.ended.append(down.reason)


class LightWorld:
    def __init__(self) -> None:
        self.script = Script()
        self.log: list[str] = []
        self.reports: list[SupervisorReport] = []
        self.ended: list[ExitReason] = []
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock, random.Random(1))
        self._made: list[ScriptedChild] = []
        self._watcher = self.scheduler.spawn(Watcher(self.ended))

    def child(self, child_id: str, **options: Any) -> ChildSpec:
        return ChildSpec(child_id, self._make, arguments=(child_id,), **options)

    def start(self, spec: SupervisorSpec) -> None:
        root = LightSupervisor(spec, self.reports.append)
        self.pid = self.scheduler.spawn(root, monitor_by=self._watcher)
        self.supervisor = root.supervisor
        self.settle()

    def settle(self) -> None:
        self.scheduler.run(messages_max=100_000)

    def advance(self, ms: int) -> None:
        self.clock.now_ns += ms * NS_PER_MS
        self.scheduler.run_timers()
        self.settle()

    def exit_child(self, child: str | Handle, reason: ExitReason) -> None:
        pid = handle_of(self, child) if isinstance(child, str) else child
        assert isinstance(pid, int)
        if reason.kind is ExitKind.KILLED:
            self.scheduler.send_exit(pid, KILL, sender=self._watcher)  # type: ignore[arg-type]
        else:
            self.scheduler.send(pid, reason)  # type: ignore[arg-type]

    def shut_down(self) -> None:
        self.supervisor.shutdown(lambda: self.ended.append(SHUTDOWN))
        self.settle()

    def alive(self) -> list[str]:
        return [child.child_id for child in self._made if self.scheduler.is_alive(child.ctx.pid)]

    def _make(self, child_id: str, *_arguments: object) -> ScriptedChild | None:
        outcome = self.script.next_start(child_id)
        if outcome == "ignore":
            return None
        self._made.append(ScriptedChild(child_id, outcome, self))
        return self._made[-1]


# ------------------------------------------------------------------ children that take their time


class SlowPort:
    """ChildPort whose every completion comes later, and whose exits are told twice."""

    def __init__(self, world: "SlowWorld") -> None:
        self._world = world
        self._number = 0
        self.alive: dict[Handle, str] = {}

    def start(
        self,
        spec: ChildSpec,
        arguments: tuple[object, ...],
        done: Callable[[StartOutcome], None],
    ) -> Handle:
        self._number += 1
        handle = (spec.child_id, self._number)
        outcome = self._world.script.next_start(spec.child_id)
        if outcome == "fail":
            self._world.later(partial(done, StartFailed(BROKEN)))
        elif outcome == "ignore":
            self._world.later(partial(done, IGNORED))
        elif outcome != "never":
            self.alive[handle] = spec.child_id
            self._world.later(partial(self._ready, handle, done))
        else:
            self.alive[handle] = spec.child_id
        return handle

    def stop(self, handle: Handle, how: StopHow) -> None:
        child_id = self.alive.get(handle)
        if child_id is None:
            self._world.later(partial(self._world.supervisor.child_exited, handle, NOPROC))
            return
        wish = self._world.script.stops.get(child_id, SHUTDOWN)
        if how is StopHow.KILL:
            self._world.later(partial(self.end, handle, KILLED))
        elif isinstance(wish, ExitReason):
            self._world.later(partial(self.end, handle, wish))

    def end(self, handle: Handle, reason: ExitReason) -> None:
        child_id = self.alive.pop(handle, None)
        if child_id is not None:
            if reason.kind is not ExitKind.KILLED:
                self._world.log.append(f"-{child_id}")
            self._world.supervisor.child_exited(handle, reason)
            self._world.later(partial(self._world.supervisor.child_exited, handle, NOPROC))

    def _ready(self, handle: Handle, done: Callable[[StartOutcome], None]) -> None:
        if handle in self.alive:
            self._world.log.append(f"+{self.alive[handle]}")
            done(STARTED)


class SlowWorld:
    """Everything happens at a later step; Timers too are its own."""

    def __init__(self) -> None:
        self.script = Script()
        self.log: list[str] = []
        self.reports: list[SupervisorReport] = []
        self.ended: list[ExitReason] = []
        self.outcomes: list[StartOutcome] = []
        self.clock = Clock()
        self._heap = TimerHeap()
        self._steps: deque[Callable[[], None]] = deque()
        self.port = SlowPort(self)

    def child(self, child_id: str, **options: Any) -> ChildSpec:
        return ChildSpec(child_id, child_id, **options)

    def start(self, spec: SupervisorSpec) -> None:
        self.begin(spec)
        self.settle()

    def settle(self) -> None:
        for _ in range(100_000):
            if not self._steps:
                return
            self._steps.popleft()()
        raise AssertionError("it does not come to rest")

    def begin(self, spec: SupervisorSpec) -> None:
        """Start, but let nothing happen yet."""
        self.supervisor = Supervisor(
            spec, self.port, self.clock, self, self.reports.append, self.ended.append
        )
        self.supervisor.start(self._started)

    def step(self) -> None:
        self._steps.popleft()()

    def advance(self, ms: int) -> None:
        self.clock.now_ns += ms * NS_PER_MS
        self._heap.fire_due(self.clock.now_ns)
        self.settle()

    def exit_child(self, child: str | Handle, reason: ExitReason) -> None:
        handle = handle_of(self, child) if isinstance(child, str) else child
        self.later(partial(self.port.end, handle, reason))

    def shut_down(self) -> None:
        self.supervisor.shutdown(lambda: self.ended.append(SHUTDOWN))
        self.settle()

    def alive(self) -> list[str]:
        return list(self.port.alive.values())

    def later(self, callback: Callable[[], None]) -> None:
        self._steps.append(callback)

    def after(self, delay_ms: int, callback: Callable[[], None]) -> object:
        if delay_ms > 0:
            return self._heap.add(self.clock.now_ns + delay_ms * NS_PER_MS, callback)
        timer = Timer(0, callback)
        self.later(lambda: timer.callback() if timer.callback is not None else None)
        return timer

    def cancel(self, timer: object) -> None:
        assert isinstance(timer, Timer)
        self._heap.cancel(timer)

    def _started(self, outcome: StartOutcome) -> None:
        self.outcomes.append(outcome)
        if not isinstance(outcome, Started):
            assert isinstance(outcome, StartFailed)
            self.ended.append(outcome.reason)
