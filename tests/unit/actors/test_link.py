"""What one link does, frame by frame."""

import msgspec
import pytest

from actors.link import Link, MessageTooLargeError
from actors.transport.port import MESSAGE_BYTES_MAX
from actors.wire import (
    Answers,
    AnyItem,
    Commands,
    Follow,
    Frame,
    MarketData,
    Numbered,
    UserEvents,
    Watermark,
    decode_frame,
)
from exchange.errors import InvariantError

MS = 1_000_000
ME, PEER = 7, 5  # incarnations


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


class Probe:
    """A link "me" -> "peer", the frames it sent, and a hand to play the peer."""

    def __init__(self, **options: int) -> None:
        self.sent: list[Frame] = []
        self.restarted: list[str] = []
        self.link = Link(
            "me",
            "peer",
            ME,
            lambda data: self.sent.append(decode_frame(data)),
            self.restarted.append,
            **options,
        )

    def hear(
        self,
        seq: int = 0,
        ack: int = 0,
        *,
        incarnation: int = PEER,
        to: int = ME,
        now_ns: int = 0,
    ) -> list[int]:
        items: list[AnyItem] = [Answers([raw(seq)])] if seq else []
        frame = Frame("peer", incarnation, to, seq, ack, items)
        return [taken.seq for taken in self.link.on_frame(frame, now_ns)]

    def take_sent(self) -> list[Frame]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def probe() -> Probe:
    """A link whose peer is known, in both directions."""
    return connected()


def connected(**options: int) -> Probe:
    probe = Probe(**options)
    probe.hear()
    probe.link.flush(0)
    probe.take_sent()
    return probe


def put_commands(probe: Probe, count: int, shard: str = "account/0") -> None:
    for number in range(count):
        assert probe.link.put_command(shard, raw(number))


# ------------------------------------------------------------------ getting to know each other


def test_a_link_introduces_itself_until_it_is_heard_and_ever_more_rarely() -> None:
    probe = Probe()
    for now_ms in range(0, 10_000, 50):
        probe.link.tick(now_ms * MS)
    assert all(frame == Frame("me", ME, 0, 0, 0, []) for frame in probe.sent)
    assert 8 <= len(probe.take_sent()) <= 12  # at 0, 20 ms, 60 ms ... then every 2 s
    probe.hear(now_ns=10_000 * MS)
    assert probe.link.is_connected
    probe.link.tick(10_001 * MS)
    assert [frame.peer_incarnation for frame in probe.take_sent()] == [PEER]  # the answer it owes
    probe.link.tick(10_100 * MS)
    assert probe.sent == []


def test_a_silent_peer_is_asked_whether_it_is_still_there_and_a_new_one_is_noticed() -> None:
    probe = connected()
    for now_ms in range(0, 5_000, 20):
        probe.link.tick(now_ms * MS)
    asked = probe.take_sent()
    assert 5 <= len(asked) <= 10
    assert all(frame == Frame("me", ME, 0, 0, 0, []) for frame in asked)
    probe.hear(incarnation=PEER + 1, to=ME, now_ns=5_000 * MS)  # its successor answers
    assert probe.restarted == ["peer"]


def test_a_peer_that_is_heard_is_not_asked() -> None:
    probe = connected()
    for now_ms in range(0, 5_000, 20):
        probe.hear(now_ns=now_ms * MS)
        probe.link.tick(now_ms * MS)
    assert probe.sent == []


def test_data_waits_until_the_peer_is_known_and_then_goes_at_once() -> None:
    probe = Probe()
    put_commands(probe, 3)
    probe.link.flush(0)
    probe.link.flush(0)
    assert [frame.seq for frame in probe.take_sent()] == [0]
    probe.hear(to=0)  # the peer does not know us yet
    assert not probe.link.is_connected
    probe.link.flush(0)
    [frame] = probe.take_sent()
    assert (frame.seq, frame.incarnation, frame.peer_incarnation) == (1, ME, PEER)


@pytest.mark.parametrize("to", [0, ME - 1, ME + 1])
def test_a_frame_for_another_incarnation_of_me_is_answered_and_not_taken(
    probe: Probe, to: int
) -> None:
    assert probe.hear(1, to=to) == []
    probe.link.flush(0)
    assert probe.take_sent() == [Frame("me", ME, PEER, 0, 0, [])]
    assert probe.link.metrics.refused == 1
    assert probe.hear(1) == [1]


def test_a_frame_of_an_older_incarnation_of_the_peer_is_dropped_without_an_answer(
    probe: Probe,
) -> None:
    put_commands(probe, 1)
    probe.link.flush(0)
    probe.take_sent()
    assert probe.hear(1, 1, incarnation=PEER - 1) == []
    probe.link.flush(0)
    assert probe.sent == []
    assert probe.link.in_flight == 1  # its acknowledgement does not count either


def test_a_restarted_peer_resets_the_link_and_the_owner_is_told(probe: Probe) -> None:
    put_commands(probe, 1)
    probe.link.flush(0)
    probe.hear(1)
    probe.hear(3)  # kept for later
    probe.take_sent()
    assert probe.hear(1, incarnation=PEER + 1) == [1]
    assert probe.restarted == ["peer"]
    assert probe.link.in_flight == 0
    assert probe.hear(2, incarnation=PEER + 1) == [2]  # and not the third of the old one
    assert probe.hear(3, incarnation=PEER + 1) == [3]
    put_commands(probe, 1)
    probe.link.flush(0)
    [frame] = probe.take_sent()
    assert (frame.seq, frame.peer_incarnation) == (1, PEER + 1)


def test_after_a_restart_commands_and_watermarks_stay_and_the_rest_is_dropped(
    probe: Probe,
) -> None:
    link = probe.link
    link.put_answer(raw(1))
    link.put_command("account/0", raw("kept"))
    link.put_numbered("account/0", "market/A", 1, raw(1))
    link.put(Follow("market/A", "data", 0))
    link.put_market_data("market/A", raw(1))
    link.put_user_event("account/0", raw(1))
    link.put_watermark("market/A", "account/0", 9)
    probe.hear(incarnation=PEER + 1)
    link.flush(0)
    [frame] = probe.take_sent()
    assert frame.items == [
        Watermark("market/A", "account/0", 9),
        Commands("account/0", [raw("kept")]),
    ]
    assert link.queue_length == 0


def test_what_the_owner_puts_while_it_is_told_of_a_restart_is_sent() -> None:
    sent: list[Frame] = []

    def on_peer_restarted(peer: str) -> None:
        link.put(Follow("market/A", "data", 0))

    link = Link("me", "peer", ME, lambda data: sent.append(decode_frame(data)), on_peer_restarted)
    link.on_frame(Frame("peer", PEER, ME, 0, 0, []), 0)
    link.on_frame(Frame("peer", PEER + 1, ME, 0, 0, []), 0)
    link.flush(0)
    assert [frame.items for frame in sent] == [[Follow("market/A", "data", 0)]]


# ------------------------------------------------------------------ credit, acknowledgement, resend


def test_no_more_than_the_window_is_in_flight(probe: Probe) -> None:
    for _ in range(5):
        put_commands(probe, 1)
        probe.link.flush(0)
    assert [frame.seq for frame in probe.take_sent()] == [1, 2]
    assert probe.link.queue_length == 3
    probe.hear(ack=1, now_ns=6 * MS)
    probe.link.flush(6 * MS)
    [frame] = probe.take_sent()
    assert frame.seq == 3
    assert frame.items == [Commands("account/0", [raw(0)] * 3)]  # a batch formed while it waited
    assert probe.link.metrics.credit_waits == 1
    assert probe.link.metrics.credit_wait_ns == 6 * MS


def test_nothing_is_acknowledged_before_it_is_durable(probe: Probe) -> None:
    assert probe.hear(1) == [1]
    probe.link.flush(0)
    probe.link.tick(MS)
    assert probe.sent == []
    probe.link.durable(1, PEER)
    probe.link.flush(0)
    assert probe.take_sent() == [Frame("me", ME, PEER, 0, 1, [])]
    probe.link.flush(0)
    assert probe.sent == []


def test_an_acknowledgement_travels_on_data_if_there_is_some(probe: Probe) -> None:
    probe.hear(1)
    probe.link.durable(1, PEER)
    put_commands(probe, 1)
    probe.link.flush(0)
    assert [(frame.seq, frame.ack) for frame in probe.take_sent()] == [(1, 1)]


def test_an_acknowledgement_leaves_even_without_credit(probe: Probe) -> None:
    for _ in range(3):
        put_commands(probe, 1)
        probe.link.flush(0)
    probe.take_sent()
    probe.hear(1)
    probe.link.durable(1, PEER)
    probe.link.flush(0)
    assert [(frame.seq, frame.ack) for frame in probe.take_sent()] == [(0, 1)]


def test_durable_frames_of_a_peer_that_restarted_since_are_not_acknowledged(probe: Probe) -> None:
    probe.hear(1)
    probe.hear(1, incarnation=PEER + 1)
    probe.link.durable(1, PEER)
    probe.link.flush(0)
    assert [frame.ack for frame in probe.take_sent()] == [0]


def test_unacknowledged_frames_are_sent_again_ever_more_rarely(probe: Probe) -> None:
    put_commands(probe, 1)
    probe.link.flush(0)
    first = probe.take_sent()
    resent_at_ms = []
    for now_ms in range(0, 8_000, 10):
        probe.link.tick(now_ms * MS)
        if probe.sent:
            resent_at_ms.append(now_ms)
            assert probe.take_sent() == first
    assert resent_at_ms == [250, 750, 1750, 3750, 5750, 7750]
    assert probe.link.metrics.resends == 6


def test_progress_resets_the_time_to_resend(probe: Probe) -> None:
    put_commands(probe, 1)
    probe.link.flush(0)
    put_commands(probe, 1)
    probe.link.flush(0)
    probe.link.tick(250 * MS)
    probe.take_sent()
    probe.hear(ack=1, now_ns=300 * MS)
    probe.link.tick(549 * MS)
    assert probe.sent == []
    probe.link.tick(550 * MS)
    assert [frame.seq for frame in probe.take_sent()] == [2]


def test_a_repeated_frame_is_taken_once_and_acknowledged_again(probe: Probe) -> None:
    assert probe.hear(1) == [1]
    probe.link.durable(1, PEER)
    probe.link.flush(0)
    probe.take_sent()
    assert probe.hear(1) == []
    probe.link.flush(0)
    assert [frame.ack for frame in probe.take_sent()] == [1]
    assert probe.link.metrics.duplicates == 1


def test_reordered_frames_wait_for_their_turn_within_the_window() -> None:
    probe = connected(window=3)
    assert probe.hear(4) == []  # beyond the window: not kept
    assert probe.hear(3) == []
    assert probe.hear(2) == []
    assert probe.hear(2) == []
    assert probe.hear(1) == [1, 2, 3]
    assert probe.hear(4) == [4]
    metrics = probe.link.metrics
    assert (metrics.reordered, metrics.duplicates, metrics.refused) == (2, 1, 1)
    assert metrics.frames_received == 4


def test_an_acknowledgement_of_what_was_never_sent_is_a_bug(probe: Probe) -> None:
    put_commands(probe, 1)
    probe.link.flush(0)
    with pytest.raises(InvariantError):
        probe.hear(ack=2)


# ------------------------------------------------------------------ what a frame carries


def test_messages_of_a_kind_and_target_leave_as_one_item(probe: Probe) -> None:
    link = probe.link
    for number in (1, 2):
        link.put_command("account/0", raw(number))
        link.put_answer(raw(number))
        link.put_command("account/1", raw(number))
        link.put_numbered("account/0", "market/A", number, raw(number))
        link.put_market_data("market/A", raw(number))
        link.put_user_event("account/0", raw(number))
    link.put_numbered("account/0", "market/A", 5, raw(5))  # does not continue: an item of its own
    link.put_watermark("market/A", "account/0", 3)
    link.put_watermark("market/A", "account/0", 4)
    both = [raw(1), raw(2)]
    link.flush(0)
    [frame] = probe.take_sent()
    assert frame.items == [
        Watermark("market/A", "account/0", 4),
        Commands("account/0", both),
        Answers(both),
        Commands("account/1", both),
        Numbered("account/0", "market/A", 1, both),
        MarketData("market/A", both),
        UserEvents("account/0", both),
        Numbered("account/0", "market/A", 5, [raw(5)]),
    ]
    assert link.metrics.messages_sent == 14


def test_a_plain_item_keeps_its_place_between_messages(probe: Probe) -> None:
    follow = Follow("market/A", "data", 0)
    probe.link.put_user_event("account/0", raw(1))
    probe.link.put(follow)
    probe.link.put_user_event("account/0", raw(2))
    probe.link.flush(0)
    [frame] = probe.take_sent()
    assert frame.items == [
        UserEvents("account/0", [raw(1)]),
        follow,
        UserEvents("account/0", [raw(2)]),
    ]


def test_long_batches_are_cut_into_frames_and_numbers_go_on() -> None:
    probe = connected(frame_items_max=10, window=5)
    for number in range(1, 26):
        probe.link.put_numbered("account/0", "market/A", number, raw(number))
    probe.link.flush(0)
    assert [frame.items for frame in probe.take_sent()] == [
        [Numbered("account/0", "market/A", first, [raw(n) for n in range(first, last + 1)])]
        for first, last in ((1, 10), (11, 20), (21, 25))
    ]


def test_a_message_put_after_its_batch_left_begins_a_new_one(probe: Probe) -> None:
    probe.link.put_numbered("account/0", "market/A", 1, raw(1))
    probe.link.flush(0)
    probe.link.put_numbered("account/0", "market/A", 2, raw(2))
    probe.link.flush(0)
    assert [frame.items for frame in probe.take_sent()] == [
        [Numbered("account/0", "market/A", 1, [raw(1)])],
        [Numbered("account/0", "market/A", 2, [raw(2)])],
    ]


def test_a_plain_item_heavier_than_a_frame_travels_alone() -> None:
    probe = connected(frame_items_max=10, window=5)
    heavy = Numbered("a", "b", 1, [raw(n) for n in range(30)])
    put_commands(probe, 1)
    probe.link.put(heavy)
    put_commands(probe, 1)
    probe.link.flush(0)
    assert [frame.items for frame in probe.take_sent()] == [
        [Commands("account/0", [raw(0)])],
        [heavy],
        [Commands("account/0", [raw(0)])],
    ]


def test_frames_with_too_many_bytes_are_halved_and_nothing_is_lost_or_moved() -> None:
    probe = connected(window=100, frame_bytes_max=1_000)
    probe.link.put_watermark("market/A", "account/0", 3)
    for number in range(1, 41):
        probe.link.put_numbered("account/0", "market/A", number, raw(bytes(90)))
        if number % 10 == 0:
            probe.link.put(Follow("market/A", "data", number))
    probe.link.flush(0)
    frames = probe.take_sent()
    assert len(frames) > 4
    numbered = [item for frame in frames for item in frame.items if isinstance(item, Numbered)]
    expected = 1
    for item in numbered:
        assert item.first == expected
        expected += len(item.messages)
    assert expected == 41
    follows = [item.after for frame in frames for item in frame.items if isinstance(item, Follow)]
    assert follows == [10, 20, 30, 40]
    assert probe.link.queue_length == 0


def test_one_message_may_exceed_the_frame_but_never_the_transport() -> None:
    probe = connected(frame_bytes_max=1_000)
    probe.link.put_market_data("market/A", raw(bytes(5_000)))
    probe.link.put_market_data("market/A", raw(bytes(5_000)))
    probe.link.flush(0)
    assert [len(frame.items) for frame in probe.take_sent()] == [1, 1]
    probe = connected()
    probe.link.put_market_data("market/A", raw(bytes(MESSAGE_BYTES_MAX)))
    with pytest.raises(MessageTooLargeError):
        probe.link.flush(0)


# ------------------------------------------------------------------ bounds


def test_each_kind_has_a_bound_of_its_own_and_says_so() -> None:
    link = connected(buffer_items_max=4, window=1).link
    for number in range(4):
        assert link.put_command("account/0", raw(1))
        assert link.put_answer(raw(1))
        assert link.put_numbered("account/0", "market/A", number, raw(1))
        assert link.put_market_data("market/A", raw(1))
        assert link.put_user_event("account/0", raw(1))
        assert link.put(Follow("market/A", "data", number))
    assert not link.put_command("account/0", raw(1))
    assert not link.put_answer(raw(1))
    assert not link.put_numbered("account/0", "market/A", 4, raw(1))
    assert not link.put_market_data("market/A", raw(1))
    assert not link.put_user_event("account/0", raw(1))
    assert not link.put(Follow("market/A", "data", 9))
    assert link.queue_length == 24
    link.flush(0)
    assert link.queue_length == 0
    assert link.put_command("account/0", raw(1))
    assert link.put(Follow("market/A", "data", 9))


def test_cancels_are_taken_when_orders_no_longer_are() -> None:
    probe = connected(buffer_items_max=8)
    put_commands(probe, 8)
    assert not probe.link.put_command("account/0", raw("order"))
    assert probe.link.put_command("account/0", raw("cancel"), favoured=True)
    assert probe.link.put_command("account/1", raw("cancel"), favoured=True)
    assert not probe.link.put_command("account/0", raw("cancel"), favoured=True)
    probe.link.flush(0)
    assert probe.link.put_command("account/0", raw("order"))
