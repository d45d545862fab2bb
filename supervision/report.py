"""What supervisors tell about themselves: the five reports of OTP, and the results of their API."""

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from supervision.port import Handle
from supervision.reason import ExitReason
from supervision.spec import ChildKind, ChildSpec


class ReportKind(enum.Enum):
    PROGRESS = "progress"  # a child runs; not told of the children of simple_one_for_one
    CHILD_TERMINATED = "child_terminated"  # by itself, and not as it should
    START_ERROR = "start_error"  # a start or restart failed
    SHUTDOWN = "shutdown"  # too many restarts: the supervisor gives up
    SHUTDOWN_ERROR = "shutdown_error"  # a child that was stopped ended with another reason


@dataclass(frozen=True, slots=True)
class SupervisorReport:
    """One fact about one child (OTP's offender); `count` children at once for SHUTDOWN_ERROR of
    simple_one_for_one, where `handle` is one of them."""

    kind: ReportKind
    supervisor: str
    at_ns: int  # monotonic, of the clock given to the supervisor
    spec: ChildSpec
    handle: Handle | None
    reason: ExitReason | None  # None: progress
    count: int = 1


class ChildState(enum.Enum):
    STOPPED = "undefined"  # no process: never started, ended, terminated, or the start was ignored
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"  # the last attempt failed, the next one is about to come


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One line of which_children."""

    child_id: str | None  # None: simple_one_for_one
    handle: Handle | None
    state: ChildState
    kind: ChildKind


@dataclass(frozen=True, slots=True)
class ChildCounts:
    specs: int
    active: int  # with a process
    supervisors: int
    workers: int


class RefusalCode(enum.Enum):
    """Why a call to a supervisor failed, in OTP's words."""

    ALREADY_STARTED = "already_started"  # detail: the handle
    ALREADY_PRESENT = "already_present"
    NOT_FOUND = "not_found"
    RUNNING = "running"
    RESTARTING = "restarting"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"  # not possible with this strategy
    BAD_SPEC = "bad_spec"  # detail: SpecError
    START_FAILED = "start_failed"  # detail: ExitReason
    NOPROC = "noproc"  # the supervisor is ending or has ended
    BUSY = "busy"  # too many calls are waiting; not in OTP, whose mailbox has no bound
    UNKNOWN_CALL = "unknown_call"  # no call of a supervisor; detail: what was asked


@dataclass(frozen=True, slots=True)
class Done:
    """OTP's ok. start_child and restart_child: the handle, None if the start was ignored."""

    handle: Handle | None = None
    extra: object = None


@dataclass(frozen=True, slots=True)
class Refused:
    code: RefusalCode
    detail: object = None


CallResult: TypeAlias = Done | Refused

DONE: Final = Done()
