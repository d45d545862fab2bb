"""A lane gives its target every message, in order, whatever is lost and however small its cache."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from actors.outbox import MARKS_MAX, Lane

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("emit", "pump", "refill", "acknowledge", "rewind", "recover")),
        st.integers(0, 6),
    ),
    max_size=80,
)


def body(number: int) -> Raw:
    return Raw(b"%d" % number)


class Source:
    """A shard with one lane, and the naive model of it: a list of all messages ever."""

    def __init__(self, cache_max: int) -> None:
        self.cache_max = cache_max
        self.lane = Lane("market/X", cache_max=cache_max)
        self.stream: list[int] = []  # per record: the number of its first message
        self.last = 0
        self.received = 0  # the target has these, in order

    def emit(self, count: int) -> None:
        """One record with `count` messages, durable at once."""
        if count:
            self.lane.mark(self.last + 1, len(self.stream))
            self.stream.append(self.last + 1)
        for _ in range(count):
            self.last = self.lane.emit()
            self.lane.release(self.last, body(self.last))

    def pump(self, credit: int) -> None:
        taken = 0

        def put(number: int, raw: Raw) -> bool:
            nonlocal taken
            if taken == credit:
                return False
            taken += 1
            assert raw == body(number)
            if number == self.received + 1:
                self.received = number
            return True

        self.lane.pump(put, 0)

    def refill(self) -> None:
        if self.lane.needs_refill:
            first = self.stream[self.lane.refill_after()]
            self.lane.refill([(n, body(n)) for n in range(first, self.last + 1)])

    def recover(self) -> None:
        """The host crashed: a new lane is made of what the newest snapshot kept, here just now."""
        last, acked, after_seq = self.lane.cursor
        self.lane = Lane("market/X", cache_max=self.cache_max, last=last, acked=acked)
        self.lane.mark(acked + 1, after_seq)
        self.lane.released = last


@given(STEPS, st.integers(1, 5))
def test_target_gets_all_messages_in_order(steps: list[tuple[str, int]], cache_max: int) -> None:
    source = Source(cache_max)
    for step, size in steps:
        if step == "emit":
            source.emit(size)
        elif step == "pump":
            source.pump(size)
        elif step == "refill":
            source.refill()
        elif step == "acknowledge":
            source.lane.acknowledge(max(0, source.received - size), 0)
        elif step == "rewind":
            source.lane.rewind(source.lane.acked + 1, 0)
        else:
            source.recover()
        assert source.lane.acked <= source.received
        assert len(source.lane._cache) <= cache_max
    for _ in range(source.last + 2):  # without further losses
        source.refill()
        source.pump(1_000)
        source.lane.acknowledge(source.received, 0)
    assert source.received == source.last
    assert source.lane.is_idle


def test_marks_are_bounded_and_still_lead_to_every_message() -> None:
    source = Source(cache_max=1)
    for _ in range(3 * MARKS_MAX):
        source.emit(1)
    assert len(source.lane._marks) <= MARKS_MAX
    while source.received < source.last:
        source.refill()
        source.pump(1_000)
        source.lane.acknowledge(source.received, 0)
    assert source.lane.is_idle


def test_rewinding_is_no_acknowledgement() -> None:
    source = Source(cache_max=10)
    source.emit(5)
    source.pump(5)
    source.lane.rewind(4, 0)
    assert source.lane.acked == 0
    source.lane.rewind(1, 0)
    source.received = 0
    source.refill()
    source.pump(5)
    assert source.received == 5


def test_old_acknowledgement_changes_nothing() -> None:
    source = Source(cache_max=10)
    source.emit(5)
    source.pump(5)
    source.lane.acknowledge(4, 0)
    source.lane.acknowledge(2, 1)
    assert source.lane.acked == 4
