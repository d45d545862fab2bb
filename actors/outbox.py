"""A shard's messages to the others: dense numbers per target, a bounded cache over the journal.

The journal is the outbox. A lane keeps in memory what its target has not acknowledged, up to a
bound; what did not fit is read again from the journal when the target has caught up, so a full lane
never stops its shard.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable

from msgspec import Raw

MARKS_MAX = (
    1024  # of a lane: beyond it every second one is dropped, refilling then reads further back
)


class Lane:
    """The messages of one shard to one target."""

    __slots__ = (
        "_cache",
        "_cache_last",
        "_cache_max",
        "_marks",
        "acked",
        "is_refilling",
        "last",
        "moved_at_ns",
        "released",
        "sent",
        "target",
    )

    def __init__(self, target: str, *, cache_max: int, last: int = 0, acked: int = 0) -> None:
        self.target = target
        self.last = last  # number of the newest message, durable or not
        self.released = last  # number of the newest durable one
        self.acked = acked  # the target has these durably
        self.sent = acked  # handed to the link
        self.is_refilling = False
        self.moved_at_ns = 0  # when `acked` or `sent` last moved, monotonic
        self._cache: dict[int, Raw] = {}
        self._cache_last = acked
        self._cache_max = cache_max
        # (number, the seq after which to read the stream to find it)
        self._marks: list[tuple[int, int]] = []

    def emit(self) -> int:
        """Return the number of the next message."""
        self.last += 1
        return self.last

    def mark(self, number: int, after_seq: int) -> None:
        """Remember that message `number` stands in the first record after `after_seq`."""
        self._marks.append((number, after_seq))
        if len(self._marks) > MARKS_MAX:
            del self._marks[1::2]

    def release(self, number: int, raw: Raw) -> None:
        """The message is durable: it may leave."""
        self.released = number
        if number == self._cache_last + 1 and len(self._cache) < self._cache_max:
            self._cache[number] = raw
            self._cache_last = number

    def acknowledge(self, number: int, now_ns: int) -> None:
        """The target has everything up to `number` durably."""
        if number <= self.acked:
            return
        assert number <= self.released, (self.target, number, self.released)
        cache = self._cache
        for acked in range(self.acked + 1, min(number, self._cache_last) + 1):
            cache.pop(acked, None)
        self.acked = number
        self.moved_at_ns = now_ns
        if self._cache_last < number:
            self._cache_last = number
            cache.clear()
        self.sent = max(self.sent, number)
        keep = bisect_right(self._marks, (number + 1, 2**63)) - 1
        if keep > 0:
            del self._marks[:keep]

    def rewind(self, first: int, now_ns: int) -> None:
        """The target wants everything from `first` on (again).

        That is no acknowledgement: what it has before `first` may not be durable there.
        """
        assert self.acked < first <= self.released + 1, (self.target, self.acked, first)
        self.sent = first - 1
        self.moved_at_ns = now_ns
        if self.sent > self._cache_last or (
            self.sent < self._cache_last and first not in self._cache
        ):
            self._cache.clear()
            self._cache_last = self.sent

    def pump(self, put: Callable[[int, Raw], bool], now_ns: int) -> None:
        """Hand to the link what it takes."""
        sent = self.sent
        while sent < self._cache_last and put(sent + 1, self._cache[sent + 1]):
            sent += 1
        if sent != self.sent:
            self.sent = sent
            self.moved_at_ns = now_ns

    @property
    def is_idle(self) -> bool:
        return self.sent >= self.released

    @property
    def needs_refill(self) -> bool:
        """Whether messages that are not in the cache should be read from the journal now."""
        return (
            not self.is_refilling
            and self._cache_last < self.released
            and self.sent >= self._cache_last
            and len(self._cache) <= self._cache_max // 2  # seldom and much, not often and little
        )

    def refill_after(self) -> int:
        """Return the seq after which the record with the next missing message is to be found."""
        index = bisect_right(self._marks, (self._cache_last + 1, 2**63)) - 1
        return self._marks[index][1] if index >= 0 else 0

    def refill(self, messages: Iterable[tuple[int, Raw]]) -> None:
        """Take what was read from the journal: numbers ascending, older ones are passed over."""
        for number, raw in messages:
            if number > self.released or len(self._cache) >= self._cache_max:
                break
            if number == self._cache_last + 1:
                self._cache[number] = raw
                self._cache_last = number

    @property
    def cursor(self) -> tuple[int, int, int]:
        """(last, acked, seq to read after): what a snapshot keeps of this lane."""
        index = bisect_right(self._marks, (self.acked + 1, 2**63)) - 1
        return self.last, self.acked, self._marks[index][1] if index >= 0 else 0
