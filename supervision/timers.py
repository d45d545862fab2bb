"""One-shot timers on a clock that is passed in. Cancelling is cheap, and cleaned up after."""

import heapq
from collections.abc import Callable

_CANCELLED_MIN = 64  # below this many it is not worth tidying up


class Timer:
    """One timer; `callback` is None once it has fired or was cancelled."""

    __slots__ = ("at_ns", "callback")

    def __init__(self, at_ns: int, callback: Callable[[], None]) -> None:
        self.at_ns = at_ns
        self.callback: Callable[[], None] | None = callback


class TimerHeap:
    """Timers by due time, those of the same time in the order they were set.

    Holds at most as many cancelled timers as live ones (or 64): calls set a time-out each and
    nearly all are cancelled long before.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._number = 0
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def entry_count(self) -> int:
        """Return how many timers are held, cancelled ones included."""
        return len(self._heap)

    def add(self, at_ns: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(at_ns, callback)
        self._number += 1
        self._live += 1
        heapq.heappush(self._heap, (at_ns, self._number, timer))
        return timer

    def cancel(self, timer: Timer) -> bool:
        """Return whether the timer was still to fire."""
        if timer.callback is None:
            return False
        timer.callback = None
        self._live -= 1
        if len(self._heap) > 2 * self._live + _CANCELLED_MIN:
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
        return True

    def next_at_ns(self) -> int | None:
        """Return when the next timer is due."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def fire_due(self, now_ns: int) -> int:
        """Fire the timers due at `now_ns` and return how many; those they set wait for the next
        call, so that a timer of no delay cannot keep us here."""
        due: list[Timer] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            timer = heapq.heappop(heap)[2]
            if timer.callback is not None:
                due.append(timer)
        fired = 0
        for timer in due:
            callback = timer.callback
            if callback is not None:  # not cancelled by one that fired before it
                timer.callback = None
                self._live -= 1
                fired += 1
                callback()
        return fired
