"""One-shot timers for an actor: a heap, a clock and whoever wakes the actor up in time."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

NS_PER_MS = 1_000_000


@dataclass(order=True, slots=True)
class Timer:
    """One pending call. Compared by time, then by age."""

    at_ns: int
    number: int
    callback: Callable[[], None] | None = field(compare=False)  # None: cancelled


class ActorTimers:
    """supervision.port.Timers on the thread of an actor. Cancelled timers leave when they are due.

    `wake_after_ms` is called when the earliest time comes closer; waking too often does no harm.
    """

    def __init__(self, clock_ns: Callable[[], int], wake_after_ms: Callable[[int], None]) -> None:
        self._clock_ns = clock_ns
        self._wake_after_ms = wake_after_ms
        self._heap: list[Timer] = []
        self._number = 0
        self._wake_at_ns = 0  # 0: nobody will wake us

    def after(self, delay_ms: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` once after `delay_ms`; 0: at the next turn."""
        self._number += 1
        timer = Timer(self._clock_ns() + delay_ms * NS_PER_MS, self._number, callback)
        heapq.heappush(self._heap, timer)
        self._arm()
        return timer

    def cancel(self, timer: object) -> None:
        """Forget the timer. One that has fired or was cancelled does no harm."""
        if isinstance(timer, Timer):
            timer.callback = None

    def run_due(self, *, is_wakeup: bool) -> None:
        """Call what is due now; what these calls add waits for the next turn."""
        if is_wakeup:
            self._wake_at_ns = 0
        now_ns = self._clock_ns()
        due: list[Timer] = []
        while self._heap and self._heap[0].at_ns <= now_ns:
            due.append(heapq.heappop(self._heap))
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
        self._arm()

    def _arm(self) -> None:
        if not self._heap:
            return
        at_ns = self._heap[0].at_ns
        if self._wake_at_ns == 0 or at_ns < self._wake_at_ns:
            self._wake_at_ns = at_ns
            delay_ns = max(0, at_ns - self._clock_ns())
            self._wake_after_ms(-(-delay_ns // NS_PER_MS))  # rounded up: never early
