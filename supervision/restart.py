"""What to do about one exit; supervisor.py carries it out. Semantics: Erlang/OTP 25 supervisor."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol, TypeVar

from supervision.reason import ExitReason
from supervision.spec import Restart, Strategy, SupervisorSpec

NS_PER_SECOND = 1_000_000_000


class HasChildId(Protocol):
    @property
    def child_id(self) -> str: ...


C = TypeVar("C", bound=HasChildId)


def should_restart(restart: Restart, reason: ExitReason) -> bool:
    """Return whether a child of this kind that exited so is restarted."""
    if restart is Restart.PERMANENT:
        return True
    return restart is Restart.TRANSIENT and not reason.is_normal


def affected(strategy: Strategy, children: Sequence[C], child_id: str) -> Sequence[C]:
    """Return the children to restart when `child_id` exits, in start order.

    Those still up are stopped in reverse order first. `children` is in start order and holds
    `child_id`, else ValueError.
    """
    index = [child.child_id for child in children].index(child_id)
    if strategy is Strategy.ONE_FOR_ALL:
        return children
    if strategy is Strategy.REST_FOR_ONE:
        return children[index:]
    return children[index : index + 1]


class RestartWindow:
    """Counts restarts and says when they are too many.

    As in OTP: time in whole seconds, a restart exactly one period ago still counts, and it is over
    when the count is *above* the intensity. Every attempt counts, also a failed one; the restart of
    a group counts once. Holds at most restarts_max + 1 times.
    """

    __slots__ = ("_period_s", "_restarts_max", "_times_s")

    def __init__(self, spec: SupervisorSpec) -> None:
        self._restarts_max = spec.restarts_max
        self._period_s = spec.restarts_period_ms // 1_000
        self._times_s: deque[int] = deque(maxlen=spec.restarts_max + 1)

    def add(self, now_ns: int) -> bool:
        """Count a restart at `now_ns` (monotonic); return whether it may be carried out."""
        now_s = now_ns // NS_PER_SECOND
        times_s = self._times_s
        while times_s and times_s[0] < now_s - self._period_s:
            times_s.popleft()
        times_s.append(now_s)
        return len(times_s) <= self._restarts_max

    def count(self, now_ns: int) -> int:
        """Return how many restarts count at `now_ns`; for displays."""
        oldest_s = now_ns // NS_PER_SECOND - self._period_s
        return sum(1 for time_s in self._times_s if time_s >= oldest_s)
