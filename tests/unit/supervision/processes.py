"""A process for tests: it notes what it is told, and does what it is sent."""

import random
from collections.abc import Callable

from supervision.process import Behaviour, Caller, Context, Down, ExitSignal
from supervision.reason import ExitReason
from supervision.scheduler import Scheduler

NS_PER_MS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Probe(Behaviour):
    """A callable message is called with the context; everything else is kept in `seen`."""

    def __init__(self, *, traps: bool = False, fails: bool = False) -> None:
        self.traps = traps
        self.fails = fails
        self.seen: list[object] = []
        self.ended: list[ExitReason] = []

    def started(self, ctx: Context) -> None:
        if self.fails:
            raise ValueError("no start")
        ctx.trap_exit(self.traps)

    def handle(self, message: object) -> None:
        if callable(message):
            message(self.ctx)
        elif isinstance(message, Exception):
            raise message
        else:
            self.seen.append(message)

    def handle_call(self, request: object, caller: Caller) -> None:
        self.seen.append((request, caller))
        if request == "echo":
            self.ctx.reply(caller, request)

    def exited(self, signal: ExitSignal) -> None:
        self.seen.append(signal)

    def down(self, down: Down) -> None:
        self.seen.append(down)

    def terminate(self, reason: ExitReason) -> None:
        self.ended.append(reason)


def make_scheduler(clock: Callable[[], int] | None = None, **options: object) -> Scheduler:
    return Scheduler(clock or Clock(), random.Random(1), **options)  # type: ignore[arg-type]
