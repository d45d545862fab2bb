"""Why a process ended, in the words of Erlang/OTP."""

import enum
from dataclasses import dataclass
from typing import Final


class ExitKind(enum.Enum):
    NORMAL = "normal"
    SHUTDOWN = "shutdown"  # asked to end, also OTP's {shutdown, Term} (detail is the term)
    KILL = "kill"  # only ever a signal: untrappable; who receives it ends with KILLED
    KILLED = "killed"
    NOPROC = "noproc"  # there is no such process (any more)
    NOCONNECTION = "noconnection"  # the other side cannot be seen from here
    TIMEOUT = "timeout"  # a call was not answered in time
    ERROR = "error"  # crashed; detail says how


@dataclass(frozen=True, slots=True)
class ExitReason:
    """A reason with an optional detail: the term of a shutdown, the text of an error."""

    kind: ExitKind
    detail: object = None

    @property
    def is_normal(self) -> bool:
        """A transient child that exits so is not restarted: normal, shutdown, {shutdown, Term}."""
        return self.kind is ExitKind.NORMAL or self.kind is ExitKind.SHUTDOWN

    def __str__(self) -> str:
        return self.kind.value if self.detail is None else f"{self.kind.value}: {self.detail}"


NORMAL: Final = ExitReason(ExitKind.NORMAL)
SHUTDOWN: Final = ExitReason(ExitKind.SHUTDOWN)
KILL: Final = ExitReason(ExitKind.KILL)
KILLED: Final = ExitReason(ExitKind.KILLED)
NOPROC: Final = ExitReason(ExitKind.NOPROC)
TIMEOUT: Final = ExitReason(ExitKind.TIMEOUT)


def error_reason(detail: object) -> ExitReason:
    """Return the reason of a crash."""
    return ExitReason(ExitKind.ERROR, detail)
