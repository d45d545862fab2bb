"""What is kept of a crash: enough to see why, bounded, in no need of the process."""

import reprlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from supervision.process import Pid, Process
from supervision.reason import ExitReason
from supervision.table import Signal

MAILBOX_HEAD_MAX = 10
TEXT_LENGTH_MAX = 4_000

_repr = reprlib.Repr()
_repr.maxother = _repr.maxstring = 200


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A process ended, or was suspended, for a reason that is neither normal nor shutdown."""

    pid: Pid
    name: str | None
    behaviour: str  # class name
    reason: ExitReason
    error: Exception | None  # None: it exited with this reason on purpose
    message: object  # at hand when it happened; None in started, replaced and callbacks of timers
    traceback: str  # its end, at most TEXT_LENGTH_MAX characters
    mailbox_len: int
    mailbox_head: tuple[str, ...]  # the next messages, shortened
    is_suspended: bool  # waits, mailbox kept, for replace and resume


def make_report(
    process: Process, reason: ExitReason, error: Exception | None, message: object
) -> CrashReport:
    text = "" if error is None else "".join(traceback.format_exception(error))
    return CrashReport(
        pid=process.pid,
        name=process.name,
        behaviour=type(process.behaviour).__name__,
        reason=reason,
        error=error,
        message=message.argument if type(message) is Signal else message,
        traceback=text[-TEXT_LENGTH_MAX:],
        mailbox_len=len(process.mailbox),
        mailbox_head=shorten(list(islice(process.mailbox, MAILBOX_HEAD_MAX))),
        is_suspended=process.suspends_on_crash and error is not None,
    )


def shorten(messages: Sequence[object]) -> tuple[str, ...]:
    return tuple(
        _repr.repr(message.argument if type(message) is Signal else message) for message in messages
    )
