"""What a supervisor needs from what runs its children.

Backends: light processes (light.py), and whatever a shell brings (OS processes). All completions
are events, so a child may take no time or minutes to become ready; the supervisor waits for one
step at a time, as OTP's does. Everything happens in one thread, and a backend may call back before
the call that caused it has returned.
"""

import enum
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from supervision.reason import ExitReason
from supervision.spec import ChildSpec

Handle: TypeAlias = Hashable
"""The backend's name of one incarnation of a child (a pid, an address). Never used again."""


class StopHow(enum.Enum):
    SHUTDOWN = "shutdown"  # ask to end; it may clean up
    KILL = "kill"  # end it now, whatever it does


@dataclass(frozen=True, slots=True)
class Started:
    """The child is up and ready. `extra` is handed to whoever called start_child."""

    extra: object = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """The start decided not to run (OTP's `ignore`): the spec is kept, there is no process."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """There is no process (any more); nothing has to be stopped."""

    reason: ExitReason


StartOutcome: TypeAlias = Started | Ignored | StartFailed

STARTED: Final = Started()
IGNORED: Final = Ignored()


class ChildPort(Protocol):
    """Starts and stops children.

    Exits are told to the supervisor with `Supervisor.child_exited(handle, reason)`, for every
    child whose handle `start` has returned, asked for or not, and not before it has. Telling one
    twice or of an unknown handle is harmless.
    """

    def start(
        self,
        spec: ChildSpec,
        arguments: tuple[object, ...],
        done: Callable[[StartOutcome], None],
    ) -> Handle:
        """Begin to start a child and return its handle at once; call `done` once when it is known
        whether it runs.

        `arguments` are spec.arguments and, for simple_one_for_one, those of start_child behind.
        A child that dies before it is ready is a StartFailed, or an exit told before `done`. How
        long a start may take is the backend's to bound. After `stop` of a child that is still
        starting, `done` need not be called any more.
        """

    def stop(self, handle: Handle, how: StopHow) -> None:
        """Ask the child to end. That it has ended is told by child_exited, also when it had ended
        before or is unknown (then with reason noproc). Never raises for a handle it was given.

        May be called again for the same child: with KILL after SHUTDOWN when its time is over.
        """


class Timers(Protocol):
    """One-shot timers on the thread of the supervisor."""

    def after(self, delay_ms: int, callback: Callable[[], None]) -> object:
        """Call `callback` once after `delay_ms`; 0: at the next turn, never within this call."""

    def cancel(self, timer: object) -> None:
        """Forget the timer. One that has fired or was cancelled does no harm."""
