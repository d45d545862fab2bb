"""Runs light processes: one thread, one run queue, a bounded turn for each.

Deterministic: the clock and the random numbers are passed in, everything else follows from the
order of the calls.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from supervision.crash import CrashReport, make_report
from supervision.process import Behaviour, Context, Pid, Process, ProcessExit, Target
from supervision.reason import NOPROC, ExitReason, error_reason
from supervision.table import NameTakenError, NoProcessError, ProcessTable, Signal, is_callback

TURN_MESSAGES_MAX = 64
MAILBOX_MAX_DEFAULT = 10_000
PROCESSES_MAX_DEFAULT = 1 << 20
CRASHES_KEPT = 100

_NO_LIMIT = 1 << 62


class SystemLimitError(Exception):
    """There are processes_max processes already."""


@dataclass(frozen=True, slots=True)
class ProcessStatistics:
    pid: Pid
    name: str | None
    behaviour: str
    messages_handled: int
    messages_refused: int  # came while the mailbox was full
    mailbox_len: int
    mailbox_max: int
    links: int
    is_suspended: bool


class Scheduler(ProcessTable):
    """The processes of one thread. Nothing here waits; the owner calls run and run_timers."""

    def __init__(
        self,
        clock: Callable[[], int],
        random: random.Random,
        *,
        on_report: Callable[[CrashReport], None] | None = None,
        processes_max: int = PROCESSES_MAX_DEFAULT,
        turn_messages_max: int = TURN_MESSAGES_MAX,
        is_shuffled: bool = False,
    ) -> None:
        """`clock` is monotonic, in ns. `on_report` is told of every crash and must not raise; it
        may replace and resume what was suspended. `is_shuffled`: the next process to run is drawn
        by `random` instead of first in, first out, to find what depends on the order."""
        super().__init__(clock)
        self.random = random
        self._on_report = on_report
        self._processes_max = processes_max
        self._turn_messages_max = turn_messages_max
        self._is_shuffled = is_shuffled
        self.dead_letters = 0  # messages to processes or names that are not there
        self.crashes: deque[CrashReport] = deque(maxlen=CRASHES_KEPT)  # the latest

    # ------------------------------------------------------------------ processes

    def spawn(
        self,
        behaviour: Behaviour,
        *,
        name: str | None = None,
        link_to: Pid | None = None,
        monitor_by: Pid | None = None,
        mailbox_max: int = MAILBOX_MAX_DEFAULT,
        on_crash: Literal["exit", "suspend"] = "exit",
    ) -> Pid:
        """Start a process and return its pid, also if `started` failed: then it has ended already.

        Linked and monitored before `started` runs; `link_to` becomes its parent. on_crash
        "suspend": an exception keeps the process, suspended, its mailbox with the message that
        caused it at the head, until replace and resume.

        Raises NameTakenError, SystemLimitError, NoProcessError (monitor_by); nothing is started.
        """
        return self.start(
            behaviour,
            name=name,
            link_to=link_to,
            monitor_by=monitor_by,
            mailbox_max=mailbox_max,
            on_crash=on_crash,
        )[0]

    def start(
        self,
        behaviour: Behaviour,
        *,
        name: str | None = None,
        link_to: Pid | None = None,
        monitor_by: Pid | None = None,
        mailbox_max: int = MAILBOX_MAX_DEFAULT,
        on_crash: Literal["exit", "suspend"] = "exit",
    ) -> tuple[Pid, ExitReason | None]:
        """Like spawn; also tell why it has ended already (None: it runs)."""
        if self.process_count() >= self._processes_max:
            raise SystemLimitError(self._processes_max)
        if name is not None and name in self._targets:
            raise NameTakenError(name)
        if monitor_by is not None and monitor_by not in self._targets:
            raise NoProcessError(monitor_by)
        self._last_pid += 1
        pid = Pid(self._last_pid)
        process = Process(pid, behaviour, max(1, mailbox_max), on_crash == "suspend")
        self._targets[pid] = process
        if name is not None:
            self.register(name, pid)
        if monitor_by is not None:
            self.monitor(monitor_by, pid)
        if link_to is not None:
            process.parent = link_to
            self.link(pid, link_to)
            if not process.is_alive:
                return pid, NOPROC
        self._call_started(process)
        return pid, process.exit_reason

    def suspend(self, target: Target) -> None:
        """Let a process handle nothing more, from its next message on; what comes is kept."""
        process = self._process(target)
        process.is_suspended = True
        if not process.is_queued:
            process.is_queued = process.is_parked = True
        self._end_turn(process)

    def resume(self, target: Target) -> None:
        """Go on where suspend stopped. Raises NoProcessError."""
        process = self._process(target)
        process.is_suspended = False
        if process.is_parked:
            process.is_parked = False
            process.is_queued = bool(process.mailbox)
            if process.is_queued:
                self._run_queue.append(process)

    def replace(self, target: Target, behaviour: Behaviour) -> None:
        """Give a process a new behaviour, whose `started` is called: a restart that keeps pid,
        name, links, monitors, mailbox, and whether it is suspended.

        Timers and calls of the old behaviour are given up, also callbacks of timers that wait in
        the mailbox, and one that it crashed in. Raises NoProcessError.
        """
        process = self._process(target)
        self._forget_pending(process)
        for message in [each for each in process.mailbox if is_callback(each)]:
            process.mailbox.remove(message)
        process.behaviour = behaviour
        process.handle = behaviour.handle
        self._end_turn(process)
        self._call_started(process)

    def discard_head(self, target: Target) -> object:
        """Take the first message out of the mailbox of a suspended process and return it: the
        poison, when it has crashed often enough. Raises IndexError if there is none."""
        message = self._process(target).mailbox.popleft()
        return message.argument if type(message) is Signal else message

    def mailbox_head(self, target: Target, count: int) -> list[object]:
        """Return the first messages that wait."""
        return [
            message.argument if type(message) is Signal else message
            for message in islice(self._process(target).mailbox, count)
        ]

    # ------------------------------------------------------------------ messages

    def send(self, target: Target, message: object) -> bool:
        """Put a message into a mailbox. Returns False, and counts, if nobody is there
        (dead_letters) or the mailbox is full (statistics); the message is dropped then."""
        process = self._targets.get(target)
        if process is None:
            self.dead_letters += 1
            return False
        if process.is_queued:
            mailbox = process.mailbox
            if len(mailbox) >= process.mailbox_max:
                process.refused += 1
                return False
            mailbox.append(message)
        else:
            process.is_queued = True
            process.mailbox.append(message)
            self._run_queue.append(process)
        return True

    def run(self, messages_max: int | None = None) -> int:
        """Handle messages until none wait or `messages_max` are handled; return how many.

        A process handles at most turn_messages_max of what waits, then it is the next one's turn.
        Without messages_max two processes that never stop talking keep us here for ever.
        """
        queue = self._run_queue
        turn_max = self._turn_messages_max
        budget = left = _NO_LIMIT if messages_max is None else messages_max
        while queue and left > 0:
            if self._is_shuffled:
                queue.rotate(-self.random.randrange(len(queue)))
            process = queue.popleft()
            if process.is_suspended:
                process.is_parked = True
                continue
            mailbox = process.mailbox
            take = mailbox.popleft
            handle = process.handle
            turn = turn_left = turn_max if turn_max < left else left
            message: object = None
            try:
                while mailbox and turn_left:
                    turn_left -= 1
                    message = take()
                    if type(message) is Signal:
                        message.deliver(process, message.argument)
                    else:
                        handle(message)
            except ProcessExit as exit_:
                self._exit(process, exit_.reason, message)
            except Exception as error:  # noqa: BLE001 - the fault domain: ends this process only
                self._crash(process, error, message)
            handled = turn - turn_left
            left -= handled
            process.handled += handled
            if process.is_suspended:
                process.is_parked = True
            elif process.mailbox:
                queue.append(process)
            else:
                process.is_queued = False
        return budget - left

    # ------------------------------------------------------------------ system messages

    def get_state(self, target: Target) -> object:
        """Return what the behaviour shows of itself. Raises NoProcessError."""
        return self._process(target).behaviour.get_state()

    def statistics(self, target: Target) -> ProcessStatistics:
        """Raises NoProcessError."""
        process = self._process(target)
        return ProcessStatistics(
            pid=process.pid,
            name=process.name,
            behaviour=type(process.behaviour).__name__,
            messages_handled=process.handled,
            messages_refused=process.refused,
            mailbox_len=len(process.mailbox),
            mailbox_max=process.mailbox_max,
            links=len(process.links or ()),
            is_suspended=process.is_suspended,
        )

    def run_queue_len(self) -> int:
        return len(self._run_queue)

    # ------------------------------------------------------------------ helpers

    def _call_started(self, process: Process) -> None:
        """As in gen_server, terminate is not called for what never came up."""
        behaviour = process.behaviour
        behaviour.ctx = context = Context(self, process.pid)
        try:
            behaviour.started(context)
        except ProcessExit as exit_:
            self._exit(process, exit_.reason, None, has_started=False)
        except Exception as error:  # noqa: BLE001 - the fault domain: ends this process only
            self._crash(process, error, None, has_started=False)

    def _exit(
        self, process: Process, reason: ExitReason, message: object, has_started: bool = True
    ) -> None:
        """The process ends itself. It may have been ended by others within its own turn."""
        if not process.is_alive:
            return
        if not reason.is_normal:
            self._report(process, reason, None, message)
        self._end(process, self._terminate(process, reason) if has_started else reason)

    def _crash(
        self, process: Process, error: Exception, message: object, has_started: bool = True
    ) -> None:
        if not process.is_alive:
            return
        reason = error_reason(f"{type(error).__name__}: {error}")
        if process.suspends_on_crash:
            if message is not None:
                process.mailbox.appendleft(message)
            self.suspend(process.pid)
            self._report(process, reason, error, message)
            return
        self._report(process, reason, error, message)
        self._end(process, self._terminate(process, reason) if has_started else reason)

    def _terminate(self, process: Process, reason: ExitReason) -> ExitReason:
        """Let the behaviour clean up; return the reason it ends with."""
        try:
            process.behaviour.terminate(reason)
        except ProcessExit as exit_:
            return exit_.reason
        except Exception as error:  # noqa: BLE001 - the fault domain: ends this process only
            reason = error_reason(f"{type(error).__name__} in terminate: {error}")
            self._report(process, reason, error, None)
        return reason

    def _report(
        self, process: Process, reason: ExitReason, error: Exception | None, message: object
    ) -> None:
        report = make_report(process, reason, error, message)
        self.crashes.append(report)
        if self._on_report is not None:
            self._on_report(report)

    def _end_turn(self, process: Process) -> None:
        """If the process is in its turn right now, let that end after the message at hand: run
        holds the deque, so what waits moves to a new one."""
        waiting = deque(process.mailbox)
        process.mailbox.clear()
        process.mailbox = waiting
