"""What every transport promises."""

import msgspec
import pytest

from actors.link import Link
from actors.transport.port import MESSAGE_BYTES_MAX, TransportError
from actors.wire import Commands, decode_frame
from tests.contract.transport.lab import Lab

KINDS = ["memory", "stream-ipc", "stream-tcp", "zeromq-ipc", "zeromq-tcp"]
pytestmark = pytest.mark.parametrize("lab", KINDS, indirect=True)


async def test_messages_arrive_whole_whatever_their_bytes(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    everything = bytes(range(256))
    messages = [b"", b"\0", everything, everything * 300, b"x" * 1_000_001]
    for count, message in enumerate(messages, 1):
        left.send("right", message)
        await lab.until(lambda count=count: len(lab.received["right"]) >= count)  # type: ignore[misc]
    assert lab.received["right"] == messages


async def test_largest_message_arrives_and_a_larger_one_is_dropped(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    left.metrics.dropped = 0
    left.send("right", bytes(MESSAGE_BYTES_MAX + 1))
    assert left.metrics.dropped == 1
    largest = b"L" * MESSAGE_BYTES_MAX
    left.send("right", largest)
    await lab.until(lambda: bool(lab.received["right"]))
    assert lab.received["right"] == [largest]


async def test_a_few_in_flight_arrive_once_and_in_order(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    messages = [b"%d" % number * 1000 for number in range(400)]
    for sent in range(0, len(messages), 2):
        for message in messages[sent : sent + 2]:
            left.send("right", message)
        await lab.until(lambda sent=sent: len(lab.received["right"]) >= sent + 2)  # type: ignore[misc]
    assert lab.received["right"] == messages


async def test_both_directions_work_at_once(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    await lab.connect(right, "left", left.endpoint)
    left.send("right", b"to the right")
    right.send("left", b"to the left")
    await lab.until(lambda: bool(lab.received["right"] and lab.received["left"]))
    assert lab.received == {"left": [b"to the left"], "right": [b"to the right"]}


async def test_one_host_hears_many(lab: Lab) -> None:
    hub = await lab.start("hub")
    names = [f"host-{number}" for number in range(8)]
    for name in names:
        host = await lab.start(name)
        await lab.connect(host, "hub", hub.endpoint)
        host.send("hub", name.encode())
        await lab.until(lambda: bool(lab.received["hub"]))
        assert lab.received["hub"] == [name.encode()]
        lab.received["hub"].clear()


async def test_absent_and_unknown_peers_never_block_and_are_counted(lab: Lab) -> None:
    left, gone = await lab.start("left"), await lab.start("gone")
    endpoint = gone.endpoint
    gone.close()
    left.set_peer("gone", endpoint)
    for _ in range(2_000):
        left.send("gone", b"anybody?")
        left.send("never named", b"anybody?")
    metrics = left.metrics
    assert metrics.sent + metrics.dropped == 4_000
    assert metrics.dropped >= 2_000
    assert lab.received["gone"] == []


async def test_a_peer_that_restarts_at_the_same_endpoint_is_found_again(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    for _ in range(2):
        endpoint = right.endpoint
        right.close()
        for _ in range(100):
            left.send("right", b"while it was away")
        right = await lab.start("right", endpoint)
        await lab.connect(left, "right", endpoint)
        left.send("right", b"welcome back")
        await lab.until(lambda: bool(lab.received["right"]))
        assert lab.received["right"] == [b"welcome back"]
        lab.received["right"].clear()


async def test_a_peer_that_moves_is_found_at_its_new_endpoint(lab: Lab) -> None:
    left, old, new = await lab.start("left"), await lab.start("old"), await lab.start("new")
    await lab.connect(left, "old", old.endpoint)
    left.set_peer("peer", old.endpoint)
    left.set_peer("peer", new.endpoint)
    await lab.until(lambda: bool(lab.received["new"]), lambda: left.send("peer", b"moved"))
    assert b"moved" not in lab.received["old"]


async def test_a_peer_that_does_not_read_fills_a_bounded_queue(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    left.metrics.sent = left.metrics.dropped = 0
    megabyte = bytes(1_000_000)
    count = 0
    while left.metrics.dropped == 0 and count < 150_000:
        left.send("right", megabyte)  # this thread is the peer's too: it reads nothing meanwhile
        count += 1
    assert left.metrics.dropped == 1
    assert left.metrics.sent == count - 1
    if lab.kind != "memory":  # whose bound is a number of messages
        assert left.metrics.sent < 64


async def test_nothing_arrives_after_close_and_closing_twice_is_allowed(lab: Lab) -> None:
    left, right = await lab.start("left"), await lab.start("right")
    await lab.connect(left, "right", right.endpoint)
    left.send("right", b"too late")
    right.close()
    right.close()
    other = await lab.start("other")
    await lab.connect(left, "other", other.endpoint)  # the loop has turned
    assert lab.received["right"] == []
    left.close()
    left.send("other", b"closed")
    assert left.metrics.dropped > 0


async def test_text_that_is_no_endpoint_is_refused(lab: Lab) -> None:
    left = await lab.start("left")
    for text in ("", "nonsense", "udp://host:1", "ipc://", "tcp://host", "tcp://host:70000"):
        with pytest.raises(TransportError):
            left.set_peer("peer", text)


async def test_links_over_it_deliver_everything_in_order_across_a_restart(lab: Lab) -> None:
    left, right = await lab.start("left"), lab.make("right")
    taken: list[int] = []
    restarts: list[str] = []
    sender = Link("left", "right", 1, lambda data: left.send("right", data), restarts.append)
    receiver = Link("right", "left", 2, lambda data: right.send("left", data), restarts.append)
    now_ns = 0

    def at_left(data: bytes) -> None:
        sender.on_frame(decode_frame(data), now_ns)

    def at_right(data: bytes) -> None:
        for frame in receiver.on_frame(decode_frame(data), now_ns):
            for item in frame.items:
                assert isinstance(item, Commands)
                taken.extend(msgspec.msgpack.decode(raw) for raw in item.commands)
            receiver.durable(frame.seq, frame.incarnation)

    def turn() -> None:
        nonlocal now_ns
        now_ns += 20_000_000
        for message in lab.received["left"]:
            at_left(message)
        lab.received["left"].clear()
        sender.tick(now_ns)
        receiver.tick(now_ns)

    await right.start(at_right)
    right.set_peer("left", left.endpoint)
    left.set_peer("right", right.endpoint)
    for number in range(3_000):
        sender.put_command("account/0", msgspec.Raw(msgspec.msgpack.encode(number)))
    await lab.until(lambda: len(taken) == 3_000, turn)
    assert taken == list(range(3_000))

    # The receiver dies with frames unacknowledged; its successor gets what is put from then on.
    endpoint = right.endpoint
    right.close()
    taken.clear()
    right = lab.make("right", endpoint)
    receiver = Link("right", "left", 3, lambda data: right.send("left", data), restarts.append)
    await right.start(at_right)
    right.set_peer("left", left.endpoint)
    await lab.until(lambda: restarts == ["right"], turn)
    for number in range(3_000):
        sender.put_command("account/0", msgspec.Raw(msgspec.msgpack.encode(number)))
    await lab.until(lambda: len(taken) == 3_000, turn)
    assert taken == list(range(3_000))
